//! Two servers on one database are one service, and its health is the database's.

use crate::{
    MACHINE, PATIENCE,
    process::{Server, run, serve, waypost},
    support::postgres::{Cluster, Fsync, TestDatabase},
    writers::{payment, reason},
};
use std::{
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tonic::{Code, Status, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_types::StatusExt;
use waypost::{
    proto::v1::{merchant_service_client::MerchantServiceClient, redirect_service_client::RedirectServiceClient, *},
    store::postgres::SETTINGS_AGE,
};

/// A database with its schema, and two servers on it.
async fn two_servers(cluster: &Cluster) -> (TestDatabase, [Server; 2]) {
    let database = cluster.create_database().await;
    run(&["migrate", "--store", &database.url()]);
    let servers = [(); 2].map(|()| Server::start(&database.url()));
    (database, servers)
}

async fn create(server: &Channel, key: &str) -> Result<CreatePaymentResponse, Status> {
    let request = payment("m1".into(), key.into());
    Ok(RedirectServiceClient::new(server.clone()).create_payment(request).await?.into_inner())
}

async fn created(server: &Channel) -> String {
    create(server, "").await.expect("created").session.expect("a session").session_id
}

async fn record_success(server: &Channel, session_id: &str) {
    let report = RecordOutcomeRequest {
        session_id: session_id.into(),
        outcome: Outcome::Success.into(),
        ..RecordOutcomeRequest::default()
    };
    let recorded = RedirectServiceClient::new(server.clone()).record_outcome(report).await.expect("recorded");
    assert!(recorded.into_inner().applied);
}

async fn resolve(server: &Channel, session_id: &str, wait: Duration) -> Result<Redirect, Status> {
    let wait = Some(prost_types::Duration::try_from(wait).expect("short"));
    let request = ResolveRedirectRequest { session_id: session_id.into(), wait, ..ResolveRedirectRequest::default() };
    let answer = RedirectServiceClient::new(server.clone()).resolve_redirect(request).await?;
    Ok(answer.into_inner().redirect.expect("a redirect"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_on_one_server_ends_when_the_outcome_comes_to_the_other() {
    let _machine = MACHINE.read().await;
    const AT_ONCE: Duration = Duration::from_secs(1);
    let Some(cluster) = Cluster::shared() else { return };
    let (_, servers) = two_servers(cluster).await;
    let (one, other) = (servers[0].connect().await, servers[1].connect().await);
    let mut slowest = Duration::ZERO;
    for _ in 0..10 {
        let id = created(&other).await;
        let waiting = {
            let (one, id) = (one.clone(), id.clone());
            tokio::spawn(async move { resolve(&one, &id, Duration::from_secs(30)).await })
        };
        // As many calls on the same connection as it takes for the one above to have begun.
        let mut client = RedirectServiceClient::new(one.clone());
        for _ in 0..5 {
            client.get_session(GetSessionRequest { session_id: id.clone() }).await.expect("found");
        }
        assert!(!waiting.is_finished(), "there is nothing to answer yet");
        let recording = Instant::now();
        record_success(&other, &id).await;
        let redirect = waiting.await.expect("no panic").expect("answered");
        slowest = slowest.max(recording.elapsed());
        assert_eq!(redirect.outcome(), Outcome::Success);
    }
    assert!(slowest < AT_ONCE, "{slowest:?}");
    println!("the slowest of 10 waits ended {slowest:?} after the outcome was sent to the other server");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_creates_with_one_key_through_two_servers_make_one_session() {
    let _machine = MACHINE.read().await;
    let Some(cluster) = Cluster::shared() else { return };
    let (database, servers) = two_servers(cluster).await;
    // A connection carries 256 calls at once, so that all are sent at once over 40.
    let mut connections = Vec::new();
    for n in 0..40 {
        connections.push(servers[n % 2].connect().await);
    }
    let mut calls = JoinSet::new();
    for n in 0..10_000 {
        let server = connections[n % connections.len()].clone();
        calls.spawn(async move {
            loop {
                match create(&server, "one").await {
                    Ok(answer) => return (answer.session.expect("a session"), answer.replayed),
                    // More than the servers take at once: the caller comes again, when it was told to.
                    Err(status) => {
                        let retry = status.get_error_details().retry_info().and_then(|retry| retry.retry_delay);
                        sleep(retry.unwrap_or_else(|| panic!("{status}"))).await;
                    }
                }
            }
        });
    }
    let began = Instant::now();
    let answers = timeout(PATIENCE, calls.join_all()).await.expect("in time");
    println!("10,000 creates with one key took {:?}", began.elapsed());
    assert_eq!(answers.len(), 10_000);
    assert!(answers.iter().all(|(session, _)| *session == answers[0].0), "everybody got the same session");
    // None when the answer to the first call got lost in the crowd.
    assert!(answers.iter().filter(|(_, replayed)| !replayed).count() <= 1);
    assert_eq!(database.number("SELECT count(*) FROM waypost_sessions").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn origins_that_one_server_tightened_bind_the_other_in_time() {
    let _machine = MACHINE.read().await;
    let Some(cluster) = Cluster::shared() else { return };
    let (_, servers) = two_servers(cluster).await;
    let (one, other) = (servers[0].connect().await, servers[1].connect().await);
    let (open, paid) = (created(&one).await, created(&one).await);
    record_success(&one, &paid).await;
    for id in [&open, &paid] {
        let before = resolve(&other, id, Duration::ZERO).await.expect("answered");
        assert_eq!(before.url, format!("https://shop.example.com/paid?id={id}"));
    }
    let mut slowest = Duration::ZERO;
    for n in 0..10 {
        // Every other change allows the session's URL again.
        let allowed = n % 2 == 1;
        let origin = if allowed { "https://shop.example.com" } else { "https://elsewhere.example.com" };
        let merchant =
            Merchant { merchant_id: "m1".into(), allowed_origins: vec![origin.into()], ..Merchant::default() };
        let update = UpdateMerchantRequest { merchant: Some(merchant), ..UpdateMerchantRequest::default() };
        MerchantServiceClient::new(one.clone()).update_merchant(update).await.expect("updated");
        let acknowledged = Instant::now();
        let expected = (if allowed { Source::Request } else { Source::HostedPage }, !allowed);
        let says = async |server: &Channel, id: &str| {
            let redirect = resolve(server, id, Duration::ZERO).await.expect("answered");
            (redirect.source(), redirect.url.is_empty())
        };
        // The very next call knows where it was written, and everywhere for a session that has not succeeded.
        assert_eq!(says(&one, &paid).await, expected, "change {n}");
        assert_eq!(says(&other, &open).await, expected, "change {n}");
        loop {
            let late = acknowledged.elapsed();
            if says(&other, &paid).await == expected {
                slowest = slowest.max(late);
                break;
            }
            assert!(late <= SETTINGS_AGE, "change {n} does not bind the other server after {late:?}");
        }
    }
    println!("the slowest of 10 changes bound the other server after {slowest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_that_one_server_acknowledged_is_what_the_other_answers() {
    let _machine = MACHINE.read().await;
    let Some(cluster) = Cluster::shared() else { return };
    let (_, servers) = two_servers(cluster).await;
    let servers = [servers[0].connect().await, servers[1].connect().await];
    for n in 0..50 {
        let (one, other) = (&servers[n % 2], &servers[1 - n % 2]);
        let id = created(one).await;
        // Seen while it was open, which must not be remembered.
        for server in &servers {
            let redirect = resolve(server, &id, Duration::ZERO).await.expect("answered");
            assert_eq!(redirect.outcome(), Outcome::Cancel);
        }
        record_success(one, &id).await;
        for server in [other, one, other] {
            let redirect = resolve(server, &id, Duration::ZERO).await.expect("answered");
            assert_eq!(redirect.outcome(), Outcome::Success, "session {n}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_follows_the_database() {
    let _machine = MACHINE.read().await;
    let Some(cluster) = Cluster::start(Fsync::Off, "") else { return };
    let store = cluster.create_database().await.url();
    run(&["migrate", "--store", &store]);
    let mut server = Server::start(&store);
    let channel = server.connect().await;
    let names = ["", "waypost.v1.RedirectService", "waypost.v1.MerchantService"];
    let mut watches = Vec::new();
    for name in names {
        let request = HealthCheckRequest { service: name.into() };
        watches.push(HealthClient::new(channel.clone()).watch(request).await.expect("watched").into_inner());
    }
    let mut says = async |status: ServingStatus| {
        for watch in &mut watches {
            let said = timeout(PATIENCE, watch.message()).await.expect("in time").expect("a stream").expect("goes on");
            assert_eq!(said.status(), status);
        }
    };
    says(ServingStatus::Serving).await;
    for _ in 0..2 {
        let id = created(&channel).await;
        cluster.kill();
        says(ServingStatus::NotServing).await;
        let status = resolve(&channel, &id, Duration::ZERO).await.expect_err("there is no database");
        assert_eq!((status.code(), reason(&status)), (Code::Unavailable, Some("STORE_UNAVAILABLE")));
        assert!(status.get_error_details().retry_info().is_some());
        assert!(!status.message().contains("waypost-pg"), "the database's address is nobody's business: {status}");
        server.assert_runs();
        cluster.restart();
        says(ServingStatus::Serving).await;
        resolve(&channel, &id, Duration::ZERO).await.expect("answered");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_migrate_at_once_make_one_schema() {
    let _machine = MACHINE.read().await;
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    let store = database.url();
    let migrating: Vec<_> = (0..4)
        .map(|_| {
            let mut command = waypost(["migrate", "--store", &store]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
        })
        .collect();
    // Each blocks a thread until its server says where it listens.
    let serving: Vec<_> = (0..4)
        .map(|_| {
            let mut command = serve(&store);
            command.arg("--migrate");
            std::thread::spawn(move || Server::spawn(&mut command))
        })
        .collect();
    for process in migrating {
        let output = process.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.starts_with("the schema "), "{said}");
    }
    let servers: Vec<Server> = serving.into_iter().map(|server| server.join().expect("it serves")).collect();
    assert_eq!(database.number("SELECT count(*) FROM waypost_migrations").await, 1);
    let id = created(&servers[0].connect().await).await;
    for server in &servers {
        resolve(&server.connect().await, &id, Duration::ZERO).await.expect("answered");
    }
}
