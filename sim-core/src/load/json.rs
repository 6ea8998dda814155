//! A JSON reader that keeps places: documents one after another, and the items of a list one by one.
//!
//! The grammar is RFC 8259. Nesting is bounded, so recursion is too. A dump of 100 MB in one line is never held as a
//! tree: the caller gets it item by item.

use std::borrow::Cow;

use super::error::LoadError;
use super::source::Text;
use super::tree::{Data, Duplicate, Entry, MAX_DEPTH, Node, Path, unique};

/// A reader at some position of a text.
#[derive(Debug)]
pub(crate) struct Reader<'s> {
    text: Text<'s>,
    bytes: &'s [u8],
    pos: usize,
    /// Fields given twice so far; the caller may take them.
    pub(crate) duplicates: Vec<Duplicate>,
}

/// The top level of a document, without its values: enough to know a list before reading it.
#[derive(Debug, Default)]
pub(crate) struct Head<'s> {
    /// `apiVersion`, if it is a text.
    pub(crate) api_version: Option<Cow<'s, str>>,
    /// `kind`, if it is a text.
    pub(crate) kind: Option<Cow<'s, str>>,
    /// Position of the `items` array.
    pub(crate) items: Option<usize>,
    /// Where it ends.
    pub(crate) end: usize,
}

type Result<T> = std::result::Result<T, LoadError>;

