//! The language as a user sees it: results, errors in upstream's words, and that nothing an expression says can hang.

use std::sync::Arc;

use sim_cel::{CompileError, Decl, Env, Map, Type, Value};

const LIMIT: u64 = 1_000_000;

/// `labels`, a map of strings, and `any`, of which nothing is known before run time.
fn env() -> Env {
    let text = || Decl::scalar(Type::String, 63);
    Env::kubernetes()
        .with_variable("labels", Decl::map(text(), text(), 64))
        .with_variable("any", Decl::scalar(Type::Any, 64))
}

/// `true`, `false`, or the text of what went wrong.
fn run_with(expression: &str, any: Value) -> String {
    let program = match env().compile_condition(expression) {
        Ok(program) => program,
        Err(error) => return error.to_string(),
    };
    let mut labels = Map::new();
    labels.insert(Value::string("app"), Value::string("web"));
    let evaluation = program.evaluate(&[Value::Map(Arc::new(labels)), any], LIMIT);
    match evaluation.outcome {
        Ok(value) => value.as_condition().map_or_else(|e| e, |b| b.to_string()),
        Err(failure) => failure.to_string(),
    }
}

fn run(expression: &str) -> String {
    run_with(expression, Value::Int(3))
}

#[test]
fn results_and_errors() {
    for (expression, expected) in [
        ("labels.app == 'web' && size(labels) == 1", "true"),
        ("labels.other == 'x' || true", "true"),
        ("labels.other == 'x'", "no such key: other"),
        ("any == 3.0 && any != '3' && any in [1, 2, 3]", "true"),
        ("any < '4'", "no such overload"),
        ("any.all(x, true)", "got 'types.Int', expected iterable type"),
        ("9223372036854775807 + any > 0", "integer overflow"),
        ("1 / (any - 3) == 1", "division by zero"),
        // The right side of an equality cannot be the result of arithmetic: upstream holds it by pointer.
        ("quantity('1').add(1) == quantity('2')", "true"),
        ("quantity('2') == quantity('1').add(1)", "no such overload"),
        ("semver('1.0.0') != 'x' || true", "compilation failed"),
        ("cel.bind(n, 1 / 0, true)", "true"),
        ("[1, 2].map(x, x > 1, x * 2) == [4] && [3, 1].sort()[0] == 1", "true"),
        ("{'a': 1}.transformMapEntry(k, v, {v: k}) == {1: 'a'}", "true"),
        ("[1, 1].transformMapEntry(i, v, {v: i}) == {}", "insert failed: key 1 already exists"),
        ("'%s is %.1f, %d and %s'.format(['a', 1.25, 2, [1u, 'b']]) == 'a is 1.2, 2 and [1, \"b\"]'", "true"),
        ("duration('1h30m').getMinutes() == 90 && string(duration('1.5s')) == '1.5s'", "true"),
        ("timestamp('2024-02-29T23:30:00Z').getDayOfMonth('+01:00') == 0", "true"),
        ("url('https://user@h:8080/a?b=c&b=d').getQuery() == {'b': ['c', 'd']}", "true"),
        ("ip('10.0.0.1') == ip('10.0.0.1') && cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')", "true"),
        ("format.dns1123Label().validate('A_b').hasValue()", "true"),
        ("optional.of(1).optMap(x, x + 1).value() == 2 && !optional.none().hasValue()", "true"),
        (
            "'héllo'.charAt(1) == 'é' && 'héllo'.indexOf('l') == 2 && 'abc'.split('') == ['a', 'b', 'c']",
            "true",
        ),
        ("labels[?'app'].orValue('') == 'web' && labels.?x.orValue('y') == 'y'", "true"),
        ("any.matches('(')", "invalid matches argument"),
        ("any.startsWith('x')", "no such overload"),
        ("labels.app", "must evaluate to bool or the unknown type, not string"),
        ("nobody", "undeclared reference to 'nobody' (in container '')"),
        ("1 +", "Syntax error: mismatched input '<EOF>'"),
    ] {
        let found = run(expression);
        assert!(found.contains(expected), "{expression}: {found}");
    }
}

