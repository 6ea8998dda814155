//! Answers are those of kube-scheduler's own code: its decoder, its defaulting and its validation.

use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, proptest};
use proptest::sample::select;
use serde_json::{Value, json};
use sim_core::load::Source;

use super::go_types::{Go, KINDS, Struct};
use super::*;

const HEAD: &str = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";

fn read(text: &str) -> Result<SchedulerConfig, ConfigError> {
    SchedulerConfig::read(&Source::new("f.yaml", text))
}

/// What is wrong with a whole text, and at which stage.
fn refused(text: &str) -> String {
    match read(text) {
        Err(error @ ConfigError::Decode { .. }) => format!("decode: {error}"),
        Err(error @ ConfigError::Invalid { .. }) => format!("validate: {error}"),
        Ok(config) => match config.profiles(&Registry::in_tree()) {
            Err(error) => format!("build: {error}"),
            Ok(_) => "ok".to_owned(),
        },
    }
}

fn check(cases: &[(&str, &str)], text: impl Fn(&str) -> String) {
    for (given, expected) in cases {
        let text = text(given);
        assert_eq!(refused(&text), *expected, "{text}");
    }
}

const NO_STRUCT: &str = "decode: couldn't get version/kind; json parse error: json: cannot unmarshal string into Go value of \
    type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }";

#[test]
fn texts_that_are_no_configuration() {
    let cases = [
        ("", "decode: Object 'Kind' is missing in ''"),
        ("---\n---\nkind: x\n", "decode: Object 'Kind' is missing in '---\n---\nkind: x\n'"),
        ("foo\n", NO_STRUCT),
        (
            "kind: 5\n",
            "decode: couldn't get version/kind; json parse error: json: cannot unmarshal number into Go struct field .kind of type string",
        ),
        ("kind: A\napiVersion: a/b/c\n", "decode: unexpected GroupVersion string: a/b/c"),
        (
            "kind: A\napiVersion: kubescheduler.config.k8s.io/\n",
            "decode: Object 'apiVersion' is missing in 'kind: A\napiVersion: kubescheduler.config.k8s.io/\n'",
        ),
        (
            "kind: A\napiVersion: apps/v1\n",
            "decode: no kind \"A\" is registered for version \"apps/v1\" in scheme \"k8s.io/kubernetes/pkg/scheduler/apis/config/scheme/scheme.go:30\"",
        ),
        (
            "kind: A\napiVersion: kubescheduler.config.k8s.io/__internal\n",
            "decode: no kind \"A\" is registered for the internal version of group \"kubescheduler.config.k8s.io\" in scheme \"k8s.io/kubernetes/pkg/scheduler/apis/config/scheme/scheme.go:30\"",
        ),
        (
            "kind: NodeAffinityArgs\napiVersion: kubescheduler.config.k8s.io/v1\n",
            "decode: couldn't decode as KubeSchedulerConfiguration, got kubescheduler.config.k8s.io/v1, Kind=NodeAffinityArgs: ",
        ),
        (
            "kind: KubeSchedulerConfiguration\napiVersion: kubescheduler.config.k8s.io/__internal\n",
            "validate: [parallelism: Invalid value: 0: should be an integer value greater than zero, profiles: Required value, podInitialBackoffSeconds: Invalid value: 0: must be greater than 0]",
        ),
        (
            "Kind: KubeSchedulerConfiguration\napiVersion: kubescheduler.config.k8s.io/v1\n",
            "decode: strict decoding error: unknown field \"Kind\"",
        ),
        ("a: b: c\n", "decode: yaml: mapping values are not allowed in this context"),
        ("x: 1\na: b: c\n", "decode: yaml: line 2: mapping values are not allowed in this context"),
        ("apiVersion\nkind: x\n", "decode: yaml: line 2: mapping values are not allowed in this context"),
        ("a:\n\tb: 1\n", "decode: yaml: line 2: found character that cannot start any token"),
        (
            "apiVersion: v1\n\tkind: x\n",
            "decode: yaml: line 2: found a tab character that violates indentation",
        ),
        ("a: [1, 2\n", "decode: yaml: line 1: did not find expected ',' or ']'"),
        ("a:\n  b: 1\n c: 2\n", "decode: yaml: line 2: did not find expected key"),
        ("- a\nb: 1\n", "decode: yaml: line 1: did not find expected '-' indicator"),
        ("a: \"x\nb: 1\n", "decode: yaml: line 3: found unexpected end of stream"),
        ("a: 1\nfoo\nb: 2\n", "decode: yaml: line 3: could not find expected ':'"),
        ("a: *x\n", "decode: yaml: unknown anchor 'x' referenced"),
        ("a: .inf\n", "decode: json: unsupported value: +Inf"),
    ];
    check(&cases, str::to_owned);
}

