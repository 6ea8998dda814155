//! `kubelet/oom_score_adj.json`: what the OOM killer is told of containers.

use serde_json::Value;
use sim_kubelet::cgroup::oom_score::{is_critical, oom_score_adj};

use super::cgroup_pod_config::spec;

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    let spec = spec(&input["pod"])?;
    let capacity = input["memoryCapacity"].as_i64().ok_or("no memoryCapacity")?;
    let gate = input["podLevelResourcesFeatureEnabled"].as_bool().unwrap_or(true);
    let critical = is_critical(&spec, None);
    let bounds = expected["lowHighOOMScoreAdj"].as_object().ok_or("no lowHighOOMScoreAdj")?;
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    for container in containers {
        let score = oom_score_adj(&spec, container, critical, capacity, gate);
        let Some(bound) = bounds.get(&container.name) else {
            return Err(format!("nothing expected of {}", container.name));
        };
        let limit = |name: &str| bound[name].as_i64().unwrap_or(0);
        if !(limit("lowOOMScoreAdj")..=limit("highOOMScoreAdj")).contains(&score) {
            return Err(format!("{}: got {score}, want {bound}", container.name));
        }
    }
    Ok(())
}
