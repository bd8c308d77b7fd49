//! `waypost bench compare`: two reports side by side, as ratios.

use super::report::{Report, shown};
use crate::cli::{failure::Failure, table::Table};
use clap::Args;
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// Which reports.
#[derive(Debug, Args)]
pub struct Compare {
    /// The report that the other one is compared with.
    before: PathBuf,

    /// The other one.
    after: PathBuf,
}

/// Bytes of a report that are read; real ones have some hundred.
const BYTES_MAX: u64 = 64 * 1024;

impl Compare {
    /// Says by what the reports differ.
    pub fn run(self) -> Result<String, Failure> {
        let (before, after) = (read(&self.before)?, read(&self.after)?);
        let mut table = Table::default();
        table.row(["", "before", "after", "ratio"]);
        for ((name, one), (_, other)) in before.figures().into_iter().zip(after.figures()) {
            let ratio = if one > 0.0 { format!("{:.2}", other / one) } else { String::new() };
            table.row([name, &shown(name, one), &shown(name, other), &ratio]);
        }
        let count = |report: &Report| report.failed.values().sum::<u64>();
        for (name, one, other) in [("failed", count(&before), count(&after)), ("missed", before.missed, after.missed)] {
            if one > 0 || other > 0 {
                table.row([name, &one.to_string(), &other.to_string()]);
            }
        }
        let mut differences = Table::default();
        let settings = before.settings.rows().into_iter().zip(after.settings.rows());
        let version = ("version", before.version.clone());
        for ((name, one), (_, other)) in settings.chain([(version, ("version", after.version.clone()))]) {
            if one != other {
                let none = |value: String| if value.is_empty() { "none".into() } else { value };
                differences.row([name, &none(one), &none(other)]);
            }
        }
        let differences = differences.to_string();
        let settings = match differences.as_str() {
            "" => "The settings are the same.".into(),
            differences => format!("The settings differ, so the ratios may not be the server's:\n{differences}"),
        };
        Ok(format!("{table}\n\n{settings}"))
    }
}

fn read(path: &Path) -> Result<Report, Failure> {
    let mut text = String::new();
    let named = |problem: &dyn std::fmt::Display| Failure::Usage(format!("{}: {problem}", path.display()));
    File::open(path).and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text)).map_err(|error| named(&error))?;
    serde_json::from_str(&text)
        .map_err(|error| named(&format!("is not a report that `waypost bench --json` wrote: {error}")))
}