#[test]
fn texts_that_are_no_json() {
    let cases = [
        ("{", "unexpected end of JSON input"),
        ("{a: 1}", "invalid character 'a' looking for beginning of object key string"),
        ("{'a': 1}", "invalid character '\\'' looking for beginning of object key string"),
        ("{\"a\" 1}", "invalid character '1' after object key"),
        ("{\"a\": x}", "invalid character 'x' looking for beginning of value"),
        ("{\"a\": 01}", "invalid character '1' after object key:value pair"),
        ("{\"a\": 1,}", "invalid character '}' looking for beginning of object key string"),
        ("{\"a\": [1 2]}", "invalid character '2' after array element"),
        ("{\"a\": [1,]}", "invalid character ']' looking for beginning of value"),
        ("{\"a\": \"\\q\"}", "invalid character 'q' in string escape code"),
        ("{\"a\": \"\\u12x\"}", "invalid character 'x' in \\u hexadecimal character escape"),
        ("{\"a\": \"\n\"}", "invalid character '\\n' in string literal"),
        ("{\"a\": -}", "invalid character '}' in numeric literal"),
        ("{\"a\": 1.}", "invalid character '}' after decimal point in numeric literal"),
        ("{\"a\": 1e}", "invalid character '}' in exponent of numeric literal"),
        ("{\"a\": tru}", "invalid character '}' in literal true (expecting 'e')"),
        ("{} x", "invalid character 'x' after top-level value"),
        ("{}\u{e9}", "invalid character '\u{c3}' after top-level value"),
    ];
    for (text, why) in cases {
        let expected = format!("decode: couldn't get version/kind; json parse error: {why}");
        assert_eq!(refused(text), expected, "{text}");
    }
}

#[test]
fn only_the_first_document_of_yaml_counts() {
    for rest in ["---\na: b: c\n", "...\nfoo: [\n", &format!("---\n{HEAD}parallelism: 3\n")] {
        assert_eq!(read(&format!("# a comment\n{HEAD}{rest}")).map(|c| c.parallelism), Ok(16), "{rest}");
    }
}

