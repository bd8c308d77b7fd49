//! What the server promises about connections and about calls whatever they ask: limits, faults, drain.

#[path = "support/peer.rs"]
#[allow(dead_code, reason = "shared with tests that say more")]
mod peer;
mod support;

use peer::{
    ACK, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, PING, PREFACE, Peer, RST_STREAM, SETTINGS,
    call, frame,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::poll_fn,
    num::NonZeroUsize,
    time::{Duration, Instant},
};
use support::{GET_SESSION, GRPC, PATIENCE, Running, ask, expected, framed, raw, reason, tell};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use tonic::{Code, Status};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_types::StatusExt;
use waypost::{grpc, server};

// Connections.

#[tokio::test]
async fn a_connection_that_does_not_begin_is_closed_in_time() {
    let limits = server::Limits { preface_timeout: Duration::from_millis(300), ..Default::default() };
    let server = Running::start(limits, Default::default());
    let mut silent = server.socket().await;
    timeout(PATIENCE, silent.read_to_end(&mut Vec::new())).await.expect("closed").unwrap();
    assert_eq!(tell(&mut server.client().await, "others are served").await.unwrap(), "others are served");
}

#[tokio::test]
async fn a_connection_that_has_begun_may_be_idle() {
    let limits = server::Limits { preface_timeout: Duration::from_millis(300), ..Default::default() };
    let server = Running::start(limits, Default::default());
    let mut client = server.client().await;
    tell(&mut client, "first").await.unwrap();
    let mut silent = server.socket().await;
    timeout(PATIENCE, silent.read_to_end(&mut Vec::new())).await.expect("the time for the preface is over").unwrap();
    assert_eq!(tell(&mut client, "second").await.unwrap(), "second");
}

#[tokio::test]
async fn connections_are_dealt_to_all_workers() {
    let limits = server::Limits { workers: NonZeroUsize::new(3).unwrap(), ..Default::default() };
    let server = Running::start(limits, Default::default());
    let mut threads = BTreeSet::new();
    for _ in 0..3 {
        threads.insert(tell(&mut server.client().await, "thread").await.unwrap());
    }
    assert_eq!(threads, BTreeSet::from(["worker-0", "worker-1", "worker-2"].map(String::from)));
}

#[tokio::test]
async fn two_or_two_hundred_connections_are_spread_evenly() {
    for connections in [2, 16, 200] {
        let limits = server::Limits { workers: NonZeroUsize::new(2).unwrap(), ..Default::default() };
        let server = Running::start(limits, Default::default());
        let (mut open, mut of_worker) = (Vec::new(), BTreeMap::<_, usize>::new());
        for _ in 0..connections {
            let mut client = server.client().await;
            *of_worker.entry(tell(&mut client, "thread").await.unwrap()).or_default() += 1;
            open.push(client);
        }
        let half = connections / 2;
        assert_eq!(of_worker, BTreeMap::from([("worker-0".to_owned(), half), ("worker-1".to_owned(), half)]));
    }
}

#[tokio::test]
async fn an_address_that_has_as_many_connections_as_it_may_is_refused_until_one_closes() {
    let places = server::Places { max_connections_per_peer: NonZeroUsize::MIN, ..Default::default() };
    let limits = server::Limits { places, ..Default::default() };
    let server = Running::start(limits, Default::default());
    let mut first = server.socket().await;
    first.read_u8().await.expect("the first connection is served");
    let mut second = server.socket().await;
    second.read_u8().await.expect_err("the second connection is closed");
    drop(first);
    let freed = async { while server.socket().await.read_u8().await.is_err() {} };
    timeout(PATIENCE, freed).await.expect("the place is free again");
}

#[tokio::test]
async fn a_full_server_serves_the_next_connection_when_one_closes() {
    let places = server::Places { max_connections: NonZeroUsize::MIN, ..Default::default() };
    let limits = server::Limits { places, ..Default::default() };
    let server = Running::start(limits, Default::default());
    let mut first = server.client().await;
    tell(&mut first, "served").await.unwrap();
    let mut second = server.socket().await;
    let mut byte = [0];
    let waits = tokio::select! {
        biased;
        _ = second.read(&mut byte) => false,
        told = tell(&mut first, "still served") => told.is_ok(),
    };
    assert!(waits, "the second connection was served beside the first");
    drop(first);
    assert_eq!(timeout(PATIENCE, second.read(&mut byte)).await.expect("served").unwrap(), 1);
}

