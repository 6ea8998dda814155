//! In-tree volume plugins and the CSI drivers that took over from them (`k8s.io/csi-translation-lib`), as far as the
//! scheduler asks: names, handles and topology.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{
    NodeSelector as WireSelector, NodeSelectorRequirement, NodeSelectorTerm, Volume as WireVolume,
};
use serde_json::Value;

use super::objects::{CsiNode, Volume};

const ZONE: &str = "topology.kubernetes.io/zone";
const REGION: &str = "topology.kubernetes.io/region";
const BETA_ZONE: &str = "failure-domain.beta.kubernetes.io/zone";
const BETA_REGION: &str = "failure-domain.beta.kubernetes.io/region";
/// Stands between the zones of a label that has several.
pub(crate) const ZONE_DELIMITER: &str = "__";

/// An in-tree plugin that a CSI driver took over from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InTree {
    GcePd,
    AwsEbs,
    Cinder,
    AzureDisk,
    AzureFile,
    Vsphere,
    Portworx,
}

use InTree::{AwsEbs, AzureDisk, AzureFile, Cinder, GcePd, Portworx, Vsphere};

impl InTree {
    // DIFFERS: upstream walks a map; the order matters only for volumes with several sources, which are invalid.
    const ALL: [InTree; 7] = [GcePd, AwsEbs, Cinder, AzureDisk, AzureFile, Vsphere, Portworx];

    /// Name of the plugin.
    pub(crate) fn name(self) -> &'static str {
        match self {
            GcePd => "kubernetes.io/gce-pd",
            AwsEbs => "kubernetes.io/aws-ebs",
            Cinder => "kubernetes.io/cinder",
            AzureDisk => "kubernetes.io/azure-disk",
            AzureFile => "kubernetes.io/azure-file",
            Vsphere => "kubernetes.io/vsphere-volume",
            Portworx => "kubernetes.io/portworx-volume",
        }
    }

    /// Name of the CSI driver.
    pub(crate) fn driver(self) -> &'static str {
        match self {
            GcePd => "pd.csi.storage.gke.io",
            AwsEbs => "ebs.csi.aws.com",
            Cinder => "cinder.csi.openstack.org",
            AzureDisk => "disk.csi.azure.com",
            AzureFile => "file.csi.azure.com",
            Vsphere => "csi.vsphere.vmware.com",
            Portworx => "pxd.portworx.com",
        }
    }

    /// Field of a volume's source.
    fn field(self) -> &'static str {
        match self {
            GcePd => "gcePersistentDisk",
            AwsEbs => "awsElasticBlockStore",
            Cinder => "cinder",
            AzureDisk => "azureDisk",
            AzureFile => "azureFile",
            Vsphere => "vsphereVolume",
            Portworx => "portworxVolume",
        }
    }

    /// The plugin of a name.
    pub(crate) fn named(name: &str) -> Option<InTree> {
        InTree::ALL.into_iter().find(|plugin| plugin.name() == name)
    }

    /// The plugin of a PersistentVolume.
    pub(crate) fn of(volume: Volume<'_>) -> Option<InTree> {
        InTree::ALL.into_iter().find(|plugin| volume.source(plugin.field()).is_some())
    }

    /// The plugin of a volume in a pod.
    pub(crate) fn of_inline(volume: &WireVolume) -> Option<InTree> {
        InTree::ALL.into_iter().find(|plugin| match plugin {
            GcePd => volume.gce_persistent_disk.is_some(),
            AwsEbs => volume.aws_elastic_block_store.is_some(),
            Cinder => volume.cinder.is_some(),
            AzureDisk => volume.azure_disk.is_some(),
            AzureFile => volume.azure_file.is_some(),
            Vsphere => volume.vsphere_volume.is_some(),
            Portworx => volume.portworx_volume.is_some(),
        })
    }

    /// True if `NodeVolumeLimits` counts the plugin's volumes for its driver (`isCSIMigrationOn`). For most it does not
    /// look at what the node says.
    pub(crate) fn counts_on(self, node: Option<CsiNode<'_>>) -> bool {
        match self {
            GcePd | AwsEbs | Cinder | AzureDisk => node.is_some(),
            Portworx => self.has_migrated_on(node),
            AzureFile | Vsphere => false,
        }
    }

    /// True if `VolumeBinding` takes the plugin's volumes for those of its driver (`tryTranslatePVToCSI`).
    pub(crate) fn binds_on(self, node: Option<CsiNode<'_>>) -> bool {
        !matches!(self, AzureFile | Vsphere) && self.has_migrated_on(node)
    }

    fn has_migrated_on(self, node: Option<CsiNode<'_>>) -> bool {
        node.is_some_and(|node| node.migrated_plugins().split(',').any(|name| name == self.name()))
    }

    /// Handle of a PersistentVolume with its driver.
    ///
    /// # Errors
    /// The source cannot be translated.
    pub(crate) fn handle(self, volume: Volume<'_>) -> Result<String, String> {
        let source = |field: &str| {
            let value = volume.source(self.field()).and_then(|source| source.get(field));
            value.and_then(Value::as_str).unwrap_or_default()
        };
        match self {
            GcePd => gce_handle(source("pdName"), gce_zones(volume)),
            AwsEbs => aws_volume(source("volumeID")),
            Cinder | Portworx => Ok(source("volumeID").to_owned()),
            AzureDisk => {
                azure_handle(source("diskURI"), Some(source("kind")).filter(|kind| !kind.is_empty()))
            }
            // Nobody asks: the scheduler never has these migrated.
            AzureFile | Vsphere => Ok(String::new()),
        }
    }

    /// Handle of a volume in a pod with its driver.
    ///
    /// # Errors
    /// The source cannot be translated.
    pub(crate) fn inline_handle(self, volume: &WireVolume) -> Result<String, String> {
        let owned = |id: Option<&String>| Ok(id.cloned().unwrap_or_default());
        match self {
            GcePd => {
                let source = volume.gce_persistent_disk.as_ref();
                gce_handle(source.map_or("", |source| &source.pd_name), "")
            }
            AwsEbs => {
                let source = volume.aws_elastic_block_store.as_ref();
                aws_volume(source.map_or("", |source| &source.volume_id))
            }
            Cinder => owned(volume.cinder.as_ref().map(|source| &source.volume_id)),
            Portworx => owned(volume.portworx_volume.as_ref().map(|source| &source.volume_id)),
            AzureDisk => {
                let source = volume.azure_disk.as_ref();
                let kind = source.and_then(|source| source.kind.as_deref());
                azure_handle(source.map_or("", |source| &source.disk_uri), kind)
            }
            AzureFile | Vsphere => Ok(String::new()),
        }
    }

    /// Required node affinity of a PersistentVolume once it is its driver's.
    pub(crate) fn node_affinity(self, volume: Volume<'_>) -> Option<WireSelector> {
        let affinity = volume.node_affinity();
        match self {
            GcePd => with_topology(volume, affinity, "topology.gke.io/zone"),
            AwsEbs => with_topology(volume, affinity, "topology.ebs.csi.aws.com/zone"),
            Cinder => with_topology(volume, affinity, "topology.cinder.csi.openstack.org/zone"),
            AzureDisk | AzureFile | Vsphere | Portworx => affinity,
        }
    }
}

