//! Two servers on one database are replaced one after the other under load, twice: behind a balancer that follows their
//! health no call fails at all, and a client that knows nothing of health and repeats what failed gets every answer.

use crate::{
    MACHINE, PATIENCE,
    process::{Server, run, serve},
    support::postgres::Cluster,
    writers::{payment, reason},
};
use futures_util::future::join_all;
use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::watch,
    task::{self, AbortHandle},
    time::{sleep, timeout},
};
use tonic::{Status, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use waypost::proto::v1::{redirect_service_client::RedirectServiceClient, *};

/// How many buyers of each client come back at once.
const BUYERS: usize = 6;

/// What a server may take to stop beyond its lame duck: it ends the balancer's watch of its health by itself, long before
/// the grace is over.
const STOPS_WITHIN: Duration = Duration::from_secs(8);

/// A server as a balancer knows it.
struct Place {
    channel: Channel,
    serves: watch::Sender<bool>,
    calls: AtomicU64,
    following: AbortHandle,
}

/// The servers that there are: what DNS or a registry would tell.
#[derive(Default)]
struct Places {
    known: Mutex<Vec<Arc<Place>>>,
    turn: AtomicUsize,
}

impl Places {
    /// Makes a server known; returns once its health says that it serves.
    async fn add(&self, server: &Server) -> Arc<Place> {
        let channel = server.connect().await;
        let serves = watch::Sender::new(false);
        let following = task::spawn(follow(channel.clone(), serves.clone())).abort_handle();
        let place = Arc::new(Place { channel, serves, calls: AtomicU64::new(0), following });
        let mut says = place.serves.subscribe();
        timeout(PATIENCE, says.wait_for(|serves| *serves)).await.expect("it serves soon").expect("it is followed");
        self.known().push(Arc::clone(&place));
        place
    }

    /// Forgets a server that is gone.
    fn remove(&self, place: &Arc<Place>) {
        place.following.abort();
        self.known().retain(|known| !Arc::ptr_eq(known, place));
    }

    fn known(&self) -> MutexGuard<'_, Vec<Arc<Place>>> {
        self.known.lock().expect("nobody panicked")
    }

    /// The next of those that serve, in turn.
    fn serving(&self) -> Arc<Place> {
        let known = self.known();
        let serving: Vec<_> = known.iter().filter(|place| *place.serves.borrow()).collect();
        assert!(!serving.is_empty(), "at any moment some server says that it serves");
        Arc::clone(serving[self.turn.fetch_add(1, Ordering::Relaxed) % serving.len()])
    }

    /// The next of all, whatever they say.
    fn any(&self) -> Arc<Place> {
        let known = self.known();
        Arc::clone(&known[self.turn.fetch_add(1, Ordering::Relaxed) % known.len()])
    }
}

/// Keeps what a server's health says, as clients do that balance over several.
async fn follow(channel: Channel, serves: watch::Sender<bool>) {
    let question = HealthCheckRequest { service: "waypost.v1.RedirectService".into() };
    let answers = HealthClient::new(channel).watch(question).await;
    let mut answers = answers.expect("the server was just connected").into_inner();
    while let Ok(Some(answer)) = answers.message().await {
        serves.send_replace(answer.status() == ServingStatus::Serving);
    }
    serves.send_replace(false);
}

/// How calls are sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Client {
    /// Each call once, to a server whose health says that it serves.
    Balanced,
    /// To any server, and to another one when that fails.
    Retrying,
}

/// The load, and what came of it.
struct Load {
    places: Places,
    /// Whole lives of buyers: created, paid, and sent on.
    lives: watch::Sender<u64>,
    retries: AtomicU64,
    ended: watch::Sender<bool>,
}

impl Load {
    /// Lives that follow each other until the load ends.
    async fn buyers(self: Arc<Self>, client: Client, buyer: String) -> Vec<String> {
        let mut sessions = Vec::new();
        while !*self.ended.borrow() {
            sessions.push(self.live(client, format!("{buyer}-{}", sessions.len())).await);
            self.lives.send_modify(|lives| *lives += 1);
        }
        sessions
    }

