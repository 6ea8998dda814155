//! Scheduler extenders in a whole cluster.

use std::sync::Arc;

use sim_cluster::prelude::*;
use sim_core::api::object::Object;
use sim_scheduler::Scheduler;
use sim_scheduler::extender::{Asked, Extender, ExtenderError, ExtenderSettings, Filtered, Fork};

/// Sends every pod to one node, and is only once.
struct Singular(&'static str);

impl Extender for Singular {
    fn filter(&self, _: &Asked<'_>, nodes: &[Arc<Object>]) -> Result<Filtered, ExtenderError> {
        Ok(Filtered::names(nodes.iter().filter(|node| node.key().name == self.0)))
    }

    fn fork(&self) -> Fork {
        Fork::Impossible("there is only one".to_owned())
    }
}

#[test]
fn an_extender_decides_and_a_fork_without_it_ends_by_name() {
    let settings = ExtenderSettings::named("only").filter().ignorable().bind();
    let scheduler = Scheduler::default().with_extender(settings, Arc::new(Singular("node-2")));
    let mut sim = Cluster::builder().scheduler(scheduler).nodes(4, |i| node(&format!("node-{i}"))).build();
    sim.create(pod("a"));
    sim.run_until(|c| c.pod("a").is_running(), mins(1)).expect("it runs");
    assert_eq!(sim.pod("a").node(), Some("node-2"));

    let mut other = sim.fork();
    other.try_run_for(secs(60)).expect("nobody asks the extender");
    other.create(pod("b"));
    let error = other.try_run_for(secs(60)).expect_err("nobody answers");
    assert_eq!(error.name(), "InvariantBroken");
    assert!(error.to_string().contains("extender \"only\" cannot be forked: there is only one"), "{error}");

    sim.create(pod("b"));
    sim.run_until(|c| c.pod("b").is_running(), mins(1)).expect("the first one goes on");
}
