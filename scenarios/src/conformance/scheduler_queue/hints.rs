//! `hints`: what every plugin says of an event, and what they registered.

use std::sync::Arc;

use serde_json::{Value, json};
use sim_scheduler::cache::Objects;
use sim_scheduler::framework::{EventChange, Hint, Profile, Registered};
use sim_scheduler::pod::Classes;

use super::super::quantity::{same, text};
use super::{decode, event, event_json};

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    let profile = &Profile::default_profile();
    let recorded =
        |field: &str| expected[field].as_array().into_iter().flatten().cloned().collect::<Vec<_>>();
    if text(input, "kind") == "registeredEvents" {
        let registered = profile.registered().iter();
        let ours = registered.map(|r| json!({"event": event_json(r.event), "plugin": name(profile, r)}));
        return same("events", sorted(ours), &sorted(recorded("events").into_iter()));
    }
    let (old, new) = (decode(&input["old"])?, decode(&input["new"])?);
    let change = EventChange { event: event(&input["event"])?, old: old.as_ref(), new: new.as_ref() };
    let object = decode(&input["pod"])?.ok_or("no pod")?;
    let pod = Classes::default().of(&object).ok_or("not a pod")?;
    let mut objects = Objects::default();
    for value in input["objects"].as_array().into_iter().flatten() {
        objects.set(Arc::new(decode(value)?.ok_or("an object is null")?));
    }
    let ours = profile.registered().iter().filter(|r| r.event.matches(change.event)).map(|r| {
        let hint = match r.asks {
            true => profile.plugin(r.plugin).hint(&pod, &object, &change, &objects),
            false => Hint::Queue,
        };
        let hint = if hint == Hint::Queue { "Queue" } else { "QueueSkip" };
        json!({"hint": hint, "plugin": name(profile, r), "registered": event_json(r.event)})
    });
    let mut recorded = recorded("hints");
    for hint in recorded.iter_mut().filter_map(Value::as_object_mut) {
        // It counts as Queue; its text goes to the log only.
        hint.remove("error");
    }
    same("hints", sorted(ours), &sorted(recorded.into_iter()))
}

fn name(profile: &Profile, registered: &Registered) -> &'static str {
    profile.plugin(registered.plugin).name()
}

/// The recorder had an order of its own.
fn sorted(values: impl Iterator<Item = Value>) -> Value {
    let mut values: Vec<Value> = values.collect();
    values.sort_by_key(|v| ["plugin", "registered", "event", "hint"].map(|field| v[field].to_string()));
    Value::Array(values)
}