    async fn live(&self, client: Client, key: String) -> String {
        let create = payment("m1".into(), key);
        let created = self.call(client, |mut to| {
            let create = create.clone();
            async move { to.create_payment(create).await.map(tonic::Response::into_inner) }
        });
        let session_id = created.await.session.expect("a session").session_id;
        let report = RecordOutcomeRequest {
            session_id: session_id.clone(),
            outcome: Outcome::Success.into(),
            ..RecordOutcomeRequest::default()
        };
        let recorded = self.call(client, |mut to| {
            let report = report.clone();
            async move { to.record_outcome(report).await.map(tonic::Response::into_inner) }
        });
        assert_eq!(recorded.await.session.expect("a session").outcome(), Outcome::Success);
        let question = ResolveRedirectRequest { session_id: session_id.clone(), ..ResolveRedirectRequest::default() };
        let resolved = self.call(client, |mut to| {
            let question = question.clone();
            async move { to.resolve_redirect(question).await.map(tonic::Response::into_inner) }
        });
        let redirect = resolved.await.redirect.expect("a redirect");
        assert_eq!(redirect.url, format!("https://shop.example.com/paid?id={session_id}"));
        session_id
    }

    /// The answer to a call; panics when the client would have had to tell its user that it failed.
    async fn call<T, F>(&self, client: Client, send: impl Fn(RedirectServiceClient<Channel>) -> F) -> T
    where
        F: Future<Output = Result<T, Status>>,
    {
        const TRIES: u32 = 5;
        let mut tried = 0;
        loop {
            let place = if client == Client::Balanced { self.places.serving() } else { self.places.any() };
            let status = match send(RedirectServiceClient::new(place.channel.clone())).await {
                Ok(answer) => {
                    place.calls.fetch_add(1, Ordering::Relaxed);
                    return answer;
                }
                Err(status) => status,
            };
            assert!(client == Client::Retrying, "a call failed behind the balancer: {status:?}");
            tried += 1;
            assert!(tried < TRIES, "a call failed {TRIES} times: {status:?}");
            // What a server refuses for good is refused on every server.
            let for_good = !matches!(reason(&status), None | Some("OVERLOADED" | "STORE_UNAVAILABLE"));
            assert!(!for_good, "a call was refused: {status:?}");
            self.retries.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(20 << tried)).await;
        }
    }

    /// Ready after some more lives.
    async fn goes_on(&self) {
        let so_far = *self.lives.borrow();
        let mut lives = self.lives.subscribe();
        let more = lives.wait_for(|lives| *lives >= so_far + 4 * BUYERS as u64);
        drop(timeout(PATIENCE, more).await.expect("the load goes on").expect("there is load"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_are_replaced_one_after_the_other_fail_no_call() {
    let _machine = MACHINE.read().await;
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    run(&["migrate", "--store", &database.url()]);
    let start = || Server::spawn(serve(&database.url()).args(["--lame-duck", "1s", "--grace", "30s"]));
    let load = Arc::new(Load {
        places: Places::default(),
        lives: watch::Sender::new(0),
        retries: AtomicU64::new(0),
        ended: watch::Sender::new(false),
    });
    let mut servers = Vec::new();
    for _ in 0..2 {
        let server = start();
        servers.push((load.places.add(&server).await, server));
    }

    let buyers: Vec<_> = (0..BUYERS)
        .flat_map(|n| [(Client::Balanced, format!("balanced-{n}")), (Client::Retrying, format!("retrying-{n}"))])
        .map(|(client, buyer)| task::spawn(Arc::clone(&load).buyers(client, buyer)))
        .collect();
    load.goes_on().await;
    let mut calls = Vec::new();
    let mut slowest = Duration::ZERO;
    // Each of the two servers twice: those of the second round have only ever known a service that goes on.
    for n in [0, 1, 0, 1] {
        let server = start();
        let next = (load.places.add(&server).await, server);
        let (place, old) = mem::replace(&mut servers[n], next);
        let stopping = Instant::now();
        task::spawn_blocking(move || old.stop()).await.expect("it stops well");
        slowest = slowest.max(stopping.elapsed());
        load.places.remove(&place);
        calls.push(place.calls.load(Ordering::Relaxed));
        load.goes_on().await;
    }
    load.ended.send_replace(true);
    let lived = timeout(PATIENCE, join_all(buyers)).await.expect("in time");
    let sessions: Vec<String> = lived.into_iter().flat_map(|buyer| buyer.expect("no call failed")).collect();

    calls.extend(servers.iter().map(|(place, _)| place.calls.load(Ordering::Relaxed)));
    println!(
        "4 servers replaced under {} calls (by server: {calls:?}); {} retries of the client that does not look at \
         health; the slowest stop took {slowest:?}",
        calls.iter().sum::<u64>(),
        load.retries.load(Ordering::Relaxed)
    );
    assert!(calls.iter().all(|calls| *calls > 0), "every server had its share: {calls:?}");
    assert!(slowest < STOPS_WITHIN, "{slowest:?}");
    // Nothing is lost, and nothing is there twice.
    let there = database.number("SELECT count(*) FROM waypost_sessions").await;
    assert_eq!(there, i64::try_from(sessions.len()).expect("few"));
}
