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
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_postgres::{IsolationLevel, Row, Transaction};

/// Rows under way at once.
const TOGETHER: i32 = 128;

const MERCHANTS: &str = "SELECT record FROM waypost_merchants";
const SESSIONS: &str = "SELECT record FROM waypost_sessions";

/// Some rows of one table.
pub(super) enum Rows {
    Merchants(Vec<Row>),
    Sessions(Vec<Row>),
}

/// Reads both tables until the end or until nobody receives any more.
pub(super) async fn send_rows(address: Address, into: mpsc::Sender<Rows>) -> Result<(), StoreError> {
    send_snapshot(&address, &into).await.map_err(|error| StoreError::Unavailable(describe(&error)))
}

async fn send_snapshot(address: &Address, into: &mpsc::Sender<Rows>) -> Result<(), tokio_postgres::Error> {
    let (mut client, wire) = address.open().await?;
    let _wire = Driven::start(wire);
    // The first statement takes the snapshot for both.
    let snapshot = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    let snapshot = snapshot.start().await?;
    if send_table(&snapshot, MERCHANTS, |rows| into.send(Rows::Merchants(rows))).await?.is_continue() {
        // Whoever is gone by the last row has no use for the rest of nothing.
        let _ = send_table(&snapshot, SESSIONS, |rows| into.send(Rows::Sessions(rows))).await?;
    }
    snapshot.commit().await
}

async fn send_table<S, E>(
    snapshot: &Transaction<'_>,
    select: &str,
    send: impl Fn(Vec<Row>) -> S,
) -> Result<std::ops::ControlFlow<()>, tokio_postgres::Error>
where
    S: Future<Output = Result<(), E>>,
{
    let cursor = snapshot.bind(select, &[]).await?;
    loop {
        let rows = snapshot.query_portal(&cursor, TOGETHER).await?;
        if rows.is_empty() {
            return Ok(std::ops::ControlFlow::Continue(()));
        }
        if send(rows).await.is_err() {
            return Ok(std::ops::ControlFlow::Break(()));
        }
    }
}

/// Reads the records and passes them on.
pub(super) async fn read_rows(mut from: mpsc::Receiver<Rows>, into: mpsc::Sender<Record>) -> Result<(), StoreError> {
    while let Some(rows) = from.recv().await {
        let records = match &rows {
            Rows::Merchants(rows) => rows.iter().map(merchant).collect::<Result<Vec<_>, _>>(),
            Rows::Sessions(rows) => rows.iter().map(session).collect(),
        };
        for record in records? {
            if into.send(record).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn merchant(row: &Row) -> Result<Record, StoreError> {
    read_merchant(record(row, 0)?).map(|merchant| Record::Merchant(Arc::new(merchant)))
}

fn session(row: &Row) -> Result<Record, StoreError> {
    read_session(record(row, 0)?).map(|session| Record::Session(Arc::new(session)))
}
