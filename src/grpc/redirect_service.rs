//! `waypost.v1.RedirectService`: each method reads the request, calls one use case, and writes the answer.

use super::{
    Limits, auth, from_proto,
    layers::deadline::{TimeOfEach, deadline, exceeded},
    limits::{MAX_RESOLVE_STREAM_AGE, MAX_RESOLVE_STREAMS, MAX_WATCH_AGE, MAX_WATCHES, RETRY_AFTER_OVERLOAD},
    resolve_stream::{self, ResolveStream, Resolver},
    status::{self, to_status},
    to_proto,
};
use crate::{
    app::{
        App, CreatedSession, Draft, Error, FairPlace, FairPlaces, PreviewSource, ResolveQuery, Seen, SessionWatch,
        Vouching,
    },
    callers::Scope,
    model::{MerchantId, SessionId, Tenants, Violations},
    pages::Links,
    proto::v1::{self, ErrorReason, preview_redirects_request::Source, redirect_service_server::RedirectService},
    server::Drain,
    telemetry::metrics::Shed,
};
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use std::{
    future::{Future, pending},
    pin::Pin,
    sync::Arc,
    time::Duration,
};
use tokio::time::{sleep, sleep_until};
use tonic::{Code, Request, Response, Status, Streaming};

/// The service.
#[derive(Clone)]
pub struct Redirects {
    app: App,
    links: Option<Arc<Links>>,
    drain: Option<Drain>,
    watches: FairPlaces<MerchantId>,
    /// By the credential's name.
    resolve_streams: FairPlaces<String>,
}

impl Redirects {
    /// The service on those use cases, without pages to link to and without a drain to end streams.
    pub fn new(app: App) -> Self {
        Self {
            app,
            links: None,
            drain: None,
            watches: FairPlaces::new(MAX_WATCHES),
            resolve_streams: FairPlaces::new(MAX_RESOLVE_STREAMS),
        }
    }

    /// Puts links to the buyers' pages into the answers.
    #[must_use]
    pub fn linking(self, links: Arc<Links>) -> Self {
        Self { links: Some(links), ..self }
    }

    /// Ends streams with that drain.
    #[must_use]
    pub fn draining(self, drain: Drain) -> Self {
        Self { drain: Some(drain), ..self }
    }

    fn links(&self) -> Option<&Links> {
        self.links.as_deref()
    }

    fn page_url(&self, id: SessionId) -> String {
        self.links().map(|links| links.page_url(id)).unwrap_or_default()
    }

    /// Creates what a draft describes.
    async fn create(&self, draft: (Draft, Violations), tenants: &Tenants) -> Result<Answered, Status> {
        let (draft, violations) = draft;
        let created = self.app.create_session(draft, violations, tenants).await.map_err(to_status)?;
        let CreatedSession { session, replayed, now } = created;
        let notices = to_proto::notices(&session.notices());
        Ok(Answered { session: Some(to_proto::session(&session, now, self.links())), replayed, notices })
    }

    /// Ready when a stream that begins now has to end, whatever its caller wants.
    fn end_of_stream<R>(&self, revoked: R, max_age: Duration) -> impl Future<Output = ()> + Send + use<R>
    where
        R: Future<Output = ()> + Send,
    {
        let drained = self.drain.as_ref().map(Drain::streams_end);
        async move {
            let drained = async { if let Some(drained) = drained { drained.await } else { pending().await } };
            tokio::select! {
                () = drained => {}
                () = revoked => {}
                // The age at which connections go too, so that none is held longer by a stream that stays open.
                () = sleep(max_age) => {}
            }
        }
    }
}

#[tonic::async_trait]
impl RedirectService for Redirects {
    async fn create_checkout(
        &self,
        request: Request<v1::CreateCheckoutRequest>,
    ) -> Result<Response<v1::CreateCheckoutResponse>, Status> {
        let tenants = auth::tenants(&request);
        let Answered { session, replayed, notices } =
            self.create(from_proto::checkout(request.into_inner()), &tenants).await?;
        Ok(Response::new(v1::CreateCheckoutResponse { session, replayed, notices }))
    }

    async fn create_order(
        &self,
        request: Request<v1::CreateOrderRequest>,
    ) -> Result<Response<v1::CreateOrderResponse>, Status> {
        let tenants = auth::tenants(&request);
        let Answered { session, replayed, notices } =
            self.create(from_proto::order(request.into_inner()), &tenants).await?;
        Ok(Response::new(v1::CreateOrderResponse { session, replayed, notices }))
    }

