//! Probes and lifecycle hooks.

use k8s_openapi::api::core::v1::{
    ExecAction, HTTPGetAction, Lifecycle, LifecycleHandler, Probe, SleepAction, TCPSocketAction,
};

use super::Context;
use crate::api::validation::common::{list, non_negative, port_number, port_or_name, text};
use crate::api::validation::field::{Errors, Path, Shown};
use crate::api::validation::names;

pub(super) fn liveness(e: &mut Errors, path: &Path<'_>, probe: Option<&Probe>) {
    let Some(probe) = probe else { return };
    common(e, path, probe);
    succeeds_at_once(e, path, probe);
}

pub(super) fn startup(e: &mut Errors, path: &Path<'_>, probe: Option<&Probe>) {
    liveness(e, path, probe);
}

pub(super) fn readiness(e: &mut Errors, path: &Path<'_>, probe: Option<&Probe>) {
    let Some(probe) = probe else { return };
    common(e, path, probe);
    if let Some(grace) = probe.termination_grace_period_seconds {
        let at = path.child("terminationGracePeriodSeconds");
        e.invalid(&at, grace, "must not be set for readinessProbes");
    }
}

fn succeeds_at_once(e: &mut Errors, path: &Path<'_>, probe: &Probe) {
    let threshold = probe.success_threshold.unwrap_or(0);
    if threshold != 1 {
        e.invalid(&path.child("successThreshold"), threshold, "must be 1");
    }
}

fn common(e: &mut Errors, path: &Path<'_>, probe: &Probe) {
    let handlers = Handlers {
        exec: probe.exec.as_ref(),
        http_get: probe.http_get.as_ref(),
        tcp_socket: probe.tcp_socket.as_ref(),
        grpc: probe.grpc.as_ref().map(|g| g.port),
        sleep: None,
    };
    handler(e, path, &handlers, None);
    for (field, value) in [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ] {
        non_negative(e, &path.child(field), value.unwrap_or(0));
    }
    if let Some(grace) = probe.termination_grace_period_seconds.filter(|g| *g <= 0) {
        e.invalid(&path.child("terminationGracePeriodSeconds"), grace, "must be greater than 0");
    }
}

pub(super) fn lifecycle(e: &mut Errors, path: &Path<'_>, lifecycle: &Lifecycle, context: &Context<'_>) {
    let grace = context.spec.termination_grace_period_seconds;
    for (field, hook) in [("postStart", &lifecycle.post_start), ("preStop", &lifecycle.pre_stop)] {
        if let Some(LifecycleHandler { exec, http_get, sleep, tcp_socket }) = hook {
            let handlers = Handlers {
                exec: exec.as_ref(),
                http_get: http_get.as_ref(),
                tcp_socket: tcp_socket.as_ref(),
                grpc: None,
                sleep: sleep.as_ref(),
            };
            handler(e, &path.child(field), &handlers, grace);
        }
    }
}

struct Handlers<'a> {
    exec: Option<&'a ExecAction>,
    http_get: Option<&'a HTTPGetAction>,
    tcp_socket: Option<&'a TCPSocketAction>,
    grpc: Option<i32>,
    sleep: Option<&'a SleepAction>,
}

/// Exactly one handler; only the first is looked at.
fn handler(e: &mut Errors, path: &Path<'_>, handlers: &Handlers<'_>, grace: Option<i64>) {
    let given = [
        ("exec", handlers.exec.is_some()),
        ("httpGet", handlers.http_get.is_some()),
        ("tcpSocket", handlers.tcp_socket.is_some()),
        ("grpc", handlers.grpc.is_some()),
        ("sleep", handlers.sleep.is_some()),
    ];
    let mut first = None;
    for (name, _) in given.into_iter().filter(|(_, set)| *set) {
        let at = path.child(name);
        if first.is_some() {
            e.forbidden(&at, "may not specify more than 1 handler type");
            continue;
        }
        first = Some(name);
        if let Some(exec) = handlers.exec {
            if list(&exec.command).is_empty() {
                e.required(&at.child("command"), "");
            }
        } else if let Some(http) = handlers.http_get {
            http_get(e, &at, http);
        } else if let Some(tcp) = handlers.tcp_socket {
            port_or_name(e, &at.child("port"), &tcp.port);
        } else if let Some(port) = handlers.grpc {
            port_number(e, &at.child("port"), i64::from(port));
        } else if let (Some(sleep), Some(grace)) = (handlers.sleep, grace)
            && !(0..=grace).contains(&sleep.seconds)
        {
            let detail =
                format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
            e.invalid(&at, Shown::raw(sleep.seconds.to_string()), &detail);
        }
    }
    if first.is_none() {
        e.required(path, "must specify a handler type");
    }
}

fn http_get(e: &mut Errors, path: &Path<'_>, http: &HTTPGetAction) {
    if text(&http.path).is_empty() {
        e.required(&path.child("path"), "");
    }
    port_or_name(e, &path.child("port"), &http.port);
    let scheme = text(&http.scheme);
    if !matches!(scheme, "HTTP" | "HTTPS") {
        e.not_supported(&path.child("scheme"), scheme, &["HTTP", "HTTPS"]);
    }
    for header in list(&http.http_headers) {
        e.invalid_each(&path.child("httpHeaders"), &header.name, names::http_header(&header.name));
    }
}
