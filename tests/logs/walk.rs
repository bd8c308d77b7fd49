//! Calls and requests of every kind, good and bad, whose every text tells.

use crate::{WORD, server::Server, tell};
use http::Request;
use hyper_util::rt::TokioIo;
use prost_types::{Duration as ProtoDuration, FieldMask, Struct, Value, value::Kind};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::{
    Code, Status,
    metadata::MetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint, Uri},
};
use waypost::proto::v1::{
    merchant_service_client::MerchantServiceClient, preview_redirects_request::Source,
    redirect_service_client::RedirectServiceClient, verify_return_request::Returned, *,
};

/// Longer than anything takes that goes well, so that a test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends a secret, and headers that say more than they need.
#[derive(Clone)]
struct Telling(String);

impl Interceptor for Telling {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
        let metadata = request.metadata_mut();
        metadata.insert("authorization", format!("Bearer {}", self.0).parse().expect("ASCII"));
        metadata.insert("x-forwarded-for", tell("header").parse().expect("ASCII"));
        metadata.insert_bin("x-customer-bin", MetadataValue::from_bytes(tell("bytes").as_bytes()));
        Ok(request)
    }
}

type Redirects = RedirectServiceClient<InterceptedService<Channel, Telling>>;

fn redirects(channel: &Channel, secret: &str) -> Redirects {
    RedirectServiceClient::with_interceptor(channel.clone(), Telling(secret.to_owned()))
}

fn merchants(channel: &Channel, secret: &str) -> MerchantServiceClient<InterceptedService<Channel, Telling>> {
    MerchantServiceClient::with_interceptor(channel.clone(), Telling(secret.to_owned()))
}

/// Goes everywhere. Gives what the server made on the way and must keep to itself.
pub async fn everywhere(server: &Server) -> Vec<String> {
    timeout(PATIENCE, async {
        let channel = channel(server).await;
        settings(&channel).await;
        let sessions = creates(&channel).await;
        let made = endings(&channel, &sessions).await;
        streams(&channel, &sessions).await;
        strangers(&channel, &sessions[0]).await;
        foreign_calls(server).await;
        let tokens = pages(server, &sessions).await;
        operations(server).await;
        [server.keys.clone(), made, tokens].concat()
    })
    .await
    .expect("in time")
}

/// Calls that need the store, which is gone.
pub async fn without_a_store(server: &Server) {
    let channel = channel(server).await;
    let mut redirects = redirects(&channel, &tell("secret-of-admin"));
    let failed = timeout(PATIENCE, redirects.create_order(order(&tell("key-without-a-store")))).await.expect("in time");
    assert_eq!(failed.expect_err("no store").code(), Code::Unavailable);
    let get = GetSessionRequest { session_id: "order_01986132-e354-7676-9b4a-fc8dd5c5253e".to_owned() };
    let failed = timeout(PATIENCE, redirects.get_session(get)).await.expect("in time");
    assert_eq!(failed.expect_err("no store").code(), Code::Unavailable);
}

async fn settings(channel: &Channel) {
    let merchant = Merchant {
        merchant_id: "shop".to_owned(),
        name: tell("shop"),
        return_urls: Some(urls("settings")),
        sign_returns: true,
        ..Merchant::default()
    };
    let mut admin = merchants(channel, &tell("secret-of-admin"));
    let update = |merchant: &Merchant, paths: &[&str]| UpdateMerchantRequest {
        merchant: Some(merchant.clone()),
        update_mask: Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() }),
        validate_only: false,
    };
    // Of the settings only the URL of failure, so that those of the requests are seen as well.
    let kept =
        Merchant { return_urls: Some(ReturnUrls { success: String::new(), ..urls("settings") }), ..merchant.clone() };
    admin.update_merchant(update(&kept, &["name", "return_urls", "sign_returns"])).await.expect("saved");
    admin.get_merchant(GetMerchantRequest { merchant_id: "shop".to_owned() }).await.expect("read");
    let bad = Merchant {
        return_urls: Some(ReturnUrls { success: format!("http://{}.example.com/", tell("host")), ..urls("refused") }),
        allowed_origins: vec![tell("origin")],
        app_schemes: vec![tell("scheme://")],
        ..merchant
    };
    let refused = admin.update_merchant(update(&bad, &["return_urls", "allowed_origins", "app_schemes"])).await;
    assert_eq!(refused.expect_err("bad").code(), Code::InvalidArgument);
    assert!(admin.update_merchant(update(&bad, &[&tell("path")])).await.is_err());
    let stale = Merchant { etag: tell("etag"), ..kept };
    let refused = admin.update_merchant(update(&stale, &["name"])).await;
    assert_eq!(refused.expect_err("stale").code(), Code::Aborted);
}