#[tokio::test]
async fn peers_are_told_the_limits_of_a_connection() {
    let server = Running::start_default();
    let (kind, _, _, settings) = Peer::silent(server.address).await.hear().await.unwrap();
    assert_eq!(kind, SETTINGS);
    let value = |id: u16| {
        let setting = settings.chunks(6).find(|setting| setting[..2] == id.to_be_bytes())?;
        Some(u32::from_be_bytes(setting[2..].try_into().unwrap()))
    };
    assert_eq!(value(3), Some(256), "concurrent streams");
    assert_eq!(value(4), Some(64 * 1024), "stream window");
    assert_eq!(value(6), Some(16 * 1024), "header list");
}

#[tokio::test]
async fn a_peer_that_resets_what_it_opens_is_told_to_calm_down_and_others_are_served() {
    let server = Running::start_default();
    let mut other = server.client().await;
    let mut attack = Vec::new();
    for stream in (1..2_000_u32).step_by(2) {
        // POST http /, from the static table, and then CANCEL.
        attack.extend(frame(HEADERS, END_HEADERS, stream, &[0x83, 0x86, 0x84]));
        attack.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
    }
    let mut peer = Peer::greeting(server.address, &[]).await;
    // The server may close before it has read everything.
    let _ = peer.say(&attack).await;
    assert_eq!(peer.closed_within(PATIENCE).await, Some(ENHANCE_YOUR_CALM));
    assert_eq!(tell(&mut other, "served").await.unwrap(), "served");
}

#[tokio::test]
async fn an_old_connection_is_told_to_go_and_finishes_its_calls() {
    let limits = server::Limits { max_connection_age: Duration::from_millis(500), ..Default::default() };
    let server = Running::start(limits, Default::default());
    let client = server.h2().await;
    let in_flight = tokio::spawn(raw(client.clone(), GET_SESSION, &[GRPC], framed(&ask("wait"))));
    server.toy.has_waiting(1).await;
    let told_to_go = async {
        while client.clone().ready().await.is_ok() {
            tokio::task::yield_now().await
        }
    };
    timeout(PATIENCE, told_to_go).await.expect("a GOAWAY");
    server.toy.release();
    let (status, headers) = in_flight.await.unwrap();
    assert_eq!((status.as_u16(), headers.get("grpc-status")), (200, None));
}

// Calls.

#[tokio::test]
async fn a_panic_ends_its_own_call_and_no_other() {
    let server = Running::start_default();
    let mut client = server.client().await;
    let in_flight = tokio::spawn({
        let mut client = client.clone();
        async move { tell(&mut client, "wait").await }
    });
    server.toy.has_waiting(1).await;
    let status = tell(&mut client, "panic").await.unwrap_err();
    assert_eq!(reason(&status), expected(Code::Internal, "INTERNAL"));
    assert!(!status.message().contains("asked to"), "the panic's text may quote a request");
    assert_eq!(tell(&mut client, "next").await.unwrap(), "next");
    server.toy.release();
    assert_eq!(in_flight.await.unwrap().unwrap(), "waited");
}

