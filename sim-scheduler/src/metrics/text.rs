//! The text form of Prometheus, version 0.0.4.

use std::fmt;

use super::{Family, Sample, Series, Snapshot, Type};

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.families.iter().try_for_each(|family| family.fmt(f))
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
            Type::Histogram => "histogram",
        };
        writeln!(f, "# HELP {} {}\n# TYPE {} {kind}", self.name, self.help, self.name)?;
        self.series.iter().try_for_each(|series| write_series(f, self.name, series))
    }
}

fn write_series(f: &mut fmt::Formatter<'_>, name: &str, series: &Series) -> fmt::Result {
    let Sample::Histogram { buckets, sum, count } = &series.value else {
        let Sample::Number(number) = series.value else { return Ok(()) };
        return writeln!(f, "{name}{} {number}", labels(series, None));
    };
    for (end, below) in buckets {
        let end = if end.is_finite() { end.to_string() } else { "+Inf".to_owned() };
        writeln!(f, "{name}_bucket{} {below}", labels(series, Some(end)))?;
    }
    let labels = labels(series, None);
    writeln!(f, "{name}_sum{labels} {sum}\n{name}_count{labels} {count}")
}

/// Labels in braces, with the end of a bucket last; nothing without any.
fn labels(series: &Series, end: Option<String>) -> String {
    let own = series.labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
    let all: Vec<String> = own.chain(end.map(|end| format!("le=\"{end}\""))).collect();
    if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(",")) }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
