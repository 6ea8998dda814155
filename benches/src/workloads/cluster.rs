//! A cluster as a stage: API server and scheduler, nothing else.

use sim_cluster::Cluster;
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Uid};
use sim_core::api::object::Object;
use sim_core::api::request::{DeleteOptions, Request};
use sim_core::engine::timing::{Delay, Timing};
use sim_core::features::FeatureGates;
use sim_core::time::{Span, Time};
use sim_scheduler::Scheduler;

use super::Stage;

/// A cluster without kubelets and controllers, where nothing but a scheduling cycle takes time.
#[derive(Clone)]
pub struct InCluster(pub Cluster);

impl InCluster {
    /// An empty cluster.
    pub fn new(scheduler: Scheduler, cycle: Span, features: FeatureGates) -> InCluster {
        let timing = Timing { scheduling_cycle: Delay::Constant(cycle), ..Timing::instant() };
        let mut cluster = Cluster::builder().seed(1).timing(timing).features(features).build_empty();
        cluster.run_scheduler(scheduler);
        InCluster(cluster)
    }
}

impl Stage for InCluster {
    fn now(&self) -> Time {
        self.0.now()
    }

    fn next_time(&self) -> Option<Time> {
        self.0.next_event_at()
    }

    fn run_to(&mut self, at: Time) {
        self.0.run_for(Span(at.0 - self.0.now().0));
    }

    fn create(&mut self, objects: Vec<Object>) -> Result<(), String> {
        for object in objects {
            let result = match object.kind {
                // As nodes of a dump: without kubelets, nobody would take the taint off new ones.
                Kind::NODE => self.0.import(object),
                _ => self.0.request(Request::Create(Box::new(object))),
            };
            result.map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    fn delete(&mut self, kind: Kind, key: &Key) {
        let options = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
        // What is gone already need not be deleted.
        let _ = self.0.request(Request::Delete { kind, key: key.clone(), options });
    }

    fn request(&mut self, request: Request) -> Result<(), String> {
        self.0.request(request).map(drop).map_err(|e| e.to_string())
    }

    fn uid(&self, kind: Kind, key: &Key) -> Option<Uid> {
        Some(self.0.get(kind, key)?.meta.uid)
    }

    fn is_pending(&self, pod: &Key) -> bool {
        self.0.get(Kind::POD, pod).and_then(|o| o.as_pod()).is_some_and(|p| p.node_name.is_empty())
    }

    fn digest(&self) -> String {
        self.0.digest()
    }

    fn scheduler(&self) -> Option<&Scheduler> {
        self.0.scheduler()
    }
}
