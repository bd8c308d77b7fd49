//! `wait`: the buyer is back before the provider's notification.

use super::served::{Client, Served};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Longer than anything takes that goes well.
const PATIENCE: Duration = Duration::from_secs(20);

async fn open_session(client: &Client) -> Value {
    let request = json!({"merchant_id": "m", "customer_email": "a", "items": [{"price": "1", "currency": "EUR"}], "redirect_url": "https://a.example.com/{{kind}}"});
    client.ok("CreatePayment", request).await["session"]["sessionId"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_call_returns_as_soon_as_the_outcome_is_recorded_from_any_worker() {
    let served = Served::start();
    for _ in 0..20 {
        let id = open_session(&served.client()).await;
        // Each client has a connection of its own, and connections are dealt to the workers in turn.
        let waiting: Vec<_> = (0..4)
            .map(|_| {
                let (client, id) = (served.client(), id.clone());
                tokio::spawn(
                    async move { client.ok("ResolveRedirect", json!({"session_id": id, "wait": "30s"})).await },
                )
            })
            .collect();
        served.client().ok("RecordOutcome", json!({"session_id": id, "outcome": "OUTCOME_SUCCESS"})).await;
        for call in waiting {
            let answer = timeout(PATIENCE, call).await.expect("well before 30 s").expect("an answer");
            assert_eq!(answer["redirect"]["outcome"], "OUTCOME_SUCCESS");
        }
    }
}

#[tokio::test]
async fn waiting_ends_after_its_time_and_before_the_deadline() {
    let served = Served::start();
    let client = served.client();
    let id = open_session(&client).await;
    let began = Instant::now();
    let answer = client.ok("ResolveRedirect", json!({"session_id": id, "wait": "0.2s"})).await;
    assert_eq!(answer["redirect"]["outcome"], "OUTCOME_CANCEL");
    assert!(began.elapsed() >= Duration::from_millis(200));
    // The deadline comes first, and the caller gets its answer all the same.
    let request = json!({"session_id": id, "wait": "30s"});
    let answer = client.call_within("ResolveRedirect", request, Duration::from_millis(700)).await;
    assert_eq!(answer.expect("an answer before the deadline")["redirect"]["outcome"], "OUTCOME_CANCEL");
}

#[tokio::test]
async fn with_an_outcome_recorded_or_given_nothing_is_waited_for() {
    let served = Served::start();
    let client = served.client();
    let id = open_session(&client).await;
    let given = client.ok("ResolveRedirect", json!({"session_id": id, "wait": "30s", "outcome": "OUTCOME_PENDING"}));
    assert_eq!(timeout(PATIENCE, given).await.expect("at once")["redirect"]["outcome"], "OUTCOME_PENDING");
    client.ok("RecordOutcome", json!({"session_id": id, "outcome": "OUTCOME_FAILURE"})).await;
    let recorded = client.ok("ResolveRedirect", json!({"session_id": id, "wait": "30s"}));
    assert_eq!(timeout(PATIENCE, recorded).await.expect("at once")["redirect"]["outcome"], "OUTCOME_FAILURE");
}

#[tokio::test]
async fn a_session_that_has_run_out_is_not_waited_for() {
    let served = Served::start();
    let client = served.client();
    let id = open_session(&client).await;
    served.advance(Duration::from_secs(25 * 60 * 60));
    let expired = client.ok("ResolveRedirect", json!({"session_id": id, "wait": "30s"}));
    assert_eq!(timeout(PATIENCE, expired).await.expect("at once")["redirect"]["outcome"], "OUTCOME_EXPIRED");
}
