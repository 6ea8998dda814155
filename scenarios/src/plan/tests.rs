use std::fs;

use sim_core::features::Gate;

use super::*;

const HEAD: &str = "apiVersion: wavetank.dev/v1alpha1\nkind: Scenario\n";

/// Plans a scenario in a folder with a manifest `pod.yaml`.
fn plan(scenario: &str) -> Result<Plan, String> {
    let dir = tempfile::tempdir().unwrap();
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: i}]}\n";
    fs::write(dir.path().join("pod.yaml"), pod).unwrap();
    let path = dir.path().join("s.yaml");
    fs::write(&path, scenario).unwrap();
    let result = from_file(&path, &Settings::default());
    let folder = format!("{}/", dir.path().display());
    result.map_err(|e| e.to_string().replace(&folder, ""))
}

#[test]
fn a_whole_scenario_is_planned() {
    let plan = plan(&format!(
        "{HEAD}seed: 7\ntiming: instant\nfeatureGates: {{DRADeviceTaints: true}}\nepoch: 2024-02-29T00:00:00Z\n\
         cluster:\n  pools:\n  - {{name: w, count: 3, cpu: 8, memory: 32Gi, zones: [a, b], taints: ['k=v:NoSchedule']}}\n\
         manifests:\n- pod.yaml\n- apiVersion: v1\n  kind: Namespace\n  metadata: {{name: shop}}\n\
         behaviors:\n- match: {{name: 'a*'}}\n  run: 5s\n\
         timeline:\n- at: 2m\n  cordon: w-0\n- at: 1m\n  apply: pod.yaml\n\
         expect:\n- pods == 1 at 3m\n"
    ))
    .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((plan.seed, plan.nodes.len(), plan.manifests.len()), (7, 3, 2));
    assert!(plan.features.on(Gate::DRADeviceTaints) && plan.features.on(Gate::DRAAdminAccess));
    assert_eq!(plan.epoch.unix_seconds(), 1_709_164_800);
    let zones: Vec<_> =
        plan.nodes.iter().map(|n| n.meta.label("topology.kubernetes.io/zone").unwrap()).collect();
    assert_eq!(zones, ["a", "b", "a"]);
    assert!(matches!(plan.steps[0].1, Do::Apply(_)), "steps are in order of time");
    assert_eq!(plan.until, Time::ZERO + mins(13), "ten minutes after the last thing");
    assert_eq!(plan.behaviors.rules.len(), 1);
}

#[test]
fn slips_have_file_line_and_path() {
    for (body, parts) in [
        ("sed: 7\n", &["s.yaml:3:1", "unknown field \"sed\"", "did you mean \"seed\""][..]),
        ("seed: many\n", &["s.yaml:3:7: seed: expected", "many"]),
        (
            "cluster:\n  pools:\n  - {name: w, cpus: 3}\n",
            &["s.yaml:5:15: cluster.pools[0].cpus", "did you mean \"cpu\""],
        ),
        (
            "cluster:\n  pools:\n  - {name: w, cpu: 8cores}\n",
            &["s.yaml:5:20", "cluster.pools[0].cpu", "8cores"],
        ),
        ("manifests: [absent.yaml]\n", &["s.yaml:3:13: manifests[0]: absent.yaml: no such file"]),
        ("manifests:\n- apiVersion: v1\n  kind: Pood\n  metadata: {name: a}\n", &["s.yaml:5:9", "Pood"]),
        (
            "cluster:\n  pools:\n  - {name: w, devices: [{model: h100-80g}]}\n",
            &["s.yaml:5:33: cluster.pools[0].devices[0].model", "did you mean `h100-80gb`; there are"],
        ),
        (
            "cluster:\n  pools:\n  - {name: w, devices: [{model: t4, sharing: mig}]}\n",
            &["cluster.pools[0].devices[0].sharing: no MIG partitions of `t4`"],
        ),
        (
            "timeline:\n- at: 1m\n  failDevice: {node: w, device: gpu-0, effect: Never}\n",
            &["s.yaml:5:", "failDevice.effect", "Never", "NoExecute"],
        ),
        (
            "featureGates: {DRADeviceTaint: true}\n",
            &["s.yaml:3:32: featureGates.DRADeviceTaint: ", "DRADeviceTaints"],
        ),
        ("timeline:\n- at: 5\n  cordon: n\n", &["s.yaml:4:7: timeline[0].at: ", "lacks a unit"]),
        ("timeline:\n- at: 5s\n", &["s.yaml:4:3: timeline[0]: a step without an action"]),
        (
            "expect:\n- pods runing == 1\n",
            &["s.yaml:4:3: expect[0]: ", "did you mean `running`", "     ^^^^^^"],
        ),
        ("behaviors:\n- exitCode: 3\n", &["s.yaml:4:13: behaviors[0].exitCode: an exit code without `run`"]),
        ("traces: [{pods: a.csv, classes: pod.yaml}]\n", &["traces[0].pods: a.csv: no such file"]),
        ("include: [s.yaml]\n", &["s.yaml:3:11: include[0]: a cycle of includes: s.yaml -> s.yaml"]),
        ("include: [absent.yaml]\n", &["include[0]: absent.yaml: no such file"]),
        ("epoch: yesterday\n", &["s.yaml:3:8: epoch: `yesterday` is not a date"]),
        ("seed: 1\nseed: 2\n", &["s.yaml:4:1: seed: the field is given twice"]),
        ("---\nseed: 2\n", &["expected one scenario, found a second document"]),
    ] {
        let error = plan(&format!("{HEAD}{body}")).unwrap_err();
        for part in parts {
            assert!(error.contains(part), "{body}\n{error}\nlacks {part}");
        }
    }
}

