//! The state of a replayed scenario, and what one attempt makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};
use sim_core::api::kind::{Kind, Kinds};
use sim_core::api::meta::{Key, Uid};
use sim_core::api::object::{Body, Object};
use sim_core::api::wire;
use sim_core::features::FeatureGates;
use sim_core::time::{Epoch, Time, hours, secs};
use sim_scheduler::cache::{Cache, Slot};
use sim_scheduler::config::SchedulerConfig;
use sim_scheduler::cycle::{
    CycleState, Evaluation, FastCycles, FastOutcome, Nominator, Sampling, TieBreak, evaluate,
    filters_with_nominated_pods, run_post_filters,
};
use sim_scheduler::framework::{
    Attempt, Code, Effects, Handle, Plugin, Point, PostFiltered, PreBound, Preemption, Profile, Registry,
    Status, Surroundings,
};
use sim_scheduler::plugins::volume_binding::VolumeBinding;
use sim_scheduler::pod::{Classes, PodInfo};
use smol_str::SmolStr;

use super::super::SchedulerOptions;
use super::claims;
use super::step::{Outcome, status_json};

/// When the first scheduled pod starts, from the epoch; each further one starts a second later.
const FIRST_START: Time = Time(hours(1).0);
/// When attempts are made: after everything that the records tell of.
const NOW: Time = Time(hours(24).0);

/// A scenario on its way.
pub(super) struct Replay {
    pub(super) profile: Profile,
    pub(super) cache: Cache,
    classes: Classes,
    nominator: Nominator,
    pending: BTreeMap<String, Object>,
    sampling: Sampling,
    sampled: bool,
    start: usize,
    scheduled: i64,
    fast: FastCycles,
    options: SchedulerOptions,
}

impl Replay {
    pub(super) fn new(
        scenario: &Value,
        expected: &Value,
        options: SchedulerOptions,
    ) -> Result<Replay, String> {
        let mut config = json!({
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
        });
        if let (Value::Object(config), Value::Object(given)) = (&mut config, &scenario["config"]) {
            config.extend(given.clone());
        }
        let config = SchedulerConfig::from_json(config).map_err(|e| format!("config: {e}"))?;
        let mut profiles = config.profiles(&Registry::in_tree()).map_err(|e| format!("config: {e}"))?;
        let mut steps = expected["steps"].as_array().into_iter().flatten();
        let sampled = steps.any(|step| step.get("sample").is_some());
        let percentage = config.percentage_of_nodes_to_score.unwrap_or(0);
        let mut replay = Replay {
            profile: profiles.remove(0),
            cache: Cache::default(),
            classes: Classes::default(),
            nominator: Nominator::default(),
            pending: BTreeMap::new(),
            sampling: if sampled { Sampling::Percentage(percentage) } else { Sampling::All },
            sampled,
            start: 0,
            scheduled: 0,
            fast: FastCycles::default(),
            options,
        };
        let mut features = FeatureGates::default();
        for (gate, on) in scenario["featureGates"].as_object().into_iter().flatten() {
            features.set_by_name(gate, on == &json!(true)).map_err(|e| e.to_string())?;
        }
        replay.cache.objects_mut().set_features(features);
        for value in scenario["objects"].as_array().into_iter().flatten() {
            replay.add(value)?;
        }
        for value in scenario["pending"].as_array().into_iter().flatten() {
            let object = decode(value)?;
            replay.promise(&object)?;
            replay.pending.insert(object.meta.key.to_string(), object);
        }
        replay.cache.refresh();
        Ok(replay)
    }

    fn add(&mut self, value: &Value) -> Result<(), String> {
        match value["kind"].as_str() {
            Some("Node") => self.cache.set_node(&decode(value)?),
            Some("Pod") => {
                let object = Arc::new(decode(value)?);
                match object.as_pod().map(|pod| &pod.node_name).filter(|node| !node.is_empty()) {
                    None => self.promise(&object)?,
                    Some(node) => {
                        let info = self.classes.of(&object).ok_or("not a pod")?;
                        self.cache.set_pod(&object, info, node);
                    }
                }
            }
            _ => self.cache.objects_mut().set(Arc::new(decode(value)?)),
        }
        Ok(())
    }

