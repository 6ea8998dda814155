//! A web service as an extender: questions into JSON, answers out of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use sim_core::api::object::Object;
use sim_core::time::Time;
use sim_scheduler::config;
use sim_scheduler::extender::{
    Asked, Extender, ExtenderError, ExtenderMetaVictims, ExtenderVictims, Filtered, Fork, Ratings,
};
use smol_str::SmolStr;

use crate::wire;

/// How questions get to a service, and answers back.
pub(crate) trait Line: Send + Sync {
    /// Asks.
    fn ask(&self, question: Question<'_>) -> Result<Value, ExtenderError>;
    /// A second line that goes on from here, or why there is none.
    fn fork(&self) -> Result<Box<dyn Line>, String>;
}

/// A question.
pub(crate) struct Question<'a> {
    /// Verb of the call.
    pub(crate) verb: &'a str,
    /// Where it goes: the verb behind the extender's URL.
    pub(crate) url: String,
    /// What is posted.
    pub(crate) body: Value,
    /// Virtual time, for people.
    pub(crate) at: Time,
}

/// An extender at the other end of a line.
pub(crate) struct Service {
    config: config::Extender,
    line: Box<dyn Line>,
}

impl Service {
    pub(crate) fn over(config: &config::Extender, line: impl Line + 'static) -> Arc<dyn Extender> {
        Arc::new(Service { config: config.clone(), line: Box::new(line) })
    }

    fn ask(&self, asked: &Asked<'_>, verb: &str, body: Value) -> Result<Value, ExtenderError> {
        let url = format!("{}/{verb}", self.config.url_prefix.trim_end_matches('/'));
        self.line.ask(Question { verb, url, body, at: asked.now })
    }
}

impl Extender for Service {
    fn filter(&self, asked: &Asked<'_>, nodes: &[Arc<Object>]) -> Result<Filtered, ExtenderError> {
        let names_only = self.config.node_cache_capable;
        let answer = self.ask(asked, &self.config.filter_verb, wire::args(asked, nodes, names_only))?;
        wire::filtered(&answer, names_only, asked.epoch)
    }

    fn prioritize(&self, asked: &Asked<'_>, nodes: &[Arc<Object>]) -> Result<Ratings, ExtenderError> {
        let body = wire::args(asked, nodes, self.config.node_cache_capable);
        wire::ratings(&self.ask(asked, &self.config.prioritize_verb, body)?)
    }

    fn preempt(
        &self,
        asked: &Asked<'_>,
        candidates: &BTreeMap<SmolStr, ExtenderVictims>,
    ) -> Result<BTreeMap<SmolStr, ExtenderMetaVictims>, ExtenderError> {
        let body = wire::preemption_args(asked, candidates, self.config.node_cache_capable);
        wire::victims(&self.ask(asked, &self.config.preempt_verb, body)?)
    }

    fn bind(&self, asked: &Asked<'_>, node: &str) -> Result<(), ExtenderError> {
        let body = wire::binding_args(asked, node);
        wire::bound(&self.ask(asked, &self.config.bind_verb, body)?)
    }

    fn fork(&self) -> Fork {
        match self.line.fork() {
            Ok(line) => Fork::Own(Arc::new(Service { config: self.config.clone(), line })),
            Err(why) => Fork::Impossible(why),
        }
    }
}
