//! The log's way to standard error: lines wait in memory for a thread of their own that writes them.
//!
//! A worker that logs copies a line and goes on, whatever becomes of standard error: a collector that stands still must
//! not make buyers wait. What exceeds [`MAX_BYTES`] is dropped, counted, and told of once there is room again. Many lines
//! are one write, so that a line costs a worker no system call. Who ends the process calls [`flush`] first.

use super::{LogFormat, metrics::LOG_LINES_DROPPED};
use std::{
    io::{self, Write},
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
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

/// Whether lines are JSON objects.
static IS_JSON: AtomicBool = AtomicBool::new(false);

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

/// Starts the thread, which writes lines of that form.
pub(super) fn start(format: LogFormat) -> io::Result<()> {
    IS_JSON.store(matches!(format, LogFormat::Json), Ordering::Relaxed);
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
    let (mut writing, mut torn) = (Vec::new(), false);
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
        let untold = write_out(to, &mut writing, dropped, &mut torn);
        if untold > 0 {
            thread::sleep(RETRY);
        }
        writing.clear();
        lines = QUEUE.lock();
        lines.dropped += untold;
    }
}

/// Writes these lines, and that so many were dropped. How many are to be told of once it can be written to again: those
/// and what of these it did not take. `torn` tells whether the last line that it took was cut.
fn write_out(to: &mut impl Write, lines: &mut Vec<u8>, dropped: u64, torn: &mut bool) -> u64 {
    if *torn {
        lines.insert(0, b'\n');
    }
    let (from, end) = (usize::from(*torn), lines.len());
    if dropped > 0 {
        // Not by way of the queue, which is full.
        lines.extend(notice(dropped).bytes());
    }
    let mut taken = 0;
    while taken < lines.len() {
        let error = match to.write(&lines[taken..]) {
            Ok(0) => io::ErrorKind::WriteZero,
            Ok(more) => {
                taken += more;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => error.kind(),
        };
        *torn = if taken == 0 { *torn } else { lines[taken - 1] != b'\n' };
        let lost = lines[taken.clamp(from, end)..end].iter().filter(|byte| **byte == b'\n').count() as u64;
        LOG_LINES_DROPPED.add([], lost);
        // There is nobody left to tell when standard error is closed.
        return if error == io::ErrorKind::BrokenPipe { 0 } else { dropped + lost };
    }
    *torn = false;
    0
}

/// The line that tells how many were dropped.
fn notice(dropped: u64) -> String {
    let text = "log lines were dropped, as standard error took no more";
    if !IS_JSON.load(Ordering::Relaxed) {
        return format!("waypost: {dropped} {text}\n");
    }
    let timestamp = humantime::format_rfc3339_micros(SystemTime::now());
    format!(
        "{{\"timestamp\":\"{timestamp}\",\"level\":\"WARN\",\"message\":\"{text}\",\"dropped\":{dropped},\"target\":\"{}\"}}\n",
        module_path!()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes, and then none.
    struct Full(Vec<u8>, usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.1 - self.0.len());
            self.0.extend(&bytes[..taken]);
            if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_full_disk_does_not_take_is_told_of_and_no_line_is_glued_to_a_part_of_another() {
        let (mut disk, mut torn) = (Full(Vec::new(), 6), false);
        assert_eq!(write_out(&mut disk, &mut b"one\ntwo\nthree\n".to_vec(), 0, &mut torn), 2);
        assert!(torn);
        assert_eq!(write_out(&mut disk, &mut b"four\n".to_vec(), 2, &mut torn), 3);
        disk.1 = 1_000;
        assert_eq!(write_out(&mut disk, &mut b"five\n".to_vec(), 3, &mut torn), 0);
        let told = "waypost: 3 log lines were dropped, as standard error took no more";
        assert_eq!(String::from_utf8(disk.0).unwrap(), format!("one\ntw\nfive\n{told}\n"));
    }
}
