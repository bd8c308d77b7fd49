//! The three calls that the benchmark makes, as a team would write them on tonic: its server with its defaults, sessions
//! in a map as JSON, a regular expression, and `query_pairs_mut`.

use regex::{Captures, Regex};
use serde_json::{Map, Value, json};
use std::{
    collections::HashMap,
    pin::Pin,
    sync::{LazyLock, RwLock},
};
use tokio_stream::Empty;
use tonic::{Request, Response, Status, Streaming, transport::server::TcpIncoming};
use url::Url;
use uuid::Uuid;
use waypost::proto::v1::{
    redirect_service_server::{RedirectService, RedirectServiceServer},
    *,
};

static PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\{\{\s*(.+?)\s*\}\}").expect("an expression"));
static STEP: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\[([^\]]+)\]|([^.\[\]]+)").expect("an expression"));

/// Serves on a free port, and says which.
pub fn serve() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        println!("gRPC {}", listener.local_addr().expect("its address"));
        tonic::transport::Server::builder()
            .add_service(RedirectServiceServer::new(Naive::default()))
            // As tonic's own listener does it by default.
            .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
            .await
            .expect("to serve");
    });
}

#[derive(Default)]
struct Naive {
    sessions: RwLock<HashMap<String, Session>>,
}

struct Session {
    root: Value,
    redirect_url: String,
    outcome: Option<Outcome>,
}

/// The value at a path such as `items[0].type`.
fn look_up(root: &Value, path: &str) -> Option<String> {
    let mut value = root;
    for step in STEP.captures_iter(path) {
        let name = step.get(1).or_else(|| step.get(2))?.as_str();
        value = match value {
            Value::Object(fields) => fields.get(name)?,
            Value::Array(values) => values.get(name.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// The URL with its placeholders filled, and those that name nothing.
fn fill(session: &Session) -> Result<(Url, Vec<String>), url::ParseError> {
    let template = Url::parse(&session.redirect_url)?;
    let (mut url, mut unresolved) = (template.clone(), Vec::new());
    let mut pairs = url.query_pairs_mut();
    pairs.clear();
    for (name, value) in template.query_pairs() {
        let filled = PLACEHOLDER.replace_all(&value, |written: &Captures<'_>| {
            look_up(&session.root, &written[1]).unwrap_or_else(|| {
                unresolved.push(written[0].to_owned());
                written[0].to_owned()
            })
        });
        pairs.append_pair(&name, &filled);
    }
    drop(pairs);
    Ok((url, unresolved))
}

fn to_json(value: prost_types::Value) -> Value {
    use prost_types::value::Kind;
    match value.kind {
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::NumberValue(number)) => number.into(),
        Some(Kind::BoolValue(truth)) => truth.into(),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(to_json).collect(),
        Some(Kind::StructValue(fields)) => to_object(fields),
        Some(Kind::NullValue(_)) | None => Value::Null,
    }
}

fn to_object(fields: prost_types::Struct) -> Value {
    Value::Object(fields.fields.into_iter().map(|(name, value)| (name, to_json(value))).collect::<Map<_, _>>())
}

type Answer<T> = Result<Response<T>, Status>;
type Never<T> = Pin<Box<Empty<Result<T, Status>>>>;

fn not_needed<T>() -> Answer<T> {
    Err(Status::unimplemented("the benchmark does not call it"))
}

#[tonic::async_trait]
impl RedirectService for Naive {
    async fn create_payment(&self, request: Request<CreatePaymentRequest>) -> Answer<CreatePaymentResponse> {
        let request = request.into_inner();
        let session_id = format!("invoice_{}", Uuid::now_v7());
        let items = request.items.iter();
        let items = items.map(|item| json!({"type": item.r#type, "price": item.price, "currency": item.currency}));
        let root = json!({
            "id": session_id,
            "kind": "payment",
            "merchant_id": request.merchant_id,
            "customer_email": request.customer_email,
            "items": items.collect::<Vec<_>>(),
            "metadata": request.metadata.map(to_object),
        });
        let session = Session { root, redirect_url: request.redirect_url, outcome: None };
        self.sessions.write().expect("no panic").insert(session_id.clone(), session);
        let session = waypost::proto::v1::Session {
            session_id,
            merchant_id: request.merchant_id,
            ..waypost::proto::v1::Session::default()
        };
        Ok(Response::new(CreatePaymentResponse { session: Some(session), ..CreatePaymentResponse::default() }))
    }

    async fn record_outcome(&self, request: Request<RecordOutcomeRequest>) -> Answer<RecordOutcomeResponse> {
        let request = request.into_inner();
        let mut sessions = self.sessions.write().expect("no panic");
        let session = sessions.get_mut(&request.session_id).ok_or_else(|| Status::not_found("no such session"))?;
        session.outcome = Some(request.outcome());
        session.root["payment_id"] = request.payment_id.into();
        session.root["status"] = request.status.into();
        Ok(Response::new(RecordOutcomeResponse { applied: true, ..RecordOutcomeResponse::default() }))
    }

    async fn resolve_redirect(&self, request: Request<ResolveRedirectRequest>) -> Answer<ResolveRedirectResponse> {
        let request = request.into_inner();
        let sessions = self.sessions.read().expect("no panic");
        let session = sessions.get(&request.session_id).ok_or_else(|| Status::not_found("no such session"))?;
        let outcome = match request.outcome() {
            Outcome::Unspecified => session.outcome.unwrap_or(Outcome::Cancel),
            named => named,
        };
        let refused = || Status::failed_precondition("the return URL may not be used");
        let (url, unresolved_placeholders) = fill(session).map_err(|_| refused())?;
        if url.scheme() != "https" || url.host_str().is_none() || !url.username().is_empty() {
            return Err(refused());
        }
        let redirect = Redirect {
            outcome: outcome.into(),
            action: Action::Redirect.into(),
            url: url.into(),
            source: Source::Request.into(),
            unresolved_placeholders,
            ..Redirect::default()
        };
        Ok(Response::new(ResolveRedirectResponse { redirect: Some(redirect) }))
    }

    type ResolveRedirectsStream = Never<ResolveRedirectsResponse>;
    type WatchSessionStream = Never<WatchSessionResponse>;

    async fn create_checkout(&self, _: Request<CreateCheckoutRequest>) -> Answer<CreateCheckoutResponse> {
        not_needed()
    }

    async fn create_order(&self, _: Request<CreateOrderRequest>) -> Answer<CreateOrderResponse> {
        not_needed()
    }

    async fn get_session(&self, _: Request<GetSessionRequest>) -> Answer<GetSessionResponse> {
        not_needed()
    }

    async fn resolve_redirects(
        &self,
        _: Request<Streaming<ResolveRedirectsRequest>>,
    ) -> Answer<Self::ResolveRedirectsStream> {
        not_needed()
    }

    async fn watch_session(&self, _: Request<WatchSessionRequest>) -> Answer<Self::WatchSessionStream> {
        not_needed()
    }

    async fn preview_redirects(&self, _: Request<PreviewRedirectsRequest>) -> Answer<PreviewRedirectsResponse> {
        not_needed()
    }

    async fn verify_return(&self, _: Request<VerifyReturnRequest>) -> Answer<VerifyReturnResponse> {
        not_needed()
    }
}
