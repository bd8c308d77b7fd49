//! What the server does when more is asked of it than it takes: who is refused, how, and who is not.

#[path = "support/process.rs"]
#[allow(dead_code, reason = "shared with tests that do more")]
mod process;

use futures_util::future::join_all;
use process::Process;
use prost::Message;
use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use tokio::{task::JoinSet, time::timeout};
use tonic::{Code, Status, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_types::{StatusExt, pb::ErrorInfo};
use waypost::proto::v1::{
    CreateCheckoutRequest, CreatePaymentRequest, Customer, GetSessionRequest, LineItem, Outcome, PaymentItem,
    PreviewRedirectsRequest, RecordOutcomeRequest, ResolveRedirectRequest, ResolveRedirectsRequest, ReturnUrls,
    ShoppingCart, WatchSessionRequest, preview_redirects_request::Source,
    redirect_service_client::RedirectServiceClient, resolve_redirects_response::Answer,
};

/// Longer than anything takes that goes well, so that a test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(25);

/// As many calls may wait for an outcome, half of them for one merchant.
const MAX_WAITING: usize = 2_048;

/// Connections that share the waiting calls: one takes 256 at once.
const CONNECTIONS: usize = 12;

struct Server {
    /// Ended with the test.
    _process: Process,
    url: String,
}

impl Server {
    fn start(options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"));
        command.env_clear().args(["serve", "--grpc-addr", "127.0.0.1:0", "--page-addr", "off", "--store", "memory:"]);
        command.args(["--ops-addr", "off"]);
        command.args(options);
        let mut process = Process::start(command.stderr(Stdio::null()));
        let url = format!("http://{}", process.said("gRPC"));
        Self { _process: process, url }
    }

    async fn client(&self) -> RedirectServiceClient<Channel> {
        RedirectServiceClient::connect(self.url.clone()).await.expect("connected")
    }
}

async fn open_session(client: &mut RedirectServiceClient<Channel>) -> String {
    client.create_payment(payment("m1")).await.expect("created").into_inner().session.expect("a session").session_id
}

fn payment(merchant_id: &str) -> CreatePaymentRequest {
    CreatePaymentRequest {
        merchant_id: merchant_id.to_owned(),
        customer_email: "buyer@shop.example".to_owned(),
        items: vec![PaymentItem { r#type: "T".to_owned(), price: "50".to_owned(), currency: "USD".to_owned() }],
        redirect_url: "https://shop.example/paid?id={{id}}".to_owned(),
        ..Default::default()
    }
}

fn resolve(session_id: &str, wait_seconds: i64) -> ResolveRedirectRequest {
    let wait = Some(prost_types::Duration { seconds: wait_seconds, nanos: 0 });
    ResolveRedirectRequest { session_id: session_id.to_owned(), wait, ..Default::default() }
}

fn resolve_now(session_id: &str) -> ResolveRedirectRequest {
    ResolveRedirectRequest { session_id: session_id.to_owned(), ..Default::default() }
}

fn preview(session_id: &str) -> PreviewRedirectsRequest {
    PreviewRedirectsRequest { source: Some(Source::SessionId(session_id.to_owned())) }
}

/// When a refusal with that reason says to come again, if it is one that callers understand.
fn comes_again(refused: &Status, reason: &str) -> Option<Duration> {
    let details = refused.get_error_details();
    let understood = refused.code() == Code::ResourceExhausted
        && details.error_info().is_some_and(|info| info.reason == reason && info.domain == "waypost.v1");
    let delay = details.retry_info()?.retry_delay?;
    (understood && !delay.is_zero()).then_some(delay)
}

fn is_told_to_come_again(refused: &Status) -> bool {
    comes_again(refused, "OVERLOADED").is_some()
}

#[tokio::test]
async fn buyers_who_wait_never_close_the_door_for_the_others_or_for_another_merchants() {
    let server = Server::start(&[]);
    let mut client = server.client().await;
    let id = open_session(&mut client).await;
    // As many as may wait, for one merchant.
    let mut waiting = JoinSet::new();
    let clients = join_all((0..CONNECTIONS).map(|_| server.client())).await;
    for number in 0..MAX_WAITING {
        let (mut client, query) = (clients[number % clients.len()].clone(), resolve(&id, 30));
        waiting.spawn(async move { client.resolve_redirect(query).await });
    }
    // Half of them are refused, at once and properly.
    for _ in 0..MAX_WAITING / 2 {
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
    // Another merchant's buyer may wait, here for the shortest time there is.
    let other = client.create_payment(payment("m2")).await.expect("created").into_inner().session.expect("a session");
    let wait = Some(prost_types::Duration { seconds: 0, nanos: 1 });
    let query = ResolveRedirectRequest { session_id: other.session_id, wait, ..Default::default() };
    client.resolve_redirect(query).await.expect("there is a place");
    // And those who wait have their answer when there is one.
    let outcome = RecordOutcomeRequest { session_id: id, outcome: Outcome::Success.into(), ..Default::default() };
    client.record_outcome(outcome).await.expect("recorded");
    for _ in 0..MAX_WAITING / 2 {
        let answer = timeout(PATIENCE, waiting.join_next()).await.expect("answered").expect("a call");
        let redirect = answer.expect("no panic").expect("an answer").into_inner().redirect;
        assert_eq!(redirect.expect("a redirect").outcome(), Outcome::Success);
    }
    assert!(waiting.is_empty());
}

#[tokio::test]
async fn one_merchants_watches_leave_places_for_the_others() {
    const MAX_WATCHES: usize = 4_096;
    let server = Server::start(&[]);
    let mut client = server.client().await;
    let id = open_session(&mut client).await;
    let clients = join_all((0..CONNECTIONS).map(|_| server.client())).await;
    let watch = |id: &str| WatchSessionRequest { session_id: id.to_owned() };
    let mut watches = Vec::new();
    for number in 0..MAX_WATCHES / 2 {
        watches.push(clients[number % clients.len()].clone().watch_session(watch(&id)).await.expect("watched"));
    }
    let refused = client.watch_session(watch(&id)).await.expect_err("one merchant has half of them");
    assert!(is_told_to_come_again(&refused), "{refused:?}");
    let other = client.create_payment(payment("m2")).await.expect("created").into_inner().session.expect("a session");
    client.watch_session(watch(&other.session_id)).await.expect("another merchant is watched");
    watches.pop();
    let freed = async { while client.watch_session(watch(&id)).await.is_err() {} };
    timeout(PATIENCE, freed).await.expect("the place is free again");
}

#[tokio::test]
async fn a_merchant_that_calls_too_often_is_told_when_to_come_again_and_others_are_served() {
    const RATE: usize = 20;
    let server = Server::start(&["--merchant-rate", "20"]);
    let mut client = server.client().await;
    let id = open_session(&mut client).await;
    // Every kind of call counts, however its merchant is told.
    let began = Instant::now();
    let mut allowed = 1;
    let refused = loop {
        let answer = match allowed % 4 {
            0 => client.create_payment(payment("m1")).await.err(),
            1 => client.resolve_redirect(resolve(&id, 0)).await.err(),
            2 => client.get_session(GetSessionRequest { session_id: id.clone() }).await.err(),
            _ => client.preview_redirects(preview(&id)).await.err(),
        };
        match answer {
            Some(refused) => break refused,
            None => allowed += 1,
        }
    };
    let most = RATE + (began.elapsed().as_secs_f64() * RATE as f64) as usize + 1;
    assert!((RATE..=most).contains(&allowed), "{allowed} calls in {:?}", began.elapsed());
    let delay = comes_again(&refused, "RATE_LIMITED").unwrap_or_else(|| panic!("{refused:?}"));
    assert!(delay <= Duration::from_secs(1) / RATE as u32, "{delay:?}");
    client.create_payment(payment("m2")).await.expect("another merchant is served");
    tokio::time::sleep(delay).await;
    client.resolve_redirect(resolve(&id, 0)).await.expect("served when it was told");
    // So does each request of a stream.
    let requests = (0..10 * RATE as u64)
        .map(move |correlation_id| ResolveRedirectsRequest { correlation_id, resolve: Some(resolve_now(&id)) });
    let stream = futures_util::stream::iter(requests.collect::<Vec<_>>());
    let mut answers = client.resolve_redirects(stream).await.expect("a stream").into_inner();
    let mut limited = 0;
    while let Some(answer) = answers.message().await.expect("the stream goes on") {
        match answer.answer.expect("an answer") {
            Answer::Redirect(_) => {}
            Answer::Error(error) => {
                let info = error.details.iter().find(|detail| detail.type_url.ends_with("google.rpc.ErrorInfo"));
                let info = ErrorInfo::decode(&*info.expect("every error has one").value).expect("a message");
                assert_eq!((error.code, &*info.reason), (8, "RATE_LIMITED"));
                limited += 1;
            }
        }
    }
    assert!(limited > 0 && began.elapsed() < PATIENCE, "{limited} of {}", 10 * RATE);
}

/// A checkout whose preview is expensive: each of its URLs is filled to more than the greatest length, and refused.
fn expensive_checkout() -> CreateCheckoutRequest {
    let placeholder = "{{shopping_cart.line_items[0].name}}&p={{customer.first_name}}";
    let url = |slot: &str| format!("https://shop.example/{slot}?p={}", [placeholder; 16].join("&p="));
    CreateCheckoutRequest {
        merchant_id: "m1".to_owned(),
        customer: Some(Customer { first_name: "x y".repeat(20), ..Default::default() }),
        redirect_urls: Some(ReturnUrls {
            success: url("success"),
            failure: url("failure"),
            cancel: url("cancel"),
            pending: url("pending"),
            expired: url("expired"),
        }),
        shopping_cart: Some(ShoppingCart {
            line_items: vec![LineItem { name: "a b".repeat(30), unit_qty: 1, ..Default::default() }],
        }),
        ..Default::default()
    }
}

/// How callers begin.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Begin {
    /// One after the other, so that they are everywhere between call and answer.
    OneByOne,
    /// At one moment, so that they keep in step: the server has answered all of them when they come again.
    Together,
}

/// What callers saw who called again and again for that long, waiting when they were told to: the times of the calls that
/// were answered, and the number of those that were refused. Within `first` they begin, and nothing is seen yet.
async fn callers(
    clients: &[RedirectServiceClient<Channel>],
    number: usize,
    id: &str,
    begin: Begin,
    first: Duration,
    length: Duration,
) -> (Vec<Duration>, usize) {
    let from = Instant::now() + first;
    let mut callers = JoinSet::new();
    for caller in 0..number {
        let (mut client, query) = (clients[caller % clients.len()].clone(), preview(id));
        callers.spawn(async move {
            let (mut answered, mut refused) = (Vec::new(), 0);
            if begin == Begin::OneByOne {
                tokio::time::sleep(first * caller as u32 / number as u32).await;
            }
            while Instant::now() < from + length {
                let asked = Instant::now();
                match client.preview_redirects(query.clone()).await {
                    Ok(_) if Instant::now() < from => {}
                    Ok(_) => answered.push(asked.elapsed()),
                    Err(status) => {
                        let delay = comes_again(&status, "OVERLOADED").unwrap_or_else(|| panic!("{status:?}"));
                        refused += usize::from(Instant::now() >= from);
                        tokio::time::sleep(delay).await;
                    }
                }
            }
            (answered, refused)
        });
    }
    let (mut answered, mut refused) = (Vec::new(), 0);
    while let Some(caller) = callers.join_next().await {
        let (more, other) = caller.expect("no panic");
        answered.extend(more);
        refused += other;
    }
    answered.sort_unstable();
    (answered, refused)
}

#[tokio::test]
async fn a_server_that_cannot_do_it_all_does_what_it_can_in_time_and_tells_the_others_to_come_again() {
    const SECOND: Duration = Duration::from_secs(1);
    let server = Server::start(&["--workers", "1"]);
    let clients = join_all((0..6).map(|_| server.client())).await;
    let created = clients[0].clone().create_checkout(expensive_checkout()).await.expect("created").into_inner();
    let id = created.session.expect("a session").session_id;
    // Two callers keep it busy.
    let (capacity, refused) = callers(&clients, 2, &id, Begin::Together, Duration::ZERO, SECOND).await;
    assert_eq!(refused, 0);
    let each = SECOND / u32::try_from(capacity.len()).expect("some");
    // Those who keep in step are so few that they have all been answered before the worker counts as late.
    for (begin, number) in [(Begin::OneByOne, 150), (Begin::Together, 40)] {
        let began = Instant::now();
        let health = async {
            let channel = Channel::from_shared(server.url.clone()).expect("a URL").connect().await.expect("connected");
            let mut client = HealthClient::new(channel);
            let mut longest = Duration::ZERO;
            loop {
                let asked = Instant::now();
                let answer = client.check(HealthCheckRequest::default()).await.expect("health is never refused");
                assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
                longest = longest.max(asked.elapsed());
                if began.elapsed() > PATIENCE { return longest } else { tokio::time::sleep(SECOND / 50).await }
            }
        };
        // First it has to be noticed.
        let overload = callers(&clients, number, &id, begin, 2 * SECOND, 3 * SECOND);
        let (answered, refused) = tokio::select! {
            overload = overload => overload,
            longest = health => panic!("the load did not end; health took {longest:?} at most"),
        };
        let median = answered[answered.len() / 2];
        println!(
            "a call takes {each:?}; {number} callers, {begin:?}: {} answered in 3 s, half of them within {median:?}, \
             {refused} refused",
            answered.len()
        );
        assert!(refused > answered.len(), "more is refused than answered");
        assert!(answered.len() > capacity.len(), "it does at least a third of what it can");
        // All callers in one queue would wait for each other.
        assert!(median < each * number as u32 / 3, "{median:?} with {each:?} a call");
        // And when they are gone, nobody is refused any more.
        tokio::time::sleep(SECOND / 2).await;
        let (_, refused) = callers(&clients, 2, &id, Begin::Together, Duration::ZERO, SECOND).await;
        assert_eq!(refused, 0);
    }
}
