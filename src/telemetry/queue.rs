//! The log's way to standard error: lines wait in memory for a thread of their own that writes them.
//!
//! A worker that logs copies a line and goes on, whatever becomes of standard error: a collector that stands still must
//! not make buyers wait. What exceeds [`MAX_BYTES`] is dropped, counted, and told of once there is room again. Many lines
//! are one write, so that a line costs a worker no system call. Who ends the process calls [`flush`] first.

use super::{LogFormat, metrics::LOG_LINES_DROPPED};
use std::{
    io::{self, Write},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
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
    let mut out = Out { to: io::stderr(), format, is_torn: false };
    thread::Builder::new().name("log-writer".into()).spawn(move || write_forever(&mut out)).map(drop)
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

fn write_forever(out: &mut Out<impl Write>) {
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
        let untold = out.write(&mut writing, dropped);
        if untold > 0 {
            thread::sleep(RETRY);
        }
        writing.clear();
        lines = QUEUE.lock();
        lines.dropped += untold;
    }
}

/// Where lines go.
struct Out<W> {
    to: W,
    /// The form of the line that tells of dropped ones.
    format: LogFormat,
    /// Whether the last line was taken in part only.
    is_torn: bool,
}

impl<W: Write> Out<W> {
    /// Writes these lines, and that so many were dropped. How many are to be told of once it can be written to again: those
    /// and what of these was not taken.
    fn write(&mut self, lines: &mut Vec<u8>, dropped: u64) -> u64 {
        if self.is_torn {
            lines.insert(0, b'\n');
        }
        let (from, end) = (usize::from(self.is_torn), lines.len());
        if dropped > 0 {
            // Not by way of the queue, which is full.
            lines.extend(self.notice(dropped).bytes());
        }
        let mut taken = 0;
        while taken < lines.len() {
            let error = match self.to.write(&lines[taken..]) {
                Ok(0) => io::ErrorKind::WriteZero,
                Ok(more) => {
                    taken += more;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error.kind(),
            };
            self.is_torn = if taken == 0 { self.is_torn } else { lines[taken - 1] != b'\n' };
            let lost = lines[taken.clamp(from, end)..end].iter().filter(|byte| **byte == b'\n').count() as u64;
            LOG_LINES_DROPPED.add([], lost);
            // There is nobody left to tell when standard error is closed.
            return if error == io::ErrorKind::BrokenPipe { 0 } else { dropped + lost };
        }
        self.is_torn = false;
        0
    }

    /// The line that tells how many were dropped.
    fn notice(&self, dropped: u64) -> String {
        let text = "log lines were dropped, as standard error took no more";
        match self.format {
            LogFormat::Text => format!("waypost: {dropped} {text}\n"),
            LogFormat::Json => {
                let timestamp = humantime::format_rfc3339_micros(SystemTime::now());
                let line = serde_json::json!({
                    "timestamp": timestamp.to_string(), "level": "WARN", "message": text, "dropped": dropped,
                    "target": module_path!(),
                });
                format!("{line}\n")
            }
        }
    }
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
        let mut out = Out { to: Full(Vec::new(), 6), format: LogFormat::Text, is_torn: false };
        assert_eq!(out.write(&mut b"one\ntwo\nthree\n".to_vec(), 0), 2);
        assert!(out.is_torn);
        assert_eq!(out.write(&mut b"four\n".to_vec(), 2), 3);
        out.to.1 = 1_000;
        assert_eq!(out.write(&mut b"five\n".to_vec(), 3), 0);
        let told = "waypost: 3 log lines were dropped, as standard error took no more";
        assert_eq!(String::from_utf8(out.to.0).unwrap(), format!("one\ntw\nfive\n{told}\n"));
    }
}
