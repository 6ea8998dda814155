//! Preemptions that are carried out: what is sent, in which order, and what wakes whom.

use sim_core::api::meta::Deletion;
use sim_core::engine::log::{Keep, Record, records};

use super::*;

impl World {
    /// A scheduler with one node of 4 cores and pods on it, given by name and CPU.
    fn full(pods: &[(&str, &str)]) -> World {
        let mut world = World::new(Scheduler { ties: Ties::LowestName, ..Scheduler::default() });
        world.log.set_keep(Keep::Records);
        world.add(&node("n").cpu("4").build());
        for (name, cpu) in pods {
            world.add(&on(&pod(name).cpu(cpu).build(), "n"));
        }
        world
    }

    /// Requests from some on, one line each.
    fn sent(&self, from: usize) -> Vec<String> {
        let line = |(request, _): &(Request, Option<Tag>)| match request {
            Request::PatchPodStatus { key, patch, .. } => {
                let condition = patch.conditions.first().map(|c| format!(" {}", c.reason));
                let nominated = patch.nominated_node_name.as_ref().map(|node| format!(" nominated={node}"));
                let name = key.name.as_str();
                format!("patch {name}{}{}", condition.unwrap_or_default(), nominated.unwrap_or_default())
            }
            Request::Delete { key, .. } => format!("delete {}", key.name),
            Request::Bind { key, node, .. } => format!("bind {} {node}", key.name),
            other => format!("{other:?}"),
        };
        self.port.requests[from..].iter().map(line).collect()
    }

    /// Answers all requests that wait for one, as long as there are any, and says what was sent.
    fn answer_all(&mut self, answer: impl Fn(&Request) -> Result<Object, ApiError>) -> Vec<String> {
        let from = self.port.requests.len();
        loop {
            let open =
                self.port.requests.iter_mut().find_map(|(request, tag)| Some((request.clone(), tag.take()?)));
            let Some((request, tag)) = open else { return self.sent(from) };
            self.reply(tag, answer(&request));
        }
    }

    fn delete(&mut self, object: &Object) {
        self.see(ChangeKind::Deleted, Some(object), object);
    }

    /// Events of a reason, as (pod, message).
    fn events(&mut self, wanted: &str) -> Vec<(String, String)> {
        let found = records(self.log.kept()).filter_map(|(_, record)| match record {
            Record::Event { name, reason, message, .. } if reason == wanted => {
                Some((name.to_owned(), message.to_owned()))
            }
            _ => None,
        });
        found.collect()
    }

    fn why(&self, object: &Object) -> String {
        self.scheduler.why_pending(&object.meta.key).unwrap_or_default()
    }
}

fn high(cpu: &str) -> Object {
    pod("high").cpu(cpu).with("priority", json!(100)).build()
}

fn nominated(object: &Object, node: &str) -> Object {
    let mut object = object.clone();
    if let Body::Pod(body) = &mut object.body {
        Arc::make_mut(&mut body.status).nominated_node_name = node.into();
    }
    object.meta.resource_version += 1;
    object
}

fn fine(_: &Request) -> Result<Object, ApiError> {
    Ok(pod("answer").build())
}

const WAITS: &str = "waiting for the preemption for this pod to be finished";

#[test]
fn a_victim_is_told_and_deleted_and_the_pod_takes_its_place() {
    let mut world = World::full(&[("low", "4")]);
    let high = high("4");
    world.add(&high);
    world.run_until(Time::ZERO);
    assert_eq!(world.sent(0), ["patch low PreemptionByScheduler", "patch high Unschedulable nominated=n"]);
    let (Request::PatchPodStatus { patch, .. }, _) = &world.port.requests[0] else { panic!("a patch") };
    let text = "default-scheduler: preempting to accommodate a higher priority pod";
    assert_eq!(patch.conditions[0].message, text);
    assert_eq!(world.why(&high), "0/1 nodes are available: 1 Insufficient cpu.", "nothing is appended");

    assert_eq!(world.answer_all(fine), ["delete low"]);
    let text = format!("Preempted by pod {} on node n", high.meta.uid);
    assert_eq!(world.events("Preempted"), [("low".to_owned(), text)]);
    assert!(world.scheduler.preempting.is_empty() && world.scheduler.preemptions.is_empty());

    world.see(ChangeKind::Modified, Some(&high), &nominated(&high, "n"));
    world.delete(&on(&pod("low").cpu("4").build(), "n"));
    world.run_until(Time::ZERO + secs(3));
    assert_eq!(world.bindings()[0].1, "n");
    assert!(world.scheduler.queue.nominator().is_empty(), "the promise is kept");
}

#[test]
fn the_pod_is_gated_until_the_last_victim_goes() {
    let mut world = World::full(&[("a", "1"), ("b", "1"), ("c", "2")]);
    let high = high("4");
    world.add(&high);
    world.run_until(Time::ZERO);
    let told = ["patch c PreemptionByScheduler", "patch b PreemptionByScheduler"];
    assert_eq!(world.sent(0)[..2], told, "all but the last at once");

    // Something else makes room meanwhile: the pod would be tried.
    world.add(&node("big").cpu("8").build());
    world.run_until(Time::ZERO + secs(5));
    assert_eq!(world.why(&high), WAITS);
    assert_eq!(world.bindings(), []);

    let mut lines = world.answer_all(fine);
    assert_eq!(lines.split_off(2), ["patch a PreemptionByScheduler", "delete a"]);
    assert_eq!(lines, ["delete c", "delete b"]);
    assert_eq!(world.events("Preempted").len(), 3);
    world.delete(&on(&pod("c").cpu("2").build(), "n"));
    world.run_until(Time::ZERO + secs(10));
    assert_eq!(world.bindings().len(), 1);
}

