//! The Alibaba GPU trace of 2023 ("openb"), with its real creation and deletion times.
//!
//! GPUs are written as `alibabacloud.com/gpu-count` and `gpu-milli`: extended resources of nodes, annotations of pods.
//! Pods of one size are one class, so that a replay shares their specs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use serde_json::{Value, json};
use sim_core::load::{LoadError, Place, Source};

use crate::plan::read_source;
use crate::runner::write_whole;

const GPU_COUNT: &str = "alibabacloud.com/gpu-count";
const GPU_MILLI: &str = "alibabacloud.com/gpu-milli";
const GPU_MODEL: &str = "alibabacloud.com/gpu-card-model";
const NAMESPACE: &str = "paib-gpu";
/// Far above the real lists of about one megabyte.
const MAX_INPUT: usize = 1 << 30;

/// What was imported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Nodes.
    pub nodes: usize,
    /// Pods.
    pub pods: usize,
    /// Classes of equal pods.
    pub classes: usize,
    /// Pods that were left out, and why.
    pub skipped: Vec<String>,
}

/// A CSV file by the names of its columns. The lists have no quoted fields.
struct Table<'s> {
    source: &'s Source,
    text: &'s str,
    columns: BTreeMap<&'s str, usize>,
    rows: Vec<(usize, &'s str)>,
}

struct Row<'t> {
    table: &'t Table<'t>,
    number: usize,
    line: &'t str,
    fields: Vec<&'t str>,
}

impl<'s> Table<'s> {
    fn read(source: &'s Source, needed: &[&str]) -> Result<Table<'s>, LoadError> {
        let text = std::str::from_utf8(source.bytes()).map_err(|e| {
            LoadError::new(format!("{}: invalid UTF-8 at byte {}", source.name(), e.valid_up_to()))
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let Some((_, header)) = lines.next() else {
            return Err(LoadError::new(format!("{}: the file is empty", source.name())));
        };
        let columns: BTreeMap<&str, usize> =
            header.split(',').enumerate().map(|(i, name)| (name.trim(), i)).collect();
        let table = Table { source, text, columns, rows: lines.collect() };
        for name in needed {
            if !table.columns.contains_key(name) {
                let known: Vec<&str> = header.split(',').collect();
                let message = format!("no column `{name}`; there are {}", known.join(", "));
                return Err(table.error(0, header, message));
            }
        }
        Ok(table)
    }

    fn error(&self, number: usize, line: &str, message: impl Into<String>) -> LoadError {
        let offset = (line.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        let place = Place { file: self.source.name().clone(), offset, line: number + 1, column: 1 };
        LoadError::new(message).with_place(place)
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|&(number, line)| Row {
            table: self,
            number,
            line,
            fields: line.split(',').map(str::trim).collect(),
        })
    }
}

impl Row<'_> {
    /// A field; empty if the file has no such column.
    fn text(&self, name: &str) -> &str {
        let index = self.table.columns.get(name);
        index.and_then(|i| self.fields.get(*i)).copied().unwrap_or("")
    }

    fn error(&self, message: impl Into<String>) -> LoadError {
        self.table.error(self.number, self.line, message)
    }

    /// A number; `None` if the field is empty.
    fn number(&self, name: &str) -> Result<Option<u64>, LoadError> {
        let text = self.text(name);
        if text.is_empty() {
            return Ok(None);
        }
        // Some tools write whole numbers as floats.
        let whole = text.strip_suffix(".0").unwrap_or(text);
        let number =
            whole.parse().map_err(|_| self.error(format!("{name}: `{text}` is not a whole number from 0")));
        number.map(Some)
    }

    fn required(&self, name: &str) -> Result<u64, LoadError> {
        self.number(name)?.ok_or_else(|| self.error(format!("{name} is empty")))
    }
}

/// Size and wishes of a pod: what makes two pods one class.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Class {
    cpu_milli: u64,
    memory_mib: u64,
    gpus: u64,
    gpu_milli: u64,
    gpu_spec: String,
}

impl Class {
    fn of(row: &Row<'_>) -> Result<Class, LoadError> {
        let gpus = row.number("num_gpu")?.unwrap_or(0);
        Ok(Class {
            cpu_milli: row.required("cpu_milli")?,
            memory_mib: row.required("memory_mib")?,
            gpus,
            gpu_milli: if gpus == 0 { 0 } else { row.number("gpu_milli")?.unwrap_or(1000) },
            gpu_spec: if gpus == 0 { String::new() } else { row.text("gpu_spec").to_owned() },
        })
    }

