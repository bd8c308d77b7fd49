//! The connections to the database, each lent to one statement at a time.
//!
//! A connection is driven by the runtime that opened it, its home, and the server has a runtime per core. A statement that
//! is sent from there wakes no other thread; from elsewhere it wakes one to be sent and one to be answered, which takes
//! longer than all else that a server does for it. So a call gets an idle connection of its own runtime, or else one of
//! another's, and waits for a new one only when none is idle. Lent abroad, a connection is a stopgap: another is opened
//! at the caller's home meanwhile, if there may be one, and in a full pool one that is only ever lent abroad makes room.
//! Pools off the shelf know no homes.
//!
//! It never runs a statement, and never tries a second time: that is [`database`](super::database)'s.

use super::{
    address::{Address, Driven},
    failure::Failure,
    queue::{Permit, Place, Queue},
};
use std::{
    cmp::Reverse,
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    runtime::{Handle, Id},
    time::{sleep, timeout},
};
use tokio_postgres::{Client, Statement};

/// How long a call waits for a connection that others use; past it, the database is overloaded.
const WAIT: Duration = Duration::from_secs(2);
/// How long opening a connection may take: name, TCP, TLS, authentication.
const OPEN: Duration = Duration::from_secs(2);
/// Loans to other runtimes in a row after which a connection makes room in a full pool. Opening costs as much as some
/// dozens of such loans.
const ABROAD: u32 = 256;
/// After a connection that nobody waits for could not be opened, the time to the next attempt.
const PAUSE: Duration = Duration::from_secs(1);

/// All connections of the store but the one that listens for hints. Cheap to clone: clones are the same pool.
#[derive(Debug, Clone)]
pub(super) struct Pool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    address: Address,
    /// Has a permit for each connection that may be lent or opened.
    queue: Queue,
    idle: Mutex<Vec<Connection>>,
    /// One is being opened that nobody waits for, or could not be a moment ago.
    opening: AtomicBool,
}

/// An open connection.
#[derive(Debug)]
struct Connection {
    client: Client,
    /// Ends with it.
    _driven: Driven,
    home: Id,
    /// Its loans to other runtimes since the last at home.
    abroad: u32,
    prepared: HashMap<&'static str, Statement>,
}

/// A connection on loan. Unless it is given back it is ended: after an error or an answer that never came, nobody
/// knows what it would answer to the next question.
#[derive(Debug)]
pub(super) struct Lease {
    connection: Connection,
    pool: Pool,
    // Last: whoever gets it finds the connection ended or given back.
    _permit: Permit,
}

impl Pool {
    pub(super) fn new(address: Address) -> Self {
        let (queue, idle, opening) = (Queue::new(address.pool_size()), Mutex::default(), AtomicBool::new(false));
        Self(Arc::new(Shared { address, queue, idle, opening }))
    }

    /// Lends a connection to whoever has that place in the queue, within the runtime that is to use it.
    pub(super) async fn lend(&self, place: Place) -> Result<Lease, Failure> {
        let permit = match timeout(WAIT, place.turn()).await {
            Ok(Some(permit)) => permit,
            Ok(None) => return Err(Failure::to_borrow("the store is closed")),
            Err(_) => return Err(Failure::to_borrow("every connection to the database was in use for too long")),
        };
        let home = Handle::current().id();
        let mut connection = match self.take_idle(home) {
            Some(connection) => connection,
            None => self.open(home).await?,
        };
        if connection.home == home {
            connection.abroad = 0;
        } else {
            connection.abroad += 1;
            self.open_meanwhile(home);
        }
        Ok(Lease { connection, pool: self.clone(), _permit: permit })
    }

    /// Used, idle, and as many as there may be.
    pub(super) fn figures(&self) -> [usize; 3] {
        let (lent, size) = (self.lent(), self.0.address.pool_size());
        [lent, self.idle().len().min(size - lent), size]
    }

