//! What extenders answered, on file: lines of JSON.
//!
//! The first line says what the file is; of the others each is a large value that calls refer to (`part`), or a call with
//! its answer. Calls of one extender are in the order they were made.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use sim_scheduler::config;
use sim_scheduler::extender::{Extender, ExtenderError};

use crate::difference::first_difference;
use crate::parts::{Parts, digest};
use crate::service::{Line, Question, Service};

/// What the first line says.
pub(crate) const FORMAT: &str = "wavetank.dev/extender/v1";

/// A file that is no cassette.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CassetteError(String);

/// Recorded answers of extenders. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cassette {
    tape: Arc<Tape>,
}

#[derive(Debug, Default)]
struct Tape {
    parts: Parts,
    /// By the number of the extender.
    calls: BTreeMap<usize, Vec<Call>>,
}

#[derive(Debug)]
struct Call {
    url: String,
    /// With parts by name.
    request: Value,
    digest: String,
    answer: Result<Value, String>,
}

impl Cassette {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or is no cassette.
    pub fn read(path: &Path) -> Result<Cassette, CassetteError> {
        let named = |error: &dyn std::fmt::Display| CassetteError(format!("{}: {error}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|e| named(&e))?;
        Cassette::parse(&text).map_err(|e| named(&e))
    }

    /// Reads a text.
    ///
    /// # Errors
    /// It is no cassette, or one of another version.
    pub fn parse(text: &str) -> Result<Cassette, CassetteError> {
        let mut tape = Tape::default();
        let mut lines = text.lines().enumerate();
        let head = lines.next().and_then(|(_, line)| serde_json::from_str::<Value>(line).ok());
        match head.as_ref().and_then(|head| head.get("cassette")?.as_str()) {
            Some(FORMAT) => {}
            Some(other) => {
                return Err(CassetteError(format!("a cassette of format {other:?}; this reads {FORMAT:?}")));
            }
            None => return Err(CassetteError("not a cassette: its first line does not say so".to_owned())),
        }
        for (number, line) in lines {
            let read = serde_json::from_str(line).map_err(|e| e.to_string());
            let taken = read.and_then(|value| tape.take(value));
            taken.map_err(|why| CassetteError(format!("line {}: {why}", number + 1)))?;
        }
        Ok(Cassette { tape: Arc::new(tape) })
    }

    /// The extender of this number in the configuration, counted from 0, as it was when it was recorded.
    ///
    /// # Errors
    /// Another extender was recorded under this number.
    pub fn extender(
        &self,
        number: usize,
        config: &config::Extender,
    ) -> Result<Arc<dyn Extender>, CassetteError> {
        let prefix = config.url_prefix.trim_end_matches('/');
        let foreign = |call: &&Call| call.url.strip_prefix(prefix).is_none_or(|rest| !rest.starts_with('/'));
        if let Some(call) = self.tape.calls.get(&number).and_then(|calls| calls.iter().find(foreign)) {
            return Err(CassetteError(format!(
                "the cassette has answers of {} for extenders[{number}], which is {:?}",
                call.url, config.url_prefix
            )));
        }
        let track = Track { tape: self.tape.clone(), number, next: AtomicUsize::new(0) };
        Ok(Service::over(config, track))
    }
}

impl Tape {
    fn take(&mut self, line: Value) -> Result<(), String> {
        let Value::Object(mut line) = line else { return Err("not an object".to_owned()) };
        if let Some(Value::String(name)) = line.remove("part") {
            let value = line.remove("value").ok_or("a part without a value")?;
            return self.parts.add(name, value);
        }
        let number = line.get("extender").and_then(Value::as_u64).ok_or("neither a part nor a call")?;
        let mut text = |key: &str| match line.remove(key) {
            Some(Value::String(text)) => Ok(text),
            _ => Err(format!("a call without a text {key:?}")),
        };
        let (url, digest) = (text("url")?, text("digest")?);
        let answer = match text("error") {
            Ok(error) => Err(error),
            Err(_) => Ok(line.remove("response").ok_or("a call without an answer")?),
        };
        let request = line.remove("request").unwrap_or_default();
        self.parts.depth(&request)?;
        self.parts.depth(answer.as_ref().unwrap_or(&Value::Null))?;
        let calls = self.calls.entry(usize::try_from(number).map_err(|e| e.to_string())?).or_default();
        calls.push(Call { url, request, digest, answer });
        Ok(())
    }
}

/// The calls of one extender, as far as they were asked again.
struct Track {
    tape: Arc<Tape>,
    number: usize,
    next: AtomicUsize,
}

impl Track {
    fn broken(&self, place: usize, why: &str) -> ExtenderError {
        let number = self.number;
        ExtenderError::Broken(format!("replay of extenders[{number}], question {}: {why}", place + 1))
    }
}

impl Line for Track {
    fn ask(&self, question: Question<'_>) -> Result<Value, ExtenderError> {
        let place = self.next.fetch_add(1, Ordering::Relaxed);
        let calls = self.tape.calls.get(&self.number).map_or(&[][..], Vec::as_slice);
        let Some(call) = calls.get(place) else {
            let (verb, at, count) = (question.verb, question.at, calls.len());
            let why = format!("the cassette ends after {count}, and the run asks `{verb}` at {at}");
            return Err(self.broken(place, &why));
        };
        if call.url != question.url {
            let why = format!("{} was asked when it was recorded, now it is {}", call.url, question.url);
            return Err(self.broken(place, &why));
        }
        if call.digest != digest(&question.body) {
            let recorded = self.tape.parts.join(&call.request);
            let difference = first_difference(&recorded, &question.body);
            let why = difference.unwrap_or_else(|| "the recorded question and its digest differ".to_owned());
            return Err(self.broken(place, &format!("{} at {}: {why}", question.verb, question.at)));
        }
        match &call.answer {
            Ok(response) => Ok(self.tape.parts.join(response)),
            Err(error) => Err(ExtenderError::failed(error)),
        }
    }

    fn fork(&self) -> Result<Box<dyn Line>, String> {
        let next = AtomicUsize::new(self.next.load(Ordering::Relaxed));
        Ok(Box::new(Track { tape: self.tape.clone(), number: self.number, next }))
    }
}

#[cfg(test)]
mod tests;
