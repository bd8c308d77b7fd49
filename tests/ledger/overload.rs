//! A database that is asked for ten times as much as it can do: who is refused, and who goes on.

use crate::{
    MACHINE, PATIENCE,
    process::{Server, run},
    support::postgres::{Cluster, TestDatabase},
    writers::{payment, reason},
};
use std::time::{Duration, Instant};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tonic::{Code, Status, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_types::StatusExt;
use waypost::proto::v1::{redirect_service_client::RedirectServiceClient, *};

/// What the database takes for a new session, without using its processor.
const EACH: Duration = Duration::from_millis(80);

/// Connections to the database, so that it makes this many new sessions in that time.
const CONNECTIONS: u32 = 4;

/// New sessions that are in progress when it is asked for just what it can do.
const IN_PROGRESS: usize = 10;

const SECOND: Duration = Duration::from_secs(1);

async fn create(server: &Channel) -> Result<String, Status> {
    let request = payment("m1".into(), String::new());
    let answer = RedirectServiceClient::new(server.clone()).create_payment(request).await?.into_inner();
    Ok(answer.session.expect("a session").session_id)
}

async fn record_success(server: &Channel, session_id: &str) -> Result<(), Status> {
    let session_id = session_id.to_owned();
    let request =
        RecordOutcomeRequest { session_id, outcome: Outcome::Success.into(), ..RecordOutcomeRequest::default() };
    RedirectServiceClient::new(server.clone()).record_outcome(request).await.map(drop)
}

async fn resolve(server: &Channel, session_id: &str) -> Result<Redirect, Status> {
    let request = ResolveRedirectRequest { session_id: session_id.into(), ..ResolveRedirectRequest::default() };
    let answer = RedirectServiceClient::new(server.clone()).resolve_redirect(request).await?.into_inner();
    Ok(answer.redirect.expect("one"))
}

/// How long answers and refusals took.
#[derive(Default)]
struct Seen {
    answered: Vec<Duration>,
    refused: Vec<Duration>,
    /// Those that waited for as long as they may.
    failed: usize,
}

impl Seen {
    async fn create(&mut self, server: &Channel) {
        let asked = Instant::now();
        let answer = create(server).await;
        let took = asked.elapsed();
        let Err(status) = answer else { return self.answered.push(took) };
        if status.code() == Code::Unavailable {
            return self.failed += 1;
        }
        let details = status.get_error_details();
        let told = details.retry_info().is_some_and(|retry| retry.retry_delay.is_some());
        assert_eq!((status.code(), reason(&status), told), (Code::ResourceExhausted, Some("OVERLOADED"), true));
        self.refused.push(took);
    }

    fn all(all: Vec<Self>) -> Self {
        let mut seen = Self::default();
        for one in all {
            seen.answered.extend(one.answered);
            seen.refused.extend(one.refused);
            seen.failed += one.failed;
        }
        seen
    }
}

fn p99(seen: &mut [Duration]) -> Duration {
    seen.sort_unstable();
    seen[seen.len() * 99 / 100]
}

/// So many callers, each of whom creates one session after the other.
async fn at_capacity(connections: &[Channel], length: Duration) -> Seen {
    let end = Instant::now() + length;
    let mut callers = JoinSet::new();
    for caller in 0..IN_PROGRESS {
        let server = connections[caller % connections.len()].clone();
        callers.spawn(async move {
            let mut seen = Seen::default();
            while Instant::now() < end {
                seen.create(&server).await;
            }
            seen
        });
    }
    Seen::all(callers.join_all().await)
}

/// One more new session is asked for each `every`, whatever became of those before. Seen is what was told after `first`,
/// as it has to be noticed, and those are answered who were let in before; but for failures, which are all seen.
async fn at_rate(connections: &[Channel], every: Duration, first: Duration, length: Duration) -> Seen {
    let mut moments = interval(every);
    moments.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let begun = Instant::now();
    let mut callers = JoinSet::new();
    for n in 0..(first + length).div_duration_f64(every) as usize {
        moments.tick().await;
        let server = connections[n % connections.len()].clone();
        callers.spawn(async move {
            let mut seen = Seen::default();
            seen.create(&server).await;
            let told = begun.elapsed();
            let measured = told > first && told <= first + length;
            if measured { seen } else { Seen { failed: seen.failed, ..Seen::default() } }
        });
    }
    Seen::all(callers.join_all().await)
}

/// A database that takes [`EACH`] for a new session.
async fn slow_database(cluster: &Cluster) -> TestDatabase {
    let database = cluster.create_database().await;
    run(&["migrate", "--store", &database.url()]);
    let slow = format!(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep({}); RETURN NEW; END $$;
         CREATE TRIGGER slow BEFORE INSERT ON waypost_sessions FOR EACH ROW EXECUTE FUNCTION slow();",
        EACH.as_secs_f64()
    );
    database.execute(&slow).await;
    database
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_cannot_do_it_all_does_what_it_can_and_the_others_are_told_to_come_again() {
    let _machine = MACHINE.write().await;
    let Some(cluster) = Cluster::shared() else { return };
    let database = slow_database(cluster).await;
    let server = Server::start(&format!("{}&pool_size={CONNECTIONS}", database.url()));
    let mut connections = Vec::new();
    for _ in 0..8 {
        connections.push(server.connect().await);
    }
    let others = server.connect().await;
    let paid = create(&others).await.expect("created");
    record_success(&others, &paid).await.expect("recorded");
    at_capacity(&connections, SECOND).await;
    let mut capacity = at_capacity(&connections, 4 * SECOND).await;
    assert!(
        capacity.refused.len() * 20 <= capacity.answered.len() && capacity.failed == 0,
        "it is not yet asked too much"
    );

    let every = EACH / CONNECTIONS / 10;
    let overload = at_rate(&connections, every, 4 * SECOND, 6 * SECOND);
    let overload = async { timeout(PATIENCE, overload).await.expect("it ends") };
    let buyers = async {
        let (mut took, mut health) = (Vec::new(), Vec::new());
        while took.len() < 600 {
            let asked = Instant::now();
            let redirect = resolve(&others, &paid).await.expect("the database refuses them nothing");
            assert_eq!(redirect.outcome(), Outcome::Success);
            took.push(asked.elapsed());
            let asked = Instant::now();
            let checked =
                HealthClient::new(others.clone()).check(HealthCheckRequest::default()).await.expect("answered");
            assert_eq!(checked.into_inner().status(), ServingStatus::Serving);
            health.push(asked.elapsed());
            sleep(SECOND / 100).await;
        }
        (took, health)
    };
    let (mut overload, (mut buyers, mut health)) = tokio::join!(overload, buyers);
    assert_eq!(overload.failed, 0);
    let (at_capacity_a_second, answered_a_second) = (capacity.answered.len() / 4, overload.answered.len() / 6);
    let (quiet, loaded) = (p99(&mut capacity.answered), p99(&mut overload.answered));
    println!(
        "{at_capacity_a_second} sessions a second, 99 % within {quiet:?}; ten times as many asked for: \
         {answered_a_second} a second, 99 % within {loaded:?}; {} refused a second, 99 % within {:?}; buyers whose \
         session is at hand within {:?}, health within {:?}",
        overload.refused.len() / 6,
        p99(&mut overload.refused),
        p99(&mut buyers),
        p99(&mut health),
    );
    assert!(overload.refused.len() > 7 * overload.answered.len(), "many more are refused than answered");
    assert!(answered_a_second * 10 >= at_capacity_a_second * 9, "the database does what it can");
    assert!(loaded <= 2 * quiet, "{loaded:?} and {quiet:?}");
    // The server's processor has to refuse, besides, in a build for tests.
    assert!(p99(&mut overload.refused) < quiet / 2 && p99(&mut health) < quiet / 2);
    // One in some of them reads the merchant's settings, before all who have not begun.
    assert!(p99(&mut buyers) < quiet / 2);

    // And when they are gone, nobody is refused any more.
    sleep(2 * SECOND).await;
    let after = at_capacity(&connections, SECOND).await;
    assert!(after.refused.len() * 20 <= after.answered.len());
}
