//! Signed returns: what a URL carries, and what `VerifyReturn` says of it when it comes back.

use super::served::{Client, Served};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tonic::Code;
use waypost::{
    app::Signer,
    redirect::{SigningKey, SigningKeys, to_pem},
    store::{MemoryStore, Store},
};

/// A signer with those keys, the first of which signs.
fn signer(seeds: &[u8]) -> Signer {
    let pem: String = seeds.iter().map(|seed| to_pem(&[*seed; 32])).collect();
    let keys = SigningKeys::new(SigningKey::read_all(&pem).expect("keys")).expect("a set");
    Signer::new(keys, "https://pay.example.com".parse().expect("an issuer"), Duration::from_secs(15 * 60))
}

fn store() -> Arc<dyn Store> {
    Arc::new(MemoryStore::default())
}

/// A server on which the returns of the merchants `m` and `n` are signed.
async fn signing() -> Served {
    let served = Served::start_signing(store(), signer(&[1]));
    for merchant in ["m", "n"] {
        sign_returns(&served.client(), merchant).await;
    }
    served
}

async fn sign_returns(client: &Client, merchant: &str) {
    let merchant = json!({"merchant_id": merchant, "sign_returns": true});
    assert_eq!(client.ok("UpdateMerchant", json!({"merchant": merchant})).await["merchant"]["signReturns"], true);
}

/// A new order of merchant `m`.
async fn order(client: &Client) -> Value {
    let urls = json!({
        "success": "https://a.example.com/s?x=1#top", "failure": "https://a.example.com/f",
        "pending": "https://a.example.com/p", "cancel": "https://a.example.com/c",
    });
    let order = json!({
        "merchant_id": "m", "type": "online", "total_amount": "10.00", "external_reference": "A-17",
        "checkout_pro": {"back_urls": urls},
    });
    client.ok("CreateOrder", order).await["session"]["sessionId"].clone()
}

/// An order that was paid.
async fn paid(client: &Client) -> Value {
    let id = order(client).await;
    let report = json!({"session_id": id, "outcome": "OUTCOME_SUCCESS", "payment_id": "123456789"});
    client.ok("RecordOutcome", report).await;
    id
}

async fn url(client: &Client, id: &Value) -> String {
    let answer = client.ok("ResolveRedirect", json!({"session_id": id})).await;
    answer["redirect"]["url"].as_str().unwrap_or_else(|| panic!("no URL in {answer}")).to_owned()
}

async fn verify(client: &Client, merchant: &str, url: &str) -> Value {
    client.ok("VerifyReturn", json!({"merchant_id": merchant, "url": url})).await
}

fn token(url: &str) -> &str {
    let after = url.split_once("return_token=").expect("a token").1;
    after.split(['&', '#']).next().unwrap_or_default()
}

#[tokio::test]
async fn a_signed_return_is_valid_and_says_what_was_answered() {
    let served = signing().await;
    let client = served.client();
    served.advance(Duration::from_secs(65));
    let id = paid(&client).await;
    let url = url(&client, &id).await;
    let prefix = format!(
        "https://a.example.com/s?x=1&payment_id=123456789&status=approved&external_reference=A-17&order_id={}&return_token=",
        id.as_str().expect("an id")
    );
    assert!(url.starts_with(&prefix) && url.ends_with("#top"), "{url}");
    let answer = verify(&client, "m", &url).await;
    assert_eq!(answer["verdict"], "VERDICT_VALID");
    assert_eq!(answer["claims"]["tokenId"].as_str().map(str::len), Some(22));
    let mut claims = answer["claims"].clone();
    claims["tokenId"].take();
    assert_eq!(
        claims,
        json!({
            "issuer": "https://pay.example.com", "merchantId": "m", "sessionId": id, "tokenId": null,
            "issueTime": "2026-01-01T00:01:00Z", "expireTime": "2026-01-01T00:16:00Z", "outcome": "OUTCOME_SUCCESS",
            "paymentId": "123456789", "status": "approved", "externalReference": "A-17",
        })
    );
    assert_eq!(answer["session"], client.ok("GetSession", json!({"session_id": id})).await["session"]);
    // The token alone says the same, and saying it does not use it up.
    let alone = client.ok("VerifyReturn", json!({"merchant_id": "m", "token": token(&url)})).await;
    assert_eq!(alone, answer);
    assert_eq!(verify(&client, "m", &url).await, answer);
}

