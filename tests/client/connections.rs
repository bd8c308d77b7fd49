//! Connections that break, fall silent or never come about.

use crate::{
    faulty::{Fault, FaultyServer},
    proxy::Proxy,
    repeats::payment,
};
use std::time::Duration;
use tonic::Code;
use waypost::{
    client::{Client, Error},
    grpc::status,
    proto::v1::{
        ErrorReason, GetMerchantRequest, Outcome, RecordOutcomeRequest, ResolveRedirectsRequest, WatchSessionRequest,
    },
};

fn merchant() -> GetMerchantRequest {
    GetMerchantRequest { merchant_id: "m1".into() }
}

fn through(proxy: &Proxy) -> Client {
    let options = Client::options(proxy.addr.to_string().parse().unwrap());
    options.attempt(Duration::from_millis(500)).open().unwrap()
}

#[tokio::test]
async fn a_connection_that_broke_is_opened_again() {
    let server = FaultyServer::start();
    let proxy = Proxy::to(server.addr).await;
    let client = through(&proxy);
    for connections in 1..=3 {
        client.get_merchant(merchant()).await.unwrap();
        assert_eq!(proxy.connections(), connections);
        proxy.break_off();
    }
}

#[tokio::test]
async fn a_call_whose_connection_breaks_is_made_again() {
    let server = FaultyServer::start();
    let proxy = Proxy::to(server.addr).await;
    let client = through(&proxy);
    client.get_merchant(merchant()).await.unwrap();
    server.fail([Fault::Silence]);
    server.seen();
    let breaking = async {
        while server.seen().is_empty() {
            tokio::task::yield_now().await;
        }
        proxy.break_off();
    };
    let (answer, ()) = tokio::join!(client.get_merchant(merchant()), breaking);
    answer.unwrap();
    assert_eq!(proxy.connections(), 2);
}

#[tokio::test]
async fn a_connection_that_fell_silent_is_replaced_by_another() {
    let server = FaultyServer::start();
    let proxy = Proxy::to(server.addr).await;
    let client = through(&proxy);
    client.get_merchant(merchant()).await.unwrap();
    proxy.fall_silent();
    client.get_merchant(merchant()).await.unwrap();
    assert_eq!(proxy.connections(), 2);
}

#[tokio::test]
async fn an_update_whose_connection_breaks_says_that_nobody_knows() {
    let server = FaultyServer::start();
    let proxy = Proxy::to(server.addr).await;
    let client = through(&proxy);
    client.get_merchant(merchant()).await.unwrap();
    server.fail([Fault::Silence]);
    server.seen();
    let breaking = async {
        while server.seen().is_empty() {
            tokio::task::yield_now().await;
        }
        proxy.break_off();
    };
    let update = waypost::proto::v1::UpdateMerchantRequest {
        merchant: Some(waypost::proto::v1::Merchant { merchant_id: "m1".into(), ..Default::default() }),
        ..Default::default()
    };
    let (answer, ()) = tokio::join!(client.update_merchant(update), breaking);
    let error = answer.unwrap_err();
    assert!(matches!(error, Error::Lost { .. }), "{error:?}");
    assert_eq!(error.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = socket.local_addr().unwrap();
    let client = Client::options(addr.to_string().parse().unwrap()).open().unwrap();
    let error = client.get_merchant(merchant()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
}

#[tokio::test]
async fn the_secret_goes_with_every_call() {
    let server = FaultyServer::start();
    let client = server.options().credential("wp_secret".parse().unwrap()).open().unwrap();
    client.get_merchant(merchant()).await.unwrap();
    assert_eq!(server.seen()[0].authorization.as_deref(), Some("Bearer wp_secret"));
    assert!(!format!("{client:?}").contains("wp_secret"));
}

#[tokio::test]
async fn a_watch_outlives_its_connection_and_an_interruption_and_repeats_nothing() {
    let server = FaultyServer::start();
    let proxy = Proxy::to(server.addr).await;
    let client = through(&proxy);
    let session_id = client.create_payment(payment()).await.unwrap().session.unwrap().session_id;
    let mut watch = client.watch_session(WatchSessionRequest { session_id: session_id.clone() });
    assert_eq!(watch.next().await.unwrap().unwrap().outcome(), Outcome::Unspecified);
    let text = "call again";
    let interrupted =
        status::retryable(Code::Unavailable, ErrorReason::WatchInterrupted, text, Duration::from_millis(1));
    server.fail([Fault::Refused(interrupted)]);
    proxy.break_off();
    let recording = async {
        // Only after the watch has begun anew, whose first answer is the session as it was.
        let watches = || server.seen().iter().filter(|call| call.path.ends_with("/WatchSession")).count();
        let mut begun = 0;
        while begun < 2 {
            begun += watches();
            tokio::task::yield_now().await;
        }
        let direct = server.client();
        let outcome = Outcome::Success.into();
        direct.record_outcome(RecordOutcomeRequest { session_id, outcome, ..Default::default() }).await
    };
    server.seen();
    let (changed, recorded) = tokio::join!(watch.next(), recording);
    recorded.unwrap();
    assert_eq!(changed.unwrap().unwrap().outcome(), Outcome::Success);
    assert_eq!(watch.next().await.unwrap(), None, "success is final");
}

#[tokio::test]
async fn a_watch_of_what_is_not_there_ends_with_the_reason() {
    let server = FaultyServer::start();
    let nobody = "order_01986132-e354-7676-9b4a-fc8dd5c5253e".to_owned();
    let mut watch = server.client().watch_session(WatchSessionRequest { session_id: nobody });
    assert_eq!(watch.next().await.unwrap_err().reason(), Some(ErrorReason::SessionNotFound));
    assert_eq!(watch.next().await.unwrap(), None);
}

#[tokio::test]
async fn many_resolves_go_over_one_stream() {
    let server = FaultyServer::start();
    let client = server.client();
    let session_id = client.create_payment(payment()).await.unwrap().session.unwrap().session_id;
    let ask = move |correlation_id| ResolveRedirectsRequest {
        correlation_id,
        resolve: Some(waypost::proto::v1::ResolveRedirectRequest {
            session_id: session_id.clone(),
            ..Default::default()
        }),
    };
    let mut answers = client.resolve_redirects(tokio_stream::iter((1..=3).map(ask))).await.unwrap();
    let mut numbers = Vec::new();
    while let Some(answer) = answers.message().await.map_err(|status| client.error_of_stream(&status)).unwrap() {
        numbers.push(answer.correlation_id);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3]);
}
