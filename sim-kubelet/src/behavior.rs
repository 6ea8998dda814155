//! What containers do: how long they start, run and stop, what their probes see, and what they ask of the node.
//!
//! A [`Behaviors`] is a list of rules; the first that matches a container wins. Annotations on the pod override single
//! fields: `wavetank.dev/<container>.<field>` for one container, `wavetank.dev/<field>` for all of them.
//!
//! | field | value |
//! |---|---|
//! | `startup` | time until the startup probe succeeds and the container could be ready |
//! | `run` | time until it exits by itself; `forever` |
//! | `exit-code` | code of that exit |
//! | `ready-after` | time until the readiness probe succeeds |
//! | `liveness-fails-after` | time until the liveness probe fails for good |
//! | `stop` | time from the stop signal to the exit |
//! | `ignores-sigterm` | `true` or `false` |
//! | `stop-exit-code` | code of an exit on the stop signal |
//! | `pre-stop`, `post-start` | time the hook takes |
//! | `image-size` | bytes |
//! | `image-error` | every pull fails with this text |
//!
//! Times are Go durations (`1m30s`) or distributions: `uniform(1s,5s)`, `exponential(30s)`, `lognormal(30s,0.5)`.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use sim_core::api::meta::{Labels, Meta};
use sim_core::duration::Duration;
use sim_core::engine::random::Seed;
use sim_core::engine::timing::Delay;
use sim_core::time::{Span, secs};
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::images::ImageFacts;
use crate::probes::{Outcomes, ProbeKind};

/// Prefix of the annotations that override fields.
pub const ANNOTATION_PREFIX: &str = "wavetank.dev/";

/// Set by the Job controller on pods of Indexed Jobs.
const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// How one run of a container ends by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// From the start to the exit; `None` = it never exits by itself.
    pub time: Option<Delay>,
    /// Exit code.
    pub exit_code: i32,
}

impl Run {
    /// Runs until it is stopped.
    pub const FOREVER: Run = Run { time: None, exit_code: 0 };
}

/// Demand for a resource over the life of an instance: milli-CPU or bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum Demand {
    /// Always the same.
    Constant(i64),
    /// From each offset on, this much.
    Steps(Vec<(Span, i64)>),
    /// A sine around a mean.
    Wave {
        /// Mean.
        mean: i64,
        /// Highest value minus mean.
        amplitude: i64,
        /// Length of one wave.
        period: Span,
    },
    /// Points to go through in straight lines.
    Trace(Arc<[(Span, i64)]>),
}

/// What a container does. Absent fields mean the default of the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Behavior {
    /// Until the startup probe succeeds. Without a startup probe it delays readiness alone.
    pub startup: Option<Delay>,
    /// How every run ends, unless one of the next two says otherwise.
    pub run: Option<Run>,
    /// By restart count; the last entry stands for all later ones.
    pub by_restart: Vec<Run>,
    /// By completion index of an Indexed Job.
    pub by_index: BTreeMap<i32, Run>,
    /// Until the readiness probe succeeds; default: `startup`.
    pub ready_after: Option<Delay>,
    /// What the readiness probe sees, instead of `ready_after`.
    pub readiness: Option<Outcomes>,
    /// What the liveness probe sees; default: always alive.
    pub liveness: Option<Outcomes>,
    /// From the stop signal to the exit; default: `Timing::stop`.
    pub stop: Option<Delay>,
    /// Takes no notice of the stop signal: it is killed at the end of the grace.
    pub ignores_sigterm: Option<bool>,
    /// Code of an exit on the stop signal; default 0.
    pub stop_exit_code: Option<i32>,
    /// Time of an exec or httpGet preStop hook; default: none at all.
    pub pre_stop: Option<Delay>,
    /// Time of an exec or httpGet postStart hook; default: none at all.
    pub post_start: Option<Delay>,
    /// The postStart hook fails.
    pub post_start_fails: Option<bool>,
    /// Instead of what the registry says of its image.
    pub image: Option<ImageFacts>,
    /// Milli-CPU over time. Carried, not looked at yet.
    pub cpu: Option<Demand>,
    /// Bytes over time. Carried, not looked at yet.
    pub memory: Option<Demand>,
}