#[tokio::test]
async fn a_call_ends_at_its_callers_deadline() {
    let server = Running::start_default();
    let began = Instant::now();
    let status = fails(&server, GET_SESSION, &[GRPC, ("grpc-timeout", "100m")], framed(&ask("wait"))).await;
    let took = began.elapsed();
    assert_eq!(reason(&status), expected(Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    assert!(status.get_details_retry_info().is_some());
    assert!(took >= Duration::from_millis(100) && took < Duration::from_secs(2), "took {took:?}");
}

#[tokio::test]
async fn a_call_ends_at_the_servers_limit_whatever_its_caller_says() {
    let calls = grpc::Limits { timeout: Duration::from_millis(50), ..Default::default() };
    let server = Running::start(Default::default(), calls);
    for headers in [vec![GRPC], vec![GRPC, ("grpc-timeout", "1H")]] {
        let status = fails(&server, GET_SESSION, &headers, framed(&ask("wait"))).await;
        assert_eq!(reason(&status), expected(Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    }
}

#[tokio::test]
async fn a_method_that_may_wait_has_a_limit_of_its_own() {
    let calls = grpc::Limits { waiting_timeout: Duration::from_millis(50), ..Default::default() };
    let server = Running::start(Default::default(), calls);
    let began = Instant::now();
    let status = fails(&server, "/waypost.v1.RedirectService/ResolveRedirect", &[GRPC], framed(&ask(""))).await;
    assert_eq!(reason(&status), expected(Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    assert!(began.elapsed() < grpc::Limits::default().timeout, "the other methods' limit");
}

#[tokio::test]
async fn a_method_can_read_its_deadline() {
    let server = Running::start_default();
    let left_ms: u64 = tell(&mut server.client().await, "deadline").await.unwrap().parse().unwrap();
    assert!((1..=5_000).contains(&left_ms), "{left_ms} ms");
}

#[tokio::test]
async fn every_fault_of_a_request_has_its_reason() {
    let server = Running::start_default();
    let good = || framed(&ask("x"));
    let too_large = framed(&ask(&"x".repeat(256 * 1024)));
    let not_a_message = vec![0, 0, 0, 0, 2, 0xff, 0xff];
    let not_utf8 = vec![0, 0, 0, 0, 3, 0x0a, 1, 0xff];
    let cut_off = vec![0, 0, 0, 0, 9, 0x0a];
    let compressed = vec![1, 0, 0, 0, 0];
    let flag_unknown = vec![7, 0, 0, 0, 0];
    let encoding = ("grpc-encoding", "gzip");
    for (path, headers, body, code, name) in [
        (GET_SESSION, vec![GRPC], too_large, Code::ResourceExhausted, "MESSAGE_TOO_LARGE"),
        (GET_SESSION, vec![GRPC], not_a_message, Code::InvalidArgument, "MALFORMED_MESSAGE"),
        (GET_SESSION, vec![GRPC], not_utf8, Code::InvalidArgument, "MALFORMED_MESSAGE"),
        (GET_SESSION, vec![GRPC], cut_off, Code::InvalidArgument, "MALFORMED_MESSAGE"),
        (GET_SESSION, vec![GRPC], compressed, Code::InvalidArgument, "MALFORMED_MESSAGE"),
        (GET_SESSION, vec![GRPC], flag_unknown, Code::InvalidArgument, "MALFORMED_MESSAGE"),
        (GET_SESSION, vec![GRPC], vec![], Code::InvalidArgument, "MALFORMED_MESSAGE"),
        (GET_SESSION, vec![GRPC, encoding], good(), Code::Unimplemented, "METHOD_NOT_FOUND"),
        (GET_SESSION, vec![GRPC, ("grpc-timeout", "soon")], good(), Code::InvalidArgument, "INVALID_FIELD"),
        ("/waypost.v1.RedirectService/Other", vec![GRPC], good(), Code::Unimplemented, "METHOD_NOT_FOUND"),
        ("/waypost.v1.MerchantService/Other", vec![GRPC], good(), Code::Unimplemented, "METHOD_NOT_FOUND"),
        ("/waypost.v1.RedirectServices/GetSession", vec![GRPC], good(), Code::Unimplemented, "METHOD_NOT_FOUND"),
        ("/", vec![GRPC], good(), Code::Unimplemented, "METHOD_NOT_FOUND"),
    ] {
        let status = fails(&server, path, &headers, body).await;
        assert_eq!(reason(&status), expected(code, name), "{path} {headers:?}: {status:?}");
        let violations = status.get_details_bad_request().map_or(0, |bad| bad.field_violations.len());
        assert_eq!(violations, usize::from(code == Code::InvalidArgument), "{path} {headers:?}: {status:?}");
    }
}

#[tokio::test]
async fn a_request_of_the_largest_size_is_served() {
    let server = Running::start_default();
    // The field's tag and length take four bytes.
    let longest = "x".repeat(256 * 1024 - 4);
    assert_eq!(tell(&mut server.client().await, &longest).await.unwrap(), longest);
}

#[tokio::test]
async fn what_is_not_grpc_is_told_so_in_http() {
    let server = Running::start_default();
    for headers in [vec![], vec![("content-type", "application/json")], vec![("content-type", "application/grpc-web")]]
    {
        let (status, answer) = server.raw(GET_SESSION, &headers, framed(&ask("x"))).await;
        assert_eq!((status.as_u16(), answer.get("grpc-status")), (415, None));
    }
}

#[tokio::test]
async fn a_full_server_refuses_calls_at_once_and_stays_healthy() {
    let calls = grpc::Limits { max_calls: 2, ..Default::default() };
    let server = Running::start(Default::default(), calls);
    let waiting: Vec<_> = [server.client().await, server.client().await]
        .into_iter()
        .map(|mut client| tokio::spawn(async move { tell(&mut client, "wait").await }))
        .collect();
    server.toy.has_waiting(2).await;

    let mut client = server.client().await;
    let status = tell(&mut client, "one too many").await.unwrap_err();
    assert_eq!(reason(&status), expected(Code::ResourceExhausted, "OVERLOADED"));
    assert!(status.get_details_retry_info().is_some_and(|retry| retry.retry_delay.is_some()));
    let health = HealthClient::new(server.channel().await).check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(health.into_inner().status(), ServingStatus::Serving);

    server.toy.release();
    for call in waiting {
        assert_eq!(call.await.unwrap().unwrap(), "waited");
    }
    assert_eq!(tell(&mut client, "free again").await.unwrap(), "free again");
}

#[tokio::test]
async fn calls_that_are_answered_before_their_requests_come_cost_no_connection() {
    let full = grpc::Limits { max_calls: 0, ..Default::default() };
    answers_a_thousand_calls_by_their_heads(full, GET_SESSION).await;
    answers_a_thousand_calls_by_their_heads(grpc::Limits::default(), "/waypost.v1.NoService/GetSession").await;
}

async fn answers_a_thousand_calls_by_their_heads(limits: grpc::Limits, path: &str) {
    const AT_ONCE: u32 = 200;
    let server = Running::start(Default::default(), limits);
    let mut peer = Peer::greeting(server.address, &[]).await;
    let body = framed(&ask("x"));
    for round in 0..5 {
        let streams = (0..AT_ONCE).map(|number| 1 + 2 * (round * AT_ONCE + number));
        let heads: Vec<u8> = streams.clone().flat_map(|stream| call(stream, path)).collect();
        peer.say(&heads).await.unwrap();
        assert_eq!(resets_until_answered(&mut peer, AT_ONCE).await, 0, "{path}, round {round}");
        let bodies: Vec<u8> = streams.flat_map(|stream| frame(DATA, END_STREAM, stream, &body)).collect();
        peer.say(&bodies).await.unwrap();
    }
    assert_eq!(resets_until_pong(&mut peer).await, 0, "{path}");
}

#[tokio::test]
async fn a_worker_waits_for_the_rest_of_so_many_answered_requests_and_no_more() {
    const STREAMS: u32 = 256;
    const MAX: u32 = 4_096;
    let server =
        Running::start(server::Limits { workers: NonZeroUsize::MIN, ..Default::default() }, Default::default());
    let mut resets = 0;
    let mut peers = Vec::new();
    for _ in 0..MAX / STREAMS + 2 {
        let mut peer = Peer::greeting(server.address, &[]).await;
        let heads: Vec<u8> = (0..STREAMS).flat_map(|number| call(1 + 2 * number, "/no.Service/None")).collect();
        peer.say(&heads).await.unwrap();
        resets += resets_until_answered(&mut peer, STREAMS).await + resets_until_pong(&mut peer).await;
        peers.push(peer);
    }
    assert_eq!(resets, 2 * STREAMS);
    assert_eq!(tell(&mut server.client().await, "others are served").await.unwrap(), "others are served");
}

/// How many streams the server resets until it has answered so many calls. The connection has to stand.
async fn resets_until_answered(peer: &mut Peer, calls: u32) -> u32 {
    let mut answered = 0;
    resets_until(peer, |kind, flags| {
        answered += u32::from(kind == HEADERS && flags & END_STREAM != 0);
        answered == calls
    })
    .await
}

/// The same until it has answered a ping.
async fn resets_until_pong(peer: &mut Peer) -> u32 {
    peer.say(&frame(PING, 0, 0, &[0; 8])).await.unwrap();
    resets_until(peer, |kind, flags| kind == PING && flags & ACK != 0).await
}

async fn resets_until(peer: &mut Peer, mut is_over: impl FnMut(u8, u8) -> bool) -> u32 {
    let mut resets = 0;
    loop {
        let (kind, flags, ..) = timeout(PATIENCE, peer.hear()).await.expect("it answers").expect("a connection");
        assert_ne!(kind, GOAWAY);
        resets += u32::from(kind == RST_STREAM);
        if is_over(kind, flags) {
            return resets;
        }
    }
}

#[tokio::test]
async fn a_request_that_goes_on_and_on_after_its_answer_is_reset_in_the_end() {
    const PART: usize = 1_024;
    let server = Running::start(Default::default(), grpc::Limits { max_calls: 0, ..Default::default() });
    let head = http::Request::post(format!("http://server{GET_SESSION}")).header(GRPC.0, GRPC.1).body(()).unwrap();
    let (answer, mut request) = server.h2().await.ready().await.unwrap().send_request(head, false).unwrap();
    assert_eq!(answer.await.unwrap().headers()["grpc-status"], "8");
    let mut said = 0;
    let saying = async {
        loop {
            request.reserve_capacity(PART);
            let Some(Ok(room)) = poll_fn(|cx| request.poll_capacity(cx)).await else { break };
            said += room.min(PART);
            if request.send_data(vec![0; room.min(PART)].into(), false).is_err() {
                break;
            }
        }
        poll_fn(|cx| request.poll_reset(cx)).await
    };
    let reset = timeout(PATIENCE, saying).await.expect("not listened to for ever").unwrap();
    assert_eq!(reset, h2::Reason::NO_ERROR);
    // What the peer can have sent before it heard the answer is no fault of its own.
    assert!((64 * 1_024..1_024 * 1_024).contains(&said), "{said} bytes");
}

#[tokio::test]
async fn a_call_whose_caller_is_gone_counts_no_more() {
    let calls = grpc::Limits { max_calls: 1, ..Default::default() };
    let server = Running::start(Default::default(), calls);
    let mut client = server.client().await;
    let mut other = client.clone();
    let gone = tokio::spawn(async move { tell(&mut other, "wait").await });
    server.toy.has_waiting(1).await;
    gone.abort();
    let freed = async { while tell(&mut client, "x").await.is_err() {} };
    timeout(PATIENCE, freed).await.expect("the place is free again");
}

#[tokio::test]
async fn reflection_knows_the_services_and_the_details_of_errors() {
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let server = Running::start_default();
    let mut client = ServerReflectionClient::new(server.channel().await);
    let symbols = [
        "waypost.v1.RedirectService.ResolveRedirect",
        "waypost.v1.MerchantService",
        "waypost.v1.ErrorReason",
        "google.rpc.ErrorInfo",
        "google.rpc.RetryInfo",
        "google.protobuf.Struct",
        "google.protobuf.Duration",
        "google.protobuf.Any",
        "grpc.health.v1.Health",
    ];
    let requests = symbols.map(|symbol| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileContainingSymbol(symbol.to_owned())),
    });
    let mut answers = client.server_reflection_info(tokio_stream::iter(requests)).await.unwrap().into_inner();
    for symbol in symbols {
        let answer = answers.message().await.unwrap().unwrap().message_response;
        assert!(matches!(answer, Some(MessageResponse::FileDescriptorResponse(_))), "{symbol}: {answer:?}");
    }
}

#[tokio::test]
async fn errors_of_the_standard_services_have_a_reason_too() {
    use tonic_reflection::pb::{v1, v1::server_reflection_request::MessageRequest::FileContainingSymbol, v1alpha};
    let server = Running::start_default();
    let mut health = HealthClient::new(server.channel().await);
    let unknown = HealthCheckRequest { service: "no.such.Service".into() };
    let checked = health.check(unknown.clone()).await.unwrap_err();
    let watched = health.watch(unknown).await.unwrap_err();
    for status in [checked, watched] {
        assert_eq!(reason(&status), expected(Code::NotFound, "NAME_NOT_FOUND"));
    }
    let unknown = "no.such.Service".to_owned();
    let mut reflection = v1::server_reflection_client::ServerReflectionClient::new(server.channel().await);
    for (message_request, code, name) in [
        (Some(FileContainingSymbol(unknown.clone())), Code::NotFound, "NAME_NOT_FOUND"),
        (None, Code::InvalidArgument, "MALFORMED_MESSAGE"),
    ] {
        let request = v1::ServerReflectionRequest { message_request, ..Default::default() };
        let mut answers = reflection.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
        assert_eq!(reason(&answers.message().await.unwrap_err()), expected(code, name));
    }
    let mut reflection = v1alpha::server_reflection_client::ServerReflectionClient::new(server.channel().await);
    let message_request = Some(v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(unknown));
    let request = v1alpha::ServerReflectionRequest { message_request, ..Default::default() };
    let mut answers = reflection.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    assert_eq!(reason(&answers.message().await.unwrap_err()), expected(Code::NotFound, "NAME_NOT_FOUND"));
}

#[tokio::test]
async fn reflection_speaks_its_older_version_too() {
    use tonic_reflection::pb::v1alpha::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let server = Running::start_default();
    let mut client = ServerReflectionClient::new(server.channel().await);
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = client.server_reflection_info(tokio_stream::once(list)).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) = answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("not a list")
    };
    let names: BTreeSet<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    for name in ["waypost.v1.RedirectService", "waypost.v1.MerchantService", "grpc.health.v1.Health"] {
        assert!(names.contains(name), "{name} is not in {names:?}");
    }
}

// The drain.

#[tokio::test]
async fn a_drain_under_load_cuts_no_call() {
    let mut server = Running::start_default();
    let mut loads = Vec::new();
    for _ in 0..4 {
        let client = server.client().await;
        for _ in 0..8 {
            let mut client = client.clone();
            loads.push(tokio::spawn(async move {
                let mut answered = 0;
                while tell(&mut client, "load").await.is_ok() {
                    answered += 1;
                }
                answered
            }));
        }
        let mut client = client.clone();
        loads.push(tokio::spawn(async move { tell(&mut client, "wait").await.map_or(0, |_| 1) }));
    }
    server.toy.has_waiting(4).await;
    timeout(PATIENCE, server.toy.has_begun(1_000)).await.unwrap();

    let (toy, drain) = (server.toy.clone(), server.drain.clone());
    server.stop();
    drain.begun().await;
    toy.release();
    let mut answered = 0;
    for load in loads {
        answered += load.await.unwrap();
    }
    assert_eq!(server.drained().await.cut, 0);
    assert_eq!(answered, toy.begun(), "every call that was begun was answered");
}

#[tokio::test]
async fn a_drain_waits_neither_for_a_silent_connection_nor_for_a_watcher() {
    // So that it is not the time for the preface that ends the silent one.
    let limits = server::Limits { preface_timeout: PATIENCE * 2, ..Default::default() };
    let mut server = Running::start(limits, Default::default());
    let mut silent = server.socket().await;
    silent.read_u8().await.expect("served");
    let mut health = HealthClient::new(server.channel().await);
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);

    let began = Instant::now();
    server.stop();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert_eq!(watch.message().await.unwrap(), None);
    assert_eq!(server.drained().await.cut, 0);
    assert!(began.elapsed() < server::Limits::default().grace / 2);
}

#[tokio::test]
async fn a_drain_cuts_at_the_grace_limit_what_does_not_end() {
    let limits = server::Limits { grace: Duration::from_millis(100), ..Default::default() };
    let mut server = Running::start(limits, Default::default());
    // It says the preface and then nothing, so it never confirms the GOAWAY.
    let mut mute = server.socket().await;
    mute.write_all(PREFACE).await.unwrap();
    mute.read_u8().await.expect("served");
    let mut client = server.client().await;
    let endless = tokio::spawn(async move { tell(&mut client, "wait").await });
    server.toy.has_waiting(1).await;

    let began = Instant::now();
    server.stop();
    assert_eq!(server.drained().await.cut, 2);
    assert!(began.elapsed() >= Duration::from_millis(100));
    endless.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn a_lame_duck_says_that_it_is_not_serving_and_serves() {
    let limits = server::Limits { lame_duck: Duration::from_secs(2), ..Default::default() };
    let mut server = Running::start(limits, Default::default());
    let mut health = HealthClient::new(server.channel().await);
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    watch.message().await.unwrap();
    server.stop();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    for service in ["", "waypost.v1.RedirectService", "waypost.v1.MerchantService"] {
        let check = HealthCheckRequest { service: service.to_owned() };
        assert_eq!(health.check(check).await.unwrap().into_inner().status(), ServingStatus::NotServing, "{service}");
    }
    // On a new connection, too.
    assert_eq!(tell(&mut server.client().await, "served").await.unwrap(), "served");
    assert_eq!(server.drained().await.cut, 0);
}

/// Calls and gives the error, which must be the whole answer.
async fn fails(server: &Running, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Status {
    let (code, answer) = server.raw(path, headers, body).await;
    assert_eq!(code.as_u16(), 200);
    Status::from_header_map(&answer).unwrap_or_else(|| panic!("no status in {answer:?}"))
}
