//! What belongs to another merchant is, byte for byte and in time, as if it were not there.

use crate::served::{ADMIN, Served, admin, entry, payment};
use serde_json::json;
use std::time::{Duration, Instant};
use tonic::Code;

const SHOP: &str = "secret-of-shop";

/// An id of the same kind that nobody was given.
const NOBODYS: &str = "invoice_01986132-e354-7676-9b4a-fc8dd5c5253e";

fn shop() -> String {
    admin() + &entry("shop", "[\"m1\"]", "[\"admin\"]")
}

#[tokio::test]
async fn a_session_of_another_merchant_is_an_unknown_one() {
    let served = Served::start(&shop());
    let client = served.client().await;
    let theirs = client.create(ADMIN, "m2").await;
    for outcome in [None, Some("OUTCOME_PENDING"), Some("OUTCOME_SUCCESS")] {
        if let Some(outcome) = outcome {
            client.ok(ADMIN, "RecordOutcome", json!({"session_id": theirs, "outcome": outcome})).await;
        }
        for (method, more) in [
            ("GetSession", json!({})),
            ("RecordOutcome", json!({"outcome": "OUTCOME_FAILURE", "payment_id": "1"})),
            ("ResolveRedirect", json!({})),
            ("ResolveRedirect", json!({"outcome": "OUTCOME_SUCCESS", "explain": true})),
            ("ResolveRedirect", json!({"wait": "30s"})),
            ("WatchSession", json!({})),
            ("PreviewRedirects", json!({})),
        ] {
            let ask = async |id: &str| {
                let mut request = more.clone();
                request["session_id"] = id.into();
                client.call(SHOP, method, request).await
            };
            let (absent, theirs) = (ask(NOBODYS).await, ask(&theirs).await);
            absent.failed(Code::NotFound, "SESSION_NOT_FOUND");
            assert_eq!(theirs, absent, "{method} {more}");
        }
    }
    let session = client.ok(ADMIN, "GetSession", json!({"session_id": theirs})).await;
    assert_eq!(session["session"]["outcome"], "OUTCOME_SUCCESS", "and nothing was written to it");
}

#[tokio::test]
async fn in_a_stream_a_session_of_another_merchant_is_an_unknown_one_and_those_of_the_caller_are_answered() {
    let served = Served::start(&shop());
    let client = served.client().await;
    let theirs = client.create(ADMIN, "m2").await;
    client.ok(ADMIN, "RecordOutcome", json!({"session_id": theirs, "outcome": "OUTCOME_SUCCESS"})).await;
    for resolve in [json!({}), json!({"outcome": "OUTCOME_SUCCESS", "explain": true}), json!({"wait": "30s"})] {
        let ask = async |id: &str| {
            let mut request = json!({"correlation_id": 3, "resolve": resolve});
            request["resolve"]["session_id"] = id.into();
            client.call(SHOP, "ResolveRedirects", request).await
        };
        let (absent, theirs) = (ask(NOBODYS).await, ask(&theirs).await);
        assert!(absent.is_ok() && !absent.body.is_empty(), "{absent:?}");
        assert_eq!(theirs, absent, "{resolve}");
    }
    let own = client.create(SHOP, "m1").await;
    let answer = client.ok(SHOP, "ResolveRedirects", json!({"resolve": {"session_id": own}})).await;
    assert_eq!(answer["redirect"]["outcome"], "OUTCOME_CANCEL");
}

#[tokio::test]
async fn a_return_to_another_merchant_has_a_verdict_and_no_session() {
    let served = Served::start(&shop());
    let client = served.client().await;
    for merchant in ["m1", "m2"] {
        let settings = json!({"merchant_id": merchant, "sign_returns": true});
        client.ok(ADMIN, "UpdateMerchant", json!({"merchant": settings})).await;
        let session = client.create(ADMIN, merchant).await;
        let resolve = json!({"session_id": session, "outcome": "OUTCOME_SUCCESS"});
        let url = client.ok(ADMIN, "ResolveRedirect", resolve).await["redirect"]["url"].clone();
        let verify = json!({"merchant_id": merchant, "url": url});
        let all = client.ok(ADMIN, "VerifyReturn", verify.clone()).await;
        assert_eq!((&all["verdict"], &all["session"]["sessionId"]), (&json!("VERDICT_VALID"), &json!(session)));
        let seen = client.ok(SHOP, "VerifyReturn", verify).await;
        assert_eq!((&seen["verdict"], &seen["claims"]), (&all["verdict"], &all["claims"]));
        assert_eq!(seen.get("session").is_some(), merchant == "m1", "{seen}");
    }
}

#[tokio::test]
async fn waiting_for_another_merchants_session_ends_at_once() {
    let served = Served::start(&shop());
    let client = served.client().await;
    let theirs = client.create(ADMIN, "m2").await;
    let began = Instant::now();
    for id in [NOBODYS, &theirs] {
        client.call(SHOP, "ResolveRedirect", json!({"session_id": id, "wait": "30s"})).await;
        client.call(SHOP, "WatchSession", json!({"session_id": id})).await;
    }
    assert!(began.elapsed() < Duration::from_secs(15), "waited {:?}", began.elapsed());
}

#[tokio::test]
async fn the_settings_of_another_merchant_are_those_of_one_that_was_never_written() {
    let ask = async |merchant_was_written: &str| {
        let served = Served::start(&shop());
        let client = served.client().await;
        let change = json!({"merchant": {"merchant_id": merchant_was_written, "name": "N", "app_schemes": ["nn"]}});
        client.ok(ADMIN, "UpdateMerchant", change).await;
        client.call(SHOP, "GetMerchant", json!({"merchant_id": "m2"})).await
    };
    let written = ask("m2").await;
    assert!(written.is_ok());
    assert_eq!(written, ask("another").await);
}

#[tokio::test]
async fn what_is_denied_for_another_merchant_does_not_tell_whether_it_exists_or_has_that_key() {
    let served = Served::start(&shop());
    let client = served.client().await;
    let with_key = |merchant: &str| {
        let mut request = payment(merchant);
        request["idempotency_key"] = "k1".into();
        request
    };
    client.ok(ADMIN, "CreatePayment", with_key("m2")).await;
    client.ok(ADMIN, "UpdateMerchant", json!({"merchant": {"merchant_id": "m2", "name": "N"}})).await;
    for (method, theirs, nobodys) in [
        ("CreatePayment", with_key("m2"), with_key("m9")),
        ("PreviewRedirects", json!({"create_payment": with_key("m2")}), json!({"create_payment": with_key("m9")})),
        (
            "UpdateMerchant",
            json!({"merchant": {"merchant_id": "m2", "name": "X", "etag": "v0"}}),
            json!({"merchant": {"merchant_id": "m9", "name": "X", "etag": "v0"}}),
        ),
    ] {
        let (theirs, nobodys) = (client.call(SHOP, method, theirs).await, client.call(SHOP, method, nobodys).await);
        theirs.failed(Code::PermissionDenied, "PERMISSION_DENIED");
        assert_eq!(theirs, nobodys, "{method}");
    }
    // Its own key of the same name is another key.
    assert!(client.call(SHOP, "CreatePayment", with_key("m1")).await.is_ok());
}
