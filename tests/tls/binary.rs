//! The binary with certificates: its listeners, its commands, and what it refuses.

use crate::{
    certificates::Authority,
    metrics::metrics,
    process::Process,
    served::{PATIENCE, Peer},
};
use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Output, Stdio},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

fn waypost(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"));
    // Names of files in the arguments are those of the directory.
    command.env_clear().env("WAYPOST_OPS_ADDR", "off").current_dir(dir).args(args);
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// An authority, `ca.crt`, with a certificate for the server and one for a client.
fn certificates(dir: &Path) -> Authority {
    let authority = Authority::new("ours");
    fs::write(dir.join("ca.crt"), authority.pem()).expect("written");
    authority.server().write(dir, "server");
    authority.client(&["spiffe://example.org/shop"], &[]).write(dir, "client");
    authority
}

struct Server {
    process: Process,
    grpc: String,
    pages: String,
}

impl Server {
    fn start(dir: &Path, args: &[&str]) -> Self {
        let mut process = Process::start(
            waypost(dir, &["serve", "--grpc-addr", "127.0.0.1:0", "--page-addr", "127.0.0.1:0"])
                .args(["--store", "memory:", "--workers", "1"])
                .args(args)
                .stderr(Stdio::null()),
        );
        let (grpc, pages) = (process.said("gRPC"), process.said("pages"));
        Self { process, grpc, pages }
    }
}

#[test]
fn commands_speak_to_a_server_whose_authority_they_are_told() {
    let dir = TempDir::new().expect("a directory");
    certificates(dir.path());
    let server = Server::start(dir.path(), &["--tls-cert", "server.crt", "--tls-key", "server.key"]);
    let port = server.grpc.rsplit(':').next().expect("a port");
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("https://{host}:{port}");
        for command in [&["healthcheck"][..], &["merchant", "get", "m1"]] {
            let output =
                waypost(dir.path(), command).args(["--server", &url, "--tls-ca", "ca.crt"]).output().expect("run");
            assert!(output.status.success(), "{command:?} {url}: {}", stderr(&output));
        }
    }
    let url = format!("https://{}", server.grpc);
    let unknown = waypost(dir.path(), &["merchant", "get", "m1", "--server", &url]).output().expect("run");
    assert_eq!(unknown.status.code(), Some(3));
    assert!(stderr(&unknown).contains("UnknownIssuer"), "{}", stderr(&unknown));
    let plain = waypost(dir.path(), &["merchant", "get", "m1", "--server", &server.grpc]).output().expect("run");
    assert_eq!(plain.status.code(), Some(3), "{}", stderr(&plain));
}

#[test]
fn commands_show_their_certificate_to_a_server_that_asks() {
    let dir = TempDir::new().expect("a directory");
    certificates(dir.path());
    let entry =
        "[[credential]]\nname = 'shop'\nidentity = 'spiffe://example.org/shop'\nmerchants = 'all'\nscopes = ['read']\n";
    fs::write(dir.path().join("credentials.toml"), entry).expect("written");
    let tls = ["--tls-cert", "server.crt", "--tls-key", "server.key", "--tls-client-ca", "ca.crt"];
    let server = Server::start(dir.path(), &[&tls[..], &["--credentials-file", "credentials.toml"]].concat());
    let url = format!("https://{}", server.grpc);
    let own = ["--tls-ca", "ca.crt", "--tls-cert", "client.crt", "--tls-key", "client.key"];
    for command in [&["healthcheck"][..], &["merchant", "get", "m1"]] {
        let output = waypost(dir.path(), command).args(own).args(["--server", &url]).output().expect("run");
        assert!(output.status.success(), "{command:?}: {}", stderr(&output));
        let output = waypost(dir.path(), command).args(&own[..2]).args(["--server", &url]).output().expect("run");
        assert!(!output.status.success() && !stderr(&output).contains("reason:"), "{}", stderr(&output));
    }
    let denied = waypost(dir.path(), &["merchant", "set", "m1", "--name", "N", "--server", &url]).args(own).output();
    assert!(stderr(&denied.expect("run")).contains("reason: PERMISSION_DENIED"));
}