/// `{}` stands for what may begin an expression. The first group is recorded of cel-go (its own parser tests, and
/// Kubernetes'); the second follows from how its parser runtime recovers.
#[test]
fn complaints_about_syntax_are_those_of_the_parser_generator() {
    const BEGIN: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";
    for (expression, expected) in [
        ("this is not cel", &["1:6: Syntax error: mismatched input 'is' expecting <EOF>"][..]),
        ("f(){a: 1, b: 2}", &["1:4: Syntax error: mismatched input '{' expecting <EOF>"]),
        (
            "in",
            &[
                "1:1: Syntax error: mismatched input 'in' expecting {}",
                "1:3: Syntax error: mismatched input '<EOF>' expecting {}",
            ],
        ),
        (
            "?!",
            &[
                "1:1: Syntax error: extraneous input '?' expecting {}",
                "1:3: Syntax error: extraneous input '<EOF>' expecting {}",
            ],
        ),
        ("true;", &["1:5: Syntax error: token recognition error at: ';'"]),
        ("{'a': 1}.'a'", &["1:10: Syntax error: no viable alternative at input '.'a''"]),
        (
            "t{>C}",
            &[
                "1:3: Syntax error: extraneous input '>' expecting {'}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}",
                "1:5: Syntax error: mismatched input '}' expecting ':'",
            ],
        ),
        (
            "*@a | b",
            &[
                "1:1: Syntax error: extraneous input '*' expecting {}",
                "1:2: Syntax error: token recognition error at: '@'",
                "1:5: Syntax error: token recognition error at: '| '",
                "1:7: Syntax error: extraneous input 'b' expecting <EOF>",
            ],
        ),
        (
            "1 = 2",
            &[
                "1:3: Syntax error: token recognition error at: '= '",
                "1:5: Syntax error: extraneous input '2' expecting <EOF>",
            ],
        ),
        (
            "\"\\xFh\"",
            &[
                "1:1: Syntax error: token recognition error at: '\"\\xFh'",
                "1:6: Syntax error: token recognition error at: '\"'",
                "1:7: Syntax error: mismatched input '<EOF>' expecting {}",
            ],
        ),
        (
            "1 + $",
            &[
                "1:5: Syntax error: token recognition error at: '$'",
                "1:6: Syntax error: mismatched input '<EOF>' expecting {}",
            ],
        ),
        // As the runtime recovers: one token too many, one missing, or more than that.
        ("1 2", &["1:3: Syntax error: extraneous input '2' expecting <EOF>"]),
        ("(1", &["1:3: Syntax error: missing ')' at '<EOF>'"]),
        ("any[1", &["1:6: Syntax error: missing ']' at '<EOF>'"]),
        ("[1", &["1:3: Syntax error: mismatched input '<EOF>' expecting {']', ','}"]),
        ("{1: 2", &["1:6: Syntax error: mismatched input '<EOF>' expecting {'}', ','}"]),
        ("{1}", &["1:3: Syntax error: mismatched input '}' expecting ':'"]),
        ("any ? 1", &["1:8: Syntax error: mismatched input '<EOF>' expecting ':'"]),
        ("(a b c)", &["1:4: Syntax error: mismatched input 'b' expecting ')'"]),
        ("a[b c d]", &["1:5: Syntax error: mismatched input 'c' expecting ']'"]),
        ("any.size() and\n  any", &["1:12: Syntax error: mismatched input 'and' expecting <EOF>"]),
    ] {
        let CompileError::Invalid(message) = env().compile_condition(expression).unwrap_err() else {
            panic!("another error of {expression}");
        };
        let found: Vec<&str> =
            message.lines().filter_map(|line| line.strip_prefix("ERROR: <input>:")).collect();
        let expected: Vec<String> = expected.iter().map(|line| line.replace("{}", BEGIN)).collect();
        assert_eq!(found, expected, "{expression}");
    }
}

#[test]
fn places_count_characters() {
    let CompileError::Invalid(message) = env().compile_condition("'é' == 'é' &&\n  x").unwrap_err() else {
        panic!("another error");
    };
    assert_eq!(message, "ERROR: <input>:2:3: undeclared reference to 'x' (in container '')\n |   x\n | ..^");
    let message = env().compile_condition("'é' == x").unwrap_err().to_string();
    assert!(message.ends_with("ERROR: <input>:1:8: undeclared reference to 'x' (in container '')\n | 'é' == x\n | .\u{ff0e}.....^"), "{message}");
}

#[test]
fn deep_nesting_is_an_error() {
    for (open, close, depth) in
        [("(", ")", 1_000), ("[", "]", 1_000), ("{1:", "}", 1_000), ("any[", "]", 600), ("f(", ")", 1_000)]
    {
        let expression = format!("{}1{}", open.repeat(depth), close.repeat(depth));
        assert!(run(&expression).contains("expression recursion limit exceeded: 250"), "{open}");
    }
    for chain in ["1 + ", "any.a.", "true ? true : "] {
        let expression = format!("{}a", chain.repeat(5_000));
        assert!(run(&expression).contains("expression recursion limit exceeded: 250"), "{chain}");
    }
    assert!(run(&"!".repeat(90_000)).contains("Syntax error"), "operators before a value do not nest");
    assert!(run(&"x".repeat(100_001)).contains("expression code point size exceeds limit"));
    // As deep as is allowed, everywhere.
    let expression = format!("{}true{}", "(".repeat(240), ")".repeat(240));
    assert_eq!(run(&expression), "true");
    let expression = format!("{}any == 3", "true && ".repeat(240));
    assert_eq!(run(&expression), "true");
}

#[test]
fn exponential_expressions_end() {
    let doubling = |start: &str, step: &str, end: &str| {
        let mut text = format!("cel.bind(v0, {start}, ");
        for level in 1..60 {
            text.push_str(&format!("cel.bind(v{level}, {}, ", step.replace('v', &format!("v{}", level - 1))));
        }
        text.push_str(&end.replace('v', "v59"));
        text.push_str(&")".repeat(60));
        text
    };
    let cost = "actual cost limit exceeded";
    for (expression, expected) in [
        (doubling("[any]", "v + v", "v == v"), cost),
        (doubling("'ab'", "v + v", "v == v"), cost),
        (doubling("[any]", "[v, v]", "v == v"), cost),
        (doubling("[any]", "[v, v]", "v.flatten(60).size() > 0"), cost),
        (doubling("{'a': 1}", "{v: v}", "v == v"), "type of the expression is too large"),
        (format!("optional.of(any){}.hasValue()", ".optMap(x, x)".repeat(200)), "expression is too large"),
        ("lists.range(100000000).all(x, true)".to_owned(), cost),
        ("lists.range(1000).all(a, lists.range(1000).all(b, a + b >= 0))".to_owned(), cost),
        (
            format!("'{}'.replace('', '{}').replace('', '{0}') == ''", "a".repeat(9_000), "b".repeat(9_000)),
            cost,
        ),
        ("[1, 2, 3].all(x, any.matches('(a+)+$'))".to_owned(), "no such overload"),
    ] {
        let found = run(&expression);
        assert!(found.contains(expected), "{}…: {found}", &expression[..40]);
    }
}