fn urls(place: &str) -> ReturnUrls {
    let url = |slot: &str| {
        let (path, query) = (tell(place), tell(slot));
        format!("https://shop.example.com/{path}/{{{{metadata.note}}}}?q={query}&n={{{{no_such_field}}}}#{query}")
    };
    ReturnUrls { success: url("success"), failure: url("failure"), ..ReturnUrls::default() }
}

fn metadata() -> Option<Struct> {
    let value = Value { kind: Some(Kind::StringValue(tell("metadata-value"))) };
    Some(Struct { fields: [("note".to_owned(), value.clone()), (tell("metadata-key"), value)].into() })
}

fn order(key: &str) -> CreateOrderRequest {
    CreateOrderRequest {
        merchant_id: "shop".to_owned(),
        idempotency_key: key.to_owned(),
        metadata: metadata(),
        r#type: "online".to_owned(),
        total_amount: "50.00".to_owned(),
        external_reference: tell("reference"),
        payer: Some(Payer { email: format!("{}@example.com", tell("payer")) }),
        checkout_pro: Some(CheckoutPro { back_urls: Some(urls("order")), auto_return: "all".to_owned() }),
        ..CreateOrderRequest::default()
    }
}

fn checkout() -> CreateCheckoutRequest {
    CreateCheckoutRequest {
        merchant_id: "shop".to_owned(),
        metadata: metadata(),
        customer: Some(Customer {
            first_name: tell("first"),
            last_name: tell("last"),
            email: format!("{}@example.com", tell("customer")),
            phone_number: tell("phone"),
        }),
        redirect_urls: Some(urls("checkout")),
        shopping_cart: Some(ShoppingCart {
            line_items: vec![LineItem { name: tell("item"), price: 5_000, unit_qty: 1, note: tell("note") }],
        }),
        ..CreateCheckoutRequest::default()
    }
}

