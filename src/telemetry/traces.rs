//! Traces for OpenTelemetry, when it is built with the feature `otel` and told where to send them: a span for each call,
//! with its caller's `traceparent` as its parent.
//!
//! The standard `OTEL_` variables say where to and what: `OTEL_EXPORTER_OTLP_ENDPOINT` turns it on,
//! `OTEL_TRACES_SAMPLER` chooses, `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` name the server. Spans go out in
//! batches from a thread of their own; when the collector does not keep up, they are dropped rather than calls held up.

use super::call::Notes;
use opentelemetry::{
    Context, KeyValue,
    trace::{
        Span, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer,
        TracerProvider,
    },
};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracer, SdkTracerProvider},
};
use std::{
    env,
    sync::OnceLock,
    time::{Duration, SystemTime},
};
use tokio::runtime::{Builder, Runtime};

static EXPORT: OnceLock<Export> = OnceLock::new();

struct Export {
    tracer: SdkTracer,
    provider: SdkTracerProvider,
    /// Where the connection to the collector lives: not on a thread that serves calls, nor on the one that waits for the
    /// last spans to be sent.
    _runtime: Runtime,
}

/// How long the end of the process waits for the last spans.
const LAST_SPANS: Duration = Duration::from_secs(5);

/// Begins to export, if the environment says where to.
pub(super) fn start() -> Result<(), String> {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    let is = |name, wanted: &str| env::var(name).is_ok_and(|value| value.eq_ignore_ascii_case(wanted));
    let has_target = is_set("OTEL_EXPORTER_OTLP_ENDPOINT") || is_set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    if !has_target || is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
        return Ok(());
    }
    let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("traces").enable_all().build();
    let runtime = runtime.map_err(|error| format!("no thread for them: {error}"))?;
    let exporter = {
        let _entered = runtime.enter();
        opentelemetry_otlp::SpanExporter::builder().with_tonic().build().map_err(|error| error.to_string())?
    };
    let mut resource = Resource::builder();
    if !is_set("OTEL_SERVICE_NAME") {
        resource = resource.with_service_name("waypost");
    }
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let resource = resource.with_attribute(version).build();
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
    let tracer = provider.tracer("waypost");
    drop(EXPORT.set(Export { tracer, provider, _runtime: runtime }));
    Ok(())
}

/// Whether calls are exported.
pub(super) fn is_on() -> bool {
    EXPORT.get().is_some()
}

/// Exports a call that has just ended, and returns the id of its trace.
pub(super) fn export(notes: &Notes, method: &'static str, code: &'static str, took: Duration) -> Option<String> {
    let Export { tracer, .. } = EXPORT.get()?;
    let (service, name) = method.split_once('/').unwrap_or(("", method));
    let mut attributes = vec![
        KeyValue::new("rpc.system", "grpc"),
        KeyValue::new("rpc.service", service),
        KeyValue::new("rpc.method", name),
        KeyValue::new("rpc.grpc.status_code", code),
    ];
    let said = notes.said();
    attributes.extend(said.into_iter().filter_map(|(name, value)| Some(KeyValue::new(name, value?))));
    let end = SystemTime::now();
    let span = tracer
        .span_builder(method)
        .with_kind(SpanKind::Server)
        .with_start_time(end.checked_sub(took).unwrap_or(end))
        .with_attributes(attributes);
    let mut span = span.start_with_context(tracer, &parent(notes).unwrap_or_default());
    // What the specification counts as a server's error.
    if matches!(code, "UNKNOWN" | "DEADLINE_EXCEEDED" | "UNIMPLEMENTED" | "INTERNAL" | "UNAVAILABLE" | "DATA_LOSS") {
        span.set_status(Status::error(code));
    }
    span.end_with_timestamp(end);
    Some(span.span_context().trace_id().to_string())
}

/// The caller's span.
fn parent(notes: &Notes) -> Option<Context> {
    let trace = notes.trace.as_ref()?;
    let flags = if trace.is_sampled() { TraceFlags::SAMPLED } else { TraceFlags::default() };
    let (trace_id, span_id) = (TraceId::from_hex(trace.trace_id()).ok()?, SpanId::from_hex(trace.parent_id()).ok()?);
    Some(Context::new().with_remote_span_context(SpanContext::new(trace_id, span_id, flags, true, TraceState::NONE)))
}

/// Sends what is left, and waits for that a while.
pub(super) fn finish() {
    if let Some(export) = EXPORT.get()
        && let Err(error) = export.provider.shutdown_with_timeout(LAST_SPANS)
    {
        tracing::warn!(%error, "the last traces were not exported");
    }
}
