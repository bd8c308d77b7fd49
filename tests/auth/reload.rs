//! The credentials file changes while calls are made.

use crate::served::{ADMIN, PATIENCE, Served, admin, entry};
use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::time::timeout;
use tonic::Code;

fn shop(scopes: &str) -> String {
    entry("shop", "[\"m1\"]", scopes)
}

#[tokio::test]
async fn a_change_counts_from_the_next_call_on_and_calls_that_run_meanwhile_are_all_answered() {
    let served = Served::start(&admin());
    let client = served.client().await;
    let session = client.create(ADMIN, "m1").await;
    let over = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (client, over) = (client.clone(), Arc::clone(&over));
            let request = json!({"session_id": session});
            tokio::spawn(async move {
                let mut answered = 0;
                while !over.load(Ordering::Relaxed) {
                    let answer = client.call(ADMIN, "ResolveRedirect", request.clone()).await;
                    assert!(answer.is_ok(), "{:?}", answer.status());
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    let ask = async || client.call("secret-of-shop", "GetSession", json!({"session_id": session})).await.code();
    for _ in 0..20 {
        assert_eq!(ask().await, (Code::Unauthenticated, "UNAUTHENTICATED".into()));
        served.replace_credentials(&(admin() + &shop("[\"create\"]")));
        assert_eq!(ask().await, (Code::PermissionDenied, "PERMISSION_DENIED".into()));
        served.replace_credentials(&(admin() + &shop("[\"read\"]")));
        assert_eq!(ask().await.0, Code::Ok);
        served.replace_credentials(&admin());
    }
    over.store(true, Ordering::Relaxed);
    for load in load {
        assert!(load.await.expect("every call was answered") > 0);
    }
}

#[tokio::test]
async fn a_version_that_cannot_be_used_changes_nothing() {
    let served = Served::start(&(admin() + &shop("[\"read\"]")));
    let client = served.client().await;
    let session = client.create(ADMIN, "m1").await;
    for bad in ["", "[[credential]]", "not toml", &(admin() + "colour = 1\n")] {
        served.replace_credentials(bad);
        let answer = client.call("secret-of-shop", "GetSession", json!({"session_id": session})).await;
        assert!(answer.is_ok(), "after {bad:?}");
    }
    served.replace_credentials(&admin());
    let answer = client.call("secret-of-shop", "GetSession", json!({"session_id": session})).await;
    answer.failed(Code::Unauthenticated, "UNAUTHENTICATED");
}

#[tokio::test]
async fn a_watch_ends_with_its_credential_and_those_of_others_go_on() {
    let served = Served::start(&(admin() + &shop("[\"read\"]")));
    let client = served.client().await;
    let session = client.create(ADMIN, "m1").await;
    let request = json!({"session_id": session});
    let mut watch = client.stream("secret-of-shop", "WatchSession", request.clone()).await;
    let mut admins = client.stream(ADMIN, "WatchSession", request.clone()).await;
    watch.next().await.expect("the session as it is");
    admins.next().await.expect("the session as it is");
    // What changes nothing about the credential does not end it.
    served.replace_credentials(&(shop("[\"read\"]") + &entry("other", "\"all\"", "[\"read\"]") + &admin()));
    client.ok(ADMIN, "RecordOutcome", json!({"session_id": session, "outcome": "OUTCOME_PENDING"})).await;
    watch.next().await.expect("the session after its change");
    admins.next().await.expect("the session after its change");

    served.replace_credentials(&admin());
    let end = timeout(PATIENCE, watch.next()).await.expect("it ends").unwrap_err();
    assert_eq!(end.code(), Code::Unavailable);
    let again = client.call("secret-of-shop", "WatchSession", request).await;
    again.failed(Code::Unauthenticated, "UNAUTHENTICATED");
    client.ok(ADMIN, "RecordOutcome", json!({"session_id": session, "outcome": "OUTCOME_SUCCESS"})).await;
    admins.next().await.expect("the session after its change");
}

#[tokio::test]
async fn a_watch_ends_when_its_credential_expires() {
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(1_500);
    let served = Served::start(&(admin() + &shop("[\"read\"]") + &format!("expires = {soon}\n")));
    let client = served.client().await;
    let session = client.create(ADMIN, "m1").await;
    let request = json!({"session_id": session});
    let mut watch = client.stream("secret-of-shop", "WatchSession", request.clone()).await;
    watch.next().await.expect("the session as it is");
    assert_eq!(watch.next().await.unwrap_err().code(), Code::Unavailable);
    client.call("secret-of-shop", "GetSession", request).await.failed(Code::Unauthenticated, "UNAUTHENTICATED");
}

#[tokio::test]
async fn a_stream_of_resolves_ends_with_its_credential_and_those_of_others_go_on() {
    let served = Served::start(&(admin() + &shop("[\"read\"]")));
    let client = served.client().await;
    let session = client.create(ADMIN, "m1").await;
    let request = json!({"correlation_id": 1, "resolve": {"session_id": session}});
    let (mut shops, mut answers) = client.converse("secret-of-shop", "ResolveRedirects", request.clone()).await;
    let (mut more, mut admins) = client.converse(ADMIN, "ResolveRedirects", request.clone()).await;
    answers.next().await.expect("an answer");
    admins.next().await.expect("an answer");
    // One that waits does not keep it open.
    let waits = json!({"correlation_id": 2, "resolve": {"session_id": session, "wait": "30s"}});
    shops.send_data(client.request("ResolveRedirects", waits), false).expect("sent");

    served.replace_credentials(&admin());
    let end = loop {
        match timeout(PATIENCE, answers.next()).await.expect("it ends") {
            // The one that waited, told so.
            Ok(_) => {}
            Err(end) => break end,
        }
    };
    assert_eq!(end.code(), Code::Unavailable);
    let again = client.call("secret-of-shop", "ResolveRedirects", request.clone()).await;
    again.failed(Code::Unauthenticated, "UNAUTHENTICATED");
    more.send_data(client.request("ResolveRedirects", request), true).expect("a stream that goes on");
    admins.next().await.expect("an answer");
    assert_eq!(admins.next().await.unwrap_err().code(), Code::Ok);
}

#[tokio::test]
async fn a_stream_of_resolves_ends_when_its_credential_expires() {
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(1_500);
    let served = Served::start(&(admin() + &shop("[\"read\"]") + &format!("expires = {soon}\n")));
    let client = served.client().await;
    let session = client.create(ADMIN, "m1").await;
    let request = json!({"resolve": {"session_id": session}});
    let (_requests, mut answers) = client.converse("secret-of-shop", "ResolveRedirects", request).await;
    answers.next().await.expect("an answer");
    assert_eq!(answers.next().await.unwrap_err().code(), Code::Unavailable);
}
