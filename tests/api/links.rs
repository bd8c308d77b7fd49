//! The links to the buyers' pages in answers.

use super::served::Served;
use serde_json::{Value, json};
use std::sync::Arc;
use waypost::{
    pages::{Links, PageKeys},
    redirect::Mode,
    store::MemoryStore,
};

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn served(mode: Mode) -> Served {
    let url = "https://pay.example.com/buyers".parse().expect("a URL");
    let links = Links::new(url, PageKeys::read(KEY).expect("a key"), mode);
    Served::start_on(mode, Arc::new(MemoryStore::default()), Some(links))
}

fn payment() -> Value {
    json!({"merchant_id": "m", "idempotency_key": "k", "customer_email": "a", "items": [{"price": "1", "currency": "EUR"}]})
}

#[tokio::test]
async fn every_answer_with_a_session_has_the_same_link_to_its_page() {
    let served = served(Mode::Production);
    let client = served.client();
    let created = client.ok("CreatePayment", payment()).await["session"].clone();
    let link = created["pageUrl"].as_str().expect("a link");
    assert!(link.starts_with("https://pay.example.com/buyers/r/"));
    assert_eq!(created.get("checkoutUrl"), None);
    let (id, link) = (&created["sessionId"], Some(&created["pageUrl"]));
    assert_eq!(client.ok("CreatePayment", payment()).await["session"].get("pageUrl"), link);
    assert_eq!(client.ok("GetSession", json!({"session_id": id})).await["session"].get("pageUrl"), link);
    let recorded = client.ok("RecordOutcome", json!({"session_id": id, "outcome": "OUTCOME_SUCCESS"})).await;
    assert_eq!(recorded["session"].get("pageUrl"), link);
    let resolved = client.ok("ResolveRedirect", json!({"session_id": id})).await;
    assert_eq!(resolved["redirect"].get("pageUrl"), link);
    let preview = client.ok("PreviewRedirects", json!({"session_id": id})).await;
    for redirect in preview["redirects"].as_array().expect("one for each outcome") {
        assert_eq!(redirect.get("pageUrl"), link);
    }
    // What is not created has no page.
    let preview = client.ok("PreviewRedirects", json!({"create_payment": payment()})).await;
    assert_eq!(preview["redirects"][0].get("pageUrl"), None);
}

#[tokio::test]
async fn only_the_sandbox_links_to_a_checkout() {
    let served = served(Mode::Sandbox);
    let created = served.client().ok("CreatePayment", payment()).await;
    let link = created["session"]["checkoutUrl"].as_str().expect("a link");
    assert!(link.starts_with("https://pay.example.com/buyers/c/"));
}

#[tokio::test]
async fn without_a_page_listener_there_are_no_links() {
    let served = Served::start();
    let created = served.client().ok("CreatePayment", payment()).await;
    assert_eq!(created["session"].get("pageUrl"), None);
}
