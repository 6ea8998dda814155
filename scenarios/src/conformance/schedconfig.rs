//! `machinery/schedconfig.json`: scheduler configurations, and what kube-scheduler makes of them stage by stage.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, json};
use sim_core::load::Source;
use sim_scheduler::config::{ConfigError, ProfileConfig, SchedulerConfig};
use sim_scheduler::framework::{Point, Profile, Registry};

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    let text = input["yaml"].as_str().ok_or("input.yaml is missing")?;
    let config = match SchedulerConfig::read(&Source::new("configuration", text)) {
        Ok(config) => config,
        Err(ConfigError::Decode { message, .. }) => return refused("decode", &message, expected),
        Err(ConfigError::Invalid { errors, .. }) => {
            let list: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
            return invalid(&list, &errors.aggregate(), expected);
        }
    };
    let registry = Registry::in_tree();
    let built = config.completed().and_then(|completed| Ok((config.profiles(&registry)?, completed)));
    match built {
        // Upstream dies; whatever we say is better.
        Err(_) if expected.get("panic").is_some() => Ok(()),
        Err(error) => refused("build", &error.to_string(), expected),
        Ok((profiles, completed)) => accepted(&completed, &profiles, &registry, expected),
    }
}

fn same(what: &str, got: &Value, expected: &Value) -> Result<(), String> {
    if got == expected { Ok(()) } else { Err(format!("{what}: expected {expected}, got {got}")) }
}

fn refused(stage: &str, error: &str, expected: &Value) -> Result<(), String> {
    same("stage", &json!(stage), &expected["stage"]).map_err(|e| format!("{e}: {error}"))?;
    if expected["unstable"] == true {
        return Ok(());
    }
    // How the scheme is called depends on the build.
    let cut = |text: &str| text.split(" in scheme").next().unwrap_or_default().to_owned();
    same("error", &json!(cut(error)), &json!(cut(expected["error"].as_str().unwrap_or_default())))
}

