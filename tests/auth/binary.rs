//! The binary with a credentials file: what it refuses, what it reads again, what it logs, and what its commands send.

use crate::{
    metrics::metrics,
    process::Process,
    served::{ADMIN, PATIENCE, admin, entry},
};
use expect_test::expect;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Instant,
};
use tempfile::TempDir;
use tracing::level_filters::STATIC_MAX_LEVEL;

fn waypost(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"));
    command.env_clear().env("WAYPOST_OPS_ADDR", "off").args(args);
    command
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A server that logs into a file.
struct Server {
    process: Process,
    addr: String,
    dir: TempDir,
}

impl Server {
    fn start(credentials: &str, args: &[&str]) -> Self {
        let dir = TempDir::new().expect("a directory");
        fs::write(dir.path().join("credentials.toml"), credentials).expect("written");
        let log = File::create(dir.path().join("log")).expect("a log");
        let mut process = Process::start(
            waypost(&["serve", "--grpc-addr", "127.0.0.1:0", "--page-addr", "off", "--store", "memory:"])
                .args(["--workers", "1", "--credentials-file", text(&dir.path().join("credentials.toml"))])
                .args(args)
                .stderr(log),
        );
        let addr = process.said("gRPC");
        Self { process, addr, dir }
    }

    fn credentials(&self) -> PathBuf {
        self.dir.path().join("credentials.toml")
    }

    fn token_file(&self, secret: &str) -> PathBuf {
        let path = self.dir.path().join(secret);
        fs::write(&path, format!("{secret}\n")).expect("written");
        path
    }

    fn run(&self, args: &[&str]) -> Output {
        waypost(args).args(["--server", &self.addr]).output().expect("run")
    }

    fn run_as(&self, secret: &str, args: &[&str]) -> Output {
        waypost(args).args(["--server", &self.addr]).env("WAYPOST_TOKEN", secret).output().expect("run")
    }

    /// What it logged, after it has ended.
    fn log(mut self) -> String {
        assert!(self.process.stop().success());
        fs::read_to_string(self.dir.path().join("log")).expect("text")
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

#[test]
fn commands_show_the_secret_of_a_file_or_of_the_environment() {
    let server = Server::start(&(admin() + &entry("shop", "[\"m1\"]", "[\"merchant\"]")), &[]);
    let get = ["merchant", "get", "m1"];
    let none = server.run(&get);
    assert_eq!(none.status.code(), Some(1));
    expect![[r#"
        waypost: the call came without a valid credential: send `authorization: Bearer` and the secret that the operator gave you
        reason: UNAUTHENTICATED
    "#]]
    .assert_eq(&stderr(&none));
    assert!(server.run_as(ADMIN, &get).status.success());
    let file = server.token_file("secret-of-shop");
    let with_file = [&get[..], &["--token-file", text(&file)]].concat();
    assert!(server.run(&with_file).status.success());
    // The option comes before the variable.
    assert!(server.run_as("secret-of-nobody", &with_file).status.success());
    let denied = server.run_as("secret-of-shop", &["get", "order_01986132-e354-7676-9b4a-fc8dd5c5253e"]);
    expect![[r#"
        waypost: the credential lacks the scope `read`: ask the operator for it
        reason: PERMISSION_DENIED
    "#]]
    .assert_eq(&stderr(&denied));
}

#[test]
fn a_metric_tells_when_the_next_credential_expires() {
    let expiring =
        |name: &str, year: u32| entry(name, "[\"m1\"]", "[\"read\"]") + &format!("expires = {year}-01-01T00:00:00Z\n");
    let credentials = admin() + &expiring("later", 2996) + &expiring("next", 2995) + &expiring("over", 2020);
    let mut server = Server::start(&credentials, &["--ops-addr", "127.0.0.1:0"]);
    let ops = server.process.said("ops");
    let told = || metrics(&ops).get("waypost_credentials_expire_time_seconds").copied();
    let beginning_of_2995 = 32_345_913_600.0;
    assert_eq!(told(), Some(beginning_of_2995));
    // Told as soon as the file is read again, and not at all when nothing expires.
    fs::write(server.credentials(), admin()).expect("written");
    let began = Instant::now();
    while told().is_some() {
        assert!(began.elapsed() < PATIENCE, "{:?}", told());
    }
}

#[test]
fn a_metric_tells_of_a_file_that_cannot_be_used() {
    let mut server = Server::start(&admin(), &["--ops-addr", "127.0.0.1:0"]);
    let ops = server.process.said("ops");
    let unusable = || metrics(&ops)["waypost_unusable_files{option=\"credentials_file\"}"];
    for (content, told) in [(admin(), 0.0), ("[[credential]]\nname =".into(), 1.0), (admin(), 0.0)] {
        fs::write(server.credentials(), content).expect("written");
        let began = Instant::now();
        while unusable() != told {
            assert!(began.elapsed() < PATIENCE, "{told}");
        }
    }
}

#[test]
fn a_load_is_made_with_the_secret_on_every_call() {
    let server = Server::start(&(admin() + &entry("shop", "[\"m1\"]", "[\"create\", \"record\", \"read\"]")), &[]);
    let load = ["--duration", "100ms", "--warm-up", "0s", "--sessions", "5", "--merchant", "m1"];
    for work in ["create", "record", "resolve", "mixed", "stream"] {
        let args = [&["bench", work][..], &load].concat();
        let refused = server.run(&args);
        assert_eq!(refused.status.code(), Some(1), "{work}");
        assert!(stderr(&refused).contains("reason: UNAUTHENTICATED"), "{work}: {}", stderr(&refused));
        let made = server.run_as("secret-of-shop", &args);
        assert!(made.status.success(), "{work}: {}", stderr(&made));
        assert!(!String::from_utf8_lossy(&made.stdout).contains("failed"), "{work}");
    }
}

#[test]
fn the_health_needs_no_secret_and_is_not_shown_one() {
    let server = Server::start(&admin(), &[]);
    assert!(server.run(&["healthcheck"]).status.success());
    // A variable that holds no secret would be refused by every other command.
    assert!(server.run_as("not a secret", &["healthcheck"]).status.success());
}

#[test]
fn what_is_no_secret_is_refused_before_anything_is_sent_and_not_repeated() {
    let dir = TempDir::new().expect("a directory");
    for content in ["", "\n", "two words", "tab\tbed", "pässword", &"x".repeat(600)] {
        let path = dir.path().join("token");
        fs::write(&path, content).expect("written");
        for output in [
            waypost(&["get", "x", "--token-file", text(&path)]).output().expect("run"),
            waypost(&["get", "x"]).env("WAYPOST_TOKEN", content).output().expect("run"),
        ] {
            assert_eq!(output.status.code(), Some(2), "{content:?}: {}", stderr(&output));
            assert!(stderr(&output).contains("is no secret"), "{}", stderr(&output));
            assert!(content.trim().is_empty() || !stderr(&output).contains(content.trim()));
        }
    }
    let missing = waypost(&["get", "x", "--token-file", "/no/such/file"]).output().expect("run");
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn keygen_makes_a_credential_that_works_as_it_is_printed() {
    let server = Server::start(&admin(), &[]);
    let args = ["keygen", "credential", "--name", "shop", "--merchant", "m2", "--merchant", "m1"];
    let made =
        waypost(&args).args(["--scope", "merchant", "--scope", "create", "--expires", "1h"]).output().expect("run");
    assert!(made.status.success(), "{}", stderr(&made));
    let printed = String::from_utf8(made.stdout).expect("UTF-8");
    let (secret, entry) = printed.split_once("\n\n").expect("two parts");
    assert!(secret.starts_with("wp_") && secret.len() == 46, "{secret}");
    assert!(!entry.contains(secret));
    let credentials = fs::read_to_string(server.credentials()).expect("text") + entry;
    fs::write(server.credentials(), credentials).expect("written");
    let began = Instant::now();
    // The server looks at the file every second.
    while !server.run_as(secret, &["merchant", "get", "m1"]).status.success() {
        assert!(began.elapsed() < PATIENCE, "the file was not read again");
    }
    assert!(server.run_as(secret, &["merchant", "set", "m2", "--name", "Ana"]).status.success());
    assert!(stderr(&server.run_as(secret, &["merchant", "set", "m3", "--name", "Ana"])).contains("PERMISSION_DENIED"));
    let log = server.log();
    assert!(log.contains("read again") && !log.contains(secret), "{log}");
}

#[test]
fn keygen_refuses_what_the_file_would_not_take() {
    for (args, saying) in [
        (vec!["--merchant", "m1", "--scope", "read"], "--name"),
        (vec!["--name", "a b", "--merchant", "m1", "--scope", "read"], "is not a name"),
        (vec!["--name", "a", "--scope", "read"], "--merchant"),
        (vec!["--name", "a", "--merchant", "m 1", "--scope", "read"], "is not a merchant id"),
        (vec!["--name", "a", "--merchant", "m1", "--all-merchants", "--scope", "read"], "cannot be used with"),
        (vec!["--name", "a", "--merchant", "m1"], "--scope"),
        (vec!["--name", "a", "--merchant", "m1", "--scope", "write"], "is not a scope"),
        (vec!["--name", "a", "--merchant", "m1", "--scope", "read", "--expires", "never"], "is not a time"),
        (vec!["--name", "a", "--merchant", "m1", "--scope", "read", "--expires", "2020-01-01T00:00:00Z"], "future"),
        (vec!["--name", "a", "--merchant", "m1", "--scope", "read", "--expires", "0s"], "future"),
        // The file has no way to write these times, and what it does not say does not expire.
        (vec!["--name", "a", "--merchant", "m1", "--scope", "read", "--expires", "9000y"], "after the year 9999"),
        (vec!["--name", "a", "--merchant", "m1", "--scope", "read", "--expires", "500000y"], "after the year 9999"),
        (vec!["--name", "wp_a", "--merchant", "m1", "--scope", "read"], "is not a name"),
    ] {
        let output = waypost(&["keygen", "credential"]).args(&args).output().expect("run");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty() && stderr(&output).contains(saying), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn serve_refuses_a_bad_file_with_every_problem_and_its_line() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("credentials.toml");
    fs::write(&path, "[[credential]]\nname = 'a'\nsha256 = 'wp_secret'\nscopes = ['reed']\ncolour = 1\n")
        .expect("written");
    let output = waypost(&["serve", "--grpc-addr", "127.0.0.1:0", "--page-addr", "off", "--store", "memory:"])
        .args(["--credentials-file", text(&path)])
        .output()
        .expect("run");
    assert_eq!(output.status.code(), Some(1));
    expect![[r#"
        waypost: --credentials-file DIR/credentials.toml:
          line 1: merchants is missing: write ["id", ...] or "all"
          line 3: sha256 is not a SHA-256: write the 64 hexadecimal digits of the secret's, never the secret itself
          line 4: scopes: "reed" is not a scope: write create, record, read, merchant or admin
          line 5: "colour" is not a key of a credential: write name, sha256, identity, merchants, scopes, expires
    "#]]
    .assert_eq(&stderr(&output).replace(text(dir.path()), "DIR"));
    let missing = waypost(&["serve", "--grpc-addr", "127.0.0.1:0", "--credentials-file", "/no/such/file"]).output();
    assert!(stderr(&missing.expect("run")).contains("--credentials-file /no/such/file: No such file"));
}

#[test]
fn credentials_let_a_server_leave_loopback_and_contradict_being_open() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("credentials.toml");
    fs::write(&path, admin()).expect("written");
    // RFC 5737 keeps this address from being anybody's.
    let away = ["serve", "--grpc-addr", "192.0.2.1:0", "--credentials-file", text(&path)];
    let output = waypost(&away).output().expect("run");
    assert!(stderr(&output).contains("cannot listen on --grpc-addr 192.0.2.1:0"), "{}", stderr(&output));
    let output = waypost(&away).arg("--allow-unauthenticated").output().expect("run");
    assert!(stderr(&output).contains("contradict each other"), "{}", stderr(&output));
}

#[test]
fn reflection_is_off_where_credentials_are_and_can_be_switched() {
    // Only a server that has it says UNIMPLEMENTED to nobody: `reflects` asks with a credential.
    for (args, reflects) in [
        (vec![], false),
        (vec!["--sandbox"], true),
        (vec!["--reflection", "on"], true),
        (vec!["--sandbox", "--reflection", "off"], false),
    ] {
        let server = Server::start(&admin(), &args);
        assert_eq!(self::reflects(&server.addr), reflects, "{args:?}");
    }
}

/// Whether a server lists its services for the admin.
fn reflects(addr: &str) -> bool {
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let channel = tonic::transport::Channel::from_shared(format!("http://{addr}")).expect("an address");
        let mut client = ServerReflectionClient::new(channel.connect().await.expect("connected"));
        let list = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut request = tonic::Request::new(tokio_stream::once(list));
        let header = format!("Bearer {ADMIN}").parse().expect("a header");
        request.metadata_mut().insert("authorization", header);
        match client.server_reflection_info(request).await {
            Ok(answers) => answers.into_inner().message().await.expect("an answer").is_some(),
            Err(status) => {
                assert_eq!(status.code(), tonic::Code::Unimplemented);
                false
            }
        }
    })
}

#[test]
fn the_log_never_has_a_secret_even_when_it_has_everything() {
    let server =
        Server::start(&(admin() + &entry("shop", "[\"m1\"]", "[\"read\"]")), &["--log", &STATIC_MAX_LEVEL.to_string()]);
    assert!(server.run_as(ADMIN, &["merchant", "get", "m1"]).status.success());
    assert!(!server.run_as("secret-of-shop", &["merchant", "set", "m1", "--name", "N"]).status.success());
    assert!(!server.run_as("secret-of-nobody", &["merchant", "get", "m1"]).status.success());
    let bad = admin().replace("name", "nam") + "password = 'secret-in-the-file'\n";
    fs::write(server.credentials(), bad).expect("written");
    let began = Instant::now();
    while !fs::read_to_string(server.dir.path().join("log")).expect("text").contains("cannot be used") {
        assert!(began.elapsed() < PATIENCE, "the bad file was not seen");
        std::thread::yield_now();
    }
    let log = server.log();
    // It does log what was refused, and whom.
    assert!(log.contains("lacks the scope") && log.contains("shop"), "{log}");
    assert!(
        log.contains(&STATIC_MAX_LEVEL.to_string().to_uppercase()) && log.contains("h2"),
        "the log has less than everything"
    );
    for secret in [ADMIN, "secret-of-shop", "secret-of-nobody", "secret-in-the-file"] {
        assert!(!log.contains(secret), "{secret} was logged");
    }
}
