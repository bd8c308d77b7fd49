//! What is repeated, and what is not.

use crate::faulty::{Fault, FaultyServer};
use std::time::Duration;
use tonic::{Code, Status};
use waypost::{
    client::{Error, Retries},
    grpc::status,
    proto::v1::{
        CreatePaymentRequest, ErrorReason, GetMerchantRequest, GetSessionRequest, Merchant, Outcome, PaymentItem,
        RecordOutcomeRequest, ResolveRedirectRequest, UpdateMerchantRequest,
    },
};

pub fn payment() -> CreatePaymentRequest {
    CreatePaymentRequest {
        merchant_id: "m1".into(),
        customer_email: "ana@example.com".into(),
        items: vec![PaymentItem { r#type: "PAYMENT_INTENT".into(), price: "50".into(), currency: "USD".into() }],
        redirect_url: "https://shop.example.com/paid?id={{id}}".into(),
        ..CreatePaymentRequest::default()
    }
}

fn unavailable() -> Fault {
    let text = "the store did not answer: try again";
    let delay = Duration::from_millis(1);
    Fault::Refused(status::retryable(Code::Unavailable, ErrorReason::StoreUnavailable, text, delay))
}

fn overloaded(delay: Duration) -> Fault {
    Fault::Refused(status::retryable(Code::ResourceExhausted, ErrorReason::Overloaded, "too many", delay))
}

fn merchant() -> GetMerchantRequest {
    GetMerchantRequest { merchant_id: "m1".into() }
}

fn update() -> UpdateMerchantRequest {
    let merchant = Merchant { merchant_id: "m1".into(), name: "Ana Books".into(), ..Merchant::default() };
    UpdateMerchantRequest { merchant: Some(merchant), ..UpdateMerchantRequest::default() }
}

#[tokio::test]
async fn a_read_is_repeated_until_it_goes_well_and_the_server_is_told() {
    let server = FaultyServer::start();
    server.fail([unavailable(), Fault::Refused(Status::unavailable("a proxy's own words"))]);
    server.client().get_merchant(merchant()).await.unwrap();
    let seen = server.seen();
    let attempts: Vec<_> = seen.iter().map(|call| call.previous_attempts.as_deref()).collect();
    assert_eq!(attempts, [None, Some("1"), Some("2")]);
    assert!(seen.iter().all(|call| call.timeout.is_some()), "{seen:?}");
}

#[tokio::test]
async fn a_create_whose_answer_is_lost_makes_one_session() {
    let server = FaultyServer::start();
    server.fail([Fault::AnswerLost]);
    let created = server.client().create_payment(payment()).await.unwrap();
    assert!(created.replayed, "the second attempt has the key of the first");
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_key_that_was_given_is_kept() {
    let server = FaultyServer::start();
    let client = server.client();
    let request = CreatePaymentRequest { idempotency_key: "mine".into(), ..payment() };
    let first = client.create_payment(request.clone()).await.unwrap();
    let second = client.create_payment(request).await.unwrap();
    assert_eq!((first.replayed, second.replayed), (false, true));
    let other = client.create_payment(payment()).await.unwrap();
    assert!(!other.replayed, "every create without a key gets one of its own");
}

#[tokio::test]
async fn an_outcome_whose_answer_is_lost_is_recorded() {
    let server = FaultyServer::start();
    let client = server.client();
    let session_id = client.create_payment(payment()).await.unwrap().session.unwrap().session_id;
    server.fail([Fault::AnswerLost]);
    let request =
        RecordOutcomeRequest { session_id, outcome: Outcome::Success.into(), ..RecordOutcomeRequest::default() };
    let recorded = client.record_outcome(request).await.unwrap();
    assert!(!recorded.applied, "the first attempt has applied it");
    assert_eq!(recorded.session.unwrap().outcome(), Outcome::Success);
}

#[tokio::test]
async fn a_server_that_says_when_is_not_asked_earlier() {
    let server = FaultyServer::start();
    let delay = Duration::from_millis(300);
    server.fail([overloaded(delay)]);
    server.client().get_merchant(merchant()).await.unwrap();
    let [first, second] = &server.seen()[..] else { panic!("two attempts") };
    assert!(second.at.duration_since(first.at) >= delay);
}

#[tokio::test]
async fn a_delay_that_does_not_fit_into_the_deadline_is_not_waited_for() {
    let server = FaultyServer::start();
    server.fail([overloaded(Duration::from_secs(3600))]);
    let error = server.client().get_merchant(merchant()).await.unwrap_err();
    assert_eq!(error.reason(), Some(ErrorReason::Overloaded));
    assert_eq!(error.retry_delay(), Some(Duration::from_secs(3600)));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn attempts_are_bounded_and_the_servers_own_words_come_through() {
    let server = FaultyServer::start();
    server.fail((0..10).map(|_| unavailable()));
    let error = server.client().get_merchant(merchant()).await.unwrap_err();
    assert_eq!(error.reason(), Some(ErrorReason::StoreUnavailable));
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn what_cannot_go_well_is_asked_once_and_says_why() {
    let server = FaultyServer::start();
    let client = server.client();
    let wrong = CreatePaymentRequest { customer_email: String::new(), items: Vec::new(), ..payment() };
    let error = client.create_payment(wrong).await.unwrap_err();
    assert_eq!(error.reason(), Some(ErrorReason::InvalidField));
    let fields: Vec<_> = error.violations().iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["customer_email", "items"]);
    let nobody = "order_01986132-e354-7676-9b4a-fc8dd5c5253e".to_owned();
    let error = client.get_session(GetSessionRequest { session_id: nobody }).await.unwrap_err();
    assert_eq!(error.reason(), Some(ErrorReason::SessionNotFound));
    assert_eq!(error.code(), Code::NotFound);
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn an_update_is_repeated_only_when_it_was_not_begun() {
    let server = FaultyServer::start();
    let client = server.client();
    server.fail([unavailable()]);
    let error = client.update_merchant(update()).await.unwrap_err();
    assert_eq!(error.reason(), Some(ErrorReason::StoreUnavailable));
    assert_eq!(server.seen().len(), 1);
    server.fail([overloaded(Duration::from_millis(1))]);
    client.update_merchant(update()).await.unwrap();
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn retries_can_be_left_to_the_caller() {
    let server = FaultyServer::start();
    server.fail([unavailable()]);
    let client = server.options().retries(Retries::OFF).open().unwrap();
    client.get_merchant(merchant()).await.unwrap_err();
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn the_deadline_is_for_all_attempts_together() {
    let server = FaultyServer::start();
    server.fail((0..10).map(|_| Fault::Silence));
    let deadline = Duration::from_millis(250);
    let client = server.options().deadline(deadline).attempt(Duration::from_millis(100)).open().unwrap();
    let error = client.get_merchant(merchant()).await.unwrap_err();
    assert!(matches!(error, Error::OutOfTime { within, .. } if within == deadline), "{error:?}");
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert!(server.seen().len() >= 2);
}

#[tokio::test]
async fn a_wait_comes_on_top_of_the_deadline() {
    let server = FaultyServer::start();
    let client = server.options().deadline(Duration::from_secs(5)).attempt(Duration::from_secs(5)).open().unwrap();
    let session_id = client.create_payment(payment()).await.unwrap().session.unwrap().session_id;
    server.seen();
    let wait = Some(prost_types::Duration { seconds: 20, nanos: 0 });
    let waiting = client.resolve_redirect(ResolveRedirectRequest {
        session_id: session_id.clone(),
        wait,
        ..ResolveRedirectRequest::default()
    });
    let recording = async {
        let request =
            RecordOutcomeRequest { session_id, outcome: Outcome::Success.into(), ..RecordOutcomeRequest::default() };
        client.record_outcome(request).await
    };
    let (answer, recorded) = tokio::join!(waiting, recording);
    recorded.unwrap();
    assert_eq!(answer.unwrap().redirect.unwrap().outcome(), Outcome::Success);
    let seen = server.seen();
    let resolve = seen.iter().find(|call| call.path.ends_with("/ResolveRedirect")).unwrap();
    let timeout = resolve.timeout.as_deref().unwrap();
    let micros: u64 = timeout.strip_suffix('u').expect("tonic counts it in microseconds").parse().unwrap();
    assert!((20_000_000..=25_000_000).contains(&micros), "{timeout}");
}
