//! An export: everything, as of one snapshot, through a cursor on a connection of its own.
//!
//! The database keeps the rows of the snapshot while it lasts, so a receiver that stands still costs disk space, and
//! nothing else. Not tried again when it breaks: the receiver already has a part.

use super::super::{
    Record, StoreError,
    record::{read_merchant, read_session},
};
use super::{
    address::{Address, Driven},
    failure::describe,
    record,
};
use std::{borrow::Cow, ops::ControlFlow};
use tokio::sync::mpsc;
use tokio_postgres::{IsolationLevel, Row, Transaction};

/// Rows under way at once.
const TOGETHER: i32 = 128;

const MERCHANTS: &str = "SELECT merchant_id, record FROM waypost_merchants";
const SESSIONS: &str = "SELECT session_id, record FROM waypost_sessions";

/// Reads both tables until the end, or until nobody receives any more.
pub(super) async fn send_records(address: &Address, into: &mpsc::Sender<Record>) -> Result<(), StoreError> {
    let (mut client, wire) = address.open_in_time().await.map_err(|failure| StoreError::Unavailable(failure.text))?;
    let _wire = Driven::start(wire);
    // The first statement takes the snapshot for both.
    let snapshot = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    let snapshot = snapshot.start().await.map_err(lost)?;
    if send_table(&snapshot, MERCHANTS, merchant, into).await?.is_continue() {
        // Whoever is gone by the last row has no use for the rest of nothing.
        let _ = send_table(&snapshot, SESSIONS, session, into).await?;
    }
    snapshot.commit().await.map_err(lost)
}

async fn send_table(
    snapshot: &Transaction<'_>,
    select: &str,
    read: fn(&Row) -> Result<Record, StoreError>,
    into: &mpsc::Sender<Record>,
) -> Result<ControlFlow<()>, StoreError> {
    let cursor = snapshot.bind(select, &[]).await.map_err(lost)?;
    loop {
        let rows = snapshot.query_portal(&cursor, TOGETHER).await.map_err(lost)?;
        if rows.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        for row in &rows {
            if into.send(read(row)?).await.is_err() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
}

fn merchant(row: &Row) -> Result<Record, StoreError> {
    let text = record(row, 1)?;
    Ok(Record::of(read_merchant(text), Record::Merchant, || format!("merchant {}", id(row)), text))
}

fn session(row: &Row) -> Result<Record, StoreError> {
    let text = record(row, 1)?;
    Ok(Record::of(read_session(text), Record::Session, || id(row).into_owned(), text))
}

/// Whose row it is.
fn id(row: &Row) -> Cow<'_, str> {
    String::from_utf8_lossy(record(row, 0).unwrap_or_default())
}

fn lost(error: tokio_postgres::Error) -> StoreError {
    StoreError::Unavailable(describe(&error))
}
