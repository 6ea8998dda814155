//! Resolving a scenario, with all errors at once.

use std::path::{Path, PathBuf};

use sim_core::api::kind::{Kind, Kinds};
use sim_core::api::object::Object;
use sim_core::engine::timing::Timing;
use sim_core::features::FeatureGates;
use sim_core::load::tree::Node;
use sim_core::load::{
    Document, LoadError, LoadErrors, LoadOptions, LoadedObject, Notice, Strictness, documents, embedded,
    from_tree, objects,
};
use sim_core::time::{Epoch, Span, Time};
use sim_scheduler::config::{ConfigError, SchedulerConfig};

use super::{AFTER_LAST, Do, ExtenderSource, Placed, Plan, Settings, Trace, devices, nodes, read_source};
use crate::expect::Expectation;
use crate::format::{
    Action, BehaviorSpec, DeviceSpec, Manifest, NodePool, Scenario, Step, TraceSpec, behaviors,
};

/// A part of the path to a field.
#[derive(Clone, Copy)]
enum Seg<'a> {
    Field(&'a str),
    Item(usize),
}

use Seg::{Field, Item};

pub(super) struct Planner<'a> {
    settings: &'a Settings,
    kinds: Kinds,
    epoch: Epoch,
    features: FeatureGates,
    errors: Vec<LoadError>,
    notices: Vec<Notice>,
    nodes: Vec<Object>,
    /// Devices of nodes, by name of the node.
    devices: Vec<(Vec<String>, Vec<DeviceSpec>)>,
    dump: Vec<Placed>,
    manifests: Vec<Placed>,
    traces: Vec<Trace>,
    steps: Vec<(Time, Do)>,
    expectations: Vec<Expectation>,
    rules: Vec<BehaviorSpec>,
    /// Files on the way from the scenario to the file being read: to find cycles.
    stack: Vec<PathBuf>,
}

/// A scenario and where it comes from.
struct Origin<'a> {
    base: &'a Path,
    document: Option<&'a Document<'a>>,
}

