//! How deep an expression nests, found without recursion before anything recursive looks at it.
//!
//! cel-go counts, for every rule of the grammar, how often it is entered without being left, and gives up at 250
//! (`parser/parser.go`, `recursionListener`). Left-recursive rules (relations, arithmetic, member access) count a link of a
//! chain as one more entry.

/// Entries of one rule at which cel-go gives up.
pub(crate) const LIMIT: usize = 250;

/// Links of the chains that are open at one level of brackets.
#[derive(Clone, Copy, Default)]
struct Level {
    relations: usize,
    sums: usize,
    members: usize,
    /// Ternaries: what follows `?` or `:` is an expression within the expression.
    branches: usize,
}

/// The deepest nesting of any rule.
pub(crate) fn depth(text: &str) -> usize {
    let mut scan = Scan { levels: vec![Level::default()], deepest: 1, after_operand: false };
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let taken = literal_length(rest).unwrap_or_else(|| scan.step(c, rest));
        if !c.is_whitespace() {
            scan.after_operand = c.is_alphanumeric() || "_)]}\"'".contains(c);
        }
        rest = rest.get(taken.max(c.len_utf8())..).unwrap_or("");
    }
    scan.deepest
}

/// The length of the string or comment that a text starts with: nothing in it is an operator.
pub(crate) fn literal_length(text: &str) -> Option<usize> {
    match text.chars().next()? {
        '"' | '\'' => Some(string_length(text, false)),
        'r' | 'R' | 'b' | 'B' if quote_follows(text).is_some() => Some(prefixed_length(text)),
        '/' if text.starts_with("//") => Some(text.find('\n').unwrap_or(text.len())),
        _ => None,
    }
}

struct Scan {
    levels: Vec<Level>,
    deepest: usize,
    /// What follows an operand goes on with it: `a[` is an index, `[` alone a list.
    after_operand: bool,
}

impl Scan {
    /// Takes one operator or character, and tells its length in bytes.
    fn step(&mut self, c: char, rest: &str) -> usize {
        let two = matches!(rest.get(..2), Some("==" | "!=" | "<=" | ">=" | "&&" | "||" | ".?" | "[?"));
        match c {
            '[' if self.after_operand => {
                self.link(|level| level.members += 1);
                self.open();
            }
            '(' | '{' | '[' => self.open(),
            ')' | ']' | '}' if self.levels.len() > 1 => drop(self.levels.pop()),
            ',' => self.restart(|_| Level::default()),
            '?' | ':' => self.restart(|old| Level { branches: old.branches + 1, ..Level::default() }),
            '&' | '|' => self.restart(|old| Level { branches: old.branches, ..Level::default() }),
            '.' => self.link(|level| level.members += 1),
            '=' | '!' | '<' | '>' if two || matches!(c, '<' | '>') => self.link(|level| {
                level.relations += 1;
                (level.sums, level.members) = (0, 0);
            }),
            '+' | '*' | '/' | '%' | '-' => self.link(|level| {
                level.sums += 1;
                level.members = 0;
            }),
            _ => {}
        }
        if two && c != '[' { 2 } else { c.len_utf8() }
    }

    fn open(&mut self) {
        self.levels.push(Level::default());
        self.measure();
    }

    fn link(&mut self, change: impl FnOnce(&mut Level)) {
        if let Some(level) = self.levels.last_mut() {
            change(level);
        }
        self.measure();
    }

    fn restart(&mut self, level: impl FnOnce(Level) -> Level) {
        if let Some(last) = self.levels.last_mut() {
            *last = level(*last);
        }
        self.measure();
    }

    /// Only the innermost level changed, but the sum is over all: bounded, because the scan stops counting far above
    /// the limit.
    fn measure(&mut self) {
        if self.deepest > 2 * LIMIT {
            return;
        }
        let sum = |links: fn(&Level) -> usize| -> usize {
            self.levels.iter().map(|level| 1 + level.branches + links(level)).sum()
        };
        let deepest = sum(|l| l.relations).max(sum(|l| l.sums)).max(sum(|l| l.members));
        self.deepest = self.deepest.max(deepest);
    }
}

/// The quote after a prefix `r`, `b`, `rb` or `br`.
fn quote_follows(text: &str) -> Option<usize> {
    let at = text.find(|c: char| !matches!(c, 'r' | 'R' | 'b' | 'B'))?;
    (at <= 2 && text[at..].starts_with(['"', '\''])).then_some(at)
}

fn prefixed_length(text: &str) -> usize {
    let at = quote_follows(text).unwrap_or(0);
    let raw = text[..at].contains(['r', 'R']);
    at + string_length(&text[at..], raw)
}

/// The length of a string literal, up to the end of the line or text if it does not end.
fn string_length(text: &str, raw: bool) -> usize {
    let quote = if text.starts_with('"') { '"' } else { '\'' };
    let triple: String = std::iter::repeat_n(quote, 3).collect();
    let (open, end): (usize, &str) = if text.starts_with(&triple) { (3, &triple) } else { (1, &triple[..1]) };
    let mut at = open;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with(end) {
            return at + end.len();
        }
        let c = rest.chars().next().unwrap_or('\0');
        if c == '\n' && open == 1 {
            return at;
        }
        at += c.len_utf8();
        if c == '\\' && !raw {
            at += text.get(at..).and_then(|r| r.chars().next()).map_or(0, char::len_utf8);
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::depth;

    #[test]
    fn depth_of_every_way_to_nest() {
        for (text, expected) in [
            ("1", 1),
            ("((1))", 3),
            ("[1, [2]]", 3),
            ("a[b[c]]", 5),
            ("a.b.c", 3),
            ("a + b + c", 3),
            ("a ? b : c ? d : e", 5),
            ("f(g(x), h(y))", 3),
            ("'((((' + \"((((\"", 2),
            ("r'\\' + 1", 2),
            ("1 // ((((\n", 1),
            ("'''a'((''' ", 1),
        ] {
            assert_eq!(depth(text), expected, "{text}");
        }
    }

    #[test]
    fn long_texts_are_scanned_in_one_pass() {
        assert!(depth(&"(".repeat(100_000)) > super::LIMIT);
        assert!(depth(&"1+".repeat(50_000)) > super::LIMIT);
        assert!(depth(&"'".repeat(99_999)) < super::LIMIT);
    }
}
