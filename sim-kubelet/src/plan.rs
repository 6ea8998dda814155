//! A pod spec compiled into what its kubelet needs: the lifecycle plan. Made once per shared spec, used by all its pods.

use k8s_openapi::api::core::v1::{Container, PodSpec, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use sim_core::time::{Span, secs};
use smallvec::SmallVec;
use smol_str::SmolStr;

/// Feature gates that change what a kubelet decides (v1.34 defaults).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gates {
    /// `ContainerRestartRules`, alpha in 1.34: `restartPolicy` and `restartPolicyRules` of single containers.
    pub container_restart_rules: bool,
}

/// `restartPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Restart whatever the exit code.
    #[default]
    Always,
    /// Restart on a non-zero exit code.
    OnFailure,
    /// Do not restart.
    Never,
}

impl RestartPolicy {
    /// The policy of a wire text; anything else counts as the default, Always.
    pub fn parse(text: &str) -> RestartPolicy {
        match text {
            "OnFailure" => RestartPolicy::OnFailure,
            "Never" => RestartPolicy::Never,
            _ => RestartPolicy::Always,
        }
    }

    /// Whether an exit with this code is followed by a restart.
    pub const fn restarts(self, exit_code: i32) -> bool {
        match self {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => exit_code != 0,
            RestartPolicy::Never => false,
        }
    }
}

/// What a container is in its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A regular init container: runs to completion before the next starts.
    Init,
    /// A restartable init container (KEP-753).
    Sidecar,
    /// A container of `spec.containers`.
    Main,
}

/// One of `restartPolicyRules[]`: the only action there is, `Restart`, on these exit codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestartRule {
    /// True for `NotIn`.
    pub negated: bool,
    /// Exit codes.
    pub values: Vec<i32>,
}

/// `imagePullPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    /// Ask the registry at every start.
    Always,
    /// Pull if the node does not have it.
    IfNotPresent,
    /// Never pull.
    Never,
}

/// A lifecycle hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// `sleep`, with its exact duration.
    Sleep(Span),
    /// `exec` or `httpGet`: takes what the behaviour says.
    Handler,
}

/// How a probe asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProbeHandler {
    /// `exec`.
    Exec,
    /// `httpGet`.
    #[default]
    Http,
    /// `tcpSocket`, with its port if that is a number.
    Tcp(u16),
    /// `grpc`.
    Grpc,
}

/// A probe with upstream's defaults filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbePlan {
    /// How it asks.
    pub handler: ProbeHandler,
    /// `initialDelaySeconds`.
    pub initial_delay: Span,
    /// `periodSeconds`, at least one second.
    pub period: Span,
    /// `successThreshold`.
    pub success_threshold: u32,
    /// `failureThreshold`.
    pub failure_threshold: u32,
    /// `terminationGracePeriodSeconds` of the probe itself.
    pub termination_grace: Option<i64>,
}

/// One container.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerPlan {
    /// Name.
    pub name: SmolStr,
    /// Image as written.
    pub image: SmolStr,
    /// When it may be pulled.
    pub pull_policy: PullPolicy,
    /// What it is.
    pub role: Role,
    /// Effective restart policy: Always for sidecars, else the container's own (gated) or the pod's.
    pub policy: RestartPolicy,
    /// Looked at before the policy (gated).
    pub rules: Vec<RestartRule>,
    /// Startup probe.
    pub startup: Option<ProbePlan>,
    /// Liveness probe.
    pub liveness: Option<ProbePlan>,
    /// Readiness probe.
    pub readiness: Option<ProbePlan>,
    /// Runs right after the start and delays the containers that follow.
    pub post_start: Option<Hook>,
    /// Runs before the stop signal.
    pub pre_stop: Option<Hook>,
}

impl ContainerPlan {
    /// Whether an exit with this code is followed by a restart (`ContainerShouldRestart`).
    pub fn restarts(&self, exit_code: i32) -> bool {
        let ruled = self.rules.iter().any(|r| r.values.contains(&exit_code) != r.negated);
        ruled || self.policy.restarts(exit_code)
    }

