//! `waypost bench`: a load generator for those who run a Waypost, and the comparison of two of its reports.
//!
//! It is a client like the other commands, on one thread: what it measures it can disturb, so every report says what
//! the command itself has spent on a call. `docs/benchmarks.md` is the guide.

mod buyer;
mod compare;
mod load;
mod permission;
mod report;
mod schedule;
mod stream;
mod tally;

use super::failure::Failure;
use clap::Subcommand;

pub const EXAMPLES: &str = "\
Examples:
  waypost bench resolve
  waypost bench mixed --connections 8 --in-flight 32 --duration 1m
  waypost bench resolve --rate 20000 --sessions 100000 --json > before.json
  waypost bench compare before.json after.json
  waypost bench stream --server https://waypost.test:443 --yes-load waypost.test";

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Creates payments.
    Create(load::Load),
    /// Records outcomes of sessions that exist; every call changes its session.
    Record(load::Load),
    /// Resolves sessions that have succeeded.
    Resolve(load::Load),
    /// The life of a buyer, over and over: a create, a record and two resolves.
    Mixed(load::Load),
    /// Resolves the same sessions over one stream for each connection.
    Stream(load::Load),
    /// Compares two reports that --json wrote.
    Compare(compare::Compare),
}

impl Bench {
    /// Measures, and says what was measured.
    pub fn run(self) -> Result<String, Failure> {
        match self {
            Self::Create(load) => load.run(buyer::Work::Create),
            Self::Record(load) => load.run(buyer::Work::Record),
            Self::Resolve(load) => load.run(buyer::Work::Resolve),
            Self::Mixed(load) => load.run(buyer::Work::Mixed),
            Self::Stream(load) => load.run(buyer::Work::Stream),
            Self::Compare(compare) => compare.run(),
        }
    }
}