#[test]
fn fields_of_other_types_and_unknown_ones() {
    let cases = [
        (
            "parallelism: '3'",
            "decode: json: cannot unmarshal string into Go struct field KubeSchedulerConfiguration.parallelism of type int32",
        ),
        (
            "parallelism: 1.5",
            "decode: json: cannot unmarshal number 1.5 into Go struct field KubeSchedulerConfiguration.parallelism of type int32",
        ),
        ("parallelism: 3.0", "ok"),
        (
            "podMaxBackoffSeconds: 99999999999999999999999",
            "decode: json: cannot unmarshal number 1e+23 into Go struct field KubeSchedulerConfiguration.podMaxBackoffSeconds of type int64",
        ),
        (
            "clientConnection: {qps: 1e39}",
            "decode: json: cannot unmarshal number 1e+39 into Go struct field ClientConnectionConfiguration.clientConnection.qps of type float32",
        ),
        (
            "clientConnection: []",
            "decode: json: cannot unmarshal array into Go struct field KubeSchedulerConfiguration.clientConnection of type v1alpha1.ClientConnectionConfiguration",
        ),
        (
            "profiles: {}\nextenders: {}\nfoo: 1",
            "decode: json: cannot unmarshal object into Go struct field KubeSchedulerConfiguration.extenders of type []v1.Extender",
        ),
        (
            "profiles: [1]",
            "decode: json: cannot unmarshal number into Go struct field KubeSchedulerConfiguration.profiles of type v1.KubeSchedulerProfile",
        ),
        ("profiles: [null]", "ok"),
        (
            "profiles: [{plugins: {score: {enabled: [{weight: 2147483648}]}}}]",
            "decode: json: cannot unmarshal number 2147483648 into Go struct field Plugin.profiles.plugins.score.enabled.weight of type int32",
        ),
        (
            "leaderElection: {leaseDuration: 5, leaderElect: 5}",
            "decode: json: cannot unmarshal number into Go struct field LeaderElectionConfiguration.leaderElection.leaseDuration of type string",
        ),
        ("parallelism: x\nleaderElection: {leaseDuration: x}", "decode: time: invalid duration \"x\""),
        ("leaderElection: {leaseDuration: null}", "decode: time: invalid duration \"\""),
        ("extenders: [{tlsConfig: {caData: '***'}}]", "decode: illegal base64 data at input byte 0"),
        ("extenders: [{tlsConfig: {caData: [1, 2]}}]", "ok"),
        (
            "extenders: [{tlsConfig: {caData: [300]}}]",
            "decode: json: cannot unmarshal number 300 into Go struct field ExtenderTLSConfig.extenders.tlsConfig.caData of type uint8",
        ),
        (
            "zz: 1\nprofiles: [{foo: 1, plugins: {score: {enable: []}}}]\naa: 1",
            "decode: strict decoding error: unknown field \"aa\", unknown field \"profiles[0].foo\", unknown field \"profiles[0].plugins.score.enable\", unknown field \"zz\"",
        ),
        (
            "parallelism: 1\nparallelism: 2\nzz: 1",
            "decode: strict decoding error: yaml: unmarshal errors:\n  line 4: key \"parallelism\" already set in map, unknown field \"zz\"",
        ),
        (
            "leaderElection: {}\nleaderElection:\n  leaderElect: true\n  leaderElect: true",
            "decode: strict decoding error: yaml: unmarshal errors:\n  line 6: key \"leaderElect\" already set in map\n  line 5: key \"leaderElection\" already set in map",
        ),
    ];
    check(&cases, |text| format!("{HEAD}{text}\n"));
    let cases = [
        ("\"zz\": 1, \"aa\": 2", "decode: strict decoding error: unknown field \"zz\", unknown field \"aa\""),
        (
            "\"parallelism\": 1, \"x\": 1, \"parallelism\": 2",
            "decode: strict decoding error: unknown field \"x\", duplicate field \"parallelism\"",
        ),
        (
            "\"parallelism\": 3.0",
            "decode: json: cannot unmarshal number 3.0 into Go struct field KubeSchedulerConfiguration.parallelism of type int32",
        ),
        (
            "\"profiles\": [{\"pluginConfig\": [{\"name\": \"InterPodAffinity\", \"args\": {\"z\": 1, \"hardPodAffinityWeight\": 1, \"hardPodAffinityWeight\": 2}}]}]",
            "decode: strict decoding error: decoding .profiles[0].pluginConfig[0]: strict decoding error: decoding args for plugin InterPodAffinity: strict decoding error: unknown field \"z\", duplicate field \"hardPodAffinityWeight\"",
        ),
    ];
    check(&cases, |text| {
        format!(
            "{{\"apiVersion\": \"kubescheduler.config.k8s.io/v1\", \"kind\": \"KubeSchedulerConfiguration\", {text}}}"
        )
    });
}

