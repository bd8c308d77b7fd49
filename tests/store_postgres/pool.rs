//! Which connection a call gets. Calls come from several runtimes, as those of the server's workers do.

use crate::{
    lossy_proxy::LossyProxy,
    support::{
        draft::draft,
        postgres::{Cluster, TestDatabase, USER},
    },
};
use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
    task::JoinSet,
    time::{sleep, timeout},
};
use waypost::store::{Created, PostgresStore, Store, StoreError};

/// Loans to other runtimes in a row after which a connection makes room.
const ABROAD: usize = 256;

/// Longer than anything takes that goes well.
const PATIENCE: Duration = Duration::from_secs(30);

/// A runtime of one thread, until it is dropped.
struct Worker {
    handle: Handle,
    _end: oneshot::Sender<()>,
}

impl Worker {
    fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        thread::spawn(move || runtime.block_on(ended));
        Self { handle, _end: end }
    }

    async fn ping(&self, store: &Arc<PostgresStore>, times: usize) {
        self.ping_together(store, 1, times).await;
    }

    /// So many at once, which then have a connection each.
    async fn ping_together(&self, store: &Arc<PostgresStore>, callers: usize, times: usize) {
        let mut pings = JoinSet::new();
        for _ in 0..callers {
            let store = Arc::clone(store);
            let pinging = async move {
                for _ in 0..times {
                    store.ping().await.expect("answered");
                }
            };
            pings.spawn_on(pinging, &self.handle);
        }
        timeout(PATIENCE, pings.join_all()).await.expect("in time");
    }
}

async fn store(database: &TestDatabase, pool_size: usize) -> Arc<PostgresStore> {
    drop(database.store().await);
    let url = format!("{}&pool_size={pool_size}", database.url());
    Arc::new(PostgresStore::connect(&url).await.expect("connected"))
}

/// The processes of the database that were pinged.
async fn pinged(database: &TestDatabase) -> Vec<i32> {
    let pids = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'SELECT 1 FROM waypost_%' ORDER BY pid";
    database.client().await.query(pids, &[]).await.expect("listed").iter().map(|row| row.get(0)).collect()
}

/// Those, once they are so many: what was ended takes a moment to go.
async fn pinged_are<const N: usize>(database: &TestDatabase) -> [i32; N] {
    let looking = async {
        loop {
            match pinged(database).await.try_into() {
                Ok(pids) => return pids,
                Err(_) => sleep(Duration::from_millis(5)).await,
            }
        }
    };
    timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("there are never {N}"))
}

/// Once there are so many that nobody uses.
async fn idle(store: &PostgresStore, wanted: u64) {
    let looking = async {
        while store.figures().connections.expect("a pool")[..2] != [0, wanted] {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("{:?} and not {wanted}", store.figures()));
}

#[tokio::test]
async fn a_call_gets_a_connection_of_its_own_runtime() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    let store = store(&database, 2).await;
    let (one, other) = (Worker::start(), Worker::start());
    one.ping(&store, 1).await;
    let [first] = pinged_are(&database).await;
    // Is lent the one that there is, and opens another meanwhile.
    other.ping(&store, 1).await;
    idle(&store, 2).await;
    for _ in 0..ABROAD {
        other.ping(&store, 2).await;
        one.ping(&store, 1).await;
    }
    assert!(pinged_are::<2>(&database).await.contains(&first));
    assert_eq!(store.figures().connections, Some([0, 2, 2]));
    drop(one);
    let [left] = pinged_are(&database).await;
    assert_ne!(left, first, "the connection ends with the runtime that opened it");
    other.ping(&store, 2 * ABROAD).await;
    assert_eq!(pinged_are(&database).await, [left], "and the other is as it was");
}

#[tokio::test]
async fn in_a_full_pool_a_connection_that_only_another_runtime_uses_makes_room() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    let store = store(&database, 3).await;
    let (one, other) = (Worker::start(), Worker::start());
    one.ping_together(&store, 3, 1).await;
    idle(&store, 3).await;
    let before: [i32; 3] = pinged_are(&database).await;
    // One uses two of them, which leaves the third to the other.
    for _ in 0..ABROAD - 1 {
        other.ping(&store, 1).await;
        one.ping_together(&store, 2, 1).await;
    }
    assert_eq!(pinged_are(&database).await, before);
    other.ping(&store, 2).await;
    idle(&store, 3).await;
    other.ping(&store, 1).await;
    let after: [i32; 3] = pinged_are(&database).await;
    assert_eq!(after.iter().filter(|pid| before.contains(pid)).count(), 2, "{before:?} became {after:?}");
    for _ in 0..2 * ABROAD {
        other.ping(&store, 1).await;
        one.ping_together(&store, 2, 1).await;
    }
    assert_eq!(pinged_are(&database).await, after, "everybody is at home");
}

#[tokio::test]
async fn the_only_connection_stays_wherever_it_is_used() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    let store = store(&database, 1).await;
    let (one, other) = (Worker::start(), Worker::start());
    one.ping(&store, 1).await;
    let only: [i32; 1] = pinged_are(&database).await;
    other.ping(&store, 2 * ABROAD).await;
    assert_eq!(pinged_are(&database).await, only);
}

