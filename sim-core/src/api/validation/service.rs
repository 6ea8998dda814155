//! Services. Upstream: `pkg/apis/core/validation` (`validateService` and its updates), `pkg/api/service/warnings.go`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

use super::common::{
    dns_label, dns_subdomain, labels, legacy_ip, list, one_of, port_number, port_or_name, text,
};
use super::field::{Errors, Path, Shown};
use super::{Warnings, names};
use crate::api::meta::Meta;
use crate::api::wire::decode_value;

const ONLY_LOAD_BALANCER: &str = "may only be used when `type` is 'LoadBalancer'";
const NOT_FOR_EXTERNAL_NAME: &str = "may not be set for ExternalName services";
const FIXED: &str = "may not change once set";
const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const MODE: &str = "service.kubernetes.io/topology-mode";
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
const LONGEST_AFFINITY: i32 = 86400;

fn spec_of(body: &Value) -> Option<ServiceSpec> {
    decode_value(body.get("spec")?).ok()
}

/// `ValidateServiceCreate` and `ValidateServiceUpdate`, without the metadata.
pub(super) fn service(e: &mut Errors, meta: &Meta, body: &Value, old: Option<(&Meta, &Value)>) {
    let spec = spec_of(body).unwrap_or_default();
    let old_spec = old.and_then(|(_, body)| spec_of(body));
    if let Some(old) = &old_spec {
        changes(e, &spec, old);
    }
    let (old_meta, old) = (old.map(|(meta, _)| meta), old_spec.as_ref());
    let path = Path::root("spec");
    topology(e, meta);
    of_type(e, &path, &spec);
    ports(e, &path.child("ports"), &spec);
    if let Some(selector) = &spec.selector {
        labels(e, &path.child("selector"), selector);
    }
    affinity(e, &path, &spec);
    if text(&spec.type_) != "ExternalName" {
        cluster_ips(e, &path, &spec, old);
    }
    external_ips(e, &path.child("externalIPs"), &spec, old);
    one_of(e, &path.child("type"), text(&spec.type_), &TYPES);
    repeated_ports(e, &path.child("ports"), &spec);
    source_ranges(e, (meta, &spec), (old_meta, old));
    load_balancer(e, &path, &spec);
    traffic(e, &path, &spec);
}

fn is_headless(spec: &ServiceSpec) -> bool {
    matches!(list(&spec.cluster_ips), [only] if only == "None")
}

fn topology(e: &mut Errors, meta: &Meta) {
    if let (Some(mode), Some(hints)) = (meta.annotation(MODE), meta.annotation(HINTS))
        && mode != hints
    {
        let metadata = Path::root("metadata");
        let annotations = metadata.child("annotations");
        let detail = format!("must match annotations[{HINTS}] when both are specified");
        e.invalid(&annotations.key(MODE), mode, &detail);
    }
}

/// What a service must have, and must not, for its type.
fn of_type(e: &mut Errors, path: &Path<'_>, spec: &ServiceSpec) {
    let kind = text(&spec.type_);
    if list(&spec.ports).is_empty() && !is_headless(spec) && kind != "ExternalName" {
        e.required(&path.child("ports"), "");
    }
    let ips = path.child("clusterIPs");
    match kind {
        "LoadBalancer" | "NodePort" if is_headless(spec) => {
            let detail = format!("may not be set to 'None' for {kind} services");
            e.invalid(&ips.index(0), "None", &detail);
        }
        "ExternalName" => {
            if !list(&spec.cluster_ips).is_empty() {
                e.forbidden(&ips, NOT_FOR_EXTERNAL_NAME);
            }
            if !list(&spec.ip_families).is_empty() {
                e.forbidden(&path.child("ipFamilies"), NOT_FOR_EXTERNAL_NAME);
            }
            if spec.ip_family_policy.is_some() {
                e.forbidden(&path.child("ipFamilyPolicy"), NOT_FOR_EXTERNAL_NAME);
            }
            let (at, name) = (path.child("externalName"), text(&spec.external_name));
            match name.strip_suffix('.').unwrap_or(name) {
                "" => e.required(&at, ""),
                name => dns_subdomain(e, &at, name),
            }
        }
        _ => {}
    }
}

