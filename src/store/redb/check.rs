//! Checks a file that no server has open: its pages, every record, and that its tables agree with each other.

use super::{
    open_file, refusal,
    tables::{self, KEYS, MERCHANTS, META, OVER, SESSIONS},
    unreadable,
};
use crate::{
    model::Session,
    store::{StoreError, record},
};
use redb::{Builder, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, backends::FileBackend};
use std::{fmt, path::Path};

/// Problems that are described; all are counted.
const PROBLEMS_NAMED: usize = 100;

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Sessions in the file.
    pub sessions: u64,
    /// Merchants in the file.
    pub merchants: u64,
    /// Idempotency keys in the file.
    pub keys: u64,
    /// How much is wrong.
    pub problems: u64,
    /// The first of it, in words, at most 100.
    pub named: Vec<String>,
}

impl Report {
    fn add(&mut self, problem: impl fmt::Display) {
        self.problems += 1;
        if self.named.len() < PROBLEMS_NAMED {
            self.named.push(problem.to_string());
        }
    }
}

/// Reads the whole file at `path`, which must exist. Damage that redb can repair is repaired, and reported.
pub fn check(path: &Path) -> Result<Report, StoreError> {
    if !path.exists() {
        return Err(StoreError::Unavailable(format!("{}: there is no such file", path.display())));
    }
    let backend = FileBackend::new(open_file(path)?).map_err(|error| refusal(&error))?;
    let mut database = Builder::new().create_with_backend(backend).map_err(|error| refusal(&error))?;
    let mut report = Report::default();
    if !database.check_integrity().map_err(|error| refusal(&error))? {
        report.add("pages of the file were damaged; redb repaired them");
    }
    let transaction = database.begin_read().map_err(unreadable)?;
    check_format(&transaction, &mut report).map_err(unreadable)?;
    check_sessions(&transaction, &mut report).map_err(unreadable)?;
    check_merchants(&transaction, &mut report).map_err(unreadable)?;
    check_indexes(&transaction, &mut report).map_err(unreadable)?;
    drop(transaction);
    database.close().map_err(|error| refusal(&error))?;
    Ok(report)
}

fn check_format(transaction: &ReadTransaction, report: &mut Report) -> Result<(), redb::Error> {
    let format = transaction.open_table(META)?.get(tables::META_FORMAT)?.map(|format| format.value());
    if format != Some(tables::FORMAT) {
        report.add(format_args!("the format is {format:?}, not {}", tables::FORMAT));
    }
    Ok(())
}

/// Every session is readable, stands under its own id, and is found by its key and by its end.
fn check_sessions(transaction: &ReadTransaction, report: &mut Report) -> Result<(), redb::Error> {
    let keys = transaction.open_table(KEYS)?;
    let over = transaction.open_table(OVER)?;
    for entry in transaction.open_table(SESSIONS)?.iter()? {
        let (id, value) = entry?;
        report.sessions += 1;
        let (id, (version, over_at, text)) = (id.value(), value.value());
        let session = match record::read_session(text) {
            Ok(session) if tables::id_bytes(session.id) == *id => session,
            Ok(session) => {
                report.add(format_args!("{} stands under another id", session.id));
                continue;
            }
            Err(error) => {
                report.add(format_args!("{}: {error}", tables::name(id)));
                continue;
            }
        };
        if session.version != version || session.over_at().as_micros() != over_at {
            report.add(format_args!("{}: the version or the end beside its record is another", session.id));
        }
        if over.get((over_at, id))?.is_none() {
            report.add(format_args!("{} is not among those that will be over", session.id));
        }
        if let Some(key) = key_of(&session)
            && keys.get(key)?.is_none_or(|owner| owner.value() != id)
        {
            report.add(format_args!("{} is not found by its key", session.id));
        }
    }
    Ok(())
}

fn check_merchants(transaction: &ReadTransaction, report: &mut Report) -> Result<(), redb::Error> {
    for entry in transaction.open_table(MERCHANTS)?.iter()? {
        let (id, value) = entry?;
        report.merchants += 1;
        let (version, text) = value.value();
        match record::read_merchant(text) {
            Ok(merchant) if merchant.id.as_str() != id.value() || merchant.version != version => {
                report.add(format_args!("merchant {}: the id or the version beside its record is another", id.value()));
            }
            Ok(_) => {}
            Err(error) => report.add(format_args!("merchant {}: {error}", id.value())),
        }
    }
    Ok(())
}

/// Every key and every end has its session.
fn check_indexes(transaction: &ReadTransaction, report: &mut Report) -> Result<(), redb::Error> {
    let sessions = transaction.open_table(SESSIONS)?;
    for entry in transaction.open_table(KEYS)?.iter()? {
        let (key, owner) = entry?;
        report.keys += 1;
        let Some(value) = sessions.get(owner.value())? else {
            report.add(format_args!("a key of merchant {} leads to no session", key.value().0));
            continue;
        };
        // An unreadable session was reported before.
        if let Ok(session) = record::read_session(value.value().2)
            && key_of(&session) != Some(key.value())
        {
            report.add(format_args!("a key of merchant {} leads to {}", key.value().0, session.id));
        }
    }
    let over = transaction.open_table(OVER)?;
    for entry in over.iter()? {
        let entry = entry?.0;
        let (over_at, id) = entry.value();
        if sessions.get(id)?.is_none_or(|value| value.value().1 != over_at) {
            report.add(format_args!("{} is among those that will be over at a wrong time", tables::name(id)));
        }
    }
    if over.len()? != sessions.len()? {
        report.add("not every session has one end");
    }
    Ok(())
}

fn key_of(session: &Session) -> Option<(&str, u8, &str)> {
    Some((session.merchant_id.as_str(), tables::code(session.id.kind()), session.key()?))
}
