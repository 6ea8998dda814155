//! Finding and reading vector files.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde_json::Value;

use super::Error;

/// All `.json` and `.json.gz` files below the paths, sorted within each path. A path that is given twice, or a link
/// into what was walked already, counts once.
pub(super) fn vector_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for path in paths {
        visit(path, true, &mut seen, &mut found)?;
    }
    Ok(found)
}

fn visit(
    path: &Path,
    named: bool,
    seen: &mut BTreeSet<PathBuf>,
    found: &mut Vec<PathBuf>,
) -> Result<(), Error> {
    let read_error = |source| Error::Read { path: path.to_owned(), source };
    let real = fs::canonicalize(path).map_err(read_error)?;
    if !seen.insert(real) {
        return Ok(());
    }
    if path.is_dir() {
        let mut entries = fs::read_dir(path)
            .and_then(|dir| dir.map(|entry| entry.map(|e| e.path())).collect::<Result<Vec<_>, _>>())
            .map_err(read_error)?;
        entries.sort();
        return entries.iter().try_for_each(|entry| visit(entry, false, seen, found));
    }
    // A file that was named is read whatever it is called.
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    if named || name.ends_with(".json") || name.ends_with(".json.gz") {
        found.push(path.to_owned());
    }
    Ok(())
}

/// Reads a file, unpacking it if it is gzipped (known by its first bytes).
pub(super) fn read(path: &Path) -> Result<Value, Error> {
    let read_error = |source| Error::Read { path: path.to_owned(), source };
    let mut bytes = fs::read(path).map_err(read_error)?;
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut unpacked = Vec::new();
        MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut unpacked).map_err(read_error)?;
        bytes = unpacked;
    }
    serde_json::from_slice(&bytes).map_err(|source| Error::NotJson { path: path.to_owned(), source })
}
