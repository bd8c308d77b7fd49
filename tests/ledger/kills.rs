//! The server killed, the database killed, again and again, while 32 writers write.

use crate::{
    MACHINE, PATIENCE,
    process::{Server, run, serve},
    support::postgres::{Cluster, Fsync},
    writers::{Ledger, WRITERS},
};
use std::{
    hash::{BuildHasher, RandomState},
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// The most writes that are acknowledged between two kills; there are some at least.
const WRITES: u64 = 8 * WRITERS as u64;

fn kills() -> u32 {
    std::env::var("WAYPOST_TEST_KILLS").map_or(20, |text| text.parse().expect("WAYPOST_TEST_KILLS is a number"))
}

/// A fresh hasher is seeded at random, which is all the randomness that this needs.
fn random(below: u64) -> u64 {
    RandomState::new().hash_one(0) % below
}

/// A moment at random in the middle of the writers' work. Acknowledgements come in bursts after each commit, so it waits
/// a little longer to fall anywhere in the next one; that orders nothing.
async fn some_time(ledger: &mut Ledger) {
    ledger.wait_for_writes(1 + random(WRITES)).await;
    sleep(Duration::from_micros(random(20_000))).await;
}

/// Kills the server of a store so many times, every tenth one while it starts.
async fn kill_servers(store: &str) {
    let began = Instant::now();
    let mut slowest = Duration::ZERO;
    let mut server = Server::start(store);
    let mut ledger = Ledger::keep(server.connect().await);
    for round in 1..=kills() {
        some_time(&mut ledger).await;
        server.kill();
        if round % 10 == 0 {
            let mut starting = serve(store).stderr(Stdio::null()).spawn().expect("it starts");
            sleep(Duration::from_micros(random(40_000))).await;
            starting.kill().expect("it is ours");
            starting.wait().expect("it is ours");
        }
        let starting = Instant::now();
        server = Server::start(store);
        slowest = slowest.max(starting.elapsed());
        ledger.shut().await;
        ledger.check_recent(&server.connect().await).await;
        ledger.open(server.connect().await);
    }
    ledger.wait_for_writes(WRITES).await;
    ledger.shut().await;
    ledger.check_all(&server.connect().await, store).await;
    server.stop();
    let (kills, summary, elapsed) = (kills(), ledger.summary(), began.elapsed());
    println!("{kills} kills of the server: {summary}; slowest start {slowest:?}, all in {elapsed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_on_its_file_loses_nothing_acknowledged_and_does_nothing_twice() {
    let _machine = MACHINE.read().await;
    let directory = tempfile::tempdir().expect("a directory");
    let store = format!("redb:{}", directory.path().join("waypost.redb").display());
    kill_servers(&store).await;
    assert!(run(&["store", "check", "--store", &store]).contains("no problem found"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_on_postgres_loses_nothing_acknowledged_and_does_nothing_twice() {
    let _machine = MACHINE.read().await;
    let Some(cluster) = Cluster::shared() else { return };
    let store = cluster.create_database().await.url();
    run(&["migrate", "--store", &store]);
    kill_servers(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_database_loses_nothing_acknowledged_and_its_server_goes_on() {
    let _machine = MACHINE.read().await;
    // What a killed process gave to the kernel is not lost, so fsync would only make this slower.
    let Some(cluster) = Cluster::start(Fsync::Off, "") else { return };
    let store = cluster.create_database().await.url();
    run(&["migrate", "--store", &store]);
    let began = Instant::now();
    let mut unserved = Duration::ZERO;
    let mut server = Server::start(&store);
    let channel = server.connect().await;
    let mut ledger = Ledger::keep(channel.clone());
    for _ in 0..kills() {
        some_time(&mut ledger).await;
        let killed = Instant::now();
        cluster.kill();
        cluster.restart();
        // What was under way is answered now; nothing else is begun before all of it was compared.
        ledger.shut().await;
        unserved = unserved.max(killed.elapsed());
        server.assert_runs();
        ledger.check_recent(&channel).await;
        ledger.open(channel.clone());
    }
    ledger.wait_for_writes(WRITES).await;
    ledger.shut().await;
    assert!(unserved < PATIENCE, "{unserved:?}");
    ledger.check_all(&channel, &store).await;
    drop(channel);
    server.stop();
    let (kills, summary, elapsed) = (kills(), ledger.summary(), began.elapsed());
    println!(
        "{kills} kills of the database: {summary}; longest until all were answered {unserved:?}, all in {elapsed:?}"
    );
}
