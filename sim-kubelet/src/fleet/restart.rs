//! A kubelet that stops and starts again: what runs goes on running, what only the kubelet knew is forgotten.

use sim_core::engine::component::Ctx;
use sim_core::time::{Span, secs};
use smol_str::{SmolStr, format_smolstr};

use super::pod::{Busy, Stage};
use super::worker::PodWorker;
use super::{Fleet, Timer};

/// A driver that finds its slices deleted waits this long before it publishes them again (`DefaultSyncDelay`).
const SYNC_DELAY: Span = secs(30);

impl Fleet {
    /// The kubelet of a node restarts, in no time. Syncs begin anew, back-offs are forgotten, and of claims is known what
    /// the checkpoint says: who uses them, but not that they are prepared. The node's slices are deleted, as no driver has
    /// registered yet, and the drivers publish them again after half a minute.
    ///
    /// # Errors
    /// There is no such node.
    // DIFFERS: a kubelet that starts also knows nothing of probes; here their verdicts stay.
    pub fn restart_kubelet(&mut self, ctx: &mut Ctx<'_, Timer>, node: &str) -> Result<(), SmolStr> {
        let id = self.node_ids.get(node).copied().filter(|id| self.nodes[*id as usize].object.is_some());
        let id = id.ok_or_else(|| format_smolstr!("no node {node}"))?;
        let state = &mut self.nodes[id as usize];
        if let Some(devices) = &mut state.devices {
            devices.claims.restarted();
        }
        for slot in state.pods.clone() {
            self.work(ctx, slot, |w| w.kubelet_restarted());
        }
        for at in self.hide_slices(id) {
            self.publish(ctx, id, at);
            ctx.set_timer(SYNC_DELAY, Timer::Publish { node: id, driver: at as u32 });
        }
        Ok(())
    }
}

impl PodWorker<'_, '_> {
    fn kubelet_restarted(&mut self) {
        match (self.pod.stage, &self.pod.busy) {
            // The runtime has its orders.
            (Stage::Finished, _) | (_, Busy::Killing { .. }) => {}
            (Stage::Terminating, _) => {
                self.stop_waiting();
                self.finish();
            }
            (Stage::Syncing, _) => {
                self.stop_waiting();
                self.pod.busy = Busy::Idle;
                self.pod.jobs.clear();
                self.pod.retry_at = None;
                for cell in &mut self.pod.cells {
                    (cell.backoff, cell.image) = (None, None);
                }
                self.sync();
            }
        }
    }

    fn stop_waiting(&mut self) {
        for timer in [self.pod.step.take(), self.pod.retry.take()].into_iter().flatten() {
            self.ctx.cancel(timer);
        }
    }
}
