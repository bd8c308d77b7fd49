//! Who may see a page.

use super::served::{KEY, Served};
use serde_json::json;
use std::sync::Arc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use uuid::Uuid;
use waypost::{
    model::{Kind, Outcome, SessionId},
    pages::{PageKeys, Purpose},
    redirect::Mode,
    store::MemoryStore,
};

const OTHER_KEY: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

fn keys(text: &str) -> PageKeys {
    PageKeys::read(text).expect("a key")
}

#[tokio::test]
async fn whatever_opens_nothing_gets_one_and_the_same_page() {
    let served = Served::start(Mode::Production);
    let id = served.ended(Kind::Order, json!({}), Outcome::Success).await;
    let plain = served.get("/r/x").await;
    assert_eq!(plain.status, 404);
    let token = keys(KEY).token(Purpose::Return, id);
    assert_eq!(served.get(&format!("/r/{token}")).await.status, 200);
    let never = SessionId::new(Kind::Order, Uuid::from_u128(7));
    let altered = format!("{}{}", &token[..43], if token.ends_with('A') { "B" } else { "A" });
    for path in [
        "/".to_owned(),
        "/r/".to_owned(),
        format!("/r/{id}"),
        format!("/r/{altered}"),
        format!("/r/{}", &token[..43]),
        format!("/r/{token}/"),
        format!("/r/%20{token}"),
        format!("/r/{}", "A".repeat(4_000)),
        "/r/%00%ff".to_owned(),
        "/r/..%2f..%2fetc%2fpasswd".to_owned(),
        format!("/r/{altered}/events?seen=1"),
        // Under another deployment's key, for another purpose, and of a session that does not exist.
        format!("/r/{}", keys(OTHER_KEY).token(Purpose::Return, id)),
        format!("/r/{}", keys(KEY).token(Purpose::Checkout, id)),
        format!("/r/{}", keys(KEY).token(Purpose::Return, never)),
        "/assets/nothing.css".to_owned(),
        "/assets/%ff".to_owned(),
        // Not there outside of the sandbox.
        format!("/c/{}", keys(KEY).token(Purpose::Checkout, id)),
        format!("/c/{}/done", keys(KEY).token(Purpose::Checkout, id)),
        "/shop".to_owned(),
        "/shop/success?a=1".to_owned(),
    ] {
        let answer = served.get(&path).await;
        assert_eq!((answer.status, &answer.body), (404, &plain.body), "{path}");
        for name in ["content-security-policy", "cache-control", "content-type", "referrer-policy", "vary"] {
            assert_eq!(answer.header(name), plain.header(name), "{path} {name}");
        }
    }
    assert_eq!(served.post("/c/x", "button=pay").await.status, 404);
}

#[tokio::test]
async fn a_hundred_thousand_guesses_made_from_a_session_id_open_nothing() {
    let served = Served::start(Mode::Production);
    let id = served.ended(Kind::Order, json!({}), Outcome::Success).await;
    let mut stream = served.connect().await;
    // What an attacker has: the id, and tokens under keys that are easy to think of. Over HTTP a thousand of them, on
    // one connection; the rest where the listener asks.
    let guess = |number: u64| keys(&format!("{number:064x}")).token(Purpose::Return, id);
    for number in 0..1_000 {
        let request = format!("HEAD /r/{} HTTP/1.1\r\nhost: x\r\n\r\n", guess(number));
        stream.write_all(request.as_bytes()).await.expect("written");
        assert!(head(&mut stream).await.starts_with("HTTP/1.1 404 "), "guess {number}");
    }
    let keys = keys(KEY);
    assert_eq!((1_000..100_000).filter_map(|number| keys.open(Purpose::Return, &guess(number))).next(), None);
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        timeout(super::served::PATIENCE, stream.read_exact(&mut byte)).await.expect("in time").expect("an answer");
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("ASCII")
}

#[tokio::test]
async fn servers_of_one_deployment_open_each_others_links_and_no_others() {
    let store = Arc::new(MemoryStore::default());
    let start = |key| Served::start_on(Mode::Production, Arc::clone(&store) as _, key);
    let [one, two, stranger] = [start(KEY), start(KEY), start(OTHER_KEY)];
    let id = one.ended(Kind::Payment, json!({}), Outcome::Success).await;
    assert_eq!(two.get(&one.page(id)).await.status, 200);
    assert_eq!(stranger.get(&one.page(id)).await.status, 404);
}