fn ports(e: &mut Errors, path: &Path<'_>, spec: &ServiceSpec) {
    let ports = list(&spec.ports);
    let mut known = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let at = path.index(i);
        let name = text(&port.name);
        if name.is_empty() {
            if ports.len() > 1 {
                e.required(&at.child("name"), "");
            }
        } else {
            dns_label(e, &at.child("name"), name);
            if !known.insert(name) {
                e.duplicate(&at.child("name"), name);
            }
        }
        port_number(e, &at.child("port"), i64::from(port.port));
        one_of(e, &at.child("protocol"), text(&port.protocol), &["SCTP", "TCP", "UDP"]);
        let none = IntOrString::Int(0);
        port_or_name(e, &at.child("targetPort"), port.target_port.as_ref().unwrap_or(&none));
        if let Some(protocol) = &port.app_protocol {
            e.invalid_each(&at.child("appProtocol"), protocol, names::qualified_name(protocol));
        }
    }
}

fn affinity(e: &mut Errors, path: &Path<'_>, spec: &ServiceSpec) {
    let kind = text(&spec.session_affinity);
    one_of(e, &path.child("sessionAffinity"), kind, &["ClientIP", "None"]);
    let at = path.child("sessionAffinityConfig");
    match (kind, &spec.session_affinity_config) {
        ("None", Some(_)) => e.forbidden(&at, "must not be set when session affinity is None"),
        ("ClientIP", config) => {
            let detail = "when session affinity type is ClientIP";
            let client = at.child("clientIP");
            let Some(config) = config else { return e.required(&at, detail) };
            let Some(given) = &config.client_ip else { return e.required(&client, detail) };
            let timeout = client.child("timeoutSeconds");
            match given.timeout_seconds {
                None => e.required(&timeout, detail),
                Some(seconds) if seconds <= 0 || seconds > LONGEST_AFFINITY => {
                    let detail = format!("must be greater than 0 and less than {LONGEST_AFFINITY}");
                    e.invalid(&timeout, seconds, &detail);
                }
                Some(_) => {}
            }
        }
        _ => {}
    }
}

/// `ValidateServiceClusterIPsRelatedFields`.
fn cluster_ips(e: &mut Errors, path: &Path<'_>, spec: &ServiceSpec, old: Option<&ServiceSpec>) {
    let (at, families_at) = (path.child("clusterIPs"), path.child("ipFamilies"));
    let (ip, ips, families) = (text(&spec.cluster_ip), list(&spec.cluster_ips), list(&spec.ip_families));
    match (ip, ips.first()) {
        ("", Some(_)) => {
            e.invalid(&at, Shown::json(&ips), "must be empty when `clusterIP` is not specified");
        }
        ("", None) => {}
        (_, None) => e.required(&at, ""),
        (ip, Some(first)) if ip != first => {
            e.invalid(&at, Shown::json(&ips), "first value must match `clusterIP`");
        }
        _ => {}
    }
    for (i, family) in families.iter().enumerate() {
        let at = families_at.index(i);
        if !matches!(family.as_str(), "IPv4" | "IPv6") {
            e.not_supported(&at, family, &["IPv4", "IPv6"]);
        }
        if families[..i].contains(family) {
            e.duplicate(&at, family);
        }
    }
    const POLICIES: [&str; 3] = ["PreferDualStack", "RequireDualStack", "SingleStack"];
    if let Some(policy) = spec.ip_family_policy.as_deref().filter(|policy| !POLICIES.contains(policy)) {
        e.not_supported(&path.child("ipFamilyPolicy"), policy, &POLICIES);
    }
    let before = e.0.len();
    let kept = old.map_or(&[][..], |old| list(&old.cluster_ips));
    for (i, ip) in ips.iter().enumerate() {
        if i == 0 && ip == "None" {
            if ips.len() > 1 {
                e.invalid(&at, Shown::json(&ips), "'None' must be the first and only value");
            }
        } else if !kept.contains(ip) {
            legacy_ip(e, &at.index(i), ip);
        }
    }
    let fine = e.0.len() == before;
    if ips.len() > 2 {
        e.invalid(&at, Shown::json(&ips), "may only hold up to 2 values");
    }
    if fine {
        families_fit(e, &at, spec);
    }
}

fn is_ipv6(ip: &str) -> bool {
    ip.parse::<IpAddr>().is_ok_and(|ip| matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_none()))
}

fn families_fit(e: &mut Errors, at: &Path<'_>, spec: &ServiceSpec) {
    let (ips, families) = (list(&spec.cluster_ips), list(&spec.ip_families));
    if ips.len() > 1 {
        let (v4, v6) = (ips.iter().any(|ip| !is_ipv6(ip)), ips.iter().any(|ip| is_ipv6(ip)));
        if !(v4 && v6) {
            e.invalid(at, Shown::json(&ips), "may specify no more than one IP for each IP family");
        }
    }
    if is_headless(spec) {
        return;
    }
    for (i, (ip, family)) in ips.iter().zip(families).enumerate() {
        let detail = format!("expected an {family} value as indicated by `ipFamilies[{i}]`");
        if (family == "IPv4" && is_ipv6(ip)) || (family == "IPv6" && !is_ipv6(ip)) {
            e.invalid(&at.index(i), ip, &detail);
        }
    }
}

