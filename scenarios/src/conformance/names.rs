//! `machinery/names.json`: generated names, hashes of templates and revisions, syntax of names.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde::Deserialize;
use serde_json::{Value, json};
use sim_core::api::defaults::default_template;
use sim_core::api::validation::field::{Errors, Path};
use sim_core::api::validation::{domain_prefixed_path, names as rules};
use sim_core::engine::random::Seed;
use sim_core::names::{
    Decoding, controller_revision_name, cron_job_name, generate_name, go_template, hash_controller_revision,
    job_index_generate_name, kept_prefix, parent_and_ordinal, pod_template_hash, revision_data, safe_encode,
    stateful_claim_name, stateful_pod_name,
};
use sim_core::quantity::Quantity;
use sim_core::syntax::is_fully_qualified_domain_name;

use super::quantity::{same, text};

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    match text(input, "op") {
        "podTemplateHash" => check_template_hash(input, expected),
        "controllerRevision" => check_revision(input, expected),
        "hashControllerRevision" => {
            let hash = hash_controller_revision(text(input, "raw").as_bytes(), small(&input["probe"])?);
            same("hash", hash, expected)
        }
        "safeEncodeString" => same("text", safe_encode(text(input, "s")), expected),
        "generateName" => check_generated(text(input, "base"), expected),
        "statefulSetParentAndOrdinal" => {
            let (parent, ordinal) = parent_and_ordinal(text(input, "pod"));
            same("parent and ordinal", json!({"ordinal": ordinal, "parent": parent}), expected)
        }
        "validate" => check_rules(text(input, "s"), expected),
        other => Err(format!("{other:?} is not implemented")),
    }
}

fn small(value: &Value) -> Result<Option<i32>, String> {
    let Some(number) = value.as_i64() else { return Ok(None) };
    i32::try_from(number).map(Some).map_err(|e| e.to_string())
}

/// A template read, and defaulted as that of a Deployment is.
fn defaulted(template: &Value) -> Result<PodTemplateSpec, String> {
    let mut template = PodTemplateSpec::deserialize(template).map_err(|e| format!("bad vector: {e}"))?;
    default_template(&mut template);
    Ok(template)
}

fn check_template_hash(input: &Value, expected: &Value) -> Result<(), String> {
    let mut template = input["template"].clone();
    if input["defaultBeforeHash"] == true {
        let typed = defaulted(&template)?;
        if let Some(wanted) = expected.get("defaultedTemplate") {
            let mut ours = go_template(&typed);
            absent_containers(&input["template"], &mut ours);
            same("defaultedTemplate", ours, wanted)?;
        }
        template = in_process(&template, &typed)?;
    }
    let count = small(&input["collisionCount"])?;
    let hash = |decoding| pod_template_hash(&template, count, decoding);
    let json = hash(Decoding::Json);
    same("podTemplateHash", json.as_str(), &expected["podTemplateHash"])?;
    same("replicaSetName", format!("web-{json}"), &expected["replicaSetName"])?;
    let protobuf = expected.get("podTemplateHashAfterProtobuf").unwrap_or(&expected["podTemplateHash"]);
    same("podTemplateHashAfterProtobuf", hash(Decoding::Protobuf), protobuf)
}

/// The typed form as Go has it in the process that decoded and defaulted it.
fn in_process(given: &Value, typed: &PodTemplateSpec) -> Result<Value, String> {
    let mut value = serde_json::to_value(typed).map_err(|e| e.to_string())?;
    absent_containers(given, &mut value);
    keep_quantities(given, &mut value);
    Ok(value)
}

/// Our defaulting stores quantities in canonical form; upstream's keeps them as decoded until they are encoded again.
fn keep_quantities(given: &Value, ours: &mut Value) {
    match (given, ours) {
        (Value::Object(given), Value::Object(ours)) => {
            for (key, value) in ours {
                keep_quantities(given.get(key).unwrap_or(&Value::Null), value);
            }
        }
        (Value::Array(given), Value::Array(ours)) => {
            given.iter().zip(ours).for_each(|(given, ours)| keep_quantities(given, ours));
        }
        (Value::String(given), Value::String(ours))
            if Quantity::parse(given).is_ok_and(|q| Quantity::parse(ours) == Ok(q)) =>
        {
            ours.clone_from(given);
        }
        _ => {}
    }
}