    /// True if any probe is set.
    pub const fn has_probes(&self) -> bool {
        self.startup.is_some() || self.liveness.is_some() || self.readiness.is_some()
    }
}

/// A compiled pod spec.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Of the pod.
    pub restart_policy: RestartPolicy,
    /// Init containers in spec order, then main containers in spec order. Indices of containers are into this list.
    pub containers: Vec<ContainerPlan>,
    /// How many of them are init containers (sidecars included).
    pub init_count: usize,
    /// Ephemeral containers, by name.
    pub ephemeral: Vec<SmolStr>,
    /// Indices of the main containers in the order of their names, as statuses list them.
    pub mains_by_name: SmallVec<[u16; 4]>,
    /// True if there is a sidecar.
    pub has_sidecars: bool,
    /// `terminationGracePeriodSeconds`, 30 if absent.
    pub grace: i64,
    /// `activeDeadlineSeconds`.
    pub active_deadline: Option<Span>,
    /// `hostNetwork`.
    pub host_network: bool,
    /// Condition types of `readinessGates`.
    pub readiness_gates: Vec<SmolStr>,
    /// The gate this was compiled under.
    pub container_restart_rules: bool,
}

impl Plan {
    /// Compiles a spec. Total: absent fields get upstream's defaults.
    pub fn compile(spec: &PodSpec, gates: Gates) -> Plan {
        let restart_policy = RestartPolicy::parse(spec.restart_policy.as_deref().unwrap_or_default());
        let inits = spec.init_containers.as_deref().unwrap_or_default();
        let containers: Vec<ContainerPlan> = inits
            .iter()
            .map(|c| (c, true))
            .chain(spec.containers.iter().map(|c| (c, false)))
            .map(|(c, init)| compile_container(c, init, restart_policy, gates))
            .collect();
        let mut mains_by_name: SmallVec<[u16; 4]> =
            (inits.len()..containers.len()).map(|i| i as u16).collect();
        mains_by_name.sort_by(|a, b| containers[usize::from(*a)].name.cmp(&containers[usize::from(*b)].name));
        let ephemeral = spec.ephemeral_containers.iter().flatten().map(|c| SmolStr::new(&c.name)).collect();
        let gates_list = spec.readiness_gates.iter().flatten();
        Plan {
            restart_policy,
            init_count: inits.len(),
            ephemeral,
            mains_by_name,
            has_sidecars: containers.iter().any(|c| c.role == Role::Sidecar),
            grace: spec.termination_grace_period_seconds.unwrap_or(30),
            active_deadline: spec.active_deadline_seconds.map(secs),
            host_network: spec.host_network.unwrap_or(false),
            readiness_gates: gates_list.map(|g| SmolStr::new(&g.condition_type)).collect(),
            container_restart_rules: gates.container_restart_rules,
            containers,
        }
    }

    /// Init containers and sidecars, in spec order.
    pub fn inits(&self) -> &[ContainerPlan] {
        &self.containers[..self.init_count]
    }

    /// Main containers, in spec order.
    pub fn mains(&self) -> &[ContainerPlan] {
        &self.containers[self.init_count..]
    }

    /// Index of a container by name.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.containers.iter().position(|c| c.name == name)
    }
}

fn compile_container(c: &Container, init: bool, pod_policy: RestartPolicy, gates: Gates) -> ContainerPlan {
    let own = c.restart_policy.as_deref();
    let role = match (init, own) {
        (true, Some("Always")) => Role::Sidecar,
        (true, _) => Role::Init,
        (false, _) => Role::Main,
    };
    let policy = match (role, own) {
        (Role::Sidecar, _) => RestartPolicy::Always,
        (_, Some(own)) if gates.container_restart_rules => RestartPolicy::parse(own),
        _ => pod_policy,
    };
    let rules = if gates.container_restart_rules { compile_rules(c) } else { Vec::new() };
    let image = c.image.as_deref().unwrap_or_default();
    let hooks = c.lifecycle.as_ref();
    ContainerPlan {
        name: SmolStr::new(&c.name),
        image: SmolStr::new(image),
        pull_policy: pull_policy(c.image_pull_policy.as_deref(), image),
        role,
        policy,
        rules,
        startup: c.startup_probe.as_ref().map(compile_probe),
        liveness: c.liveness_probe.as_ref().map(compile_probe),
        readiness: c.readiness_probe.as_ref().map(compile_probe),
        post_start: hooks.and_then(|l| l.post_start.as_ref()).map(compile_hook),
        pre_stop: hooks.and_then(|l| l.pre_stop.as_ref()).map(compile_hook),
    }
}