    /// Those who wait for a connection that others use.
    pub(super) fn queue(&self) -> &Queue {
        &self.0.queue
    }

    /// Ends every connection that is not in use, and the others when they are given back.
    pub(super) fn close(&self) {
        self.0.queue.close();
        self.idle().clear();
    }

    /// One that is idle and alive. Of those at home the last one used that is not in use abroad as well; else the one
    /// that is lent abroad most.
    fn take_idle(&self, home: Id) -> Option<Connection> {
        let mut idle = self.idle();
        loop {
            let own = idle.iter().enumerate().filter(|(_, connection)| connection.home == home);
            let own = own.min_by_key(|(at, connection)| (connection.abroad, Reverse(*at)));
            let any = || idle.iter().enumerate().max_by_key(|(_, connection)| connection.abroad);
            let (at, _) = own.or_else(any)?;
            let connection = idle.remove(at);
            if !connection.client.is_closed() {
                return Some(connection);
            }
        }
    }

    async fn open(&self, home: Id) -> Result<Connection, Failure> {
        let opened = timeout(OPEN, self.0.address.open_driven()).await.map_err(|_| Failure::to_connect_in_time())?;
        let (client, driven) = opened.map_err(|error| Failure::to_connect(&error))?;
        Ok(Connection { client, _driven: driven, home, abroad: 0, prepared: HashMap::new() })
    }

    /// Opens a connection for the calls to come, if there may be one more.
    fn open_meanwhile(&self, home: Id) {
        let Some(turn) = Opening::start(self) else { return };
        let Some(permit) = self.0.queue.spare() else { return };
        if self.idle().len() + self.lent() > self.0.address.pool_size() {
            return;
        }
        tokio::spawn(async move {
            match turn.0.open(home).await {
                Ok(connection) => turn.0.keep(connection),
                Err(failure) => {
                    tracing::debug!(error = failure.text, "no further connection to the database");
                    drop(permit);
                    sleep(PAUSE).await;
                }
            }
        });
    }

    /// Whether a connection may be ended that works. Never the only one, and only of a full pool for which none is being
    /// opened: where none can be, no second one is given up.
    fn can_replace_one(&self) -> bool {
        let size = self.0.address.pool_size();
        size > 1 && self.idle().len() + self.lent() >= size && !self.0.opening.load(Ordering::Relaxed)
    }

    /// Has it idle, for whoever gets its permit next.
    fn keep(&self, connection: Connection) {
        let mut idle = self.idle();
        if !self.0.queue.is_closed() {
            idle.push(connection);
        }
    }

    /// Permits in use. One that was just given back may still be among them though its connection is idle: then one
    /// connection less is opened.
    fn lent(&self) -> usize {
        self.0.address.pool_size() - self.0.queue.free()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    pub(super) const fn client(&self) -> &Client {
        &self.connection.client
    }

    /// A statement as this connection knows it, made known to it the first time.
    pub(super) async fn prepare(&mut self, statement: &'static str) -> Result<Statement, tokio_postgres::Error> {
        if let Some(prepared) = self.connection.prepared.get(statement) {
            return Ok(prepared.clone());
        }
        let prepared = self.connection.client.prepare(statement).await?;
        self.connection.prepared.insert(statement, prepared.clone());
        Ok(prepared)
    }

    /// Once the database has answered.
    pub(super) fn give_back(self) {
        let Self { connection, pool, _permit } = self;
        pool.queue().answered();
        if connection.abroad >= ABROAD && pool.can_replace_one() { drop(connection) } else { pool.keep(connection) }
    }
}

/// The one attempt at a time to open a connection that nobody waits for.
struct Opening(Pool);

impl Opening {
    fn start(pool: &Pool) -> Option<Self> {
        (!pool.0.opening.swap(true, Ordering::Relaxed)).then(|| Self(pool.clone()))
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.0.opening.store(false, Ordering::Relaxed);
    }
}