fn gce_zones<'a>(volume: Volume<'a>) -> &'a str {
    let label = |key: &str| volume.0.meta.label(key).filter(|zones| !zones.is_empty());
    label(BETA_ZONE).or_else(|| label(ZONE)).unwrap_or_default()
}

fn gce_handle(disk: &str, zones: &str) -> Result<String, String> {
    let zones: Vec<&str> = zones.split(ZONE_DELIMITER).collect();
    match zones.as_slice() {
        [""] => Ok(format!("projects/UNSPECIFIED/zones/UNSPECIFIED/disks/{disk}")),
        [zone] => Ok(format!("projects/UNSPECIFIED/zones/{zone}/disks/{disk}")),
        zones => {
            let region = gce_region(zones).map_err(|e| format!("failed to get region from zones: {e}"))?;
            Ok(format!("projects/UNSPECIFIED/regions/{region}/disks/{disk}"))
        }
    }
}

fn gce_region(zones: &[&str]) -> Result<String, String> {
    let mut regions = BTreeSet::new();
    for zone in zones {
        match zone.split('-').collect::<Vec<_>>().as_slice() {
            [locale, region, _] => regions.insert(format!("{locale}-{region}")),
            _ => {
                let expected = "expected: {locale}-{region}-{zone}";
                return Err(format!("zone in unexpected format, {expected}, got: {zone}"));
            }
        };
    }
    match regions.len() {
        1 => Ok(regions.into_iter().collect()),
        _ => {
            let all: Vec<String> = regions.iter().map(|region| format!("{region}:{{}}")).collect();
            Err(format!("multiple or no regions gotten from zones, got: map[{}]", all.join(" ")))
        }
    }
}