/// Addresses outside of the cluster; also `ValidateEndpointIP`, as upstream does for historical reasons.
fn external_ips(e: &mut Errors, path: &Path<'_>, spec: &ServiceSpec, old: Option<&ServiceSpec>) {
    let kept = old.map_or(&[][..], |old| list(&old.external_ips));
    for (i, given) in list(&spec.external_ips).iter().enumerate() {
        let at = path.index(i);
        let Ok(ip) = given.parse::<IpAddr>() else {
            if !kept.contains(given) {
                legacy_ip(e, &at, given);
            }
            continue;
        };
        let ip = ip.to_canonical();
        if ip.is_unspecified() {
            e.invalid(&at, given, &format!("may not be unspecified ({given})"));
        }
        let (link_local, link_local_multicast) = match ip {
            IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[..3] == [224, 0, 0]),
            IpAddr::V6(v6) => (v6.is_unicast_link_local(), v6.segments()[0] & 0xff0f == 0xff02),
        };
        for (is, range) in [
            (ip.is_loopback(), "loopback range (127.0.0.0/8, ::1/128)"),
            (link_local, "link-local range (169.254.0.0/16, fe80::/10)"),
            (link_local_multicast, "link-local multicast range (224.0.0.0/24, ff02::/10)"),
        ] {
            if is {
                e.invalid(&at, given, &format!("may not be in the {range}"));
            }
        }
    }
}

fn repeated_ports(e: &mut Errors, path: &Path<'_>, spec: &ServiceSpec) {
    let ports = list(&spec.ports);
    let node_port = |port: &ServicePort| port.node_port.unwrap_or(0);
    if text(&spec.type_) == "ClusterIP" {
        for (i, _) in ports.iter().enumerate().filter(|(_, port)| node_port(port) != 0) {
            let at = path.index(i);
            e.forbidden(&at.child("nodePort"), "may not be used when `type` is 'ClusterIP'");
        }
    }
    let mut known = BTreeSet::new();
    for (i, port) in ports.iter().enumerate().filter(|(_, port)| node_port(port) != 0) {
        if !known.insert((text(&port.protocol), node_port(port))) {
            let at = path.index(i);
            e.duplicate(&at.child("nodePort"), node_port(port));
        }
    }
    let mut known = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        if !known.insert((text(&port.protocol), port.port)) {
            let internal = json!({
                "Name": "", "Protocol": text(&port.protocol), "AppProtocol": null, "Port": port.port, "TargetPort": 0,
                "NodePort": 0,
            });
            e.duplicate(&path.index(i), Shown::json(&internal));
        }
    }
}

fn source_ranges(
    e: &mut Errors,
    (meta, spec): (&Meta, &ServiceSpec),
    (old_meta, old): (Option<&Meta>, Option<&ServiceSpec>),
) {
    let ranges = list(&spec.load_balancer_source_ranges);
    let misplaced = text(&spec.type_) != "LoadBalancer";
    if let Some(annotation) = meta.annotation(SOURCE_RANGES).filter(|_| ranges.is_empty()) {
        let metadata = Path::root("metadata");
        let annotations = metadata.child("annotations");
        let at = annotations.key(SOURCE_RANGES);
        if misplaced {
            e.forbidden(&at, ONLY_LOAD_BALANCER);
        }
        if old_meta.and_then(|old| old.annotation(SOURCE_RANGES)) != Some(annotation)
            && !annotation.trim().is_empty()
        {
            annotation.trim().split(',').for_each(|range| cidr(e, &at, range.trim()));
        }
    }
    if ranges.is_empty() {
        return;
    }
    // The path is spelled as upstream spells it.
    let path = Path::root("spec");
    let at = path.child("LoadBalancerSourceRanges");
    if misplaced {
        e.forbidden(&at, ONLY_LOAD_BALANCER);
    }
    let kept: Vec<&str> = old
        .map_or(&[][..], |old| list(&old.load_balancer_source_ranges))
        .iter()
        .map(|range| range.trim())
        .collect();
    for (i, range) in ranges.iter().enumerate().filter(|(_, range)| !kept.contains(&range.trim())) {
        cidr(e, &at.index(i), range.trim());
    }
}

