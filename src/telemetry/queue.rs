//! The log's way to standard error: lines wait in memory for a thread of their own that writes them.
//!
//! A worker that logs copies a line and goes on, whatever becomes of standard error: a collector that stands still must
//! not make buyers wait. What exceeds [`MAX_BYTES`] is dropped, counted, and told of once there is room again. Many lines
//! are one write, so that a line costs a worker no system call. Who ends the process calls [`flush`] first.

use super::metrics::LOG_LINES_DROPPED;
use std::{
    io::{self, Write},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};
use tracing_subscriber::fmt::MakeWriter;

/// Bytes that wait at most: some thousand lines, and a fraction of a second under full load.
const MAX_BYTES: usize = 1 << 20;

/// How long the first line that waits waits for others. Nobody who reads a log notices; a server under load writes 500
/// times a second rather than 100,000 times.
const GATHER: Duration = Duration::from_millis(2);

/// How long to wait with what comes next when standard error cannot be written to, as when it is a file on a full disk.
const RETRY: Duration = Duration::from_secs(1);

/// How long the end of the process waits for standard error.
const FLUSH: Duration = Duration::from_secs(1);

static QUEUE: Queue = Queue {
    lines: Mutex::new(Lines { waiting: Vec::new(), dropped: 0, is_idle: true }),
    filled: Condvar::new(),
    emptied: Condvar::new(),
};

struct Queue {
    lines: Mutex<Lines>,
    filled: Condvar,
    emptied: Condvar,
}

struct Lines {
    waiting: Vec<u8>,
    /// Lines that were dropped since it was last told.
    dropped: u64,
    /// Whether the thread waits for lines.
    is_idle: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes lines for the queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct ToQueue;

impl Write for ToQueue {
    /// Takes a whole line, or drops it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut lines = QUEUE.lock();
        if lines.waiting.len() + line.len() > MAX_BYTES {
            lines.dropped += 1;
            LOG_LINES_DROPPED.add([], 1);
            return Ok(line.len());
        }
        lines.waiting.extend_from_slice(line);
        if lines.is_idle {
            lines.is_idle = false;
            QUEUE.filled.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for ToQueue {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        *self
    }
}

/// Starts the thread.
pub(super) fn start() -> io::Result<()> {
    thread::Builder::new().name("log-writer".into()).spawn(|| write_forever(&mut io::stderr())).map(drop)
}

/// Waits until everything that was logged is written, but not for ever.
pub fn flush() {
    let until = Instant::now() + FLUSH;
    let mut lines = QUEUE.lock();
    while !lines.is_idle {
        let Some(left) = until.checked_duration_since(Instant::now()) else { return };
        lines = QUEUE.emptied.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

fn write_forever(to: &mut impl Write) {
    // The two buffers change places, so that nothing is allocated once they have grown.
    let mut writing = Vec::new();
    let mut lines = QUEUE.lock();
    loop {
        if lines.waiting.is_empty() && lines.dropped == 0 {
            lines.is_idle = true;
            QUEUE.emptied.notify_all();
            lines = QUEUE.filled.wait_while(lines, |lines| lines.is_idle).unwrap_or_else(PoisonError::into_inner);
            drop(lines);
            thread::sleep(GATHER);
            lines = QUEUE.lock();
        }
        std::mem::swap(&mut lines.waiting, &mut writing);
        let dropped = std::mem::take(&mut lines.dropped);
        drop(lines);
        let untold = write_out(to, &mut writing, dropped);
        if untold > 0 {
            thread::sleep(RETRY);
        }
        writing.clear();
        lines = QUEUE.lock();
        lines.dropped += untold;
    }
}

/// Writes these lines, and that so many were dropped. How many are to be told of once it can be written to again: those
/// and these, if it cannot.
fn write_out(to: &mut impl Write, lines: &mut Vec<u8>, dropped: u64) -> u64 {
    let written = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
    if dropped > 0 {
        // Not by way of the queue, which is full.
        writeln!(lines, "waypost: {dropped} log lines were dropped, as standard error took no more")
            .expect("writing to memory does not fail");
    }
    let Err(error) = to.write_all(lines) else { return 0 };
    // A part of them may have been written, which nobody can tell.
    LOG_LINES_DROPPED.add([], written);
    // There is nobody left to tell when standard error is closed.
    if error.kind() == io::ErrorKind::BrokenPipe { 0 } else { dropped + written }
}