    /// A pod that waits may have been promised a node.
    fn promise(&mut self, object: &Object) -> Result<(), String> {
        let info = self.classes.of(object).ok_or("not a pod")?;
        let pod = object.as_pod().ok_or("not a pod")?;
        self.nominator.nominate(object.meta.uid, &info, &pod.status.nominated_node_name);
        Ok(())
    }

    /// Tries a pod, and says what happened in the form of a recorded step.
    pub(super) fn attempt(&mut self, name: &str, number: i64) -> Result<Value, String> {
        let object = self.pending.get(name).cloned().ok_or("no such pending pod")?;
        if let Some(gate) = self.gate(&object) {
            return Ok(json!({"result": "gated", "preEnqueue": status_json(&gate)}));
        }
        let info = self.classes.of(&object).ok_or("not a pod")?;
        self.cache.refresh();
        if self.cache.order().is_empty() {
            return Ok(json!({"result": "unschedulable", "message": "no nodes available to schedule pods"}));
        }
        let attempt = Attempt { pod: &info, object: &object, cluster: &self.cache, now: NOW };
        let (mut found, mut state) =
            evaluate(&self.profile, attempt, &self.nominator, self.sampling, self.start);
        let ties = &mut TieBreak::LowestName;
        let chosen = found.best.iter().copied().min_by_key(|slot| self.cache.node(*slot).name.clone());
        let plain_pod = object.as_pod().is_none_or(|p| p.status.nominated_node_name.is_empty());
        if self.nominator.is_empty() && plain_pod && found.error.is_none() {
            let fast = self.fast.choose(
                (0, &self.profile),
                &attempt,
                &self.nominator,
                (self.sampling, self.start),
                ties,
            );
            self.check_fast(&fast, &found, chosen)?;
        }
        self.complete(attempt, &state, &mut found);
        let (mut post_filter, mut effects) = (None, Effects::default());
        if found.error.is_none() && chosen.is_none() && !self.options.no_postfilter {
            post_filter = self.post_filter(attempt, &state, &mut found, &mut effects);
        }
        let outcome = Outcome {
            found: &found,
            chosen,
            post_filter: post_filter.as_ref(),
            sample_from: self.sampled.then_some(self.start),
        };
        let mut step = outcome.step(&self.cache);
        self.start = found.next_start;
        if let (Some(slot), None) = (chosen, &found.error) {
            let (volumes, claims) = self.schedule(object, info, slot, &mut state)?;
            if !volumes.is_empty() {
                step["volumes"] = json!(volumes);
            }
            if !claims.is_empty() {
                step["claims"] = json!(claims);
            }
        } else if let Some(post_filter) = post_filter {
            self.act_on(&object, &info, post_filter, number);
            claims::answer_all(self.cache.objects_mut(), &effects.requests);
        }
        Ok(step)
    }

    fn gate(&self, object: &Object) -> Option<Status> {
        let preempting = BTreeSet::new();
        let surroundings = Surroundings { objects: self.cache.objects(), preempting: &preempting };
        self.profile.at(Point::PreEnqueue).iter().find_map(|i| {
            let plugin = self.profile.plugin(*i);
            plugin.pre_enqueue(object, surroundings).into_status(plugin.name())
        })
    }

