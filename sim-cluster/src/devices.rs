//! Devices that break, drivers that fail and kubelets that restart, as it happens from outside.

use sim_core::engine::component::Ctx;
use sim_kubelet::fleet::{Fault, Fleet, Timer, Trouble};
use smol_str::SmolStr;

use crate::Cluster;
use crate::event::{Event, Owner};

const NO_KUBELETS: SmolStr = SmolStr::new_static("this cluster has no kubelets");

impl Cluster {
    fn with_kubelets<R>(
        &mut self,
        f: impl FnOnce(&mut Fleet, &mut Ctx<'_, Timer>) -> Result<R, SmolStr>,
    ) -> Result<R, SmolStr> {
        let Some(fleet) = &mut self.kubelets else { return Err(NO_KUBELETS) };
        let mut result = Err(NO_KUBELETS);
        self.kernel.ctx(Event::Kubelets, &mut self.outbox, |ctx| result = f(fleet, ctx));
        self.send_outbox(Owner::Kubelets);
        result
    }

    /// A device of a node breaks now, or all that is on a piece of hardware (`gpu-3` and its partitions).
    ///
    /// # Errors
    /// There is no such node or device.
    pub fn fail_device(&mut self, node: &str, device: &str, trouble: Trouble) -> Result<(), SmolStr> {
        self.with_kubelets(|fleet, ctx| fleet.fail_device(ctx, node, device, trouble))
    }

    /// A device of a node works again; `replaced` if it is another piece of hardware.
    ///
    /// # Errors
    /// There is no such node or device.
    pub fn repair_device(&mut self, node: &str, device: &str, replaced: bool) -> Result<(), SmolStr> {
        self.with_kubelets(|fleet, ctx| fleet.repair_device(ctx, node, device, replaced))
    }

    /// The kubelet of a node restarts now; what runs goes on running.
    ///
    /// # Errors
    /// There is no such node.
    pub fn restart_kubelet(&mut self, node: &str) -> Result<(), SmolStr> {
        self.with_kubelets(|fleet, ctx| fleet.restart_kubelet(ctx, node))
    }

    /// From now on a driver on a node fails to prepare claims; `None` = not any more.
    ///
    /// # Errors
    /// There is no such node or driver.
    pub fn fail_prepare(&mut self, node: &str, driver: &str, fault: Option<Fault>) -> Result<(), SmolStr> {
        self.with_kubelets(|fleet, _| fleet.fail_prepare(node, driver, fault))
    }
}
