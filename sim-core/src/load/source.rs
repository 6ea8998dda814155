//! Input texts, and places in them.

use std::fmt;
use std::sync::Arc;

use super::error::LoadError;

/// The longest piece of a line that is kept for an error: dumps may be one line of 100 MB.
const EXCERPT: usize = 160;

/// One input: a name for messages and its bytes. Reading files is the caller's work.
#[derive(Clone, Debug)]
pub struct Source {
    name: Arc<str>,
    bytes: Vec<u8>,
}

/// A place in a source, for people and for tools that underline it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name of the source, usually a path.
    pub file: Arc<str>,
    /// Byte offset in the source, from zero.
    pub offset: usize,
    /// Line, from one.
    pub line: usize,
    /// Column in characters, from one.
    pub column: usize,
}

/// The line of a [`Place`], cut to a window around it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Excerpt {
    /// Text of the line, or of the window.
    pub text: String,
    /// Byte offset of the place in `text`.
    pub offset: usize,
}

/// `file:line:column`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl Source {
    /// A source of bytes, with the name that messages give it.
    pub fn new(name: impl Into<Arc<str>>, bytes: impl Into<Vec<u8>>) -> Source {
        Source { name: name.into(), bytes: bytes.into() }
    }

    /// Name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The bytes as they are.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Checks the size and the encoding.
    ///
    /// # Errors
    /// The input is longer than `max_input` bytes (or than 4 GiB, the range of a span), or is not UTF-8.
    pub(crate) fn open(&self, max_input: usize) -> Result<Text<'_>, LoadError> {
        let limit = max_input.min(u32::MAX as usize);
        if self.bytes.len() > limit {
            let place = Place { file: self.name.clone(), offset: 0, line: 1, column: 1 };
            return Err(LoadError::new(format!(
                "the input has {} bytes, more than the limit of {limit}",
                self.bytes.len()
            ))
            .with_place(place)
            .with_help("split it, or raise the limit"));
        }
        let (bytes, skipped) = match self.bytes.strip_prefix(b"\xef\xbb\xbf") {
            Some(rest) => (rest, 3),
            None => (&self.bytes[..], 0),
        };
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Text { source: self, text, skipped }),
            Err(error) => Err(self.not_utf8(skipped + error.valid_up_to())),
        }
    }

    fn not_utf8(&self, offset: usize) -> LoadError {
        let valid = self.bytes.get(..offset).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or_default();
        let text = Text { source: self, text: valid, skipped: 0 };
        let help = match self.bytes.get(..2) {
            Some([0xff, 0xfe] | [0xfe, 0xff]) => "the file looks like UTF-16: save it as UTF-8",
            Some([0x1f, 0x8b]) => "the file is compressed with gzip: unpack it first",
            _ => "save the file as UTF-8",
        };
        LoadError::new(format!("invalid UTF-8 at byte {offset}")).at(&text, offset as u32).with_help(help)
    }
}

/// A checked text. Offsets count bytes of `text`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'s> {
    source: &'s Source,
    /// Without a byte order mark.
    pub(crate) text: &'s str,
    skipped: usize,
}

impl Text<'_> {
    /// Where an offset is. Scans the text up to it: for errors, and for notices through [`Lines`].
    pub(crate) fn place(&self, offset: u32) -> Place {
        let offset = floor_char(self.text, offset as usize);
        let before = &self.text[..offset];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        Place {
            file: self.source.name.clone(),
            offset: offset + self.skipped,
            line: before.bytes().filter(|b| *b == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// The line around an offset.
    pub(crate) fn excerpt(&self, offset: u32) -> Excerpt {
        let offset = floor_char(self.text, offset as usize);
        let line_start = self.text[..offset].rfind('\n').map_or(0, |i| i + 1);
        let line_end = self.text[offset..].find('\n').map_or(self.text.len(), |i| offset + i);
        let start = floor_char(self.text, line_start.max(offset.saturating_sub(EXCERPT / 2)));
        let end = floor_char(self.text, line_end.min(start + EXCERPT)).max(offset);
        Excerpt { text: self.text[start..end].trim_end_matches('\r').to_string(), offset: offset - start }
    }

    /// An index for many look-ups.
    pub(crate) fn lines(&self) -> Lines {
        let newlines = self.text.bytes().enumerate().filter(|(_, b)| *b == b'\n');
        Lines { starts: newlines.map(|(i, _)| i as u32 + 1).collect() }
    }

    /// As [`Text::place`], by the index.
    pub(crate) fn place_by(&self, lines: &Lines, offset: u32) -> Place {
        let before = lines.starts.partition_point(|s| *s <= offset);
        let start = before.checked_sub(1).and_then(|i| lines.starts.get(i)).copied().unwrap_or(0) as usize;
        let offset = floor_char(self.text, offset as usize);
        // A column beyond a few thousand helps nobody and would make a one-line dump quadratic.
        let column = if offset - start > 4096 {
            offset - start + 1
        } else {
            self.text[start..offset].chars().count() + 1
        };
        Place { file: self.source.name.clone(), offset: offset + self.skipped, line: before + 1, column }
    }
}

/// Offsets at which lines start, without the first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    starts: Vec<u32>,
}

fn floor_char(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_find_a_place_agree() {
        let source = Source::new("f", "a: ä\nb\n\n  ünd so\n".as_bytes());
        let text = source.open(100).unwrap();
        let lines = text.lines();
        for offset in 0..=text.text.len() as u32 {
            if text.text.is_char_boundary(offset as usize) {
                assert_eq!(text.place(offset), text.place_by(&lines, offset), "{offset}");
            }
        }
        assert_eq!(text.place(text.text.find("nd").unwrap() as u32).to_string(), "f:4:4");
    }

    #[test]
    fn an_excerpt_of_a_long_line_is_short() {
        let source = Source::new("f", format!("{}X{}", "ä".repeat(5_000), "b".repeat(5_000)));
        let text = source.open(usize::MAX).unwrap();
        let excerpt = text.excerpt(10_000);
        assert!(excerpt.text.len() <= EXCERPT);
        assert_eq!(excerpt.text.as_bytes()[excerpt.offset], b'X');
    }

    #[test]
    fn unreadable_bytes_are_errors_with_advice() {
        for (bytes, part) in [
            (&b"ab\xff"[..], "f:1:3: invalid UTF-8 at byte 2"),
            (&b"\xff\xfea\0"[..], "UTF-16"),
            (&b"\x1f\x8b\x08"[..], "gzip"),
            (&b"0123456789"[..], "more than the limit of 9"),
        ] {
            let error = Source::new("f", bytes).open(9).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
