//! Metrics in Prometheus' text format 0.0.4.
//!
//! A plugin's metric keeps its name as far as Prometheus' rules allow, and the plugin becomes a
//! label. Tags that a plugin wrote into the name, as Istio's plugins do for Envoy
//! (`reporter=.=source;.;requests_total`), become labels, too.

mod name;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Display, Write};
use std::time::Duration;

use self::name::Name;
use super::metrics::{BUCKETS, Kind, Sample};

/// The content type of a page in this format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the page says about one of the host's own metrics.
pub struct Own {
    /// The text of the metric's HELP line.
    pub help: &'static str,
    /// Whether the metric counts nanoseconds. The page shows seconds, which is Prometheus' unit of
    /// time.
    pub nanoseconds: bool,
}

/// One metric of Prometheus: samples of one kind with different labels.
struct Family {
    kind: Kind,
    help: String,
    nanoseconds: bool,
    series: BTreeMap<String, Vec<u64>>,
}

/// Prints the page of all samples. `describe` knows the host's own metrics.
pub fn text(samples: &[Sample], describe: impl Fn(&str) -> Option<Own>) -> String {
    let mut families = Families::default();
    let mut order: Vec<_> = samples.iter().collect();
    // The host's own metrics come first, so that a plugin cannot take their names.
    order.sort_unstable_by(|a, b| (&a.scope, &a.name, a.kind).cmp(&(&b.scope, &b.name, b.kind)));
    for sample in order {
        families.add(sample, &describe);
    }
    let mut page = String::new();
    for (name, family) in &families.by_name {
        // Writing to a String cannot fail.
        let _ = write_family(&mut page, name, family);
    }
    page
}

/// The families of a page, each with its own name.
#[derive(Default)]
struct Families {
    by_name: BTreeMap<String, Family>,
    /// Every sample name in use, with the name of its family.
    parts: HashMap<String, String>,
    /// The family name that was chosen for each metric's name and kind.
    found: HashMap<(String, Kind), String>,
}

impl Families {
    fn add(&mut self, sample: &Sample, describe: impl Fn(&str) -> Option<Own>) {
        let Name { name, mut labels } = Name::parse(&sample.name, sample.scope.is_empty());
        if !sample.scope.is_empty() {
            labels.insert("plugin".to_owned(), String::from_utf8_lossy(&sample.scope).into_owned());
        }
        let name = self.free_name(name, sample.kind);
        let family = self.by_name.entry(name).or_insert_with_key(|name| {
            let own = describe(name).filter(|_| sample.scope.is_empty());
            Family {
                kind: sample.kind,
                nanoseconds: own.as_ref().is_some_and(|own| own.nanoseconds),
                help: own.map_or_else(
                    || format!("{}, of a plugin", Escaped(&sample.name, false)),
                    |own| own.help.to_owned(),
                ),
                series: BTreeMap::new(),
            }
        });
        // Two names that become equal by escaping differ by an extra label.
        if family.series.contains_key(&render(&labels)) {
            labels.insert("metric".to_owned(), String::from_utf8_lossy(&sample.name).into_owned());
        }
        family.series.insert(render(&labels), sample.values.clone());
    }

    /// Finds a name that no metric of another kind uses, nor a part of a histogram.
    fn free_name(&mut self, name: String, kind: Kind) -> String {
        let wanted = (name, kind);
        if let Some(found) = self.found.get(&wanted) {
            return found.clone();
        }
        let mut free = wanted.0.clone();
        while parts(&free, kind).any(|part| self.is_taken(&part, &free, kind)) {
            free.push_str(match kind {
                Kind::Counter => "_counter",
                Kind::Gauge => "_gauge",
                Kind::Histogram => "_histogram",
            });
        }
        self.parts.extend(parts(&free, kind).map(|part| (part, free.clone())));
        self.found.insert(wanted, free.clone());
        free
    }

    /// Returns whether a family of another name or kind uses `part`.
    fn is_taken(&self, part: &str, name: &str, kind: Kind) -> bool {
        self.parts
            .get(part)
            .is_some_and(|owner| owner != name || self.by_name.get(owner).is_none_or(|family| family.kind != kind))
    }
}

/// The sample names of a family.
fn parts(name: &str, kind: Kind) -> impl Iterator<Item = String> {
    let suffixes: &[&str] = if kind == Kind::Histogram { &["", "_bucket", "_sum", "_count"] } else { &[""] };
    suffixes.iter().map(move |suffix| format!("{name}{suffix}"))
}

fn render(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<_> =
        labels.iter().map(|(label, value)| format!("{label}=\"{}\"", Escaped(value.as_bytes(), true))).collect();
    pairs.join(",")
}

fn write_family(page: &mut String, name: &str, family: &Family) -> fmt::Result {
    let kind = match family.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    writeln!(page, "# HELP {name} {}\n# TYPE {name} {kind}", family.help)?;
    for (labels, values) in &family.series {
        match (family.kind, &values[..]) {
            (Kind::Counter, [value, ..]) if family.nanoseconds => {
                write_sample(page, name, "", labels, &Duration::from_nanos(*value).as_secs_f64())?;
            }
            (Kind::Counter, [value, ..]) => write_sample(page, name, "", labels, value)?,
            (Kind::Gauge, [value, ..]) => write_sample(page, name, "", labels, &(*value as i64))?,
            (Kind::Histogram, [sum, counts @ ..]) => write_histogram(page, name, labels, *sum, counts)?,
            (_, []) => {}
        }
    }
    Ok(())
}

fn write_histogram(page: &mut String, name: &str, labels: &str, sum: u64, counts: &[u64]) -> fmt::Result {
    let comma = if labels.is_empty() { "" } else { "," };
    let bounds = BUCKETS.iter().map(u64::to_string).chain(["+Inf".to_owned()]);
    let mut count = 0;
    for (bound, in_bucket) in bounds.zip(counts) {
        count += in_bucket;
        write_sample(page, name, "_bucket", &format!("{labels}{comma}le=\"{bound}\""), &count)?;
    }
    write_sample(page, name, "_sum", labels, &sum)?;
    write_sample(page, name, "_count", labels, &count)
}

fn write_sample(page: &mut String, name: &str, suffix: &str, labels: &str, value: &dyn Display) -> fmt::Result {
    match labels {
        "" => writeln!(page, "{name}{suffix} {value}"),
        _ => writeln!(page, "{name}{suffix}{{{labels}}} {value}"),
    }
}

/// Text escaped for a HELP line or, with quotes escaped too, for a label's value.
struct Escaped<'a>(&'a [u8], bool);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(self.0).chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            '\n' => f.write_str("\\n"),
            '"' if self.1 => f.write_str("\\\""),
            '\r' | '\0' => f.write_char(' '),
            _ => f.write_char(c),
        })
    }
}
