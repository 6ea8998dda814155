//! A cassette that is being recorded.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use sim_scheduler::config;
use sim_scheduler::extender::{Extender, ExtenderError};

use crate::cassette::FORMAT;
use crate::http::Http;
use crate::parts::{digest, split};
use crate::service::{Line, Question, Service};

/// A cassette on which the answers of extenders are put down while they are called.
pub struct Recording {
    file: Arc<Mutex<Writer>>,
}

struct Writer {
    path: PathBuf,
    out: BufWriter<File>,
    known: BTreeSet<String>,
}

impl Recording {
    /// Starts a cassette; one that is there is written over.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create(path: &Path) -> io::Result<Recording> {
        let out = BufWriter::new(File::create(path)?);
        let mut writer = Writer { path: path.to_owned(), out, known: BTreeSet::new() };
        writer.put(&json!({ "cassette": FORMAT }))?;
        writer.out.flush()?;
        Ok(Recording { file: Arc::new(Mutex::new(writer)) })
    }

    /// The extender of this number in the configuration, called over HTTP.
    ///
    /// # Errors
    /// Its URL cannot be called.
    pub fn extender(&self, number: usize, config: &config::Extender) -> Result<Arc<dyn Extender>, String> {
        let line = Recorded { http: Http::new(config)?, number, file: self.file.clone() };
        Ok(Service::over(config, line))
    }
}

impl Writer {
    fn put(&mut self, line: &Value) -> io::Result<()> {
        writeln!(self.out, "{line}")
    }

    /// Puts a call down, after the parts that it is the first to have.
    fn call(
        &mut self,
        number: usize,
        question: &Question<'_>,
        answer: &Result<Value, ExtenderError>,
    ) -> io::Result<()> {
        let mut fresh = Vec::new();
        let mut line = json!({
            "extender": number,
            "url": question.url,
            "at": question.at.to_string(),
            "digest": digest(&question.body),
            "request": split(question.body.clone(), &mut self.known, &mut fresh),
        });
        match answer {
            Ok(response) => line["response"] = split(response.clone(), &mut self.known, &mut fresh),
            Err(error) => line["error"] = error.to_string().into(),
        }
        for (name, value) in fresh {
            self.put(&json!({ "part": name, "value": value }))?;
        }
        self.put(&line)?;
        self.out.flush()
    }
}

/// A line that is listened to.
struct Recorded {
    http: Http,
    number: usize,
    file: Arc<Mutex<Writer>>,
}

impl Line for Recorded {
    fn ask(&self, question: Question<'_>) -> Result<Value, ExtenderError> {
        let (verb, url, at) = (question.verb, question.url.clone(), question.at);
        let asked = Question { verb, url, at, body: question.body.clone() };
        let answer = self.http.ask(question);
        // A writer that panicked has at worst lost a line, which the next one shows.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.call(self.number, &asked, &answer).map_err(|error| {
            ExtenderError::Broken(format!("the cassette {} cannot be written: {error}", file.path.display()))
        })?;
        answer
    }

    fn fork(&self) -> Result<Box<dyn Line>, String> {
        self.http.fork()
    }
}
