//! With the feature `otel`: calls as a collector of OpenTelemetry's protocol receives them.
#![cfg(feature = "otel")]

#[path = "support/process.rs"]
#[allow(dead_code, reason = "shared with tests that do more")]
mod process;

use process::Process;
use prost::Message;
use std::{
    convert::Infallible,
    future::{Future, ready},
    net::TcpListener,
    pin::Pin,
    process::Command,
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{BoxFuture, Service, http},
    server::{Grpc, NamedService, UnaryService},
    transport::{Channel, Server},
};
use tonic_prost::ProstCodec;
use waypost::proto::v1::{ResolveRedirectRequest, redirect_service_client::RedirectServiceClient};

/// Above what anything takes here, on a machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(30);

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT_ID: &str = "00f067aa0ba902b7";
const UNKNOWN: &str = "invoice_01986132-e354-7676-9b4a-fc8dd5c5253e";

// As much of opentelemetry/proto/collector/trace/v1 as is looked at.

#[derive(Clone, PartialEq, Message)]
struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ExportResponse {}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(string, optional, tag = "1")]
    string_value: Option<String>,
}

/// A collector that hands on what it receives.
#[derive(Clone)]
struct Collector(mpsc::UnboundedSender<ExportRequest>);

impl NamedService for Collector {
    const NAME: &'static str = "opentelemetry.proto.collector.trace.v1.TraceService";
}

impl UnaryService<ExportRequest> for Collector {
    type Response = ExportResponse;
    type Future = Pin<Box<dyn Future<Output = Result<Response<ExportResponse>, Status>> + Send>>;

    fn call(&mut self, request: Request<ExportRequest>) -> Self::Future {
        let _ = self.0.send(request.into_inner());
        Box::pin(ready(Ok(Response::new(ExportResponse {}))))
    }
}

impl Service<http::Request<Body>> for Collector {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        assert_eq!(request.uri().path(), format!("/{}/Export", Self::NAME));
        let service = self.clone();
        Box::pin(async move { Ok(Grpc::new(ProstCodec::default()).unary(service, request).await) })
    }
}

/// Starts one, and says where it is and what it receives.
async fn collector() -> (String, mpsc::UnboundedReceiver<ExportRequest>) {
    let (received, receiver) = mpsc::unbounded_channel();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    let server = Server::builder().add_service(Collector(received));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (url, receiver)
}

struct Waypost {
    process: Process,
    grpc: String,
}

impl Waypost {
    fn start(variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"));
        command.env_clear().args(["serve", "--grpc-addr", "127.0.0.1:0", "--page-addr", "off", "--ops-addr", "off"]);
        command.args(["--store", "memory:", "--workers", "1", "--log", "warn"]).envs(variables.iter().copied());
        let mut process = Process::start(&mut command);
        let grpc = process.said("gRPC");
        Self { process, grpc }
    }

    async fn resolve(&self, traceparent: Option<String>) {
        let channel = Channel::from_shared(format!("http://{}", self.grpc)).expect("a URL");
        let mut client = RedirectServiceClient::new(channel.connect().await.expect("connected"));
        let mut request = Request::new(ResolveRedirectRequest { session_id: UNKNOWN.into(), ..Default::default() });
        request.metadata_mut().insert("x-request-id", "req-1".parse().expect("a header"));
        if let Some(traceparent) = traceparent {
            request.metadata_mut().insert("traceparent", traceparent.parse().expect("a header"));
        }
        client.resolve_redirect(request).await.expect_err("not there");
    }

    /// Ends it, which sends what is left.
    fn stop(mut self) {
        assert!(self.process.stop().success());
    }
}

fn value<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.string_value.as_deref()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_a_span_of_its_callers_trace() {
    let (url, mut received) = collector().await;
    let waypost = Waypost::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)]);
    waypost.resolve(Some(format!("00-{TRACE_ID}-{PARENT_ID}-01"))).await;
    tokio::task::spawn_blocking(|| waypost.stop()).await.expect("stopped");
    let export = tokio::time::timeout(PATIENCE, received.recv()).await.expect("in time").expect("an export");
    let [of_resource] = &export.resource_spans[..] else { panic!("{export:?}") };
    let resource = of_resource.resource.as_ref().expect("a resource");
    assert_eq!(value(&resource.attributes, "service.name"), Some("waypost"));
    assert_eq!(value(&resource.attributes, "service.version"), Some(env!("CARGO_PKG_VERSION")));
    let spans: Vec<_> = of_resource.scope_spans.iter().flat_map(|scope| &scope.spans).collect();
    let [span] = spans[..] else { panic!("{export:?}") };
    assert_eq!((hex(&span.trace_id), hex(&span.parent_span_id)), (TRACE_ID.to_owned(), PARENT_ID.to_owned()));
    assert_eq!((span.name.as_str(), span.kind), ("waypost.v1.RedirectService/ResolveRedirect", 2));
    assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
    for (key, expected) in [
        ("rpc.system", "grpc"),
        ("rpc.service", "waypost.v1.RedirectService"),
        ("rpc.method", "ResolveRedirect"),
        ("rpc.grpc.status_code", "NOT_FOUND"),
        ("waypost.request_id", "req-1"),
        ("waypost.session_id", UNKNOWN),
    ] {
        assert_eq!(value(&span.attributes, key), Some(expected), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_caller_or_the_operator_does_not_sample_is_not_sent() {
    let (url, mut received) = collector().await;
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str());
    for (variables, flags) in [
        (vec![endpoint], Some("00")),
        (vec![endpoint, ("OTEL_SDK_DISABLED", "true")], Some("01")),
        (vec![endpoint, ("OTEL_TRACES_EXPORTER", "none")], Some("01")),
        (vec![endpoint, ("OTEL_TRACES_SAMPLER", "always_off")], None),
    ] {
        let waypost = Waypost::start(&variables);
        waypost.resolve(flags.map(|flags| format!("00-{TRACE_ID}-{PARENT_ID}-{flags}"))).await;
        tokio::task::spawn_blocking(|| waypost.stop()).await.expect("stopped");
        assert!(received.try_recv().is_err(), "{variables:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_holds_up_no_call() {
    let away = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", away.local_addr().expect("its address"));
    drop(away);
    let waypost = Waypost::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)]);
    for _ in 0..100 {
        tokio::time::timeout(PATIENCE, waypost.resolve(None)).await.expect("in time");
    }
    tokio::task::spawn_blocking(|| waypost.stop()).await.expect("it ends all the same");
}
