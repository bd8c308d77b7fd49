//! Writers that keep a ledger of what was acknowledged to them, and the comparison of the ledger with the database.

use crate::support::{
    draft::{CREATED, draft, recorded},
    postgres::TestDatabase,
};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::watch, task::JoinHandle};
use waypost::{
    model::{Outcome, Session, SessionId},
    store::{Created, PostgresStore, Replaced, Store, StoreError},
};

/// Longer than any crash test waits for anything that succeeds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Writers at work.
pub struct Ledger {
    writers: Vec<JoinHandle<Pages>>,
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<PostgresStore>,
    stop: AtomicBool,
    /// Acknowledged writes.
    acknowledged: watch::Sender<u64>,
    /// Calls that ended as unavailable.
    refused: AtomicU64,
}

/// What one writer, or all, know at the end.
#[derive(Default)]
struct Pages {
    /// The states that each session may be in: one where the last write was acknowledged, two where nobody knows.
    sessions: HashMap<SessionId, Vec<Session>>,
}

/// A ledger that is closed.
pub struct Kept {
    pages: Pages,
    refused: u64,
    writes: u64,
}

impl Ledger {
    /// Sets that many writers to work.
    pub fn keep(store: Arc<PostgresStore>, writers: usize) -> Self {
        let shared = Arc::new(Shared {
            store,
            stop: AtomicBool::new(false),
            acknowledged: watch::Sender::new(0),
            refused: AtomicU64::new(0),
        });
        let writers = (0..writers).map(|writer| tokio::spawn(write(writer, shared.clone()))).collect();
        Self { writers, shared }
    }

    /// Waits until that many more writes are acknowledged.
    pub async fn wait_for_writes(&self, more: u64) {
        let mut acknowledged = self.shared.acknowledged.subscribe();
        let target = *acknowledged.borrow() + more;
        let reached = acknowledged.wait_for(|writes| *writes >= target);
        drop(tokio::time::timeout(PATIENCE, reached).await.expect("writers get on").expect("there are writers"));
    }

    /// Lets the writers finish what they are at.
    pub async fn close(self) -> Kept {
        self.shared.stop.store(true, Ordering::SeqCst);
        let mut pages = Pages::default();
        for writer in self.writers {
            pages.sessions.extend(writer.await.expect("no panic").sessions);
        }
        let refused = self.shared.refused.load(Ordering::SeqCst);
        Kept { pages, refused, writes: *self.shared.acknowledged.borrow() }
    }
}

impl Kept {
    /// Calls that ended as unavailable.
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Acknowledged writes.
    pub const fn writes(&self) -> u64 {
        self.writes
    }

    /// Proves that everything acknowledged is there, and nothing twice.
    pub async fn check(&self, database: &TestDatabase) {
        let store = database.store().await;
        for (id, states) in &self.pages.sessions {
            let Some(loaded) = store.session(*id).await.expect("loaded") else { panic!("{id} is lost") };
            assert!(states.contains(&loaded.session), "{id} lost its last write: {:?}", loaded.session);
        }
        let there = database.number("SELECT count(*) FROM waypost_sessions").await;
        assert_eq!(there, i64::try_from(self.pages.sessions.len()).expect("few"), "sessions that nobody was told of");
    }
}

async fn write(writer: usize, shared: Arc<Shared>) -> Pages {
    let mut pages = Pages::default();
    let acknowledge = || shared.acknowledged.send_modify(|writes| *writes += 1);
    let mut next = 0;
    while !shared.stop.load(Ordering::SeqCst) {
        let session = create(&format!("{writer}-{next}"), &shared).await;
        acknowledge();
        pages.sessions.insert(session.id, vec![session.clone()]);
        let paid = recorded(&session, Outcome::Success, CREATED.plus(Duration::from_micros(next)));
        match shared.store.replace_session(paid.clone()).await {
            Ok(Replaced::Done) => {
                acknowledge();
                pages.sessions.insert(session.id, vec![paid]);
            }
            Ok(Replaced::Stale) => panic!("{} has no other writer", session.id),
            Err(error) => {
                shared.refuse(&error);
                pages.sessions.insert(session.id, vec![session, paid]);
            }
        }
        next += 1;
    }
    pages
}

/// Creates a session as a careful caller does: with the same key, until there is an answer.
async fn create(key: &str, shared: &Shared) -> Session {
    let mut calls = 0;
    loop {
        let session = draft().key(key, 1).build();
        calls += 1;
        match shared.store.create(session.clone()).await {
            Ok(Created::New) => return session,
            Ok(Created::Before(first)) if calls > 1 => return (*first).clone(),
            Ok(other) => panic!("nobody else has the key {key}: {other:?}"),
            Err(error) => shared.refuse(&error),
        }
    }
}

impl Shared {
    fn refuse(&self, error: &StoreError) {
        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
        self.refused.fetch_add(1, Ordering::SeqCst);
    }
}