#[test]
fn arguments_of_plugins() {
    let in_args = "decode: decoding .profiles[0].pluginConfig[0]: ";
    let cases = [
        ("InterPodAffinity, args: {hardPodAffinityWeight: x}", format!("{in_args}decoding args for plugin InterPodAffinity: json: cannot unmarshal string into Go struct field InterPodAffinityArgs.hardPodAffinityWeight of type int32")),
        ("InterPodAffinity, args: {kind: NodeAffinityArgs}", format!("{in_args}args for plugin InterPodAffinity were not of type InterPodAffinityArgs.kubescheduler.config.k8s.io, got NodeAffinityArgs.kubescheduler.config.k8s.io")),
        ("InterPodAffinity, args: {apiVersion: kubescheduler.config.k8s.io/}", "ok".to_owned()),
        ("InterPodAffinity, args: {apiVersion: a/b/c}", format!("{in_args}decoding args for plugin InterPodAffinity: unexpected GroupVersion string: a/b/c")),
        ("DynamicResources, args: {filterTimeout: 5}", format!("{in_args}decoding args for plugin DynamicResources: json: cannot unmarshal number into Go struct field DynamicResourcesArgs.filterTimeout of type string")),
        ("NodeAffinity, args: {addedAffinity: {foo: 1}}", "decode: strict decoding error: decoding .profiles[0].pluginConfig[0]: strict decoding error: decoding args for plugin NodeAffinity: strict decoding error: unknown field \"addedAffinity.foo\"".to_owned()),
        ("NodeAffinity, args: {addedAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{operator: 1}]}]}}}", format!("{in_args}decoding args for plugin NodeAffinity: json: cannot unmarshal number into Go struct field NodeSelectorRequirement.addedAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms.matchExpressions.operator of type v1.NodeSelectorOperator")),
        ("NodeAffinity, args: {addedAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: In, values: []}]}]}}}", "validate: profiles[0].pluginConfig[0].args.addedAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty".to_owned()),
        ("PodTopologySpread, args: {defaultConstraints: [{labelSelector: {matchLabels: {a: 1}}}]}", format!("{in_args}decoding args for plugin PodTopologySpread: json: cannot unmarshal number into Go struct field LabelSelector.defaultConstraints.labelSelector.matchLabels of type string")),
        ("PodTopologySpread, args: {defaultingType: List, defaultConstraints: [{maxSkew: 0, whenUnsatisfiable: X, labelSelector: {}}]}", "validate: [profiles[0].pluginConfig[0].args.defaultConstraints[0].maxSkew: Invalid value: 0: not in valid range (0, inf), profiles[0].pluginConfig[0].args.defaultConstraints[0].topologyKey: Required value: can not be empty, profiles[0].pluginConfig[0].args.defaultConstraints[0].whenUnsatisfiable: Unsupported value: \"X\": supported values: \"DoNotSchedule\", \"ScheduleAnyway\", profiles[0].pluginConfig[0].args.defaultConstraints[0].labelSelector: Forbidden: constraint must not define a selector, as they deduced for each pod]".to_owned()),
        ("VolumeBinding, args: {shape: []}", "validate: profiles[0].pluginConfig[0].args.shape: Invalid value: []: unexpected field `shape`, remove it or turn on the feature gate StorageCapacityScoring".to_owned()),
        ("NodeResourcesFit, args: {ignoredResources: ['a b']}", "build: initializing profiles: creating profile for scheduler name default-scheduler: initializing plugin \"NodeResourcesFit\": ignoredResources[0]: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')".to_owned()),
        ("EBSLimits", "validate: profiles[0].pluginConfig[0]: Invalid value: \"EBSLimits\": was invalid in version \"v1\" (KubeSchedulerConfiguration is version \"kubescheduler.config.k8s.io/v1\")".to_owned()),
        ("Nope, args: [1]", "ok".to_owned()),
    ];
    for (config, expected) in cases {
        let text = format!("{HEAD}profiles: [{{pluginConfig: [{{name: {config}}}]}}]\n");
        assert_eq!(refused(&text), expected, "{config}");
    }
}