#[tokio::test]
async fn every_kind_is_signed_and_what_is_not_known_is_left_out() {
    let served = signing().await;
    let client = served.client();
    let checkout = json!({
        "merchant_id": "m", "customer": {}, "shopping_cart": {"line_items": [{"unit_qty": 1}]},
        "redirect_urls": {"cancel": "https://a.example.com/"},
    });
    let payment = json!({
        "merchant_id": "m", "customer_email": "a", "items": [{"price": "1", "currency": "EUR"}],
        "redirect_url": "https://a.example.com/",
    });
    for (method, request) in [("CreateCheckout", checkout), ("CreatePayment", payment)] {
        let id = client.ok(method, request).await["session"]["sessionId"].clone();
        let url = url(&client, &id).await;
        assert!(url.starts_with("https://a.example.com/?return_token="), "{url}");
        let claims = verify(&client, "m", &url).await["claims"].clone();
        assert_eq!((&claims["sessionId"], &claims["outcome"]), (&id, &json!("OUTCOME_CANCEL")));
        let payload = URL_SAFE_NO_PAD.decode(token(&url).split('.').nth(1).expect("a payload")).expect("base64");
        let payload: Value = serde_json::from_slice(&payload).expect("JSON");
        let names: Vec<&String> = payload.as_object().expect("an object").keys().collect();
        assert_eq!(names, ["aud", "exp", "iat", "iss", "jti", "outcome", "sub"]);
    }
}

#[tokio::test]
async fn the_token_is_for_the_answer_and_the_session_is_as_it_is_now() {
    let served = signing().await;
    let client = served.client();
    let id = order(&client).await;
    client.ok("RecordOutcome", json!({"session_id": id, "outcome": "OUTCOME_PENDING", "payment_id": "1"})).await;
    let url = url(&client, &id).await;
    client.ok("RecordOutcome", json!({"session_id": id, "outcome": "OUTCOME_SUCCESS"})).await;
    let answer = verify(&client, "m", &url).await;
    assert_eq!(answer["verdict"], "VERDICT_VALID");
    assert_eq!(answer["claims"]["outcome"], "OUTCOME_PENDING");
    assert_eq!(answer["session"]["outcome"], "OUTCOME_SUCCESS");
}

#[tokio::test]
async fn an_outcome_that_the_caller_names_is_signed_for_and_not_recorded() {
    let served = signing().await;
    let client = served.client();
    let id = order(&client).await;
    let question = json!({"session_id": id, "outcome": "OUTCOME_FAILURE", "status": "cc_rejected"});
    let redirect = client.ok("ResolveRedirect", question).await["redirect"].clone();
    let answer = verify(&client, "m", redirect["url"].as_str().expect("a URL")).await;
    assert_eq!(answer["claims"]["outcome"], "OUTCOME_FAILURE");
    assert_eq!(answer["claims"]["status"], "cc_rejected");
    assert_eq!(answer["session"].get("outcome"), None, "open");
}

#[tokio::test]
async fn parameters_that_have_to_be_encoded_agree_with_the_token() {
    let served = signing().await;
    let client = served.client();
    for text in ["1+1 & 2=3#%2F/\u{e9}", "null", "%61", "status=refunded"] {
        let id = order(&client).await;
        let outcome = json!({"session_id": id, "outcome": "OUTCOME_SUCCESS", "payment_id": text, "status": text});
        client.ok("RecordOutcome", outcome).await;
        let answer = verify(&client, "m", &url(&client, &id).await).await;
        assert_eq!((&answer["verdict"], &answer["claims"]["status"]), (&json!("VERDICT_VALID"), &json!(text)));
    }
}

#[tokio::test]
async fn a_token_expires_and_still_says_what_it_said() {
    let served = signing().await;
    let client = served.client();
    let id = paid(&client).await;
    let old = url(&client, &id).await;
    let before = verify(&client, "m", &old).await;
    served.advance(Duration::from_secs(15 * 60));
    let after = verify(&client, "m", &old).await;
    assert_eq!(after["verdict"], "VERDICT_EXPIRED");
    assert_eq!((&after["claims"], &after["session"]), (&before["claims"], &before["session"]));
    // A buyer who comes back days later gets a token of that day.
    served.advance(Duration::from_secs(3 * 24 * 60 * 60));
    let new = url(&client, &id).await;
    assert_eq!(verify(&client, "m", &new).await["verdict"], "VERDICT_VALID");
}

#[tokio::test]
async fn another_merchant_learns_nothing_but_that_it_is_not_theirs() {
    let served = signing().await;
    let client = served.client();
    let id = paid(&client).await;
    let url = url(&client, &id).await;
    assert_eq!(verify(&client, "n", &url).await, json!({"verdict": "VERDICT_OTHER_MERCHANT"}));
    assert_eq!(verify(&client, "never-written", &url).await, json!({"verdict": "VERDICT_OTHER_MERCHANT"}));
    served.advance(Duration::from_secs(24 * 60 * 60));
    assert_eq!(verify(&client, "n", &url).await, json!({"verdict": "VERDICT_OTHER_MERCHANT"}));
}

