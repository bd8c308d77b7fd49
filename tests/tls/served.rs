//! A server with TLS, and a client that shows the certificate it is told to.

use crate::certificates::{Authority, Certificate};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion, crypto::ring, pki_types::ServerName,
};
use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{net::TcpStream, sync::oneshot, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::{
    Request, Status,
    transport::{Channel, Endpoint, Uri},
};
use waypost::{
    app::{App, Clock},
    callers::Credentials,
    followed::Followed,
    grpc::{self, Authentication, Health, Merchants, Redirects, Router},
    proto::v1::{GetMerchantRequest, merchant_service_client::MerchantServiceClient},
    redirect::Mode,
    server::{Drained, Encrypted, Http2, Inside, Limits, Server, TlsFiles},
    store::MemoryStore,
    telemetry::metrics::Listener,
};

/// Longer than anything takes that goes well, so that a test fails instead of hanging.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Whom a server believes.
pub enum Peers<'a> {
    /// Everybody, whatever they call.
    Anybody,
    /// Those with a certificate of that authority, whose calls these credentials allow.
    Known(&'a Authority, &'a str),
}

/// A running server. Dropping it cuts it off.
pub struct Served {
    pub addr: SocketAddr,
    pub dir: TempDir,
    tls: Arc<Followed<ServerConfig>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Drained>>,
}

impl Served {
    pub fn start(certificate: &Certificate, peers: &Peers<'_>, limits: Limits) -> Self {
        let dir = TempDir::new().expect("a directory");
        let path = |name: &str| dir.path().join(name);
        certificate.write(dir.path(), "server");
        let (client_authorities, authentication) = match peers {
            Peers::Anybody => (None, Authentication::Off),
            Peers::Known(authority, credentials) => {
                fs::write(path("clients.crt"), authority.pem()).expect("written");
                fs::write(path("credentials.toml"), credentials).expect("written");
                let file = path("credentials.toml");
                let read = move |before: Option<&Credentials>| Credentials::open(&file, before);
                let credentials = Followed::open("--credentials-file", Vec::new(), read).expect("readable");
                (Some(path("clients.crt")), Authentication::By(Arc::new(credentials)))
            }
        };
        let files = TlsFiles { certificate: path("server.crt"), key: path("server.key"), client_authorities };
        let tls = Arc::new(files.follow("--tls-cert", Listener::Grpc, Inside::Http2).expect("a pair"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("its address");
        let (stop, stopped) = oneshot::channel::<()>();
        let served_tls = Arc::clone(&tls);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let health = Health::starting().await;
                let app = App::new(Arc::new(MemoryStore::default()), Mode::Production, Clock::System);
                let mut server = Server::new(limits);
                let redirects = Redirects::new(app.clone()).draining(server.drain());
                let router = Router::new(redirects, Merchants::new(app), &health);
                let edge = grpc::edge(router, &grpc::Limits::default(), authentication);
                server.listen(listener, Encrypted::new(Http2::new(edge), served_tls));
                health.serving().await;
                server.run(async { stopped.await.unwrap_or(()) }, &health).await.expect("to serve")
            })
        });
        Self { addr, dir, tls, stop: Some(stop), thread: Some(thread) }
    }

    /// Has the files read again if they have changed.
    pub fn look_again(&self) {
        self.tls.look_again();
    }

    pub async fn socket(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.expect("connected")
    }

    /// Stops it and waits until it has returned.
    pub async fn stop(mut self) -> Drained {
        self.stop.take().expect("stopped once").send(()).expect("running");
        let thread = self.thread.take().expect("joined once");
        let joined = tokio::task::spawn_blocking(|| thread.join().expect("no panic"));
        timeout(PATIENCE, joined).await.expect("the server returns").expect("joined")
    }
}

/// A client's side of TLS.
#[derive(Clone)]
pub struct Peer {
    config: ClientConfig,
}

impl Peer {
    /// That believes the authority and has no certificate.
    pub fn trusting(authority: &Authority) -> Self {
        Self::with(authority.roots(), rustls::DEFAULT_VERSIONS, None)
    }

    /// That speaks one version only.
    pub fn in_version(authority: &Authority, version: &'static SupportedProtocolVersion) -> Self {
        Self::with(authority.roots(), &[version], None)
    }

    /// That shows a certificate when it is asked for one.
    pub fn showing(authority: &Authority, certificate: &Certificate) -> Self {
        Self::with(authority.roots(), rustls::DEFAULT_VERSIONS, Some(certificate))
    }

    fn with(
        roots: RootCertStore,
        versions: &[&'static SupportedProtocolVersion],
        certificate: Option<&Certificate>,
    ) -> Self {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match certificate {
            None => builder.with_no_client_auth(),
            Some(own) => builder.with_client_auth_cert(vec![own.der()], own.key_der()).expect("a pair"),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self { config }
    }

    /// The same that offers other protocols.
    pub fn offering(mut self, protocols: &[&[u8]]) -> Self {
        self.config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        self
    }

    /// Connects and shakes hands.
    pub async fn connect(&self, addr: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(addr).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        timeout(PATIENCE, TlsConnector::from(Arc::new(self.config.clone())).connect(name, stream))
            .await
            .expect("in time")
    }

    /// tonic's client on one such connection.
    pub async fn channel(&self, addr: SocketAddr) -> Result<Channel, tonic::transport::Error> {
        let peer = self.clone();
        let connect = tower::service_fn(move |_: Uri| {
            let peer = peer.clone();
            async move { peer.connect(addr).await.map(TokioIo::new) }
        });
        // Encrypted is what `connect` gives; told of `https`, tonic may want to do it itself.
        let endpoint = Endpoint::from_shared(format!("http://{addr}")).expect("an address");
        let endpoint = endpoint.origin(format!("https://{addr}").parse().expect("an address"));
        endpoint.connect_with_connector(connect).await
    }
}

/// Asks for a merchant's settings, and gives its etag.
pub async fn etag(channel: &Channel, secret: Option<&str>) -> Result<String, Status> {
    let mut request = Request::new(GetMerchantRequest { merchant_id: "m1".into() });
    if let Some(secret) = secret {
        request.metadata_mut().insert("authorization", format!("Bearer {secret}").parse().expect("ASCII"));
    }
    let call = async { MerchantServiceClient::new(channel.clone()).get_merchant(request).await };
    let answer = timeout(PATIENCE, call).await.expect("an answer")?;
    Ok(answer.into_inner().merchant.expect("a merchant").etag)
}