/// The typed form has no difference between absent and empty containers; no valid template is without.
fn absent_containers(given: &Value, template: &mut Value) {
    if given["spec"]["containers"].is_null() {
        template["spec"]["containers"] = Value::Null;
    }
}

fn check_revision(input: &Value, expected: &Value) -> Result<(), String> {
    let template = defaulted(&input["template"])?;
    let mut data = revision_data(&template);
    if input["template"]["spec"]["containers"].is_null() {
        data = data.replace(r#""containers":[]"#, r#""containers":null"#);
    }
    same("daemonSetPatchBytes", data.as_str(), &expected["daemonSetPatchBytes"])?;
    same("statefulSetPatchBytes", data.as_str(), &expected["statefulSetPatchBytes"])?;
    let hash = pod_template_hash(&in_process(&input["template"], &template)?, None, Decoding::Json);
    same("daemonSetHash", hash.as_str(), &expected["daemonSetHash"])?;
    let name = |hash: &str| controller_revision_name(text(input, "name"), hash);
    same("daemonSetRevisionName", name(&hash), &expected["daemonSetRevisionName"])?;
    let labels = template.metadata.and_then(|m| m.labels).unwrap_or_default();
    for (count, wanted) in expected["statefulSetRevisionByCollisionCount"].as_object().into_iter().flatten() {
        let hash = hash_controller_revision(data.as_bytes(), count.parse().ok());
        let mut labels = labels.clone();
        labels.insert("controller.kubernetes.io/hash".to_string(), hash.clone());
        same(&format!("revision {count}"), json!({"labels": labels, "name": name(&hash)}), wanted)?;
    }
    Ok(())
}

fn check_generated(base: &str, expected: &Value) -> Result<(), String> {
    let generated = generate_name(base, &mut Seed(1).stream("names"));
    let random = generated.strip_prefix(kept_prefix(base)).unwrap_or_default();
    let mut dashed = base.to_string();
    dashed.pop();
    dashed.push('-');
    same("prefixKept", kept_prefix(base), &expected["prefixKept"])?;
    same("dashBasePrefixKept", kept_prefix(&dashed), &expected["dashBasePrefixKept"])?;
    same("generatedLength", generated.len(), &expected["generatedLength"])?;
    same("randomLength", random.len(), &expected["randomLength"])?;
    for (field, index) in [("jobIndexPodGenerateName_0", 0), ("jobIndexPodGenerateName_12345", 12345)] {
        same(field, job_index_generate_name(base, index), &expected[field])?;
    }
    same("statefulSetPodName", stateful_pod_name(base, 11), &expected["statefulSetPodName"])?;
    same("statefulSetClaimName", stateful_claim_name("data", base, 11), &expected["statefulSetClaimName"])?;
    same("cronJobJobName", cron_job_name(base, 29_455_384), &expected["cronJobJobName"])?;
    let revision = controller_revision_name(base, "7c5b8f9d4");
    same("controllerRevisionName", revision, &expected["controllerRevisionName"])
}

fn check_rules(name: &str, expected: &Value) -> Result<(), String> {
    let checks: &[(&str, rules::Check)] = &[
        ("cIdentifier", rules::c_identifier),
        ("configMapKey", rules::config_map_key),
        ("dns1035Label", rules::dns1035_label),
        ("dns1123Label", rules::dns1123_label),
        ("dns1123Subdomain", rules::dns1123_subdomain),
        ("envVarName", rules::env_var_name),
        ("fullyQualifiedDomainName", |name| is_fully_qualified_domain_name("p", name)),
        ("domainPrefixedPath", |name| {
            let mut errors = Errors::default();
            domain_prefixed_path(&mut errors, &Path::root("p"), name);
            errors.0.iter().map(ToString::to_string).collect()
        }),
        ("httpHeader", rules::http_header),
        ("labelValue", rules::label_value),
        ("nameIsDNSLabelPrefix", rules::dns_label_prefix),
        ("nameIsDNSSubdomainPrefix", rules::dns_subdomain_prefix),
        ("percent", rules::percent),
        ("portName", rules::port_name),
        ("qualifiedName", rules::qualified_name),
        ("wildcardSubdomain", rules::wildcard_subdomain),
    ];
    for (field, messages) in expected.as_object().into_iter().flatten() {
        let check = checks
            .iter()
            .find(|(name, _)| name == field)
            .ok_or_else(|| format!("{field} is not implemented"))?;
        same(field, check.1(name), messages)?;
    }
    Ok(())
}
