//! What the grammar expects after a complete expression.
//!
//! When a token fails to match, cel-go's parser runtime names the one token that was to come. The parser of the `cel` crate, by
//! a refinement of the same runtime that Go's does not have, names everything that could have come since the last operand,
//! operators included. Only one token can be meant: the one that closes the innermost construct open at that place.

use crate::nesting::literal_length;

/// An operator that is only ever expected after an expression: the mark of the refined message.
const MARK: &str = "'=='";

/// A message with what cel-go would expect at this byte of the text.
///
/// Not covered: complaints after a first one, where the text before is no longer what the parser went on with.
pub(crate) fn as_upstream(message: String, text: &str, at: usize) -> String {
    let Some((head, set)) = message.split_once(" expecting ") else { return message };
    if !head.starts_with("Syntax error: mismatched input") || !set.contains(MARK) {
        return message;
    }
    match closer(text.get(..at).unwrap_or(text)) {
        Some(token) => format!("{head} expecting {token}"),
        None => message,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Construct {
    Text,
    Parenthesis,
    Index,
    List,
    /// A literal with fields, at a key or at a value.
    Key,
    Value,
}

/// A construct that is open, and the ternaries in it that wait for their colon.
struct Open {
    construct: Construct,
    ternaries: usize,
}

/// The token that ends what is open at the end of a text; none where several could (lists and values of maps).
fn closer(text: &str) -> Option<&'static str> {
    let mut open = vec![Open { construct: Construct::Text, ternaries: 0 }];
    let (mut rest, mut after_operand, mut last) = (text, false, ' ');
    while let Some(c) = rest.chars().next() {
        let literal = literal_length(rest);
        if literal.is_none() {
            step(&mut open, c, after_operand, last);
        }
        if !c.is_whitespace() {
            after_operand = c.is_alphanumeric() || "_)]}\"'".contains(c);
            last = c;
        }
        rest = rest.get(literal.unwrap_or(0).max(c.len_utf8())..).unwrap_or("");
    }
    let innermost = open.last()?;
    if innermost.ternaries > 0 {
        return Some("':'");
    }
    match innermost.construct {
        Construct::Text => Some("<EOF>"),
        Construct::Parenthesis => Some("')'"),
        Construct::Index => Some("']'"),
        Construct::Key => Some("':'"),
        Construct::List | Construct::Value => None,
    }
}

fn step(open: &mut Vec<Open>, c: char, after_operand: bool, last: char) {
    let construct = match c {
        '(' => Construct::Parenthesis,
        '[' if after_operand => Construct::Index,
        '[' => Construct::List,
        '{' => Construct::Key,
        ')' | ']' | '}' if open.len() > 1 => {
            open.pop();
            return;
        }
        _ => {
            let Some(Open { construct, ternaries }) = open.last_mut() else { return };
            match c {
                // `a.?b`, `a[?b]`, `[?a, ?b]`, `{?a: b}`: a mark of what is optional.
                '?' if ".[{,".contains(last) => {}
                '?' => *ternaries += 1,
                ':' if *ternaries > 0 => *ternaries -= 1,
                ':' if *construct == Construct::Key => *construct = Construct::Value,
                ',' => {
                    *ternaries = 0;
                    if *construct == Construct::Value {
                        *construct = Construct::Key;
                    }
                }
                _ => {}
            }
            return;
        }
    };
    open.push(Open { construct, ternaries: 0 });
}

#[cfg(test)]
mod tests {
    use super::closer;

    #[test]
    fn one_token_ends_what_is_open() {
        for (text, expected) in [
            ("this ", Some("<EOF>")),
            ("f(a) ", Some("<EOF>")),
            ("f(a, (b ", Some("')'")),
            ("f(')') + g(\"(\" ", Some("')'")),
            ("a[b ", Some("']'")),
            ("[a, b ", None),
            ("a ? b ", Some("':'")),
            ("a ? b : c ", Some("<EOF>")),
            ("a.?b[?c ", Some("']'")),
            ("[?a, b ? c ", Some("':'")),
            ("{a ", Some("':'")),
            ("{a: b ? c : d, e ", Some("':'")),
            ("{?a: b ", None),
            ("a // (\n ", Some("<EOF>")),
        ] {
            assert_eq!(closer(text), expected, "{text}");
        }
    }
}