#[test]
fn what_is_no_scenario_is_refused_as_such() {
    for (text, part) in [
        ("", "the file is empty"),
        ("# nothing\n", "the file is empty"),
        ("- 1\n", "expected a scenario"),
        (
            "apiVersion: v1\nkind: Pod\n",
            "s.yaml:2:7: expected a Scenario of wavetank.dev/v1alpha1, found a Pod of v1",
        ),
        ("kind: Scenario\n", "expected `apiVersion: wavetank.dev/v1alpha1`"),
        ("apiVersion: wavetank.dev/v1alpha1\nkind: Scenario\nseed: [\n", "s.yaml:"),
    ] {
        let error = plan(text).unwrap_err();
        assert!(error.contains(part), "{text}\n{error}");
    }
}

#[test]
fn an_included_scenario_adds_to_its_includer() {
    let dir = tempfile::tempdir().unwrap();
    let base = format!("{HEAD}cluster: {{pools: [{{name: w, count: 2}}]}}\nexpect: [pods == 0]\n");
    fs::write(dir.path().join("base.yaml"), base).unwrap();
    let path = dir.path().join("top.yaml");
    fs::write(&path, format!("{HEAD}include: [base.yaml]\nseed: 5\nexpect: [nodes == 2]\n")).unwrap();
    let plan = from_file(&path, &Settings::default()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((plan.nodes.len(), plan.expectations.len(), plan.seed), (2, 2, 5));
}

#[test]
fn input_above_the_limit_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.yaml");
    fs::write(&path, HEAD).unwrap();
    let error = from_file(&path, &Settings { max_input: 10, ..Settings::default() }).unwrap_err().to_string();
    assert!(error.contains("more than the limit of 10"), "{error}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Bytes put anywhere into a good scenario give a plan or an error, never a panic.
    #[test]
    fn any_damage_is_answered(
        at in 0usize..400,
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..12),
    ) {
        let mut text = format!(
            "{HEAD}cluster: {{pools: [{{name: w, count: 2}}]}}\nmanifests: [pod.yaml]\n\
             behaviors: [{{match: {{name: a}}, run: 5s}}]\ntimeline: [{{at: 5s, cordon: w-0}}]\n\
             expect: ['pods == 1 at 3m']\nuntil: 1h\n"
        ).into_bytes();
        let at = at.min(text.len());
        text.splice(at..at, bytes);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.yaml");
        fs::write(&path, text).unwrap();
        let _ = from_file(&path, &Settings::default()).map(|_| ()).map_err(|e| e.to_string());
    }
}
