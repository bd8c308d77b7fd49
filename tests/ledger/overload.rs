//! A database that is asked for more than it can do: who is refused, and who goes on.

use crate::{
    PATIENCE,
    process::{Server, run},
    support::postgres::Cluster,
    writers::{payment, reason},
};
use std::time::{Duration, Instant};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt;
use waypost::proto::v1::{redirect_service_client::RedirectServiceClient, *};

/// What the database takes for a new session, without using its processor.
const EACH: Duration = Duration::from_millis(20);

/// Connections to the database, so that it makes this many new sessions in that time.
const TOGETHER: u32 = 4;

const MANY: usize = 300;

async fn create(server: &Channel) -> Result<String, Status> {
    let request = payment("m1".into(), String::new());
    let answer = RedirectServiceClient::new(server.clone()).create_payment(request).await?.into_inner();
    Ok(answer.session.expect("a session").session_id)
}

async fn resolve(server: &Channel, session_id: &str) -> Redirect {
    let request = ResolveRedirectRequest { session_id: session_id.into(), ..ResolveRedirectRequest::default() };
    let answer = RedirectServiceClient::new(server.clone()).resolve_redirect(request).await;
    answer.expect("who asks for nothing that the database has to do is answered").into_inner().redirect.expect("one")
}

/// What so many callers see who create sessions one after the other, and come again when they were told to: how long
/// the answers took and the refusals, in order.
async fn callers(connections: &[Channel], number: usize, length: Duration) -> [Vec<Duration>; 2] {
    let end = Instant::now() + length;
    let mut callers = JoinSet::new();
    for caller in 0..number {
        let server = connections[caller % connections.len()].clone();
        callers.spawn(async move {
            let mut seen = [Vec::new(), Vec::new()];
            while Instant::now() < end {
                let asked = Instant::now();
                let answer = create(&server).await;
                seen[usize::from(answer.is_err())].push(asked.elapsed());
                if let Err(status) = answer {
                    let delay = status.get_error_details().retry_info().and_then(|retry| retry.retry_delay);
                    assert_eq!((status.code(), reason(&status)), (Code::ResourceExhausted, Some("OVERLOADED")));
                    sleep(delay.unwrap_or_else(|| panic!("{status:?}"))).await;
                }
            }
            seen
        });
    }
    let mut all = [Vec::new(), Vec::new()];
    for seen in callers.join_all().await {
        all.iter_mut().zip(seen).for_each(|(all, seen)| all.extend(seen));
    }
    all.each_mut().map(|seen| {
        seen.sort_unstable();
        std::mem::take(seen)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_cannot_do_it_all_does_what_it_can_and_the_others_are_told_to_come_again() {
    const SECOND: Duration = Duration::from_secs(1);
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    run(&["migrate", "--store", &database.url()]);
    let slow = format!(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep({}); RETURN NEW; END $$;
         CREATE TRIGGER slow BEFORE INSERT ON waypost_sessions FOR EACH ROW EXECUTE FUNCTION slow();",
        EACH.as_secs_f64()
    );
    database.execute(&slow).await;
    let join = if database.url().contains('?') { '&' } else { '?' };
    let server = Server::start(&format!("{}{join}pool_size={TOGETHER}", database.url()));
    let mut connections = Vec::new();
    for _ in 0..4 {
        connections.push(server.connect().await);
    }
    let buyers = server.connect().await;
    let paid = create(&buyers).await.expect("created");
    let success = RecordOutcomeRequest {
        session_id: paid.clone(),
        outcome: Outcome::Success.into(),
        ..RecordOutcomeRequest::default()
    };
    RedirectServiceClient::new(buyers.clone()).record_outcome(success).await.expect("recorded");
    // As many as the database has in hand, and as many again.
    let [capacity, refused] = callers(&connections, 2 * TOGETHER as usize, 2 * SECOND).await;
    assert_eq!(refused.len(), 0);
    // First it has to be noticed, and those are answered who were let in before.
    let began = Instant::now();
    while callers(&connections, MANY, SECOND).await[1].len() < MANY {
        assert!(began.elapsed() < PATIENCE, "nobody is refused");
    }
    let overload = async { timeout(PATIENCE, callers(&connections, MANY, 4 * SECOND)).await.expect("it ends") };
    let buyer = async {
        let mut took = Vec::new();
        loop {
            let asked = Instant::now();
            assert_eq!(resolve(&buyers, &paid).await.outcome(), Outcome::Success);
            took.push(asked.elapsed());
            sleep(SECOND / 100).await;
            if took.len() == 200 {
                took.sort_unstable();
                return took;
            }
        }
    };
    let ([answered, refused], buyer) = tokio::join!(overload, buyer);
    let p99 = |seen: &[Duration]| seen[seen.len() * 99 / 100];
    println!(
        "{} sessions a second, 99 % within {:?}; {MANY} callers: {} a second within {:?}, {} refused a second within \
         {:?}, and a buyer whose session is at hand is answered within {:?}",
        capacity.len() / 2,
        p99(&capacity),
        answered.len() / 4,
        p99(&answered),
        refused.len() / 4,
        p99(&refused),
        p99(&buyer),
    );
    assert!(refused.len() > 5 * answered.len(), "many more are refused than answered");
    assert!(answered.len() * 10 >= capacity.len() * 2 * 8, "the database does what it can");
    // In one line with all others a caller would wait for this long.
    let all = EACH * MANY as u32 / TOGETHER;
    assert!(p99(&answered) < all / 3, "{:?}", p99(&answered));
    assert!(p99(&refused) < all / 3 && p99(&buyer) < all / 3);
    // And when they are gone, nobody is refused any more.
    sleep(SECOND / 2).await;
    let [_, refused] = callers(&connections, 2 * TOGETHER as usize, SECOND).await;
    assert_eq!(refused.len(), 0);
}
