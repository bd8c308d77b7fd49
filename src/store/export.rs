//! An export: all sessions and merchants of a store as JSON lines, for backups and for moving to another store.
//!
//! The first line names the format and the last one the totals, so that a file which was cut off is noticed. Between
//! them stands one record on each line, as [`super::record`] writes it; what this version cannot read stands there as the
//! text that the store has, and is left out by an import. Importing never overwrites what is newer, so it may be repeated,
//! and may be done while the store serves.

use super::{Imported, Record, Store, StoreError, Unreadable, record};
use crate::model::{Merchant, Session, SessionId};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::io::{self, BufRead, Read, Write};
use tokio::sync::mpsc;

/// The only format there is.
const FORMAT: u32 = 1;
/// Records under way between the store and the file.
const AHEAD: usize = 256;
/// Records that are imported at once: as many as a store makes durable with one fsync.
const AT_ONCE: usize = 256;
/// Bytes of one line. The largest request is 256 KiB; escaped as JSON it is at most six times that.
const LINE_BYTES: u64 = 4 * 1_024 * 1_024;
/// Conflicts, and records that cannot be read, that are named; all are counted.
const NAMED: usize = 100;

/// How much an export holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Merchants.
    pub merchants: u64,
    /// Sessions.
    pub sessions: u64,
    /// Records that could not be read.
    #[serde(default, skip_serializing_if = "is_none")]
    pub unreadable: u64,
}

fn is_none(number: &u64) -> bool {
    *number == 0
}

/// What came of an export.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exported {
    /// How much it holds.
    pub totals: Totals,
    /// The first of the records that could not be read and why, at most 100.
    pub unreadable: Vec<String>,
}

impl Exported {
    fn add(&mut self, unreadable: &Unreadable) {
        self.totals.unreadable += 1;
        if self.unreadable.len() < NAMED {
            self.unreadable.push(format!("{}: {}", unreadable.id, unreadable.problem));
        }
    }
}

/// What came of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records that were saved.
    pub saved: u64,
    /// Records of which the store has the same state or a newer one.
    pub kept: u64,
    /// Sessions whose key or id another session has; they were left out.
    pub conflicts: u64,
    /// The first of those, at most 100.
    pub conflicting: Vec<SessionId>,
    /// Records that could not be read when they were exported; they were left out.
    pub unreadable: u64,
}

/// Why an export or an import stopped.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file could not be read or written.
    #[error("the export cannot be read or written: {0}")]
    File(#[from] io::Error),
    /// The file is no export, or not a whole one. What stood before that line was imported.
    #[error("line {number} of the export {problem}")]
    Line {
        /// Counted from 1.
        number: u64,
        /// What is wrong with it.
        problem: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Export { format: u32 },
    Merchant(Box<RawValue>),
    Session(Box<RawValue>),
    Unreadable(Unreadable),
    End(Totals),
}

/// Writes everything in the store, as it is at one moment.
pub async fn export(store: &dyn Store, file: &mut (dyn Write + Send)) -> Result<Exported, ExportError> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    // Dropping the receiver when the file fails ends the other half, so both always come to an end.
    let (sent, written) = tokio::join!(store.export(sender), write_all(receiver, file));
    let exported = written?;
    sent?;
    // Only now is it known that nothing is missing.
    write_line(file, &Line::End(exported.totals))?;
    file.flush()?;
    Ok(exported)
}

async fn write_all(mut records: mpsc::Receiver<Record>, file: &mut (dyn Write + Send)) -> Result<Exported, io::Error> {
    let mut exported = Exported::default();
    write_line(file, &Line::Export { format: FORMAT })?;
    while let Some(record) = records.recv().await {
        match record {
            Record::Merchant(merchant) => {
                exported.totals.merchants += 1;
                write_line(file, &Line::Merchant(raw(record::write_merchant(&merchant))))?;
            }
            Record::Session(session) => {
                exported.totals.sessions += 1;
                write_line(file, &Line::Session(raw(record::write_session(&session))))?;
            }
            Record::Unreadable(unreadable) => {
                exported.add(&unreadable);
                write_line(file, &Line::Unreadable(unreadable))?;
            }
        }
    }
    Ok(exported)
}

fn raw(json: String) -> Box<RawValue> {
    RawValue::from_string(json).expect("a record is JSON")
}

fn write_line(file: &mut (dyn Write + Send), line: &Line) -> io::Result<()> {
    let mut text = serde_json::to_vec(line).expect("a line has only string keys");
    text.push(b'\n');
    file.write_all(&text)
}

