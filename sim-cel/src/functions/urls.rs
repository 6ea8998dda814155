//! URLs as Go's `net/url` splits them (library `urls.go`).

use std::sync::Arc;

use sim_values::syntax::go_quote;

use super::text;
use crate::failure::Failure;
use crate::meter::Meter;
use crate::value::{List, Map, Value};

type Outcome = Result<Value, Failure>;

/// A URL in its parts.
#[derive(Clone, Debug)]
pub struct Url {
    text: String,
    scheme: String,
    host: String,
    path: String,
    query: String,
}

impl Url {
    /// `url.ParseRequestURI`, and the fragment taken off.
    fn parse(text: &str) -> Result<Url, String> {
        let fail = |why: String| format!("parse {}: {why}", go_quote(text));
        if text.is_empty() {
            return Err(fail("empty url".into()));
        }
        if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
            return Err(fail("net/url: invalid control character in URL".into()));
        }
        let (scheme, rest) = scheme(text).map_err(|why| fail(why.into()))?;
        let (rest, fragment) = rest.split_once('#').map_or((rest, None), |(r, f)| (r, Some(f)));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        if !rest.starts_with('/') {
            if !scheme.is_empty() {
                // Opaque: `mailto:x`.
                return Ok(Url {
                    text: text.into(),
                    scheme,
                    host: String::new(),
                    path: String::new(),
                    query: query.into(),
                });
            }
            return Err(fail("invalid URI for request".into()));
        }
        let (host, path) = match rest.strip_prefix("//") {
            Some(authority) if !scheme.is_empty() => {
                let slash = authority.find('/').unwrap_or(authority.len());
                (&authority[..slash], &authority[slash..])
            }
            _ => ("", rest),
        };
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        check_host(host).map_err(fail)?;
        escapes(path).map_err(fail)?;
        let _ = fragment;
        Ok(Url { text: text.into(), scheme, host: host.into(), path: path.into(), query: query.into() })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The host without port and brackets.
    fn hostname(&self) -> &str {
        let (host, _) = self.split_port();
        host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host)
    }

    fn split_port(&self) -> (&str, &str) {
        match self.host.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => (&self.host, ""),
        }
    }
}

fn scheme(text: &str) -> Result<(String, &str), &'static str> {
    for (at, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at == 0 => return Err("missing protocol scheme"),
            ':' => return Ok((text[..at].to_ascii_lowercase(), &text[at + 1..])),
            _ => break,
        }
    }
    Ok((String::new(), text))
}

fn check_host(host: &str) -> Result<(), String> {
    if let Some(c) =
        host.chars().find(|c| matches!(c, ' ' | '<' | '>' | '"' | '\\' | '^' | '`' | '{' | '|' | '}'))
    {
        return Err(format!("invalid character {} in host name", go_quote(&String::from(c))));
    }
    let port = match host.rsplit_once(']') {
        Some((_, rest)) => rest,
        None if host.starts_with('[') => return Err("missing ']' in host".into()),
        None => host.rfind(':').map_or("", |at| &host[at..]),
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    if (!port.is_empty() && !port.starts_with(':')) || digits.bytes().any(|b| !b.is_ascii_digit()) {
        return Err(format!("invalid port {} after host", go_quote(port)));
    }
    Ok(())
}

fn escapes(path: &str) -> Result<(), String> {
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let escape = rest.get(at..(at + 3).min(rest.len())).unwrap_or("%");
        if escape.len() < 3 || !escape[1..].bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(format!("invalid URL escape {}", go_quote(escape)));
        }
        rest = &rest[at + 3..];
    }
    Ok(())
}

fn own(args: &[Value]) -> Result<&Url, Failure> {
    match args.first() {
        Some(Value::Url(url)) => Ok(url),
        _ => Err(Failure::no_overload()),
    }
}

/// What is wrong with a URI, if anything.
pub(crate) fn complaint(text: &str) -> Option<String> {
    Url::parse(text).err()
}

pub(crate) fn parse(_: &mut Meter, args: &[Value]) -> Outcome {
    Url::parse(text(args)?)
        .map(|url| Value::Url(Arc::new(url)))
        .map_err(|why| Failure::error(format!("URL parse error during conversion from string: {why}")))
}

pub(crate) fn is(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::Bool(Url::parse(text(args)?).is_ok()))
}

pub(crate) fn scheme_of(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::string(&own(args)?.scheme))
}

pub(crate) fn host(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::string(&own(args)?.host))
}

pub(crate) fn hostname(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::string(own(args)?.hostname()))
}

pub(crate) fn port(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::string(own(args)?.split_port().1))
}

/// The path with what must be escaped escaped.
pub(crate) fn path(_: &mut Meter, args: &[Value]) -> Outcome {
    let mut escaped = String::new();
    for c in own(args)?.path.chars() {
        let plain = c.is_ascii_alphanumeric() || "-_.~/%$&+,:;=@!*'()[]".contains(c);
        if plain {
            escaped.push(c);
        } else {
            let mut buffer = [0; 4];
            c.encode_utf8(&mut buffer).bytes().for_each(|b| escaped.push_str(&format!("%{b:02X}")));
        }
    }
    Ok(Value::string(escaped))
}

pub(crate) fn query(meter: &mut Meter, args: &[Value]) -> Outcome {
    let mut values: indexmap::IndexMap<String, Vec<Value>, rustc_hash::FxBuildHasher> = Default::default();
    for pair in own(args)?.query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
        meter.work(1)?;
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if let (Some(key), Some(value)) = (unescape(key), unescape(value)) {
            values.entry(key).or_default().push(Value::string(value));
        }
    }
    let mut map = Map::new();
    for (key, values) in values {
        map.insert(Value::string(key), Value::List(List::new(values)));
    }
    Ok(Value::Map(Arc::new(map)))
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &tail[2..];
            }
            other => bytes.push(*other),
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
