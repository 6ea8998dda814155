//! Words for texts that are no YAML, no JSON or no base64, as Go's packages choose them.

use sim_core::load::LoadError;
use sim_core::syntax::go_quote;

/// What `go.yaml.in/yaml/v2` says where our reader says something else; whether its scanner or its parser notices, which
/// count lines differently; and whether it notices at once or at the end of the text.
const YAML: &[(&str, &str, Notices)] = &[
    ("tabs disallowed", "found character that cannot start any token", Notices::Scanner),
    ("unexpected character: `\\u", "control characters are not allowed", Notices::Reader),
    ("unexpected character", "found character that cannot start any token", Notices::Scanner),
    ("found a tab", "found a tab character that violates indentation", Notices::NextLine),
    ("unclosed bracket '['", "did not find expected ',' or ']'", Notices::ParserAtEnd),
    ("unclosed bracket '{'", "did not find expected ',' or '}'", Notices::ParserAtEnd),
    ("unclosed quote", "found unexpected end of stream", Notices::ScannerAtEnd),
    ("multiline quoted scalar", "found unexpected end of stream", Notices::ScannerAtEnd),
    ("simple key expected ':'", "could not find expected ':'", Notices::NextLine),
    ("misplaced bracket", "did not find expected node content", Notices::Parser),
    ("invalid trailing content", "did not find expected key", Notices::Parser),
    ("did not find expected key", "did not find expected key", Notices::Parser),
    ("did not find expected '-'", "did not find expected '-' indicator", Notices::Parser),
    ("alphabetic or numeric", "did not find expected alphabetic or numeric character", Notices::Scanner),
    ("unknown escape character", "found unknown escape character", Notices::Scanner),
];

#[derive(Clone, Copy, PartialEq)]
enum Notices {
    Reader,
    Scanner,
    NextLine,
    ScannerAtEnd,
    Parser,
    ParserAtEnd,
}

/// A YAML error in Go's words, as far as they are known.
pub(super) fn yaml(error: &LoadError, text: &str) -> String {
    let ours = error.message();
    let Some(syntax) = ours.strip_prefix("invalid YAML: ") else { return format!("yaml: {ours}") };
    if syntax.contains("unknown anchor") {
        let alias = error.place().and_then(|p| text.get(p.offset + 1..)).unwrap_or_default();
        let name = alias.split(|c: char| !(c.is_ascii_alphanumeric() || "-_".contains(c))).next();
        return format!("yaml: unknown anchor '{}' referenced", name.unwrap_or_default());
    }
    let known = YAML.iter().find(|(needle, ..)| syntax.contains(needle));
    let (words, notices) = known.map_or((syntax, Notices::Scanner), |(_, words, n)| (*words, *n));
    // Lines of marks count from zero.
    let here = error.place().map_or(0, |p| p.line.saturating_sub(1));
    let end = text.matches('\n').count();
    let (mark, more) = match notices {
        Notices::Reader => (0, 0),
        Notices::Scanner => (here, 1),
        Notices::NextLine => (here + 1, 1),
        Notices::ScannerAtEnd => (end, 1),
        Notices::Parser => (here, 0),
        Notices::ParserAtEnd => (end, 0),
    };
    if mark == 0 { format!("yaml: {words}") } else { format!("yaml: line {}: {words}", mark + more) }
}

/// What `encoding/json` says of a text that is not JSON.
pub(super) fn json_error(text: &str) -> Option<String> {
    let mut scan = Scan { bytes: text.as_bytes(), pos: 0 };
    scan.all().err()
}

/// Nesting that `encoding/json` allows; our reader stops long before.
const MAX_DEPTH: usize = 128;

struct Scan<'a> {
    bytes: &'a [u8],
    pos: usize,
}

