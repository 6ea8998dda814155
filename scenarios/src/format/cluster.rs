//! `cluster`: what is there at the start.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::compact::{Compact, compact};
use super::devices::DeviceSpec;
use super::text::Text;

/// What is there at the start.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ClusterSpec {
    /// Groups of equal nodes.
    #[serde(default)]
    pub pools: Vec<NodePool>,
    /// Files of real objects (nodes, running pods, …), e.g. as `kubectl get nodes,pods -A -o json` prints them.
    #[serde(default)]
    pub files: Vec<PathBuf>,
}

/// `count` equal nodes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NodePool {
    /// Name of the node; with a `count`, the nodes are NAME-0, NAME-1, ….
    pub name: String,
    /// How many; without it, there is one and it is called NAME.
    pub count: Option<u32>,
    /// CPU of each node, e.g. 8 or 7500m.
    #[serde(default = "default_cpu")]
    pub cpu: Text,
    /// Memory of each node, e.g. 32Gi.
    #[serde(default = "default_memory")]
    pub memory: Text,
    /// Most pods a node takes.
    #[serde(default = "default_pods")]
    pub pods: u32,
    /// Local disk for pods, e.g. 100Gi.
    pub ephemeral_storage: Option<Text>,
    /// Any other resource by name, e.g. `nvidia.com/gpu: 8`.
    #[serde(default)]
    pub resources: BTreeMap<String, Text>,
    /// Labels beside the ones every kubelet sets.
    #[serde(default)]
    pub labels: BTreeMap<String, Text>,
    /// Taints, as `kubectl taint` writes them: `key=value:Effect` or `key:Effect`.
    #[serde(default)]
    pub taints: Vec<TaintSpec>,
    /// Zones that the nodes are spread over in turn (label `topology.kubernetes.io/zone`).
    #[serde(default)]
    pub zones: Vec<String>,
    /// Devices of each node, with their drivers.
    #[serde(default)]
    pub devices: Vec<DeviceSpec>,
}

fn default_cpu() -> Text {
    Text("4".to_owned())
}

fn default_memory() -> Text {
    Text("16Gi".to_owned())
}

fn default_pods() -> u32 {
    110
}

impl NodePool {
    /// A pool with defaults: 4 CPUs, 16Gi, 110 pods.
    pub fn named(name: &str) -> NodePool {
        NodePool {
            name: name.to_owned(),
            count: None,
            cpu: default_cpu(),
            memory: default_memory(),
            pods: default_pods(),
            ephemeral_storage: None,
            resources: BTreeMap::new(),
            labels: BTreeMap::new(),
            taints: Vec::new(),
            zones: Vec::new(),
            devices: Vec::new(),
        }
    }

    /// Names of the pool's nodes, in order.
    pub fn node_names(&self) -> Vec<String> {
        match self.count {
            None => vec![self.name.clone()],
            Some(count) => (0..count).map(|i| format!("{}-{i}", self.name)).collect(),
        }
    }
}

/// A taint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaintSpec {
    /// Key.
    pub key: String,
    /// Value, maybe empty.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// A taint in its long form.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LongTaint {
    /// Key.
    pub key: String,
    /// Value.
    #[serde(default)]
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

impl FromStr for TaintSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (head, effect) =
            text.rsplit_once(':').ok_or_else(|| format!("taint `{text}` lacks `:Effect`"))?;
        let (key, value) = head.split_once('=').unwrap_or((head, ""));
        TaintSpec::from_long(LongTaint { key: key.into(), value: value.into(), effect: effect.into() })
    }
}

impl Compact for TaintSpec {
    type Long = LongTaint;
    const EXPECTED: &'static str = "a taint as key=value:Effect, or {key: …, value: …, effect: …}";
    const NAME: &'static str = "Taint";
    const SHORT: &'static [&'static str] = &["string"];

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse()
    }

    fn from_long(long: LongTaint) -> Result<Self, String> {
        if long.key.is_empty() {
            return Err("a taint without a key".to_owned());
        }
        if !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&long.effect.as_str()) {
            return Err(format!(
                "taint effect `{}`: expected NoSchedule, PreferNoSchedule or NoExecute",
                long.effect
            ));
        }
        Ok(TaintSpec { key: long.key, value: long.value, effect: long.effect })
    }
}
compact!(TaintSpec);

/// `8cpu,32Gi`: the size of a node on the command line. Parts may come in any order.
///
/// ```
/// use scenarios::format::NodeSize;
/// let size: NodeSize = "8cpu,32Gi".parse().unwrap();
/// assert_eq!((size.cpu.as_str(), size.memory.as_str()), ("8", "32Gi"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSize {
    /// CPU.
    pub cpu: String,
    /// Memory.
    pub memory: String,
    /// Pods, if given as `50pods`.
    pub pods: Option<u32>,
    /// Other resources, given as `name=quantity`.
    pub resources: BTreeMap<String, Text>,
}

impl FromStr for NodeSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut size = NodeSize {
            cpu: default_cpu().0,
            memory: default_memory().0,
            pods: None,
            resources: BTreeMap::new(),
        };
        for part in text.split(',').map(str::trim) {
            if let Some((name, amount)) = part.split_once('=') {
                size.resources.insert(name.to_owned(), Text(amount.to_owned()));
            } else if let Some(cpu) = part.strip_suffix("cpu") {
                size.cpu = cpu.trim().to_owned();
            } else if let Some(pods) = part.strip_suffix("pods") {
                size.pods = Some(pods.trim().parse().map_err(|_| format!("`{part}`: not a number of pods"))?);
            } else if part.ends_with('i') || part.ends_with(['k', 'M', 'G', 'T', 'P', 'E']) {
                size.memory = part.to_owned();
            } else {
                return Err(format!(
                    "`{part}` in node size `{text}`: expected 8cpu, 32Gi, 110pods or name=quantity"
                ));
            }
        }
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taints_read_as_kubectl_writes_them() {
        let taint = |key: &str, value: &str, effect: &str| {
            Ok(TaintSpec { key: key.into(), value: value.into(), effect: effect.into() })
        };
        assert_eq!("a/b=c:NoSchedule".parse(), taint("a/b", "c", "NoSchedule"));
        assert_eq!("a:NoExecute".parse(), taint("a", "", "NoExecute"));
        for bad in ["a=b", ":NoSchedule", "a:Never", ""] {
            assert!(bad.parse::<TaintSpec>().is_err(), "{bad}");
        }
    }

    #[test]
    fn node_sizes() {
        let size: NodeSize = "1500m cpu, 64Gi,20pods,nvidia.com/gpu=8".parse().unwrap();
        assert_eq!((size.cpu.as_str(), size.memory.as_str(), size.pods), ("1500m", "64Gi", Some(20)));
        assert_eq!(size.resources["nvidia.com/gpu"].0, "8");
        assert!("8cores".parse::<NodeSize>().is_err());
    }
}