/// Copies an export, and says whether it is whole: that its last line has the totals.
pub fn copy(from: &mut dyn BufRead, to: &mut dyn Write) -> Result<Exported, ExportError> {
    let (mut number, mut exported) = (0, Exported::default());
    let mut line = Vec::new();
    loop {
        line.clear();
        number += 1;
        if from.take(LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
            let problem = "is missing: the export ended before its totals".to_owned();
            return Err(ExportError::Line { number, problem });
        }
        to.write_all(&line)?;
        // The records need not be read for this.
        if !line.starts_with(br#"{"end":"#) && !line.starts_with(br#"{"unreadable":"#) {
            continue;
        }
        match serde_json::from_slice(&line) {
            Ok(Line::Unreadable(unreadable)) => exported.add(&unreadable),
            Ok(Line::End(totals)) => {
                to.flush()?;
                return Ok(Exported { totals, ..exported });
            }
            _ => {}
        }
    }
}

/// Saves everything of an export that is newer than what the store has.
pub async fn import(store: &dyn Store, file: &mut (dyn BufRead + Send)) -> Result<Summary, ExportError> {
    let mut summary = Summary::default();
    let mut lines = Lines { file, number: 0 };
    match lines.next()? {
        Some(Line::Export { format: FORMAT }) => {}
        Some(Line::Export { format }) => {
            return Err(lines.wrong(format!("names format {format}; this version of waypost reads format {FORMAT}")));
        }
        _ => return Err(lines.wrong("does not begin an export of waypost")),
    }
    let mut read = Totals::default();
    let mut ended = None;
    while ended.is_none() {
        let mut merchants = Vec::new();
        let mut sessions = Vec::new();
        while ended.is_none() && merchants.len() + sessions.len() < AT_ONCE {
            match lines.next()? {
                Some(Line::Merchant(text)) => merchants.push(lines.read(record::read_merchant(text.get().as_bytes()))?),
                Some(Line::Session(text)) => sessions.push(lines.read(record::read_session(text.get().as_bytes()))?),
                Some(Line::Unreadable(_)) => read.unreadable += 1,
                Some(Line::End(totals)) => ended = Some(totals),
                Some(Line::Export { .. }) => return Err(lines.wrong("begins another export")),
                None => return Err(lines.wrong("is missing: the export was cut off")),
            }
        }
        read.merchants += merchants.len() as u64;
        read.sessions += sessions.len() as u64;
        save(store, merchants, sessions, &mut summary).await?;
    }
    summary.unreadable = read.unreadable;
    if ended == Some(read) { Ok(summary) } else { Err(lines.wrong("does not have the totals of what stands above it")) }
}

async fn save(
    store: &dyn Store,
    merchants: Vec<Merchant>,
    sessions: Vec<Session>,
    summary: &mut Summary,
) -> Result<(), StoreError> {
    let merchants = join_all(merchants.into_iter().map(|merchant| store.import_merchant(merchant))).await;
    let sessions = join_all(sessions.into_iter().map(|session| async move {
        let id = session.id;
        (id, store.import_session(session).await)
    }))
    .await;
    let merchants = merchants.into_iter().map(|imported| (None, imported));
    for (id, imported) in merchants.chain(sessions.into_iter().map(|(id, imported)| (Some(id), imported))) {
        match imported? {
            Imported::Saved => summary.saved += 1,
            Imported::Kept => summary.kept += 1,
            Imported::Conflict => {
                summary.conflicts += 1;
                if summary.conflicting.len() < NAMED {
                    summary.conflicting.extend(id);
                }
            }
        }
    }
    Ok(())
}

struct Lines<'f> {
    file: &'f mut (dyn BufRead + Send),
    number: u64,
}

impl Lines<'_> {
    fn next(&mut self) -> Result<Option<Line>, ExportError> {
        let mut text = Vec::new();
        self.number += 1;
        (&mut self.file).take(LINE_BYTES).read_until(b'\n', &mut text)?;
        match text.pop() {
            None => Ok(None),
            Some(b'\n') => serde_json::from_slice(&text).map(Some).map_err(|error| self.wrong(format!("is {error}"))),
            Some(_) if text.len() as u64 + 1 == LINE_BYTES => {
                Err(self.wrong(format!("is longer than {LINE_BYTES} bytes")))
            }
            Some(_) => Err(self.wrong("ends in the middle: the export was cut off")),
        }
    }

    fn read<T>(&self, record: Result<T, StoreError>) -> Result<T, ExportError> {
        record.map_err(|error| self.wrong(format!("cannot be read: {error}")))
    }

    fn wrong(&self, problem: impl Into<String>) -> ExportError {
        ExportError::Line { number: self.number, problem: problem.into() }
    }
}
