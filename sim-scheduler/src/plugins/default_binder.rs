//! `DefaultBinder`: posts the binding.

use sim_core::api::request::Request;

use crate::framework::{Attempt, Bind, Binding, Plugin, Reads};
use crate::pod::PodInfo;

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub struct DefaultBinder;

impl Plugin for DefaultBinder {
    const NAME: &'static str = "DefaultBinder";
    const READS: Reads = Reads::NodeLocal;
    type Cycle = ();
    fn pre_filter(&self, _: &PodInfo) {}
}

impl Bind for DefaultBinder {
    fn bind(&self, attempt: &Attempt<'_>, node: &str) -> Binding {
        let meta = &attempt.object.meta;
        Binding::Send(Request::Bind { key: meta.key.clone(), uid: meta.uid, node: node.into() })
    }
}
