//! Semantic versions as `github.com/blang/semver/v4` reads and orders them, with its messages.

use std::cmp::Ordering;
use std::fmt;

/// A version. Build metadata plays no part in its order.
#[derive(Clone, Debug)]
pub struct Semver {
    /// Major number.
    pub major: u64,
    /// Minor number.
    pub minor: u64,
    /// Patch number.
    pub patch: u64,
    pre: Vec<Pre>,
    build: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pre {
    Number(u64),
    Text(String),
}

impl Semver {
    /// Reads a version.
    ///
    /// # Errors
    /// In the library's words.
    pub fn parse(text: &str) -> Result<Semver, String> {
        if text.is_empty() {
            return Err("Version string empty".into());
        }
        let mut parts = text.splitn(3, '.');
        let (Some(major), Some(minor), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
            return Err("No Major.Minor.Patch elements found".into());
        };
        let major = number(major, "Major", "major")?;
        let minor = number(minor, "Minor", "minor")?;
        let (rest, build) = match rest.split_once('+') {
            Some((rest, build)) => (rest, Some(build)),
            None => (rest, None),
        };
        let (patch, pre) = match rest.split_once('-') {
            Some((patch, pre)) => (patch, Some(pre)),
            None => (rest, None),
        };
        let patch = number(patch, "Patch", "patch")?;
        let pre = pre.map(|p| p.split('.').map(prerelease).collect()).transpose()?.unwrap_or_default();
        let build = build.map(|b| b.split('.').map(metadata).collect()).transpose()?.unwrap_or_default();
        Ok(Semver { major, minor, patch, pre, build })
    }

    /// Reads a version with a leading `v`, leading zeros or missing parts (`normalizeAndParse`).
    ///
    /// # Errors
    /// As [`Semver::parse`].
    pub fn parse_normalized(text: &str) -> Result<Semver, String> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let mut parts: Vec<String> = text.splitn(3, '.').map(without_zeros).collect();
        if parts.len() < 3 {
            if parts.last().is_some_and(|last| last.contains(['+', '-'])) {
                return Err("short version cannot contain PreRelease/Build meta data".into());
            }
            parts.resize(3, "0".into());
        }
        Semver::parse(&parts.join("."))
    }

    /// The library's order.
    pub fn compare(&self, other: &Semver) -> Ordering {
        let numbers = |v: &Semver| (v.major, v.minor, v.patch);
        numbers(self).cmp(&numbers(other)).then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => compare_pre(&self.pre, &other.pre),
        })
    }
}

impl fmt::Display for Semver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        for (i, pre) in self.pre.iter().enumerate() {
            let separator = if i == 0 { '-' } else { '.' };
            match pre {
                Pre::Number(n) => write!(f, "{separator}{n}")?,
                Pre::Text(t) => write!(f, "{separator}{t}")?,
            }
        }
        if self.build.is_empty() { Ok(()) } else { write!(f, "+{}", self.build.join(".")) }
    }
}

fn without_zeros(part: &str) -> String {
    if part.len() <= 1 {
        return part.into();
    }
    let rest = part.trim_start_matches('0');
    if rest.starts_with(|c: char| c.is_ascii_digit()) { rest.into() } else { format!("0{rest}") }
}

fn digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

fn leading_zeros(text: &str) -> bool {
    text.len() > 1 && text.starts_with('0')
}

fn number(text: &str, title: &str, name: &str) -> Result<u64, String> {
    if !digits(text) {
        return Err(format!("Invalid character(s) found in {name} number {text:?}"));
    }
    if leading_zeros(text) {
        return Err(format!("{title} number must not contain leading zeroes {text:?}"));
    }
    unsigned(text)
}

/// `strconv.ParseUint`.
fn unsigned(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| {
        let why = if text.is_empty() { "invalid syntax" } else { "value out of range" };
        format!("strconv.ParseUint: parsing {text:?}: {why}")
    })
}

fn known(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn prerelease(text: &str) -> Result<Pre, String> {
    if text.is_empty() {
        return Err("Prerelease is empty".into());
    }
    if digits(text) {
        if leading_zeros(text) {
            return Err(format!("Numeric PreRelease version must not contain leading zeroes {text:?}"));
        }
        return unsigned(text).map(Pre::Number);
    }
    if known(text) {
        return Ok(Pre::Text(text.into()));
    }
    Err(format!("Invalid character(s) found in prerelease {text:?}"))
}

fn metadata(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("Build meta data is empty".into());
    }
    if known(text) {
        return Ok(text.into());
    }
    Err(format!("Invalid character(s) found in build meta data {text:?}"))
}

fn compare_pre(a: &[Pre], b: &[Pre]) -> Ordering {
    let unequal = a.iter().zip(b).map(|pair| match pair {
        (Pre::Number(x), Pre::Number(y)) => x.cmp(y),
        (Pre::Number(_), Pre::Text(_)) => Ordering::Less,
        (Pre::Text(_), Pre::Number(_)) => Ordering::Greater,
        (Pre::Text(x), Pre::Text(y)) => x.cmp(y),
    });
    unequal.into_iter().find(|o| o.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
}
