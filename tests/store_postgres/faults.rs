//! What goes wrong between a store and its database, one thing at a time.

use crate::{
    ledger::Ledger,
    lossy_proxy::LossyProxy,
    support::{
        draft::{CREATED, draft, merchant, recorded},
        postgres::{Cluster, TestDatabase, USER},
    },
};
use std::{
    sync::{Arc, atomic::AtomicI64},
    time::{Duration, Instant, SystemTime},
};
use waypost::{
    app::{App, Clock},
    model::{Kind, Outcome, Timestamp},
    redirect::Mode,
    store::{Created, PostgresStore, Replaced, Store, StoreError},
};

/// A request may take 5 s; a store that takes longer answers nobody.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);

fn later() -> Timestamp {
    CREATED.plus(Duration::from_secs(1))
}

/// Makes the next statements that write a session fail, as many as wanted, with that SQLSTATE.
async fn fail_next_writes(database: &TestDatabase, sqlstate: &str, times: u32) {
    // A sequence counts although the transactions are rolled back.
    database
        .execute(&format!(
            "DROP SEQUENCE IF EXISTS failures; CREATE SEQUENCE failures;
             CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 IF nextval('failures') <= {times} THEN
                     RAISE EXCEPTION 'it was made to fail' USING ERRCODE = '{sqlstate}';
                 END IF;
                 RETURN NULL;
             END $$;
             CREATE OR REPLACE TRIGGER fail AFTER INSERT OR UPDATE ON waypost_sessions FOR EACH STATEMENT
             EXECUTE FUNCTION fail();"
        ))
        .await;
}

#[tokio::test]
async fn conflicts_and_lost_connections_are_tried_again() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    let store = database.store().await;
    for sqlstate in ["40001", "40P01", "57P01", "53300", "25006"] {
        let session = draft().key(sqlstate, 1).build();
        fail_next_writes(&database, sqlstate, 3).await;
        assert_eq!(store.create(session.clone()).await.expect(sqlstate), Created::New);
        fail_next_writes(&database, sqlstate, 3).await;
        let paid = recorded(&session, Outcome::Success, later());
        assert_eq!(store.replace_session(paid.clone()).await.expect(sqlstate), Replaced::Done);
        assert_eq!(*store.session(session.id).await.expect("loaded").expect("there").session, paid);
        assert_eq!(database.number("SELECT last_value FROM failures").await, 4, "three failed, one did not");
    }
}

#[tokio::test]
async fn what_no_retry_cures_is_answered_at_once() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    let store = database.store().await;
    fail_next_writes(&database, "P0001", 1_000).await;
    let answer = store.create(draft().build()).await;
    assert!(matches!(&answer, Err(StoreError::Unavailable(text)) if text.contains("P0001")), "{answer:?}");
    assert_eq!(database.number("SELECT last_value FROM failures").await, 1);
}

#[tokio::test]
async fn a_conflict_that_never_ends_is_given_up_within_a_request() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    let store = database.store().await;
    fail_next_writes(&database, "40001", 1_000_000).await;
    let start = Instant::now();
    let answer = store.create(draft().build()).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    assert!(start.elapsed() < REQUEST_LIMIT, "{:?}", start.elapsed());
    assert_eq!(database.number("SELECT count(*) FROM waypost_sessions").await, 0);
}

