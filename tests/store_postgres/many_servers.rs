//! Several servers on one database.

use crate::support::{
    draft::{CREATED, EXPIRES, draft, merchant, recorded},
    postgres::Cluster,
};
use std::time::{Duration, Instant};
use waypost::{
    model::Outcome,
    redirect::{Mode, OriginPattern},
    store::{Created, Replaced, Store, StoreError, postgres::POLL_EVERY},
};

/// A wait this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_racing_creates_with_one_key_make_one_session() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    let stores = [database.store().await, database.store().await];
    let calls: Vec<_> = (0..10_000)
        .map(|n| {
            let (store, session) = (stores[n % 2].clone(), draft().key("k", 1).build());
            tokio::spawn(async move {
                loop {
                    match store.create(session.clone()).await {
                        Ok(Created::New) => return (session.id, Some(session.id)),
                        Ok(Created::Before(first)) => return (first.id, None),
                        Ok(Created::KeyReused) => panic!("the content was equal"),
                        // More than the pool serves in time; the caller comes again.
                        Err(StoreError::Unavailable(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        })
        .collect();
    let mut first = Vec::new();
    let mut new = Vec::new();
    for call in calls {
        let (found, created) = call.await.expect("no panic");
        first.push(found);
        new.extend(created);
    }
    first.dedup();
    assert_eq!(first.len(), 1);
    assert_eq!(new, first);
    assert_eq!(database.number("SELECT count(*) FROM waypost_sessions").await, 1);
}

#[tokio::test]
async fn a_tightened_list_of_origins_binds_the_other_server_at_once() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    let (one, other) = (database.store().await, database.store().await);
    let session = draft().build();
    one.create(session.clone()).await.expect("created");
    for version in 1..50 {
        let mut settings = merchant("m1", version);
        let origin = format!("https://shop{version}.example");
        settings.allowed_origins = vec![OriginPattern::parse(&origin, Mode::Production).expect("an origin")];
        assert_eq!(one.replace_merchant(settings.clone()).await.expect("replaced"), Replaced::Done);
        let loaded = other.session(session.id).await.expect("loaded").expect("there");
        assert_eq!(loaded.merchant.allowed_origins, settings.allowed_origins);
    }
}

#[tokio::test]
async fn hints_come_before_the_next_look() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    let (one, other) = (database.store().await, database.store().await);
    let mut state = draft().build();
    one.create(state.clone()).await.expect("created");
    let mut fastest = Duration::MAX;
    // The first ones may come before both servers listen.
    for n in 1..20 {
        let mut changes = one.changes(state.id);
        let outcome = if n % 2 == 0 { Outcome::Failure } else { Outcome::Cancel };
        state = recorded(&state, outcome, CREATED.plus(Duration::from_micros(n)));
        assert_eq!(other.replace_session(state.clone()).await.expect("replaced"), Replaced::Done);
        let start = Instant::now();
        changes.changed().await;
        fastest = fastest.min(start.elapsed());
        assert!(fastest < PATIENCE);
    }
    assert!(fastest < POLL_EVERY / 2, "{fastest:?}");
}

#[tokio::test]
async fn a_watcher_is_woken_although_every_hint_is_lost() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    let (one, other) = (database.store().await, database.store().await);
    let session = draft().build();
    one.create(session.clone()).await.expect("created");
    let mut changes = one.changes(session.id);
    let paid = recorded(&session, Outcome::Success, CREATED.plus(Duration::from_micros(1)));
    // Without the connections that listen, and without time to open new ones.
    database
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()
             AND (query LIKE '%LISTEN%' OR query LIKE '%pg_notify%')",
        )
        .await;
    assert_eq!(other.replace_session(paid.clone()).await.expect("replaced"), Replaced::Done);
    let seen = async {
        while *one.session(session.id).await.expect("loaded").expect("there").session != paid {
            changes.changed().await;
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.expect("woken in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sweeps_of_several_servers_remove_each_session_once() {
    const SESSIONS: usize = 400;
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    let store = database.store().await;
    for n in 0..SESSIONS {
        store.create(draft().key(&n.to_string(), 1).build()).await.expect("created");
    }
    let mut sweeps = Vec::new();
    for _ in 0..4 {
        let store = database.store().await;
        sweeps.push(tokio::spawn(async move {
            let mut removed = 0;
            loop {
                match store.remove_over(EXPIRES, 10).await.expect("removed") {
                    0 => return removed,
                    n => removed += n,
                }
            }
        }));
    }
    let mut removed = 0;
    for sweep in sweeps {
        removed += sweep.await.expect("no panic");
    }
    assert_eq!(removed, SESSIONS);
    assert_eq!(database.number("SELECT count(*) FROM waypost_sessions").await, 0);
}
