//! The settings that hold for sessions which have succeeded: how they are read when that is slow.

use crate::support::{
    draft::{CREATED, draft, merchant, recorded},
    postgres::{Cluster, TestDatabase},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    task::JoinSet,
    time::{interval, sleep, timeout},
};
use waypost::{
    model::{Outcome, Session},
    store::{PostgresStore, Replaced, Store, postgres::SETTINGS_AGE},
};

/// Longer than anything takes that goes well.
const PATIENCE: Duration = Duration::from_secs(20);

/// A store with so many connections, and a session in it that has succeeded.
async fn store_with_paid(database: &TestDatabase, pool_size: usize) -> (Arc<PostgresStore>, Session) {
    drop(database.store().await);
    let url = format!("{}&pool_size={pool_size}", database.url());
    let store = PostgresStore::connect(&url).await.expect("connected");
    let open = draft().build();
    let paid = recorded(&open, Outcome::Success, CREATED.plus(Duration::from_micros(1)));
    store.create(open).await.expect("created");
    assert_eq!(store.replace_session(paid.clone()).await.expect("replaced"), Replaced::Done);
    (Arc::new(store), paid)
}

/// From now on it takes so long to read settings.
async fn slow_down(database: &TestDatabase, each: Duration) {
    let slow = format!(
        "ALTER TABLE waypost_merchants RENAME TO settings;
         CREATE VIEW waypost_merchants AS SELECT settings.* FROM pg_sleep({}) LEFT JOIN settings ON true;",
        each.as_secs_f64()
    );
    database.execute(&slow).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buyers_are_served_again_soon_after_a_database_stood_still() {
    const EACH: Duration = Duration::from_millis(10);
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    let (store, paid) = store_with_paid(&database, 1).await;
    slow_down(&database, EACH).await;
    // Four times as many buyers come back, each asking for the same settings if they are not at hand.
    let begun = Instant::now();
    let buyers = async {
        let mut buyers = JoinSet::new();
        let mut moments = interval(EACH / 4);
        while begun.elapsed() < Duration::from_secs(8) {
            moments.tick().await;
            let (store, id) = (Arc::clone(&store), paid.id);
            buyers.spawn(async move {
                let came = begun.elapsed();
                (came, store.session(id).await.map(|_| begun.elapsed() - came))
            });
        }
        buyers.join_all().await
    };
    let locking = database.client().await;
    let standing_still = async {
        sleep(Duration::from_secs(1)).await;
        locking.batch_execute("BEGIN; LOCK TABLE settings IN ACCESS EXCLUSIVE MODE").await.expect("locked");
        sleep(Duration::from_millis(1_500)).await;
        locking.batch_execute("COMMIT").await.expect("unlocked");
    };
    let (buyers, ()) = tokio::join!(buyers, standing_still);
    // What came while it stood still is served or given up some seconds later.
    for (came, waited) in buyers {
        if came < Duration::from_secs(1) || came > Duration::from_secs(6) {
            let waited = waited.unwrap_or_else(|error| panic!("after {came:?}: {error}"));
            assert!(waited < Duration::from_secs(1), "after {came:?}: {waited:?}");
        }
    }
}

#[tokio::test]
async fn one_read_that_takes_longer_than_settings_are_kept_serves_all_who_wait_for_it() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    let (store, paid) = store_with_paid(&database, 1).await;
    slow_down(&database, SETTINGS_AGE + Duration::from_millis(100)).await;
    let begun = Instant::now();
    let mut buyers = JoinSet::new();
    for n in 0..40 {
        let (store, id) = (Arc::clone(&store), paid.id);
        buyers.spawn(async move {
            sleep(Duration::from_millis(10 * n)).await;
            store.session(id).await
        });
    }
    for answer in timeout(PATIENCE, buyers.join_all()).await.expect("in time") {
        answer.expect("served").expect("there");
    }
    // One read for the first of them, one for the rest; each alone would have taken forty.
    assert!(begun.elapsed() < 5 * SETTINGS_AGE, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_caller_who_has_gone_takes_no_read_with_him() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    let (store, paid) = store_with_paid(&database, 2).await;
    slow_down(&database, Duration::from_millis(100)).await;
    // He asked, and nobody looks any more at what became of it, as of a stream that is not read.
    let mut unread = Box::pin(store.session(paid.id));
    assert!(timeout(Duration::from_millis(20), &mut unread).await.is_err());
    for _ in 0..10 {
        timeout(PATIENCE, store.session(paid.id)).await.expect("in time").expect("answered").expect("there");
        sleep(SETTINGS_AGE / 5).await;
    }
    unread.await.expect("answered").expect("there");
}

#[tokio::test]
async fn who_reads_does_not_wait_for_who_writes() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    let (store, paid) = store_with_paid(&database, 3).await;
    assert_eq!(store.replace_merchant(merchant("m1", 1)).await.expect("replaced"), Replaced::Done);
    let locking = database.client().await;
    locking.batch_execute("BEGIN; SELECT * FROM waypost_merchants FOR UPDATE").await.expect("locked");
    let writing = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.replace_merchant(merchant("m1", 2)).await }
    });
    sleep(Duration::from_millis(50)).await;
    for _ in 0..5 {
        let begun = Instant::now();
        let loaded = store.session(paid.id).await.expect("answered").expect("there");
        assert_eq!(loaded.merchant.version, 1);
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        sleep(Duration::from_millis(50)).await;
    }
    locking.batch_execute("COMMIT").await.expect("unlocked");
    assert_eq!(writing.await.expect("no panic").expect("replaced"), Replaced::Done);
    assert_eq!(store.session(paid.id).await.expect("answered").expect("there").merchant.version, 2);
}