#[tokio::test]
async fn a_row_that_stays_locked_is_given_up_within_a_request_and_not_written_later() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    let store = database.store().await;
    let session = draft().build();
    store.create(session.clone()).await.expect("created");
    let other = database.client().await;
    other.batch_execute("BEGIN; SELECT 1 FROM waypost_sessions FOR UPDATE").await.expect("locked");
    let start = Instant::now();
    let answer = store.replace_session(recorded(&session, Outcome::Success, later())).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    assert!(start.elapsed() < REQUEST_LIMIT, "{:?}", start.elapsed());
    // Readers do not wait for writers.
    assert!(store.session(session.id).await.expect("loaded").is_some());
    // The database ends the statements itself, so that none of them wakes up when the lock goes.
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while database.number(waiting).await > 0 {}
    other.batch_execute("ROLLBACK").await.expect("unlocked");
    assert_eq!(*store.session(session.id).await.expect("loaded").expect("there").session, session);
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_neither_lost_nor_done_twice() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    drop(database.store().await);
    let proxy = LossyProxy::to(database.socket()).await;
    let url = format!("postgres://{USER}@127.0.0.1:{}/{}?sslmode=disable&pool_size=1", proxy.port(), database.name);
    let store = PostgresStore::connect(&url).await.expect("connected");
    for kind in Kind::ALL {
        // Prepares the statements, so that the next answer is that of the statement itself.
        let first = draft().kind(kind).build();
        store.create(first.clone()).await.expect("created");
        store.replace_session(recorded(&first, Outcome::Failure, later())).await.expect("replaced");

        for session in [draft().kind(kind).build(), draft().kind(kind).key("k", 1).build()] {
            // The connection that is made anew prepares again, so only the first loss hits the statement itself.
            store.create(draft().build()).await.expect("created");
            proxy.lose_next_answer();
            assert_eq!(store.create(session.clone()).await.expect("created"), Created::New);
            assert!(proxy.has_lost_all());
            assert_eq!(*store.session(session.id).await.expect("loaded").expect("there").session, session);

            let paid = recorded(&session, Outcome::Success, later());
            let stale = store.replace_session(recorded(&first, Outcome::Success, later())).await;
            assert_eq!(stale.expect("answered"), Replaced::Stale);
            proxy.lose_next_answer();
            assert_eq!(store.replace_session(paid.clone()).await.expect("replaced"), Replaced::Done);
            assert!(proxy.has_lost_all());
            assert_eq!(*store.session(session.id).await.expect("loaded").expect("there").session, paid);

            // The same where there was nothing to be done: a loss does not turn a stale state into a good one.
            proxy.lose_next_answer();
            let again = recorded(&session, Outcome::Failure, later());
            assert_eq!(store.replace_session(again).await.expect("answered"), Replaced::Stale);
            // Nor a key that is another session's into a new one.
            if session.key().is_some() {
                store.create(draft().build()).await.expect("created");
                proxy.lose_next_answer();
                let second = draft().kind(kind).key("k", 1).build();
                assert_eq!(store.create(second).await.expect("answered"), Created::Before(paid.into()));
            }
        }
    }
    assert_eq!(database.number("SELECT count(*) FROM waypost_sessions WHERE idempotency_key = 'k'").await, 3);
    // Prepare.
    for version in [1, 2] {
        assert_eq!(store.replace_merchant(merchant("m2", version)).await.expect("replaced"), Replaced::Done);
    }
    for version in [1, 2] {
        proxy.lose_next_answer();
        assert_eq!(store.replace_merchant(merchant("m1", version)).await.expect("replaced"), Replaced::Done);
        assert!(proxy.has_lost_all());
        assert_eq!(store.replace_merchant(merchant("m2", version)).await.expect("answered"), Replaced::Stale);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_whose_connections_are_cut_again_and_again_do_not_notice() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    let ledger = Ledger::keep(database.store().await, 16);
    for _ in 0..20 {
        ledger.wait_for_writes(40).await;
        database
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            .await;
    }
    ledger.wait_for_writes(40).await;
    let kept = ledger.close().await;
    kept.check(&database).await;
    assert_eq!(kept.refused(), 0, "every lost connection was replaced within the call");
}

#[test]
fn the_store_outlives_the_runtime_that_connected_it() {
    let Some(cluster) = Cluster::shared() else { return };
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let first = runtime();
    let session = draft().build();
    let store: Arc<PostgresStore> = first.block_on(async {
        let store = cluster.create_database().await.store().await;
        store.create(session.clone()).await.expect("created");
        store
    });
    drop(first);
    runtime().block_on(async {
        assert_eq!(*store.session(session.id).await.expect("loaded").expect("there").session, session);
        // Dropping it inside a runtime is allowed too.
        drop(store);
    });
}

#[tokio::test]
async fn callers_that_go_away_do_not_use_up_the_connections() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    drop(database.store().await);
    let store = PostgresStore::connect(&format!("{}&pool_size=2", database.url())).await.expect("connected");
    for n in 0..200 {
        let session = draft().key(&n.to_string(), 1).build();
        // Polled once and dropped.
        assert!(tokio::time::timeout(Duration::ZERO, store.create(session)).await.is_err() || n > 0);
    }
    store.ping().await.expect("serving");
    store.create(draft().build()).await.expect("created");
}

#[tokio::test]
async fn a_table_that_is_gone_is_a_store_that_does_not_answer() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    let store = database.store().await;
    store.ping().await.expect("it answers");
    for table in ["waypost_sessions", "waypost_merchants"] {
        database.execute(&format!("ALTER TABLE {table} RENAME TO elsewhere")).await;
        store.ping().await.expect_err(table);
        database.execute(&format!("ALTER TABLE elsewhere RENAME TO {table}")).await;
        store.ping().await.expect(table);
    }
}

#[tokio::test]
async fn a_server_whose_clock_is_not_the_databases_removes_nothing() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    let store = database.store().await;
    let session = draft().build();
    assert_eq!(store.create(session.clone()).await.expect("created"), Created::New);
    let now = Timestamp::from(SystemTime::now());
    let days = |days: u64| Duration::from_secs(days * 24 * 60 * 60);
    for wrong in [session.over_at().plus(days(400)).max(now.plus(days(1))), now.minus(days(1))] {
        let clock = Clock::Manual(Arc::new(AtomicI64::new(wrong.as_micros())));
        let app = App::new(store.clone(), Mode::Production, clock);
        let error = app.remove_over(days(1)).await.expect_err("refused").to_string();
        assert!(error.contains("this machine's clock says"), "{error}");
    }
    assert_eq!(database.number("SELECT count(*) FROM waypost_sessions").await, 1);
    let right = App::new(store.clone(), Mode::Production, Clock::System);
    right.remove_over(days(1)).await.expect("swept");
}
