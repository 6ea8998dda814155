//! Components that users write: controllers, clients, chaos.

use sim_core::api::request::{Change, Reply};
use sim_core::engine::component::{Component, Ctx, Watch};

/// A [`Component`] behind a box. Its timers are numbers of its own choosing. Implemented for every cloneable component
/// with `Timer = u64`; nobody has to write it.
pub trait UserComponent: Send {
    /// See [`Component::name`].
    fn name(&self) -> &'static str;
    /// See [`Component::watches`].
    fn watches(&self) -> Vec<Watch>;
    /// See [`Component::started`].
    fn started(&mut self, ctx: &mut Ctx<'_, u64>);
    /// See [`Component::changed`].
    fn changed(&mut self, ctx: &mut Ctx<'_, u64>, batch: &[Change]);
    /// See [`Component::fired`].
    fn fired(&mut self, ctx: &mut Ctx<'_, u64>, timer: u64);
    /// See [`Component::replied`].
    fn replied(&mut self, ctx: &mut Ctx<'_, u64>, reply: Reply);
    /// A copy, for snapshots and forks.
    fn clone_box(&self) -> Box<dyn UserComponent>;
}

impl<C> UserComponent for C
where
    C: Component<Timer = u64> + Clone + Send + 'static,
{
    fn name(&self) -> &'static str {
        Component::name(self)
    }
    fn watches(&self) -> Vec<Watch> {
        Component::watches(self)
    }
    fn started(&mut self, ctx: &mut Ctx<'_, u64>) {
        Component::started(self, ctx);
    }
    fn changed(&mut self, ctx: &mut Ctx<'_, u64>, batch: &[Change]) {
        Component::changed(self, ctx, batch);
    }
    fn fired(&mut self, ctx: &mut Ctx<'_, u64>, timer: u64) {
        Component::fired(self, ctx, timer);
    }
    fn replied(&mut self, ctx: &mut Ctx<'_, u64>, reply: Reply) {
        Component::replied(self, ctx, reply);
    }
    fn clone_box(&self) -> Box<dyn UserComponent> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn UserComponent> {
    fn clone(&self) -> Self {
        self.clone_box()
    }
}
