//! What a load came to, as people read it and as `compare` does.

use super::{buyer::Work, tally::Tally};
use crate::cli::table::Table;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A report. Its JSON is read by versions to come: fields are added and never renamed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// The version of the command.
    pub version: String,
    pub settings: Settings,
    /// Calls that were to begin in the measured time, and went well.
    pub answered: u64,
    pub calls_per_second: f64,
    /// Calls that did not go well, by reason.
    pub failed: BTreeMap<String, u64>,
    /// With a rate: calls that could not begin before the end. They count in the latencies with the time they had waited.
    pub missed: u64,
    pub latency_micros: Latencies,
    /// Processor time that the command itself has spent on a call; `None` where the system does not say.
    pub client_micros_per_call: Option<f64>,
    /// The part of one core that the command kept busy.
    pub client_busy: Option<f64>,
}

/// What the load was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    pub work: Work,
    pub server: String,
    pub connections: u16,
    pub in_flight: u16,
    pub rate: Option<u32>,
    pub sessions: Option<u32>,
    pub warm_up: String,
    pub duration_seconds: f64,
}

/// The latencies of the measured calls.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Latencies {
    pub mean: f64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
    pub max: u64,
}

/// Above this part of a core the command is what limits the rate.
const BUSY: f64 = 0.9;

impl Report {
    /// Of that load, to which the command itself spent `cpu` seconds.
    pub fn new(settings: Settings, tally: &Tally, cpu: Option<f64>) -> Self {
        let at = |quantile| tally.latencies.value_at_quantile(quantile);
        let warm_up = humantime::parse_duration(&settings.warm_up).unwrap_or_default();
        let seconds = settings.duration_seconds;
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            answered: tally.answered,
            calls_per_second: tally.answered as f64 / seconds,
            failed: tally.failed.clone(),
            missed: tally.missed,
            latency_micros: Latencies {
                mean: tally.latencies.mean(),
                p50: at(0.5),
                p90: at(0.9),
                p99: at(0.99),
                p99_9: at(0.999),
                max: tally.latencies.max(),
            },
            client_micros_per_call: cpu.map(|cpu| cpu * 1e6 / tally.seen.max(1) as f64),
            client_busy: cpu.map(|cpu| cpu / (warm_up.as_secs_f64() + seconds)),
            settings,
        }
    }

    /// For people.
    pub fn describe(&self) -> String {
        let mut table = Table::default();
        for (name, value) in self.settings.rows() {
            table.row_if_any(name, &value);
        }
        table.row(["calls", &format!("{} in {} s", self.answered, self.settings.duration_seconds)]);
        for (reason, count) in &self.failed {
            table.row(["failed", &format!("{count} {reason}")]);
        }
        if self.missed > 0 {
            table.row(["missed", &format!("{}: all places were taken until the end", self.missed)]);
        }
        for (name, value) in self.figures() {
            table.row([name, &shown(name, value)]);
        }
        let busy = match self.client_busy {
            Some(busy) if busy > BUSY => {
                "\n\nThis command used up its core: the server can do more. Run several at once, or `bench stream`."
            }
            _ => "",
        };
        format!("{table}{busy}")
    }

    /// What two reports are compared by.
    pub fn figures(&self) -> Vec<(&'static str, f64)> {
        let Latencies { mean, p50, p90, p99, p99_9, max } = &self.latency_micros;
        let mut figures = vec![("calls/s", self.calls_per_second), ("mean", *mean)];
        for (name, value) in [("p50", p50), ("p90", p90), ("p99", p99), ("p99.9", p99_9), ("max", max)] {
            figures.push((name, *value as f64));
        }
        figures.extend(self.client_micros_per_call.map(|micros| (CLIENT, micros)));
        figures
    }
}

const CLIENT: &str = "client's own";

/// A figure with its unit.
pub fn shown(name: &str, value: f64) -> String {
    match name {
        "calls/s" => format!("{value:.0}"),
        CLIENT => format!("{value:.1} us/call"),
        _ if value >= 10_000.0 => format!("{:.1} ms", value / 1_000.0),
        _ => format!("{value:.0} us"),
    }
}

impl Settings {
    /// Their names and values; empty where there is none.
    pub fn rows(&self) -> [(&'static str, String); 8] {
        let optional = |value: Option<u32>| value.map(|value| value.to_string()).unwrap_or_default();
        [
            ("load", self.work.word().into()),
            ("server", self.server.clone()),
            ("connections", self.connections.to_string()),
            ("in flight", format!("{} on each", self.in_flight)),
            ("rate", self.rate.map(|rate| format!("{rate} calls/s")).unwrap_or_default()),
            ("sessions", optional(self.sessions)),
            ("warm-up", self.warm_up.clone()),
            ("measured", format!("{} s", self.duration_seconds)),
        ]
    }
}