#[test]
fn metrics_tell_until_when_the_certificate_in_use_is_valid() {
    let dir = TempDir::new().expect("a directory");
    let authority = certificates(dir.path());
    authority.expired_server().write(dir.path(), "pages");
    let tls = ["--page-tls-cert", "pages.crt", "--page-tls-key", "pages.key", "--ops-addr", "127.0.0.1:0"];
    let mut server = Server::start(dir.path(), &tls);
    let ops = server.process.said("ops");
    let told = || -> Vec<(String, f64)> {
        let is_told = |series: &str| series.starts_with("waypost_tls_certificate_not_after_seconds");
        metrics(&ops).into_iter().filter(|(series, _)| is_told(series)).collect()
    };
    let beginning_of_2020 = 1_577_836_800.0;
    assert_eq!(
        told(),
        [(r#"waypost_tls_certificate_not_after_seconds{listener="pages"}"#.to_owned(), beginning_of_2020)]
    );
    // The one that replaces it is told as soon as it is in use.
    authority.server().write(dir.path(), "pages");
    let began = std::time::Instant::now();
    while told()[0].1 <= beginning_of_2020 {
        assert!(began.elapsed() < PATIENCE, "{:?}", told());
    }
}

/// The answer to a browser that opens nothing, by HTTP/1.1.
async fn answer_of(peer: &Peer, pages: SocketAddr) -> String {
    let mut stream = peer.clone().offering(&[b"http/1.1"]).connect(pages).await.expect("connected");
    let head = "GET /r/nothing HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("answered").expect("text");
    answer
}

#[tokio::test]
async fn pages_are_served_encrypted_over_both_versions_of_http() {
    let dir = TempDir::new().expect("a directory");
    let authority = certificates(dir.path());
    let tls = ["--page-tls-cert", "server.crt", "--page-tls-key", "server.key"];
    let server = Server::start(dir.path(), &tls);
    let addr: SocketAddr = server.pages.strip_prefix("https://").expect("links are https").parse().expect("an address");
    let peer = Peer::trusting(&authority);

    let answer = answer_of(&peer, addr).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(answer.contains("content-security-policy"), "{answer}");
    // For the name, whatever its port: so not in a trial on this machine.
    assert!(answer.contains("strict-transport-security: max-age=31536000\r\n"), "{answer}");
    let sandbox = Server::start(dir.path(), &[&tls[..], &["--sandbox"]].concat());
    let its: SocketAddr = sandbox.pages.strip_prefix("https://").expect("an address").parse().expect("an address");
    assert!(!answer_of(&peer, its).await.contains("strict-transport-security"));

    let stream = peer.offering(&[b"h2", b"http/1.1"]).connect(addr).await.expect("connected");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    let request = http::Request::get(format!("https://{addr}/r/nothing")).body(()).expect("a request");
    let (response, _) = client.ready().await.expect("ready").send_request(request, true).expect("sent");
    assert_eq!(timeout(PATIENCE, response).await.expect("answered").expect("an answer").status().as_u16(), 404);
}

#[tokio::test]
async fn both_listeners_show_new_certificates_soon_after_their_files_change() {
    let dir = TempDir::new().expect("a directory");
    let authority = certificates(dir.path());
    authority.server().write(dir.path(), "pages");
    let grpc = ["--tls-cert", "server.crt", "--tls-key", "server.key"];
    let pages = ["--page-tls-cert", "pages.crt", "--page-tls-key", "pages.key"];
    let server = Server::start(dir.path(), &[grpc, pages].concat());
    let peer = Peer::trusting(&authority);
    for (name, addr) in [("server", server.grpc.as_str()), ("pages", &server.pages["https://".len()..])] {
        let addr: SocketAddr = addr.parse().expect("an address");
        let new = authority.server();
        new.write(dir.path(), name);
        // The server looks at the files every second, and may find one of the two still the old one.
        let shown = async {
            while peer.connect(addr).await.expect("connected").get_ref().1.peer_certificates() != Some(&[new.der()]) {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, shown).await.expect("the new certificate");
    }
}

#[test]
fn the_log_tells_when_the_certificate_has_expired() {
    let dir = TempDir::new().expect("a directory");
    let authority = certificates(dir.path());
    authority.expired_server().write(dir.path(), "expired");
    for (name, tells) in [("server", false), ("expired", true)] {
        let (certificate, key) = (format!("{name}.crt"), format!("{name}.key"));
        // RFC 5737 keeps this address from being anybody's, so the server ends.
        let serve = ["serve", "--grpc-addr", "192.0.2.1:0", "--allow-unauthenticated", "--store", "memory:"];
        let output = waypost(dir.path(), &serve).args(["--tls-cert", &certificate, "--tls-key", &key]).output();
        let told = stderr(&output.expect("run"));
        assert!(told.contains("cannot listen"), "{told}");
        assert_eq!(told.contains("the certificate has expired"), tells, "{told}");
    }
}

#[test]
fn serve_refuses_files_that_do_not_belong_together_and_options_that_need_others() {
    let dir = TempDir::new().expect("a directory");
    certificates(dir.path());
    fs::write(dir.path().join("empty"), "").expect("written");
    for (args, code, saying) in [
        (
            vec!["--tls-cert", "server.crt", "--tls-key", "client.key"],
            1,
            "--tls-cert server.crt: cannot be used with client.key",
        ),
        (vec!["--tls-cert", "empty", "--tls-key", "server.key"], 1, "empty: holds no certificate"),
        (vec!["--tls-cert", "server.crt", "--tls-key", "empty"], 1, "empty: is no private key in PEM"),
        (vec!["--tls-cert", "missing", "--tls-key", "server.key"], 1, "--tls-cert missing"),
        (vec!["--page-tls-cert", "server.crt", "--page-tls-key", "client.key"], 1, "--page-tls-cert server.crt"),
        (vec!["--tls-cert", "server.crt"], 2, "--tls-key"),
        (vec!["--page-tls-key", "server.key"], 2, "--page-tls-cert"),
        (
            vec!["--tls-cert", "server.crt", "--tls-key", "server.key", "--tls-client-ca", "ca.crt"],
            2,
            "--credentials-file",
        ),
        (vec!["--tls-client-ca", "ca.crt", "--credentials-file", "empty"], 2, "--tls-cert"),
    ] {
        let serve = ["serve", "--grpc-addr", "127.0.0.1:0", "--page-addr", "127.0.0.1:0", "--store", "memory:"];
        let output = waypost(dir.path(), &serve).args(&args).output().expect("run");
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(saying), "{args:?}: {}", stderr(&output));
    }
}
