//! The parser: by hand, one token ahead, with positions in its errors.

use std::fmt;
use std::ops::Range;

use sim_core::api::kind::{Kind, Kinds};
use sim_core::time::Time;

use super::state::State;
use super::{Claim, DeviceState, Devices, Expectation, Op, Set, When};
use crate::format::{Duration, Target, kind_named};

/// What is wrong with an expectation, and where in its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The whole expectation.
    pub text: String,
    /// Bytes of `text` that it is about; empty at the end.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
}

/// The message, the text, and a line of carets under the place.
impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let indent = self.text.get(..self.span.start).map_or(0, |head| head.chars().count());
        let width = self.text.get(self.span.clone()).map_or(0, |part| part.chars().count()).max(1);
        write!(f, "{}\n  {}\n  {:indent$}{}", self.message, self.text, "", "^".repeat(width))
    }
}

impl std::error::Error for ParseError {}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    text: String,
    quoted: bool,
    span: Range<usize>,
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    next: usize,
}

type Result<T> = std::result::Result<T, ParseError>;

pub(super) fn expectation(text: &str) -> Result<Expectation> {
    let mut parser = Parser { text, tokens: tokens(text)?, next: 0 };
    if parser.tokens.is_empty() {
        return Err(parser.error("an empty expectation"));
    }
    let claim = parser.claim()?;
    let when = parser.when()?;
    if parser.peek().is_some() {
        let found = parser.found();
        return Err(parser.error(format!("expected the end, `at`, `within` or `always`, found {found}")));
    }
    Ok(Expectation { text: text.trim().to_owned(), claim, when })
}

/// Words are runs without white space, commas and operators; texts in double quotes are one token.
fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let rest = &text[at..];
        let (token, len, quoted) = if let Some(inner) = rest.strip_prefix('"') {
            let Some(end) = inner.find('"') else {
                let (span, message) = (at..text.len(), "a quote that does not end".to_owned());
                return Err(ParseError { text: text.to_owned(), span, message });
            };
            (&inner[..end], end + 2, true)
        } else if let Some((op, _)) = Op::ALL.iter().find(|(op, _)| rest.starts_with(op)) {
            (*op, op.len(), false)
        } else if rest.starts_with(['=', ',', '!']) {
            (&rest[..1], 1, false)
        } else {
            let stop = |c: char| c.is_whitespace() || matches!(c, '=' | '!' | '<' | '>' | ',' | '"');
            let len = rest.find(stop).unwrap_or(rest.len());
            (&rest[..len], len, false)
        };
        tokens.push(Token { text: token.to_owned(), quoted, span: at..at + len });
        at += len;
    }
    Ok(tokens)
}