fn cidr(e: &mut Errors, path: &Path<'_>, range: &str) {
    let fits = range.split_once('/').is_some_and(|(ip, bits)| {
        let most = ip.parse::<IpAddr>().map(|ip| if ip.is_ipv4() { 32u8 } else { 128 });
        let digits = !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit());
        digits && most.is_ok_and(|most| bits.parse::<u8>().is_ok_and(|bits| bits <= most))
    });
    if !fits {
        e.invalid(path, range, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
    }
}

fn load_balancer(e: &mut Errors, path: &Path<'_>, spec: &ServiceSpec) {
    let balances = text(&spec.type_) == "LoadBalancer";
    match spec.allocate_load_balancer_node_ports {
        Some(_) if !balances => {
            e.forbidden(&path.child("allocateLoadBalancerNodePorts"), ONLY_LOAD_BALANCER);
        }
        None if balances => e.required(&Path::root("allocateLoadBalancerNodePorts"), ""),
        _ => {}
    }
    class_of(e, path, spec);
}

fn class_of(e: &mut Errors, path: &Path<'_>, spec: &ServiceSpec) {
    let Some(class) = &spec.load_balancer_class else { return };
    let at = path.child("loadBalancerClass");
    if text(&spec.type_) == "LoadBalancer" {
        e.invalid_each(&at, class, names::qualified_name(class));
    } else {
        e.forbidden(&at, ONLY_LOAD_BALANCER);
    }
}

fn needs_health_check(spec: &ServiceSpec) -> bool {
    text(&spec.type_) == "LoadBalancer" && text(&spec.external_traffic_policy) == "Local"
}

fn traffic(e: &mut Errors, path: &Path<'_>, spec: &ServiceSpec) {
    let kind = text(&spec.type_);
    let external = matches!(kind, "LoadBalancer" | "NodePort")
        || (kind == "ClusterIP" && !list(&spec.external_ips).is_empty());
    let (at, policy) = (path.child("externalTrafficPolicy"), text(&spec.external_traffic_policy));
    if external {
        one_of(e, &at, policy, &["Cluster", "Local"]);
    } else if !policy.is_empty() {
        e.invalid(&at, policy, "may only be set for externally-accessible services");
    }
    let (at, port) = (path.child("healthCheckNodePort"), spec.health_check_node_port.unwrap_or(0));
    if port != 0 && !needs_health_check(spec) {
        let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        e.invalid(&at, port, detail);
    } else if port != 0 {
        // DIFFERS: no port is not missed: upstream gives one before it looks, and nobody listens to it here.
        port_number(e, &at, i64::from(port));
    }
    let at = path.child("internalTrafficPolicy");
    match spec.internal_traffic_policy.as_deref() {
        None if matches!(kind, "ClusterIP" | "LoadBalancer" | "NodePort") => e.required(&at, ""),
        Some(policy) if !matches!(policy, "Cluster" | "Local") => {
            e.not_supported(&at, policy, &["Cluster", "Local"]);
        }
        _ => {}
    }
    const DISTRIBUTIONS: [&str; 3] = ["PreferClose", "PreferSameZone", "PreferSameNode"];
    if let Some(given) = spec.traffic_distribution.as_deref().filter(|d| !DISTRIBUTIONS.contains(d)) {
        e.not_supported(&path.child("trafficDistribution"), given, &DISTRIBUTIONS);
    }
}

/// What may not change of a service.
fn changes(e: &mut Errors, new: &ServiceSpec, old: &ServiceSpec) {
    let path = Path::root("spec");
    let external_name = |spec: &ServiceSpec| text(&spec.type_) == "ExternalName";
    let (headless, was_headless) = (is_headless(new), is_headless(old));
    if !external_name(new) && !external_name(old) {
        if !(headless && was_headless) {
            cluster_ips_change(e, &path, new, old);
        }
        if !headless && !was_headless {
            families_change(e, &path, new, old);
        }
    }
    let balances = |spec: &ServiceSpec| text(&spec.type_) == "LoadBalancer";
    if balances(new) && balances(old) && new.load_balancer_class != old.load_balancer_class {
        let at = path.child("loadBalancerClass");
        e.invalid(&at, Shown::json(&new.load_balancer_class), FIXED);
    }
    class_of(e, &path, new);
    if needs_health_check(old)
        && needs_health_check(new)
        && old.health_check_node_port != new.health_check_node_port
    {
        e.forbidden(&path.child("healthCheckNodePort"), super::common::IMMUTABLE);
    }
}

