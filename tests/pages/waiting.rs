//! Pages that wait for their outcome (server-sent events).

use super::served::{PATIENCE, Served};
use serde_json::json;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use waypost::{
    model::{Kind, Outcome},
    redirect::Mode,
    store::MemoryStore,
};

/// Where a page listens, as it says itself.
async fn address(served: &Served, page: &str) -> String {
    let body = served.get(page).await.body;
    let (_, rest) = body.split_once("data-events=\"").unwrap_or_else(|| panic!("does not wait: {body}"));
    rest.split_once('"').expect("closed").0.to_owned()
}

async fn listen(served: &Served, address: &str) -> TcpStream {
    let mut stream = served.connect().await;
    stream.write_all(format!("GET {address} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.expect("written");
    read_until(&mut stream, "retry: ").await;
    stream
}

async fn read_until(stream: &mut TcpStream, wanted: &str) -> String {
    let mut read = String::new();
    while !read.contains(wanted) {
        let mut bytes = [0; 1_024];
        let length = timeout(PATIENCE, stream.read(&mut bytes)).await.expect("in time").expect("readable");
        assert_ne!(length, 0, "ended after {read:?}");
        read.push_str(str::from_utf8(&bytes[..length]).expect("ASCII"));
    }
    read
}

#[tokio::test]
async fn a_waiting_page_hears_of_its_outcome_at_once_from_any_server() {
    let store = Arc::new(MemoryStore::default());
    let [one, two] = [(); 2].map(|()| Served::start_on(Mode::Production, Arc::clone(&store) as _, super::served::KEY));
    for outcome in [Outcome::Success, Outcome::Failure, Outcome::Expired] {
        let id = one.ended(Kind::Order, json!({}), Outcome::Pending).await;
        let mut stream = listen(&one, &address(&one, &one.page(id)).await).await;
        let began = Instant::now();
        two.record(id, outcome).await;
        read_until(&mut stream, "event: turned\ndata: now\n\n").await;
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn what_happens_between_the_page_and_its_question_is_not_missed() {
    let served = Served::start(Mode::Production);
    let id = served.ended(Kind::Order, json!({}), Outcome::Pending).await;
    let address = address(&served, &served.page(id)).await;
    served.record(id, Outcome::Success).await;
    let mut stream = served.connect().await;
    stream.write_all(format!("GET {address} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.expect("written");
    let head = read_until(&mut stream, "event: turned\ndata: now\n\n").await;
    assert!(head.contains("content-type: text/event-stream") && head.contains("cache-control: no-"), "{head}");
}

#[tokio::test]
async fn a_drain_ends_the_waiting_at_once() {
    let served = Served::start(Mode::Production);
    let id = served.ended(Kind::Order, json!({}), Outcome::Pending).await;
    let mut stream = listen(&served, &address(&served, &served.page(id)).await).await;
    let began = Instant::now();
    assert_eq!(served.drain().await.cut, 0);
    assert!(began.elapsed() < Duration::from_secs(5));
    let mut rest = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("ended").expect("in good order");
    assert!(!String::from_utf8_lossy(&rest).contains("turned"));
}

#[tokio::test]
async fn only_pages_whose_outcome_is_awaited_run_a_script() {
    let served = Served::start(Mode::Production);
    for (outcome, waits) in Outcome::ALL.map(|outcome| (outcome, outcome == Outcome::Pending)) {
        let id = served.ended(Kind::Order, json!({}), outcome).await;
        let page = served.get(&served.page(id)).await;
        assert_eq!(page.body.contains("<script"), waits, "{outcome:?}");
        assert_eq!(page.body.contains("<noscript><meta http-equiv=\"refresh\""), waits, "{outcome:?}");
    }
}