#[test]
fn what_goes_together_and_what_does_not() {
    let cases = [
        (
            "leaderElection: {resourceLock: configmaps, leaseDuration: 1s}",
            "validate: [leaderElection.leaseDuration: Invalid value: \"10s\": must be greater than `RenewDeadline`, leaderElection.resourceLock: Invalid value: \"configmaps\": resourceLock value must be \"leases\"]",
        ),
        (
            "clientConnection: {burst: -1}",
            "validate: clientConnection.burst: Invalid value: -1: must be non-negative",
        ),
        (
            "profiles: [{}, {}]",
            "validate: [profiles[0].schedulerName: Required value, profiles[1].schedulerName: Required value, profiles[1].schedulerName: Duplicate value: {}]",
        ),
        (
            "profiles: [{plugins: {queueSort: {enabled: [{name: A},{name: B}]}}}]",
            "validate: profiles[0].plugins.queueSort.Enabled: Invalid value: 2: only one queue sort plugin can be enabled",
        ),
        (
            "profiles: [{schedulerName: a},{schedulerName: b, plugins: {queueSort: {disabled: [{name: '*', weight: 3}]}}}]",
            "validate: profiles[1].plugins.queueSort: Invalid value: {\"Enabled\":null,\"Disabled\":[{\"Name\":\"*\",\"Weight\":0}]}: must be the same for all profiles",
        ),
        (
            "profiles: [{schedulerName: a, plugins: {queueSort: {enabled: [{name: Foo}]}}},{schedulerName: b, plugins: {queueSort: {enabled: [{name: Foo}]}}, pluginConfig: [{name: Foo, args: {a: 1}}]}]",
            "validate: profiles[1].pluginConfig.args: Invalid value: {\"a\":1}: queueSort must be the same for all profiles",
        ),
        (
            "profiles: [{schedulerName: a, pluginConfig: [{name: PrioritySort, args: {a: 1}}]},{schedulerName: b}]",
            "build: initializing profiles: different queue sort plugin args for profile \"b\"",
        ),
        (
            "profiles: [{plugins: {filter: {enabled: [{name: A},{name: EBSLimits}]}}}]",
            "validate: profiles[0].plugins.filter.enabled[1]: Invalid value: \"EBSLimits\": was invalid in version \"v1\" (KubeSchedulerConfiguration is version \"kubescheduler.config.k8s.io/v1\")",
        ),
        (
            "profiles: [{pluginConfig: [{name: NodeAffinity},{name: NodeAffinity}]}]",
            "validate: profiles[0].pluginConfig[1]: Duplicate value: \"NodeAffinity\"",
        ),
        (
            "extenders: [{bindVerb: a},{bindVerb: b},{bindVerb: c}]",
            "validate: extenders: Invalid value: \"found 3 extenders implementing bind\": only one extender can implement bind",
        ),
        (
            "extenders: [{managedResources: [{name: a.b/c},{name: cpu},{name: a.b/c}]}]",
            "validate: [extenders[0].managedResources[1].name: Invalid value: \"cpu\": is an invalid extended resource name, extenders[0].managedResources[2].name: Invalid value: \"a.b/c\": duplicate extender managed resource name]",
        ),
        (
            "extenders: [{tlsConfig: {insecure: true, caFile: x}}]",
            "build: couldn't build extenders: specifying a root certificates file with the insecure flag is not allowed",
        ),
        (
            "profiles: [{plugins: {multiPoint: {disabled: [{name: '*'}], enabled: [{name: PrioritySort},{name: DefaultBinder}]}}}]\nextenders: [{managedResources: [{name: a.b/c, ignoredByScheduler: true}]}]",
            "build: couldn't build extenders: can't find NodeResourcesFitArgs in plugin config",
        ),
    ];
    check(&cases, |text| format!("{HEAD}{text}\n"));
}

#[test]
fn defaults_and_merges() {
    let config = read(&format!(
        "{HEAD}enableProfiling: false\nprofiles:\n- plugins:\n    multiPoint:\n      enabled: \
         [{{name: NodeName, weight: 3}}, {{name: X}}, {{name: NodeName, weight: 4}}]\n      disabled: \
         [{{name: ImageLocality, weight: 7}}]\n  pluginConfig: [{{name: VolumeBinding, args: {{bindTimeoutSeconds: 0}}}}]\n"
    ));
    let config = config.expect("a configuration");
    assert!(!config.enable_contention_profiling);
    let profile = &config.profiles[0];
    assert_eq!(profile.scheduler_name, "default-scheduler");
    let multi_point = &profile.plugins.as_ref().expect("plugins").multi_point;
    let names: Vec<String> = multi_point.enabled.iter().map(|p| format!("{} {}", p.name, p.weight)).collect();
    let last = names.len() - 3;
    assert_eq!(names[3], "NodeName 4", "the last one takes the default's place");
    assert_eq!(names[last..], ["DefaultBinder 0", "NodeName 3", "X 0"]);
    assert_eq!(multi_point.disabled, [PluginRef { name: "ImageLocality".into(), weight: 0 }]);
    let configs: Vec<&str> = profile.plugin_config.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(configs[..3], ["VolumeBinding", "DefaultPreemption", "DynamicResources"]);
    assert_eq!(profile.args("VolumeBinding").map(|a| &a["bindTimeoutSeconds"]), Some(&json!(0)));
    assert_eq!(profile.args("DynamicResources").map(|a| &a["filterTimeout"]), Some(&json!("10s")));
}

