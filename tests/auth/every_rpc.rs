//! Every RPC with every kind of credential. Which scope allows what is said here once more, independently of the table
//! in the code; a new RPC fails here until it has its line.

use crate::served::{ADMIN, Answer, Client, Served, admin, entry, payment};
use prost::Message;
use serde_json::{Value, json};
use tonic::Code;
use waypost::proto::v1::{ResolveRedirectsResponse, resolve_redirects_response::Answer as InAnswer};

const SCOPES: [&str; 4] = ["create", "record", "read", "merchant"];

/// How a method sees what belongs to a merchant that its caller does not act for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Others {
    /// It is not there.
    Absent,
    /// It is not there, as the answer to one request of a stream says.
    AbsentInAnswer,
    /// It has the defaults.
    Defaults,
    /// It tells what everybody can find out by the public keys.
    Verdict,
    /// It says that the caller does not act for it.
    Denied,
}

/// The scopes that allow a method, how it sees other merchants, and a request about a merchant and a session of it.
fn about(method: &str, merchant: &str, session: &str) -> (&'static [&'static str], Others, Value) {
    match method {
        "CreateCheckout" => (&["create"], Others::Denied, checkout(merchant)),
        "CreateOrder" => (&["create"], Others::Denied, order(merchant)),
        "CreatePayment" => (&["create"], Others::Denied, payment(merchant)),
        "GetSession" => (&["read"], Others::Absent, json!({"session_id": session})),
        "RecordOutcome" => (&["record"], Others::Absent, json!({"session_id": session, "outcome": "OUTCOME_FAILURE"})),
        "ResolveRedirect" => (&["read"], Others::Absent, json!({"session_id": session, "wait": "10s"})),
        "ResolveRedirects" => {
            (&["read"], Others::AbsentInAnswer, json!({"correlation_id": 7, "resolve": {"session_id": session}}))
        }
        "WatchSession" => (&["read"], Others::Absent, json!({"session_id": session})),
        "PreviewRedirects" => (&["read"], Others::Absent, json!({"session_id": session})),
        "GetMerchant" => (&["read", "merchant"], Others::Defaults, json!({"merchant_id": merchant})),
        "UpdateMerchant" => {
            (&["merchant"], Others::Denied, json!({"merchant": {"merchant_id": merchant, "name": "New"}}))
        }
        "VerifyReturn" => (&["read"], Others::Verdict, json!({"merchant_id": merchant, "token": "x.y.z"})),
        other => panic!("say here which scopes allow {other}"),
    }
}

fn checkout(merchant: &str) -> Value {
    json!({
        "merchant_id": merchant, "customer": {"email": "ana@example.com"},
        "shopping_cart": {"line_items": [{"name": "book", "price": 500, "unit_qty": 1}]}
    })
}

fn order(merchant: &str) -> Value {
    json!({"merchant_id": merchant, "type": "online", "total_amount": "10.00"})
}

/// Every method, with what is known about it for a session that has ended.
async fn every_method(client: &Client, merchant: &str) -> Vec<(String, &'static [&'static str], Others, Value)> {
    let session = client.create(ADMIN, merchant).await;
    client.ok(ADMIN, "RecordOutcome", json!({"session_id": session, "outcome": "OUTCOME_FAILURE"})).await;
    let name = |method: prost_reflect::MethodDescriptor| method.name().to_owned();
    let known = |method: String| {
        let (scopes, others, request) = about(&method, merchant, &session);
        (method, scopes, others, request)
    };
    client.methods().into_iter().map(name).map(known).collect()
}