impl Parser<'_> {
    fn peek(&self) -> Option<&str> {
        self.tokens.get(self.next).map(|t| t.text.as_str())
    }

    fn error(&self, message: impl Into<String>) -> ParseError {
        self.error_at(self.next, message)
    }

    /// An error about the token at an index, or about the end.
    fn error_at(&self, index: usize, message: impl Into<String>) -> ParseError {
        let end = self.text.len();
        let span = self.tokens.get(index).map_or(end..end, |t| t.span.clone());
        ParseError { text: self.text.to_owned(), span, message: message.into() }
    }

    fn found(&self) -> String {
        self.peek().map_or_else(|| "the end".to_owned(), |t| format!("`{t}`"))
    }

    /// Takes the next token if it is this one.
    fn take(&mut self, word: &str) -> bool {
        let is = self.tokens.get(self.next).is_some_and(|t| t.text == word && !t.quoted);
        self.next += usize::from(is);
        is
    }

    /// The next token, whatever it is, with its index.
    fn word(&mut self, expected: &str) -> Result<(String, usize)> {
        let Some(token) = self.tokens.get(self.next) else {
            return Err(self.error(format!("expected {expected}, found the end")));
        };
        let is_word = token.quoted || !token.text.starts_with(['=', '!', '<', '>', ',']);
        if !is_word {
            return Err(self.error(format!("expected {expected}, found {}", self.found())));
        }
        let text = token.text.clone();
        self.next += 1;
        Ok((text, self.next - 1))
    }

    fn claim(&mut self) -> Result<Claim> {
        if self.take("event") {
            return self.event();
        }
        if self.take("no") {
            return self.none();
        }
        if self.take("every") || self.take("all") {
            let set = self.set()?;
            if set.state.is_none() {
                let found = self.found();
                return Err(self.error(format!("expected a state such as `ready`, found {found}")));
            }
            return Ok(Claim::Every { set });
        }
        if self.take("devices") {
            return self.devices();
        }
        let word = self.peek().unwrap_or_default();
        // `pods …` is a set, `pod x …` and `pod/x …` are one object.
        if Kinds::default().iter().any(|(_, info)| info.plural == word) {
            let set = self.set()?;
            let (op, count) = self.compare_count()?;
            return Ok(Claim::Count { set, op, count });
        }
        self.about_object()
    }

    fn devices(&mut self) -> Result<Claim> {
        let mut devices = Devices::default();
        loop {
            if self.take("where") {
                devices.labels.push(self.label()?);
                while self.take(",") || self.take("and") {
                    devices.labels.push(self.label()?);
                }
            } else if self.take("on") {
                devices.node = Some(self.word("a node")?.0);
            } else {
                break;
            }
        }
        if self.peek().is_some_and(|word| !word.starts_with(['=', '!', '<', '>'])) {
            let negate = self.take("not");
            let (word, at) = self.word("`allocated` or `tainted`")?;
            let state = DeviceState::parse(&word).map_err(|message| self.error_at(at, message))?;
            devices.state = Some((!negate, state));
        }
        let (op, count) = self.compare_count()?;
        Ok(Claim::Devices { devices, op, count })
    }

    fn none(&mut self) -> Result<Claim> {
        if self.take("event") {
            let (reason, _) = self.word("the reason of an Event")?;
            let about = self.about()?;
            return Ok(Claim::Event { reason, about, op: Op::Eq, count: 0 });
        }
        let set = self.set()?;
        Ok(Claim::Count { set, op: Op::Eq, count: 0 })
    }

    fn event(&mut self) -> Result<Claim> {
        let (reason, _) = self.word("the reason of an Event, e.g. `FailedScheduling`")?;
        let about = self.about()?;
        if !self.take("count") {
            let found = self.found();
            return Err(self.error(format!("expected `count` (or `for`), found {found}")));
        }
        let (op, count) = self.compare_count()?;
        Ok(Claim::Event { reason, about, op, count })
    }

    fn about(&mut self) -> Result<Option<Target>> {
        if self.take("for") { self.object().map(Some) } else { Ok(None) }
    }

    fn object(&mut self) -> Result<Target> {
        let (word, at) = self.word("an object, e.g. `deployment/web`")?;
        if word.contains('/') {
            return word.parse().map_err(|message: String| self.error_at(at, message));
        }
        kind_named(&word).map_err(|message| self.error_at(at, message))?;
        let (name, name_at) = self.word("a name")?;
        Target::of(&word, &name).map_err(|message| self.error_at(name_at, message))
    }

    fn about_object(&mut self) -> Result<Claim> {
        let target = self.object()?;
        let is_path =
            ["spec.", "status.", "metadata."].iter().any(|p| self.peek().unwrap_or("").starts_with(p));
        if is_path {
            let (path, _) = self.word("a field path")?;
            let op = self.op()?;
            let (value, _) = self.word("a value")?;
            return Ok(Claim::Field { target, path, op, value });
        }
        let negate = self.take("not");
        let state = self.state(target.kind)?;
        Ok(Claim::State { target, negate, state })
    }

    fn state(&mut self, kind: Kind) -> Result<State> {
        let (word, at) = self.word("a state such as `ready`")?;
        State::parse(&word, kind).map_err(|message| self.error_at(at, message))
    }

    fn set(&mut self) -> Result<Set> {
        let (word, at) = self.word("a kind, e.g. `pods`")?;
        let kind = kind_named(&word).map_err(|message| self.error_at(at, message))?;
        let mut set = Set { kind, labels: Vec::new(), namespace: None, node: None, state: None };
        loop {
            if self.take("where") {
                set.labels.push(self.label()?);
                while self.take(",") || self.take("and") {
                    set.labels.push(self.label()?);
                }
            } else if self.take("in") {
                set.namespace = Some(self.word("a namespace")?.0);
            } else if self.take("on") {
                set.node = Some(self.word("a node")?.0);
            } else {
                break;
            }
        }
        let stops = ["at", "within", "always"];
        let is_state =
            self.peek().is_some_and(|w| !stops.contains(&w) && !w.starts_with(['=', '!', '<', '>', ',']));
        if is_state {
            let negate = self.take("not");
            set.state = Some((!negate, self.state(kind)?));
        }
        Ok(set)
    }

    fn label(&mut self) -> Result<(String, bool, String)> {
        let (key, _) = self.word("a label, e.g. `app=web`")?;
        let equal = if self.take("=") || self.take("==") {
            true
        } else if self.take("!=") {
            false
        } else {
            let found = self.found();
            return Err(self.error(format!("expected `=` or `!=` after label `{key}`, found {found}")));
        };
        let (value, _) = self.word("a label's value")?;
        Ok((key, equal, value))
    }

    fn op(&mut self) -> Result<Op> {
        let op = self.peek().and_then(|w| Op::ALL.iter().find(|(text, _)| *text == w));
        let Some((_, op)) = op else {
            let found = self.found();
            return Err(self.error(format!("expected a comparison (== != < <= > >=), found {found}")));
        };
        self.next += 1;
        Ok(*op)
    }

    fn compare_count(&mut self) -> Result<(Op, u64)> {
        let op = self.op()?;
        let (word, at) = self.word("a number")?;
        let count = word.parse().map_err(|_| self.error_at(at, format!("`{word}` is not a number")))?;
        Ok((op, count))
    }

    fn when(&mut self) -> Result<When> {
        if self.take("at") {
            return Ok(When::At(self.time()?));
        }
        if self.take("within") {
            let span = self.duration()?.0;
            let after = if self.take("after") { self.time()? } else { Time::ZERO };
            return Ok(When::Within { span, after });
        }
        if self.take("always") {
            let from = if self.take("from") { self.time()? } else { Time::ZERO };
            let start = self.next;
            let until = if self.take("until") { Some(self.time()?) } else { None };
            if until.is_some_and(|until| until < from) {
                return Err(self.error_at(start, "the window ends before it starts"));
            }
            return Ok(When::Always { from, until });
        }
        Ok(When::AtEnd)
    }

    fn duration(&mut self) -> Result<Duration> {
        let (word, at) = self.word("a duration, e.g. `60s`")?;
        word.parse().map_err(|message: String| self.error_at(at, message))
    }

    fn time(&mut self) -> Result<Time> {
        self.duration().map(Duration::after_start)
    }
}