#[test]
fn complaints_have_places() {
    let places = |text: &str| read(&format!("{HEAD}{text}")).unwrap_err().into_places().to_string();
    assert_eq!(
        places("profiles:\n- schedulerNam: x\n"),
        "f.yaml:4:3: strict decoding error: unknown field \"profiles[0].schedulerNam\"\n  help: did you mean \"schedulerName\"?"
    );
    assert_eq!(
        places(
            "profiles:\n- schedulerName: a\n  pluginConfig:\n  - name: InterPodAffinity\n    args:\n      hardPodAffinityWeight: 200\nparallelism: -1\n"
        ),
        "f.yaml:9:1: parallelism: Invalid value: -1: should be an integer value greater than zero\n\
         f.yaml:8:7: profiles[0].pluginConfig[0].args.hardPodAffinityWeight: Invalid value: 200: not in valid range [0, 100]"
    );
    assert_eq!(
        places("parallelism: many\n"),
        "f.yaml:3:14: json: cannot unmarshal string into Go struct field KubeSchedulerConfiguration.parallelism of type int32"
    );
}

proptest! {
    /// Whatever is written, there is an answer.
    #[test]
    fn no_text_is_too_strange(parts in vec(select(PARTS.to_vec()), 0..40), json in any::<bool>()) {
        let text = if json { parts.join(" ") } else { format!("{HEAD}{}", parts.concat()) };
        prop_assert!(!refused(&text).is_empty());
    }
}

const PARTS: &[&str] = &[
    "profiles",
    "extenders",
    "pluginConfig",
    "plugins",
    "args",
    "name",
    "weight",
    "score",
    "enabled",
    "disabled",
    "NodeAffinity",
    "NodeResourcesFit",
    "queueSort",
    "multiPoint",
    "leaderElection",
    "tlsConfig",
    "caData",
    "'*'",
    "scoringStrategy",
    "shape",
    "{",
    "}",
    "[",
    "]",
    ": ",
    ", ",
    "\"",
    "- ",
    "\n",
    "\n  ",
    "\t",
    "null",
    "5",
    "-1",
    "1e9",
    ".nan",
    "~",
    "&a ",
    "*a ",
    "<<",
    "é",
    "\u{1}",
    "!!int ",
    "|",
    "#",
    "\\u12",
];

/// Something of a type, with nothing that a default would be.
fn sample(go: Go) -> Value {
    match go {
        Go::Bool => json!(true),
        Go::Uint8 | Go::Int32 | Go::Int64 => json!(7),
        Go::Float32 => json!(0.5),
        Go::Str(_) => json!("x"),
        Go::Duration { .. } => json!("7s"),
        Go::Bytes => json!("eHg="),
        Go::Raw => json!({"a": 1}),
        Go::StringMap => json!({"a": "b"}),
        Go::List(item) => json!([sample(*item)]),
        Go::Struct(of) => of.fields.iter().map(|(name, go)| ((*name).to_owned(), sample(*go))).collect(),
    }
}

/// Through our type and back.
fn round_trip<T: Serialize + serde::de::DeserializeOwned>(value: &Value) -> Value {
    json!(serde_json::from_value::<T>(value.clone()).expect("our type reads what Go's type has"))
}

#[test]
fn our_types_have_the_fields_of_gos() {
    for go in KINDS {
        let Go::Struct(Struct { name, .. }) = go else { panic!("a kind is a struct") };
        let mut value = sample(*go);
        for meta in ["kind", "apiVersion"] {
            value.as_object_mut().and_then(|fields| fields.shift_remove(meta));
        }
        let back = match *name {
            "v1.KubeSchedulerConfiguration" => round_trip::<SchedulerConfig>(&value),
            "v1.DefaultPreemptionArgs" => round_trip::<args::DefaultPreemptionArgs>(&value),
            "v1.DynamicResourcesArgs" => round_trip::<args::DynamicResourcesArgs>(&value),
            "v1.InterPodAffinityArgs" => round_trip::<args::InterPodAffinityArgs>(&value),
            "v1.NodeAffinityArgs" => round_trip::<args::NodeAffinityArgs>(&value),
            "v1.NodeResourcesBalancedAllocationArgs" => {
                round_trip::<args::NodeResourcesBalancedAllocationArgs>(&value)
            }
            "v1.NodeResourcesFitArgs" => round_trip::<args::NodeResourcesFitArgs>(&value),
            "v1.PodTopologySpreadArgs" => round_trip::<args::PodTopologySpreadArgs>(&value),
            "v1.VolumeBindingArgs" => round_trip::<args::VolumeBindingArgs>(&value),
            other => panic!("no type of ours for {other}"),
        };
        assert_eq!(back, value, "{name}");
    }
}
