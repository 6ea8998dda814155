//! From a scenario to a plan: every file read, every reference resolved, everything that can be wrong found before the
//! run starts.

mod devices;
mod extenders;
mod nodes;
mod planner;
mod trace;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use sim_core::api::kind::Kinds;
use sim_core::api::object::Object;
use sim_core::engine::timing::Timing;
use sim_core::features::FeatureGates;
use sim_core::load::{LoadError, LoadErrors, Notice, Place, Source, Strictness};
use sim_core::time::{Epoch, Span, Time, mins};
use sim_scheduler::framework::Registry;

use crate::expect::Expectation;
use crate::format::{
    DeleteStep, FailDeviceStep, FailPrepareStep, PatchStep, Preset, RepairDeviceStep, ScaleStep, Scenario,
};

pub use devices::Drivers;
pub use extenders::ExtenderSource;
pub use trace::{Row, Trace};

/// What the command line says about a run; it wins over the scenario.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Seed.
    pub seed: Option<u64>,
    /// End of the run.
    pub until: Option<Span>,
    /// How long things take.
    pub timing: Option<Preset>,
    /// KubeSchedulerConfiguration.
    pub scheduler_config: Option<PathBuf>,
    /// Call the extenders of the scheduler, and put their answers on a cassette here.
    pub record: Option<PathBuf>,
    /// Take the answers of the extenders from this cassette.
    pub replay: Option<PathBuf>,
    /// Unknown and duplicate fields of objects; if absent, strict, and lists with a notice.
    pub validate: Option<Strictness>,
    /// Refuse objects in namespaces that nobody created.
    pub strict_namespaces: bool,
    /// Longest input file in bytes.
    pub max_input: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            seed: None,
            until: None,
            timing: None,
            scheduler_config: None,
            record: None,
            replay: None,
            validate: None,
            strict_namespaces: false,
            max_input: 1 << 30,
        }
    }
}

/// An object to put in place.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The object.
    pub object: Object,
    /// Where it was written.
    pub place: Option<Place>,
}

/// Something to do to the cluster.
#[derive(Clone, Debug)]
pub enum Do {
    /// Create or merge.
    Apply(Box<Placed>),
    /// Create a node of a pool.
    Join(Box<Object>),
    /// Delete.
    Delete(DeleteStep),
    /// Set replicas.
    Scale(ScaleStep),
    /// Patch.
    Patch(PatchStep),
    /// Set or clear `spec.unschedulable`.
    Cordon(String, bool),
    /// Delete a node.
    Leave(String),
    /// A kubelet restarts.
    RestartKubelet(String),
    /// A device breaks.
    FailDevice(FailDeviceStep),
    /// A device works again.
    RepairDevice(RepairDeviceStep),
    /// A driver fails.
    FailPrepare(FailPrepareStep),
    /// Create a pod of a trace.
    Arrive {
        /// Index of the trace.
        trace: u32,
        /// Index of the pod.
        row: u32,
    },
    /// Delete a pod of a trace.
    Depart {
        /// Index of the trace.
        trace: u32,
        /// Index of the pod.
        row: u32,
    },
}

/// Everything a run needs.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Name, for reports.
    pub name: String,
    /// Seed.
    pub seed: u64,
    /// Date of instant zero.
    pub epoch: Epoch,
    /// How long things take.
    pub timing: Timing,
    /// Refuse objects in namespaces that nobody created.
    pub strict_namespaces: bool,
    /// Feature gates.
    pub features: FeatureGates,
    /// What containers do.
    pub behaviors: sim_kubelet::behavior::Behaviors,
    /// KubeSchedulerConfiguration.
    pub scheduler_config: Option<sim_scheduler::config::SchedulerConfig>,
    /// How the extenders of that configuration are reached.
    pub extenders: ExtenderSource,
    /// Kinds, those of CustomResourceDefinitions included.
    pub kinds: Kinds,
    /// Nodes of pools, there from the start.
    pub nodes: Vec<Object>,
    /// Drivers of their devices, those of nodes that join later included.
    pub drivers: Drivers,
    /// Classes that come with the drivers, there from the start.
    pub device_classes: Vec<Object>,
    /// Objects of dumps, put in place as they are.
    pub dump: Vec<Placed>,
    /// Objects to apply at the start.
    pub manifests: Vec<Placed>,
    /// Traces.
    pub traces: Vec<Trace>,
    /// What to do on the way, in order of time.
    pub steps: Vec<(Time, Do)>,
    /// End of the run.
    pub until: Time,
    /// What must come of it.
    pub expectations: Vec<Expectation>,
    /// What a person should know about the input.
    pub notices: Vec<Notice>,
}

/// How long a run goes on after the last thing that is planned, if nothing says when it ends.
pub const AFTER_LAST: Span = mins(10);

/// The plan of a scenario file, or of `scenario.yaml` in a folder.
///
/// # Errors
/// All that is wrong with the scenario and the files it names.
pub fn from_file(path: &Path, settings: &Settings) -> Result<Plan, LoadErrors> {
    let path = if path.is_dir() { scenario_in(path)? } else { path.to_owned() };
    let stem = path.file_stem().map_or_else(|| "scenario".to_owned(), |s| s.to_string_lossy().into_owned());
    let named_by_folder = path.parent().and_then(Path::file_name).filter(|_| stem == "scenario");
    let name = named_by_folder.map_or(stem, |folder| folder.to_string_lossy().into_owned());
    planner::Planner::new(settings).file(&path, name)
}

/// The plan of a scenario that was made in the program; files are relative to `base`.
///
/// # Errors
/// All that is wrong with the scenario and the files it names.
pub fn from_scenario(
    scenario: Scenario,
    base: &Path,
    name: &str,
    settings: &Settings,
) -> Result<Plan, LoadErrors> {
    planner::Planner::new(settings).scenario(scenario, base, name.to_owned())
}

/// The scenario of a folder: `scenario.yaml`, or the only YAML file in it.
fn scenario_in(folder: &Path) -> Result<PathBuf, LoadError> {
    for name in ["scenario.yaml", "scenario.yml"] {
        let path = folder.join(name);
        if path.is_file() {
            return Ok(path);
        }
    }
    let shown = folder.display();
    let entries = std::fs::read_dir(folder).map_err(|e| LoadError::new(format!("{shown}: {e}")))?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "yaml" || e == "yml"))
        .collect();
    found.sort();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(LoadError::new(format!("{shown}: no scenario.yaml in this folder"))),
        _ => Err(LoadError::new(format!("{shown}: several YAML files and none is scenario.yaml"))
            .with_help("name the file to run")),
    }
}

/// Reads a file whole, unless it is longer than allowed.
pub(crate) fn read_source(path: &Path, max_input: usize) -> Result<Source, LoadError> {
    let shown = path.display().to_string();
    let failed = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => LoadError::new(format!("{shown}: no such file")),
        _ => LoadError::new(format!("{shown}: {e}")),
    };
    let meta = std::fs::metadata(path).map_err(failed)?;
    if meta.is_dir() {
        return Err(LoadError::new(format!("{shown}: is a folder, expected a file")));
    }
    if meta.len() > max_input as u64 {
        return Err(LoadError::new(format!(
            "{shown}: the input has {} bytes, more than the limit of {max_input}",
            meta.len()
        ))
        .with_help("split it, or raise the limit with --max-input"));
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    Ok(Source::new(shown, bytes))
}

/// The plugins that the scheduler configuration of a scenario can name: those in-tree, and those of `policies`.
pub(crate) fn registry() -> Registry {
    let mut registry = Registry::in_tree();
    policies::register(&mut registry);
    registry
}
