//! What a plugin with [`Columns`](crate::framework::Columns) keeps for one class, and how it is kept up to date.

use crate::framework::{Attempt, Kept, Point, Profile, State};

/// Points at which plugins are asked once a node is chosen, and may want their state.
pub(super) const LATER: [Point; 4] = [Point::Reserve, Point::Permit, Point::PreBind, Point::PostBind];

/// One such plugin for one class.
pub(super) struct Column {
    /// Number of the plugin.
    pub(super) plugin: usize,
    pub(super) kept: Kept,
    /// False if the plugin has no say at the moment.
    pub(super) active: bool,
    /// True if it is asked at Filter.
    pub(super) filters: bool,
    /// True if it is asked at Score.
    pub(super) scores: bool,
    /// True if it is asked once a node is chosen.
    pub(super) later: bool,
    shape_version: u64,
    mark: u64,
}

impl Column {
    /// `None` if the plugin wants the class to go the plain way.
    pub(super) fn new(profile: &Profile, plugin: usize, attempt: &Attempt<'_>) -> Option<Column> {
        let columns = profile.plugin(plugin).columns()?;
        let kept = columns.keep(attempt)?;
        Some(Column {
            plugin,
            active: !columns.is_idle(&kept),
            kept,
            filters: profile.at(Point::Filter).contains(&plugin),
            scores: profile.at(Point::Score).contains(&plugin),
            later: LATER.iter().any(|point| profile.at(*point).contains(&plugin)),
            shape_version: attempt.cluster.shape_version(),
            mark: attempt.cluster.moves_since(0).1,
        })
    }

    /// The plugin's state as after PreFilter; `None` if that would skip.
    pub(super) fn state(&self, profile: &Profile, attempt: &Attempt<'_>) -> Option<State> {
        profile.plugin(self.plugin).columns()?.state(&self.kept, attempt)
    }

    /// Makes the counts those of now. False if the plugin wants the class to go the plain way.
    pub(super) fn update(&mut self, profile: &Profile, attempt: &Attempt<'_>) -> bool {
        let Some(columns) = profile.plugin(self.plugin).columns() else { return false };
        let cluster = attempt.cluster;
        let (moves, mark) = cluster.moves_since(self.mark);
        let same_shape = self.shape_version == cluster.shape_version();
        match moves {
            Some(moves) if same_shape && !columns.is_stale(&self.kept, attempt) => {
                if moves.is_empty() {
                    return true;
                }
                columns.follow(&mut self.kept, attempt, moves);
            }
            _ => match columns.keep(attempt) {
                Some(kept) => self.kept = kept,
                None => return false,
            },
        }
        self.active = !columns.is_idle(&self.kept);
        self.shape_version = cluster.shape_version();
        self.mark = mark;
        true
    }
}