#[tokio::test]
async fn without_a_valid_credential_every_rpc_answers_the_same_whatever_is_wrong_with_it() {
    let expired = entry("expired", "\"all\"", "[\"admin\"]") + "expires = 2020-01-01T00:00:00Z\n";
    let served = Served::start(&(admin() + &expired));
    let client = served.client().await;
    let long = format!("Bearer {}", "x".repeat(600));
    let twice = [("authorization", "Bearer secret-of-admin"), ("authorization", "Bearer secret-of-admin")];
    for (method, _, _, request) in every_method(&client, "m1").await {
        let mut answers: Vec<Answer> = Vec::new();
        for value in [
            "Bearer secret-of-expired",
            "Bearer secret-of-nobody",
            "Bearer secret-of-admi",
            "Bearer secret-of-admin2",
            "Bearer ",
            "Basic secret-of-admin",
            "secret-of-admin",
            &long,
        ] {
            answers.push(client.call_with(&[("authorization", value)], &method, request.clone()).await);
        }
        answers.push(client.call_with(&[], &method, request.clone()).await);
        answers.push(client.call_with(&twice, &method, request.clone()).await);
        // Nor does it matter what the request says.
        answers.push(client.call_with(&[], &method, json!({})).await);
        answers[0].failed(Code::Unauthenticated, "UNAUTHENTICATED");
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{method}: {answers:#?}");
    }
}

#[tokio::test]
async fn every_rpc_is_allowed_by_its_scopes_and_by_no_other() {
    let each: String = SCOPES.iter().map(|scope| entry(scope, "[\"m1\"]", &format!("[{scope:?}]"))).collect();
    let served = Served::start(&(admin() + &each));
    let client = served.client().await;
    for (method, scopes, _, request) in every_method(&client, "m1").await {
        for scope in SCOPES {
            let answer = client.call(&format!("secret-of-{scope}"), &method, request.clone()).await;
            if scopes.contains(&scope) {
                assert!(answer.is_ok(), "{method} with {scope}: {:?}", answer.status());
            } else {
                answer.failed(Code::PermissionDenied, "PERMISSION_DENIED");
                let told = answer.status().message().to_owned();
                assert!(scopes.iter().all(|scope| told.contains(&format!("`{scope}`"))), "{method}: {told}");
            }
        }
        assert!(client.call(ADMIN, &method, request.clone()).await.is_ok(), "{method} with admin");
    }
}

#[tokio::test]
async fn who_may_create_may_preview_what_is_not_created_and_no_session() {
    let served = Served::start(&(admin() + &entry("shop", "[\"m1\"]", "[\"create\"]")));
    let client = served.client().await;
    let session = client.create("secret-of-shop", "m1").await;
    let preview = async |source: Value| client.call("secret-of-shop", "PreviewRedirects", source).await;
    assert!(preview(json!({"create_payment": payment("m1")})).await.is_ok());
    preview(json!({"session_id": session})).await.failed(Code::PermissionDenied, "PERMISSION_DENIED");
    // Whose settings would answer is asked as it is for a create.
    preview(json!({"create_payment": payment("m2")})).await.failed(Code::PermissionDenied, "PERMISSION_DENIED");
}

#[tokio::test]
async fn who_may_only_read_gets_nothing_signed_that_is_not_recorded() {
    let credentials = entry("reader", "[\"m1\"]", "[\"read\"]") + &entry("till", "[\"m1\"]", "[\"read\", \"record\"]");
    let served = Served::start(&(admin() + &credentials));
    let client = served.client().await;
    let session = client.create(ADMIN, "m1").await;
    let ask = async |secret: &str, named: Value| {
        let mut request = named;
        request["session_id"] = session.as_str().into();
        client.call(secret, "ResolveRedirect", request).await
    };
    let in_a_stream = async |secret: &str, named: &Value| {
        let mut resolve = named.clone();
        resolve["session_id"] = session.as_str().into();
        let answer = client.call(secret, "ResolveRedirects", json!({"resolve": resolve})).await;
        match ResolveRedirectsResponse::decode(&answer.body[5..]).expect("an answer").answer.expect("an answer") {
            InAnswer::Redirect(_) => Ok(()),
            InAnswer::Error(status) => Err(status.code),
        }
    };
    let named = [
        json!({"outcome": "OUTCOME_SUCCESS"}),
        json!({"outcome": "OUTCOME_CANCEL", "status": "refunded"}),
        json!({"payment_id": "forged"}),
        json!({"status": "approved", "wait": "0.001s"}),
    ];
    for named in &named {
        assert!(ask("secret-of-reader", named.clone()).await.is_ok(), "{named}: nothing is signed yet");
    }
    client.ok(ADMIN, "UpdateMerchant", json!({"merchant": {"merchant_id": "m1", "sign_returns": true}})).await;
    for recorded in [None, Some("OUTCOME_PENDING")] {
        if let Some(outcome) = recorded {
            client.ok(ADMIN, "RecordOutcome", json!({"session_id": session, "outcome": outcome})).await;
        }
        for named in &named {
            ask("secret-of-reader", named.clone()).await.failed(Code::PermissionDenied, "PERMISSION_DENIED");
            assert!(ask("secret-of-till", named.clone()).await.is_ok(), "{named}");
            assert_eq!(in_a_stream("secret-of-reader", named).await, Err(Code::PermissionDenied as i32), "{named}");
            assert_eq!(in_a_stream("secret-of-till", named).await, Ok(()), "{named}");
        }
        // What stands anyway may be named, and the buyer without a word is sent on.
        let same = recorded.unwrap_or("OUTCOME_CANCEL");
        for named in [json!({}), json!({"outcome": same})] {
            assert!(ask("secret-of-reader", named).await.is_ok());
        }
    }
    let success = json!({"session_id": session, "outcome": "OUTCOME_SUCCESS", "payment_id": "17", "status": "paid"});
    client.ok(ADMIN, "RecordOutcome", success.clone()).await;
    assert!(ask("secret-of-reader", success).await.is_ok());
}

#[tokio::test]
async fn every_rpc_about_another_merchant_tells_nothing_about_it() {
    let served = Served::start(&(admin() + &entry("shop", "[\"m1\", \"m3\"]", "[\"admin\"]")));
    let client = served.client().await;
    client.ok(ADMIN, "UpdateMerchant", json!({"merchant": {"merchant_id": "m2", "name": "Theirs"}})).await;
    for (method, _, others, request) in every_method(&client, "m2").await {
        let answer = client.call("secret-of-shop", &method, request.clone()).await;
        match others {
            Others::Absent => answer.failed(Code::NotFound, "SESSION_NOT_FOUND"),
            Others::AbsentInAnswer => {
                assert!(answer.is_ok(), "{method}: {:?}", answer.status());
                let told = ResolveRedirectsResponse::decode(&answer.body[5..]).expect("an answer");
                let Some(InAnswer::Error(error)) = told.answer else { panic!("{told:?}") };
                assert_eq!((told.correlation_id, Code::from(error.code)), (7, Code::NotFound));
            }
            Others::Denied => answer.failed(Code::PermissionDenied, "PERMISSION_DENIED"),
            Others::Verdict => {
                let told = client.ok("secret-of-shop", &method, request).await;
                assert_eq!(told, json!({"verdict": "VERDICT_ALTERED"}));
            }
            Others::Defaults => {
                let told = client.ok("secret-of-shop", &method, request).await;
                assert_eq!((&told["merchant"]["name"], &told["merchant"]["etag"]), (&Value::Null, &json!("v0")));
            }
        }
    }
    // Nothing of this changed anything.
    let theirs = client.ok(ADMIN, "GetMerchant", json!({"merchant_id": "m2"})).await;
    assert_eq!((&theirs["merchant"]["name"], &theirs["merchant"]["etag"]), (&json!("Theirs"), &json!("v1")));
    for merchant in ["m1", "m3"] {
        for (method, _, _, request) in every_method(&client, merchant).await {
            let answer = client.call("secret-of-shop", &method, request).await;
            assert!(answer.is_ok(), "{method} about {merchant}: {:?}", answer.status());
        }
    }
}

#[tokio::test]
async fn health_is_open_and_reflection_wants_any_credential() {
    let served = Served::start(&(admin() + &entry("shop", "[\"m1\"]", "[\"create\"]")));
    let client = served.client().await;
    let health = client.begin(&[], "/grpc.health.v1.Health/Check", &[]).await.next().await.expect("an answer");
    assert_eq!(&health[5..], [8, 1], "SERVING");
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        // The request to list the services: field 7, a text.
        let list = [0x3a, 1, b'*'];
        let refused = client.begin(&[], &path, &list).await.next().await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        let shop = ("authorization", "Bearer secret-of-shop");
        let listed = client.begin(&[shop], &path, &list).await.next().await.expect("an answer");
        assert!(String::from_utf8_lossy(&listed).contains("waypost.v1.RedirectService"));
    }
}

