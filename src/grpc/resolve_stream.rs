//! `ResolveRedirects`: one call that carries many resolves.
//!
//! Everything happens while the stream is polled, and HTTP/2 polls it only while the caller reads: who does not read
//! answers has no more requests read, and holds what is in progress and not a queue. A request whose answer is known at
//! once, as on every store that holds the session in memory, is answered without ever being kept. tonic puts all answers
//! that are ready into one DATA frame, up to 32 KiB, and the task's budget of tokio ends a turn after 128 of them, so
//! that no stream holds its worker; see [`super::pace`] for turns that end before, and for when it is looked at again.
//!
//! The stream is never the place where one request's error ends: see [`super::limits`] for what bounds it, and
//! [`Phase`] for how it ends.

use super::{
    from_proto,
    layers::{
        deadline::{TimeOfEach, exceeded},
        foreign::explain,
        panic::fault,
        shed::overloaded,
    },
    limits::{MAX_RESOLVES_IN_PROGRESS, MAX_RESOLVES_WAITING_PER_STREAM, RETRY_AFTER_OVERLOAD},
    pace::Pace,
    status::{self, to_status},
    to_proto,
};
use crate::{
    app::{self, App, Error, FairPlace, ResolveQuery, Vouching},
    model::Tenants,
    pages::Links,
    proto::v1::{self, ErrorReason, resolve_redirects_response::Answer},
    server::lateness,
    telemetry::{
        call,
        metrics::{STREAMED_RESOLVES, Shed},
    },
};
use futures_util::{FutureExt, Stream, StreamExt, stream::FuturesUnordered};
use std::{
    future::Future,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{
    task::{coop::poll_proceed, yield_now},
    time::{Instant, Sleep, sleep_until},
};
use tonic::{Code, Status};

/// The answers of one call.
pub struct ResolveStream<R> {
    requests: R,
    resolver: Arc<Resolver>,
    /// Ready with the status that ends the stream; `None` once it was.
    end: Option<Pin<Box<dyn Future<Output = Status> + Send>>>,
    phase: Phase,
    in_progress: FuturesUnordered<InProgress>,
    waiting: FuturesUnordered<InProgress>,
    /// Requests that waited when the stream was ended, to be told so.
    interrupted: Vec<u64>,
    pace: Pace,
    /// Requests read since `end` was last looked at.
    unlooked: usize,
    /// Something is kept whose timer runs only once it was polled.
    unpolled: bool,
    /// When this stream had used up its turn and left it to others.
    yielded: Option<Instant>,
    _place: FairPlace<String>,
}

/// What every request of a stream is resolved with.
pub struct Resolver {
    /// The use cases.
    pub app: App,
    /// The links to pages.
    pub links: Option<Arc<Links>>,
    /// The merchants that the caller acts for.
    pub tenants: Tenants,
    /// Whether the caller's word about an outcome is signed.
    pub vouching: Vouching,
    /// How long each request may last.
    pub time: TimeOfEach,
}

/// How far a stream has come. Only ever goes forward.
enum Phase {
    /// Requests are read.
    Reading,
    /// No more are read. What was read is answered, then the stream ends with that status, or well without one.
    Finishing(Option<Status>),
    /// The status was said.
    Over,
}

/// Requests that a busy stream reads before it looks whether it has to end: a few hundred microseconds' work.
const LOOK_AFTER: usize = 128;

impl<R> ResolveStream<R> {
    /// Answers these requests until `end` is ready. Keeps `place` as long as it lasts.
    pub fn new(
        requests: R,
        resolver: Resolver,
        end: impl Future<Output = Status> + Send + 'static,
        place: FairPlace<String>,
    ) -> Self {
        Self {
            requests,
            resolver: Arc::new(resolver),
            end: Some(Box::pin(end)),
            phase: Phase::Reading,
            in_progress: FuturesUnordered::new(),
            waiting: FuturesUnordered::new(),
            interrupted: Vec::new(),
            pace: Pace::default(),
            unlooked: 0,
            unpolled: false,
            yielded: None,
            _place: place,
        }
    }
}

impl<R> Stream for ResolveStream<R>
where
    R: Stream<Item = Result<v1::ResolveRedirectsRequest, Status>> + Unpin,
{
    type Item = Result<v1::ResolveRedirectsResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.pace.pauses() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Poll::Ready(turn) = poll_proceed(cx) else {
            this.yielded = Some(Instant::now());
            return Poll::Pending;
        };
        if let Some(since) = this.yielded.take() {
            lateness::had_to_wait(since.into_std());
        }
        let polled = this.poll_answer(cx);
        if polled.is_ready() {
            turn.made_progress();
        } else if this.pace.looks_again() {
            // Once everybody else had their turn and the driver was asked what else there is.
            let _ = pin!(yield_now()).poll(cx);
        }
        polled
    }
}

