//! The life of one pod as a story, and where two logs part.

use std::fmt::Write as _;
use std::io::{self, BufRead};

use sim_core::api::meta::Key;
use sim_core::engine::log::{CommitVerb, Record, records};
use sim_core::time::Time;

use super::run::Observer;

/// Collects what the log says of one pod.
#[derive(Clone, Debug)]
pub struct Story {
    namespace: String,
    name: String,
    /// The attempt that is looked into; the last one unless this says.
    pub attempt: Option<u32>,
    lines: Vec<(Time, String)>,
}

impl Story {
    /// The story of a pod, still empty.
    pub fn of(namespace: &str, name: &str) -> Story {
        Story { namespace: namespace.to_owned(), name: name.to_owned(), attempt: None, lines: Vec::new() }
    }

    /// True if the log never spoke of the pod.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn tell(&self, record: &Record<'_>) -> Option<String> {
        let is_it = |namespace: &str, name: &str| self.namespace == namespace && self.name == name;
        match *record {
            Record::Commit { verb, kind: "Pod", namespace, name, .. } if is_it(namespace, name) => match verb
            {
                CommitVerb::Create => Some("created".to_owned()),
                CommitVerb::Bind => Some("bound to its node".to_owned()),
                CommitVerb::MarkDeleted => Some("deletion requested".to_owned()),
                CommitVerb::Delete => Some("removed".to_owned()),
                CommitVerb::Update => Some("spec or metadata changed".to_owned()),
                CommitVerb::Status => None,
            },
            Record::Event { kind: "Pod", namespace, name, reason, message, .. } if is_it(namespace, name) => {
                Some(format!("{reason}: {message}"))
            }
            Record::Decision { namespace, name, node, feasible, evaluated, score }
                if is_it(namespace, name) =>
            {
                Some(match node {
                    "" => format!("no node: {feasible} of {evaluated} nodes fit"),
                    _ => {
                        format!("scheduler chose {node} (score {score}; {feasible} of {evaluated} nodes fit)")
                    }
                })
            }
            Record::Container { namespace, name, container, step, value } if is_it(namespace, name) => {
                let who = if container.is_empty() { "sandbox" } else { container };
                Some(if value == 0 { format!("{who}: {step}") } else { format!("{who}: {step} ({value})") })
            }
            _ => None,
        }
    }

    /// The story, a line for each thing that happened.
    pub fn to_text(&self) -> String {
        let width = self.lines.iter().map(|(at, _)| at.to_string().len()).max().unwrap_or(0);
        self.lines.iter().fold(String::new(), |mut out, (at, line)| {
            let _ = writeln!(out, "{:>width$}  {line}", at.to_string());
            out
        })
    }
}

impl Observer for Story {
    fn explains(&self) -> Option<(Key, Option<u32>)> {
        Some((Key::new(self.namespace.as_str(), self.name.as_str()), self.attempt))
    }

    fn records(&mut self, encoded: &[u8]) -> io::Result<()> {
        for (at, record) in records(encoded) {
            if let Some(line) = self.tell(&record) {
                self.lines.push((at, line));
            }
        }
        Ok(())
    }
}

/// Where two texts part: number of the line, and the line of each.
pub type Difference = (usize, Option<String>, Option<String>);

/// The first line in which two texts differ: its number from one, and the line of each (`None` where one has ended).
///
/// # Errors
/// A reader's.
pub fn first_difference(a: impl BufRead, b: impl BufRead) -> io::Result<Option<Difference>> {
    let (mut a, mut b) = (a.lines(), b.lines());
    let mut number = 1;
    loop {
        match (a.next().transpose()?, b.next().transpose()?) {
            (None, None) => return Ok(None),
            (left, right) if left != right => return Ok(Some((number, left, right))),
            _ => number += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_part_at_the_first_difference() {
        let part = |a: &str, b: &str| first_difference(a.as_bytes(), b.as_bytes()).unwrap();
        assert_eq!(part("a\nb\n", "a\nb\n"), None);
        assert_eq!(part("a\nb\n", "a\nc\n"), Some((2, Some("b".into()), Some("c".into()))));
        assert_eq!(part("a\n", "a\nc\n"), Some((2, None, Some("c".into()))));
    }
}
