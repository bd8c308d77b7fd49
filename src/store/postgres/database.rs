//! Runs one statement on a connection of the pool, and again when that is safe and worth it.
//!
//! Every statement of the store may be run twice: the second run then finds what the first one did. What it finds is
//! not told apart here; [`Reply::before`] says that there may be something to find.

use super::super::{Figures, StoreError};
use super::{
    address::Address,
    failure::{Effect, Failure, Prospect},
    patience::Patience,
    pool::{Lease, Pool},
    queue::{Line, Place},
};
use futures_util::TryStreamExt;
use std::{panic::resume_unwind, pin::pin, time::Instant};
use tokio::time::timeout_at;
use tokio_postgres::{Row, types::ToSql};

/// Where statements are run. Cheap to clone: clones share a pool.
#[derive(Debug, Clone)]
pub(super) struct Database {
    pool: Pool,
}

/// A statement's value.
pub(super) type Value = Box<dyn ToSql + Send + Sync>;

/// What a statement came to.
#[derive(Debug)]
pub(super) struct Reply {
    /// The rows that it returned.
    pub(super) rows: Vec<Row>,
    /// How many rows it wrote or returned.
    pub(super) affected: u64,
    /// Before it was sent, the last time: what it read is no older.
    pub(super) sent: Instant,
    /// Whether an earlier attempt of the same call may have taken effect.
    pub(super) before: Effect,
}

impl Database {
    pub(super) fn new(address: Address) -> Self {
        Self { pool: Pool::new(address) }
    }

    /// Runs the first statement of a call, as [`Database::run`] does, unless more is asked of the database than it can do:
    /// then the call is refused, and nothing was asked.
    pub(super) async fn run_first<const N: usize>(
        &self,
        line: Line,
        statement: &'static str,
        values: [Value; N],
    ) -> Result<Reply, StoreError> {
        let place = self.pool.queue().admit(line)?;
        self.run_from(place, statement, values).await
    }

    /// Runs a statement until it is acknowledged or the call's patience ends. When the caller goes away it is still
    /// finished, unless its runtime ends: what was sent to the database happens anyway, and its connection is then fit
    /// for the next call.
    pub(super) async fn run<const N: usize>(
        &self,
        statement: &'static str,
        values: [Value; N],
    ) -> Result<Reply, StoreError> {
        self.run_from(self.pool.queue().join(), statement, values).await
    }

    async fn run_from<const N: usize>(
        &self,
        place: Place,
        statement: &'static str,
        values: [Value; N],
    ) -> Result<Reply, StoreError> {
        let database = self.clone();
        let running = tokio::spawn(async move { database.run_patiently(place, statement, &values).await });
        running.await.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(_) => Err(StoreError::Unavailable("the server is stopping".to_owned())),
        })
    }

    async fn run_patiently(
        &self,
        mut place: Place,
        statement: &'static str,
        values: &[Value],
    ) -> Result<Reply, StoreError> {
        let mut patience = Patience::new();
        let mut before = Effect::None;
        loop {
            match self.attempt(place, statement, values, &patience).await {
                Ok((rows, affected, sent)) => return Ok(Reply { rows, affected, sent, before }),
                Err(failure) => {
                    before = before.or(failure.effect);
                    patience.after(failure).await.map_err(|failure| StoreError::Unavailable(failure.text))?;
                    place = self.pool.queue().join();
                }
            }
        }
    }

    async fn attempt(
        &self,
        place: Place,
        statement: &'static str,
        values: &[Value],
        patience: &Patience,
    ) -> Result<(Vec<Row>, u64, Instant), Failure> {
        let ends = patience.attempt_ends();
        let lent = timeout_at(ends, self.pool.lend(place)).await.map_err(|_| Failure::to_connect_in_time())?;
        let mut lease = lent?;
        let sent = Instant::now();
        let failure = match timeout_at(ends, execute(&mut lease, statement, values)).await {
            Ok(Ok((rows, affected))) => {
                lease.give_back();
                return Ok((rows, affected, sent));
            }
            Ok(Err(error)) => Failure::of_statement(&error),
            Err(_) => Failure::to_answer_in_time(),
        };
        if failure.prospect == Prospect::Conflict {
            lease.give_back();
        }
        Err(failure)
    }

    /// How many connections there are.
    pub(super) fn figures(&self) -> Figures {
        Figures {
            connections: Some(self.pool.figures().map(|count| count as u64)),
            waiting_for_connection: Some(self.pool.queue().waiting() as u64),
            ..Figures::default()
        }
    }

    /// Ends every connection that is not in use, and the others when they are given back.
    pub(super) fn close(&self) {
        self.pool.close();
    }
}

/// Returns when the database is ready again, hence after the commit: `CommandComplete` alone comes before it.
async fn execute(
    lease: &mut Lease,
    statement: &'static str,
    values: &[Value],
) -> Result<(Vec<Row>, u64), tokio_postgres::Error> {
    let prepared = lease.prepare(statement).await?;
    let values = values.iter().map(|value| &**value as &(dyn ToSql + Sync));
    let mut stream = pin!(lease.client().query_raw(&prepared, values).await?);
    let mut rows = Vec::new();
    while let Some(row) = stream.try_next().await? {
        rows.push(row);
    }
    Ok((rows, stream.rows_affected().unwrap_or(0)))
}
