//! A whole server in whose way a test can put faults, call by call.

use bytes::Bytes;
use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{Future, pending},
    net::{SocketAddr, TcpListener},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    thread,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;
use tonic::{Status, body::Body};
use tower::Service;
use waypost::{
    app::{App, Clock},
    client::{Client, Options},
    grpc::{self, Health, Merchants, Redirects, Router},
    redirect::Mode,
    server::{Http2, Limits, RequestBody, Server},
    store::MemoryStore,
};

/// What happens to a call.
pub enum Fault {
    /// It is refused and not begun.
    Refused(Status),
    /// It is carried out, and its answer does not come through.
    AnswerLost,
    /// Nothing at all comes back.
    Silence,
    /// None: it goes through.
    None,
    /// It goes through, after something else was done.
    After(Pin<Box<dyn Future<Output = ()> + Send>>),
}

/// A call, as the server saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub path: String,
    pub timeout: Option<String>,
    pub previous_attempts: Option<String>,
    pub authorization: Option<String>,
    pub at: Instant,
}

/// A server that stops when it is dropped.
pub struct FaultyServer {
    pub addr: SocketAddr,
    way: Arc<Way>,
    _running: oneshot::Sender<()>,
}

#[derive(Default)]
struct Way {
    faults: Mutex<VecDeque<Fault>>,
    seen: Mutex<Vec<Seen>>,
}

impl FaultyServer {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("its address");
        let (running, dropped) = oneshot::channel::<()>();
        let way = Arc::<Way>::default();
        let on_the_way = Arc::clone(&way);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let app = App::new(Arc::new(MemoryStore::default()), Mode::Production, Clock::System);
                let health = Health::starting().await;
                let mut server = Server::new(Limits { grace: Duration::ZERO, ..Limits::default() });
                let redirects = Redirects::new(app.clone()).draining(server.drain());
                let router = Router::new(redirects, Merchants::new(app), &health);
                let edge = grpc::edge(router, &grpc::Limits::default(), grpc::Authentication::Off);
                server.listen(listener, Http2::new(Faulty { inner: edge, way: on_the_way }));
                health.serving().await;
                server.run(async { drop(dropped.await) }, &health).await.expect("to serve");
            });
        });
        Self { addr, way, _running: running }
    }

    /// Puts faults into the way of the next calls, one each.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.way.faults.lock().unwrap().extend(faults);
    }

    /// The calls since this was asked last.
    pub fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.way.seen.lock().unwrap())
    }

    pub fn options(&self) -> Options {
        Client::options(self.addr.to_string().parse().unwrap())
    }

    pub fn client(&self) -> Client {
        self.options().open().unwrap()
    }
}

#[derive(Clone)]
struct Faulty<S> {
    inner: S,
    way: Arc<Way>,
}

impl<S, B> Service<http::Request<RequestBody>> for Faulty<S>
where
    S: Service<http::Request<RequestBody>, Response = http::Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes, Error = Status> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<RequestBody>) -> Self::Future {
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        self.way.seen.lock().unwrap().push(Seen {
            path: request.uri().path().to_owned(),
            timeout: header("grpc-timeout"),
            previous_attempts: header("grpc-previous-rpc-attempts"),
            authorization: header("authorization"),
            at: Instant::now(),
        });
        match self.way.faults.lock().unwrap().pop_front() {
            None | Some(Fault::None) => {
                let call = self.inner.call(request);
                Box::pin(async move { Ok(call.await?.map(Body::new)) })
            }
            Some(Fault::After(other)) => {
                let call = self.inner.call(request);
                Box::pin(async move {
                    other.await;
                    Ok(call.await?.map(Body::new))
                })
            }
            Some(Fault::Refused(status)) => Box::pin(async move { Ok(status.into_http()) }),
            Some(Fault::Silence) => Box::pin(pending()),
            Some(Fault::AnswerLost) => {
                let call = self.inner.call(request);
                Box::pin(async move {
                    drop(call.await);
                    Ok(Status::unavailable("the answer was lost").into_http())
                })
            }
        }
    }
}
