//! What the server does when more is asked of it than it takes: who is refused, how, and who is not.

use futures_util::future::join_all;
use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tokio::{task::JoinSet, time::timeout};
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt;
use waypost::proto::v1::{
    CreatePaymentRequest, Outcome, PaymentItem, RecordOutcomeRequest, ResolveRedirectRequest,
    redirect_service_client::RedirectServiceClient,
};

/// Longer than anything takes that goes well, so that a test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(25);

/// As many calls may wait for an outcome.
const MAX_WAITING: usize = 2_048;

/// Connections that share the waiting calls: one takes 256 at once.
const CONNECTIONS: usize = 12;

struct Server {
    process: Child,
    url: String,
}

impl Server {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"));
        command.env_clear().args(["serve", "--grpc-addr", "127.0.0.1:0", "--page-addr", "off", "--store", "memory:"]);
        command.args(["--ops-addr", "off"]);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("started");
        let stdout = BufReader::new(process.stdout.as_mut().expect("piped"));
        let addr = stdout.lines().find_map(|line| Some(line.ok()?.trim().strip_prefix("gRPC")?.trim().to_owned()));
        Self { process, url: format!("http://{}", addr.expect("it says where it listens")) }
    }

    async fn client(&self) -> RedirectServiceClient<Channel> {
        RedirectServiceClient::connect(self.url.clone()).await.expect("connected")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn open_session(client: &mut RedirectServiceClient<Channel>) -> String {
    let create = CreatePaymentRequest {
        merchant_id: "m1".to_owned(),
        customer_email: "buyer@shop.example".to_owned(),
        items: vec![PaymentItem { r#type: "T".to_owned(), price: "50".to_owned(), currency: "USD".to_owned() }],
        redirect_url: "https://shop.example/paid?id={{id}}".to_owned(),
        ..Default::default()
    };
    client.create_payment(create).await.expect("created").into_inner().session.expect("a session").session_id
}

fn resolve(session_id: &str, wait_seconds: i64) -> ResolveRedirectRequest {
    let wait = Some(prost_types::Duration { seconds: wait_seconds, nanos: 0 });
    ResolveRedirectRequest { session_id: session_id.to_owned(), wait, ..Default::default() }
}

/// The refusal that callers understand: they may try again, and when.
fn is_told_to_come_again(refused: &Status) -> bool {
    let details = refused.get_error_details();
    refused.code() == Code::ResourceExhausted
        && details.error_info().is_some_and(|info| info.reason == "OVERLOADED")
        && details.retry_info().is_some_and(|retry| retry.retry_delay.is_some_and(|delay| !delay.is_zero()))
}

#[tokio::test]
async fn buyers_who_wait_never_close_the_door_for_the_others() {
    let server = Server::start();
    let mut client = server.client().await;
    let id = open_session(&mut client).await;
    // Twice as many as may wait, which is as many as the server takes calls.
    let mut waiting = JoinSet::new();
    let clients = join_all((0..2 * CONNECTIONS).map(|_| server.client())).await;
    for number in 0..2 * MAX_WAITING {
        let (mut client, query) = (clients[number % clients.len()].clone(), resolve(&id, 30));
        waiting.spawn(async move { client.resolve_redirect(query).await });
    }
    // Half of them are refused, at once and properly.
    for _ in 0..MAX_WAITING {
        let answer = timeout(PATIENCE, waiting.join_next()).await.expect("refused at once").expect("a call");
        let refused = answer.expect("no panic").expect_err("more than may wait");
        assert!(is_told_to_come_again(&refused), "{refused:?}");
    }
    // The others are served meanwhile as if nobody waited.
    let asked = Instant::now();
    for _ in 0..100 {
        let answer = client.resolve_redirect(resolve(&id, 0)).await.expect("served").into_inner();
        assert_eq!(answer.redirect.expect("a redirect").outcome(), Outcome::Cancel);
    }
    assert!(asked.elapsed() < PATIENCE);
    let refused = client.resolve_redirect(resolve(&id, 30)).await.expect_err("still as many wait");
    assert!(is_told_to_come_again(&refused), "{refused:?}");
    // And those who wait have their answer when there is one.
    let outcome = RecordOutcomeRequest { session_id: id, outcome: Outcome::Success.into(), ..Default::default() };
    client.record_outcome(outcome).await.expect("recorded");
    for _ in 0..MAX_WAITING {
        let answer = timeout(PATIENCE, waiting.join_next()).await.expect("answered").expect("a call");
        let redirect = answer.expect("no panic").expect("an answer").into_inner().redirect;
        assert_eq!(redirect.expect("a redirect").outcome(), Outcome::Success);
    }
    assert!(waiting.is_empty());
}