/// Which containers a rule is for. Empty fields match everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Match {
    /// Namespace.
    pub namespace: Option<SmolStr>,
    /// The pod has all of these labels.
    pub labels: Labels,
    /// Pod name, with `*` for any text.
    pub pod: Option<SmolStr>,
    /// Container name, with `*` for any text.
    pub container: Option<SmolStr>,
}

impl Match {
    fn covers(&self, pod: &Meta, container: &str) -> bool {
        self.namespace.as_ref().is_none_or(|n| n == pod.namespace())
            && self.labels.iter().all(|(k, v)| pod.label(k) == Some(v))
            && self.pod.as_ref().is_none_or(|p| glob(p, pod.name()))
            && self.container.as_ref().is_none_or(|c| glob(c, container))
    }
}

/// `*` stands for any text, everything else for itself.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return text.ends_with(part);
        }
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    true
}

/// The behaviour of all containers.
#[derive(Clone, Debug, PartialEq)]
pub struct Behaviors {
    /// The first that matches wins.
    pub rules: Vec<(Match, Arc<Behavior>)>,
    /// For containers of a pod that a Job controls and no rule matches.
    pub of_jobs: Arc<Behavior>,
}

impl Default for Behaviors {
    /// Containers run for ever, those of Jobs exit 0 after 30 s.
    fn default() -> Behaviors {
        let run = Run { time: Some(Delay::Constant(secs(30))), exit_code: 0 };
        Behaviors { rules: Vec::new(), of_jobs: Arc::new(Behavior { run: Some(run), ..Behavior::default() }) }
    }
}

impl Behaviors {
    /// The behaviour of a container; `None` = default in everything.
    ///
    /// # Errors
    /// The first annotation that cannot be read; the rest of them still holds.
    pub fn of(&self, pod: &Meta, container: &str) -> (Option<Arc<Behavior>>, Option<AnnotationError>) {
        let rule = self.rules.iter().find(|(m, _)| m.covers(pod, container));
        let by_job = || pod.controller_of().is_some_and(|o| o.kind == "Job").then(|| self.of_jobs.clone());
        let found = rule.map(|(_, b)| b.clone()).or_else(by_job);
        let mut written = pod
            .annotations
            .range::<str, _>((Bound::Included(ANNOTATION_PREFIX), Bound::Unbounded))
            .take_while(|(k, _)| k.starts_with(ANNOTATION_PREFIX))
            .peekable();
        if written.peek().is_none() {
            return (found, None);
        }
        let mut behavior = found.as_deref().cloned().unwrap_or_default();
        let mut error = None;
        let all: Vec<_> = written.map(|(k, v)| (&k[ANNOTATION_PREFIX.len()..], v)).collect();
        let general = all.iter().filter(|(k, _)| !k.contains('.')).map(|(k, v)| (*k, *v));
        let own = all.iter().filter_map(|(k, v)| Some((k.strip_prefix(container)?.strip_prefix('.')?, *v)));
        for (field, value) in general.chain(own) {
            if let Err(e) = behavior.set(field, value) {
                error.get_or_insert(AnnotationError { field: field.into(), value: value.into(), why: e });
            }
        }
        (Some(Arc::new(behavior)), error)
    }
}

