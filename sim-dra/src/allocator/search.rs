//! The search itself: one device after the other, depth first, in the order of pools, slices and devices; always from the first
//! device on, so that all orders are tried. Upstream recurses; here frames are kept on a stack of our own, because a pod may
//! have any number of claims.
//!
//! Known bugs of 1.34 are part of it, because they decide which devices come out: counters of a device stay taken if taints or
//! constraints refuse it afterwards, and those of a shared device if it is taken back (not fixed in 1.36); the devices of an
//! alternative in mode `All` are looked up with the first alternative from the second device on (fixed in 1.36). Not part of it:
//! that the second look at capacities takes the wrong device and may panic (fixed in 1.35).
// DIFFERS: the last of these, because a scheduler that panics decides nothing; see `expectedWithIndexBugFixed` of the vectors.

use std::sync::Arc;

use rustc_hash::FxHashSet;
use smallvec::SmallVec;

use super::capacity::{self, Consumed};
use super::constraints::{Added, Constraint};
use super::counters::Counters;
use super::pools::Pool;
use super::prune::State;
use super::requests::{Request, Wishes};
use super::{Allocator, DeviceId, Error};
use crate::api::{Device, MAX_RESULTS};
use crate::features::Features;
use crate::inventory::{Node, Slice};

/// A device of a pool that the node reaches.
pub(crate) struct Candidate<'a> {
    pub(crate) pool: usize,
    pub(crate) slice: &'a Arc<Slice>,
    slice_number: usize,
    pub(crate) index: usize,
    /// Allocated before this call.
    taken: bool,
    /// The claims of this call that have it.
    pub(crate) claims: SmallVec<[usize; 1]>,
    /// What shares of this call take.
    allocating: Option<Consumed>,
}

impl Candidate<'_> {
    /// In use by nobody.
    pub(crate) fn free(&self) -> bool {
        !self.taken && self.claims.is_empty()
    }
}

/// What is known of a request.
#[derive(Default)]
pub(crate) struct Wanted {
    pub(crate) count: i64,
    /// The devices of mode `All`.
    pub(crate) all: Vec<usize>,
    /// The alternative that was taken, kept with the first.
    pub(crate) selected: usize,
    /// What is known of devices; per candidate.
    cache: Vec<Option<bool>>,
}

/// A device in the result of a claim.
pub(crate) struct Chosen {
    pub(crate) candidate: usize,
    /// The number of the entry in [`Wishes`].
    pub(crate) entry: usize,
    pub(crate) shared: bool,
    pub(crate) consumed: Consumed,
}

/// Where the search stands.
#[derive(Clone, Copy, Debug)]
struct Position {
    claim: usize,
    request: usize,
    alternative: usize,
    device: i64,
    /// Working on an alternative already.
    within: bool,
}

/// Why a branch gave nothing.
enum Stop {
    Error(Error),
    /// The claim would get too many devices; ends all choices up to the next alternative or claim.
    TooMany,
}

type Outcome = Result<bool, Stop>;

enum Step {
    Enter(Position),
    Return(Outcome),
}

/// What to do when a branch comes back.
enum Frame<'a> {
    Claim,
    Alternatives { position: Position, all_too_many: bool },
    All { position: Position, candidate: usize },
    Exact { position: Position, cursor: usize, candidate: usize, state: Option<State<'a>> },
}

/// One call of the allocator.
pub(crate) struct Search<'a> {
    pub(crate) features: Features,
    pub(crate) wishes: &'a Wishes,
    pub(crate) node: Node<'a>,
    pub(crate) pools: &'a [Pool<'a>],
    pub(crate) candidates: Vec<Candidate<'a>>,
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) results: Vec<Vec<Chosen>>,
    /// Set by the validation, per claim.
    pub(crate) constraints: Vec<Vec<Constraint<'a>>>,
    allocator: &'a Allocator,
    counters: Vec<Option<Counters>>,
    steps: u64,
    /// Skip what is known to fail.
    prune: bool,
    /// States that failed.
    pub(crate) failed: FxHashSet<State<'a>>,
}

