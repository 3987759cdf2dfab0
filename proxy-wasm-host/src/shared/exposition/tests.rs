//! The whole page. The tests on nginx also read it with Prometheus' own parser.

use super::*;

fn sample(scope: &str, kind: Kind, name: &str, values: &[u64]) -> Sample {
    Sample { scope: scope.into(), name: name.into(), kind, values: values.into() }
}

#[test]
fn families_stand_together_with_help_and_type() {
    let samples = [
        sample("b", Kind::Counter, "hits", &[2]),
        sample("", Kind::Gauge, "plugin=.=a;.;host_memory", &[9]),
        sample("a", Kind::Counter, "hits", &[1]),
        sample("a", Kind::Gauge, "level", &[-3i64 as u64]),
        sample("", Kind::Counter, "plugin=.=a;.;host_seconds_total", &[1_250_000_000]),
    ];
    let page = text(&samples, |name| match name {
        "host_memory" => Some(Own { help: "Memory.", nanoseconds: false }),
        "host_seconds_total" => Some(Own { help: "Time.", nanoseconds: true }),
        _ => None,
    });
    let expected = "\
# HELP hits hits, of a plugin
# TYPE hits counter
hits{plugin=\"a\"} 1
hits{plugin=\"b\"} 2
# HELP host_memory Memory.
# TYPE host_memory gauge
host_memory{plugin=\"a\"} 9
# HELP host_seconds_total Time.
# TYPE host_seconds_total counter
host_seconds_total{plugin=\"a\"} 1.25
# HELP level level, of a plugin
# TYPE level gauge
level{plugin=\"a\"} -3
";
    assert_eq!(page, expected);
}

#[test]
fn histograms_are_cumulative() {
    let mut values = [0; 20];
    (values[0], values[1], values[4], values[19]) = (1030, 2, 1, 1);
    let page = text(&[sample("p", Kind::Histogram, "h", &values)], |_| None);
    for line in [
        "# TYPE h histogram",
        "h_bucket{plugin=\"p\",le=\"1\"} 2",
        "h_bucket{plugin=\"p\",le=\"25\"} 3",
        "h_bucket{plugin=\"p\",le=\"3600000\"} 3",
        "h_bucket{plugin=\"p\",le=\"+Inf\"} 4",
        "h_sum{plugin=\"p\"} 1030",
        "h_count{plugin=\"p\"} 4",
    ] {
        assert!(page.lines().any(|other| other == line), "{line} in\n{page}");
    }
}

#[test]
fn names_that_become_the_same_are_told_apart() {
    let samples = [
        sample("p", Kind::Counter, "a.b", &[1]),
        sample("p", Kind::Counter, "a-b", &[2]),
        sample("q", Kind::Gauge, "a_b", &[3]),
        sample("p", Kind::Histogram, "x", &[0; 20]),
        sample("q", Kind::Counter, "x_sum", &[4]),
    ];
    let page = text(&samples, |_| None);
    for line in [
        "a_b{plugin=\"p\"} 2",
        "a_b{metric=\"a.b\",plugin=\"p\"} 1",
        "a_b_gauge{plugin=\"q\"} 3",
        "x_sum{plugin=\"p\"} 0",
        "x_sum_counter{plugin=\"q\"} 4",
    ] {
        assert!(page.lines().any(|other| other == line), "{line} in\n{page}");
    }
}

#[test]
fn text_is_escaped() {
    let page = text(&[sample("a\"\\\nb", Kind::Counter, "n\\\n", &[1])], |_| None);
    assert!(page.contains("# HELP n__ n\\\\\\n, of a plugin\n"));
    assert!(page.contains("n__{plugin=\"a\\\"\\\\\\nb\"} 1\n"));
}
