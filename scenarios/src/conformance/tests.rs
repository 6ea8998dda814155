use std::fs;
use std::path::Path;

use serde_json::json;

use super::*;

fn run_on(paths: &[&Path], explain: Option<&Path>) -> (Result<Tally, Error>, String, String) {
    let options = Options {
        explain: explain.map(Path::to_owned),
        paths: paths.iter().map(|p| (*p).to_owned()).collect(),
        ..Options::default()
    };
    let (mut out, mut notices) = (Vec::new(), Vec::new());
    let result = run(&options, &mut out, &mut notices);
    (result, String::from_utf8(out).unwrap(), String::from_utf8(notices).unwrap())
}

fn group_file() -> Value {
    json!({"group": "no-such-group", "vectors": [{"name": "a", "input": 1, "expected": 1}, {"name": "b"}]})
}

#[test]
fn a_group_that_nothing_implements_counts_as_failed() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("x.json"), group_file().to_string()).unwrap();
    fs::write(dir.path().join("other.json"), "{\"hello\": 1}").unwrap();
    fs::write(dir.path().join("README.md"), "not looked at").unwrap();
    let (result, out, notices) = run_on(&[dir.path(), dir.path()], None);
    assert_eq!(result.unwrap(), Tally { passed: 0, failed: 2 });
    assert_eq!(out, "no-such-group: 0/2\n0 passed, 2 failed\n");
    assert!(notices.contains("other.json: not a vector file"), "{notices}");
}

#[test]
fn gzipped_bundles_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle.json.gz");
    let mut gz = flate2::write::GzEncoder::new(fs::File::create(&path).unwrap(), flate2::Compression::fast());
    gz.write_all(json!([group_file(), {"claimsToAllocate": [], "name": "d"}]).to_string().as_bytes())
        .unwrap();
    gz.finish().unwrap();
    let (result, out, _) = run_on(&[&path], None);
    assert_eq!(result.unwrap().failed, 3);
    assert_eq!(out, "no-such-group: 0/2\ndra/bundle: 0/1\n0 passed, 3 failed\n");
}

#[test]
fn explain_names_the_first_difference_and_the_tally_stays_last() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.json");
    fs::write(&path, group_file().to_string()).unwrap();
    let (_, out, _) = run_on(&[], Some(&path));
    assert!(out.contains("x.json: a: first difference:\n  no-such-group is not implemented"), "{out}");
    assert!(out.ends_with("0 passed, 2 failed\n"), "{out}");
}

#[test]
fn nothing_to_compare_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(run_on(&[dir.path()], None).0, Err(Error::NothingFound { .. })));
    assert!(matches!(run_on(&[&dir.path().join("absent")], None).0, Err(Error::Read { .. })));
    fs::write(dir.path().join("cut.json"), "{\"group\": ").unwrap();
    let error = run_on(&[dir.path()], None).0.unwrap_err().to_string();
    assert!(error.contains("cut.json: not JSON") && error.contains("line 1"), "{error}");
}

/// The table is read by people: sorted, and no group twice.
#[test]
fn the_table_of_adapters_is_sorted() {
    assert!(ADAPTERS.windows(2).all(|pair| pair[0].0 < pair[1].0));
}
