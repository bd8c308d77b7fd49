//! Runs one statement on a connection of the pool, and again when that is safe and worth it.
//!
//! Every statement of the store may be run twice: the second run then finds what the first one did. What it finds is
//! not told apart here; [`Reply::before`] says that there may be something to find.

use super::super::{Figures, StoreError};
use super::{
    ConnectError,
    address::Address,
    failure::{Effect, Failure, Prospect},
    patience::Patience,
};
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use futures_util::TryStreamExt;
use std::{pin::pin, time::Duration};
use tokio::time::timeout_at;
use tokio_postgres::{Row, types::ToSql};

/// How long a call waits for a connection that others use; past it, the database is overloaded.
const POOL_WAIT: Duration = Duration::from_secs(2);
/// How long opening a connection may take: name, TCP, TLS, authentication.
const POOL_CREATE: Duration = Duration::from_secs(2);

/// The pool. Cheap to clone: clones are the same pool.
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
    /// Whether an earlier attempt of the same call may have taken effect.
    pub(super) before: Effect,
}

impl Database {
    pub(super) fn new(address: &Address) -> Result<Self, ConnectError> {
        // A connection that was lost while it waited is known to be closed; asking each time costs a round trip.
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(address.config().clone(), address.clone(), config);
        let pool = Pool::builder(manager)
            .max_size(address.pool_size())
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(POOL_WAIT))
            .create_timeout(Some(POOL_CREATE))
            .build()
            .map_err(|error| ConnectError::Address(error.to_string()))?;
        Ok(Self { pool })
    }

    /// Runs a statement until it is acknowledged or the call's patience ends.
    pub(super) async fn run(&self, statement: &'static str, values: &[Value]) -> Result<Reply, StoreError> {
        let mut patience = Patience::new();
        let mut before = Effect::None;
        loop {
            match self.attempt(statement, values, &patience).await {
                Ok((rows, affected)) => return Ok(Reply { rows, affected, before }),
                Err(failure) => {
                    before = before.or(failure.effect);
                    patience.after(failure).await.map_err(|failure| StoreError::Unavailable(failure.text))?;
                }
            }
        }
    }

    async fn attempt(
        &self,
        statement: &'static str,
        values: &[Value],
        patience: &Patience,
    ) -> Result<(Vec<Row>, u64), Failure> {
        let ends = patience.attempt_ends();
        let connection = timeout_at(ends, self.pool.get()).await.map_err(|_| Failure::to_connect_in_time())?;
        let lease = Lease(Some(connection.map_err(|error| Failure::to_connect(&error))?));
        let failure = match timeout_at(ends, lease.execute(statement, values)).await {
            Ok(Ok(done)) => {
                lease.give_back();
                return Ok(done);
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
        let status = self.pool.status();
        let idle = status.available.min(status.size);
        let connections = [status.size - idle, idle, status.max_size].map(|count| count as u64);
        Figures {
            connections: Some(connections),
            waiting_for_connection: Some(status.waiting as u64),
            ..Figures::default()
        }
    }

    /// Ends every connection that is not in use, and the others when they are given back.
    pub(super) fn close(&self) {
        self.pool.close();
    }
}

/// A connection on loan. Unless it is given back it is ended: after an error or an answer that never came, nobody
/// knows what it would answer to the next question.
struct Lease(Option<Object>);

impl Lease {
    /// Returns when the database is ready again, hence after the commit: `CommandComplete` alone comes before it.
    async fn execute(
        &self,
        statement: &'static str,
        values: &[Value],
    ) -> Result<(Vec<Row>, u64), tokio_postgres::Error> {
        let Some(client) = &self.0 else { unreachable!("a lease has its connection until it ends") };
        let prepared = client.prepare_cached(statement).await?;
        let mut stream =
            pin!(client.query_raw(&prepared, values.iter().map(|value| &**value as &(dyn ToSql + Sync))).await?);
        let mut rows = Vec::new();
        while let Some(row) = stream.try_next().await? {
            rows.push(row);
        }
        Ok((rows, stream.rows_affected().unwrap_or(0)))
    }

    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
    }
}