    async fn create_payment(
        &self,
        request: Request<v1::CreatePaymentRequest>,
    ) -> Result<Response<v1::CreatePaymentResponse>, Status> {
        let tenants = auth::tenants(&request);
        let Answered { session, replayed, notices } =
            self.create(from_proto::payment(request.into_inner()), &tenants).await?;
        Ok(Response::new(v1::CreatePaymentResponse { session, replayed, notices }))
    }

    async fn get_session(
        &self,
        request: Request<v1::GetSessionRequest>,
    ) -> Result<Response<v1::GetSessionResponse>, Status> {
        let mut violations = Violations::default();
        let id = from_proto::session_id(&request.get_ref().session_id, &mut violations);
        let id = id.ok_or_else(|| to_status(Error::Invalid(violations)))?;
        let (session, now) = self.app.get_session(id, &auth::tenants(&request)).await.map_err(to_status)?;
        Ok(Response::new(v1::GetSessionResponse { session: Some(to_proto::session(&session, now, self.links())) }))
    }

    async fn record_outcome(
        &self,
        request: Request<v1::RecordOutcomeRequest>,
    ) -> Result<Response<v1::RecordOutcomeResponse>, Status> {
        let tenants = auth::tenants(&request);
        let (id, report) = from_proto::record(request.into_inner()).map_err(Error::Invalid).map_err(to_status)?;
        let recorded = self.app.record_outcome(id, report, &tenants).await.map_err(to_status)?;
        let session = Some(to_proto::session(&recorded.session, recorded.now, self.links()));
        Ok(Response::new(v1::RecordOutcomeResponse { session, applied: recorded.applied }))
    }

    async fn resolve_redirect(
        &self,
        request: Request<v1::ResolveRedirectRequest>,
    ) -> Result<Response<v1::ResolveRedirectResponse>, Status> {
        let tenants = auth::tenants(&request);
        let vouching = vouching(&request);
        let query = from_proto::resolve(request.into_inner(), deadline()).map_err(Error::Invalid).map_err(to_status)?;
        let query = ResolveQuery { vouching, ..query };
        let answer = self.app.resolve_redirect(&query, &tenants).await.map_err(to_status)?;
        let redirect = to_proto::redirect(answer, self.page_url(query.session_id));
        Ok(Response::new(v1::ResolveRedirectResponse { redirect: Some(redirect) }))
    }

    type ResolveRedirectsStream = ResolveStream<Streaming<v1::ResolveRedirectsRequest>>;

    async fn resolve_redirects(
        &self,
        request: Request<Streaming<v1::ResolveRedirectsRequest>>,
    ) -> Result<Response<Self::ResolveRedirectsStream>, Status> {
        let place = self
            .resolve_streams
            .take(auth::name(&request).map(str::to_owned).as_ref())
            .ok_or_else(too_many_resolve_streams)?;
        let time = request.extensions().get::<TimeOfEach>().copied();
        let time = time.unwrap_or_else(|| TimeOfEach::new(&Limits::default()));
        let resolver = Resolver {
            app: self.app.clone(),
            links: self.links.clone(),
            tenants: auth::tenants(&request),
            vouching: vouching(&request),
            time,
        };
        let ended = self.end_of_stream(auth::revoked(&request), MAX_RESOLVE_STREAM_AGE);
        let end = async move {
            let deadline = async { if let Some(end) = time.end { sleep_until(end).await } else { pending().await } };
            tokio::select! {
                () = ended => resolve_stream::interrupted(),
                () = deadline => exceeded(),
            }
        };
        Ok(Response::new(ResolveStream::new(request.into_inner(), resolver, end, place)))
    }

    type WatchSessionStream = BoxStream<'static, Result<v1::WatchSessionResponse, Status>>;