/// `KubernetesVolumeIDToEBSVolumeID`: a bare id, or one behind `aws://<zone>/`.
fn aws_volume(id: &str) -> Result<String, String> {
    let Some(rest) = id.strip_prefix("aws://") else { return Ok(id.to_owned()) };
    let path = rest.split(['#', '?']).next().unwrap_or_default();
    let path = path.split_once('/').map_or("", |(_, path)| path).trim_matches('/');
    if path.starts_with("vol-") && !path.contains('/') {
        return Ok(path.to_owned());
    }
    Err(format!("failed to translate Kubernetes ID to EBS Volume ID Invalid format for AWS volume ({id})"))
}

fn azure_handle(uri: &str, kind: Option<&str>) -> Result<String, String> {
    match kind {
        Some(kind) if !kind.eq_ignore_ascii_case("Managed") => {
            Err(format!("kind({kind}) is not supported in csi migration"))
        }
        _ => Ok(uri.to_owned()),
    }
}

fn requirements(selector: &WireSelector) -> impl Iterator<Item = &NodeSelectorRequirement> {
    selector.node_selector_terms.iter().flat_map(|term| term.match_expressions.iter().flatten())
}

fn rename(selector: &mut WireSelector, from: &str, to: &str) {
    let terms = selector.node_selector_terms.iter_mut();
    for requirement in terms.flat_map(|term| term.match_expressions.iter_mut().flatten()) {
        if requirement.key == from {
            to.clone_into(&mut requirement.key);
        }
    }
}

/// `translateTopologyFromInTreeToCSI`: zones of the affinity, or else of the labels, go by the driver's own key.
fn with_topology(volume: Volume<'_>, affinity: Option<WireSelector>, key: &str) -> Option<WireSelector> {
    let has_key = |key: &str| affinity.as_ref().is_some_and(|a| requirements(a).any(|r| r.key == key));
    let has_label = |key: &str| volume.0.meta.label(key).is_some();
    let beta = !has_key(ZONE) && (has_key(BETA_ZONE) || !has_label(ZONE) && has_label(BETA_ZONE));
    let zone = if beta { BETA_ZONE } else { ZONE };
    let has_values = |selector: &WireSelector, key: &str| {
        requirements(selector).any(|r| r.key == key && r.values.as_ref().is_some_and(|v| !v.is_empty()))
    };
    let mut affinity = affinity;
    match affinity.as_mut().filter(|selector| has_values(selector, zone)) {
        Some(selector) => rename(selector, zone, key),
        None => {
            let zones = volume.0.meta.label(zone).unwrap_or_default().split(ZONE_DELIMITER).map(str::trim);
            let zones: BTreeSet<String> = zones.filter(|z| !z.is_empty()).map(str::to_owned).collect();
            add_zones(&mut affinity, key, zones);
        }
    }
    if let Some(selector) = affinity.as_mut().filter(|selector| beta && has_values(selector, BETA_REGION)) {
        rename(selector, BETA_REGION, REGION);
    }
    affinity
}