/// `validateUpgradeDowngradeClusterIPs`: a second address may come and go, the first stays.
fn cluster_ips_change(e: &mut Errors, path: &Path<'_>, new: &ServiceSpec, old: &ServiceSpec) {
    let (ips, old_ips) = (list(&new.cluster_ips), list(&old.cluster_ips));
    let at = path.child("clusterIPs");
    let shown = || Shown::json(&new.cluster_ips);
    if ips.len() == old_ips.len() {
        for (i, _) in ips.iter().zip(old_ips).enumerate().filter(|(_, (ip, old))| ip != old) {
            e.invalid(&at.index(i), shown(), FIXED);
        }
        return;
    }
    let released = ips.len() < old_ips.len();
    if released && ips.is_empty() {
        e.invalid(&at.index(0), shown(), "primary clusterIP can not be unset");
    }
    if let (Some(first), Some(old)) = (ips.first(), old_ips.first())
        && first != old
    {
        e.invalid(&at.index(0), shown(), FIXED);
    }
    if released && ips.len() == 1 && new.ip_family_policy.as_deref() != Some("SingleStack") {
        let detail = "must be set to 'SingleStack' when releasing the secondary clusterIP";
        e.invalid(&path.child("ipFamilyPolicy"), Shown::json(&new.ip_family_policy), detail);
    }
}

/// `validateUpgradeDowngradeIPFamilies`.
fn families_change(e: &mut Errors, path: &Path<'_>, new: &ServiceSpec, old: &ServiceSpec) {
    let (families, old_families) = (list(&new.ip_families), list(&old.ip_families));
    let at = path.child("ipFamilies");
    if families.len() == old_families.len() {
        for _ in families.iter().zip(old_families).filter(|(family, old)| family != old) {
            e.invalid(&at.index(0), Shown::json(&new.ip_families), FIXED);
        }
        return;
    }
    let released = families.len() < old_families.len();
    if released && list(&new.cluster_ips).is_empty() {
        e.invalid(&at.index(0), Shown::json(&new.ip_families), "primary ipFamily can not be unset");
    }
    if let (Some(first), Some(old)) = (families.first(), old_families.first())
        && first != old
    {
        // What is shown is upstream's choice.
        e.invalid(&at.index(0), Shown::json(&new.cluster_ips), FIXED);
    }
    if released && families.len() == 1 && new.ip_family_policy.as_deref() != Some("SingleStack") {
        let detail = "must be set to 'SingleStack' when releasing the secondary ipFamily";
        e.invalid(&path.child("ipFamilyPolicy"), Shown::json(&new.ip_family_policy), detail);
    }
}

/// `GetWarningsForService`.
// DIFFERS: ranges of addresses in unusual spellings are not warned of.
pub(super) fn warnings(meta: &Meta, body: &Value, warnings: &mut Warnings) {
    let Some(spec) = spec_of(body) else { return };
    if meta.annotation(HINTS).is_some() {
        warnings.push(format!("annotation {HINTS} is deprecated, please use {MODE} instead"));
    }
    let (kind, ip) = (text(&spec.type_), text(&spec.cluster_ip));
    if kind != "ExternalName" && !ip.is_empty() && ip != "None" {
        for (i, ip) in list(&spec.cluster_ips).iter().enumerate() {
            address(&format!("spec.clusterIPs[{i}]"), ip, warnings);
        }
    }
    if kind == "ClusterIP" && ip == "None" {
        for (field, set) in [
            ("loadBalancerIP", !text(&spec.load_balancer_ip).is_empty()),
            ("externalIPs", !list(&spec.external_ips).is_empty()),
            ("SessionAffinity", !text(&spec.session_affinity).is_empty()),
        ] {
            if set {
                warnings.push(format!("spec.{field} is ignored for headless services"));
            }
        }
    }
    for (i, ip) in list(&spec.external_ips).iter().enumerate() {
        address(&format!("spec.externalIPs[{i}]"), ip, warnings);
    }
    address("spec.loadBalancerIP", text(&spec.load_balancer_ip), warnings);
    if kind == "ExternalName" && !list(&spec.external_ips).is_empty() {
        warnings.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".into());
    }
    if kind != "ExternalName" && !text(&spec.external_name).is_empty() {
        warnings.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".into());
    }
}

/// `GetWarningsForIP`.
fn address(path: &str, given: &str, warnings: &mut Warnings) {
    let Ok(ip) = given.parse::<IpAddr>() else { return };
    let canonical = ip.to_canonical();
    if canonical != ip {
        warnings.push(format!(
            "{path}: non-standard IP address {given:?} will be considered invalid in a future Kubernetes release: use \
             \"{canonical}\""
        ));
    } else if ip.is_ipv6() && ip.to_string() != given {
        warnings.push(format!(
            "{path}: IPv6 address {given:?} should be in RFC 5952 canonical format (\"{ip}\")"
        ));
    }
}
