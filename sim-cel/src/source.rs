//! The text of an expression, places in it, and complaints in cel-go's form (`common/error.go`, `common/errors.go`).

use std::fmt;

/// Complaints printed before the rest is only counted.
const MAX_REPORTED: usize = 100;

/// Line and column of a character. Lines count from one, columns from zero; both as cel-go keeps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) line: i64,
    pub(crate) column: i64,
}

/// Nowhere in the text.
pub(crate) const NOWHERE: Place = Place { line: -1, column: -1 };

/// The text of an expression.
#[derive(Clone, Debug)]
pub(crate) struct Text<'a>(pub(crate) &'a str);

impl Text<'_> {
    /// The place of a byte.
    pub(crate) fn place(&self, offset: usize) -> Place {
        let before = self.0.get(..offset.min(self.0.len())).unwrap_or(self.0);
        let line = before.matches('\n').count() as i64 + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() as i64;
        Place { line, column }
    }

    /// The byte of a place; the end if the text is shorter.
    pub(crate) fn offset(&self, place: Place) -> usize {
        let lines = usize::try_from(place.line - 1).unwrap_or(0);
        let before: usize = self.0.split_inclusive('\n').take(lines).map(str::len).sum();
        let columns = usize::try_from(place.column).unwrap_or(0);
        let line = self.0.get(before..).unwrap_or("");
        before + line.char_indices().nth(columns).map_or(line.len(), |(at, _)| at)
    }

    fn line(&self, line: i64) -> Option<&str> {
        let index = usize::try_from(line).ok()?.checked_sub(1)?;
        self.0.split('\n').nth(index)
    }
}

/// What is wrong with an expression, in the order of reporting.
#[derive(Clone, Debug, Default)]
pub(crate) struct Issues(Vec<(Place, String)>);

impl Issues {
    pub(crate) fn report(&mut self, place: Place, message: impl Into<String>) {
        self.0.push((place, message.into()));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All complaints as one text, by place.
    pub(crate) fn display(mut self, text: &Text<'_>) -> String {
        self.0.sort_by_key(|(place, _)| *place);
        let mut lines: Vec<String> =
            self.0.iter().take(MAX_REPORTED).map(|(place, message)| one(*place, message, text)).collect();
        if self.0.len() > MAX_REPORTED {
            lines.push(format!("{} more errors were truncated", self.0.len() - MAX_REPORTED));
        }
        lines.join("\n")
    }
}

fn one(place: Place, message: &str, text: &Text<'_>) -> String {
    let head = format!("ERROR: <input>:{}:{}: {message}", place.line, place.column + 1);
    match text.line(place.line).filter(|_| !text.0.is_empty()) {
        None => head,
        Some(line) => {
            let line = line.replace('\t', " ");
            format!("{head}\n | {line}\n | {}", Indicator { line: &line, column: place.column })
        }
    }
}

/// Dots up to the column, then a caret; wide ones below characters of more than one byte.
struct Indicator<'a> {
    line: &'a str,
    column: i64,
}

impl fmt::Display for Indicator<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.line.chars();
        for _ in 0..self.column {
            match rest.next() {
                None => break,
                Some(c) => f.write_str(if c.len_utf8() > 1 { "\u{ff0e}" } else { "." })?,
            }
        }
        f.write_str(if rest.next().is_some_and(|c| c.len_utf8() > 1) { "\u{ff3e}" } else { "^" })
    }
}