impl Origin<'_> {
    fn node(&self, path: &[Seg<'_>]) -> Option<&Node<'_>> {
        let mut node = &self.document?.root;
        for segment in path {
            let inner = match segment {
                Field(name) => node.get(name),
                Item(index) => node.items().and_then(|items| items.get(*index)),
            };
            // The nearest that is there: a field may be missing, which is what the error says.
            match inner {
                Some(inner) => node = inner,
                None => break,
            }
        }
        Some(node)
    }

    fn error(&self, path: &[Seg<'_>], message: impl Into<String>) -> LoadError {
        let shown = show(path);
        match (self.document, self.node(path)) {
            (Some(document), Some(node)) => document.error(node.at, &shown, message),
            _ => LoadError::new(message).with_path(shown),
        }
    }
}

fn show(path: &[Seg<'_>]) -> String {
    let mut out = String::new();
    for segment in path {
        match segment {
            Field(name) if out.is_empty() => out.push_str(name),
            Field(name) => out.push_str(&format!(".{name}")),
            Item(index) => out.push_str(&format!("[{index}]")),
        }
    }
    out
}

impl<'a> Planner<'a> {
    pub(super) fn new(settings: &'a Settings) -> Planner<'a> {
        Planner {
            settings,
            kinds: Kinds::default(),
            epoch: Epoch::default(),
            features: FeatureGates::default(),
            errors: Vec::new(),
            notices: Vec::new(),
            nodes: Vec::new(),
            devices: Vec::new(),
            dump: Vec::new(),
            manifests: Vec::new(),
            traces: Vec::new(),
            steps: Vec::new(),
            expectations: Vec::new(),
            rules: Vec::new(),
            stack: Vec::new(),
        }
    }

    fn options(&self) -> LoadOptions {
        let validate = self.settings.validate;
        LoadOptions {
            strictness: validate.unwrap_or(Strictness::Strict),
            list_strictness: Some(validate.unwrap_or(Strictness::Warn)),
            max_input: self.settings.max_input,
            epoch: self.epoch,
            ..LoadOptions::default()
        }
    }

    pub(super) fn file(mut self, path: &Path, name: String) -> Result<Plan, LoadErrors> {
        let top = self.read(path)?;
        match top {
            Some(top) => self.finish(top, path.parent().unwrap_or(Path::new("")), name),
            None => Err(LoadErrors(self.errors)),
        }
    }

    pub(super) fn scenario(
        mut self,
        scenario: Scenario,
        base: &Path,
        name: String,
    ) -> Result<Plan, LoadErrors> {
        self.take(&scenario, &Origin { base, document: None });
        self.finish(scenario, base, name)
    }

    /// Reads a scenario file and takes in all of it; `None` if its errors leave nothing to take.
    fn read(&mut self, path: &Path) -> Result<Option<Scenario>, LoadErrors> {
        let source = read_source(path, self.settings.max_input)?;
        let all = documents(&source, &self.options())?;
        let document = match all.as_slice() {
            [one] => one,
            [] => return Err(LoadError::new(format!("{}: the file is empty", source.name())).into()),
            [_, second, ..] => {
                return Err(second
                    .error(second.root.at, "", "expected one scenario, found a second document")
                    .into());
            }
        };
        check_head(document)?;
        let (scenario, ignored) = from_tree::<Scenario>(document)?;
        for field in ignored {
            self.errors.push(document.error(field.at, &field.path, "unknown field"));
        }
        for twice in &document.duplicates {
            self.errors.push(document.error(twice.at, &twice.path, "the field is given twice"));
        }
        let base = path.parent().unwrap_or(Path::new(""));
        self.stack.push(canonical(path));
        self.take(&scenario, &Origin { base, document: Some(document) });
        self.stack.pop();
        Ok(Some(scenario))
    }

    /// Takes in everything a scenario lists. What it includes comes first, except for behaviours: the first match
    /// wins, and the includer's own are nearer.
    fn take(&mut self, scenario: &Scenario, origin: &Origin<'_>) {
        if let Some(text) = &scenario.epoch {
            match text.parse::<jiff::Timestamp>() {
                Ok(date) => self.epoch = Epoch::from_unix_seconds(date.as_second()),
                Err(_) => self.errors.push(origin.error(
                    &[Field("epoch")],
                    format!("`{text}` is not a date such as 2025-01-01T00:00:00Z"),
                )),
            }
        }
        for (name, on) in &scenario.feature_gates {
            if let Err(error) = self.features.set_by_name(name, *on) {
                self.errors.push(origin.error(&[Field("featureGates"), Field(name)], error.to_string()));
            }
        }
        self.rules.extend(scenario.behaviors.iter().cloned());
        if let Err((i, field, message)) = behaviors(&scenario.behaviors) {
            self.errors.push(origin.error(&[Field("behaviors"), Item(i), Field(field)], message));
        }
        for (i, file) in scenario.include.iter().enumerate() {
            self.include(&origin.base.join(file), &[Field("include"), Item(i)], origin);
        }
        for (i, pool) in scenario.cluster.pools.iter().enumerate() {
            let nodes = self.pool(pool, &[Field("cluster"), Field("pools"), Item(i)], origin);
            self.nodes.extend(nodes);
        }
        for (i, file) in scenario.cluster.files.iter().enumerate() {
            let loaded =
                self.load_file(&origin.base.join(file), &[Field("cluster"), Field("files"), Item(i)], origin);
            self.dump.extend(loaded);
        }
        for (i, manifest) in scenario.manifests.iter().enumerate() {
            let loaded = self.manifest(manifest, &[Field("manifests"), Item(i)], origin);
            let (dumped, written): (Vec<_>, Vec<_>) = loaded.into_iter().partition(|p| is_dumped(&p.object));
            self.dump.extend(dumped);
            self.manifests.extend(written);
        }
        for (i, trace) in scenario.traces.iter().enumerate() {
            self.trace(trace, i, origin);
        }
        for (i, step) in scenario.timeline.iter().enumerate() {
            self.step(step, i, origin);
        }
        for (i, text) in scenario.expect.iter().enumerate() {
            match text.parse::<Expectation>() {
                Ok(expectation) => self.expectations.push(expectation),
                Err(error) => self.errors.push(origin.error(&[Field("expect"), Item(i)], error.to_string())),
            }
        }
    }

    fn include(&mut self, path: &Path, at: &[Seg<'_>], origin: &Origin<'_>) {
        let real = canonical(path);
        if let Some(first) = self.stack.iter().position(|p| *p == real) {
            let mut cycle: Vec<String> = self.stack.iter().skip(first).map(|p| file_name(p)).collect();
            cycle.push(file_name(&real));
            self.errors.push(origin.error(at, format!("a cycle of includes: {}", cycle.join(" -> "))));
            return;
        }
        match self.read(path) {
            Ok(_) => {}
            Err(LoadErrors(errors)) => self.errors.extend(errors.into_iter().map(|e| located(e, at, origin))),
        }
    }

    fn pool(&mut self, pool: &NodePool, at: &[Seg<'_>], origin: &Origin<'_>) -> Vec<Object> {
        for (index, spec) in pool.devices.iter().enumerate() {
            if let Err((field, message)) = devices::check(spec) {
                let path = [at, &[Field("devices"), Item(index), Field(field)]].concat();
                self.errors.push(origin.error(&path, message));
            }
        }
        if !pool.devices.is_empty() {
            self.devices.push((pool.node_names(), pool.devices.clone()));
        }
        match nodes::of_pool(pool) {
            Ok(nodes) => nodes,
            Err((field, message)) => {
                let mut path = at.to_vec();
                path.extend(field.split('.').next().map(Field));
                let error = origin.error(&path, message).with_path(format!("{}.{field}", show(at)));
                self.errors.push(error);
                Vec::new()
            }
        }
    }

    fn manifest(&mut self, manifest: &Manifest, at: &[Seg<'_>], origin: &Origin<'_>) -> Vec<Placed> {
        match (manifest, origin.document, origin.node(at)) {
            (Manifest::File(file), ..) => self.load_file(&origin.base.join(file), at, origin),
            (Manifest::Inline(_), Some(document), Some(node)) => {
                let options = self.options();
                let loaded = embedded(&mut self.kinds, document, node, &options);
                self.loaded(loaded.map(|l| (l.objects, l.notices)), at, origin)
            }
            (Manifest::Inline(value), ..) => {
                let source = sim_core::load::Source::new(show(at), value.to_string());
                let options = self.options();
                let loaded = objects(&mut self.kinds, &[source], &options);
                self.loaded(loaded.map(|l| (l.objects, l.notices)), at, origin)
            }
        }
    }

    fn load_file(&mut self, path: &Path, at: &[Seg<'_>], origin: &Origin<'_>) -> Vec<Placed> {
        let options = self.options();
        let loaded = read_source(path, options.max_input)
            .map_err(LoadErrors::from)
            .and_then(|source| objects(&mut self.kinds, &[source], &options));
        self.loaded(loaded.map(|l| (l.objects, l.notices)), at, origin)
    }

    fn loaded(
        &mut self,
        loaded: Result<(Vec<LoadedObject>, Vec<Notice>), LoadErrors>,
        at: &[Seg<'_>],
        origin: &Origin<'_>,
    ) -> Vec<Placed> {
        match loaded {
            Ok((objects, notices)) => {
                self.notices.extend(notices);
                objects.into_iter().map(|l| Placed { object: l.object, place: Some(l.place) }).collect()
            }
            Err(LoadErrors(errors)) => {
                self.errors.extend(errors.into_iter().map(|e| located(e, at, origin)));
                Vec::new()
            }
        }
    }

    fn trace(&mut self, spec: &TraceSpec, index: usize, origin: &Origin<'_>) {
        let at = |field| [Field("traces"), Item(index), Field(field)];
        let classes = self.load_file(&origin.base.join(&spec.classes), &at("classes"), origin);
        if let Some(other) = classes.iter().find(|c| c.object.kind != Kind::POD) {
            let message = format!("the classes of a trace are pods, found {}", other.object.key());
            self.errors.push(origin.error(&at("classes"), message));
            return;
        }
        let classes = classes.into_iter().map(|c| c.object).collect();
        let read = read_source(&origin.base.join(&spec.pods), self.settings.max_input)
            .and_then(|source| Trace::read(&source, classes, &spec.namespace));
        let trace = match read {
            Ok(trace) => trace,
            Err(error) => return self.errors.push(located(error, &at("pods"), origin)),
        };
        let number = self.traces.len() as u32;
        for (row, pod) in trace.rows.iter().enumerate() {
            let row = row as u32;
            self.steps.push((pod.create, Do::Arrive { trace: number, row }));
            if let Some(delete) = pod.delete {
                self.steps.push((delete, Do::Depart { trace: number, row }));
            }
        }
        self.traces.push(trace);
    }

    fn step(&mut self, step: &Step, index: usize, origin: &Origin<'_>) {
        let at = |field| [Field("timeline"), Item(index), Field(field)];
        let time = step.at.after_start();
        let action = match step.action() {
            Ok(action) => action,
            Err(message) => {
                return self.errors.push(origin.error(&[Field("timeline"), Item(index)], message));
            }
        };
        match action {
            Action::Apply(manifest) => {
                for placed in self.manifest(manifest, &at("apply"), origin) {
                    self.steps.push((time, Do::Apply(Box::new(placed))));
                }
            }
            Action::Join(pool) => {
                for node in self.pool(pool, &at("join"), origin) {
                    self.steps.push((time, Do::Join(Box::new(node))));
                }
            }
            Action::Delete(delete) => self.steps.push((time, Do::Delete(delete.clone()))),
            Action::Scale(scale) => self.steps.push((time, Do::Scale(scale.clone()))),
            Action::Patch(patch) => self.steps.push((time, Do::Patch(patch.clone()))),
            Action::Cordon(node, on) => self.steps.push((time, Do::Cordon(node.to_owned(), on))),
            Action::Leave(node) => self.steps.push((time, Do::Leave(node.to_owned()))),
            Action::RestartKubelet(node) => self.steps.push((time, Do::RestartKubelet(node.to_owned()))),
            Action::FailDevice(step) => self.steps.push((time, Do::FailDevice(step.clone()))),
            Action::RepairDevice(step) => self.steps.push((time, Do::RepairDevice(step.clone()))),
            Action::FailPrepare(step) => self.steps.push((time, Do::FailPrepare(step.clone()))),
        }
    }

    fn scheduler_config(
        &self,
        path: &Path,
        extenders: &ExtenderSource,
    ) -> Result<SchedulerConfig, LoadErrors> {
        let source = read_source(path, self.settings.max_input)?;
        let config = SchedulerConfig::read(&source).map_err(ConfigError::into_places)?;
        extenders.check(&config).map_err(|error| {
            let named = LoadError::new(format!("{}: {}", source.name(), error.message()));
            error.help().map_or(named.clone(), |help| named.with_help(help))
        })?;
        Ok(config)
    }

    /// What was given on the command line wins over the scenario's own cassette.
    fn extenders(&mut self, top: &Scenario, base: &Path) -> ExtenderSource {
        let own = top.extender_cassette.as_ref().map(|file| base.join(file));
        let replay = self.settings.replay.clone().or(own);
        let source = ExtenderSource::of(self.settings.record.as_deref(), replay.as_deref());
        source.unwrap_or_else(|error| {
            self.errors.push(error);
            ExtenderSource::Nowhere
        })
    }

    fn finish(mut self, top: Scenario, base: &Path, name: String) -> Result<Plan, LoadErrors> {
        let config = match (&self.settings.scheduler_config, &top.scheduler_config) {
            (Some(path), _) => Some(path.clone()),
            (None, Some(path)) => Some(base.join(path)),
            (None, None) => None,
        };
        let extenders = self.extenders(&top, base);
        if config.is_none()
            && self.errors.is_empty()
            && let Err(error) = extenders.check(&SchedulerConfig::default())
        {
            self.errors.push(error);
        }
        let no_errors = self.errors.is_empty();
        let scheduler_config = config.filter(|_| no_errors).and_then(|path| {
            self.scheduler_config(&path, &extenders).map_err(|errors| self.errors.extend(errors.0)).ok()
        });
        if !self.errors.is_empty() {
            return Err(LoadErrors(self.errors));
        }
        self.steps.sort_by_key(|(at, _)| *at);
        let last_step = self.steps.last().map_or(Time::ZERO, |(at, _)| *at);
        let last_deadline = self.expectations.iter().filter_map(|e| e.when.deadline()).max();
        let default_end = last_step.max(last_deadline.unwrap_or(Time::ZERO)) + AFTER_LAST;
        let given: Option<Span> = self.settings.until.or(top.until.map(|d| d.0));
        let rules = behaviors(&self.rules);
        let timing = self.settings.timing.map_or(top.timing.0, |preset| preset.timing()) as Timing;
        let mut drivers = devices::Drivers::new();
        for (nodes, specs) in &self.devices {
            let own = devices::drivers(specs, &timing);
            drivers.extend(nodes.iter().map(|node| (node.into(), own.clone())));
        }
        Ok(Plan {
            name,
            seed: self.settings.seed.unwrap_or(top.seed),
            epoch: self.epoch,
            timing,
            strict_namespaces: self.settings.strict_namespaces || top.strict_namespaces,
            features: self.features,
            // Every rule was checked when it was taken in.
            behaviors: rules.unwrap_or_default(),
            scheduler_config,
            extenders,
            kinds: self.kinds,
            nodes: self.nodes,
            device_classes: devices::classes(&drivers),
            drivers,
            dump: self.dump,
            manifests: self.manifests,
            traces: self.traces,
            steps: self.steps,
            until: given.map_or(default_end, |span| Time::ZERO + span),
            expectations: self.expectations,
            notices: self.notices,
        })
    }
}

/// True for an object that was in a cluster before and is put in place as it is. Nobody writes these fields by hand.
fn is_dumped(object: &Object) -> bool {
    let started = object.as_pod().is_some_and(|pod| pod.status.start_time.is_some());
    !object.meta.uid.is_unset() || object.meta.resource_version != 0 || started
}

/// Says what the file is before its fields are looked at: a manifest given for a scenario has many "unknown fields".
fn check_head(document: &Document<'_>) -> Result<(), LoadError> {
    let root = &document.root;
    if root.entries().is_none() {
        return Err(document.error(root.at, "", "expected a scenario (a map with apiVersion and kind)"));
    }
    let kind = root.get("kind").and_then(Node::as_str);
    let version = root.get("apiVersion").and_then(Node::as_str);
    match (version, kind) {
        (Some("wavetank.dev/v1alpha1"), Some("Scenario")) => Ok(()),
        (Some(version), Some(kind)) => {
            let at = root.get("kind").map_or(root.at, |n| n.at);
            let message =
                format!("expected a Scenario of wavetank.dev/v1alpha1, found a {kind} of {version}");
            Err(document
                .error(at, "", message)
                .with_help("give manifests with --apply, or list them in a scenario"))
        }
        _ => Err(document.error(
            root.at,
            "",
            "expected `apiVersion: wavetank.dev/v1alpha1` and `kind: Scenario`",
        )),
    }
}

/// An error that knows no place gets the one of the reference that led to it.
fn located(error: LoadError, at: &[Seg<'_>], origin: &Origin<'_>) -> LoadError {
    if error.place().is_some() {
        return error;
    }
    let made = origin.error(at, error.message());
    match error.help() {
        Some(help) => made.with_help(help),
        None => made,
    }
}

fn canonical(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned())
}
