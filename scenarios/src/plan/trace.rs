//! Traces: a compact table of pods. A million of them cost a few dozen bytes each, because their specs are shared.

use rustc_hash::FxHashMap;
use sim_core::api::meta::{Key, Meta};
use sim_core::api::object::{Body, Object, Pod};
use sim_core::load::{LoadError, Place, Source};
use sim_core::time::{Span, Time};
use smol_str::SmolStr;

use crate::format::Duration;

/// Pods that come and go.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Namespace of all pods.
    pub namespace: SmolStr,
    /// Templates.
    pub classes: Vec<Object>,
    /// The pods, as listed.
    pub rows: Vec<Row>,
}

/// One pod of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: SmolStr,
    /// Index of its class.
    pub class: u32,
    /// When it is created.
    pub create: Time,
    /// When it is deleted, if ever.
    pub delete: Option<Time>,
}

const COLUMNS: [&str; 4] = ["name", "class", "create", "delete"];

impl Trace {
    /// The pod of a row: its own name, everything else shared with its class.
    pub fn pod(&self, row: &Row) -> Option<Object> {
        let class = self.classes.get(row.class as usize)?;
        let spec = class.as_pod()?.spec.clone();
        let meta = Meta {
            key: Key { namespace: self.namespace.clone(), name: row.name.clone() },
            labels: class.meta.labels.clone(),
            annotations: class.meta.annotations.clone(),
            ..Meta::default()
        };
        Some(Object::new(meta, Body::Pod(Pod { spec, ..Pod::default() })))
    }

    /// Reads the table of pods.
    ///
    /// # Errors
    /// The first line that cannot be read, or names a class that is not there.
    pub fn read(source: &Source, classes: Vec<Object>, namespace: &str) -> Result<Trace, LoadError> {
        let text = std::str::from_utf8(source.bytes()).map_err(|e| {
            LoadError::new(format!("{}: invalid UTF-8 at byte {}", source.name(), e.valid_up_to()))
        })?;
        let by_name: FxHashMap<SmolStr, u32> =
            classes.iter().enumerate().map(|(i, class)| (class.key().name.clone(), i as u32)).collect();
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let mut offset = Offsets { source, text };
        let Some((_, header)) = lines.next() else {
            return Err(LoadError::new(format!("{}: the file is empty", source.name())));
        };
        if !header.trim().split(',').eq(COLUMNS) {
            let message = format!("expected the header `{}`", COLUMNS.join(","));
            return Err(offset.error(0, header, message));
        }
        let mut rows = Vec::new();
        for (number, line) in lines {
            let fields: Vec<&str> = line.trim().split(',').collect();
            let &[name, class, create, delete] = fields.as_slice() else {
                let message = format!("expected 4 columns, found {}", fields.len());
                return Err(offset.error(number, line, message));
            };
            let read = || -> Result<Row, String> {
                let class = *by_name
                    .get(class)
                    .ok_or_else(|| format!("no class `{class}` among the classes of the trace"))?;
                let create = seconds(create)?;
                let delete = if delete.is_empty() { None } else { Some(seconds(delete)?) };
                if delete.is_some_and(|delete| delete < create) {
                    return Err("the pod is deleted before it is created".to_owned());
                }
                if name.is_empty() {
                    return Err("a pod without a name".to_owned());
                }
                Ok(Row { name: name.into(), class, create, delete })
            };
            rows.push(read().map_err(|message| offset.error(number, line, message))?);
        }
        Ok(Trace { namespace: namespace.into(), classes, rows })
    }

    /// The last instant of the trace.
    pub fn end(&self) -> Time {
        self.rows.iter().map(|r| r.delete.unwrap_or(r.create)).max().unwrap_or(Time::ZERO)
    }
}

/// Seconds, maybe with a fraction.
fn seconds(text: &str) -> Result<Time, String> {
    let duration: Duration =
        format!("{text}s").parse().map_err(|_| format!("`{text}` is not a number of seconds from 0 up"))?;
    Ok(Time::ZERO + Span(duration.0.0))
}

struct Offsets<'a> {
    source: &'a Source,
    text: &'a str,
}

impl Offsets<'_> {
    fn error(&mut self, line_index: usize, line: &str, message: String) -> LoadError {
        let offset = line.as_ptr() as usize - self.text.as_ptr() as usize;
        let place = Place { file: self.source.name().clone(), offset, line: line_index + 1, column: 1 };
        LoadError::new(message).with_place(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim_core::time::{millis, secs};

    fn read(text: &str) -> Result<Trace, String> {
        let class = Object::new(Meta::named(Key::new("default", "small")), Body::Pod(Pod::default()));
        Trace::read(&Source::new("pods.csv", text), vec![class], "ns").map_err(|e| e.to_string())
    }

    #[test]
    fn rows_become_pods_that_share_their_spec() {
        let trace = read("name,class,create,delete\na,small,0,1.5\n\nb,small,3,\n").unwrap();
        assert_eq!(trace.rows[0].delete, Some(Time::ZERO + millis(1500)));
        assert_eq!((trace.rows[1].create, trace.rows[1].delete), (Time::ZERO + secs(3), None));
        assert_eq!(trace.end(), Time::ZERO + secs(3));
        let pods: Vec<Object> = trace.rows.iter().map(|r| trace.pod(r).unwrap()).collect();
        assert_eq!(pods[1].key().to_string(), "ns/b");
        assert!(std::sync::Arc::ptr_eq(&pods[0].as_pod().unwrap().spec, &pods[1].as_pod().unwrap().spec));
    }

    #[test]
    fn slips_have_a_line() {
        for (text, part) in [
            ("", "the file is empty"),
            ("name,class\n", "pods.csv:1:1: expected the header"),
            ("name,class,create,delete\n\na,small,0\n", "pods.csv:3:1: expected 4 columns, found 3"),
            ("name,class,create,delete\na,big,0,\n", "no class `big`"),
            ("name,class,create,delete\na,small,-1,\n", "`-1` is not a number"),
            ("name,class,create,delete\na,small,2,1\n", "deleted before it is created"),
            ("name,class,create,delete\n,small,2,\n", "without a name"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
