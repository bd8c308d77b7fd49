//! The dashboard and the alert rules in `deploy/` are about metrics that exist, with labels and values that they have.

use serde_json::Value;
use std::{collections::BTreeSet, fs};
use waypost::telemetry::{About, metrics::ALL};

/// What stands in expressions besides metrics and labels.
const WORDS: [&str; 16] = [
    "__rate_interval",
    "sum",
    "min",
    "max",
    "by",
    "and",
    "rate",
    "increase",
    "changes",
    "histogram_quantile",
    "time",
    "label_values",
    "job",
    "instance",
    "le",
    "m",
];

/// What Prometheus adds to every series by itself, and the one that it makes itself.
const LABELS_OF_PROMETHEUS: [&str; 3] = ["job", "instance", "le"];
const METRIC_OF_PROMETHEUS: &str = "up";

fn read(name: &str) -> String {
    let path = format!("{}/deploy/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The metric of a series' name: histograms have three names more.
fn metric(series: &str) -> Option<&'static About> {
    ALL.iter().find_map(|metric| {
        let name = metric.about().name;
        let suffix = series.strip_prefix(name)?;
        let suffixes: &[&str] =
            if metric.kind().as_str() == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        suffixes.contains(&suffix).then(|| metric.about())
    })
}

/// Checks one expression and returns the metrics in it.
fn check(expression: &str) -> BTreeSet<&'static str> {
    let mut named = BTreeSet::new();
    let mut open = Vec::new();
    // The metric whose braces are open.
    let mut series: Option<&About> = None;
    let mut rest = expression;
    while let Some(next) = rest.chars().next() {
        let word = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len();
        if word > 0 {
            let (text, after) = rest.split_at(word);
            rest = after;
            if text.starts_with(|c: char| c.is_ascii_digit()) || WORDS.contains(&text) && open.last() != Some(&'}') {
                continue;
            }
            if open.last() == Some(&'}') {
                rest = matcher(text, after, series, expression);
            } else if let Some(about) = metric(text) {
                named.insert(about.name);
                series = Some(about);
            } else if text == METRIC_OF_PROMETHEUS {
                series = None;
            } else {
                let is_label = ALL.iter().any(|metric| metric.about().labels.iter().any(|label| label.name == text));
                assert!(is_label && open.last() == Some(&')'), "`{text}` is nothing that there is, in: {expression}");
            }
            continue;
        }
        match next {
            '(' => open.push(')'),
            '{' => open.push('}'),
            '[' => open.push(']'),
            ')' | '}' | ']' => assert_eq!(open.pop(), Some(next), "brackets do not match in: {expression}"),
            // A variable of the dashboard.
            '$' | '.' | ',' | ' ' | '/' | '-' | '<' | '>' | '=' | '*' => {}
            _ => panic!("`{next}` has no meaning in: {expression}"),
        }
        rest = &rest[next.len_utf8()..];
    }
    assert!(open.is_empty(), "brackets are open at the end of: {expression}");
    named
}

/// Checks what follows the name of a label within braces, and returns what follows that.
fn matcher<'e>(label: &str, after: &'e str, series: Option<&About>, expression: &str) -> &'e str {
    let operator = ["=~", "!~", "!=", "="].into_iter().find(|operator| after.starts_with(operator));
    let operator = operator.unwrap_or_else(|| panic!("`{label}` is compared with nothing in: {expression}"));
    let quoted = after[operator.len()..].strip_prefix('"').and_then(|quoted| quoted.split_once('"'));
    let (value, rest) = quoted.unwrap_or_else(|| panic!("`{label}` is compared with no text in: {expression}"));
    if LABELS_OF_PROMETHEUS.contains(&label) {
        return rest;
    }
    let about = series.unwrap_or_else(|| panic!("`{label}` belongs to no metric in: {expression}"));
    let known = about.labels.iter().find(|known| known.name == label);
    let known = known.unwrap_or_else(|| panic!("{} has no label `{label}`: {expression}", about.name));
    let values: Vec<_> = if operator.ends_with('~') { value.split('|').collect() } else { vec![value] };
    for value in values {
        let there = match value.strip_suffix(".*") {
            Some(beginning) => known.values.iter().any(|known| known.starts_with(beginning)),
            None => known.values.contains(&value),
        };
        assert!(there, "{} has never {label}=\"{value}\": {expression}", about.name);
    }
    rest
}

#[test]
fn every_panel_of_the_dashboard_shows_something_that_there_is() {
    let dashboard: Value = serde_json::from_str(&read("grafana-dashboard.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut shown = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "two panels have one id: {panel}");
        if panel["type"] == "row" {
            continue;
        }
        assert!(!panel["description"].as_str().expect("a description").is_empty(), "{panel}");
        for target in panel["targets"].as_array().expect("targets") {
            shown.extend(check(target["expr"].as_str().expect("an expression")));
        }
    }
    for variable in dashboard["templating"]["list"].as_array().expect("variables") {
        if variable["type"] == "query" {
            check(variable["definition"].as_str().expect("a query"));
        }
    }
    let all: BTreeSet<_> = ALL.iter().map(|metric| metric.about().name).collect();
    let hidden: Vec<_> = all.difference(&shown).collect();
    assert!(hidden.is_empty(), "no panel shows {hidden:?}");
}

#[test]
fn every_alert_is_about_something_that_there_is_and_says_what_to_do() {
    let rules = read("alerts.yml");
    let mut alerts = BTreeSet::new();
    for rule in rules.split("      - alert: ").skip(1) {
        let name = rule.lines().next().expect("a name");
        assert!(alerts.insert(name), "{name} is there twice");
        let field = |name: &str| rule.lines().find_map(|line| line.trim_start().strip_prefix(name)?.strip_prefix(": "));
        let expression = field("expr").unwrap_or_else(|| panic!("{name} has no expression"));
        let named = check(expression);
        assert!(!named.is_empty() || expression.starts_with(METRIC_OF_PROMETHEUS), "{name} is about nothing");
        assert!(expression.contains(['<', '>', '=']), "{name} compares with nothing");
        assert!(matches!(field("severity"), Some("critical" | "warning")), "{name} has no severity");
        for text in ["summary", "runbook"] {
            let said = field(text).unwrap_or_else(|| panic!("{name} has no {text}"));
            let said = said.strip_prefix('"').and_then(|said| said.strip_suffix('"'));
            let said = said.unwrap_or_else(|| panic!("the {text} of {name} is not quoted"));
            assert!(!said.contains('"') && said.ends_with('.'), "the {text} of {name} is no sentence");
        }
    }
    assert!(alerts.len() >= 10, "{alerts:?}");
}

#[test]
fn an_expression_that_is_wrong_is_found_out() {
    for wrong in [
        "sum(rate(waypost_call_total[5m]))",
        "sum(rate(waypost_calls_total[5m])",
        r#"waypost_calls_total{code="FINE"}"#,
        r#"waypost_calls_total{reason="calls"}"#,
        r#"waypost_calls_total{code=OK}"#,
        r#"waypost_calls_total{code=~"OK|FINE"}"#,
        "waypost_call_duration_seconds",
        "sum by (nothing) (waypost_ready)",
        "avg(waypost_ready)",
        "waypost_ready ; 1",
    ] {
        assert!(std::panic::catch_unwind(|| check(wrong)).is_err(), "{wrong} passed");
    }
    check(r#"sum by (code) (rate(waypost_calls_total{method=~"waypost.*",code!="OK"}[5m])) > 0.5"#);
}
