//! The documentation of the format cannot drift from the format: its examples are read.

use scenarios::format::Scenario;
use sim_core::load::{LoadOptions, Source, read};

#[test]
fn the_examples_of_the_documentation_are_scenarios() {
    let doc = include_str!("../../docs/scenarios.md");
    let mut examples = 0;
    for block in doc.split("```yaml\n").skip(1) {
        let body = block.split("```").next().unwrap_or("");
        let head = "apiVersion: wavetank.dev/v1alpha1\nkind: Scenario\n";
        let text = if body.starts_with("apiVersion") { body.to_owned() } else { format!("{head}{body}") };
        let read = read::<Scenario>(&Source::new("docs/scenarios.md", text), &LoadOptions::default());
        let (scenario, _) = read.unwrap_or_else(|e| panic!("{e}"));
        scenario.timeline.iter().for_each(|step| {
            step.action().unwrap_or_else(|e| panic!("{e}"));
        });
        examples += 1;
    }
    assert_eq!(examples, 4);
}
