//! What is looked at before the search: whether claims can be handled at all, and how many devices each request wants.

use super::Error;
use super::constraints::Constraint;
use super::search::Search;
use crate::api::MAX_RESULTS;

/// Fills in counts, the devices of mode `All`, and constraints.
///
/// # Errors
/// The first problem, in the order of claims and requests.
pub(crate) fn validate(search: &mut Search<'_>) -> Result<(), Error> {
    let wishes = search.wishes;
    for claim in &wishes.claims {
        let reference = &claim.reference;
        let mut least: i64 = 0;
        for &(first, alternatives) in &claim.requests {
            features(search, first, reference)?;
            let mut least_of_request = i64::MAX;
            for entry in first..first + alternatives {
                // Upstream still has the number of the alternative before: the second in mode `All` is taken to match what
                // the first matched.
                let before = if search.fixes.alternatives_match_alone { 0 } else { 1 };
                let key = first.max(entry.saturating_sub(before));
                count(search, key, entry)?;
                least_of_request = least_of_request.min(search.wanted[entry].count);
            }
            least = least.saturating_add(least_of_request);
        }
        if least > MAX_RESULTS as i64 {
            return Err(Error::new(format!(
                "claim {reference}: number of requested devices {least} exceeds the claim limit of {MAX_RESULTS}"
            )));
        }
        let mut constraints = Vec::new();
        for (number, constraint) in claim.body.spec.devices.constraints.iter().enumerate() {
            let (experimental, fixes) = (search.features.experimental(), search.fixes);
            let known = Constraint::new(constraint, claim, wishes, experimental, fixes);
            constraints.push(known.ok_or_else(|| {
                Error::new(format!(
                    "claim {reference}, constraint #{number}: empty constraint (unsupported constraint type?)"
                ))
            })?);
        }
        search.constraints.push(constraints);
    }
    Ok(())
}

/// Refuses what needs a feature that is off.
fn features(search: &Search<'_>, first: usize, claim: &str) -> Result<(), Error> {
    let request = search.wishes.parent(&search.wishes.entries[first]);
    let refuse = |what: &str, feature: &str| {
        let name = &request.name;
        Err(Error::new(format!(
            "claim {claim}, request {name}: has {what}, but the {feature} feature is disabled"
        )))
    };
    if !search.features.prioritized_list && !request.first_available.is_empty() {
        return refuse("subrequests", "DRAPrioritizedList");
    }
    let portions =
        request.exactly.iter().chain(&request.first_available).any(|exact| exact.capacity.is_some());
    if !search.features.consumable_capacity && portions {
        return refuse("capacity requests", "DRAConsumableCapacity");
    }
    Ok(())
}

/// How many devices an entry wants.
fn count(search: &mut Search<'_>, key: usize, entry: usize) -> Result<(), Error> {
    let wishes = search.wishes;
    let request = &wishes.entries[entry];
    let exact = wishes.exact(request);
    if let Some(number) = exact.selectors.iter().position(|selector| selector.cel.is_none()) {
        let why = format!(", selector #{number}: CEL expression empty (unsupported selector type?)");
        return Err(wishes.error(request, &why));
    }
    if !search.features.admin_access && !request.is_alternative() && exact.admin_access.is_some() {
        return Err(wishes.error(request, ": admin access is requested, but the feature is disabled"));
    }
    let class = &exact.device_class_name;
    if class.is_empty() {
        return Err(wishes.error(request, ": missing device class name (unsupported request type?)"));
    }
    if request.class.is_none() {
        let why = format!(
            ": could not retrieve device class {class}: deviceclass.resource.k8s.io \"{class}\" not found"
        );
        return Err(wishes.error(request, &why));
    }
    match exact.allocation_mode.as_str() {
        "ExactCount" => search.wanted[entry].count = exact.count,
        "All" => {
            let all = all(search, key, entry)?;
            search.wanted[entry].count = all.len() as i64;
            search.wanted[entry].all = all;
        }
        mode => return Err(wishes.error(request, &format!(": unsupported count mode {mode}"))),
    }
    Ok(())
}

/// All devices that a request can mean, whether in use or not.
fn all(search: &mut Search<'_>, key: usize, entry: usize) -> Result<Vec<usize>, Error> {
    let wishes = search.wishes;
    let request = &wishes.entries[entry];
    let pools = search.pools;
    let mut all = Vec::new();
    let mut candidate = 0;
    for pool in pools {
        let problem = match (&pool.invalid, pool.incomplete) {
            (_, true) => "being updated",
            (Some(_), _) => "invalid",
            _ => "",
        };
        if !problem.is_empty() {
            let why = format!(
                ": asks for all devices, but resource pool {}/{} is currently {problem}",
                pool.driver, pool.name
            );
            return Err(wishes.error(request, &why));
        }
        let devices: usize = pool.slices.iter().map(|slice| slice.body().spec.devices.len()).sum();
        for candidate in candidate..candidate + devices {
            if search.selectable(key, entry, candidate)?
                && (!search.features.consumable_capacity || search.fits(request, candidate))
            {
                all.push(candidate);
            }
        }
        candidate += devices;
    }
    Ok(all)
}