type Step = Result<(), String>;

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.pos).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.pos += 1;
        }
    }

    fn unexpected(&self, context: &str) -> String {
        match self.peek() {
            None => "unexpected end of JSON input".to_owned(),
            Some(b'\'') => format!("invalid character '\\'' {context}"),
            Some(b'"') => format!("invalid character '\"' {context}"),
            Some(byte) => {
                let quoted = go_quote(&char::from(byte).to_string());
                format!("invalid character '{}' {context}", quoted.trim_matches('"'))
            }
        }
    }

    fn all(&mut self) -> Step {
        self.value(0)?;
        self.space();
        if self.peek().is_some() { Err(self.unexpected("after top-level value")) } else { Ok(()) }
    }

    fn value(&mut self, depth: usize) -> Step {
        self.space();
        match self.peek() {
            _ if depth > MAX_DEPTH => Err("exceeded max depth".to_owned()),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string(),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.unexpected("looking for beginning of value")),
        }
    }

    fn object(&mut self, depth: usize) -> Step {
        self.pos += 1;
        self.space();
        if self.peek() == Some(b'}') {
            self.pos += 1;
            return Ok(());
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("looking for beginning of object key string"));
            }
            self.string()?;
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("after object key"));
            }
            self.pos += 1;
            self.value(depth + 1)?;
            if self.ends(b'}', "after object key:value pair")? {
                return Ok(());
            }
        }
    }

    fn array(&mut self, depth: usize) -> Step {
        self.pos += 1;
        self.space();
        if self.peek() == Some(b']') {
            self.pos += 1;
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            if self.ends(b']', "after array element")? {
                return Ok(());
            }
        }
    }

    /// Behind an element: true at the end, false if another one follows.
    fn ends(&mut self, close: u8, context: &str) -> Result<bool, String> {
        self.space();
        match self.peek() {
            Some(b',') => self.pos += 1,
            Some(byte) if byte == close => {
                self.pos += 1;
                return Ok(true);
            }
            _ => return Err(self.unexpected(context)),
        }
        Ok(false)
    }

    fn string(&mut self) -> Step {
        self.pos += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.pos += 1;
                    match self.peek() {
                        Some(b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"') => self.pos += 1,
                        Some(b'u') => {
                            self.pos += 1;
                            for _ in 0..4 {
                                if !self.peek().is_some_and(|b| b.is_ascii_hexdigit()) {
                                    return Err(self.unexpected("in \\u hexadecimal character escape"));
                                }
                                self.pos += 1;
                            }
                        }
                        _ => return Err(self.unexpected("in string escape code")),
                    }
                }
                Some(0x20..) => self.pos += 1,
                _ => return Err(self.unexpected("in string literal")),
            }
        }
    }

    fn literal(&mut self, word: &str) -> Step {
        for expected in word.bytes() {
            if self.peek() != Some(expected) {
                let context = format!("in literal {word} (expecting '{}')", char::from(expected));
                return Err(self.unexpected(&context));
            }
            self.pos += 1;
        }
        Ok(())
    }

    fn digits(&mut self, context: &str) -> Step {
        if !self.peek().is_some_and(|b| b.is_ascii_digit()) {
            return Err(self.unexpected(context));
        }
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.pos += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Step {
        if self.peek() == Some(b'-') {
            self.pos += 1;
        }
        match self.peek() {
            Some(b'0') => self.pos += 1,
            _ => self.digits("in numeric literal")?,
        }
        if self.peek() == Some(b'.') {
            self.pos += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.pos += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.pos += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        Ok(())
    }
}

/// Where `base64.StdEncoding` finds the first fault, if there is one.
pub(super) fn base64_error(text: &str) -> Option<usize> {
    // Line breaks do not count, but they have places.
    let mut bytes = text.bytes().enumerate().filter(|(_, b)| !matches!(b, b'\r' | b'\n')).peekable();
    let mut in_group = 0;
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' => in_group = (in_group + 1) % 4,
            b'=' if in_group >= 2 => {
                if in_group == 2 {
                    match bytes.next() {
                        None => return Some(text.len()),
                        Some((_, b'=')) => {}
                        Some((next, _)) => return Some(next.saturating_sub(1)),
                    }
                }
                return bytes.next().map(|(rest, _)| rest);
            }
            _ => return Some(at),
        }
    }
    (in_group > 0).then(|| text.len() - in_group)
}
