//! `ResolveRedirects`: many resolves over one stream, each answered by itself.

use super::{
    awkward::{Awkward, BROKEN, BROKEN_IN_MEMORY, SLOW},
    peer::{self, DATA, END_HEADERS, HEADERS, Peer},
    served::Served,
};
use prost::Message;
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, Streaming, transport::Channel};
use tonic_types::StatusExt;
use waypost::{
    proto::v1::{
        Outcome, RecordOutcomeRequest, Redirect, ResolveError, ResolveRedirectRequest, ResolveRedirectsRequest,
        ResolveRedirectsResponse, redirect_service_client::RedirectServiceClient, resolve_redirects_response::Answer,
    },
    redirect::Mode,
};

/// Longer than anything takes that goes well.
const PATIENCE: Duration = Duration::from_secs(20);

/// Nobody was given it.
const UNKNOWN: &str = "order_0190a000-0000-7000-8000-000000000000";

/// One call: what it asks, and what it is answered.
struct Asking {
    requests: mpsc::Sender<ResolveRedirectsRequest>,
    answers: Streaming<ResolveRedirectsResponse>,
}

async fn connect(served: &Served) -> RedirectServiceClient<Channel> {
    RedirectServiceClient::connect(format!("http://{}", served.addr)).await.expect("a connection")
}

impl Asking {
    async fn begin(served: &Served) -> Self {
        Self::begin_within(served, None).await
    }

    async fn begin_within(served: &Served, deadline: Option<Duration>) -> Self {
        let (requests, asked) = mpsc::channel(1);
        let mut call = Request::new(ReceiverStream::new(asked));
        if let Some(deadline) = deadline {
            call.set_timeout(deadline);
        }
        let answers = connect(served).await.resolve_redirects(call).await.expect("a stream").into_inner();
        Self { requests, answers }
    }

    async fn ask(&self, correlation_id: u64, resolve: ResolveRedirectRequest) {
        let request = ResolveRedirectsRequest { correlation_id, resolve: Some(resolve) };
        timeout(PATIENCE, self.requests.send(request)).await.expect("read").expect("a stream that goes on");
    }

    async fn next(&mut self) -> Result<Option<(u64, Answer)>, Status> {
        let response = timeout(PATIENCE, self.answers.message()).await.expect("in time")?;
        Ok(response.map(|response| (response.correlation_id, response.answer.expect("an answer"))))
    }

    async fn answer(&mut self) -> (u64, Answer) {
        self.next().await.expect("no error").expect("no end")
    }

    /// No more is asked: the rest of the answers.
    async fn rest(mut self) -> Vec<(u64, Answer)> {
        drop(self.requests);
        let mut answers = Vec::new();
        while let Some(response) = timeout(PATIENCE, self.answers.message()).await.expect("in time").expect("no error")
        {
            answers.push((response.correlation_id, response.answer.expect("an answer")));
        }
        answers
    }
}

fn resolve(session_id: &str) -> ResolveRedirectRequest {
    ResolveRedirectRequest { session_id: session_id.into(), ..ResolveRedirectRequest::default() }
}

fn waiting(session_id: &str) -> ResolveRedirectRequest {
    let wait = Some(prost_types::Duration { seconds: 30, nanos: 0 });
    ResolveRedirectRequest { wait, ..resolve(session_id) }
}

fn redirect(answer: Answer) -> Redirect {
    match answer {
        Answer::Redirect(redirect) => redirect,
        Answer::Error(error) => panic!("{}", error.message),
    }
}

fn error(answer: Answer) -> ResolveError {
    match answer {
        Answer::Error(error) => error,
        Answer::Redirect(redirect) => panic!("{redirect:?}"),
    }
}

/// The code and the reason.
fn reason(error: &ResolveError) -> (Code, String) {
    let status = Status::with_details(error.code.into(), "", error.encode_to_vec().into());
    (status.code(), status.get_details_error_info().expect("an ErrorInfo").reason)
}

fn status_reason(status: &Status) -> (Code, String) {
    (status.code(), status.get_details_error_info().expect("an ErrorInfo").reason)
}

async fn open_session(served: &Served) -> String {
    let request = json!({
        "merchant_id": "m", "customer_email": "a", "items": [{"price": "1", "currency": "EUR"}],
        "redirect_url": "https://a.example.com/{{id}}?s={{status}}&x={{metadata.x}}"
    });
    let created = served.client().ok("CreatePayment", request).await;
    created["session"]["sessionId"].as_str().expect("an id").to_owned()
}

async fn record(served: &Served, session_id: &str, outcome: Outcome) {
    let request = RecordOutcomeRequest { session_id: session_id.into(), outcome: outcome.into(), ..Default::default() };
    connect(served).await.record_outcome(request).await.expect("recorded");
}

