//! Watches for clients outside the cluster: opened from a revision, polled, told by bookmarks how far they are.

use std::sync::Arc;

use sim_core::api::error::{ApiError, Reason};
use sim_core::api::object::Object;
use sim_core::api::request::{Change, ChangeKind};
use sim_core::api::watch::{Routing, WatcherId};
use sim_core::engine::component::Watch;

use crate::Cluster;

/// A client's open watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientWatch {
    id: WatcherId,
    bookmarks: bool,
}

/// What a client's watch says.
#[derive(Clone, Debug)]
pub enum WatchEvent {
    /// Created, or started to match.
    Added(Arc<Object>),
    /// Written.
    Modified(Arc<Object>),
    /// Removed, or stopped to match; the last state.
    Deleted(Arc<Object>),
    /// Everything up to this revision has been said.
    Bookmark(u64),
}

impl Cluster {
    /// Opens a watch. Without `since`, existing objects come first as `Added`; with it, what was committed after that
    /// revision. With `bookmarks`, every poll ends with one.
    // DIFFERS: upstream sends bookmarks about once a minute; a poll is when this client looks.
    ///
    /// # Errors
    /// 410 if the changes since that revision have been compacted.
    pub fn watch(
        &mut self,
        filter: Watch,
        since: Option<u64>,
        bookmarks: bool,
    ) -> Result<ClientWatch, ApiError> {
        let now = self.now();
        match self.api.store.watch(now, filter, Routing::external(), since) {
            Some(id) => {
                self.own_watch(id);
                Ok(ClientWatch { id, bookmarks })
            }
            None => Err(self.expired(since.unwrap_or_default())),
        }
    }

    /// What has happened since the last poll.
    ///
    /// # Errors
    /// 410 if the client fell too far behind and its watch was closed.
    pub fn poll(&mut self, watch: ClientWatch) -> Result<Vec<WatchEvent>, ApiError> {
        if self.api.store.watchers.is_closed(watch.id) {
            return Err(self.expired(0));
        }
        let changes = self.api.store.watchers.take(self.now(), watch.id);
        let event = |Change { kind, new, .. }| match kind {
            ChangeKind::Added => WatchEvent::Added(new),
            ChangeKind::Modified => WatchEvent::Modified(new),
            ChangeKind::Deleted => WatchEvent::Deleted(new),
        };
        let mut events: Vec<_> = changes.into_iter().map(event).collect();
        if watch.bookmarks {
            events.push(WatchEvent::Bookmark(self.api.store.revision()));
        }
        Ok(events)
    }

    fn expired(&self, since: u64) -> ApiError {
        let message = format!("too old resource version: {since} ({})", self.api.store.revision());
        ApiError::new(Reason::Expired, message)
    }
}