/// An annotation that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("annotation {ANNOTATION_PREFIX}{field}: {value:?}: {why}")]
pub struct AnnotationError {
    /// Field it names.
    pub field: String,
    /// Its value.
    pub value: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Behavior {
    /// Sets a field from an annotation.
    fn set(&mut self, field: &str, value: &str) -> Result<(), &'static str> {
        let time = || parse_delay(value).ok_or("not a duration");
        let int = || value.parse::<i32>().map_err(|_| "not a number");
        let flag = || value.parse::<bool>().map_err(|_| "not true or false");
        match field {
            "startup" => self.startup = Some(time()?),
            "run" => {
                let time = if value == "forever" { None } else { Some(time()?) };
                self.set_run(|run| run.time = time);
            }
            "exit-code" => {
                let code = int()?;
                self.set_run(|run| run.exit_code = code);
            }
            "ready-after" => self.ready_after = Some(time()?),
            "liveness-fails-after" => {
                let after = parse_duration(value).ok_or("not a duration")?;
                self.liveness = Some(Outcomes { first: true, flips: SmallVec::from_elem(after, 1) });
            }
            "stop" => self.stop = Some(time()?),
            "ignores-sigterm" => self.ignores_sigterm = Some(flag()?),
            "stop-exit-code" => self.stop_exit_code = Some(int()?),
            "pre-stop" => self.pre_stop = Some(time()?),
            "post-start" => self.post_start = Some(time()?),
            "image-size" => {
                let size = value.parse().map_err(|_| "not a number of bytes")?;
                self.image.get_or_insert_default().size = Some(size);
            }
            "image-error" => self.image.get_or_insert_default().error = Some(value.into()),
            _ => return Err("no such field"),
        }
        Ok(())
    }

    fn set_run(&mut self, change: impl FnOnce(&mut Run)) {
        change(self.run.get_or_insert(Run::FOREVER));
        self.by_restart.clear();
        self.by_index.clear();
    }

    /// How the run with this restart count ends.
    pub fn run_of(&self, pod: &Meta, restarts: i32) -> &Run {
        let index = || pod.annotation(COMPLETION_INDEX)?.parse::<i32>().ok();
        let by_index = if self.by_index.is_empty() { None } else { index() };
        let nth = usize::try_from(restarts).unwrap_or(0);
        by_index
            .and_then(|i| self.by_index.get(&i))
            .or_else(|| self.by_restart.get(nth).or(self.by_restart.last()))
            .or(self.run.as_ref())
            .unwrap_or(&Run::FOREVER)
    }

    /// What a probe sees of an instance.
    pub fn outcomes(&self, kind: ProbeKind, seed: Seed, key: &[u8]) -> Outcomes {
        let drawn = |name, delay: &Option<Delay>| delay.map(|d| draw(seed, name, key, d));
        let startup = || drawn("behavior/startup", &self.startup).unwrap_or(Span::ZERO);
        match kind {
            ProbeKind::Startup => Outcomes::ok_after(startup()),
            ProbeKind::Liveness => self.liveness.clone().unwrap_or(Outcomes::always(true)),
            ProbeKind::Readiness => self.readiness.clone().unwrap_or_else(|| {
                Outcomes::ok_after(drawn("behavior/ready-after", &self.ready_after).unwrap_or_else(startup))
            }),
        }
    }
}

/// One draw for one individual: the same whatever else was drawn before. Constants make no stream.
pub fn draw(seed: Seed, name: &str, key: &[u8], delay: Delay) -> Span {
    delay.as_constant().unwrap_or_else(|| delay.sample(&mut seed.stream_for(name, key)))
}

/// A Go duration, not negative: `1h15m30.5s`, `300ms`, `0`.
pub fn parse_duration(text: &str) -> Option<Span> {
    text.trim().parse().ok().map(|d: Duration| d.0).filter(|span| *span >= Span::ZERO)
}

