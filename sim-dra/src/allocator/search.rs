//! The search itself: one device after the other, depth first, in the order of pools, slices and devices; always from the first
//! device on, so that all orders are tried. Upstream recurses; here frames are kept on a stack of our own, because a pod may
//! have any number of claims.
//!
//! Known bugs of 1.34 are part of it, because they decide which devices come out; [`Fixes`](super::Fixes) turns them off. Not part
//! of it: that the second look at capacities takes the wrong device and may panic (fixed in 1.35).
// DIFFERS: the last of these, because a scheduler that panics decides nothing; see `expectedWithIndexBugFixed` of the vectors.

mod take;

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashSet;
use smallvec::SmallVec;

use super::bits::Bits;
use super::capacity::{self, Consumed};
use super::constraints::Constraint;
use super::counters::Counters;
use super::pools::Pool;
use super::prune::{PATIENCE, State};
use super::requests::{Request, Wishes};
use super::{Allocator, DeviceId, Error, Fixes};
use crate::api::{Device, MAX_RESULTS};
use crate::features::Features;
use crate::inventory::{Node, Slice};
use crate::selector::Selector;

/// A device of a pool that the node reaches.
pub(crate) struct Candidate<'a> {
    pub(crate) pool: usize,
    pub(crate) slice: &'a Arc<Slice>,
    slice_number: usize,
    pub(crate) index: usize,
    /// The claims of this call that have it.
    claims: SmallVec<[usize; 1]>,
}

impl<'a> Candidate<'a> {
    pub(crate) fn device(&self) -> &'a Device {
        self.slice.device(self.index)
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
    /// What the validation found out of devices; per candidate.
    looked_at: Vec<Option<bool>>,
    /// What class, request and node say of devices, as far as that is known to the search.
    pub(crate) known: Bits,
    /// The devices that they allow.
    pub(crate) selectable: Bits,
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
    pub(crate) fixes: Fixes,
    /// In use by nobody.
    pub(crate) free: Bits,
    /// The devices of each claim, shares excepted.
    pub(crate) own: Vec<Bits>,
    allocator: &'a Allocator,
    /// Allocated before this call.
    pub(crate) taken: Bits,
    /// What shares of this call take, by candidate.
    allocating: BTreeMap<usize, Consumed>,
    /// The first device of a pool that must not be looked at.
    invalid: Option<usize>,
    counters: Vec<Option<Counters>>,
    steps: u64,
    /// Skip what is known to fail.
    prune: bool,
    /// Per claim: constraints that are alike but for the names of their requests; looked at when the search gets long.
    pub(crate) alike: Vec<Vec<Vec<usize>>>,
    /// States that failed.
    pub(crate) failed: FxHashSet<State<'a>>,
}