    fn name(index: usize) -> String {
        format!("class-{index}")
    }

    fn to_pod(&self, index: usize) -> Value {
        let mut annotations = serde_json::Map::new();
        if self.gpus > 0 {
            annotations.insert(GPU_COUNT.to_owned(), self.gpus.to_string().into());
            annotations.insert(GPU_MILLI.to_owned(), self.gpu_milli.to_string().into());
        }
        if !self.gpu_spec.is_empty() {
            annotations.insert(GPU_MODEL.to_owned(), self.gpu_spec.clone().into());
        }
        let size = json!({"cpu": format!("{}m", self.cpu_milli), "memory": format!("{}Mi", self.memory_mib)});
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": Class::name(index), "namespace": NAMESPACE, "annotations": annotations},
            "spec": {
                "containers": [{
                    "name": "main",
                    "image": "tensorflow:latest",
                    "imagePullPolicy": "IfNotPresent",
                    "resources": {"limits": size, "requests": size},
                }],
                "dnsPolicy": "Default",
                "restartPolicy": "OnFailure",
            },
        })
    }
}

fn node_of(row: &Row<'_>) -> Result<Value, LoadError> {
    let name = row.text("sn");
    if name.is_empty() {
        return Err(row.error("sn is empty"));
    }
    let (gpus, model) = (row.number("gpu")?.unwrap_or(0), row.text("model"));
    let mut labels = serde_json::Map::new();
    if !model.is_empty() {
        labels.insert(GPU_MODEL.to_owned(), model.into());
    }
    for key in ["beta.kubernetes.io/os", "kubernetes.io/os"] {
        labels.insert(key.to_owned(), "linux".into());
    }
    labels.insert("kubernetes.io/hostname".to_owned(), name.into());
    let mut capacity = serde_json::Map::new();
    if gpus > 0 {
        capacity.insert(GPU_COUNT.to_owned(), gpus.to_string().into());
        capacity.insert(GPU_MILLI.to_owned(), (gpus * 1000).to_string().into());
    }
    capacity.insert("cpu".to_owned(), format!("{}m", row.required("cpu_milli")?).into());
    capacity.insert("memory".to_owned(), format!("{}Mi", row.required("memory_mib")?).into());
    capacity.insert("pods".to_owned(), "1001".into());
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {"allocatable": capacity, "capacity": capacity},
    }))
}

/// Imports the two lists into a folder: `scenario.yaml`, `objects/nodes.json`, `trace/classes.json`, `trace/pods.csv`.
///
/// Pods without a deletion time stay; pods that end before they start are left out and named in the result.
///
/// # Errors
/// A list that cannot be read, with its line; a folder that cannot be written.
pub fn openb(nodes: &Path, pods: &Path, out: &Path) -> Result<Imported, LoadError> {
    let (node_list, pod_list) = (read_source(nodes, MAX_INPUT)?, read_source(pods, MAX_INPUT)?);
    let node_table = Table::read(&node_list, &["sn", "cpu_milli", "memory_mib"])?;
    let pod_table = Table::read(&pod_list, &["name", "cpu_milli", "memory_mib"])?;
    let node_objects = node_table.rows().map(|row| node_of(&row)).collect::<Result<Vec<_>, _>>()?;
    let mut classes: IndexMap<Class, (), FxBuildHasher> = IndexMap::default();
    let mut imported = Imported { nodes: node_objects.len(), ..Imported::default() };
    let (mut csv, mut last) = (String::from("name,class,create,delete\n"), 0);
    for row in pod_table.rows() {
        let name = row.text("name");
        if name.is_empty() {
            return Err(row.error("name is empty"));
        }
        let create = row.number("creation_time")?.unwrap_or(0);
        let delete = row.number("deletion_time")?;
        if let Some(delete) = delete.filter(|delete| *delete < create) {
            imported
                .skipped
                .push(format!("{name} ends ({delete} s) before it starts ({create} s): left out"));
            continue;
        }
        let (class, _) = classes.insert_full(Class::of(&row)?, ());
        let delete_text = delete.map_or_else(String::new, |d| d.to_string());
        csv.push_str(&format!("{name},{},{create},{delete_text}\n", Class::name(class)));
        last = last.max(delete.unwrap_or(create));
        imported.pods += 1;
    }
    imported.classes = classes.len();
    let class_pods: Vec<Value> = classes.keys().enumerate().map(|(i, class)| class.to_pod(i)).collect();
    let scenario = format!(
        "# The Alibaba GPU trace of 2023: {} pods on {} nodes, created and deleted when they really were.\n\
         apiVersion: wavetank.dev/v1alpha1\n\
         kind: Scenario\n\
         seed: 42\n\
         cluster:\n  files:\n  - objects/nodes.json\n\
         traces:\n- pods: trace/pods.csv\n  classes: trace/classes.json\n  namespace: {NAMESPACE}\n\
         until: {}s\n",
        imported.pods,
        imported.nodes,
        last + 600,
    );
    let written = || -> std::io::Result<()> {
        fs::create_dir_all(out.join("objects"))?;
        fs::create_dir_all(out.join("trace"))?;
        write_whole(&out.join("objects/nodes.json"), list(node_objects).as_bytes())?;
        write_whole(&out.join("trace/classes.json"), list(class_pods).as_bytes())?;
        write_whole(&out.join("trace/pods.csv"), csv.as_bytes())?;
        write_whole(&out.join("scenario.yaml"), scenario.as_bytes())
    };
    written().map_err(|e| LoadError::new(format!("{}: {e}", out.display())))?;
    Ok(imported)
}

