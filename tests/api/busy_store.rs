//! A store that is asked for more than it can do.

use super::{
    awkward::Awkward,
    served::{Client, Served},
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};
use tonic::Code;
use waypost::redirect::Mode;

/// Longer than anything takes that goes well.
const PATIENCE: Duration = Duration::from_secs(20);

fn served() -> (Served, Arc<Awkward>) {
    let store = Arc::new(Awkward::new());
    (Served::start_on(Mode::Production, Arc::clone(&store) as _, None), store)
}

async fn open_session(client: &Client) -> Value {
    let request = json!({"merchant_id": "m", "customer_email": "a", "items": [{"price": "1", "currency": "EUR"}]});
    client.ok("CreatePayment", request).await["session"]["sessionId"].clone()
}

/// Until it was looked into so many times more.
async fn looks(store: &Awkward, more: usize) {
    let all = store.looks() + more;
    let looked = async {
        while store.looks() < all {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, looked).await.expect("somebody looks");
}

#[tokio::test]
async fn who_begins_is_told_to_come_again() {
    let (served, store) = served();
    let client = served.client();
    let id = open_session(&client).await;
    store.set_busy(true);
    for method in ["GetSession", "ResolveRedirect"] {
        let refused = client.refused(method, json!({"session_id": id})).await;
        assert_eq!((refused.code, refused.reason.as_str()), (Code::ResourceExhausted, "OVERLOADED"), "{method}");
        assert_eq!(refused.retry_after, Some(Duration::from_secs(1)), "{method}");
    }
    store.set_busy(false);
    client.ok("GetSession", json!({"session_id": id})).await;
}

#[tokio::test]
async fn who_waits_for_an_outcome_waits_on() {
    let (served, store) = served();
    let (client, waiter) = (served.client(), served.client());
    let id = open_session(&client).await;
    let request = json!({"session_id": id, "wait": "30s"});
    let waiting = tokio::spawn(async move { waiter.ok("ResolveRedirect", request).await });
    // The first look is let in, and answered.
    looks(&store, 2).await;
    store.set_busy(true);
    looks(&store, 3).await;
    store.set_busy(false);
    client.ok("RecordOutcome", json!({"session_id": id, "outcome": "OUTCOME_SUCCESS"})).await;
    let answer = timeout(PATIENCE, waiting).await.expect("at once").expect("an answer");
    assert_eq!(answer["redirect"]["outcome"], "OUTCOME_SUCCESS");
}

#[tokio::test]
async fn nobody_is_sent_away_for_what_was_not_looked_at() {
    let (served, store) = served();
    let (client, waiter) = (served.client(), served.client());
    let id = open_session(&client).await;
    let request = json!({"session_id": id, "wait": "1s"});
    let waiting = tokio::spawn(async move { waiter.refused("ResolveRedirect", request).await });
    looks(&store, 2).await;
    store.set_busy(true);
    let before = store.looks();
    let refused = timeout(PATIENCE, waiting).await.expect("after a second").expect("an answer");
    assert_eq!((refused.code, refused.reason.as_str()), (Code::ResourceExhausted, "OVERLOADED"));
    assert!(store.looks() > before + 1, "it looked again before");
}

#[tokio::test]
async fn who_watches_watches_on() {
    let (served, store) = served();
    let client = served.client();
    let id = open_session(&client).await;
    let mut answers = client.stream("WatchSession", json!({"session_id": id})).await.expect("a watch");
    let first = answers.next().await.expect("not the end").expect("an answer");
    assert_eq!(first["session"]["sessionId"], id);
    store.set_busy(true);
    looks(&store, 3).await;
    store.set_busy(false);
    client.ok("RecordOutcome", json!({"session_id": id, "outcome": "OUTCOME_SUCCESS"})).await;
    let last = timeout(PATIENCE, answers.next()).await.expect("at once").expect("not the end").expect("an answer");
    assert_eq!(last["session"]["outcome"], "OUTCOME_SUCCESS");
}