#[test]
fn what_is_refused_ends_it_and_the_pod_is_tried_again() {
    let mut world = World::full(&[("a", "1"), ("b", "1"), ("c", "2")]);
    world.add(&high("4"));
    world.run_until(Time::ZERO);
    let lines = world.answer_all(|request| match request {
        Request::Delete { key, .. } if key.name == "c" => Err(ApiError::new(Reason::InternalError, "no")),
        request => fine(request),
    });
    assert_eq!(lines, ["delete c", "delete b"], "nothing is sent about the last one");
    assert_eq!(world.events("Preempted"), [], "upstream drops the answers that come later");
    assert!(world.scheduler.preempting.is_empty() && world.scheduler.preemptions.is_empty());
    // At once, without a back-off.
    let from = world.port.requests.len();
    world.run_until(world.now);
    assert_eq!(world.sent(from)[0], "patch c PreemptionByScheduler");
}

#[test]
fn victims_that_are_gone_wake_the_pod() {
    let mut world = World::full(&[("low", "4")]);
    world.add(&high("4"));
    world.run_until(Time::ZERO);
    let gone = |_: &Request| Err(ApiError::new(Reason::NotFound, "pods \"low\" not found"));
    assert_eq!(world.answer_all(gone), Vec::<String>::new());
    assert_eq!(world.events("Preempted"), []);
    world.delete(&on(&pod("low").cpu("4").build(), "n"));
    world.run_until(Time::ZERO);
    assert_eq!(world.bindings().len(), 1, "tried at once");
}

#[test]
fn victims_that_end_are_left_alone() {
    let mut world = World::full(&[]);
    let mut low = on(&pod("low").cpu("4").build(), "n");
    low.meta.deletion = Some(Deletion { timestamp: Time::ZERO, grace_period_seconds: 30 });
    world.add(&low);
    world.add(&high("4"));
    world.run_until(Time::ZERO);
    assert_eq!(world.sent(0), ["patch high Unschedulable nominated=n"]);
    assert!(world.scheduler.preempting.is_empty());
}

#[test]
fn pods_of_lower_priority_lose_what_they_were_promised() {
    let mut world = World::full(&[("low", "4")]);
    let middle = pod("middle").cpu("4").with("priority", json!(10)).build();
    world.add(&middle);
    world.run_until(Time::ZERO);
    world.see(ChangeKind::Modified, Some(&middle), &nominated(&middle, "n"));
    let from = world.port.requests.len();
    world.add(&high("4"));
    world.run_until(Time::ZERO);
    let sent = world.sent(from);
    assert_eq!(sent[..2], ["patch middle nominated=", "patch low PreemptionByScheduler"], "{sent:?}");
}

/// Makes every pod wait.
struct Patience;

impl Plugin for Patience {
    const NAME: &'static str = "Patience";
    type Cycle = ();
    fn pre_filter(&self, _: &PodInfo) {}
}

impl Permit for Patience {
    fn permit(&self, (): &mut (), _: &Attempt<'_>, _: &str, _: &mut Waiting) -> Permission {
        Permission::Wait(secs(60))
    }
}

#[test]
fn waiting_victims_are_rejected() {
    let profile = Profile::default_profile().with(plugin(Patience).permit());
    let mut world = World::new(Scheduler::new(vec![profile]));
    world.log.set_keep(Keep::Records);
    world.add(&node("n").cpu("4").build());
    let low = pod("low").cpu("4").build();
    world.add(&low);
    world.run_until(Time::ZERO);
    assert!(world.scheduler.cache().is_assumed(low.meta.uid));
    world.add(&high("4"));
    world.run_until(Time::ZERO);
    assert_eq!(world.sent(0), ["patch high Unschedulable nominated=n", "patch low Unschedulable"]);
    assert_eq!(world.why(&low), "0/1 nodes are available: 1 preempted.");
    assert_eq!(world.events("Preempted").len(), 1);
    world.run_until(Time::ZERO + secs(3));
    assert!(world.scheduler.cache().is_assumed(high("4").meta.uid));
}

#[test]
fn both_engines_preempt_alike() {
    let run = |engine| {
        let mut world = World::new(Scheduler { engine, ..Scheduler::default() });
        for i in 0..12 {
            world.add(&node(&format!("n{i}")).cpu("4").build());
            for j in 0..4 {
                let low =
                    pod(&format!("low{i}-{j}")).cpu("1").with("priority", json!((i * 7 + j) % 5)).build();
                world.add(&on(&low, &format!("n{i}")));
            }
        }
        for i in 0..20 {
            let cpu = ["1", "2", "3"][i % 3];
            let priority = json!(10 * (1 + i % 4));
            world.add(&pod(&format!("high{i}")).cpu(cpu).with("priority", priority).build());
            world.run_until(world.now + secs(1));
            let from = world.port.requests.len();
            world.answer_all(fine);
            let deleted = world
                .sent(from)
                .iter()
                .filter_map(|l| l.strip_prefix("delete ").map(str::to_owned))
                .collect::<Vec<_>>();
            for name in deleted {
                let uid = Uid::parse(&name);
                if let Some(gone) = world.scheduler.cache().pod_object(uid).cloned() {
                    world.delete(&gone);
                }
            }
        }
        world.run_until(world.now + secs(30));
        world.sent(0)
    };
    let fast = run(Engine::Fast);
    assert!(fast.iter().filter(|line| line.starts_with("delete")).count() > 20, "{fast:#?}");
    assert_eq!(fast, run(Engine::Plain));
}
