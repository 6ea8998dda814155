//! The PostFilter plugins, one after the other (`RunPostFilterPlugins`).

use crate::framework::{Code, Diagnosis, Effects, Handle, Point, PostFiltered, Status};

/// Asks the PostFilter plugins to help a pod that fits nowhere. The first that can, or that knows that nobody can, ends
/// it; what the others said is put together. `None` if the profile has no such plugin.
pub fn run_post_filters(
    handle: &Handle<'_>,
    diagnosis: &Diagnosis,
    effects: &mut Effects,
) -> Option<PostFiltered> {
    let plugins = handle.profile.at(Point::PostFilter);
    let mut last = PostFiltered::default();
    let mut reasons = Vec::new();
    for &i in plugins {
        let plugin = handle.profile.plugin(i);
        let mut outcome = plugin.post_filter(handle.state.of(i), handle, diagnosis, effects);
        match outcome.status.code {
            Code::Success => return Some(outcome),
            Code::UnschedulableAndUnresolvable => {
                outcome.status = outcome.status.by(plugin.name());
                return Some(outcome);
            }
            Code::Unschedulable | Code::Pending => {
                reasons.append(&mut outcome.status.reasons);
                if outcome.nominated_node.is_some() {
                    last = outcome;
                }
            }
            Code::Error | Code::Skip | Code::Wait => {
                let status = Status { code: Code::Error, ..outcome.status }.by(plugin.name());
                return Some(PostFiltered { status, ..PostFiltered::default() });
            }
        }
    }
    let first = handle.profile.plugin(*plugins.first()?).name();
    let status = Status { code: Code::Unschedulable, reasons, ..Status::default() }.by(first);
    Some(PostFiltered { status, ..last })
}