fn compile_rules(c: &Container) -> Vec<RestartRule> {
    let rules = c.restart_policy_rules.iter().flatten().filter(|r| r.action == "Restart");
    rules
        .filter_map(|r| r.exit_codes.as_ref())
        .map(|e| RestartRule { negated: e.operator == "NotIn", values: e.values.clone().unwrap_or_default() })
        .collect()
}

fn compile_hook(h: &k8s_openapi::api::core::v1::LifecycleHandler) -> Hook {
    match &h.sleep {
        Some(sleep) => Hook::Sleep(secs(sleep.seconds.max(0))),
        None => Hook::Handler,
    }
}

fn compile_probe(p: &Probe) -> ProbePlan {
    let positive = |v: Option<i32>, default: i32| v.filter(|v| *v > 0).unwrap_or(default);
    ProbePlan {
        handler: probe_handler(p),
        initial_delay: secs(i64::from(p.initial_delay_seconds.unwrap_or(0).max(0))),
        period: secs(i64::from(positive(p.period_seconds, 10))),
        success_threshold: positive(p.success_threshold, 1) as u32,
        failure_threshold: positive(p.failure_threshold, 3) as u32,
        termination_grace: p.termination_grace_period_seconds,
    }
}

fn probe_handler(p: &Probe) -> ProbeHandler {
    if p.exec.is_some() {
        ProbeHandler::Exec
    } else if p.grpc.is_some() {
        ProbeHandler::Grpc
    } else if let Some(tcp) = &p.tcp_socket {
        match &tcp.port {
            IntOrString::Int(port) => ProbeHandler::Tcp(u16::try_from(*port).unwrap_or(0)),
            IntOrString::String(_) => ProbeHandler::Tcp(0),
        }
    } else {
        ProbeHandler::Http
    }
}

/// The default is Always for a tag `latest` or none, else IfNotPresent; a digest counts as a tag of its own.
fn pull_policy(written: Option<&str>, image: &str) -> PullPolicy {
    match written {
        Some("Always") => PullPolicy::Always,
        Some("Never") => PullPolicy::Never,
        Some("IfNotPresent") => PullPolicy::IfNotPresent,
        _ => {
            let name = image.rsplit('/').next().unwrap_or(image);
            let pinned = name.contains('@') || name.split_once(':').is_some_and(|(_, tag)| tag != "latest");
            if pinned { PullPolicy::IfNotPresent } else { PullPolicy::Always }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_policy_follows_the_tag() {
        for (image, want) in [
            ("busybox", PullPolicy::Always),
            ("busybox:latest", PullPolicy::Always),
            ("busybox:1.36", PullPolicy::IfNotPresent),
            ("registry:5000/team/app", PullPolicy::Always),
            ("registry:5000/team/app:v1", PullPolicy::IfNotPresent),
            ("app@sha256:0123", PullPolicy::IfNotPresent),
        ] {
            assert_eq!(pull_policy(None, image), want, "{image}");
        }
        assert_eq!(pull_policy(Some("Never"), "busybox"), PullPolicy::Never);
    }

    #[test]
    fn rules_are_looked_at_before_the_policy_and_only_with_the_gate() {
        let spec: PodSpec = serde_json::from_value(serde_json::json!({
            "restartPolicy": "Never",
            "containers": [{"name": "a", "restartPolicy": "Never", "restartPolicyRules": [
                {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]}],
        }))
        .unwrap();
        let gated = Plan::compile(&spec, Gates { container_restart_rules: true });
        assert!(gated.containers[0].restarts(42) && !gated.containers[0].restarts(1));
        assert!(!Plan::compile(&spec, Gates::default()).containers[0].restarts(42));
    }
}
