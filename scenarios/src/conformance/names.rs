//! `machinery/names.json`: generated names, hashes of templates and revisions, syntax of names.

use serde_json::{Value, json};
use sim_core::api::validation::field::{Errors, Path};
use sim_core::api::validation::{domain_prefixed_path, names as rules};
use sim_core::engine::random::Seed;
use sim_core::names::{
    Decoding, controller_revision_name, generate_name, hash_controller_revision, job_index_generate_name,
    kept_prefix, parent_and_ordinal, pod_template_hash, safe_encode,
};
use sim_core::validation::is_fully_qualified_domain_name;

use super::quantity::{same, text};

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    match text(input, "op") {
        "podTemplateHash" => check_template_hash(input, expected),
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

fn check_template_hash(input: &Value, expected: &Value) -> Result<(), String> {
    if input["defaultBeforeHash"] == true {
        return Err("defaulting of a template is not implemented".to_string());
    }
    let count = small(&input["collisionCount"])?;
    let hash = |decoding| pod_template_hash(&input["template"], count, decoding);
    let json = hash(Decoding::Json);
    same("podTemplateHash", json.as_str(), &expected["podTemplateHash"])?;
    same("replicaSetName", format!("web-{json}"), &expected["replicaSetName"])?;
    let protobuf = expected.get("podTemplateHashAfterProtobuf").unwrap_or(&expected["podTemplateHash"]);
    same("podTemplateHashAfterProtobuf", hash(Decoding::Protobuf), protobuf)
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