impl<'a> Search<'a> {
    pub(crate) fn new(allocator: &'a Allocator, node: Node<'a>, pools: &'a [Pool<'a>]) -> Search<'a> {
        let mut candidates = Vec::new();
        let mut slice_number = 0;
        for (pool, of) in pools.iter().enumerate() {
            let allocated = allocator.allocated.of_pool(of.driver, of.name);
            for slice in &of.slices {
                for (index, device) in slice.body().spec.devices.iter().enumerate() {
                    candidates.push(Candidate {
                        pool,
                        slice,
                        slice_number,
                        index,
                        taken: allocated.is_some_and(|devices| devices.contains(&device.name)),
                        claims: SmallVec::new(),
                        allocating: None,
                    });
                }
                slice_number += 1;
            }
        }
        let wishes = &*allocator.wishes;
        Search {
            features: allocator.features,
            wishes,
            node,
            pools,
            candidates,
            wanted: wishes.entries.iter().map(|_| Wanted::default()).collect(),
            results: wishes.claims.iter().map(|_| Vec::new()).collect(),
            constraints: Vec::new(),
            allocator,
            counters: (0..slice_number).map(|_| None).collect(),
            steps: 0,
            prune: false,
            failed: FxHashSet::default(),
        }
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    pub(crate) fn device(&self, candidate: usize) -> &'a Device {
        let candidate = &self.candidates[candidate];
        candidate.slice.device(candidate.index)
    }

    /// `driver/pool/device`.
    fn id(&self, candidate: usize) -> DeviceId {
        let pool = &self.pools[self.candidates[candidate].pool];
        let device = self.device(candidate).name.clone();
        DeviceId { driver: pool.driver.clone(), pool: pool.name.clone(), device }
    }

    /// Forgets what the validation found out about devices.
    pub(crate) fn clear_caches(&mut self) {
        self.wanted.iter_mut().for_each(|wanted| wanted.cache.clear());
    }

    /// True if all claims have their devices.
    ///
    /// # Errors
    /// See [`Allocator::allocate`].
    pub(crate) fn run(&mut self, prune: bool) -> Result<bool, Error> {
        self.prune = prune && self.leaves_no_trace();
        let start = Position { claim: 0, request: 0, alternative: 0, device: 0, within: false };
        let mut stack = Vec::new();
        let mut step = Step::Enter(start);
        loop {
            step = match step {
                Step::Enter(position) => self.enter(position, &mut stack),
                Step::Return(outcome) => match stack.pop() {
                    Some(frame) => self.resume(frame, outcome, &mut stack),
                    None => {
                        return match outcome {
                            Ok(found) => Ok(found),
                            // At the top, too many devices for the first claim: upstream gives this out as an error.
                            Err(Stop::TooMany) => Err(Error::new("allocation max size exceeded")),
                            Err(Stop::Error(error)) => Err(error),
                        };
                    }
                },
            };
        }
    }

    fn enter(&mut self, position: Position, stack: &mut Vec<Frame<'a>>) -> Step {
        self.steps += 1;
        let Some(claim) = self.wishes.claims.get(position.claim) else { return Step::Return(Ok(true)) };
        let Some(&(first, alternatives)) = claim.requests.get(position.request) else {
            stack.push(Frame::Claim);
            return Step::Enter(Position {
                claim: position.claim + 1,
                request: 0,
                alternative: 0,
                device: 0,
                within: false,
            });
        };
        let entry = first + position.alternative;
        let has_alternatives = !self.wishes.parent(&self.wishes.entries[first]).first_available.is_empty();
        if !position.within && has_alternatives {
            debug_assert!(alternatives > 0, "alternatives were flattened into entries");
            let position = Position { alternative: 0, within: true, ..position };
            stack.push(Frame::Alternatives { position, all_too_many: true });
            return Step::Enter(position);
        }
        let all = self.wishes.all(&self.wishes.entries[entry]);
        let wanted = &self.wanted[entry];
        if all && wanted.all.is_empty() {
            return Step::Return(Ok(false));
        }
        if position.device >= wanted.count {
            return Step::Enter(Position {
                claim: position.claim,
                request: position.request + 1,
                alternative: 0,
                device: 0,
                within: false,
            });
        }
        let results = self.results[position.claim].len() as i64;
        if results + wanted.count - position.device > MAX_RESULTS as i64 {
            return Step::Return(Err(Stop::TooMany));
        }
        if !all {
            let mut state = None;
            if self.prune {
                let place = (
                    position.claim,
                    position.request,
                    position.alternative,
                    position.device,
                    position.within,
                );
                state = self.state(place);
                let known = state.as_ref().is_some_and(|state| self.failed.contains(state));
                let left = wanted.count - position.device;
                if known
                    || self.hopeless(position.claim, entry, left)
                    || self.hopeless_together(position.claim, position.request, left)
                {
                    return Step::Return(Ok(false));
                }
            }
            return self.choose(position, 0, state, stack);
        }
        let Some(&candidate) = usize::try_from(position.device).ok().and_then(|index| wanted.all.get(index))
        else {
            return Step::Return(Ok(false));
        };
        match self.allocate(position, entry, candidate, true) {
            Err(error) => Step::Return(Err(Stop::Error(error))),
            Ok(false) => Step::Return(Ok(false)),
            Ok(true) => {
                stack.push(Frame::All { position, candidate });
                // The number of the alternative is lost here, as upstream loses it.
                Step::Enter(Position { alternative: 0, device: position.device + 1, ..position })
            }
        }
    }

    fn resume(&mut self, frame: Frame<'a>, outcome: Outcome, stack: &mut Vec<Frame<'a>>) -> Step {
        match frame {
            // Another solution of an earlier claim may leave room, so this is no more than a failure.
            Frame::Claim => Step::Return(match outcome {
                Err(Stop::TooMany) => Ok(false),
                outcome => outcome,
            }),
            Frame::Alternatives { mut position, mut all_too_many } => {
                let (first, alternatives) = self.wishes.claims[position.claim].requests[position.request];
                match outcome {
                    Err(Stop::TooMany) => {}
                    Ok(true) => {
                        self.wanted[first].selected = position.alternative;
                        return Step::Return(Ok(true));
                    }
                    Err(error) => return Step::Return(Err(error)),
                    Ok(false) => all_too_many = false,
                }
                position.alternative += 1;
                if position.alternative >= alternatives {
                    return Step::Return(if all_too_many { Err(Stop::TooMany) } else { Ok(false) });
                }
                stack.push(Frame::Alternatives { position, all_too_many });
                Step::Enter(position)
            }
            Frame::All { position, candidate } => {
                if !matches!(outcome, Ok(true)) {
                    self.take_back(position.claim, candidate);
                }
                Step::Return(outcome)
            }
            Frame::Exact { position, cursor, candidate, state } => {
                if matches!(outcome, Ok(true)) {
                    return Step::Return(outcome);
                }
                self.take_back(position.claim, candidate);
                match outcome {
                    Err(stop) => Step::Return(Err(stop)),
                    Ok(_) => self.choose(position, cursor, state, stack),
                }
            }
        }
    }

    /// The next device from a number on that can be had, and on to the one after it.
    fn choose(
        &mut self,
        position: Position,
        from: usize,
        state: Option<State<'a>>,
        stack: &mut Vec<Frame<'a>>,
    ) -> Step {
        let (first, _) = self.wishes.claims[position.claim].requests[position.request];
        let entry = first + position.alternative;
        for candidate in from..self.candidates.len() {
            match self.try_candidate(position, entry, candidate) {
                Err(error) => return Step::Return(Err(Stop::Error(error))),
                Ok(false) => {}
                Ok(true) => {
                    stack.push(Frame::Exact { position, cursor: candidate + 1, candidate, state });
                    return Step::Enter(Position { device: position.device + 1, ..position });
                }
            }
        }
        self.failed.extend(state);
        Step::Return(Ok(false))
    }

    fn try_candidate(&mut self, position: Position, entry: usize, candidate: usize) -> Result<bool, Error> {
        let pool = &self.pools[self.candidates[candidate].pool];
        if let Some(why) = &pool.invalid {
            return Err(Error::new(format!("pool {} is invalid: {why}", pool.name)));
        }
        let request = &self.wishes.entries[entry];
        if self.refused(position.claim, request, candidate) || !self.selectable(entry, entry, candidate)? {
            return Ok(false);
        }
        if self.features.consumable_capacity && !self.fits(request, candidate) {
            return Ok(false);
        }
        self.allocate(position, entry, candidate, false)
    }

    /// In use by somebody who keeps this request away.
    pub(crate) fn refused(&self, claim: usize, request: &Request, candidate: usize) -> bool {
        let candidate = &self.candidates[candidate];
        if self.wishes.admin(request) {
            candidate.claims.contains(&claim)
        } else {
            candidate.taken || !candidate.claims.is_empty()
        }
    }

    /// Whether what is left of a device is enough.
    pub(crate) fn fits(&self, request: &Request, candidate: usize) -> bool {
        let wanted = self.wishes.exact(request).capacity.as_ref();
        let allocated = if self.allocator.allocated.capacity.is_empty() {
            None
        } else {
            self.allocator.allocated.capacity.get(&self.id(candidate))
        };
        capacity::fits(
            wanted,
            self.device(candidate),
            allocated,
            self.candidates[candidate].allocating.as_ref(),
        )
    }

    /// Whether class, request and node allow a device, if that was looked at.
    pub(crate) fn known_selectable(&self, entry: usize, candidate: usize) -> Option<bool> {
        if self.waits_in_vain(candidate) {
            return Some(false);
        }
        self.wanted[entry].cache.get(candidate).copied().flatten()
    }

    /// Has binding conditions, which nobody would wait for.
    fn waits_in_vain(&self, candidate: usize) -> bool {
        let waits = self.device(candidate).binding_conditions.as_ref().is_some_and(|c| !c.is_empty());
        waits && !(self.features.device_binding && self.features.device_status)
    }

    /// Whether class, request and node allow a device. `key` is the entry whose cache is used.
    pub(crate) fn selectable(&mut self, key: usize, entry: usize, candidate: usize) -> Result<bool, Error> {
        if self.waits_in_vain(candidate) {
            return Ok(false);
        }
        let cache = &mut self.wanted[key].cache;
        if cache.is_empty() {
            cache.resize(self.candidates.len(), None);
        }
        if let Some(known) = cache[candidate] {
            return Ok(known);
        }
        let selectable = self.evaluate(entry, candidate)?;
        self.wanted[key].cache[candidate] = Some(selectable);
        Ok(selectable)
    }

    fn evaluate(&self, entry: usize, candidate: usize) -> Result<bool, Error> {
        let request = &self.wishes.entries[entry];
        let Candidate { slice, index, .. } = &self.candidates[candidate];
        let of_class = request.class_selectors.iter().enumerate().map(|s| (s, request.class.as_ref()));
        let of_request = request.selectors.iter().enumerate().map(|s| (s, None));
        for ((number, selector), class) in of_class.chain(of_request) {
            // Requests with selectors of another kind were refused before; upstream cannot have them in classes.
            let Some(selector) = selector else { return Ok(false) };
            let error = |kind: &str, why: &str| {
                let of = match class {
                    Some(class) => format!("class {}", class.metadata.name),
                    None => format!("claim {}", self.wishes.claim_of(request).reference),
                };
                Error::new(format!("{of}: selector #{number}: CEL {kind} error: {why}"))
            };
            if let Err(why) = selector.program() {
                return Err(error("compile", &why.to_string()));
            }
            if !slice.selected(*index, selector).map_err(|why| error("runtime", &why))? {
                return Ok(false);
            }
        }
        if slice.body().spec.per_device_node_selection == Some(true) {
            return slice.device_reaches(*index, self.node).map_err(Error::new);
        }
        Ok(true)
    }

    fn shared(&self, candidate: usize) -> bool {
        self.features.consumable_capacity && self.device(candidate).allow_multiple_allocations == Some(true)
    }

    fn counters(&mut self, candidate: usize) -> &mut Counters {
        let Candidate { slice, slice_number, .. } = self.candidates[candidate];
        let of_slice = self.candidates.iter().filter(|c| c.slice_number == slice_number && c.taken);
        self.counters[slice_number].get_or_insert_with(|| Counters::new(slice, of_slice.map(|c| c.index)))
    }

    /// Gives a device to a claim if counters, taints, constraints and capacity allow it.
    fn allocate(&mut self, at: Position, entry: usize, candidate: usize, must: bool) -> Result<bool, Error> {
        let wishes = self.wishes;
        let request = &wishes.entries[entry];
        let shared = self.shared(candidate);
        let admin = wishes.admin(request);
        if self.refused(at.claim, request, candidate) && !(shared && admin) {
            return Ok(false);
        }
        let device = self.device(candidate);
        if !device.consumes_counters.is_empty() {
            if !self.features.partitionable_devices {
                return Ok(false);
            }
            let Candidate { slice, index, .. } = self.candidates[candidate];
            if !self.counters(candidate).take(slice, index) {
                return Ok(false);
            }
        }
        let exact = wishes.exact(request);
        let tolerated = |taint| exact.tolerations.iter().any(|toleration| toleration.tolerates(taint));
        if self.features.device_taints && !device.taints.iter().all(tolerated) {
            return Ok(false);
        }
        if !self.constrain(at.claim, request, candidate) {
            if must {
                let DeviceId { driver, pool, device } = self.id(candidate);
                let why = format!(
                    ": cannot add device {driver}/{pool}/{device} because a claim constraint would not be satisfied"
                );
                return Err(wishes.error(request, &why));
            }
            return Ok(false);
        }
        let claims = &mut self.candidates[candidate].claims;
        if !shared && !claims.contains(&at.claim) {
            claims.push(at.claim);
        }
        let mut consumed = Consumed::new();
        if self.features.consumable_capacity {
            if !self.fits(request, candidate) {
                // Constraints and marks stay, as upstream leaves them.
                return Ok(false);
            }
            if shared {
                consumed = capacity::consumed(exact.capacity.as_ref(), device);
                let own = self.candidates[candidate].allocating.get_or_insert_default();
                for (name, quantity) in &consumed {
                    own.entry(name.clone()).or_default().add(quantity);
                }
            }
        }
        self.results[at.claim].push(Chosen { candidate, entry, shared, consumed });
        Ok(true)
    }

    /// Adds a device to the constraints of a claim, to all of them or none.
    fn constrain(&mut self, claim: usize, request: &Request, candidate: usize) -> bool {
        let (name, alternative) = (&self.wishes.parent(request).name, self.wishes.alternative(request));
        let added = Added {
            request: name,
            alternative,
            driver: self.pools[self.candidates[candidate].pool].driver,
            device: self.device(candidate),
            number: candidate,
        };
        let constraints = &mut self.constraints[claim];
        let Some(failed) = constraints.iter_mut().position(|constraint| !constraint.add(added)) else {
            return true;
        };
        constraints[..failed].iter_mut().for_each(|constraint| constraint.remove(name, alternative));
        false
    }

    /// Takes the last device of a claim back.
    fn take_back(&mut self, claim: usize, candidate: usize) {
        let Some(chosen) = self.results[claim].pop() else { return };
        let wishes = self.wishes;
        let request = &wishes.entries[chosen.entry];
        let (name, alternative) = (&wishes.parent(request).name, wishes.alternative(request));
        self.constraints[claim].iter_mut().for_each(|constraint| constraint.remove(name, alternative));
        self.candidates[candidate].claims.retain(|c| *c != claim);
        if chosen.shared {
            if let Some(own) = &mut self.candidates[candidate].allocating {
                for (name, quantity) in &chosen.consumed {
                    own.entry(name.clone()).or_default().sub(quantity);
                }
            }
        } else if self.features.partitionable_devices && !self.device(candidate).consumes_counters.is_empty()
        {
            let Candidate { slice, index, .. } = self.candidates[candidate];
            self.counters(candidate).give_back(slice, index);
        }
    }
}
