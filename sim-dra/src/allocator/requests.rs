//! Requests as the search sees them: alternatives flattened, classes looked up, selectors compiled.

use std::collections::BTreeMap;
use std::sync::Arc;

use smol_str::{SmolStr, format_smolstr};

use super::Error;
use crate::api::{DeviceClass, DeviceRequest, DeviceSelector, DeviceSubRequest, ResourceClaim};
use crate::selector::{Selector, Selectors};

/// Classes by name.
pub type Classes = BTreeMap<SmolStr, Arc<DeviceClass>>;

/// A claim with its requests.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) body: Arc<ResourceClaim>,
    /// `namespace/name`.
    pub(crate) reference: String,
    /// For every request, the number of its first entry and how many it has.
    pub(crate) requests: Vec<(usize, usize)>,
}

/// A request without alternatives, or one alternative.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    claim: usize,
    request: usize,
    alternative: Option<usize>,
    pub(crate) class: Option<Arc<DeviceClass>>,
    /// Of the class, then of the request; with the number within its own list. `None` for an unknown kind of selector.
    pub(crate) class_selectors: Vec<Option<Arc<Selector>>>,
    pub(crate) selectors: Vec<Option<Arc<Selector>>>,
}

impl Request {
    pub(crate) fn is_alternative(&self) -> bool {
        self.alternative.is_some()
    }
}

/// All claims of a pod.
#[derive(Clone, Debug)]
pub(crate) struct Wishes {
    pub(crate) claims: Vec<Claim>,
    pub(crate) entries: Vec<Request>,
    /// Per entry, the first of its claim with the same class and selectors.
    pub(crate) twins: Vec<usize>,
}

impl Wishes {
    pub(crate) fn new(claims: &[Arc<ResourceClaim>], classes: &Classes, selectors: &mut Selectors) -> Wishes {
        let mut wishes =
            Wishes { claims: Vec::with_capacity(claims.len()), entries: Vec::new(), twins: Vec::new() };
        let mut compile = |list: &[DeviceSelector]| -> Vec<Option<Arc<Selector>>> {
            list.iter().map(|s| s.cel.as_ref().map(|cel| selectors.get(&cel.expression))).collect()
        };
        for (claim_index, body) in claims.iter().enumerate() {
            let mut requests = Vec::with_capacity(body.spec.devices.requests.len());
            for (request_index, request) in body.spec.devices.requests.iter().enumerate() {
                let first = wishes.entries.len();
                let alternatives = request.first_available.len();
                let numbers: Vec<Option<usize>> =
                    if alternatives == 0 { vec![None] } else { (0..alternatives).map(Some).collect() };
                for alternative in numbers {
                    let exact = exact(request, alternative);
                    let class = classes.get(&exact.device_class_name).cloned();
                    wishes.entries.push(Request {
                        claim: claim_index,
                        request: request_index,
                        alternative,
                        class_selectors: class
                            .as_ref()
                            .map(|c| compile(&c.spec.selectors))
                            .unwrap_or_default(),
                        selectors: compile(&exact.selectors),
                        class,
                    });
                }
                requests.push((first, wishes.entries.len() - first));
            }
            wishes.claims.push(Claim { body: body.clone(), reference: body.reference(), requests });
        }
        wishes.twins = wishes.find_twins();
        wishes
    }

    fn find_twins(&self) -> Vec<usize> {
        let same = |a: &Request, b: &Request| {
            let (exact_a, exact_b) = (self.exact(a), self.exact(b));
            a.claim == b.claim
                && exact_a.device_class_name == exact_b.device_class_name
                && exact_a.selectors == exact_b.selectors
        };
        let first = |entry: &Request| self.entries.iter().position(|other| same(entry, other)).unwrap_or(0);
        self.entries.iter().map(first).collect()
    }

    /// The number of the request in its claim.
    pub(crate) fn number(&self, entry: &Request) -> usize {
        entry.request
    }

    pub(crate) fn claim_of(&self, entry: &Request) -> &Claim {
        &self.claims[entry.claim]
    }

    /// The request that the entry is, or is an alternative of.
    pub(crate) fn parent(&self, entry: &Request) -> &DeviceRequest {
        &self.claims[entry.claim].body.spec.devices.requests[entry.request]
    }

    /// What exactly is wanted.
    pub(crate) fn exact(&self, entry: &Request) -> &DeviceSubRequest {
        exact(self.parent(entry), entry.alternative)
    }

    /// The name of the request, or of the alternative.
    pub(crate) fn name(&self, entry: &Request) -> &SmolStr {
        match entry.alternative {
            Some(_) => &self.exact(entry).name,
            None => &self.parent(entry).name,
        }
    }

    /// The name of the alternative; empty if there is none.
    pub(crate) fn alternative(&self, entry: &Request) -> &str {
        if entry.alternative.is_some() { &self.exact(entry).name } else { "" }
    }

    /// `request` or `request/alternative`.
    pub(crate) fn full_name(&self, entry: &Request) -> SmolStr {
        let name = &self.parent(entry).name;
        match self.alternative(entry) {
            "" => name.clone(),
            alternative => format_smolstr!("{name}/{alternative}"),
        }
    }

    /// Access without keeping others away; alternatives have none.
    pub(crate) fn admin(&self, entry: &Request) -> bool {
        entry.alternative.is_none() && self.exact(entry).admin_access == Some(true)
    }

    pub(crate) fn all(&self, entry: &Request) -> bool {
        self.exact(entry).allocation_mode == "All"
    }

    /// An error that names claim and request.
    pub(crate) fn error(&self, entry: &Request, why: &str) -> Error {
        let claim = &self.claim_of(entry).reference;
        Error::new(format!("claim {claim}, request {}{why}", self.name(entry)))
    }
}

/// What a request without a kind asks for, which is nothing that exists.
static UNKNOWN: std::sync::LazyLock<DeviceSubRequest> = std::sync::LazyLock::new(DeviceSubRequest::default);

fn exact(request: &DeviceRequest, alternative: Option<usize>) -> &DeviceSubRequest {
    let found = match alternative {
        Some(index) => request.first_available.get(index),
        None => request.exactly.as_ref(),
    };
    found.unwrap_or(&UNKNOWN)
}
