//! The text in which Prometheus reads metrics (exposition format 0.0.4), and what each of them says about itself.

use super::metrics;
use crate::store::Figures;
use std::fmt::Write;

/// The media type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is not counted but looked at when somebody asks.
#[derive(Debug, Clone, Default)]
pub struct Scrape {
    /// What the store says about itself.
    pub store: Figures,
    /// Whether each component is ready, in the order of [`metrics::COMPONENTS`].
    pub ready: [bool; metrics::COMPONENTS.len()],
}

/// The text of all metrics.
pub fn expose(scrape: &Scrape) -> String {
    let mut text = String::with_capacity(16 * 1024);
    for metric in metrics::ALL {
        let about = metric.about();
        let (name, kind) = (about.name, metric.kind().as_str());
        // Help texts hold neither backslashes nor line ends; a test holds that.
        write_to(&mut text, format_args!("# HELP {name} {}\n# TYPE {name} {kind}\n", about.help));
        metric.write(scrape, &mut Lines { about, text: &mut text });
    }
    text
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It grows and shrinks.
    Gauge,
    /// Values by size.
    Histogram,
}

impl Kind {
    /// The word for it in the text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What a metric says about itself.
#[derive(Debug)]
pub struct About {
    /// Its name, with its unit.
    pub name: &'static str,
    /// What it tells, in a sentence.
    pub help: &'static str,
    /// What tells its numbers apart.
    pub labels: &'static [Label],
}

/// A label, and every value that it can have.
#[derive(Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Its values.
    pub values: &'static [&'static str],
}

impl About {
    pub(super) const fn combinations(&self) -> usize {
        let (mut product, mut at) = (1, 0);
        while at < self.labels.len() {
            product *= self.labels[at].values.len();
            at += 1;
        }
        product
    }

    /// The place of a combination of label values among all.
    pub(super) fn row<const L: usize>(&self, labels: [usize; L]) -> usize {
        debug_assert_eq!(L, self.labels.len(), "{}", self.name);
        self.labels.iter().zip(labels).fold(0, |row, (label, value)| row * label.values.len() + value)
    }

    /// Few numbers are told although they are zero, so that the first event is seen as a rise. Many would be a burden.
    pub(super) const fn is_always_told(&self) -> bool {
        self.combinations() <= 20
    }
}

/// Something that `/metrics` tells.
pub trait Metric: Sync {
    /// What it is about.
    fn about(&self) -> &About;
    /// What it is.
    fn kind(&self) -> Kind;
    /// Writes its lines.
    fn write(&self, scrape: &Scrape, lines: &mut Lines<'_>);
}

/// Where the lines of one metric go.
pub struct Lines<'t> {
    about: &'t About,
    text: &'t mut String,
}

impl Lines<'_> {
    /// One line: a number of that row, in a histogram with the upper bound of its bucket.
    pub(super) fn line(&mut self, suffix: &str, row: usize, bound: Option<&str>, value: f64) {
        let About { name, labels, .. } = self.about;
        write_to(self.text, format_args!("{name}{suffix}"));
        let mut before = '{';
        let mut divisor = self.about.combinations();
        for label in *labels {
            divisor /= label.values.len();
            let value = label.values[row / divisor % label.values.len()];
            // No value has a quote, a backslash or a line end; a test holds that.
            write_to(self.text, format_args!("{before}{}=\"{value}\"", label.name));
            before = ',';
        }
        if let Some(bound) = bound {
            write_to(self.text, format_args!("{before}le=\"{bound}\""));
            before = ',';
        }
        if before == ',' {
            self.text.push('}');
        }
        write_to(self.text, format_args!(" {value}\n"));
    }
}

fn write_to(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("writing to a string does not fail");
}
