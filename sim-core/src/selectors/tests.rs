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

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,16}|[ab=!(),<>1 /.\0-]{0,16}|(in|notin|a|,|\\(|\\)| ){0,9}") {
            if let Ok(selector) = Selector::parse(&text) {
                let printed = selector.to_string();
                prop_assert_eq!(Selector::parse(&printed).map(|s| s.to_string()), Ok(printed));
            }
            if let Ok(selector) = FieldSelector::parse(&text) {
                // `==` sorts as it was written and prints as `=`: the order may change once.
                let sorted = |s: &FieldSelector| {
                    let mut terms: Vec<_> = s.requirements().iter().map(|r| (&r.field, r.equal, &r.value)).collect();
                    terms.sort_unstable();
                    format!("{terms:?}")
                };
                let again = FieldSelector::parse(&selector.to_string()).expect("own text parses");
                prop_assert_eq!(sorted(&again), sorted(&selector));
            }
        }

        #[test]
        fn the_api_form_selects_alike(text in "!?[ab]|[ab]=[xy]|[ab] (in|notin) \\([xy](,[xz])?\\)", a in "[xyz]?") {
            let selector = Selector::parse(&text).expect("a selector");
            let api = selector.to_label_selector().expect("has an API form");
            let again = Selector::from_label_selector(Some(&api)).expect("a selector");
            let set = labels(&[("a", &a)]);
            prop_assert_eq!(again.matches(&set), selector.matches(&set));
        }
    }
}
