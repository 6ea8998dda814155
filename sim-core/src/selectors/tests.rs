use super::*;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
}

#[test]
fn absent_and_empty_api_selectors() {
    let any = labels(&[("a", "b")]);
    assert!(!Selector::from_label_selector(None).unwrap().matches(&any));
    assert!(Selector::from_label_selector(Some(&LabelSelector::default())).unwrap().matches(&any));
}

#[test]
fn operators_on_present_and_absent_labels() {
    for (selector, present, other, absent) in [
        ("x=1", true, false, false),
        ("x!=1", false, true, true),
        ("x in (1,3)", true, false, false),
        ("x notin (1,3)", false, true, true),
        ("x", true, true, false),
        ("!x", false, false, true),
        ("x>1", false, true, false),
        ("x<2", true, false, false),
    ] {
        let parsed = Selector::parse(selector).unwrap();
        assert_eq!(parsed.matches(&labels(&[("x", "1")])), present, "{selector} on x=1");
        assert_eq!(parsed.matches(&labels(&[("x", "2")])), other, "{selector} on x=2");
        assert_eq!(parsed.matches(&Labels::new()), absent, "{selector} without x");
        assert_eq!(parsed.to_string(), selector);
    }
}

#[test]
fn two_messages_are_bracketed() {
    let error = Requirement::new("x", Operator::GreaterThan, &["!".to_string()]).unwrap_err();
    assert!(error.to_string().starts_with("[values[0]: Invalid value: \"!\": for 'Gt'"), "{error}");
}
