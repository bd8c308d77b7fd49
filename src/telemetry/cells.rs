//! Numbers that many threads add to without disturbing each other, and the metrics made of them.
//!
//! Each thread has a shard of every number, and the sum is taken when somebody asks. Threads beyond [`SHARDS`] share one,
//! which is slower and no less exact.

use super::exposition::{About, Kind, Lines, Metric, Scrape};
use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Shards of each number: one for each worker of a usual machine. What they cost is memory: some kilobytes each.
const SHARDS: usize = 32;

/// `N` rows of `W` numbers each.
struct Cells<const N: usize, const W: usize>([Shard<N, W>; SHARDS]);

/// Apart from its neighbours, as processors move memory in pairs of 64 bytes.
#[repr(align(128))]
struct Shard<const N: usize, const W: usize>([[AtomicU64; W]; N]);

impl<const N: usize, const W: usize> Cells<N, W> {
    const fn new() -> Self {
        Self([const { Shard([const { [const { AtomicU64::new(0) }; W] }; N]) }; SHARDS])
    }

    fn row(&self, row: usize) -> &[AtomicU64; W] {
        &self.0[shard()].0[row]
    }

    /// The sums of a row. Wrapping, as one thread may have taken away what another one added.
    fn sums(&self, row: usize) -> [u64; W] {
        let mut sums = [0_u64; W];
        for shard in &self.0 {
            for (sum, cell) in sums.iter_mut().zip(&shard.0[row]) {
                *sum = sum.wrapping_add(cell.load(Ordering::Relaxed));
            }
        }
        sums
    }
}

/// The shard of this thread.
fn shard() -> usize {
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    thread_local! { static MINE: Cell<usize> = const { Cell::new(usize::MAX) } }
    MINE.with(|mine| {
        if mine.get() == usize::MAX {
            mine.set(TAKEN.fetch_add(1, Ordering::Relaxed) % SHARDS);
        }
        mine.get()
    })
}

/// A number for each combination of labels, which only grows.
pub struct Counter<const N: usize> {
    about: About,
    cells: Cells<N, 1>,
}

impl<const N: usize> Counter<N> {
    pub(super) const fn new(about: About) -> Self {
        assert!(about.combinations() == N, "as many numbers as combinations of labels");
        Self { about, cells: Cells::new() }
    }

    /// Adds to the number of these label values, given by their places in the lists of the metric.
    pub fn add<const L: usize>(&self, labels: [usize; L], count: u64) {
        let [cell] = self.cells.row(self.about.row(labels));
        cell.fetch_add(count, Ordering::Relaxed);
    }
}

impl<const N: usize> Metric for Counter<N> {
    fn about(&self) -> &About {
        &self.about
    }

    fn kind(&self) -> Kind {
        Kind::Counter
    }

    fn write(&self, _: &Scrape, lines: &mut Lines<'_>) {
        for row in 0..N {
            let [sum] = self.cells.sums(row);
            if sum > 0 || self.about.is_always_told() {
                lines.line("", row, None, sum as f64);
            }
        }
    }
}

/// A number for each combination of labels, which grows and shrinks.
pub struct Level<const N: usize> {
    about: About,
    cells: Cells<N, 1>,
}

impl<const N: usize> Level<N> {
    pub(super) const fn new(about: About) -> Self {
        assert!(about.combinations() == N, "as many numbers as combinations of labels");
        Self { about, cells: Cells::new() }
    }

    /// One more.
    pub fn rise<const L: usize>(&self, labels: [usize; L]) {
        self.cells.row(self.about.row(labels))[0].fetch_add(1, Ordering::Relaxed);
    }

    /// One less.
    pub fn fall<const L: usize>(&self, labels: [usize; L]) {
        self.cells.row(self.about.row(labels))[0].fetch_sub(1, Ordering::Relaxed);
    }
}

impl<const N: usize> Metric for Level<N> {
    fn about(&self) -> &About {
        &self.about
    }

    fn kind(&self) -> Kind {
        Kind::Gauge
    }

    fn write(&self, _: &Scrape, lines: &mut Lines<'_>) {
        for row in 0..N {
            // Read between the two halves of a change by two threads it may seem to be below zero.
            let sum = self.cells.sums(row)[0].cast_signed().max(0);
            lines.line("", row, None, sum as f64);
        }
    }
}

/// A moment for each combination of labels that has one: the one that was said last.
pub struct Moments<const N: usize> {
    about: About,
    /// Since 1970; 0 is none.
    seconds: [AtomicU64; N],
}

impl<const N: usize> Moments<N> {
    pub(super) const fn new(about: About) -> Self {
        assert!(about.combinations() == N, "as many moments as combinations of labels");
        Self { about, seconds: [const { AtomicU64::new(0) }; N] }
    }

    /// From now on that moment is told, or none.
    pub fn set<const L: usize>(&self, labels: [usize; L], moment: Option<SystemTime>) {
        let since_1970 = moment.and_then(|moment| moment.duration_since(UNIX_EPOCH).ok());
        let seconds = since_1970.map_or(0, |since| since.as_secs());
        self.seconds[self.about.row(labels)].store(seconds, Ordering::Relaxed);
    }
}

impl<const N: usize> Metric for Moments<N> {
    fn about(&self) -> &About {
        &self.about
    }

    fn kind(&self) -> Kind {
        Kind::Gauge
    }