/// A duration, or a distribution of durations.
pub fn parse_delay(text: &str) -> Option<Delay> {
    let Some((name, arguments)) = text.trim().strip_suffix(')').and_then(|t| t.split_once('(')) else {
        return parse_duration(text).map(Delay::Constant);
    };
    let arguments: Vec<&str> = arguments.split(',').map(str::trim).collect();
    match (name.trim(), arguments.as_slice()) {
        ("uniform", [low, high]) => {
            let (low, high) = (parse_duration(low)?, parse_duration(high)?);
            (low <= high).then_some(Delay::Uniform(low, high))
        }
        ("exponential", [mean]) => parse_duration(mean).map(Delay::Exponential),
        ("lognormal", [median, sigma]) => {
            let sigma = sigma.parse::<f64>().ok().filter(|s| s.is_finite() && *s >= 0.0)?;
            Some(Delay::LogNormal(parse_duration(median)?, sigma))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim_core::api::meta::Key;
    use sim_core::time::{hours, millis, mins};

    fn pod(name: &str, annotations: &[(&str, &str)]) -> Meta {
        let annotations = annotations.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        Meta { annotations: Arc::new(annotations), ..Meta::named(Key::new("default", name)) }
    }

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, want) in [
            ("0", Some(Span::ZERO)),
            ("1h15m30.5s", Some(hours(1) + mins(15) + millis(30_500))),
            ("300ms", Some(millis(300))),
            (".5s", Some(millis(500))),
            ("5", None),
            ("", None),
            ("-5s", None),
            ("5 s", None),
            (".s", None),
            ("99999999999999s", None),
        ] {
            assert_eq!(parse_duration(text), want, "{text}");
        }
        assert_eq!(parse_delay("uniform(1s, 5s)"), Some(Delay::Uniform(secs(1), secs(5))));
        assert_eq!(parse_delay("lognormal(1s,-1)"), None);
        assert_eq!(parse_delay("gauss(1s)"), None);
    }

    #[test]
    fn globs() {
        for (pattern, text, want) in [
            ("web", "web", true),
            ("web", "web-1", false),
            ("web-*", "web-1", true),
            ("*-db", "main-db", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxcyyb", false),
            ("*", "", true),
        ] {
            assert_eq!(glob(pattern, text), want, "{pattern} {text}");
        }
    }

    #[test]
    fn the_first_rule_wins_and_annotations_override_it() {
        let rule = |pod: &str, seconds| {
            let m = Match { pod: Some(pod.into()), ..Match::default() };
            let b = Behavior { ready_after: Some(Delay::Constant(secs(seconds))), ..Behavior::default() };
            (m, Arc::new(b))
        };
        let all = Behaviors { rules: vec![rule("web-*", 1), rule("*", 2)], ..Behaviors::default() };
        let ready = |p: &Meta| all.of(p, "app").0.and_then(|b| b.ready_after);
        assert_eq!(ready(&pod("web-1", &[])), Some(Delay::Constant(secs(1))));
        assert_eq!(ready(&pod("db", &[])), Some(Delay::Constant(secs(2))));
        let p = pod("web-1", &[("wavetank.dev/ready-after", "5s"), ("wavetank.dev/app.ready-after", "7s")]);
        assert_eq!(ready(&p), Some(Delay::Constant(secs(7))), "the container's own annotation is nearer");
        assert_eq!(all.of(&p, "other").0.unwrap().ready_after, Some(Delay::Constant(secs(5))));
        let (_, error) = all.of(&pod("x", &[("wavetank.dev/run", "soon")]), "app");
        assert_eq!(error.unwrap().to_string(), "annotation wavetank.dev/run: \"soon\": not a duration");
    }

    #[test]
    fn runs_depend_on_restart_count_and_completion_index() {
        let run = |code| Run { time: Some(Delay::ZERO), exit_code: code };
        let b = Behavior {
            by_restart: vec![run(1), run(0)],
            by_index: [(3, run(42))].into(),
            ..Behavior::default()
        };
        let plain = pod("a", &[]);
        assert_eq!([0, 1, 7].map(|n| b.run_of(&plain, n).exit_code), [1, 0, 0]);
        assert_eq!(b.run_of(&pod("a", &[(COMPLETION_INDEX, "3")]), 0).exit_code, 42);
        assert_eq!(b.run_of(&pod("a", &[(COMPLETION_INDEX, "4")]), 0).exit_code, 1);
    }
}
