//! The scheduling queue alone: pods that come and are taken, and events while many wait.

use std::sync::Arc;

use sim_cluster::build::node;
use sim_core::api::object::Object;
use sim_core::api::request::{Change, ChangeKind};
use sim_core::time::{Time, secs};
use sim_scheduler::Scheduler;
use smol_str::SmolStr;

fn seen(new: Arc<Object>) -> Change {
    Change { kind: ChangeKind::Added, old: None, new }
}

/// A scheduler whose queue has these pods.
pub fn queued(pods: &[Arc<Object>]) -> Scheduler {
    let mut scheduler = Scheduler::default();
    pods.iter().for_each(|pod| scheduler.observe(Time::ZERO, &seen(pod.clone())));
    scheduler
}

/// Takes all pods as if they were bound at once; returns how many.
pub fn take_all(scheduler: &mut Scheduler) -> usize {
    scheduler.with_queue(|queue, _| {
        let pods = std::iter::from_fn(|| {
            let pod = queue.pop()?;
            queue.done(pod.object.meta.uid);
            Some(pod)
        });
        pods.count()
    })
}

/// A scheduler whose pods were all refused for want of resources, long enough ago for their back-off to be over.
pub fn refused(pods: &[Arc<Object>]) -> Scheduler {
    let mut scheduler = queued(pods);
    let by = scheduler.profiles()[0].rejectors([&SmolStr::new_static("NodeResourcesFit")]);
    scheduler.with_queue(|queue, with| {
        while let Some(mut pod) = queue.pop() {
            pod.unschedulable_plugins = by;
            queue.add_failed(with, pod, Time::ZERO);
        }
    });
    scheduler
}

/// A node joins, with so many cores. Returns how many pods it wakes.
pub fn join(scheduler: &mut Scheduler, cores: u32) -> usize {
    let node: Object = node("joined").cpu(&cores.to_string()).memory("32Gi").into();
    scheduler.observe(Time::ZERO + secs(60), &seen(Arc::new(node)));
    scheduler.queue().pending().active
}