type Polled = Poll<Option<Result<v1::ResolveRedirectsResponse, Status>>>;

impl<R> ResolveStream<R>
where
    R: Stream<Item = Result<v1::ResolveRedirectsRequest, Status>> + Unpin,
{
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Polled {
        if self.unlooked >= LOOK_AFTER {
            self.look_for_end(cx);
        }
        loop {
            // What was asked first comes first, as far as it can.
            if let Some(answer) = self.poll_kept(cx) {
                return Poll::Ready(Some(Ok(answer)));
            }
            match self.poll_request(cx) {
                Poll::Ready(Some(answer)) => return Poll::Ready(Some(Ok(answer))),
                Poll::Ready(None) => return self.poll_finish(),
                Poll::Pending if self.unpolled => {}
                // Looked at only now, as a stream that is busy comes to its end a little later.
                Poll::Pending if self.look_for_end(cx) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// The next answer to a request that was kept.
    fn poll_kept(&mut self, cx: &mut Context<'_>) -> Option<v1::ResolveRedirectsResponse> {
        self.unpolled = false;
        if let Some(correlation_id) = self.interrupted.pop() {
            return Some(respond(correlation_id, to_answer(&interrupted())));
        }
        for kept in [&mut self.in_progress, &mut self.waiting] {
            if kept.is_empty() {
                continue;
            }
            if let Poll::Ready(answer @ Some(_)) = kept.poll_next_unpin(cx) {
                return answer;
            }
        }
        None
    }

    /// Reads requests until one is answered. `None` when there are no more and none is in progress.
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Option<v1::ResolveRedirectsResponse>> {
        while matches!(self.phase, Phase::Reading) && self.in_progress.len() < MAX_RESOLVES_IN_PROGRESS {
            let Poll::Ready(request) = self.requests.poll_next_unpin(cx) else {
                self.pace.none_is_there();
                return Poll::Pending;
            };
            match request {
                Some(Ok(request)) => {
                    self.pace.came();
                    self.unlooked += 1;
                    if let answer @ Some(_) = self.begin(request, cx) {
                        return Poll::Ready(answer);
                    }
                }
                Some(Err(status)) => self.phase = Phase::Finishing(Some(explain(&status).unwrap_or(status))),
                None => self.phase = Phase::Finishing(None),
            }
        }
        let nothing_left = self.in_progress.is_empty() && self.waiting.is_empty() && self.interrupted.is_empty();
        if nothing_left { Poll::Ready(None) } else { Poll::Pending }
    }

    /// Begins a request and answers it if its answer is known at once, else keeps it.
    fn begin(
        &mut self,
        request: v1::ResolveRedirectsRequest,
        cx: &mut Context<'_>,
    ) -> Option<v1::ResolveRedirectsResponse> {
        let v1::ResolveRedirectsRequest { correlation_id, resolve } = request;
        let Some(begun) = lateness::begin_item() else { return Some(respond(correlation_id, overloaded_answer())) };
        let answer = self.begin_resolve(correlation_id, resolve, cx);
        begun.end_item();
        answer
    }

    fn begin_resolve(
        &mut self,
        correlation_id: u64,
        resolve: Option<v1::ResolveRedirectRequest>,
        cx: &mut Context<'_>,
    ) -> Option<v1::ResolveRedirectsResponse> {
        let time = self.resolver.time;
        // The clock is asked and a timer made only for what may wait, and for what is not answered at once.
        let until = |timeout| {
            let until = Instant::now() + timeout;
            time.end.map_or(until, |end| until.min(end))
        };
        let may_wait = resolve.as_ref().is_some_and(|resolve| resolve.wait.is_some());
        let deadline = may_wait.then(|| until(time.waiting_timeout));
        let query = match from_proto::resolve_of_many(resolve, deadline) {
            Ok(query) => ResolveQuery { vouching: self.resolver.vouching, ..query },
            Err(violations) => return Some(respond(correlation_id, to_answer(&to_status(Error::Invalid(violations))))),
        };
        // Unwind safe: what calls share is behind locks of its own.
        match catch_unwind(AssertUnwindSafe(|| self.resolver.resolve_at_once(&query))) {
            Ok(None) => {}
            Ok(Some(answer)) => return Some(respond(correlation_id, answer)),
            Err(_) => return Some(respond(correlation_id, panicked())),
        }
        let resolver = Arc::clone(&self.resolver);
        let waits = query.waits();
        let mut call: Call = Box::pin(async move {
            // Unwind safe: after a panic the call is never polled again, and what calls share is behind locks of its own.
            let resolving = AssertUnwindSafe(resolver.resolve(&query)).catch_unwind();
            resolving.await.unwrap_or_else(|_| panicked())
        });
        if let Poll::Ready(answer) = call.as_mut().poll(cx) {
            return Some(respond(correlation_id, answer));
        }
        let timer = Box::pin(sleep_until(deadline.unwrap_or_else(|| until(time.timeout))));
        let kept = InProgress { correlation_id, call, timer };
        self.unpolled = true;
        if !waits {
            self.in_progress.push(kept);
            return None;
        }
        if self.waiting.len() >= MAX_RESOLVES_WAITING_PER_STREAM {
            return Some(respond(correlation_id, to_answer(&too_many_waiting())));
        }
        self.waiting.push(kept);
        None
    }

    /// Whether the stream has to end, which is said once. Nothing more is read then, and nothing waits any longer.
    fn look_for_end(&mut self, cx: &mut Context<'_>) -> bool {
        self.unlooked = 0;
        let Some(Poll::Ready(status)) = self.end.as_mut().map(|end| end.as_mut().poll(cx)) else { return false };
        self.end = None;
        self.interrupted.extend(mem::take(&mut self.waiting).into_iter().map(|kept| kept.correlation_id));
        if matches!(self.phase, Phase::Reading) {
            self.phase = Phase::Finishing(Some(status));
        }
        true
    }

    fn poll_finish(&mut self) -> Polled {
        match mem::replace(&mut self.phase, Phase::Over) {
            Phase::Finishing(Some(status)) => Poll::Ready(Some(Err(status))),
            Phase::Finishing(None) | Phase::Over => Poll::Ready(None),
            Phase::Reading => unreachable!("reading ends before a stream is finished"),
        }
    }
}

type Call = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A request whose answer was not known at once.
struct InProgress {
    correlation_id: u64,
    call: Call,
    timer: Pin<Box<Sleep>>,
}

impl Future for InProgress {
    type Output = v1::ResolveRedirectsResponse;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // An answer counts even if nobody asked for it in time: the stream may have stood still for its reader.
        let answer = match self.call.as_mut().poll(cx) {
            Poll::Ready(answer) => answer,
            Poll::Pending => {
                ready!(self.timer.as_mut().poll(cx));
                to_answer(&exceeded())
            }
        };
        Poll::Ready(respond(self.correlation_id, answer))
    }
}

impl Resolver {
    fn resolve_at_once(&self, query: &ResolveQuery) -> Option<Answer> {
        let resolved = self.app.resolve_redirect_at_once(query, &self.tenants)?;
        Some(self.answer(query, resolved))
    }

    async fn resolve(&self, query: &ResolveQuery) -> Answer {
        self.answer(query, self.app.resolve_redirect(query, &self.tenants).await)
    }

    fn answer(&self, query: &ResolveQuery, resolved: Result<app::Answer, Error>) -> Answer {
        match resolved {
            Ok(answer) => {
                let page_url = self.links.as_ref().map(|links| links.page_url(query.session_id)).unwrap_or_default();
                Answer::Redirect(to_proto::redirect(answer, page_url))
            }
            Err(error) => to_answer(&to_status(error)),
        }
    }
}

/// Every answer of a stream is made here, so it is counted here.
fn respond(correlation_id: u64, answer: Answer) -> v1::ResolveRedirectsResponse {
    let code = match &answer {
        Answer::Redirect(_) => Code::Ok as usize,
        Answer::Error(error) => Code::from_i32(error.code) as usize,
    };
    STREAMED_RESOLVES.add([code], 1);
    v1::ResolveRedirectsResponse { correlation_id, answer: Some(answer) }
}

fn to_answer(status: &Status) -> Answer {
    Answer::Error(to_proto::resolve_error(status))
}

fn panicked() -> Answer {
    tracing::error!(method = "ResolveRedirects", request_id = call::request_id(), "a request of a stream panicked");
    to_answer(&fault())
}

/// The stream has to end before its caller wants it to.
pub fn interrupted() -> Status {
    let text = "the stream of resolves ended before it was closed: call again and ask what was not answered";
    status::retryable(Code::Unavailable, ErrorReason::ResolvesInterrupted, text, RETRY_AFTER_OVERLOAD)
}

thread_local! {
    /// Made once, as it is needed most when there is no time to make it.
    static OVERLOADED: Answer = to_answer(&overloaded());
}

fn overloaded_answer() -> Answer {
    OVERLOADED.with(Answer::clone)
}

fn too_many_waiting() -> Status {
    Shed::WaitingInStream.count();
    let text =
        "more requests of this stream wait for an outcome than the server takes: try again, or ask without `wait`";
    status::retryable(Code::ResourceExhausted, ErrorReason::Overloaded, text, RETRY_AFTER_OVERLOAD)
}