#[tokio::test]
async fn a_method_that_is_not_there_is_told_to_callers_only() {
    let served = Served::start(&admin());
    let client = served.client().await;
    for path in [
        "/waypost.v1.RedirectService/Refund",
        "/waypost.v2.RedirectService/GetSession",
        "/",
        // Other spellings of what is there, for whoever would read them otherwise than the table does.
        "//waypost.v1.RedirectService/GetSession",
        "/waypost.v1.RedirectService//GetSession",
        "/waypost.v1.RedirectService/GetSession/",
        "/waypost.v1.RedirectService/getsession",
        "/WAYPOST.v1.RedirectService/GetSession",
        "/waypost.v1.RedirectService%2FGetSession",
        "/waypost.v1.RedirectService/Get%53ession",
        "/grpc.health.v1.Health/../../waypost.v1.RedirectService/GetSession",
        "/grpc.health.v1.Health/Check/../../waypost.v1.RedirectService/GetSession",
        "/grpc.health.v1.Health/Check/",
        "/grpc.health.v1.Health/check",
    ] {
        let stranger = client.begin(&[], path, &[]).await.next().await.unwrap_err();
        assert_eq!(stranger.code(), Code::Unauthenticated, "{path}");
        let bearer = format!("Bearer {ADMIN}");
        let caller = client.begin(&[("authorization", &bearer)], path, &[]).await.next().await.unwrap_err();
        assert_eq!(caller.code(), Code::Unimplemented, "{path}");
    }
}