#[tokio::test]
async fn a_bad_url_or_token_is_a_verdict_and_never_an_error() {
    let served = signing().await;
    let client = served.client();
    let id = paid(&client).await;
    let url = url(&client, &id).await;
    let forged = url.replace(token(&url), "eyJhbGciOiJub25lIn0.eyJvdXRjb21lIjoic3VjY2VzcyJ9.");
    for (returned, verdict) in [
        (json!({}), "VERDICT_MISSING"),
        (json!({"url": ""}), "VERDICT_MISSING"),
        (json!({"token": ""}), "VERDICT_MISSING"),
        (json!({"url": "https://a.example.com/s?status=approved"}), "VERDICT_MISSING"),
        (json!({"url": "not a URL"}), "VERDICT_MISSING"),
        (json!({"url": forged}), "VERDICT_ALTERED"),
        (json!({"url": format!("{}&return_token={}", url.replace("#top", ""), token(&url))}), "VERDICT_ALTERED"),
        (json!({"token": "\u{0}"}), "VERDICT_ALTERED"),
        (json!({"token": "x".repeat(100_000)}), "VERDICT_ALTERED"),
        (json!({"url": format!("https://a.example.com/?return_token={}", "x".repeat(100_000))}), "VERDICT_ALTERED"),
    ] {
        let mut request = returned.clone();
        request["merchant_id"] = "m".into();
        assert_eq!(client.ok("VerifyReturn", request).await, json!({"verdict": verdict}), "{returned:.200}");
    }
    // What says nothing that Waypost says may be added.
    let answer = verify(&client, "m", &url.replace("#top", "&utm_source=mail")).await;
    assert_eq!((&answer["verdict"], &answer["claims"]["status"]), (&json!("VERDICT_VALID"), &json!("approved")));
    let edited = url.replace("status=approved", "status=refunded");
    assert_eq!(verify(&client, "m", &edited).await, json!({"verdict": "VERDICT_ALTERED"}), "{edited}");
}

#[tokio::test]
async fn only_the_merchant_id_can_be_wrong_in_a_question_about_a_return() {
    let served = signing().await;
    for (id, text) in [("", "is missing"), ("a b", "is not a merchant id")] {
        let refused = served.client().refused("VerifyReturn", json!({"merchant_id": id, "token": "x"})).await;
        assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
        assert_eq!(refused.fields[0].0, "merchant_id");
        assert!(refused.fields[0].1.starts_with(text), "{:?}", refused.fields);
    }
}

#[tokio::test]
async fn keys_rotate_on_running_servers_without_a_gap() {
    let store = store();
    let on = |seeds: &[u8]| Served::start_signing(Arc::clone(&store), signer(seeds));
    // The steps of the guide: the new key is known everywhere before it signs anywhere, and the old one stays known.
    let (old, publishing, signing_new, retired) = (on(&[1]), on(&[1, 2]), on(&[2, 1]), on(&[2]));
    sign_returns(&old.client(), "m").await;
    let id = paid(&old.client()).await;
    let verdict = async |at: &Served, url: &str| {
        verify(&at.client(), "m", url).await["verdict"].as_str().expect("a verdict").to_owned()
    };
    let (of_old, of_publishing) = (url(&old.client(), &id).await, url(&publishing.client(), &id).await);
    assert_eq!(of_old, of_publishing, "the same key signs, and equal answers are equal in every byte");
    let of_new = url(&signing_new.client(), &id).await;
    assert_ne!(of_old, of_new);
    for (server, url) in [(&publishing, &of_new), (&signing_new, &of_old), (&signing_new, &of_new), (&retired, &of_new)]
    {
        assert_eq!(verdict(server, url).await, "VERDICT_VALID");
    }
    assert_eq!(verdict(&retired, &of_old).await, "VERDICT_UNKNOWN_KEY");
    assert_eq!(verdict(&old, &of_new).await, "VERDICT_UNKNOWN_KEY");
}

#[tokio::test]
async fn a_session_that_was_removed_is_not_there_and_the_claims_are() {
    let (here, elsewhere) = (signing().await, signing().await);
    let url = url(&here.client(), &paid(&here.client()).await).await;
    let answer = verify(&elsewhere.client(), "m", &url).await;
    assert_eq!((&answer["verdict"], answer.get("session")), (&json!("VERDICT_VALID"), None));
    assert_eq!(answer["claims"]["externalReference"], "A-17");
}