fn add_zones(affinity: &mut Option<WireSelector>, key: &str, zones: BTreeSet<String>) {
    if zones.is_empty() {
        return;
    }
    let terms = &mut affinity.get_or_insert_default().node_selector_terms;
    if terms.is_empty() {
        terms.push(NodeSelectorTerm::default());
    }
    let requirement = NodeSelectorRequirement {
        key: key.to_owned(),
        operator: "In".to_owned(),
        values: Some(zones.into_iter().collect()),
    };
    for term in terms {
        term.match_expressions.get_or_insert_default().push(requirement.clone());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sim_core::api::kind::Kind;
    use sim_core::api::meta::{Key, Meta};
    use sim_core::api::object::Object;

    use super::*;

    fn volume(spec: Value, labels: &[(&str, &str)]) -> Object {
        let mut meta = Meta::named(Key::cluster("v"));
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        meta.labels = std::sync::Arc::new(labels.collect());
        Object::json(Kind::PERSISTENT_VOLUME, meta, json!({"spec": spec}))
    }

    #[test]
    fn handles() {
        let gce = json!({"gcePersistentDisk": {"pdName": "d"}});
        let aws = |id: &str| json!({"awsElasticBlockStore": {"volumeID": id}});
        let bad_aws =
            "failed to translate Kubernetes ID to EBS Volume ID Invalid format for AWS volume (aws://z/disk)";
        for (spec, zones, want) in [
            (gce.clone(), "", Ok("projects/UNSPECIFIED/zones/UNSPECIFIED/disks/d")),
            (gce.clone(), "a-b-c", Ok("projects/UNSPECIFIED/zones/a-b-c/disks/d")),
            (gce.clone(), "a-b-c__a-b-d", Ok("projects/UNSPECIFIED/regions/a-b/disks/d")),
            (
                gce.clone(),
                "a-b-c__a-e-c",
                Err(
                    "failed to get region from zones: multiple or no regions gotten from zones, got: map[a-b:{} a-e:{}]",
                ),
            ),
            (
                gce,
                "x__y",
                Err(
                    "failed to get region from zones: zone in unexpected format, expected: {locale}-{region}-{zone}, got: x",
                ),
            ),
            (aws("vol-1"), "", Ok("vol-1")),
            (aws("anything"), "", Ok("anything")),
            (aws("aws://us-east-1a/vol-1"), "", Ok("vol-1")),
            (aws("aws:///vol-1"), "", Ok("vol-1")),
            (aws("aws://z/disk"), "", Err(bad_aws)),
            (json!({"cinder": {"volumeID": "c"}}), "", Ok("c")),
            (json!({"portworxVolume": {"volumeID": "p"}}), "", Ok("p")),
            (json!({"azureDisk": {"diskURI": "/u"}}), "", Ok("/u")),
            (json!({"azureDisk": {"diskURI": "/u", "kind": "managed"}}), "", Ok("/u")),
            (
                json!({"azureDisk": {"diskURI": "/u", "kind": "Shared"}}),
                "",
                Err("kind(Shared) is not supported in csi migration"),
            ),
        ] {
            let object = volume(spec.clone(), &[(ZONE, zones)]);
            let plugin = InTree::of(Volume(&object)).expect("an in-tree volume");
            let want = want.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(plugin.handle(Volume(&object)), want, "{spec} {zones}");
            if zones.is_empty() {
                let mut wire = spec.clone();
                wire["name"] = json!("v");
                let wire: WireVolume = serde_json::from_value(wire).expect("a volume");
                assert_eq!(InTree::of_inline(&wire), Some(plugin));
                assert_eq!(plugin.inline_handle(&wire), want, "{spec} in a pod");
            }
        }
    }

    #[test]
    fn topology_goes_by_the_drivers_key() {
        let affinity = |expressions: Value| {
            json!({"awsElasticBlockStore": {}, "nodeAffinity": {"required": {"nodeSelectorTerms": [
                {"matchExpressions": expressions}]}}})
        };
        let bare = json!({"awsElasticBlockStore": {}});
        let is = |key: &str, zones: &[&str]| json!({"key": key, "operator": "In", "values": zones});
        let csi = "topology.ebs.csi.aws.com/zone";
        for (spec, labels, want) in [
            (bare.clone(), vec![], None),
            (bare.clone(), vec![(ZONE, "a")], Some(json!([is(csi, &["a"])]))),
            (bare.clone(), vec![(BETA_ZONE, "b__ a")], Some(json!([is(csi, &["a", "b"])]))),
            (bare.clone(), vec![(ZONE, "a"), (BETA_ZONE, "b")], Some(json!([is(csi, &["a"])]))),
            (bare, vec![(ZONE, "")], None),
            (affinity(json!([is(ZONE, &["a"])])), vec![(ZONE, "b")], Some(json!([is(csi, &["a"])]))),
            (
                affinity(json!([is(BETA_ZONE, &["a"]), is(BETA_REGION, &["r"])])),
                vec![],
                Some(json!([is(csi, &["a"]), is(REGION, &["r"])])),
            ),
            (
                affinity(json!([is("disk", &["x"])])),
                vec![(ZONE, "a")],
                Some(json!([is("disk", &["x"]), is(csi, &["a"])])),
            ),
        ] {
            let object = volume(spec.clone(), &labels);
            let found = AwsEbs.node_affinity(Volume(&object));
            let found = found.map(|a| json!(a.node_selector_terms[0].match_expressions));
            assert_eq!(found, want, "{spec} {labels:?}");
        }
    }

    #[test]
    fn who_has_migrated() {
        let node = |plugins: &str| {
            let mut meta = Meta::named(Key::cluster("n"));
            let annotation = ("storage.alpha.kubernetes.io/migrated-plugins".to_owned(), plugins.to_owned());
            meta.annotations = std::sync::Arc::new([annotation].into());
            Object::json(Kind::CSI_NODE, meta, json!({}))
        };
        let (none, both) = (node(""), node("kubernetes.io/aws-ebs,kubernetes.io/portworx-volume"));
        for (plugin, node, counts, binds) in [
            (AwsEbs, None, false, false),
            (AwsEbs, Some(&none), true, false),
            (AwsEbs, Some(&both), true, true),
            (Portworx, Some(&none), false, false),
            (Portworx, Some(&both), true, true),
            (Vsphere, Some(&both), false, false),
        ] {
            let node = node.map(CsiNode);
            assert_eq!(
                (plugin.counts_on(node), plugin.binds_on(node)),
                (counts, binds),
                "{plugin:?} {node:?}"
            );
        }
    }
}