#[tokio::test]
async fn every_request_gets_the_answer_of_the_unary_call_with_its_own_id() {
    let served = Served::start();
    let mut client = connect(&served).await;
    let mut questions = BTreeMap::new();
    for (number, outcome) in
        [Outcome::Success, Outcome::Failure, Outcome::Pending].into_iter().cycle().take(30).enumerate()
    {
        let id = open_session(&served).await;
        record(&served, &id, outcome).await;
        let explain = number % 2 == 0;
        // Any number will do as an id.
        let correlation_id = (number as u64).wrapping_sub(1).wrapping_mul(u64::MAX / 3);
        questions.insert(correlation_id, ResolveRedirectRequest { explain, status: "über".into(), ..resolve(&id) });
    }
    let asking = Asking::begin(&served).await;
    for (id, question) in &questions {
        asking.ask(*id, question.clone()).await;
    }
    let answers: BTreeMap<_, _> = asking.rest().await.into_iter().collect();
    assert_eq!(answers.len(), questions.len());
    for (id, question) in questions {
        let unary = client.resolve_redirect(question).await.expect("an answer").into_inner();
        assert_eq!(redirect(answers[&id].clone()), unary.redirect.expect("a redirect"));
    }
}

#[tokio::test]
async fn what_is_wrong_with_one_request_is_told_as_the_unary_call_tells_it_and_the_stream_goes_on() {
    let served = Served::start();
    let mut client = connect(&served).await;
    let good = open_session(&served).await;
    let mut asking = Asking::begin(&served).await;
    for (bad, expected) in [
        (resolve(UNKNOWN), Code::NotFound),
        (resolve(""), Code::InvalidArgument),
        (resolve("nonsense"), Code::InvalidArgument),
        (ResolveRedirectRequest { outcome: 99, payment_id: "p".repeat(300), ..resolve("x") }, Code::InvalidArgument),
        (ResolveRedirectRequest { status: "\n".into(), ..waiting(&good) }, Code::InvalidArgument),
        (waiting(UNKNOWN), Code::NotFound),
    ] {
        let unary = client.resolve_redirect(bad.clone()).await.expect_err("an error");
        assert_eq!(unary.code(), expected, "{bad:?}");
        asking.ask(1, bad).await;
        asking.ask(2, resolve(&good)).await;
        let (id, answer) = asking.answer().await;
        let error = error(answer);
        assert_eq!((id, &*error.message, Code::from(error.code)), (1, unary.message(), unary.code()));
        assert_eq!(error.encode_to_vec(), unary.details(), "the same bytes");
        let (id, answer) = asking.answer().await;
        assert_eq!((id, redirect(answer).outcome()), (2, Outcome::Cancel));
    }
    let empty = ResolveRedirectsRequest { correlation_id: 7, resolve: None };
    asking.requests.send(empty).await.expect("a stream that goes on");
    let (id, answer) = asking.answer().await;
    let told = error(answer);
    assert_eq!((id, reason(&told)), (7, (Code::InvalidArgument, "INVALID_FIELD".into())));
    assert_eq!(told.message, "resolve is missing: write what to decide, at least its session_id");
    assert!(asking.rest().await.is_empty());
}

#[tokio::test]
async fn a_request_that_waits_holds_up_none_behind_it_and_is_answered_when_its_outcome_comes() {
    let served = Served::start();
    let (late, other) = (open_session(&served).await, open_session(&served).await);
    let mut asking = Asking::begin(&served).await;
    // More than may be in progress without waiting.
    for id in 0..200 {
        asking.ask(id, waiting(&late)).await;
    }
    for id in 1_000..2_000 {
        asking.ask(id, resolve(&other)).await;
        assert_eq!(asking.answer().await.0, id);
    }
    record(&served, &late, Outcome::Success).await;
    let answers = asking.rest().await;
    assert_eq!(answers.iter().map(|(id, _)| *id).collect::<BTreeSet<_>>(), (0..200).collect());
    assert_eq!(answers.len(), 200, "each once");
    assert!(answers.into_iter().all(|(_, answer)| redirect(answer).outcome() == Outcome::Success));
}

