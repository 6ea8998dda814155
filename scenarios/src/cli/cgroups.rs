//! `wavetank cgroups`.

use sim_core::api::kind::Kind;

use super::args::Cgroups;
use super::exit::Exit;
use super::problem;
use super::run::{bad_input, plan_of};
use crate::runner::{Failure, Silent, run as run_plan};

/// `wavetank cgroups`: runs a scenario to a time, and prints what is written to the cgroups of its nodes then.
pub(super) fn cgroups(mut args: Cgroups) -> Exit {
    args.input.until = args.at.or(args.input.until);
    let plan = match plan_of(&args.input) {
        Ok(plan) => plan,
        Err(errors) => return bad_input(&errors),
    };
    let finished = match run_plan(&plan, &mut Silent) {
        Ok(finished) => finished,
        Err(Failure::Input(errors)) => return bad_input(&errors),
        Err(Failure::Io(error)) => {
            problem::text(&error.to_string());
            return Exit::RunFailed;
        }
    };
    let cluster = &finished.cluster;
    let nodes: Vec<String> = match &args.node {
        Some(node) => vec![node.clone()],
        None => cluster.list(Kind::NODE).iter().map(|node| node.key().name.to_string()).collect(),
    };
    for node in &nodes {
        let Some(tree) = cluster.cgroups(node) else {
            problem::text(&format!("no node {node} in this run"));
            return Exit::BadInput;
        };
        if nodes.len() > 1 {
            println!("node {node}");
        }
        print!("{}", tree.dump());
    }
    match finished.error {
        Some(error) => {
            problem::text(&error.to_string());
            Exit::RunFailed
        }
        None => Exit::Passed,
    }
}