#[tokio::test]
async fn all_runtimes_together_open_no_more_than_the_pools_size() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    let store = store(&database, 3).await;
    let workers: Vec<_> = (0..4).map(|_| Worker::start()).collect();
    // Too few for any connection to make room, whose successor could be seen beside it.
    let pings = workers.iter().map(|worker| worker.ping_together(&store, 8, 20));
    let looking = async {
        let mut most = 0;
        loop {
            let [used, ..] = store.figures().connections.expect("a pool");
            most = most.max(pinged(&database).await.len());
            if most > 0 && used == 0 {
                return most;
            }
        }
    };
    let (_, most) = tokio::join!(futures_util::future::join_all(pings), looking);
    assert!((1..=3).contains(&most), "{most} were seen open");
}

#[tokio::test]
async fn a_call_needs_no_new_connection_while_one_is_idle() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    drop(database.store().await);
    let proxy = LossyProxy::to(database.socket()).await;
    let url = format!("postgres://{USER}@127.0.0.1:{}/{}?sslmode=disable&pool_size=2", proxy.port(), database.name);
    let store = Arc::new(PostgresStore::connect(&url).await.expect("connected"));
    let (one, other) = (Worker::start(), Worker::start());
    one.ping_together(&store, 2, 1).await;
    proxy.refuse_connections(true);
    // Many more than it takes to make room, which happens once.
    other.ping(&store, 4 * ABROAD).await;
    let [left] = pinged_are(&database).await;
    proxy.refuse_connections(false);
    let recovered = async {
        // The one that is left may make room now.
        while pinged(&database).await.iter().all(|pid| *pid == left) {
            other.ping(&store, 1).await;
        }
    };
    timeout(PATIENCE, recovered).await.expect("it opens one again");
}

#[tokio::test]
async fn a_write_is_done_once_though_the_runtime_that_drives_its_connection_ends_under_it() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    let store = store(&database, 1).await;
    let one = Worker::start();
    one.ping(&store, 1).await;
    let locking = database.client().await;
    locking.batch_execute("BEGIN; LOCK TABLE waypost_sessions IN EXCLUSIVE MODE").await.expect("locked");
    let create = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.create(draft().key("once", 1).build()).await }
    });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%INSERT%'";
    let waiting = async {
        while database.number(waits).await == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it waits for the table");
    drop(one);
    sleep(Duration::from_millis(50)).await;
    locking.batch_execute("COMMIT").await.expect("unlocked");
    let created = timeout(PATIENCE, create).await.expect("in time").expect("no panic");
    assert_eq!(created.expect("answered"), Created::New);
    assert_eq!(database.number("SELECT count(*) FROM waypost_sessions").await, 1);
}

#[tokio::test]
async fn behind_so_many_that_wait_no_call_begins_and_those_that_have_begun_go_on() {
    const MOST_WAITING: u64 = 1_024;
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    let store = store(&database, 1).await;
    let merchant = "m1".parse().expect("an id");
    store.merchant(&merchant).await.expect("nobody waits");
    let locking = database.client().await;
    locking.batch_execute("BEGIN; LOCK TABLE waypost_sessions IN EXCLUSIVE MODE").await.expect("locked");
    let mut creates = JoinSet::new();
    let waiting = async |number| {
        while store.figures().waiting_for_connection != Some(number) {
            sleep(Duration::from_millis(1)).await;
        }
    };
    let create = || {
        let store = Arc::clone(&store);
        async move { store.create(draft().build()).await }
    };
    creates.spawn(create());
    creates.spawn(create());
    timeout(PATIENCE, waiting(1)).await.expect("one has the connection, the other waits for it");
    let begun = Instant::now();
    (1..MOST_WAITING).for_each(|_| drop(creates.spawn(create())));
    timeout(PATIENCE, waiting(MOST_WAITING)).await.expect("all wait");
    let refused = store.merchant(&merchant).await.expect_err("too many wait");
    // A slow machine has no time for this.
    if begun.elapsed() < Duration::from_millis(800) {
        assert!(matches!(refused, StoreError::Overloaded), "{refused}");
    }
    sleep(Duration::from_millis(1_100).saturating_sub(begun.elapsed())).await;
    // On a slower one those have gone by now.
    if begun.elapsed() < Duration::from_millis(1_500) {
        let refused = store.merchant(&merchant).await.expect_err("nobody was answered for a second");
        assert!(matches!(&refused, StoreError::Unavailable(text) if text.contains("does not answer")), "{refused}");
    }
    locking.batch_execute("COMMIT").await.expect("unlocked");
    // The last of them may have waited for as long as they may.
    let created = creates.join_all().await.into_iter().filter_map(Result::ok).count();
    assert!(created > 0);
    store.merchant(&merchant).await.expect("nobody waits any more");
}

#[tokio::test]
async fn a_closed_pool_lends_nothing() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    let store = store(&database, 2).await;
    store.ping().await.expect("answered");
    store.close().await.expect("closed");
    let refused = store.ping().await.expect_err("closed");
    assert!(refused.to_string().contains("closed"), "{refused}");
    let [] = pinged_are(&database).await;
}
