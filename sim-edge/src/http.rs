//! Real calls (`pkg/scheduler/extender.go`, `send`).

use std::io::ErrorKind;
use std::sync::Arc;

use serde_json::Value;
use sim_scheduler::config;
use sim_scheduler::extender::{Extender, ExtenderError};
use ureq::Agent;

use crate::service::{Line, Question, Service};

/// An extender that is called, and of whose answers nothing is kept: for experiments that nobody wants to repeat.
///
/// # Errors
/// Its URL cannot be called.
pub fn http_extender(config: &config::Extender) -> Result<Arc<dyn Extender>, String> {
    Ok(Service::over(config, Http::new(config)?))
}

/// A connection to a service.
pub(crate) struct Http {
    agent: Agent,
}

impl Http {
    pub(crate) fn new(config: &config::Extender) -> Result<Http, String> {
        let url = &config.url_prefix;
        // DIFFERS: upstream talks HTTPS, too; nothing here speaks TLS.
        if url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://")) {
            return Err(format!(
                "extender {url:?}: HTTPS is not supported; name a plain http:// address, such as that of `kubectl port-forward`"
            ));
        }
        if !url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://")) {
            return Err(format!("extender {url:?}: the URL does not begin with http://"));
        }
        let timeout = std::time::Duration::from_nanos(config.http_timeout.0.0.max(1).unsigned_abs());
        // DIFFERS: upstream goes through the proxy that the environment names; a run depends on no environment.
        let settings = Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .proxy(None)
            .build();
        Ok(Http { agent: settings.into() })
    }
}

impl Line for Http {
    fn ask(&self, question: Question<'_>) -> Result<Value, ExtenderError> {
        let Question { verb, url, body, .. } = question;
        let failed =
            |error: ureq::Error| ExtenderError::failed(format!("Post {url:?}: {}", reason(&error, &url)));
        let sent = self.agent.post(&url).header("Content-Type", "application/json").send(body.to_string());
        let mut response = sent.map_err(failed)?;
        let status = response.status().as_u16();
        if status != 200 {
            let text = format!("failed {verb} with extender at URL {url}, code {status}");
            return Err(ExtenderError::failed(text));
        }
        let bytes = response.body_mut().with_config().limit(u64::MAX).read_to_vec().map_err(failed)?;
        first_value(&bytes).map_err(ExtenderError::failed)
    }

    fn fork(&self) -> Result<Box<dyn Line>, String> {
        Err("it is a service that is called over HTTP and would hear two runs as one; record its answers, and fork the \
             replay"
            .to_owned())
    }
}

/// The first JSON value of a body; what follows is left alone, as Go's decoder does.
fn first_value(bytes: &[u8]) -> Result<Value, String> {
    match serde_json::Deserializer::from_slice(bytes).into_iter::<Value>().next() {
        None => Err("EOF".to_owned()),
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) if error.is_eof() => Err("unexpected EOF".to_owned()),
        Some(Err(error)) => Err(format!("the answer is not JSON: {error}")),
    }
}

/// What went wrong, in Go's words where they are known.
fn reason(error: &ureq::Error, url: &str) -> String {
    match error {
        ureq::Error::Timeout(_) => {
            "context deadline exceeded (Client.Timeout exceeded while awaiting headers)".to_owned()
        }
        ureq::Error::Io(io) if io.kind() == ErrorKind::ConnectionRefused => {
            let host = url.split('/').nth(2).unwrap_or_default();
            format!("dial tcp {host}: connect: connection refused")
        }
        other => other.to_string(),
    }
}