    async fn watch_session(
        &self,
        request: Request<v1::WatchSessionRequest>,
    ) -> Result<Response<Self::WatchSessionStream>, Status> {
        let mut violations = Violations::default();
        let id = from_proto::session_id(&request.get_ref().session_id, &mut violations);
        let id = id.ok_or_else(|| to_status(Error::Invalid(violations)))?;
        let mut watch = self.app.watch_session(id, &auth::tenants(&request));
        // Loaded before the answer begins, so that an unknown session is an ordinary error.
        let first = watch.next().await.map_err(to_status)?;
        let merchant = first.as_ref().map(|seen| &seen.session.merchant_id);
        let place = self.watches.take(merchant).ok_or_else(too_many_watches)?;
        let state = Watching {
            service: self.clone(),
            watch,
            end: Box::pin(self.end_of_stream(auth::revoked(&request), MAX_WATCH_AGE)),
            _place: place,
        };
        let rest = stream::unfold(Some(state), Watching::step);
        let first = first.map(|seen| Ok(self.watched(&seen)));
        Ok(Response::new(Box::pin(stream::iter(first).chain(rest))))
    }

    async fn preview_redirects(
        &self,
        request: Request<v1::PreviewRedirectsRequest>,
    ) -> Result<Response<v1::PreviewRedirectsResponse>, Status> {
        if let Some(Source::SessionId(_)) = request.get_ref().source {
            auth::require(&request, Scope::Read).map_err(|status| *status)?;
        }
        let tenants = auth::tenants(&request);
        let (source, prefix) = from_proto::preview(request.into_inner()).map_err(Error::Invalid).map_err(to_status)?;
        let page_url = match &source {
            PreviewSource::Session(id) => self.page_url(*id),
            PreviewSource::Draft(..) => String::new(),
        };
        let preview = self.app.preview_redirects(source, &tenants).await.map_err(|error| match error {
            // The fields of a draft stand within the field that holds it.
            Error::Invalid(violations) => to_status(Error::Invalid(violations.within(prefix))),
            other => to_status(other),
        })?;
        Ok(Response::new(to_proto::preview(preview, &page_url)))
    }

    async fn verify_return(
        &self,
        request: Request<v1::VerifyReturnRequest>,
    ) -> Result<Response<v1::VerifyReturnResponse>, Status> {
        let tenants = auth::tenants(&request);
        let (id, returned) = from_proto::verify(request.into_inner()).map_err(Error::Invalid).map_err(to_status)?;
        let judged = self.app.verify_return(&id, &returned, &tenants).await.map_err(to_status)?;
        Ok(Response::new(to_proto::judged(judged, self.links())))
    }
}

/// What the three create calls answer.
struct Answered {
    session: Option<v1::Session>,
    replayed: bool,
    notices: Vec<v1::Notice>,
}

/// One `WatchSession` call. It moves only when it is polled, and it is polled only when the caller reads: a slow reader
/// holds one state, not a queue of them.
struct Watching {
    service: Redirects,
    watch: SessionWatch,
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
    _place: FairPlace<MerchantId>,
}

impl Watching {
    /// The next answer. `None` as the state that follows says that it is the last.
    async fn step(state: Option<Self>) -> Option<(Result<v1::WatchSessionResponse, Status>, Option<Self>)> {
        let mut this = state?;
        let next = tokio::select! {
            next = this.watch.next() => next,
            () = &mut this.end => return Some((Err(watch_interrupted()), None)),
        };
        match next {
            Ok(Some(seen)) => Some((Ok(this.service.watched(&seen)), Some(this))),
            Ok(None) => None,
            Err(error) => Some((Err(to_status(error)), None)),
        }
    }
}

impl Redirects {
    fn watched(&self, seen: &Seen) -> v1::WatchSessionResponse {
        v1::WatchSessionResponse { session: Some(to_proto::session(&seen.session, seen.now, self.links())) }
    }
}

/// Who may record an outcome may as well say that there is one.
fn vouching<T>(request: &Request<T>) -> Vouching {
    if auth::may(request, Scope::Record) { Vouching::Allowed } else { Vouching::Forbidden }
}

fn watch_interrupted() -> Status {
    let text = "the watch ended before the outcome was final: call again to go on watching";
    status::retryable(Code::Unavailable, ErrorReason::WatchInterrupted, text, RETRY_AFTER_OVERLOAD)
}

fn too_many_watches() -> Status {
    Shed::Watches.count();
    let text = "more sessions are watched than the server takes; this watch was not begun";
    status::retryable(Code::ResourceExhausted, ErrorReason::Overloaded, text, RETRY_AFTER_OVERLOAD)
}

fn too_many_resolve_streams() -> Status {
    Shed::ResolveStreams.count();
    let text = "more streams of resolves are open than the server takes; this one was not begun: send more requests over \
                each stream instead";
    status::retryable(Code::ResourceExhausted, ErrorReason::Overloaded, text, RETRY_AFTER_OVERLOAD)
}