#[tokio::test]
async fn only_a_whole_secret_in_one_header_is_a_credential() {
    let served = Served::start(&admin());
    let client = served.client().await;
    let long = format!("Bearer {}", "x".repeat(10_000));
    let twice = format!("Bearer {ADMIN}");
    let cut = format!("Bearer {}", &ADMIN[..ADMIN.len() - 1]);
    let joined = format!("Bearer {ADMIN}, Bearer {ADMIN}");
    for headers in [
        vec![],
        vec![("authorization", "")],
        vec![("authorization", "Bearer")],
        vec![("authorization", "Bearer ")],
        vec![("authorization", ADMIN)],
        vec![("authorization", "Bearer \u{e9}")],
        vec![("authorization", &long)],
        vec![("authorization", &cut)],
        vec![("authorization", &joined)],
        vec![("authorization", &twice), ("authorization", &twice)],
        vec![("authorization-bin", &twice), ("x-authorization", &twice), ("proxy-authorization", &twice)],
    ] {
        let answer = client.call_with(&headers, "GetMerchant", json!({"merchant_id": "m1"})).await;
        answer.failed(Code::Unauthenticated, "UNAUTHENTICATED");
    }
    for header in [format!("bearer {ADMIN}"), format!("BEARER  \t{ADMIN} ")] {
        let headers = [("authorization", header.as_str())];
        assert!(client.call_with(&headers, "GetMerchant", json!({"merchant_id": "m1"})).await.is_ok());
    }
}
