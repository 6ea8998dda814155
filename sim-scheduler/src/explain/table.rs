//! An explanation as tables for people.

use std::fmt;

use super::{Explanation, NodeAnswer, ScoreOf, VerdictGroup};
use crate::framework::Code;

/// Which nodes a table shows one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Show {
    /// The feasible ones with the highest totals.
    #[default]
    Best,
    /// Those that were refused, or would have been.
    Refused,
    /// All.
    All,
}

/// How many of the best nodes are shown.
const BEST: usize = 10;

/// An explanation to be printed.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    /// What is printed.
    pub explanation: &'a Explanation,
    /// Which nodes of it.
    pub show: Show,
}

impl Explanation {
    /// As a text with tables.
    pub fn table(&self, show: Show) -> Table<'_> {
        Table { explanation: self, show }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table(Show::default()).fmt(f)
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Table { explanation, show } = self;
        explanation.write_head(f)?;
        let groups = explanation.groups();
        if !groups.is_empty() {
            writeln!(f, "\nrefusals:")?;
            write_rows(
                f,
                &["nodes", "further", "plugin", "reason", "eviction", "e.g."],
                groups.iter().map(group_row),
            )?;
        }
        let ranked = explanation.ranked();
        let shown = if *show == Show::All { ranked.len() } else { BEST };
        if *show != Show::Refused && !ranked.is_empty() {
            explanation.write_scores(f, &ranked, shown)?;
        }
        if *show != Show::Best {
            let refused: Vec<NodeAnswer<'_>> = explanation.nodes().filter(|n| !n.passed()).collect();
            if !refused.is_empty() {
                writeln!(f, "\nother nodes:")?;
                write_rows(
                    f,
                    &["node", "what is said"],
                    refused.iter().map(|n| vec![n.node.to_string(), n.verdict()]),
                )?;
            }
        }
        explanation.write_preemption(f)
    }
}

impl Explanation {
    fn write_head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attempt {} of {} at {}, by {}: ", self.attempt, self.pod, self.at, self.profile)?;
        match (&self.chosen, self.message.is_empty()) {
            (Some(node), true) => writeln!(f, "{node}")?,
            (Some(node), false) => writeln!(f, "{node}, given back\n{}", self.message)?,
            (None, false) => writeln!(f, "no node\n{}", self.message)?,
            (None, true) => writeln!(f, "no node")?,
        }
        let (fit, seen) = (self.feasible(), self.looked_at());
        write!(f, "{} nodes, {seen} looked at, {fit} fit", self.len())?;
        if self.nominated_first {
            write!(f, " (the one that was promised to the pod)")?;
        }
        match self.best().as_slice() {
            [] | [_] => writeln!(f),
            best => writeln!(f, ", {} with the highest score", best.len()),
        }
    }

    fn write_scores(
        &self,
        f: &mut fmt::Formatter<'_>,
        ranked: &[NodeAnswer<'_>],
        shown: usize,
    ) -> fmt::Result {
        let scored: Vec<&str> = self.scorers().collect();
        if scored.is_empty() {
            let names: Vec<&str> = ranked.iter().take(shown).map(|node| node.node.as_str()).collect();
            return writeln!(f, "\nfits: {}{}", names.join(", "), rest(ranked.len(), shown));
        }
        writeln!(f, "\nscores (times weight; as the plugin gave it):")?;
        let columns: Vec<&str> = ["", "node", "total"].into_iter().chain(scored).collect();
        let rows = ranked.iter().take(shown).map(|node| {
            let mark = if node.chosen {
                "*"
            } else if node.best {
                "="
            } else {
                ""
            };
            let total = node.total.map_or_else(String::new, |total| total.to_string());
            let head = [mark.to_owned(), node.node.to_string(), total];
            head.into_iter().chain(node.scores.iter().map(score_text)).collect()
        });
        write_rows(f, &columns, rows)?;
        if ranked.len() > shown {
            writeln!(f, " {}", rest(ranked.len(), shown))?;
        }
        Ok(())
    }

    fn write_preemption(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(preemption) = &self.preemption else { return Ok(()) };
        writeln!(f, "\npreemption:")?;
        let rows = preemption.candidates.iter().map(|(node, victims, violations)| {
            let tied = preemption.tied.contains(node);
            let mark = if *node == preemption.node {
                "*"
            } else if tied {
                "="
            } else {
                ""
            };
            let victims: Vec<String> = victims.iter().map(ToString::to_string).collect();
            vec![mark.to_owned(), node.to_string(), violations.to_string(), victims.join(", ")]
        });
        write_rows(f, &["", "node", "budgets violated", "victims"], rows)
    }
}

impl NodeAnswer<'_> {
    /// True if the search came to it, and it passed.
    fn passed(&self) -> bool {
        self.looked_at && self.refusals.is_empty()
    }

    /// What is said of it, in one line.
    pub fn verdict(&self) -> String {
        let said = self.refusals.iter().map(|status| match status.plugin.is_empty() {
            true => status.message(),
            false => format!("{}: {}", status.plugin, status.message()),
        });
        let said = said.collect::<Vec<_>>().join("; ");
        match (self.looked_at, said.is_empty()) {
            (true, true) => "fits".to_owned(),
            (true, false) => said,
            (false, true) => "not looked at; it would fit".to_owned(),
            (false, false) => format!("not looked at; {said}"),
        }
    }
}

/// All that is said of a node: for "why not this one?".
impl fmt::Display for NodeAnswer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.node, self.verdict())?;
        if let Some(total) = self.total {
            let chosen = if self.chosen { ", chosen" } else { "" };
            let tied = if self.best && !self.chosen { ", as good as the chosen one" } else { "" };
            write!(f, "; total {total}{chosen}{tied}")?;
        }
        for score in &self.scores {
            write!(f, "\n  {} {}", score.name, score_text(score))?;
        }
        Ok(())
    }
}

fn score_text(score: &ScoreOf<'_>) -> String {
    match score.raw == score.weighted {
        true => score.weighted.to_string(),
        false => format!("{} ({})", score.weighted, score.raw),
    }
}

fn rest(all: usize, shown: usize) -> String {
    if all > shown { format!(" and {} more", all - shown) } else { String::new() }
}

fn group_row(group: &VerdictGroup) -> Vec<String> {
    let all = group.nodes + group.further;
    let names: Vec<&str> = group.examples.iter().map(|name| name.as_str()).collect();
    let examples = format!("{}{}", names.join(", "), if all > names.len() { ", …" } else { "" });
    let (plugin, reason) = (group.plugin.to_string(), group.reason.to_string());
    let eviction = if group.code == Code::Unschedulable { "may help" } else { "does not help" };
    vec![group.nodes.to_string(), group.further.to_string(), plugin, reason, eviction.to_owned(), examples]
}

/// Columns as wide as they need to be, two blanks between them; none that is empty.
fn write_rows(
    f: &mut fmt::Formatter<'_>,
    head: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) -> fmt::Result {
    let head = head.iter().map(|title| (*title).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|at| width(at).unwrap_or(0)).collect();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths).filter(|(_, width)| **width > 0) {
            line.push_str(&format!("  {cell:<width$}"));
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}
