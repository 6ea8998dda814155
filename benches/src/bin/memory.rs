//! How many bytes a node and a pod take, counted by the allocator: `cargo run --release -p benches --bin memory`.
//!
//! The scheduler alone includes the objects themselves, which a store would share with it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use benches::workloads::alone::Alone;
use benches::workloads::cluster::InCluster;
use benches::workloads::player::play;
use benches::workloads::{Size, Stage, Templates, Workload, all};
use sim_core::time::Span;
use sim_scheduler::Scheduler;

/// The system's allocator, counting what is held.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "an allocator can only be written so; it hands everything to the system's")]
// SAFETY: every call is the system allocator's own, with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Workload and size of each row.
const PLAYED: &[(&str, &str)] = &[
    ("ManyNodes", "10000Nodes_50000Pods"),
    ("ManyNodes", "100000Nodes_100000Pods"),
    ("EveryPodItsOwnClass", "5000Nodes_10000Pods"),
    ("SchedulingPodAffinity", "5000Nodes_5000Pods"),
    ("TopologySpreading", "5000Nodes_5000Pods"),
];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let (workloads, templates) = (all()?, Templates::load()?);
    println!("| workload | per node: scheduler | and store | per placed pod: scheduler | and store |");
    println!("|---|--:|--:|--:|--:|");
    for (name, size) in PLAYED {
        let workload = workloads.iter().find(|w| w.name == *name);
        let (workload, size) = workload
            .and_then(|w| Some((w, w.sizes.iter().find(|s| s.name == *size)?)))
            .ok_or_else(|| format!("there is no workload {name}/{size}"))?;
        let features = workload.features()?;
        let alone = || Alone::new(Scheduler::default(), Span::ZERO, features);
        let stored = || InCluster::new(Scheduler::default(), Span::ZERO, features);
        let alone = per_object(workload, size, |size| held(workload, size, &templates, alone))?;
        let stored = per_object(workload, size, |size| held(workload, size, &templates, stored))?;
        println!("| {name}/{} | {} | {} | {} | {} |", size.name, alone.0, stored.0, alone.1, stored.1);
    }
    Ok(())
}

/// Bytes per node and per measured pod: from a play without pods, one without the measured ones, and a whole one.
fn per_object(
    workload: &Workload,
    size: &Size,
    held: impl Fn(&Size) -> Result<usize, String>,
) -> Result<(usize, usize), String> {
    let without = |names: &[&str]| {
        let mut less = size.clone();
        names.iter().for_each(|name| {
            less.params.entry((*name).to_owned()).and_modify(|n| *n = 0);
        });
        less
    };
    let of =
        |name: &str| size.params.get(name).copied().ok_or_else(|| format!("{}: no {name}", workload.name));
    let (nodes, pods) = (of("initNodes")?, of("measurePods")?);
    let (bare, before) = (held(&without(&["initPods", "measurePods"]))?, held(&without(&["measurePods"]))?);
    Ok((bare / nodes, held(size)?.saturating_sub(before) / pods))
}

/// Bytes that a stage holds at the end of a workload.
fn held<S: Stage>(
    workload: &Workload,
    size: &Size,
    templates: &Templates,
    stage: impl Fn() -> S,
) -> Result<usize, String> {
    let before = HELD.load(Ordering::Relaxed);
    let mut stage = stage();
    play(workload, size, templates, &mut stage)?;
    let after = HELD.load(Ordering::Relaxed);
    Ok(after.saturating_sub(before))
}