    /// An error of a filter ends an attempt. The recorder asked about all nodes nevertheless, and blamed nobody.
    fn complete(&self, attempt: Attempt<'_>, state: &CycleState, found: &mut Evaluation) {
        if found.error.is_none() || found.diagnosis.pre_filter.is_some() {
            return;
        }
        let refused: Vec<Slot> = found.diagnosis.nodes.iter().map(|(slot, _)| slot).collect();
        for slot in self.cache.order().iter().copied() {
            let node = self.cache.node(slot);
            let excluded = found.pre_filter_nodes.as_ref().is_some_and(|nodes| !nodes.contains(&node.name));
            if excluded || refused.contains(&slot) || found.feasible.contains(&slot) {
                continue;
            }
            found.diagnosis.unschedulable_plugins.clear();
            match filters_with_nominated_pods(&self.profile, state, &attempt, &self.nominator, node) {
                None => found.feasible.push(slot),
                Some(status) => found.diagnosis.nodes.push(slot, status),
            }
        }
    }

    /// The fast way through a cycle must agree with the plain one.
    fn check_fast(&self, fast: &FastOutcome, found: &Evaluation, chosen: Option<Slot>) -> Result<(), String> {
        let nodes = self.cache.order().len();
        let same = match (fast, chosen) {
            (FastOutcome::Unsure, _) => true,
            (FastOutcome::Nothing(diagnosis), None) => {
                diagnosis.message(nodes) == found.diagnosis.message(nodes)
                    && diagnosis.unschedulable_plugins == found.diagnosis.unschedulable_plugins
            }
            (FastOutcome::Chosen { slot, score, feasible, evaluated, next_start }, Some(chosen)) => {
                (*slot, *score, *feasible) == (chosen, found.score(), found.feasible.len())
                    && (*evaluated, *next_start) == (found.evaluated(), found.next_start)
            }
            _ => false,
        };
        if same { Ok(()) } else { Err(format!("the fast way found {fast:?}, the plain way {found:?}")) }
    }

    fn post_filter(
        &self,
        attempt: Attempt<'_>,
        state: &CycleState,
        found: &mut Evaluation,
        effects: &mut Effects,
    ) -> Option<PostFiltered> {
        let (profile, nominator) = (&self.profile, &self.nominator);
        let handle = Handle {
            profile,
            attempt,
            state,
            nominator,
            random: 0,
            memory: None,
            extenders: None,
            explain: true,
        };
        let outcome = run_post_filters(&handle, &found.diagnosis, effects)?;
        found.diagnosis.post_filter = outcome.status.message();
        Some(outcome)
    }

    /// The pod starts at once. Returns the claims that were reserved volumes, with the volumes, and what became of claims
    /// for devices.
    fn schedule(
        &mut self,
        mut object: Object,
        info: Arc<PodInfo>,
        slot: Slot,
        state: &mut CycleState,
    ) -> Result<(BTreeMap<SmolStr, SmolStr>, Vec<Value>), String> {
        if let Body::Pod(pod) = &mut object.body {
            let start = FIRST_START + secs(self.scheduled);
            Arc::make_mut(&mut pod.status).start_time.get_or_insert(start);
        }
        self.scheduled += 1;
        let node = self.cache.node(slot).name.clone();
        self.nominator.remove(object.meta.uid);
        let object = Arc::new(object);
        self.cache.assume(&object, info.clone(), &node);
        let (mut reserved, mut undone) = (Effects::default(), Effects::default());
        let attempt = Attempt { pod: &info, object: &object, cluster: &self.cache, now: NOW };
        for &i in self.profile.at(Point::Reserve) {
            let plugin = self.profile.plugin(i);
            let status = plugin.reserve(state.of_mut(i), &attempt, &node, &mut reserved);
            if !status.is_success() {
                return Err(format!("{} does not reserve: {status}", plugin.name()));
            }
            // What would be undone is what was reserved.
            plugin.unreserve(&mut state.of(i).clone(), &attempt, &node, &mut undone);
        }
        self.apply(reserved);
        self.pre_bind(&info, &object, &node, state)?;
        let claims = claims::of_pod(&object, self.cache.objects());
        Ok((self.volumes(&undone.restore), claims))
    }

