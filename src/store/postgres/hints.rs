//! Tells the other servers at once which sessions changed, where the database can: LISTEN and NOTIFY on one connection.
//!
//! Only a hint. It is sent after the write was acknowledged and not with it, because a transaction with a NOTIFY holds
//! a lock on the whole database while it commits: all writes would wait for one fsync each. Hints that come together
//! go out in one statement. What is lost (a full queue, a broken connection, a database without NOTIFY) only delays: every
//! watcher looks again by itself.

use super::{address::Address, address::Wire, failure::describe};
use crate::{model::SessionId, store::ChangeFeed};
use futures_util::future::{Either, select};
use std::{
    future::poll_fn,
    io,
    pin::pin,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};
use tokio::{
    runtime::Builder,
    sync::{
        mpsc::{self, error::TrySendError},
        oneshot,
    },
    time::{sleep, timeout},
};
use tokio_postgres::{AsyncMessage, Client, error::SqlState};

/// Changes that wait to be told. More than these wait only when the database is slower than its writers.
const QUEUE: usize = 4_096;
/// Changes told in one statement.
const TOGETHER: usize = 256;
/// Before a lost connection is opened again.
const RECONNECT: Duration = Duration::from_millis(250);
/// For what waits when the store is closed.
const CLOSE: Duration = Duration::from_secs(1);

/// NOTIFY assigns a transaction id; nothing of it needs to reach the disk.
const LISTEN: &str = "SET synchronous_commit = 'off'; LISTEN waypost_sessions";
const NOTIFY: &str = "SELECT pg_notify('waypost_sessions', id) FROM unnest($1::text[]) AS id";

/// The sending end, and the end of the thread that does both: it outlives every runtime that uses the store.
#[derive(Debug)]
pub(super) struct Hints {
    queue: Mutex<Option<mpsc::Sender<SessionId>>>,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Hints {
    /// Begins to listen for that feed, until this is dropped or closed.
    pub(super) fn start(address: Address, feed: ChangeFeed) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let (end, ended) = oneshot::channel();
        thread::Builder::new().name("waypost-hints".to_owned()).spawn(move || {
            match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(keep_connected(address, feed, receiver)),
                Err(error) => tracing::warn!(%error, "there are no hints; watchers look again by themselves"),
            }
            // Only who closes the store waits for it.
            let _ = end.send(());
        })?;
        Ok(Self { queue: Mutex::new(Some(sender)), ended: Mutex::new(Some(ended)) })
    }

    /// Tells the other servers, soon.
    pub(super) fn send(&self, id: SessionId) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        match queue.as_ref().map(|queue| queue.try_send(id)) {
            None | Some(Ok(()) | Err(TrySendError::Closed(_))) => {}
            Some(Err(TrySendError::Full(_))) => tracing::debug!("a hint was dropped: too many wait"),
        }
    }

    /// Sends what waits and ends the connection.
    pub(super) async fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ended) = ended {
            // A database that does not answer must not hold up the end of the process for the sake of hints.
            let _ = timeout(CLOSE, ended).await;
        }
    }
}

/// Why a connection ended.
enum Ended {
    /// The store is closed.
    Closed,
    /// The database has no LISTEN, or no NOTIFY.
    Unsupported(String),
    /// It was lost.
    Lost(String),
}

async fn keep_connected(address: Address, feed: ChangeFeed, mut queue: mpsc::Receiver<SessionId>) {
    loop {
        match connect_once(&address, &feed, &mut queue).await {
            Ended::Closed => return,
            Ended::Unsupported(reason) => {
                tracing::info!(reason, "the database passes on no hints; watchers look again by themselves");
                return;
            }
            Ended::Lost(reason) => tracing::debug!(reason, "the connection for hints was lost"),
        }
        // What is not told in time need not be told at all. A closed queue is noticed here as well.
        let mut stale = Vec::new();
        match select(pin!(sleep(RECONNECT)), pin!(receive_until_closed(&mut queue, &mut stale))).await {
            Either::Left(_) => {}
            Either::Right(_) => return,
        }
    }
}

async fn receive_until_closed(queue: &mut mpsc::Receiver<SessionId>, stale: &mut Vec<SessionId>) {
    while queue.recv_many(stale, TOGETHER).await > 0 {
        stale.clear();
    }
}

async fn connect_once(address: &Address, feed: &ChangeFeed, queue: &mut mpsc::Receiver<SessionId>) -> Ended {
    let (client, wire) = match address.open_in_time().await {
        Ok(opened) => opened,
        Err(failure) => return Ended::Lost(failure.text),
    };
    // Nothing is answered unless the wire is driven, so both run until one of them ends.
    match select(pin!(listen(wire, feed)), pin!(tell(client, queue))).await {
        Either::Left((ended, _)) | Either::Right((ended, _)) => ended,
    }
}

async fn listen(mut wire: Wire, feed: &ChangeFeed) -> Ended {
    loop {
        match poll_fn(|context| wire.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notification(hint))) => {
                if let Ok(id) = hint.payload().parse() {
                    feed.notify(id);
                }
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return ended(&error),
            None => return Ended::Lost("it was closed".to_owned()),
        }
    }
}

async fn tell(client: Client, queue: &mut mpsc::Receiver<SessionId>) -> Ended {
    let prepared = async {
        client.batch_execute(LISTEN).await?;
        client.prepare(NOTIFY).await
    };
    let notify = match prepared.await {
        Ok(notify) => notify,
        Err(error) => return ended(&error),
    };
    let mut changed = Vec::with_capacity(TOGETHER);
    while queue.recv_many(&mut changed, TOGETHER).await > 0 {
        let ids: Vec<String> = changed.drain(..).map(|id| id.to_string()).collect();
        if let Err(error) = client.execute(&notify, &[&ids]).await {
            return ended(&error);
        }
    }
    Ended::Closed
}

fn ended(error: &tokio_postgres::Error) -> Ended {
    let unsupported = [SqlState::SYNTAX_ERROR, SqlState::FEATURE_NOT_SUPPORTED, SqlState::UNDEFINED_FUNCTION];
    match error.code() {
        Some(code) if unsupported.contains(code) => Ended::Unsupported(describe(error)),
        _ => Ended::Lost(describe(error)),
    }
}