impl<'a> Search<'a> {
    pub(crate) fn new(allocator: &'a Allocator, node: Node<'a>, pools: &'a [Pool<'a>]) -> Search<'a> {
        let slices = || pools.iter().flat_map(|pool| &pool.slices);
        let count = slices().map(|slice| slice.body().spec.devices.len()).sum();
        let mut candidates = Vec::with_capacity(count);
        let (mut taken, mut free) = (Bits::new(count), Bits::new(count));
        let (mut slice_number, mut invalid) = (0, None);
        let fixes = allocator.fixes;
        for (pool, of) in pools.iter().enumerate() {
            if of.invalid.is_some() && !fixes.broken_pools_skipped {
                invalid = invalid.or(Some(candidates.len()));
            }
            let allocated = allocator.allocated.of_pool(of.driver, of.name);
            for slice in &of.slices {
                for (index, device) in slice.body().spec.devices.iter().enumerate() {
                    let in_use = allocated.is_some_and(|devices| devices.contains(&device.name));
                    (if in_use { &mut taken } else { &mut free }).set(candidates.len(), true);
                    candidates.push(Candidate { pool, slice, slice_number, index, claims: SmallVec::new() });
                }
                slice_number += 1;
            }
        }
        let wishes = &*allocator.wishes;
        Search {
            features: allocator.features,
            fixes,
            wishes,
            node,
            pools,
            wanted: wishes.entries.iter().map(|_| Wanted::default()).collect(),
            results: wishes.claims.iter().map(|_| Vec::new()).collect(),
            constraints: Vec::new(),
            own: wishes.claims.iter().map(|_| Bits::new(count)).collect(),
            candidates,
            free,
            allocator,
            taken,
            allocating: BTreeMap::new(),
            invalid,
            counters: (0..slice_number).map(|_| None).collect(),
            steps: 0,
            prune: false,
            alike: Vec::new(),
            failed: FxHashSet::default(),
        }
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    pub(crate) fn device(&self, candidate: usize) -> &'a Device {
        self.candidates[candidate].device()
    }

    /// `driver/pool/device`.
    fn id(&self, candidate: usize) -> DeviceId {
        let pool = &self.pools[self.candidates[candidate].pool];
        let device = self.device(candidate).name.clone();
        DeviceId { driver: pool.driver.clone(), pool: pool.name.clone(), device }
    }

    /// Takes over what is known of devices from calls before.
    fn recall(&mut self) {
        let count = self.candidates.len();
        for (entry, request) in self.wishes.entries.iter().enumerate() {
            let wanted = &mut self.wanted[entry];
            (wanted.known, wanted.selectable) = (Bits::new(count), Bits::new(count));
            let all: Option<SmallVec<[Arc<Selector>; 4]>> =
                request.class_selectors.iter().chain(&request.selectors).cloned().collect();
            let mut first = 0;
            for pool in self.pools {
                let broken = self.fixes.broken_pools_skipped && (pool.incomplete || pool.invalid.is_some());
                for slice in &pool.slices {
                    let devices = slice.body().spec.devices.len();
                    if broken {
                        (first..first + devices).for_each(|candidate| wanted.known.set(candidate, true));
                    } else if let Some(all) = &all
                        && slice.body().spec.per_device_node_selection != Some(true)
                    {
                        slice.known(all, |device, selected| {
                            wanted.known.set(first + device, true);
                            wanted.selectable.set(first + device, selected);
                        });
                    }
                    if slice.traits.waits && !(self.features.device_binding && self.features.device_status) {
                        for (device, body) in slice.body().spec.devices.iter().enumerate() {
                            if body.binding_conditions.as_ref().is_some_and(|c| !c.is_empty()) {
                                wanted.known.set(first + device, true);
                                wanted.selectable.set(first + device, false);
                            }
                        }
                    }
                    first += devices;
                }
            }
        }
    }

    /// True if all claims have their devices.
    ///
    /// # Errors
    /// See [`Allocator::allocate`].
    pub(crate) fn run(&mut self, prune: bool) -> Result<bool, Error> {
        self.recall();
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
        if self.prune && self.steps == PATIENCE {
            self.foresee();
        }
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
                let alternative = if self.fixes.alternative_kept { position.alternative } else { 0 };
                Step::Enter(Position { alternative, device: position.device + 1, ..position })
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
        let mut from = from;
        while let Some(candidate) = self.next(position.claim, entry, from) {
            match self.try_candidate(position, entry, candidate) {
                Err(error) => return Step::Return(Err(Stop::Error(error))),
                Ok(false) => {}
                Ok(true) => {
                    stack.push(Frame::Exact { position, cursor: candidate + 1, candidate, state });
                    return Step::Enter(Position { device: position.device + 1, ..position });
                }
            }
            from = candidate + 1;
        }
        if let Some(invalid) = self.invalid {
            let pool = &self.pools[self.candidates[invalid].pool];
            let why = pool.invalid.as_deref().unwrap_or_default();
            return Step::Return(Err(Stop::Error(Error::new(format!(
                "pool {} is invalid: {why}",
                pool.name
            )))));
        }
        self.failed.extend(state);
        Step::Return(Ok(false))
    }

    /// The next device that a request may have as far as is known, not beyond the first invalid pool.
    fn next(&self, claim: usize, entry: usize, from: usize) -> Option<usize> {
        let wanted = &self.wanted[entry];
        let (admin, own) = (self.wishes.admin(&self.wishes.entries[entry]), &self.own[claim]);
        let next = self.free.next(from, |index, free| {
            let allowed = if admin { !own.word(index) } else { free };
            allowed & (wanted.selectable.word(index) | !wanted.known.word(index))
        });
        next.filter(|candidate| *candidate < self.invalid.unwrap_or(self.candidates.len()))
    }

    fn try_candidate(&mut self, position: Position, entry: usize, candidate: usize) -> Result<bool, Error> {
        if !self.wanted[entry].known.get(candidate) {
            let selectable = self.evaluate(entry, candidate)?;
            self.learn(entry, candidate, selectable);
            if !selectable {
                return Ok(false);
            }
        }
        if self.features.consumable_capacity && !self.fits(&self.wishes.entries[entry], candidate) {
            return Ok(false);
        }
        self.allocate(position, entry, candidate, false)
    }

    /// What class and selectors say of a device, for all requests of the claim that have the same.
    pub(crate) fn learn(&mut self, entry: usize, candidate: usize, selectable: bool) {
        for twin in (0..self.wanted.len()).filter(|twin| self.wishes.twins[*twin] == self.wishes.twins[entry])
        {
            self.wanted[twin].known.set(candidate, true);
            self.wanted[twin].selectable.set(candidate, selectable);
        }
    }

    /// In use by somebody who keeps this request away.
    fn refused(&self, claim: usize, request: &Request, candidate: usize) -> bool {
        if self.wishes.admin(request) { self.own[claim].get(candidate) } else { !self.free.get(candidate) }
    }

    /// Whether what is left of a device is enough.
    pub(crate) fn fits(&self, request: &Request, candidate: usize) -> bool {
        let wanted = self.wishes.exact(request).capacity.as_ref();
        let allocated = if self.allocator.allocated.capacity.is_empty() {
            None
        } else {
            self.allocator.allocated.capacity.get(&self.id(candidate))
        };
        capacity::fits(wanted, self.device(candidate), allocated, self.allocating.get(&candidate))
    }

    /// Has binding conditions, which nobody would wait for.
    fn waits_in_vain(&self, candidate: usize) -> bool {
        let waits = self.device(candidate).binding_conditions.as_ref().is_some_and(|c| !c.is_empty());
        waits && !(self.features.device_binding && self.features.device_status)
    }

    /// Whether class, request and node allow a device, as the validation asks. `key` is the entry whose answers count.
    pub(crate) fn selectable(&mut self, key: usize, entry: usize, candidate: usize) -> Result<bool, Error> {
        if self.waits_in_vain(candidate) {
            return Ok(false);
        }
        let looked_at = &mut self.wanted[key].looked_at;
        if looked_at.is_empty() {
            looked_at.resize(self.candidates.len(), None);
        }
        if let Some(known) = looked_at[candidate] {
            return Ok(known);
        }
        let selectable = self.evaluate(entry, candidate)?;
        self.wanted[key].looked_at[candidate] = Some(selectable);
        Ok(selectable)
    }

    pub(crate) fn evaluate(&self, entry: usize, candidate: usize) -> Result<bool, Error> {
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
}

/// All devices of a call, to look attributes up.
#[derive(Clone, Copy)]
pub(crate) struct Devices<'s, 'a> {
    pub(crate) candidates: &'s [Candidate<'a>],
    pub(crate) pools: &'s [Pool<'a>],
}
