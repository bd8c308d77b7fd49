//! Several servers on one database.

use crate::support::{
    draft::{CREATED, EXPIRES, draft, merchant, recorded},
    postgres::Cluster,
};
use std::time::{Duration, Instant};
use waypost::{
    model::Outcome,
    redirect::{Mode, OriginPattern},
    store::{
        Created, PostgresStore, Replaced, Store, StoreError,
        postgres::{POLL_EVERY, SETTINGS_AGE},
    },
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
async fn a_tightened_list_of_origins_binds_the_other_server_in_time() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    let (one, other) = (database.store().await, database.store().await);
    let (open, paid) = (draft().build(), draft().build());
    for session in [&open, &paid] {
        one.create(session.clone()).await.expect("created");
    }
    let paid = recorded(&paid, Outcome::Success, CREATED.plus(Duration::from_micros(1)));
    assert_eq!(one.replace_session(paid.clone()).await.expect("replaced"), Replaced::Done);
    let origins = async |store: &PostgresStore, id| {
        store.session(id).await.expect("loaded").expect("there").merchant.allowed_origins.clone()
    };
    let (mut from_memory, mut slowest) = (0, Duration::ZERO);
    for version in 1..=6 {
        let before = origins(&other, paid.id).await;
        let mut settings = merchant("m1", version);
        let origin = format!("https://shop{version}.example");
        settings.allowed_origins = vec![OriginPattern::parse(&origin, Mode::Production).expect("an origin")];
        assert_eq!(one.replace_merchant(settings.clone()).await.expect("replaced"), Replaced::Done);
        let acknowledged = Instant::now();
        // At once where it was written, and at once for what is read anyway.
        assert_eq!(origins(&one, paid.id).await, settings.allowed_origins);
        assert_eq!(origins(&other, open.id).await, settings.allowed_origins);
        loop {
            let late = acknowledged.elapsed();
            let found = origins(&other, paid.id).await;
            if found == settings.allowed_origins {
                slowest = slowest.max(late);
                break;
            }
            assert_eq!(found, before, "neither the old ones nor the new ones");
            assert!(late <= SETTINGS_AGE, "{late:?}");
            from_memory += 1;
        }
    }
    println!("{from_memory} loads by settings in memory; the other server followed after {slowest:?} at most");
    assert!(from_memory > 0, "what is tested here did not happen");
}

#[tokio::test]
async fn sessions_that_succeeded_are_not_read_again_and_all_others_are() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    let (one, other) = (database.store().await, database.store().await);
    let mut sessions = Vec::new();
    for outcome in Outcome::ALL {
        let session = draft().build();
        one.create(session.clone()).await.expect("created");
        let ended = recorded(&session, outcome, CREATED.plus(Duration::from_micros(1)));
        assert_eq!(one.replace_session(ended.clone()).await.expect("replaced"), Replaced::Done);
        for store in [&one, &other] {
            assert_eq!(*store.session(ended.id).await.expect("loaded").expect("there").session, ended);
        }
        sessions.push((outcome, ended));
    }
    // Behind everybody's back, as no server does it.
    database.execute("DELETE FROM waypost_sessions").await;
    for (outcome, ended) in sessions {
        for store in [&one, &other] {
            let found = store.session(ended.id).await.expect("loaded").map(|loaded| (*loaded.session).clone());
            assert_eq!(found, (outcome == Outcome::Success).then(|| ended.clone()), "{outcome:?}");
        }
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