impl<'s> Reader<'s> {
    pub(crate) fn new(text: Text<'s>) -> Reader<'s> {
        Reader { text, bytes: text.text.as_bytes(), pos: 0, duplicates: Vec::new() }
    }

    fn error(&self, at: usize, message: impl Into<String>) -> LoadError {
        LoadError::new(message).at(&self.text, at as u32)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.pos).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.pos += 1;
        }
    }

    /// Moves to a position, which must be one that a [`Head`] gave.
    pub(crate) fn seek(&mut self, pos: usize) {
        self.pos = pos;
    }

    /// True if only white space is left.
    pub(crate) fn at_end(&mut self) -> bool {
        self.space();
        self.pos >= self.bytes.len()
    }

    /// Nothing but white space may be left.
    pub(crate) fn end(&mut self) -> Result<()> {
        if self.at_end() { Ok(()) } else { Err(self.unexpected("the end of the text")) }
    }

    /// Reads one value with everything in it.
    pub(crate) fn value(&mut self) -> Result<Node<'s>> {
        self.value_at(&Path::Root, 0)
    }

    fn value_at(&mut self, path: &Path<'_>, depth: usize) -> Result<Node<'s>> {
        self.space();
        let at = self.pos as u32;
        let data = match self.peek() {
            Some(b'{') => self.object(path, depth)?,
            Some(b'[') => self.array(path, depth)?,
            Some(b'"') => Data::Str(self.string()?),
            Some(b't') => self.word("true", Data::Bool(true))?,
            Some(b'f') => self.word("false", Data::Bool(false))?,
            Some(b'n') => self.word("null", Data::Null)?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(_) => return Err(self.unexpected("a JSON value")),
            None => return Err(self.error(self.pos, "unexpected end of the JSON text: a value is missing")),
        };
        Ok(Node::new(at, data))
    }

    fn unexpected(&self, wanted: &str) -> LoadError {
        match self.text.text.get(self.pos..).and_then(|rest| rest.chars().next()) {
            Some('{') if self.pos == 1 => self
                .error(self.pos, "invalid JSON: two braces")
                .with_help("this looks like a template: render it first, e.g. with `helm template`"),
            Some(c) => self.error(self.pos, format!("invalid JSON: expected {wanted}, found {c:?}")),
            None => self.error(self.pos, format!("unexpected end of the JSON text: expected {wanted}")),
        }
    }

    fn deeper(&self, depth: usize) -> Result<usize> {
        if depth >= MAX_DEPTH {
            return Err(self.error(self.pos, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(depth + 1)
    }

    fn object(&mut self, path: &Path<'_>, depth: usize) -> Result<Data<'s>> {
        let depth = self.deeper(depth)?;
        let mut entries = Vec::new();
        self.pos += 1;
        while self.next_member(entries.is_empty(), b'}')? {
            let key_at = self.pos as u32;
            let key = self.key()?;
            let value = self.value_at(&Path::Key(path, &key), depth)?;
            entries.push(Entry { key, key_at, value });
        }
        Ok(Data::Map(unique(entries, path, &mut self.duplicates)))
    }

    fn key(&mut self) -> Result<Cow<'s, str>> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a field name in double quotes"));
        }
        let key = self.string()?;
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.unexpected("':' after the field name"));
        }
        self.pos += 1;
        Ok(key)
    }

    /// Steps to the next member of an array or object; false at its end.
    fn next_member(&mut self, first: bool, close: u8) -> Result<bool> {
        self.space();
        if self.peek() == Some(close) {
            self.pos += 1;
            return Ok(false);
        }
        if first {
            return Ok(true);
        }
        if self.peek() != Some(b',') {
            return Err(self.unexpected(&format!("',' or '{}'", close as char)));
        }
        self.pos += 1;
        self.space();
        if self.peek() == Some(close) {
            return Err(self.error(self.pos, "invalid JSON: a comma before the end"));
        }
        Ok(true)
    }

    fn array(&mut self, path: &Path<'_>, depth: usize) -> Result<Data<'s>> {
        let depth = self.deeper(depth)?;
        let mut items = Vec::new();
        self.pos += 1;
        while self.next_member(items.is_empty(), b']')? {
            let item = self.value_at(&Path::Index(path, items.len()), depth)?;
            items.push(item);
        }
        Ok(Data::Seq(items))
    }

    /// Enters an array whose items are then read one by one with [`Reader::next_item`].
    pub(crate) fn enter_array(&mut self) {
        self.space();
        self.pos += usize::from(self.peek() == Some(b'['));
    }

    /// The next item of an entered array.
    pub(crate) fn next_item(&mut self, first: bool) -> Result<Option<Node<'s>>> {
        Ok(if self.next_member(first, b']')? { Some(self.value()?) } else { None })
    }

    fn word(&mut self, word: &str, data: Data<'s>) -> Result<Data<'s>> {
        if self.bytes[self.pos..].starts_with(word.as_bytes()) {
            self.pos += word.len();
            Ok(data)
        } else {
            Err(self.unexpected("a JSON value"))
        }
    }

    fn digits(&mut self) -> Result<()> {
        let start = self.pos;
        while let Some(b'0'..=b'9') = self.peek() {
            self.pos += 1;
        }
        if start == self.pos { Err(self.unexpected("a digit")) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<Data<'s>> {
        let start = self.pos;
        self.pos += usize::from(self.peek() == Some(b'-'));
        if self.peek() == Some(b'0') {
            self.pos += 1;
            if let Some(b'0'..=b'9') = self.peek() {
                return Err(self.error(start, "invalid JSON: a number with a leading zero"));
            }
        } else {
            self.digits()?;
        }
        let mut whole = true;
        if self.peek() == Some(b'.') {
            whole = false;
            self.pos += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            whole = false;
            self.pos += 1;
            self.pos += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        let text = &self.text.text[start..self.pos];
        if whole {
            if let Ok(n) = text.parse::<i64>() {
                return Ok(Data::Int(n));
            }
            if let Ok(n) = text.parse::<u64>() {
                return Ok(Data::UInt(n));
            }
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Data::Float { value, text }),
            _ => Err(self.error(start, format!("the number {text} is out of range"))),
        }
    }

    fn string(&mut self) -> Result<Cow<'s, str>> {
        self.pos += 1;
        let start = self.pos;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let text = &self.text.text[start..self.pos];
                    self.pos += 1;
                    return Ok(Cow::Borrowed(text));
                }
                Some(b'\\') => return self.escaped(start),
                Some(0..=0x1f) | None => return Err(self.broken_string()),
                Some(_) => self.pos += 1,
            }
        }
    }

    fn broken_string(&self) -> LoadError {
        match self.peek() {
            Some(c) => self.error(self.pos, format!("invalid JSON: control character 0x{c:02x} in a text")),
            None => self.error(self.pos, "unexpected end of the JSON text: a text is not closed"),
        }
    }

    fn escaped(&mut self, start: usize) -> Result<Cow<'s, str>> {
        let mut out = self.text.text[start..self.pos].to_string();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(Cow::Owned(out));
                }
                Some(b'\\') => {
                    self.pos += 1;
                    out.push(self.escape()?);
                }
                Some(0..=0x1f) | None => return Err(self.broken_string()),
                Some(_) => {
                    let from = self.pos;
                    while !matches!(self.peek(), Some(b'"' | b'\\' | 0..=0x1f) | None) {
                        self.pos += 1;
                    }
                    out.push_str(&self.text.text[from..self.pos]);
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        let c = match self.peek() {
            Some(c @ (b'"' | b'\\' | b'/')) => c as char,
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.unexpected("an escape character")),
        };
        self.pos += 1;
        Ok(c)
    }

    /// `\uXXXX`, with surrogate pairs; a lone surrogate becomes U+FFFD as in Go.
    fn unicode(&mut self) -> Result<char> {
        self.pos += 1;
        let first = self.hex()?;
        if !(0xd800..0xdc00).contains(&first) || !self.bytes[self.pos..].starts_with(b"\\u") {
            return Ok(char::from_u32(first).unwrap_or('\u{fffd}'));
        }
        let back = self.pos;
        self.pos += 2;
        let second = self.hex()?;
        if !(0xdc00..0xe000).contains(&second) {
            self.pos = back;
            return Ok('\u{fffd}');
        }
        Ok(char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)).unwrap_or('\u{fffd}'))
    }

    fn hex(&mut self) -> Result<u32> {
        let digits = self.bytes.get(self.pos..self.pos + 4).unwrap_or_default();
        if digits.len() != 4 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(self.unexpected("four hexadecimal digits"));
        }
        self.pos += 4;
        Ok(digits.iter().fold(0, |n, d| n * 16 + (*d as char).to_digit(16).unwrap_or(0)))
    }

    /// Looks at the document ahead without building it, and stays where it is.
    pub(crate) fn head(&mut self) -> Result<Head<'s>> {
        self.space();
        let start = self.pos;
        let mut head = Head::default();
        if self.peek() == Some(b'{') {
            self.pos += 1;
            let mut first = true;
            while self.next_member(first, b'}')? {
                first = false;
                let key = self.key()?;
                self.space();
                match (&*key, self.peek()) {
                    ("apiVersion", Some(b'"')) => head.api_version = Some(self.string()?),
                    ("kind", Some(b'"')) => head.kind = Some(self.string()?),
                    ("items", Some(b'[')) => {
                        head.items = Some(self.pos);
                        self.skip()?;
                    }
                    _ => self.skip()?,
                }
            }
        } else {
            self.skip()?;
        }
        head.end = self.pos;
        self.pos = start;
        Ok(head)
    }

    /// Steps over one value: brackets and texts are seen, the rest is checked when it is read.
    fn skip(&mut self) -> Result<()> {
        let mut depth = 0usize;
        loop {
            self.space();
            match self.peek() {
                Some(b'{' | b'[') => {
                    depth += 1;
                    self.pos += 1;
                }
                Some(b'}' | b']') if depth > 0 => {
                    depth -= 1;
                    self.pos += 1;
                }
                Some(b'"') => self.skip_string()?,
                Some(b',' | b':') if depth > 0 => self.pos += 1,
                Some(b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z') => {
                    while let Some(b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z') = self.peek()
                    {
                        self.pos += 1;
                    }
                }
                _ => return Err(self.unexpected("a JSON value")),
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn skip_string(&mut self) -> Result<()> {
        self.pos += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(());
                }
                Some(b'\\') => self.pos += 2,
                None => return Err(self.broken_string()),
                Some(_) => self.pos += 1,
            }
        }
    }
}
