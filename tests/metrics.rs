//! The list of metrics is what the documents and `deploy/` say it is, and follows Prometheus' conventions.

use expect_test::expect_file;
use std::{collections::BTreeSet, fmt::Write};
use waypost::telemetry::{Scrape, expose, metrics::ALL};

#[test]
fn the_reference_in_the_documents_is_the_list() {
    let mut text = String::from(
        "<!-- Made from src/telemetry/metrics.rs: `UPDATE_EXPECT=1 cargo test --test metrics` writes it. -->\n\n\
         # Metrics, one by one\n\n\
         What `/metrics` of the operations listener tells; [operations.md](operations.md) says how to use it.\n",
    );
    for metric in ALL {
        let about = metric.about();
        writeln!(text, "\n## `{}`\n\n{}. {}", about.name, metric.kind().as_str(), about.help).expect("written");
        if !about.labels.is_empty() {
            text.push('\n');
        }
        for label in about.labels {
            let values: Vec<_> = label.values.iter().map(|value| format!("`{value}`")).collect();
            let values = match label.name {
                // The one value is another one in every release.
                "version" => "the version".to_owned(),
                _ => values.join(", "),
            };
            writeln!(text, "- `{}`: {values}", label.name).expect("written");
        }
    }
    expect_file!["../docs/metrics.md"].assert_eq(&text);
}

#[test]
fn names_and_texts_follow_the_conventions_and_no_metric_has_many_lines() {
    let mut names = BTreeSet::new();
    for metric in ALL {
        let (about, kind) = (metric.about(), metric.kind().as_str());
        let name = about.name;
        assert!(names.insert(name), "{name} is there twice");
        assert!(name.starts_with("waypost_") || name.starts_with("process_"), "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
        for unit in ["_ms", "_us", "_micros", "_millis", "_kb", "_mb"] {
            assert!(!name.contains(unit), "{name} is not in seconds or bytes");
        }
        assert!(about.help.ends_with('.') && !about.help.contains(['\n', '\\', '"']), "{name}: {}", about.help);
        for label in about.labels {
            assert!(label.values.iter().all(|value| !value.contains(['\n', '\\', '"'])), "{name}");
            let different: BTreeSet<_> = label.values.iter().collect();
            assert_eq!(different.len(), label.values.len(), "{name}: {} has a value twice", label.name);
        }
        let lines: usize = about.labels.iter().map(|label| label.values.len()).product();
        assert!(lines <= 300, "{name} may have {lines} lines");
    }
}

#[test]
fn every_line_of_the_exposition_is_of_a_form_that_prometheus_reads() {
    let mut described = BTreeSet::new();
    for line in expose(&Scrape::default()).lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let name = rest.split(' ').nth(1).expect("a name");
            assert!(rest.starts_with("HELP ") || rest.starts_with("TYPE "), "{line}");
            described.insert(name.to_owned());
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let name = series.split('{').next().expect("a name");
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
        assert!(described.contains(name) || described.contains(base), "{line} comes before its type");
        if let Some((_, labels)) = series.split_once('{') {
            let labels = labels.strip_suffix('}').expect("closed");
            for label in labels.split(',') {
                let (_, value) = label.split_once('=').expect("a value");
                assert!(value.starts_with('"') && value.ends_with('"'), "{line}");
            }
        }
    }
    assert_eq!(described.len(), ALL.len());
}
