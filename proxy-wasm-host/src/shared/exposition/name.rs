//! Converts a plugin's name for a metric to Prometheus' name and labels.

use std::collections::BTreeMap;

/// The separator between tags in the names of Istio's plugins.
const FIELD: &str = ";.;";
/// The separator between a tag and its value.
const VALUE: &str = "=.=";
/// Labels that have a meaning to this host or to Prometheus.
const RESERVED: [&str; 3] = ["plugin", "metric", "le"];

/// A metric's name and labels.
#[derive(Debug, PartialEq, Eq)]
pub struct Name {
    pub name: String,
    pub labels: BTreeMap<String, String>,
}

impl Name {
    /// Splits and escapes a defined name. Only the host's own metrics may use the host's labels.
    pub fn parse(defined: &[u8], is_own: bool) -> Self {
        let defined = String::from_utf8_lossy(defined);
        let mut name = String::new();
        let mut labels = BTreeMap::new();
        for field in defined.split(FIELD) {
            match field.split_once(VALUE) {
                Some((label, value)) => drop(labels.insert(label_name(label, is_own), value.to_owned())),
                None => name.push_str(field),
            }
        }
        Self { name: escape(&name, |c| c == ':'), labels }
    }
}

fn label_name(label: &str, is_own: bool) -> String {
    let escaped = escape(label, |_| false);
    // Prometheus itself renames labels like this when they clash with its own, and reserves names
    // that begin with two underscores.
    let clashes = !is_own && (RESERVED.contains(&&*escaped) || escaped.starts_with("__"));
    if clashes { format!("exported_{}", escaped.trim_start_matches('_')) } else { escaped }
}

/// Replaces every character that is not a letter, a digit or an underscore by an underscore, and
/// puts an underscore in front of a leading digit.
fn escape(name: &str, also: impl Fn(char) -> bool) -> String {
    let first = name.chars().next().is_none_or(|c| c.is_ascii_digit()).then_some('_');
    let rest = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' || also(c) { c } else { '_' });
    first.into_iter().chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str) -> (String, Vec<(String, String)>) {
        let Name { name, labels } = Name::parse(name.as_bytes(), false);
        (name, labels.into_iter().collect())
    }

    fn pair(label: &str, value: &str) -> (String, String) {
        (label.to_owned(), value.to_owned())
    }

    #[test]
    fn what_may_not_stand_in_a_name_becomes_an_underscore() {
        for (defined, name) in
            [("a.b-c d", "a_b_c_d"), ("9lives", "_9lives"), ("", "_"), ("ns:x_1", "ns:x_1"), ("é", "_")]
        {
            assert_eq!(parse(defined), (name.to_owned(), vec![]));
        }
    }

    #[test]
    fn tags_become_labels_wherever_they_stand() {
        let labels = vec![pair("code", "200"), pair("reporter", "a \"b\"")];
        assert_eq!(parse("reporter=.=a \"b\";.;code=.=200;.;requests"), ("requests".to_owned(), labels.clone()));
        assert_eq!(parse("requests;.;reporter=.=a \"b\";.;code=.=200;.;"), ("requests".to_owned(), labels));
    }

    #[test]
    fn labels_with_a_meaning_of_their_own_are_renamed() {
        let (_, labels) = parse("le=.=1;.;plugin=.=x;.;__name__=.=y;.;ok=.=z;.;n");
        let names: Vec<_> = labels.iter().map(|(label, _)| &**label).collect();
        assert_eq!(names, ["exported_le", "exported_name__", "exported_plugin", "ok"]);
    }
}