fn invalid(errors: &[String], aggregate: &str, expected: &Value) -> Result<(), String> {
    same("stage", &json!("validate"), &expected["stage"]).map_err(|e| format!("{e}: {aggregate}"))?;
    if expected["errorsUnordered"] == true {
        let wanted: BTreeSet<&str> =
            expected["errors"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let got: BTreeSet<&str> = errors.iter().map(String::as_str).collect();
        return same("errors", &json!(got), &json!(wanted));
    }
    same("errors", &json!(errors), &expected["errors"])?;
    same("aggregate", &json!(aggregate), &expected["aggregate"])
}

fn accepted(
    config: &SchedulerConfig,
    profiles: &[Profile],
    registry: &Registry,
    expected: &Value,
) -> Result<(), String> {
    same("stage", &json!("ok"), &expected["stage"])?;
    let mut client = in_go(&config.client_connection);
    // As a float of 32 bits prints, not as what it is when widened.
    client["QPS"] = whole(&json!(config.client_connection.qps.to_string().parse::<f64>().unwrap_or(0.0)));
    let built = config.extenders_in_order().into_iter().map(|e| {
        json!({
            "name": e.url_prefix,
            "ignorable": e.ignorable,
            "filter": !e.filter_verb.is_empty(),
            "prioritizer": !e.prioritize_verb.is_empty(),
            "binder": !e.bind_verb.is_empty(),
            "preemption": !e.preempt_verb.is_empty(),
        })
    });
    let described = config.profiles.iter().zip(profiles).map(|(config, profile)| describe(config, profile));
    for (field, got) in [
        ("parallelism", json!(config.parallelism)),
        ("percentageOfNodesToScore", json!(config.percentage_of_nodes_to_score)),
        ("podInitialBackoffSeconds", json!(config.pod_initial_backoff_seconds)),
        ("podMaxBackoffSeconds", json!(config.pod_max_backoff_seconds)),
        ("delayCacheUntilActive", json!(config.delay_cache_until_active)),
        ("leaderElection", in_go(&config.leader_election)),
        ("clientConnection", client),
        ("extenders", in_go(&config.extenders)),
        ("builtExtenders", built.collect()),
        ("captured", config.profiles.iter().map(|profile| captured(profile, registry)).collect()),
    ] {
        same(field, &got, &expected[field])?;
    }
    let wanted = expected["profiles"].as_array().map_or(&[][..], Vec::as_slice);
    same("number of profiles", &json!(profiles.len()), &json!(wanted.len()))?;
    for (i, (got, wanted)) in described.zip(wanted).enumerate() {
        for (field, wanted) in wanted.as_object().into_iter().flatten() {
            same(&format!("profiles[{i}].{field}"), got.get(field).unwrap_or(&Value::Null), wanted)?;
        }
    }
    Ok(())
}

fn describe(config: &ProfileConfig, profile: &Profile) -> Value {
    let mut points = serde_json::Map::new();
    for point in Point::ALL {
        let list = profile.list(point).map(|(name, weight)| match point {
            Point::Score => json!({"name": name, "weight": weight}),
            _ => json!(name),
        });
        let name = format!("{point:?}");
        points.insert(name[..1].to_ascii_lowercase() + &name[1..], list.collect());
    }
    let multi_point = config.plugins.iter().flat_map(|plugins| &plugins.multi_point.enabled);
    let multi_point = multi_point.map(|p| json!({"name": p.name, "weight": p.weight}));
    let configs = config.plugin_config.iter().map(|c| {
        let mut config = json!({"name": c.name, "args": c.args});
        if config["args"].get("kind").is_some() {
            omit_empty_lists(&mut config["args"]);
        }
        config
    });
    json!({
        "schedulerName": config.scheduler_name,
        "percentageOfNodesToScore": config.percentage_of_nodes_to_score,
        "multiPointAfterDefaulting": multi_point.collect::<Vec<_>>(),
        "pluginConfig": configs.collect::<Vec<_>>(),
        "plugins": points,
    })
}

/// `omitempty`, which all lists in arguments of in-tree plugins have but one.
fn omit_empty_lists(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields
                .retain(|name, v| name == "nodeSelectorTerms" || v.as_array().is_none_or(|l| !l.is_empty()));
            fields.values_mut().for_each(omit_empty_lists);
        }
        Value::Array(items) => items.iter_mut().for_each(omit_empty_lists),
        _ => {}
    }
}

/// The plugins that were handed arguments.
fn captured(profile: &ProfileConfig, registry: &Registry) -> Value {
    let enabled: BTreeSet<_> = profile.plugins.iter().flat_map(|plugins| plugins.enabled()).collect();
    let used = enabled.into_iter().filter(|name| registry.has(name) && profile.args(name).is_some());
    json!({"schedulerName": profile.scheduler_name, "pluginConfigUsed": used.collect::<Vec<_>>()})
}

/// As Go prints its internal types: under the names of the fields in Go.
fn in_go(value: &impl Serialize) -> Value {
    fn rename(value: Value) -> Value {
        match value {
            Value::Array(items) => items.into_iter().map(rename).collect(),
            Value::Object(fields) => {
                let fields = fields.into_iter().map(|(name, value)| {
                    // Bytes that are not there are null.
                    let none = name.ends_with("Data") && value == "";
                    (go_name(&name), if none { Value::Null } else { rename(value) })
                });
                Value::Object(fields.collect())
            }
            other => other,
        }
    }
    rename(serde_json::to_value(value).unwrap_or_default())
}

fn go_name(name: &str) -> String {
    match name {
        "urlPrefix" => "URLPrefix".to_owned(),
        "tlsConfig" => "TLSConfig".to_owned(),
        "httpTimeout" => "HTTPTimeout".to_owned(),
        "caFile" => "CAFile".to_owned(),
        "caData" => "CAData".to_owned(),
        "qps" => "QPS".to_owned(),
        other => other[..1].to_ascii_uppercase() + &other[1..],
    }
}

/// A whole float as an integer, as JSON has it in Go.
fn whole(value: &Value) -> Value {
    match value.as_f64() {
        Some(float) if float.fract() == 0.0 && float.abs() < 1e15 => json!(float as i64),
        _ => value.clone(),
    }
}