#[tokio::test]
async fn more_that_wait_than_the_stream_takes_are_refused_alone() {
    let served = Served::start();
    let (late, other) = (open_session(&served).await, open_session(&served).await);
    let mut asking = Asking::begin(&served).await;
    for id in 0..1_024 {
        asking.ask(id, waiting(&late)).await;
    }
    asking.ask(5_000, waiting(&late)).await;
    let (id, answer) = asking.answer().await;
    let refused = error(answer);
    assert_eq!((id, reason(&refused)), (5_000, (Code::ResourceExhausted, "OVERLOADED".into())));
    assert!(refused.details.iter().any(|detail| detail.type_url.ends_with("google.rpc.RetryInfo")));
    asking.ask(6_000, resolve(&other)).await;
    assert_eq!(asking.answer().await.0, 6_000);
    record(&served, &late, Outcome::Pending).await;
    // Their places are free again.
    for _ in 0..1_024 {
        assert_eq!(redirect(asking.answer().await.1).outcome(), Outcome::Pending);
    }
    let late = open_session(&served).await;
    asking.ask(7_000, waiting(&late)).await;
    record(&served, &late, Outcome::Failure).await;
    assert_eq!(redirect(asking.answer().await.1).outcome(), Outcome::Failure);
}

#[tokio::test]
async fn a_drain_answers_what_was_read_and_says_to_call_again() {
    let served = Served::start();
    let (late, other) = (open_session(&served).await, open_session(&served).await);
    let mut asking = Asking::begin(&served).await;
    asking.ask(1, waiting(&late)).await;
    asking.ask(2, resolve(&other)).await;
    assert_eq!(asking.answer().await.0, 2);
    served.stop();
    let (id, answer) = asking.answer().await;
    assert_eq!((id, reason(&error(answer))), (1, (Code::Unavailable, "RESOLVES_INTERRUPTED".into())));
    let end = asking.next().await.expect_err("interrupted");
    assert_eq!(status_reason(&end), (Code::Unavailable, "RESOLVES_INTERRUPTED".into()));
    assert!(end.get_details_retry_info().is_some());
}

#[tokio::test]
async fn a_stream_that_is_busy_drains_too_and_answers_nothing_twice() {
    let served = Served::start();
    let id = open_session(&served).await;
    let Asking { requests, mut answers } = Asking::begin(&served).await;
    let question = resolve(&id);
    let asked = tokio::spawn(async move {
        let mut asked = 0;
        while requests
            .send(ResolveRedirectsRequest { correlation_id: asked, resolve: Some(question.clone()) })
            .await
            .is_ok()
        {
            asked += 1;
        }
        asked
    });
    let mut answered = BTreeSet::new();
    let end = loop {
        match timeout(PATIENCE, answers.message()).await.expect("in time") {
            Ok(Some(response)) => {
                redirect(response.answer.expect("an answer"));
                assert!(answered.insert(response.correlation_id), "answered twice");
                if answered.len() == 2_000 {
                    served.stop();
                }
            }
            Ok(None) => panic!("ended well"),
            Err(status) => break status,
        }
    };
    assert_eq!(status_reason(&end), (Code::Unavailable, "RESOLVES_INTERRUPTED".into()));
    // In the order in which they were read, without a gap: nothing that was read was lost.
    assert_eq!(answered.last().map(|last| *last as usize + 1), Some(answered.len()));
    drop(answers);
    assert!(asked.await.expect("the asking task") >= answered.len() as u64);
}

#[tokio::test]
async fn who_does_not_read_is_not_read_from() {
    let served = Served::start();
    let id = open_session(&served).await;
    let asking = Asking::begin(&served).await;
    let request = ResolveRedirectsRequest { correlation_id: 1, resolve: Some(resolve(&id)) };
    let mut accepted = 0;
    // Until nobody takes the next one: the windows and buffers of both sides are full.
    while let Ok(sent) = timeout(Duration::from_secs(1), asking.requests.send(request.clone())).await {
        sent.expect("a stream that goes on");
        accepted += 1;
        assert!(accepted < 100_000, "answers are kept without a bound");
    }
    // All of it is answered once it is read.
    assert_eq!(asking.rest().await.len(), accepted);
}

#[tokio::test]
async fn many_requests_that_come_together_are_answered_in_parts_so_that_the_caller_has_some_of_them_early() {
    const TOGETHER: u64 = 64;
    let served = Served::start();
    let mut peer = Peer::greeting(served.addr, &[]).await;
    let head = peer::head("/waypost.v1.RedirectService/ResolveRedirects");
    peer.say(&peer::frame(HEADERS, END_HEADERS, 1, &head)).await.expect("said");
    let requests = (0..TOGETHER).flat_map(|correlation_id| {
        let resolve = Some(resolve(UNKNOWN));
        peer::message(&ResolveRedirectsRequest { correlation_id, resolve })
    });
    let requests: Vec<u8> = requests.collect();
    let mut parts = Vec::new();
    // How many come together is known from the first time on.
    for _ in 0..3 {
        peer.say(&peer::frame(DATA, 0, 1, &requests)).await.expect("said");
        let mut answers = Vec::new();
        while answers.iter().sum::<usize>() < TOGETHER as usize {
            let (kind, _, _, payload) = timeout(PATIENCE, peer.hear()).await.expect("in time").expect("a frame");
            if kind == DATA {
                answers.push(messages(&payload));
            }
        }
        parts.push(answers);
    }
    assert_eq!(parts, [vec![64], vec![32, 32], vec![32, 32]]);
}

