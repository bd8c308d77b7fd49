//! A create call may be repeated.

use super::served::Served;
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};
use tonic::Code;

fn payment(key: &str) -> Value {
    json!({
        "merchant_id": "m", "idempotency_key": key, "customer_email": "ana@example.com",
        "items": [{"price": "50", "currency": "USD"}], "metadata": {"b": 1, "a": {"y": [true, null], "x": "s"}},
    })
}

#[tokio::test]
async fn the_same_key_and_content_gives_the_first_response() {
    let served = Served::start();
    let client = served.client();
    let first = client.ok("CreatePayment", payment("k")).await;
    served.advance(Duration::from_secs(60));
    client
        .ok("RecordOutcome", json!({"session_id": first["session"]["sessionId"], "outcome": "OUTCOME_FAILURE"}))
        .await;
    served.advance(Duration::from_secs(60 * 60));
    let mut again = client.ok("CreatePayment", payment("k")).await;
    assert_eq!(again["replayed"], true);
    again.as_object_mut().expect("an object").remove("replayed");
    assert_eq!(again, first);
}

#[tokio::test]
async fn the_same_key_with_other_content_is_refused_and_writes_nothing() {
    let client = Served::start().client();
    let first = client.ok("CreatePayment", payment("k")).await;
    for (pointer, value) in [
        ("customer_email", json!("eve@example.com")),
        ("ttl", json!("3600s")),
        ("metadata", json!({"b": 2})),
        ("redirect_url", json!("https://a.example.com/")),
    ] {
        let mut other = payment("k");
        other[pointer] = value;
        let refused = client.refused("CreatePayment", other).await;
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED"),
            "{pointer}"
        );
    }
    assert_eq!(client.ok("CreatePayment", payment("k")).await["session"], first["session"]);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_before_what_its_key_was_used_for() {
    let client = Served::start().client();
    client.ok("CreatePayment", payment("k")).await;
    let mut wrong = payment("k");
    wrong["customer_email"] = "".into();
    let refused = client.refused("CreatePayment", wrong).await;
    assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
}

#[tokio::test]
async fn keys_belong_to_a_merchant_and_a_method() {
    let client = Served::start().client();
    let first = client.ok("CreatePayment", payment("k")).await;
    let mut other_merchant = payment("k");
    other_merchant["merchant_id"] = "n".into();
    assert_ne!(client.ok("CreatePayment", other_merchant).await["session"]["sessionId"], first["session"]["sessionId"]);
    let order = json!({"merchant_id": "m", "idempotency_key": "k", "type": "online", "total_amount": "1"});
    assert_eq!(client.ok("CreateOrder", order).await["replayed"], Value::Null);
}

#[tokio::test]
async fn without_a_key_every_call_creates() {
    let client = Served::start().client();
    let mut ids = BTreeSet::new();
    for _ in 0..3 {
        ids.insert(client.ok("CreatePayment", payment("")).await["session"]["sessionId"].to_string());
    }
    assert_eq!(ids.len(), 3);
}

#[tokio::test]
async fn a_rejected_request_burns_no_key() {
    let client = Served::start().client();
    let mut bad = payment("k");
    bad["redirect_url"] = "http://a.example.com/".into();
    client.refused("CreatePayment", bad).await;
    assert_eq!(client.ok("CreatePayment", payment("k")).await["replayed"], Value::Null);
}

#[tokio::test]
async fn a_repeated_call_gets_its_answer_though_the_settings_became_stricter() {
    let client = Served::start().client();
    let mut request = payment("k");
    request["redirect_url"] = "https://a.example.com/".into();
    let first = client.ok("CreatePayment", request.clone()).await;
    client
        .ok("UpdateMerchant", json!({"merchant": {"merchant_id": "m", "allowed_origins": ["https://b.example.com"]}}))
        .await;
    let again = client.ok("CreatePayment", request.clone()).await;
    assert_eq!((&again["replayed"], &again["session"]), (&json!(true), &first["session"]));
    request["redirect_url"] = "https://c.example.com/".into();
    assert_eq!(client.refused("CreatePayment", request.clone()).await.code, Code::AlreadyExists);
    request["idempotency_key"] = "other".into();
    assert_eq!(client.refused("CreatePayment", request).await.code, Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_calls_with_one_key_give_one_session() {
    let served = Served::start();
    let calls = (0..64).map(|_| {
        let client = served.client();
        tokio::spawn(async move { client.ok("CreatePayment", payment("k")).await })
    });
    let mut created = 0;
    let mut ids = BTreeSet::new();
    for call in calls.collect::<Vec<_>>() {
        let answer = call.await.expect("an answer");
        created += usize::from(answer["replayed"] != true);
        ids.insert(answer["session"]["sessionId"].to_string());
    }
    assert_eq!((created, ids.len()), (1, 1));
}
