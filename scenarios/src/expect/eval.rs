//! Evaluation of a claim at one instant.

use std::cmp::Ordering;

use serde_json::Value;
use sim_core::api::kind::Kind;
use sim_core::api::object::Object;

use super::state::{State, describe, restarts};
use super::{Claim, Op, Restart, Set, World};
use crate::format::Target;

/// Exceptions that evidence names before it says "and N more".
const NAMED: usize = 3;

/// What a claim looks like at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Whether it holds.
    pub holds: bool,
    /// The observed value, in a few words.
    pub value: String,
}

impl Claim {
    /// Looks at the world.
    pub fn observe(&self, world: &dyn World) -> Observed {
        match self {
            Claim::State { target, negate, state } => {
                let object = world.get(target.kind, &target.key);
                let is = match (&object, state) {
                    (None, State::Absent) => true,
                    (None, State::Restarted) => world.restarts().iter().any(|r| r.pod == target.key),
                    (None, _) => false,
                    (Some(object), state) => in_state(object, *state, world),
                };
                let value = object.map_or_else(|| format!("{target} is not there"), |o| describe(&o));
                // What is not there is in no state, so `not ready` asks for an object that is there.
                let exists = !value.ends_with("is not there");
                let holds = if *negate { !is && (exists || *state == State::Exists) } else { is };
                Observed { holds, value }
            }
            Claim::Field { target, path, op, value } => observe_field(world, target, path, *op, value),
            Claim::Count { set, op, count } => {
                let found = set.count(world);
                Observed { holds: op.admits(found.cmp(count)), value: found.to_string() }
            }
            Claim::Devices { devices, op, count } => {
                let found = devices.count(world);
                Observed { holds: op.admits(found.cmp(count)), value: found.to_string() }
            }
            Claim::Every { set } => {
                let all = Set { state: None, ..set.clone() }.count(world);
                let fitting = set.count(world);
                Observed { holds: all > 0 && fitting == all, value: format!("{fitting} of {all}") }
            }
            Claim::Event { reason, about, op, count } => {
                let found = world.event_count(reason, about.as_ref());
                Observed { holds: op.admits(found.cmp(count)), value: format!("{found} times") }
            }
        }
    }

    /// The revision of the one object that the claim depends on alone (`None` inside: it is not there); `None` if it
    /// depends on anything else.
    pub(super) fn revision(&self, world: &dyn World) -> Option<Option<u64>> {
        match self {
            Claim::State { state: State::Restarted, .. } => None,
            Claim::State { target, .. } | Claim::Field { target, .. } => {
                Some(world.get(target.kind, &target.key).map(|o| o.meta.resource_version))
            }
            _ => None,
        }
    }

    /// What explains the claim's value now: the objects that stand out. For people, on failure only.
    pub fn evidence(&self, world: &dyn World) -> Vec<String> {
        let (set, exceptions) = match self {
            Claim::Every { set } => (set, true),
            // Too many: name those that are in the set. Too few: name those that are not.
            Claim::Count { set, op, count } => {
                let found = set.count(world);
                let too_many = match op {
                    Op::Ne => true,
                    Op::Gt | Op::Ge => false,
                    _ => found > *count,
                };
                (set, !too_many)
            }
            _ => return Vec::new(),
        };
        set.name_some(world, exceptions)
    }
}

fn in_state(object: &Object, state: State, world: &dyn World) -> bool {
    let by_object = state.of(object);
    // Status may lag behind, or have been reset; the record of restarts does not.
    by_object || (state == State::Restarted && world.restarts().iter().any(|r| r.pod == *object.key()))
}