fn payment() -> CreatePaymentRequest {
    CreatePaymentRequest {
        merchant_id: "shop".to_owned(),
        metadata: metadata(),
        customer_email: format!("{}@example.com", tell("buyer")),
        items: vec![PaymentItem { r#type: tell("type"), price: "50".to_owned(), currency: "USD".to_owned() }],
        redirect_url: urls("payment").success,
        ..CreatePaymentRequest::default()
    }
}

/// A session of each kind.
async fn creates(channel: &Channel) -> Vec<Session> {
    let mut redirects = redirects(channel, &tell("secret-of-admin"));
    let created = redirects.create_order(order(&tell("key"))).await.expect("created").into_inner();
    assert!(redirects.create_order(order(&tell("key"))).await.expect("again").into_inner().replayed);
    let other = CreateOrderRequest { external_reference: tell("other"), ..order(&tell("key")) };
    assert_eq!(redirects.create_order(other).await.expect_err("another").code(), Code::AlreadyExists);
    let checkout_session = redirects.create_checkout(checkout()).await.expect("created").into_inner().session;
    let payment_session = redirects.create_payment(payment()).await.expect("created").into_inner().session;

    // Wrong in as many places as can be.
    let bad = CreateOrderRequest {
        idempotency_key: tell("key ").repeat(100),
        r#type: tell("type"),
        total_amount: tell("amount"),
        external_reference: tell("reference").repeat(100),
        checkout_pro: Some(CheckoutPro {
            back_urls: Some(ReturnUrls {
                success: format!("http://{}.example.com/", tell("host")),
                failure: format!("https://{0}:{0}@shop.example.com/", tell("user")),
                pending: format!("https://shop.example.com/{{{{{}", tell("placeholder")),
                ..ReturnUrls::default()
            }),
            auto_return: tell("auto"),
        }),
        ..order("")
    };
    assert_eq!(redirects.create_order(bad).await.expect_err("bad").code(), Code::InvalidArgument);
    let bad = CreatePaymentRequest {
        customer_email: tell("no-address"),
        items: vec![PaymentItem { r#type: tell("type"), price: tell("price"), currency: tell("currency") }],
        redirect_url: tell("no-url"),
        ..payment()
    };
    assert_eq!(redirects.create_payment(bad).await.expect_err("bad").code(), Code::InvalidArgument);
    [created.session, checkout_session, payment_session].map(|session| session.expect("a session")).into()
}

/// Everything that is asked of a session. Gives the tokens of signed returns.
async fn endings(channel: &Channel, sessions: &[Session]) -> Vec<String> {
    let mut redirects = redirects(channel, &tell("secret-of-admin"));
    let mut tokens = Vec::new();
    for session in sessions {
        let session_id = session.session_id.clone();
        let record = RecordOutcomeRequest {
            session_id: session_id.clone(),
            outcome: Outcome::Pending.into(),
            payment_id: tell("payment-id"),
            status: tell("status"),
            error_code: tell("error-code"),
        };
        redirects.record_outcome(record.clone()).await.expect("recorded");
        let bad = RecordOutcomeRequest { payment_id: format!("{}\n", tell("payment-id")), ..record };
        assert_eq!(redirects.record_outcome(bad).await.expect_err("bad").code(), Code::InvalidArgument);
        redirects.get_session(GetSessionRequest { session_id: session_id.clone() }).await.expect("found");
        let query = ResolveRedirectRequest {
            session_id: session_id.clone(),
            outcome: Outcome::Success.into(),
            payment_id: tell("payment-id-of-the-moment"),
            status: tell("status-of-the-moment"),
            explain: true,
            ..ResolveRedirectRequest::default()
        };
        let answer = redirects.resolve_redirect(query).await.expect("resolved").into_inner();
        let url = answer.redirect.expect("a redirect").url;
        assert!(url.contains("tattle-metadata-value"), "the walk does not tell what it should: {url}");
        let token = url.split_once("return_token=").expect("a token").1.split('#').next().expect("a part").to_owned();
        for returned in [
            Returned::Url(url.clone()),
            Returned::Url(format!("{url}&return_token={}", tell("token"))),
            Returned::Token(token.clone()),
            Returned::Token(format!("{token}x")),
            Returned::Token(tell("token")),
        ] {
            let verify = VerifyReturnRequest { merchant_id: "shop".to_owned(), returned: Some(returned) };
            redirects.verify_return(verify).await.expect("judged");
        }
        redirects
            .preview_redirects(PreviewRedirectsRequest { source: Some(Source::SessionId(session_id)) })
            .await
            .expect("shown");
        let parts: Vec<&str> = token.split('.').collect();
        tokens.extend([parts[1].to_owned(), parts[2].to_owned()]);
    }
    redirects
        .preview_redirects(PreviewRedirectsRequest { source: Some(Source::CreateCheckout(checkout())) })
        .await
        .expect("shown");
    assert!(redirects.get_session(GetSessionRequest { session_id: tell("id") }).await.is_err());
    tokens
}

async fn streams(channel: &Channel, sessions: &[Session]) {
    let mut redirects = redirects(channel, &tell("secret-of-admin"));
    let session_id = sessions[0].session_id.clone();
    let watch = WatchSessionRequest { session_id: session_id.clone() };
    let mut watch = redirects.watch_session(watch).await.expect("watched").into_inner();
    watch.message().await.expect("a state").expect("a state");
    let record = RecordOutcomeRequest {
        session_id: session_id.clone(),
        outcome: Outcome::Success.into(),
        payment_id: tell("last-payment-id"),
        status: tell("last-status"),
        ..RecordOutcomeRequest::default()
    };
    redirects.record_outcome(record).await.expect("recorded");
    while watch.message().await.expect("a state").is_some() {}

    let resolve = |session_id: &str| ResolveRedirectRequest {
        session_id: session_id.to_owned(),
        payment_id: tell("payment-id-in-a-stream"),
        wait: Some(ProtoDuration { seconds: 0, nanos: 1_000_000 }),
        ..ResolveRedirectRequest::default()
    };
    let ids = [session_id.as_str(), &sessions[1].session_id, &tell("id-in-a-stream")];
    let requests = ids.map(|id| ResolveRedirectsRequest { correlation_id: 1, resolve: Some(resolve(id)) });
    let mut answers = redirects.resolve_redirects(tokio_stream::iter(requests)).await.expect("begun").into_inner();
    let mut answered = 0;
    while answers.message().await.expect("an answer").is_some() {
        answered += 1;
    }
    assert_eq!(answered, 3);
}

/// Callers who may not.
async fn strangers(channel: &Channel, session: &Session) {
    let update = UpdateMerchantRequest {
        merchant: Some(Merchant { merchant_id: "shop".to_owned(), name: tell("stranger"), ..Merchant::default() }),
        ..UpdateMerchantRequest::default()
    };
    let mut reader = merchants(channel, &tell("secret-of-reader"));
    assert_eq!(reader.update_merchant(update).await.expect_err("denied").code(), Code::PermissionDenied);
    for secret in [tell("secret-of-nobody"), format!("{} {}", tell("two"), tell("words"))] {
        let get = GetSessionRequest { session_id: session.session_id.clone() };
        let refused = redirects(channel, &secret).get_session(get).await;
        assert_eq!(refused.expect_err("unknown").code(), Code::Unauthenticated);
    }
}

/// What is not a call of ours, on the listener of gRPC.
async fn foreign_calls(server: &Server) {
    let stream = connect(server.authority.roots(), server.grpc, b"h2").await.expect("connected");
    let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let secret = format!("Bearer {}", tell("secret-of-admin"));
    for (path, content_type, body) in [
        (format!("/waypost.v1.RedirectService/{}", tell("method")), "application/grpc", String::new()),
        (format!("/{0}?{0}={0}", tell("path")), "text/html", tell("body")),
        // A message that is none: a field of text that is longer than the message.
        (
            "/waypost.v1.RedirectService/GetSession".to_owned(),
            "application/grpc",
            format!("\0\0\0\0\x08\x0a\x7f{}", tell("")),
        ),
        ("/waypost.v1.RedirectService/GetSession".to_owned(), "application/grpc", format!("\x07{}", tell("frame"))),
    ] {
        let request = Request::post(format!("https://localhost{path}"))
            .header("content-type", content_type)
            .header("te", "trailers")
            .header("cookie", tell("cookie"))
            .header("authorization", &secret)
            .body(())
            .expect("a request");
        let mut client = client.clone().ready().await.expect("ready");
        let (response, mut sending) = client.send_request(request, false).expect("sent");
        sending.send_data(body.into(), true).expect("sent");
        let mut answer = response.await.expect("an answer").into_body();
        while let Some(data) = answer.data().await {
            let data = data.expect("data");
            answer.flow_control().release_capacity(data.len()).expect("it was had");
        }
    }
    drop(client);
    connection.abort();
    // Neither TLS nor anything else.
    let mut stream = TcpStream::connect(server.grpc).await.expect("connected");
    stream
        .write_all(format!("GET /{0} HTTP/1.1\r\ncookie: {0}\r\n\r\n", tell("plain")).as_bytes())
        .await
        .expect("sent");
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

/// The pages of those sessions. Gives the tokens in their links.
async fn pages(server: &Server, sessions: &[Session]) -> Vec<String> {
    let mut tokens = Vec::new();
    for session in sessions {
        let path =
            |url: &str| url.split_once("https://").expect("a link").1.split_once('/').expect("a path").1.to_owned();
        let (page, checkout) = (path(&session.page_url), path(&session.checkout_url));
        assert_eq!(ask(server, "GET", &format!("/{checkout}?q={}", tell("query")), "").await, 200);
        assert_eq!(ask(server, "POST", &format!("/{checkout}"), &format!("button={}", tell("button"))).await, 400);
        assert_eq!(ask(server, "GET", &format!("/{page}/events?seen={}", tell("seen")), "").await, 200);
        assert_eq!(ask(server, "POST", &format!("/{checkout}"), "button=pay").await, 303);
        assert_eq!(ask(server, "GET", &format!("/{checkout}/done"), "").await, 200);
        let shown = ask(server, "GET", &format!("/{page}?q={}", tell("query")), "").await;
        assert!([200, 303].contains(&shown), "{shown}");
        assert_eq!(ask(server, "GET", &format!("/{page}{}", tell("more")), "").await, 404);
        tokens.extend([page[2..].to_owned(), checkout[2..].to_owned()]);
    }
    for (path, expected) in [
        (format!("/r/{}", tell("token")), 404),
        (format!("/assets/{}", tell("asset")), 404),
        (format!("/{0}?{0}={0}", tell("nowhere")), 404),
        (format!("/shop/{0}?q={0}", tell("sandbox")), 200),
        ("/.well-known/jwks.json".to_owned(), 200),
        // Not what a path may have.
        (format!("/{}\u{7f}", tell("garbage")), 400),
    ] {
        assert_eq!(ask(server, "GET", &path, "").await, expected, "{path}");
    }
    let stream = connect(server.authority.roots(), server.pages, b"h2").await.expect("connected");
    let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let request = Request::get(format!("https://localhost/r/{0}?{0}={0}", tell("token")))
        .header("cookie", tell("cookie"))
        .header("referer", format!("https://shop.example.com/?q={}", tell("referrer")))
        .body(())
        .expect("a request");
    let (response, _) = client.ready().await.expect("ready").send_request(request, true).expect("sent");
    assert_eq!(response.await.expect("an answer").status().as_u16(), 404);
    connection.abort();
    tokens
}

/// What is counted is nobody's business either.
async fn operations(server: &Server) {
    for path in ["/metrics".to_owned(), "/readyz".to_owned(), format!("/{0}?{0}={0}", tell("operations"))] {
        let mut stream = TcpStream::connect(server.ops).await.expect("connected");
        let request = format!("GET {path} HTTP/1.1\r\nhost: {0}\r\nconnection: close\r\n\r\n", tell("host"));
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("in time").expect("text");
        assert!(answer.starts_with("HTTP/1.1 ") && !answer.contains(WORD), "{answer}");
    }
}

/// Asks as a browser does that says much about itself, on a connection of its own, and gives the status.
async fn ask(server: &Server, method: &str, path: &str, form: &str) -> u16 {
    let mut stream = connect(server.authority.roots(), server.pages, b"http/1.1").await.expect("connected");
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncookie: id={0}\r\nuser-agent: {0}\r\n\
         referer: https://shop.example.com/?q={0}\r\naccept-language: {0}\r\nx-forwarded-for: {0}\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {1}\r\n\r\n{form}",
        tell("browser"),
        form.len()
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = [0; 12];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await.expect("in time").expect("an answer");
    let status = std::str::from_utf8(&answer[9..]).expect("digits");
    status.parse().expect("a status")
}

async fn connect(roots: RootCertStore, addr: SocketAddr, protocol: &[u8]) -> io::Result<TlsStream<TcpStream>> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(addr).await?).await
}

async fn channel(server: &Server) -> Channel {
    let (roots, addr) = (server.authority.roots(), server.grpc);
    let connect = tower::service_fn(move |_: Uri| {
        let roots = roots.clone();
        async move { connect(roots, addr, b"h2").await.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_shared(format!("https://{addr}")).expect("an address");
    endpoint.connect_with_connector(connect).await.expect("connected")
}