    fn write(&self, _: &Scrape, lines: &mut Lines<'_>) {
        for (row, seconds) in self.seconds.iter().enumerate() {
            let seconds = seconds.load(Ordering::Relaxed);
            if seconds > 0 {
                lines.line("", row, None, seconds as f64);
            }
        }
    }
}

/// The upper bounds of a histogram's buckets, in nanoseconds or pieces, and how they are written.
pub struct Buckets {
    bounds: [(u64, &'static str); BOUNDS],
    /// What one of the unit is in the metric's unit.
    unit: f64,
}

const BOUNDS: usize = 20;
/// The buckets, the one without an upper bound, and the sum.
const WIDTH: usize = BOUNDS + 2;

/// From a tenth of what a small call takes to the longest that a call may wait.
pub const SECONDS: Buckets = Buckets {
    bounds: [
        (10_000, "0.00001"),
        (25_000, "0.000025"),
        (50_000, "0.00005"),
        (100_000, "0.0001"),
        (250_000, "0.00025"),
        (500_000, "0.0005"),
        (1_000_000, "0.001"),
        (2_500_000, "0.0025"),
        (5_000_000, "0.005"),
        (10_000_000, "0.01"),
        (25_000_000, "0.025"),
        (50_000_000, "0.05"),
        (100_000_000, "0.1"),
        (250_000_000, "0.25"),
        (500_000_000, "0.5"),
        (1_000_000_000, "1"),
        (2_500_000_000, "2.5"),
        (5_000_000_000, "5"),
        (10_000_000_000, "10"),
        (30_000_000_000, "30"),
    ],
    unit: 1e-9,
};

/// Powers of two.
pub const PIECES: Buckets = Buckets {
    bounds: [
        (1, "1"),
        (2, "2"),
        (4, "4"),
        (8, "8"),
        (16, "16"),
        (32, "32"),
        (64, "64"),
        (128, "128"),
        (256, "256"),
        (512, "512"),
        (1_024, "1024"),
        (2_048, "2048"),
        (4_096, "4096"),
        (8_192, "8192"),
        (16_384, "16384"),
        (32_768, "32768"),
        (65_536, "65536"),
        (131_072, "131072"),
        (262_144, "262144"),
        (524_288, "524288"),
    ],
    unit: 1.0,
};

/// How often values came into each bucket, and their sum, for each combination of labels.
pub struct Histogram<const N: usize> {
    about: About,
    buckets: &'static Buckets,
    cells: Cells<N, WIDTH>,
}

impl<const N: usize> Histogram<N> {
    pub(super) const fn new(buckets: &'static Buckets, about: About) -> Self {
        assert!(about.combinations() == N, "as many rows as combinations of labels");
        Self { about, buckets, cells: Cells::new() }
    }

    /// A time.
    pub fn took<const L: usize>(&self, labels: [usize; L], time: Duration) {
        self.saw(labels, time.as_nanos().try_into().unwrap_or(u64::MAX));
    }

    /// A number of pieces.
    pub fn saw<const L: usize>(&self, labels: [usize; L], value: u64) {
        let cells = self.cells.row(self.about.row(labels));
        // In order, as most values belong into the first few.
        let bucket = self.buckets.bounds.iter().position(|(bound, _)| value <= *bound).unwrap_or(BOUNDS);
        cells[bucket].fetch_add(1, Ordering::Relaxed);
        cells[WIDTH - 1].fetch_add(value, Ordering::Relaxed);
    }
}

impl<const N: usize> Metric for Histogram<N> {
    fn about(&self) -> &About {
        &self.about
    }

    fn kind(&self) -> Kind {
        Kind::Histogram
    }

    fn write(&self, _: &Scrape, lines: &mut Lines<'_>) {
        for row in 0..N {
            let cells = self.cells.sums(row);
            let count: u64 = cells[..=BOUNDS].iter().sum();
            if count == 0 {
                continue;
            }
            let mut below = 0;
            for (cell, (_, bound)) in cells.iter().zip(&self.buckets.bounds) {
                below += cell;
                lines.line("_bucket", row, Some(bound), below as f64);
            }
            lines.line("_bucket", row, Some("+Inf"), count as f64);
            lines.line("_sum", row, None, cells[WIDTH - 1] as f64 * self.buckets.unit);
            lines.line("_count", row, None, count as f64);
        }
    }
}

/// A number that is looked up when somebody asks, for each combination of labels that `read` has one for.
pub struct Reading {
    about: About,
    kind: Kind,
    read: fn(&Scrape, usize) -> Option<f64>,
}

impl Reading {
    pub(super) const fn gauge(read: fn(&Scrape, usize) -> Option<f64>, about: About) -> Self {
        Self { about, kind: Kind::Gauge, read }
    }

    pub(super) const fn counter(read: fn(&Scrape, usize) -> Option<f64>, about: About) -> Self {
        Self { about, kind: Kind::Counter, read }
    }
}

impl Metric for Reading {
    fn about(&self) -> &About {
        &self.about
    }

    fn kind(&self) -> Kind {
        self.kind
    }

    fn write(&self, scrape: &Scrape, lines: &mut Lines<'_>) {
        for row in 0..self.about.combinations() {
            if let Some(value) = (self.read)(scrape, row) {
                lines.line("", row, None, value);
            }
        }
    }
}