#[tokio::test]
async fn a_preview_shows_a_specimen_that_proves_nothing_and_is_as_long() {
    let served = signing().await;
    let client = served.client();
    let id = order(&client).await;
    let preview = client.ok("PreviewRedirects", json!({"session_id": id})).await;
    for redirect in preview["redirects"].as_array().expect("one for each outcome") {
        // Orders have no slot for what expired; it goes where buyers go who left.
        let shown = redirect["url"].as_str().expect("a URL");
        assert_eq!(verify(&client, "m", shown).await, json!({"verdict": "VERDICT_ALTERED"}));
        let question = json!({"session_id": id, "outcome": redirect["outcome"]});
        let real = client.ok("ResolveRedirect", question).await["redirect"]["url"].clone();
        let real = real.as_str().expect("a URL");
        assert_eq!(verify(&client, "m", real).await["verdict"], "VERDICT_VALID");
        assert_eq!(shown.len(), real.len());
        let unsigned = |url: &str| url.rsplit_once('.').expect("a signature").0.to_owned();
        assert_eq!(unsigned(shown), unsigned(real));
    }
}

#[tokio::test]
async fn the_longest_url_of_a_preview_is_the_longest_with_a_token_too() {
    let served = signing().await;
    let client = served.client();
    let id = order(&client).await;
    let length = client.ok("PreviewRedirects", json!({"session_id": id})).await["maxUrlLength"].clone();
    // The quotation mark is written as three bytes in a URL and as two in a token.
    let report = json!({
        "session_id": id, "outcome": "OUTCOME_SUCCESS", "payment_id": "\"".repeat(256), "status": "\"".repeat(64),
    });
    client.ok("RecordOutcome", report).await;
    assert_eq!(url(&client, &id).await.len(), length);
}

#[tokio::test]
async fn a_server_without_keys_refuses_to_be_asked_for_signatures() {
    let served = Served::start();
    let client = served.client();
    let merchant = json!({"merchant_id": "m", "name": "n", "sign_returns": true});
    let refused = client.refused("UpdateMerchant", json!({"merchant": merchant})).await;
    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "SIGNING_KEYS_MISSING"));
    assert!(refused.message.contains("--signing-key-file"), "{}", refused.message);
    assert_eq!(client.ok("GetMerchant", json!({"merchant_id": "m"})).await["merchant"]["etag"], "v0");
    // What is wrong with the request itself comes first.
    let merchant =
        json!({"merchant_id": "m", "sign_returns": true, "return_urls": {"success": "http://a.example.com/"}});
    assert_eq!(client.refused("UpdateMerchant", json!({"merchant": merchant})).await.reason, "INVALID_FIELD");
}

#[tokio::test]
async fn a_server_without_keys_sends_nobody_to_an_unsigned_url() {
    let store = store();
    let with_keys = Served::start_signing(Arc::clone(&store), signer(&[1]));
    let without = Served::start_on(waypost::redirect::Mode::Production, store, None);
    sign_returns(&with_keys.client(), "m").await;
    let client = without.client();
    let id = paid(&with_keys.client()).await;
    let answer = client.ok("ResolveRedirect", json!({"session_id": id, "explain": true})).await["redirect"].clone();
    assert_eq!((&answer["action"], &answer["source"]), (&json!("ACTION_SHOW_PAGE"), &json!("SOURCE_HOSTED_PAGE")));
    assert_eq!(answer.get("url"), None);
    let refused = answer["candidates"]
        .as_array()
        .expect("candidates")
        .iter()
        .find(|candidate| candidate["fate"] == "FATE_REFUSED");
    let detail = refused.expect("a refused candidate")["detail"].as_str().expect("why");
    assert!(detail.starts_with("cannot be signed") && detail.contains("--signing-key-file"), "{detail}");
    // Whoever creates a session there is told at once.
    let preview = client.ok("PreviewRedirects", json!({"session_id": id})).await;
    assert_eq!(preview["notices"][0]["code"], "CODE_URL_REFUSED");
    let url = url(&with_keys.client(), &id).await;
    assert_eq!(verify(&client, "m", &url).await, json!({"verdict": "VERDICT_UNKNOWN_KEY"}));
    // Other settings still change, and it can be ended there.
    let change = json!({"merchant": {"merchant_id": "m", "name": "n"}});
    assert_eq!(client.ok("UpdateMerchant", change).await["merchant"]["signReturns"], true);
    let change = json!({"merchant": {"merchant_id": "m"}, "update_mask": "signReturns"});
    assert_eq!(client.ok("UpdateMerchant", change).await["merchant"].get("signReturns"), None);
    assert!(self::url(&client, &id).await.ends_with("#top"));
}

#[tokio::test]
async fn merchants_who_did_not_ask_for_it_get_no_tokens() {
    let served = signing().await;
    let client = served.client();
    let change = json!({"merchant": {"merchant_id": "m"}, "update_mask": "*"});
    client.ok("UpdateMerchant", change).await;
    let url = url(&client, &paid(&client).await).await;
    assert!(!url.contains("return_token"), "{url}");
    assert_eq!(verify(&client, "m", &url).await, json!({"verdict": "VERDICT_MISSING"}));
}
