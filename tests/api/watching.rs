//! `WatchSession`: the session now, then its changes.

use super::served::{Answers, Client, Refused, Served};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;
use tonic::Code;
use waypost::{redirect::Mode, store::MemoryStore};

/// Longer than anything takes that goes well.
const PATIENCE: Duration = Duration::from_secs(20);

async fn open_session(client: &Client) -> Value {
    let request =
        json!({"merchant_id": "m", "customer_email": "a", "items": [{"price": "1", "currency": "EUR"}], "ttl": "60s"});
    client.ok("CreatePayment", request).await["session"]["sessionId"].clone()
}

async fn watch(client: &Client, id: &Value) -> Answers {
    client.stream("WatchSession", json!({"session_id": id})).await.expect("a watch")
}

/// The outcome of the next answer; empty for an open session.
async fn outcome(answers: &mut Answers) -> String {
    let answer = next(answers).await.expect("not the end").expect("an answer");
    answer["session"]["outcome"].as_str().unwrap_or_default().to_owned()
}

async fn next(answers: &mut Answers) -> Option<Result<Value, Refused>> {
    timeout(PATIENCE, answers.next()).await.expect("in time")
}

async fn record(client: &Client, id: &Value, outcome: &str) {
    client.ok("RecordOutcome", json!({"session_id": id, "outcome": outcome})).await;
}

#[tokio::test]
async fn a_watch_tells_the_session_as_it_is_then_each_change_and_ends_after_success() {
    let served = Served::start();
    let client = served.client();
    let id = open_session(&client).await;
    let mut answers = watch(&client, &id).await;
    assert_eq!(outcome(&mut answers).await, "");
    for change in ["OUTCOME_PENDING", "OUTCOME_FAILURE", "OUTCOME_CANCEL", "OUTCOME_SUCCESS"] {
        record(&client, &id, change).await;
        // Said twice, told once.
        record(&client, &id, change).await;
        assert_eq!(outcome(&mut answers).await, change);
    }
    assert!(next(&mut answers).await.is_none());
    // Whoever comes later misses nothing.
    let mut late = watch(&client, &id).await;
    assert_eq!(outcome(&mut late).await, "OUTCOME_SUCCESS");
    assert!(next(&mut late).await.is_none());
}

#[tokio::test]
async fn a_watch_hears_of_what_other_servers_record() {
    let store = Arc::new(MemoryStore::default());
    let [one, two] = [(); 2].map(|()| Served::start_on(Mode::Production, Arc::clone(&store) as _, None));
    let id = open_session(&one.client()).await;
    let mut answers = watch(&one.client(), &id).await;
    assert_eq!(outcome(&mut answers).await, "");
    record(&two.client(), &id, "OUTCOME_SUCCESS").await;
    assert_eq!(outcome(&mut answers).await, "OUTCOME_SUCCESS");
}

#[tokio::test]
async fn running_out_of_time_is_a_change_that_nobody_has_to_announce() {
    let served = Served::start();
    let client = served.client();
    let id = open_session(&client).await;
    // The clock of the tests stands still unless it is moved: just before the end, and past it while the watch waits.
    served.advance(Duration::from_millis(59_900));
    let mut answers = watch(&client, &id).await;
    assert_eq!(outcome(&mut answers).await, "");
    served.advance(Duration::from_millis(100));
    assert_eq!(outcome(&mut answers).await, "OUTCOME_EXPIRED");
    record(&client, &id, "OUTCOME_SUCCESS").await;
    assert_eq!(outcome(&mut answers).await, "OUTCOME_SUCCESS");
}

#[tokio::test]
async fn who_reads_slowly_gets_the_latest_state_and_not_a_queue() {
    let served = Served::start();
    let client = served.client();
    let id = open_session(&client).await;
    let mut answers = watch(&served.client_with_window(16 * 1_024), &id).await;
    assert_eq!(outcome(&mut answers).await, "");
    // Some 400 bytes each: many times what the window and the server's send buffer hold.
    let status = |number: usize| format!("{number:0>64}");
    for number in 0..3_000 {
        let outcome = if number % 2 == 0 { "OUTCOME_FAILURE" } else { "OUTCOME_CANCEL" };
        let request =
            json!({"session_id": id, "outcome": outcome, "status": status(number), "payment_id": "p".repeat(256)});
        client.ok("RecordOutcome", request).await;
    }
    record(&client, &id, "OUTCOME_SUCCESS").await;
    let (mut last, mut told, mut final_outcome) = (String::new(), 0, Value::Null);
    while let Some(answer) = next(&mut answers).await {
        let session = answer.expect("an answer")["session"].clone();
        let said = session["status"].as_str().unwrap_or_default().to_owned();
        if session["outcome"] != "OUTCOME_SUCCESS" {
            assert!(said > last, "in order");
            last = said;
        }
        final_outcome = session["outcome"].clone();
        told += 1;
    }
    assert_eq!(final_outcome, "OUTCOME_SUCCESS");
    assert!(told < 500, "{told} of 3,001 were kept for it");
}

#[tokio::test]
async fn a_drain_ends_a_watch_and_says_to_call_again() {
    let served = Served::start();
    let client = served.client();
    let id = open_session(&client).await;
    let mut answers = watch(&client, &id).await;
    assert_eq!(outcome(&mut answers).await, "");
    served.stop();
    let refused = next(&mut answers).await.expect("an end with a reason").expect_err("interrupted");
    assert_eq!((refused.code, &*refused.reason), (Code::Unavailable, "WATCH_INTERRUPTED"));
    assert!(refused.retry_after.is_some());
    assert!(next(&mut answers).await.is_none());
}

#[tokio::test]
async fn a_session_that_does_not_exist_cannot_be_watched() {
    let served = Served::start();
    let client = served.client();
    let id = "order_0190a000-0000-7000-8000-000000000000";
    let refused = client.stream("WatchSession", json!({"session_id": id})).await.err().expect("refused");
    assert_eq!((refused.code, &*refused.reason), (Code::NotFound, "SESSION_NOT_FOUND"));
    let refused = client.stream("WatchSession", json!({"session_id": "x"})).await.err().expect("refused");
    assert_eq!((refused.code, &*refused.reason), (Code::InvalidArgument, "INVALID_FIELD"));
}
