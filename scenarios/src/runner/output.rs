//! `--out DIR`: `events.jsonl`, `objects.yaml`, `summary.json`. Nothing half-written is left under these names.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use sim_cluster::Cluster;
use sim_core::api::wire::to_yaml;
use sim_core::engine::log::records;
use sim_core::time::Epoch;

use super::records::write_line;
use super::summary::Summary;

/// Writes a file whole: to a temporary name beside it, then renamed.
///
/// # Errors
/// The system's, with the path.
pub fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = Partial::create(path)?;
    file.out.write_all(content).map_err(|e| named(path, e))?;
    file.finish()
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// A file that gets its name when it is whole, and vanishes if it never is.
#[derive(Debug)]
struct Partial {
    path: PathBuf,
    partial: PathBuf,
    out: BufWriter<File>,
    done: bool,
}

impl Partial {
    fn create(path: &Path) -> io::Result<Partial> {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let partial = path.with_file_name(format!(".{name}.partial"));
        let file = File::create(&partial).map_err(|e| named(&partial, e))?;
        Ok(Partial { path: path.to_owned(), partial, out: BufWriter::new(file), done: false })
    }

    fn finish(mut self) -> io::Result<()> {
        self.out.flush().map_err(|e| named(&self.path, e))?;
        fs::rename(&self.partial, &self.path).map_err(|e| named(&self.path, e))?;
        self.done = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.done {
            let _ = fs::remove_file(&self.partial);
        }
    }
}

/// The output folder of one run.
#[derive(Debug)]
pub struct OutDir {
    folder: PathBuf,
    epoch: Epoch,
    events: Partial,
}

impl OutDir {
    /// Makes the folder and opens the stream of records. Results of an earlier run are removed first, so that what is
    /// there at any time belongs together.
    ///
    /// # Errors
    /// The system's, with the path.
    pub fn create(folder: &Path, epoch: Epoch) -> io::Result<OutDir> {
        fs::create_dir_all(folder).map_err(|e| named(folder, e))?;
        for name in ["events.jsonl", "objects.yaml", "summary.json"] {
            let path = folder.join(name);
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(named(&path, e)),
                _ => {}
            }
        }
        let events = Partial::create(&folder.join("events.jsonl"))?;
        Ok(OutDir { folder: folder.to_owned(), epoch, events })
    }

    /// Appends encoded log records.
    ///
    /// # Errors
    /// The system's.
    pub fn append(&mut self, encoded: &[u8]) -> io::Result<()> {
        for (at, record) in records(encoded) {
            write_line(&mut self.events.out, self.epoch, at, &record)?;
        }
        Ok(())
    }

    /// Writes the rest and gives all files their names.
    ///
    /// # Errors
    /// The system's, with the path.
    pub fn finish(self, cluster: &Cluster, summary: &Summary) -> io::Result<()> {
        self.events.finish()?;
        let kinds = cluster.kinds();
        let mut in_use: Vec<_> = cluster.api().store.kinds_in_use().collect();
        in_use.sort_by_key(|kind| kind.index());
        let objects: Vec<_> = in_use.into_iter().flat_map(|kind| cluster.list(kind)).collect();
        let yaml = to_yaml(objects.iter().map(|o| &**o), kinds, self.epoch);
        write_whole(&self.folder.join("objects.yaml"), yaml.as_bytes())?;
        let mut json = serde_json::to_string_pretty(summary)?;
        json.push('\n');
        write_whole(&self.folder.join("summary.json"), json.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_file_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.txt");
        drop(Partial::create(&path).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        write_whole(&path, b"one").unwrap();
        write_whole(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let error = write_whole(&dir.path().join("absent/x"), b"").unwrap_err().to_string();
        assert!(error.contains("absent"), "{error}");
    }
}