/// `kind: List`, one item per line.
fn list(items: Vec<Value>) -> String {
    let lines: Vec<String> = items.iter().map(Value::to_string).collect();
    format!("{{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[\n{}\n]}}\n", lines.join(",\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Settings, from_file};

    const NODES: &str = "sn,cpu_milli,memory_mib,gpu,model\nn0,32000,262144,0,\nn1,64000,262144,2,P100\n";

    fn import(pods: &str) -> (tempfile::TempDir, Result<Imported, String>) {
        let dir = tempfile::tempdir().unwrap();
        let (nodes_path, pods_path) = (dir.path().join("n.csv"), dir.path().join("p.csv"));
        fs::write(&nodes_path, NODES).unwrap();
        fs::write(&pods_path, pods).unwrap();
        let result = openb(&nodes_path, &pods_path, &dir.path().join("out"));
        (dir, result.map_err(|e| e.to_string()))
    }

    #[test]
    fn a_trace_becomes_a_scenario_that_can_be_planned() {
        let (dir, result) = import(
            "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,x\n\
             a,12000,16384,1,460,V100M16|V100M32,LS,Running,0,100,0\n\
             b,12000,16384,1,460,V100M16|V100M32,LS,Running,5,,0\n\
             c,6000,1024,0,0,,LS,Running,50,40,0\n\
             d,6000,1024,0,0,,LS,Running,50,50,0\n",
        );
        let imported = result.unwrap();
        assert_eq!((imported.nodes, imported.pods, imported.classes), (2, 3, 2));
        assert_eq!(imported.skipped, ["c ends (40 s) before it starts (50 s): left out"]);
        let out = dir.path().join("out");
        let yaml_at_the_top = fs::read_dir(&out)
            .unwrap()
            .filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|x| x == "yaml"));
        assert_eq!(yaml_at_the_top.count(), 1);
        let plan = from_file(&out, &Settings::default()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((plan.name.as_str(), plan.steps.len(), plan.dump.len()), ("out", 5, 2));
        assert_eq!(plan.until.as_secs(), 700);
        let trace = &plan.traces[0];
        let pod = trace.pod(&trace.rows[0]).unwrap();
        assert_eq!(pod.meta.annotation(GPU_MILLI), Some("460"));
        assert_eq!(pod.meta.annotation(GPU_MODEL), Some("V100M16|V100M32"));
        assert_eq!(plan.dump[1].object.meta.label(GPU_MODEL), Some("P100"));
    }

    #[test]
    fn lists_without_times_start_at_zero_and_stay() {
        let (_dir, result) = import("name,cpu_milli,memory_mib,num_gpu,gpu_milli\na,1,2,1,1000\n");
        assert_eq!(result.unwrap().pods, 1);
    }

    #[test]
    fn slips_have_a_line() {
        for (pods, part) in [
            ("name,cpu_milli\na,1\n", "p.csv:1:1: no column `memory_mib`"),
            ("name,cpu_milli,memory_mib\na,x,1\n", "p.csv:2:1: cpu_milli: `x` is not a whole number"),
            ("name,cpu_milli,memory_mib\n,1,1\n", "p.csv:2:1: name is empty"),
            ("", "the file is empty"),
        ] {
            let error = import(pods).1.unwrap_err();
            assert!(error.contains(part), "{pods}: {error}");
        }
    }
}