    fn apply(&mut self, effects: Effects) {
        let objects = self.cache.objects_mut();
        for object in effects.assume {
            objects.assume(object);
        }
        for (key, uid, pending) in effects.pending {
            objects.set_pending(&key, uid, pending);
        }
    }

    /// Writes what PreBind plugins want written; nothing was recorded of volumes after Reserve.
    fn pre_bind(
        &mut self,
        info: &PodInfo,
        object: &Object,
        node: &str,
        state: &mut CycleState,
    ) -> Result<(), String> {
        for at in 0..self.profile.at(Point::PreBind).len() {
            let i = self.profile.at(Point::PreBind)[at];
            let name = self.profile.plugin(i).name();
            if name == VolumeBinding::NAME {
                continue;
            }
            let mut answers = Vec::new();
            loop {
                let mut effects = Effects::default();
                let attempt = Attempt { pod: info, object, cluster: &self.cache, now: NOW };
                let plugin = self.profile.plugin(i);
                let outcome = plugin.pre_bind(state.of_mut(i), &attempt, node, &answers, &mut effects);
                self.apply(effects);
                answers = match outcome {
                    PreBound::Done(status) if matches!(status.code, Code::Success | Code::Skip) => break,
                    PreBound::Done(status) => {
                        return Err(format!("{name} does not prepare binding: {status}"));
                    }
                    PreBound::Send(requests) => claims::answer_all(self.cache.objects_mut(), &requests),
                    PreBound::Wait(_) => return Err(format!("{name} waits")),
                };
            }
        }
        Ok(())
    }

    /// Claims and volumes among these objects, with each other: no volume stands for one that is yet to be made.
    fn volumes(&self, objects: &[(Kind, Key)]) -> BTreeMap<SmolStr, SmolStr> {
        let pair = |(kind, key): &(Kind, Key)| match *kind {
            Kind::PERSISTENT_VOLUME_CLAIM => Some((key.name.clone(), SmolStr::default())),
            Kind::PERSISTENT_VOLUME => {
                let volume = self.cache.objects().get(*kind, key)?.as_json()?;
                let claim = volume.pointer("/spec/claimRef/name").and_then(Value::as_str);
                Some((claim.unwrap_or_default().into(), key.name.clone()))
            }
            _ => None,
        };
        objects.iter().filter_map(pair).collect()
    }

    /// Victims vanish at once, and pods of lower priority lose what they were promised on that node.
    fn act_on(&mut self, object: &Object, info: &Arc<PodInfo>, outcome: PostFiltered, number: i64) {
        if let Some(Preemption { node, victims, .. }) = outcome.preemption.filter(|_| number == 1) {
            for victim in victims {
                self.cache.remove_pod(victim);
                claims::release(self.cache.objects_mut(), victim);
            }
            let promised = self.nominator.on(&node).iter();
            let lower = promised.filter(|pod| pod.info.priority < info.priority);
            for uid in lower.map(|pod| pod.uid).collect::<Vec<Uid>>() {
                self.nominator.remove(uid);
                let pending = self.pending.values_mut().find(|pod| pod.meta.uid == uid);
                pending.into_iter().for_each(|pod| nominate(pod, SmolStr::default()));
            }
        }
        if let Some(node) = outcome.nominated_node {
            self.nominator.nominate(object.meta.uid, info, &node);
            if let Some(pod) = self.pending.get_mut(&object.meta.key.to_string()) {
                nominate(pod, node);
            }
        }
    }
}

fn nominate(object: &mut Object, node: SmolStr) {
    if let Body::Pod(pod) = &mut object.body {
        Arc::make_mut(&mut pod.status).nominated_node_name = node;
    }
}

fn decode(value: &Value) -> Result<Object, String> {
    let mut object =
        wire::from_json(value, &Kinds::default(), Epoch::default()).map_err(|e| e.to_string())?;
    if object.meta.uid.is_unset() {
        object.meta.uid = Uid::parse(&object.meta.key.to_string());
    }
    Ok(object)
}
