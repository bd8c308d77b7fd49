//! Signed returns as browsers carry them, and the public keys that merchants read.

use super::served::{Answer, KEY, Served};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use waypost::{
    app::{MerchantChange, Returned, Signer},
    model::{Kind, Outcome, Tenants},
    redirect::{Mode, SigningKey, SigningKeys, Verdict, to_pem},
    store::{MemoryStore, Store},
};

/// The public half of the key of RFC 8037, appendix A, which has retired.
const RETIRED: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";

fn signer() -> Signer {
    let pem = format!("{}{}{RETIRED}", to_pem(&[1; 32]), to_pem(&[2; 32]));
    let keys = SigningKeys::new(SigningKey::read_all(&pem).expect("keys")).expect("a set");
    Signer::new(keys, "https://pay.example.com".parse().expect("an issuer"), Duration::from_secs(900))
}

async fn signing() -> (Served, Arc<dyn Store>) {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let served = Served::start_signing(Arc::clone(&store), signer());
    served.merchant(MerchantChange { sign_returns: Some(true), ..MerchantChange::default() }).await;
    (served, store)
}

fn order() -> Value {
    let url = |slot: &str| format!("https://shop.example.com/{slot}");
    json!({"checkout_pro": {"back_urls": {"success": url("paid"), "failure": url("sorry")}}})
}

/// Where the button leads.
fn button(answer: &Answer) -> Option<String> {
    let href = answer.body.split_once("class=\"button\" href=\"")?.1.split_once('"')?.0;
    Some(href.replace("&#38;", "&").replace("&amp;", "&"))
}

async fn verdict(served: &Served, url: &str) -> (Verdict, Option<Outcome>) {
    let merchant = "shop".parse().expect("an id");
    let judged =
        served.app.verify_return(&merchant, &Returned::Url(url.to_owned()), &Tenants::All).await.expect("a verdict");
    (judged.verified.verdict, judged.verified.claims.map(|claims| claims.outcome))
}

#[tokio::test]
async fn a_redirect_a_button_and_a_countdown_carry_the_token() {
    let (served, _) = signing().await;
    let payment = json!({"redirect_url": "https://shop.example.com/back"});
    let id = served.ended(Kind::Payment, payment, Outcome::Pending).await;
    let answer = served.get(&served.page(id)).await;
    assert_eq!(answer.status, 303);
    assert_eq!(verdict(&served, answer.header("location")).await, (Verdict::Valid, Some(Outcome::Pending)));

    let id = served.ended(Kind::Order, order(), Outcome::Failure).await;
    let url = button(&served.get(&served.page(id)).await).expect("a button");
    assert!(url.starts_with("https://shop.example.com/sorry?payment_id=null&"), "{url}");
    assert_eq!(verdict(&served, &url).await, (Verdict::Valid, Some(Outcome::Failure)));

    let id = served.ended(Kind::Order, order(), Outcome::Success).await;
    let answer = served.get(&served.page(id)).await;
    let url = answer.header("refresh").strip_prefix("5;url=").expect("a countdown");
    assert_eq!(button(&answer).as_deref(), Some(url));
    assert_eq!(verdict(&served, url).await, (Verdict::Valid, Some(Outcome::Success)));
}

#[tokio::test]
async fn deep_links_carry_the_token_too() {
    let (served, _) = signing().await;
    let schemes = vec!["com.example.shop".parse().expect("a scheme")];
    served.merchant(MerchantChange { app_schemes: Some(schemes), ..MerchantChange::default() }).await;
    let id = served.ended(Kind::Payment, json!({"redirect_url": "com.example.shop://back"}), Outcome::Success).await;
    let url = button(&served.get(&served.page(id)).await).expect("a button");
    assert!(url.starts_with("com.example.shop://back?return_token="), "{url}");
    assert_eq!(verdict(&served, &url).await, (Verdict::Valid, Some(Outcome::Success)));
}

#[tokio::test]
async fn a_page_of_a_server_without_keys_has_no_button() {
    let (signing, store) = signing().await;
    let served = Served::start_on(Mode::Production, store, KEY);
    for kind in [Kind::Payment, Kind::Order] {
        let body = if kind == Kind::Order { order() } else { json!({"redirect_url": "https://shop.example.com/back"}) };
        let id = signing.ended(kind, body, Outcome::Success).await;
        let answer = served.get(&served.page(id)).await;
        assert_eq!((answer.status, button(&answer), answer.header("refresh")), (200, None, ""));
    }
}

#[tokio::test]
async fn every_public_key_is_published_and_nothing_secret() {
    let (served, _) = signing().await;
    let answer = served.get("/.well-known/jwks.json").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_eq!(answer.header("cross-origin-resource-policy"), "cross-origin");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let jwks: Value = serde_json::from_str(&answer.body).expect("JSON");
    let keys = jwks["keys"].as_array().expect("keys");
    assert_eq!(keys.len(), 3);
    for key in keys {
        let names: Vec<&String> = key.as_object().expect("an object").keys().collect();
        assert_eq!(names, ["alg", "crv", "kid", "kty", "use", "x"]);
        assert_eq!((&key["alg"], &key["use"]), (&json!("EdDSA"), &json!("sig")));
    }
    assert_eq!(keys[2]["kid"], "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    assert_eq!(keys[0]["kid"], served.app.signing_keys().expect("keys").signing().kid());
    // As HEAD, and never to be written to.
    let head = served.say("HEAD /.well-known/jwks.json HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(served.post("/.well-known/jwks.json", "").await.status, 405);
}

#[tokio::test]
async fn without_keys_there_is_no_key_set() {
    let answer = Served::start(Mode::Production).get("/.well-known/jwks.json").await;
    assert_eq!((answer.status, answer.header("cache-control")), (404, "no-store"));
}