/// How many messages a frame consists of.
fn messages(mut frame: &[u8]) -> usize {
    let mut number = 0;
    while let [_, a, b, c, d, rest @ ..] = frame {
        frame = &rest[u32::from_be_bytes([*a, *b, *c, *d]) as usize..];
        number += 1;
    }
    number
}

#[tokio::test]
async fn the_callers_deadline_ends_the_stream_and_waiting_before_it() {
    let served = Served::start();
    let id = open_session(&served).await;
    let mut asking = Asking::begin_within(&served, Some(Duration::from_millis(1_500))).await;
    asking.ask(1, waiting(&id)).await;
    let (answered, answer) = asking.answer().await;
    assert_eq!((answered, redirect(answer).outcome()), (1, Outcome::Cancel));
    let end = asking.next().await.expect_err("exceeded");
    assert_eq!(end.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn what_is_no_request_ends_the_stream_after_what_was_read_is_answered() {
    let served = Served::start();
    let id = open_session(&served).await;
    let good = ResolveRedirectsRequest { correlation_id: 1, resolve: Some(resolve(&id)) }.encode_to_vec();
    for (bad, code, reason) in [
        (vec![0xff; 8], Code::InvalidArgument, "MALFORMED_MESSAGE"),
        (vec![0; 256 * 1024 + 1], Code::ResourceExhausted, "MESSAGE_TOO_LARGE"),
    ] {
        let mut answers = served.client().converse("ResolveRedirects", vec![good.clone(), bad, good.clone()]).await;
        let first = answers.next().await.expect("an answer").expect("an answer");
        assert_eq!(first["correlationId"], "1");
        let refused = answers.next().await.expect("an end with a reason").expect_err("refused");
        assert_eq!((refused.code, &*refused.reason), (code, reason));
        assert!(answers.next().await.is_none());
    }
}

#[tokio::test]
async fn more_streams_than_the_server_takes_are_refused() {
    let served = Served::start();
    let mut streams = Vec::new();
    for _ in 0..256 {
        streams.push(Asking::begin(&served).await);
    }
    let refused = connect(&served).await.resolve_redirects(tokio_stream::pending()).await.expect_err("refused");
    assert_eq!(status_reason(&refused), (Code::ResourceExhausted, "OVERLOADED".into()));
    drop(streams.pop());
    // The server hears of it some time later.
    let again = async { while connect(&served).await.resolve_redirects(tokio_stream::pending()).await.is_err() {} };
    timeout(PATIENCE, again).await.expect("its place is free again");
}

fn awkward() -> (Served, Arc<Awkward>) {
    let store = Arc::new(Awkward::new());
    (Served::start_on(Mode::Production, Arc::clone(&store) as _, None), store)
}

#[tokio::test]
async fn a_request_that_panics_is_an_internal_error_of_that_request_alone() {
    let (served, _) = awkward();
    let good = open_session(&served).await;
    let asking = Asking::begin(&served).await;
    asking.ask(1, resolve(BROKEN)).await;
    asking.ask(2, resolve(BROKEN_IN_MEMORY)).await;
    asking.ask(3, resolve(&good)).await;
    let answers = asking.rest().await;
    let [(1, broken), (2, broken_in_memory), (3, answered)] = &answers[..] else { panic!("{answers:?}") };
    for broken in [broken, broken_in_memory] {
        assert_eq!(reason(&error(broken.clone())), (Code::Internal, "INTERNAL".into()));
    }
    redirect(answered.clone());
}

#[tokio::test]
async fn a_slow_store_is_asked_so_many_things_at_once_and_each_has_its_own_time() {
    let (served, store) = awkward();
    let asking = Asking::begin(&served).await;
    for id in 0..100 {
        asking.ask(id, resolve(SLOW)).await;
    }
    timeout(PATIENCE, async {
        while store.loading() < 64 {
            tokio::task::yield_now().await
        }
    })
    .await
    .expect("all that may");
    // A call comes and goes, and no more are begun.
    open_session(&served).await;
    assert_eq!(store.loading(), 64);
    // They are given up after their 5 s, the other 36 are read only then.
    let Asking { requests: _requests, mut answers } = asking;
    for _ in 0..64 {
        let response = timeout(PATIENCE, answers.message()).await.expect("in time").expect("no error").expect("no end");
        assert!(response.correlation_id < 64);
        let told = error(response.answer.expect("an answer"));
        assert_eq!(reason(&told), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".into()));
    }
}
