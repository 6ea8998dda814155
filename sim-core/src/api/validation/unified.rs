//! Unified differences as Go's port of Python's `difflib` makes them: the longest common block first, then what is
//! left and right of it.

use std::collections::BTreeMap;

const CONTEXT: usize = 3;
/// From this length on, lines that are very common are not used to find blocks.
const AUTO_JUNK: usize = 200;

/// Equal lines: where in the old, where in the new, how many.
#[derive(Clone, Copy)]
struct Block {
    old: usize,
    new: usize,
    size: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tag {
    Equal,
    Change,
}

/// What became of a range of old lines.
#[derive(Clone, Copy)]
struct Step {
    tag: Tag,
    old: (usize, usize),
    new: (usize, usize),
}

/// The hunks, without file names; empty if nothing differs.
pub(super) fn diff(old: &[String], new: &[String]) -> String {
    let mut out = String::new();
    for group in groups(&steps(old, new)) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        out.push_str(&format!(
            "@@ -{} +{} @@\n",
            range(first.old.0, last.old.1),
            range(first.new.0, last.new.1)
        ));
        for step in &group {
            match step.tag {
                Tag::Equal => prefixed(&mut out, ' ', &old[step.old.0..step.old.1]),
                Tag::Change => {
                    prefixed(&mut out, '-', &old[step.old.0..step.old.1]);
                    prefixed(&mut out, '+', &new[step.new.0..step.new.1]);
                }
            }
        }
    }
    out
}

fn prefixed(out: &mut String, mark: char, lines: &[String]) {
    for line in lines {
        out.push(mark);
        out.push_str(line);
        out.push('\n');
    }
}

fn range(start: usize, end: usize) -> String {
    match end - start {
        1 => format!("{}", start + 1),
        0 => format!("{start},0"),
        length => format!("{},{length}", start + 1),
    }
}

fn steps(old: &[String], new: &[String]) -> Vec<Step> {
    let mut blocks = blocks(old, new);
    blocks.push(Block { old: old.len(), new: new.len(), size: 0 });
    let (mut i, mut j) = (0, 0);
    let mut steps = Vec::new();
    for block in blocks {
        if i < block.old || j < block.new {
            steps.push(Step { tag: Tag::Change, old: (i, block.old), new: (j, block.new) });
        }
        (i, j) = (block.old + block.size, block.new + block.size);
        if block.size > 0 {
            steps.push(Step { tag: Tag::Equal, old: (block.old, i), new: (block.new, j) });
        }
    }
    steps
}

/// The common blocks, in order, adjacent ones joined.
fn blocks(old: &[String], new: &[String]) -> Vec<Block> {
    let mut positions: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (j, line) in new.iter().enumerate() {
        positions.entry(line).or_default().push(j);
    }
    if new.len() >= AUTO_JUNK {
        let popular = new.len() / 100 + 1;
        positions.retain(|_, at| at.len() <= popular);
    }
    let mut found = Vec::new();
    let mut open = vec![(0, old.len(), 0, new.len())];
    while let Some((old_from, old_to, new_from, new_to)) = open.pop() {
        let block = longest(old, new, &positions, (old_from, old_to), (new_from, new_to));
        if block.size > 0 {
            open.push((old_from, block.old, new_from, block.new));
            open.push((block.old + block.size, old_to, block.new + block.size, new_to));
            found.push(block);
        }
    }
    found.sort_by_key(|b| (b.old, b.new));
    let mut joined: Vec<Block> = Vec::new();
    for block in found {
        match joined.last_mut() {
            Some(last) if last.old + last.size == block.old && last.new + last.size == block.new => {
                last.size += block.size;
            }
            _ => joined.push(block),
        }
    }
    joined
}

/// The longest common block of two ranges; of several the first in the old, then in the new.
fn longest(
    old: &[String],
    new: &[String],
    positions: &BTreeMap<&str, Vec<usize>>,
    (old_from, old_to): (usize, usize),
    (new_from, new_to): (usize, usize),
) -> Block {
    let mut best = Block { old: old_from, new: new_from, size: 0 };
    let mut lengths: BTreeMap<usize, usize> = BTreeMap::new();
    for (i, line) in old.iter().enumerate().take(old_to).skip(old_from) {
        let mut next = BTreeMap::new();
        for &j in positions.get(line.as_str()).into_iter().flatten() {
            if j < new_from {
                continue;
            }
            if j >= new_to {
                break;
            }
            let before = j.checked_sub(1).and_then(|j| lengths.get(&j)).copied().unwrap_or(0);
            let size = before + 1;
            next.insert(j, size);
            if size > best.size {
                best = Block { old: i + 1 - size, new: j + 1 - size, size };
            }
        }
        lengths = next;
    }
    // Common lines that were left out above may still extend the block.
    while best.old > old_from && best.new > new_from && old[best.old - 1] == new[best.new - 1] {
        best = Block { old: best.old - 1, new: best.new - 1, size: best.size + 1 };
    }
    while best.old + best.size < old_to
        && best.new + best.size < new_to
        && old[best.old + best.size] == new[best.new + best.size]
    {
        best.size += 1;
    }
    best
}

/// Steps in hunks, each with its context.
fn groups(steps: &[Step]) -> Vec<Vec<Step>> {
    let mut groups = Vec::new();
    let mut group: Vec<Step> = Vec::new();
    let count = steps.len();
    for (n, step) in steps.iter().enumerate() {
        let mut step = *step;
        if step.tag == Tag::Equal {
            if n == 0 {
                step = shorten_front(step);
            }
            if n + 1 == count {
                step = shorten_back(step);
            }
            if n > 0 && n + 1 < count && step.old.1 - step.old.0 > 2 * CONTEXT {
                group.push(shorten_back(step));
                groups.push(std::mem::take(&mut group));
                step = shorten_front(step);
            }
        }
        group.push(step);
    }
    if group.iter().any(|s| s.tag == Tag::Change) {
        groups.push(group);
    }
    groups
}

fn shorten_front(s: Step) -> Step {
    let start = |(from, to): (usize, usize)| (from.max(to.saturating_sub(CONTEXT)), to);
    Step { old: start(s.old), new: start(s.new), ..s }
}

fn shorten_back(s: Step) -> Step {
    let end = |(from, to): (usize, usize)| (from, to.min(from + CONTEXT));
    Step { old: end(s.old), new: end(s.new), ..s }
}

#[cfg(test)]
mod tests {
    #[test]
    fn hunks_have_three_lines_of_context() {
        let old: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        let mut new = old.clone();
        new[10] = "ten".to_string();
        new.push("end".to_string());
        assert_eq!(
            super::diff(&old, &new),
            "@@ -8,7 +8,7 @@\n 7\n 8\n 9\n-10\n+ten\n 11\n 12\n 13\n@@ -18,3 +18,4 @@\n 17\n 18\n 19\n+end\n"
        );
        assert_eq!(super::diff(&old, &old), "");
    }
}