impl Set {
    fn admits_labels<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.labels.iter().all(|(key, equal, value)| (label(key) == Some(value.as_str())) == *equal)
    }

    /// Whether the object is in the set, its state left aside.
    fn admits(&self, object: &Object) -> bool {
        self.namespace.as_ref().is_none_or(|n| n == object.meta.namespace())
            && self.node.as_ref().is_none_or(|n| object.as_pod().is_some_and(|pod| pod.node_name == *n))
            && self.admits_labels(|key| object.meta.label(key))
    }

    fn admits_restart(&self, restart: &Restart) -> bool {
        self.namespace.as_ref().is_none_or(|n| *n == restart.pod.namespace)
            && self.node.as_ref().is_none_or(|n| *n == restart.node)
            && self.admits_labels(|key| restart.labels.get(key).map(String::as_str))
    }

    fn count(&self, world: &dyn World) -> u64 {
        let mut found = 0;
        world.each(self.kind, &mut |object| {
            let in_state = || self.state.is_none_or(|(wanted, state)| state.of(object) == wanted);
            found += u64::from(self.admits(object) && in_state());
        });
        if self.state == Some((true, State::Restarted)) {
            found += self.restarted_and_gone(world).len() as u64;
        }
        found
    }

    /// Pods that restarted and whose object does not show it (any more).
    fn restarted_and_gone(&self, world: &dyn World) -> Vec<Restart> {
        let mut gone: Vec<Restart> = Vec::new();
        for restart in world.restarts().iter().filter(|r| self.admits_restart(r)) {
            let shows = world
                .get(Kind::POD, &restart.pod)
                .is_some_and(|o| o.as_pod().is_some_and(|pod| restarts(pod) > 0));
            if !shows && gone.iter().all(|g| g.pod != restart.pod) {
                gone.push(restart.clone());
            }
        }
        gone
    }

    /// Names objects of the set that are in its state, or (`exceptions`) that are not.
    fn name_some(&self, world: &dyn World, exceptions: bool) -> Vec<String> {
        let (mut named, mut more) = (Vec::new(), 0);
        let mut name = |line: &dyn Fn() -> String| {
            if named.len() < NAMED {
                named.push(line());
            } else {
                more += 1;
            }
        };
        world.each(self.kind, &mut |object| {
            let in_state = self.state.is_none_or(|(wanted, state)| state.of(object) == wanted);
            if self.admits(object) && in_state != exceptions {
                name(&|| format!("{}: {}", object.key(), describe(object)));
            }
        });
        if self.state == Some((true, State::Restarted)) && !exceptions {
            for r in self.restarted_and_gone(world) {
                name(&|| format!("{} (gone now): container {} restarted at {}", r.pod, r.container, r.at));
            }
        }
        if more > 0 {
            named.push(format!("and {more} more"));
        }
        named
    }
}

fn observe_field(world: &dyn World, target: &Target, path: &str, op: Op, wanted: &str) -> Observed {
    let Some(object) = world.get(target.kind, &target.key) else {
        return Observed { holds: false, value: format!("{target} is not there") };
    };
    let wire = world.wire(&object);
    let Some(found) = lookup(&wire, path) else {
        // An absent field equals nothing, so it differs from everything.
        return Observed { holds: op == Op::Ne, value: format!("{path} is absent") };
    };
    let text = match found {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let ordering = match (text.parse::<f64>(), wanted.parse::<f64>()) {
        (Ok(a), Ok(b)) => a.partial_cmp(&b),
        _ if matches!(op, Op::Eq | Op::Ne) => Some(text.as_str().cmp(wanted)),
        _ => None,
    };
    Observed { holds: ordering.is_some_and(|o: Ordering| op.admits(o)), value: text }
}

/// `status.conditions[0].type`; a key with dots goes in brackets and single quotes: `metadata.labels['a.b/c']`.
fn lookup<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let (mut value, mut rest) = (value, path);
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let (index, tail) = inner.split_once(']')?;
            value = match index.strip_prefix('\'').and_then(|i| i.strip_suffix('\'')) {
                Some(key) => value.get(key)?,
                None => value.get(index.parse::<usize>().ok()?)?,
            };
            rest = tail;
        } else {
            let name = rest.strip_prefix('.').unwrap_or(rest);
            let end = name.find(['.', '[']).unwrap_or(name.len());
            value = value.get(&name[..end])?;
            rest = &name[end..];
        }
    }
    Some(value)
}
