//! The `waypost` binary as its users meet it: what they type, what they read, and the exit code their scripts see.
//!
//! Every test starts a server of its own on a free port and reads the address from what the server prints. The
//! environment of the tests' own process does not reach the commands.

use expect_test::{Expect, expect};
use process::Process;
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tonic_types::{ErrorDetails, StatusExt};
use tracing::level_filters::STATIC_MAX_LEVEL;

#[path = "cli/apply.rs"]
mod apply;
#[path = "cli/manual.rs"]
mod manual;
#[path = "support/process.rs"]
#[allow(dead_code, reason = "shared with tests that do more")]
mod process;
#[path = "cli/told.rs"]
mod told;

const WAYPOST: &str = env!("CARGO_BIN_EXE_waypost");

/// An id that no server has given out.
const NOBODY: &str = "order_01986132-e354-7676-9b4a-fc8dd5c5253e";

/// Clover's own example.
const CLOVER: &str = r#"{
  "customer": {"firstName": "Alex", "lastName": "Doe", "email": "alex@example.com"},
  "redirectUrls": {
    "success": "https://www.checkout-example.com/success?session_id={CHECKOUT_SESSION_ID}",
    "failure": "https://www.checkout-example.com/failure?error_code={ERROR_CODE}",
    "cancel": "https://www.checkout-example.com/cancel"
  },
  "shoppingCart": {"lineItems": [{"name": "itemA", "price": 500, "unitQty": 1}]}
}"#;

/// Mercado Pago's own example.
const MERCADO_PAGO: &str = r#"{
  "type": "online",
  "total_amount": "1000.00",
  "external_reference": "order_pro_123",
  "payer": {"email": "buyer@email.com"},
  "transactions": {"payments": [{"amount": "1000.00"}]},
  "checkout_pro": {
    "back_urls": {
      "success": "https://www.your-site.com/success",
      "failure": "https://www.your-site.com/failure",
      "pending": "https://www.your-site.com/pending"
    },
    "auto_return": "approved"
  }
}"#;

/// BitGPT's own example, with a placeholder more that names nothing.
const BITGPT: &str = r#"{
  "customer_email": "ana@example.com",
  "metadata": {"example": "custom-value-1", "another example": "custom-value-2"},
  "items": [{"type": "PAYMENT_INTENT", "price": "50", "currency": "USD"}],
  "redirect_url": "https://example.com/redirect?id={{id}}&spaced={{metadata[another example]}}&item={{items[0].type}}&x={{nothing}}"
}"#;

/// A server that ends with the test.
struct Server {
    process: Process,
    addr: String,
}

impl Server {
    fn start(args: &[&str]) -> Self {
        Self::spawn(waypost().args(["serve", "--grpc-addr", "127.0.0.1:0", "--workers", "1"]).args(args))
    }

    fn sandbox() -> Self {
        Self::start(&["--sandbox"])
    }

    fn spawn(command: &mut Command) -> Self {
        Self::spawn_logging(command, Stdio::null())
    }

    fn spawn_logging(command: &mut Command, log: impl Into<Stdio>) -> Self {
        let mut process = Process::start(command.stderr(log));
        let addr = process.said("gRPC");
        Self { process, addr }
    }

    /// A command that asks this server.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = waypost();
        command.args(args).env("WAYPOST_SERVER", &self.addr);
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).output().unwrap())
    }

    /// The id of a new session.
    fn create(&self, kind: &str, body: &str) -> String {
        let ran = self.run_with_stdin(&["create", kind, "-", "--merchant", "demo"], body);
        ran.stdout.lines().next().unwrap_or_else(|| panic!("{}", ran.stderr)).to_owned()
    }

    fn run_with_stdin(&self, args: &[&str], stdin: &str) -> Ran {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that refuses its options never reads it.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        Ran::from(child.wait_with_output().unwrap())
    }
}

/// What a command left behind.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    /// Everything that differs from run to run is made equal.
    fn check(&self, expected: &Expect) {
        let mut shown = String::new();
        for (name, text) in [("", &self.stdout), ("stderr: ", &self.stderr)] {
            if !text.is_empty() {
                shown.push_str(name);
                shown.push_str(&normalised(text));
            }
        }
        shown.push_str(&format!("exit code {}\n", self.code.unwrap()));
        expected.assert_eq(&shown);
    }

    fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// It failed with that code and said that.
    fn failed(&self, code: i32, saying: &str) {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{}", self.stderr);
        assert!(self.stderr.contains(saying), "{:?} does not say {saying:?}", self.stderr);
    }
}

/// Uuids become `<uuid>`, times `<time>`, ports of the loopback address `<port>`.
fn normalised(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (shown, length) = if matches_form(rest, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx") {
            ("<uuid>", 36)
        } else if matches_form(rest, "dddd-dd-dd dd:dd:dd UTC") {
            ("<time>", 23)
        } else if let Some(port) = rest.strip_prefix("127.0.0.1:") {
            ("127.0.0.1:<port>", 10 + port.chars().take_while(char::is_ascii_digit).count())
        } else {
            (&rest[..c.len_utf8()], c.len_utf8())
        };
        out.push_str(shown);
        rest = &rest[length..];
    }
    out
}

/// Whether the text begins like the form, in which `x` is a hexadecimal and `d` a decimal digit.
fn matches_form(text: &str, form: &str) -> bool {
    text.len() >= form.len()
        && text.bytes().zip(form.bytes()).all(|(byte, form)| match form {
            b'x' => byte.is_ascii_hexdigit(),
            b'd' => byte.is_ascii_digit(),
            _ => byte == form,
        })
}

/// The binary, without the tests' own environment.
fn waypost() -> Command {
    // Servers keep nothing, and show neither pages nor metrics unless a test says where.
    let mut command = Command::new(WAYPOST);
    command.env_clear().env("WAYPOST_STORE", "memory:").env("WAYPOST_PAGE_ADDR", "off");
    command.env("WAYPOST_OPS_ADDR", "off");
    command
}

fn run(args: &[&str]) -> Ran {
    Ran::from(waypost().args(args).output().unwrap())
}

/// A file with that content, in a directory that ends with the test.
fn file(dir: &TempDir, name: &str, content: &str) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, content).unwrap();
    path
}

/// The file, for its owner only.
fn private(path: PathBuf) -> PathBuf {
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// An address at which nothing listens, and nothing can until the socket is dropped.
fn deserted() -> (tokio::net::TcpSocket, String) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = socket.local_addr().unwrap().to_string();
    (socket, addr)
}

mod sessions {
    use super::*;

    #[test]
    fn create_shows_the_session_its_id_first_and_the_notices() {
        let server = Server::sandbox();
        let dir = TempDir::new().unwrap();
        let body = file(&dir, "bitgpt.json", BITGPT);
        server.run(&["create", "payment", text(&body), "--merchant", "demo"]).check(&expect![[r#"
            invoice_<uuid>

            kind       payment
            merchant   demo
            outcome    open
            created    <time>
            changed    <time>
            expires    <time>, 1day after it was created

            Notices:
              redirect_url: has {{nothing}}, which names nothing that this session has: it stays in the URL as it is written
            exit code 0
        "#]]);
    }

    #[test]
    fn create_takes_every_providers_body_as_it_is_from_a_file_or_standard_input() {
        let server = Server::sandbox();
        let dir = TempDir::new().unwrap();
        for (kind, body, prefix) in
            [("checkout", CLOVER, "checkout_"), ("order", MERCADO_PAGO, "order_"), ("payment", BITGPT, "invoice_")]
        {
            let file = file(&dir, kind, body);
            let of_file = server.run(&["create", kind, text(&file), "--merchant", "demo", "--json"]).json();
            let of_stdin = server.run_with_stdin(&["create", kind, "-", "--merchant", "demo", "--json"], body).json();
            for answer in [of_file, of_stdin] {
                assert!(answer["session"]["sessionId"].as_str().unwrap().starts_with(prefix), "{answer}");
                assert_eq!(answer["session"]["merchantId"], "demo");
                assert_eq!(answer["session"]["kind"], format!("KIND_{}", kind.to_uppercase()));
            }
        }
    }

    #[test]
    fn the_options_of_create_come_before_what_the_body_says() {
        let server = Server::sandbox();
        let body = BITGPT.replacen('{', r#"{"merchantId": "other", "ttl": "120s", "#, 1);
        let plain = server.run_with_stdin(&["create", "payment", "-"], &body);
        assert!(plain.stdout.contains("merchant   other"), "{plain:?}");
        assert!(plain.stdout.contains("2m after it was created"), "{plain:?}");
        let told = server.run_with_stdin(&["create", "payment", "-", "--merchant", "demo", "--ttl", "90m"], &body);
        assert!(told.stdout.contains("merchant   demo"), "{told:?}");
        assert!(told.stdout.contains("1h 30m after it was created"), "{told:?}");
    }

    #[test]
    fn an_idempotency_key_gives_the_first_answer_again_and_takes_no_other_body() {
        let server = Server::sandbox();
        let create = |body: &str| {
            let args = ["create", "order", "-", "--merchant", "demo", "--idempotency-key", "k1"];
            server.run_with_stdin(&args, body)
        };
        let first = create(MERCADO_PAGO);
        let again = create(MERCADO_PAGO);
        assert_eq!(first.stdout.lines().next(), again.stdout.lines().next());
        again.check(&expect![[r#"
            order_<uuid>

            kind       order
            merchant   demo
            outcome    open
            created    <time>
            changed    <time>
            expires    <time>, 1day after it was created

            Nothing was created: this is the first answer to the same idempotency key again.
            exit code 0
        "#]]);
        create(&MERCADO_PAGO.replace("order_pro_123", "order_pro_124")).check(&expect![[r#"
            stderr: waypost: idempotency_key was used before with other content: send the same content, or use a new key
            reason: IDEMPOTENCY_KEY_REUSED
            exit code 1
        "#]]);
    }

    #[test]
    fn get_shows_what_was_recorded_and_its_json_is_canonical() {
        let server = Server::sandbox();
        let id = server.create("checkout", CLOVER);
        server.run(&["record", &id, "failure", "--error-code", "card_declined"]);
        server.run(&["get", &id]).check(&expect![[r#"
            checkout_<uuid>

            kind         checkout
            merchant     demo
            outcome      failure
            error code   card_declined
            created      <time>
            changed      <time>
            exit code 0
        "#]]);
        let session = &server.run(&["get", &id, "--json"]).json()["session"];
        assert_eq!(session["sessionId"], id);
        assert_eq!(session["outcome"], "OUTCOME_FAILURE");
        assert_eq!(session["errorCode"], "card_declined");
        assert!(session["createTime"].as_str().unwrap().ends_with('Z'));
        assert!(session.get("paymentId").is_none(), "fields with their default are left out: {session}");
    }

    #[test]
    fn record_says_whether_it_changed_anything() {
        let server = Server::sandbox();
        let id = server.create("order", MERCADO_PAGO);
        let record = ["record", &id, "success", "--payment-id", "123456789", "--status", "approved"];
        server.run(&record).check(&expect![[r#"
            order_<uuid>

            kind         order
            merchant     demo
            outcome      success
            payment id   123456789
            status       approved
            created      <time>
            changed      <time>

            Recorded.
            exit code 0
        "#]]);
        server.run(&["record", &id, "cancel"]).check(&expect![[r#"
            order_<uuid>

            kind         order
            merchant     demo
            outcome      success
            payment id   123456789
            status       approved
            created      <time>
            changed      <time>

            Nothing changed: it was recorded before, or the session had succeeded, which is final.
            exit code 0
        "#]]);
        let json = server.run(&["record", &id, "cancel", "--json"]).json();
        assert_eq!(json["session"]["outcome"], "OUTCOME_SUCCESS");
        assert!(json.get("applied").is_none(), "false is the default, which canonical JSON leaves out: {json}");
    }

    #[test]
    fn every_outcome_can_be_recorded() {
        let server = Server::sandbox();
        for outcome in ["failure", "cancel", "pending", "expired", "success"] {
            let id = server.create("payment", BITGPT);
            let json = server.run(&["record", &id, outcome, "--json"]).json();
            assert_eq!(json["session"]["outcome"], format!("OUTCOME_{}", outcome.to_uppercase()));
            assert_eq!(json["applied"], true);
        }
    }
}

mod redirects {
    use super::*;

    #[test]
    fn resolve_shows_the_url_first_and_then_why() {
        let server = Server::sandbox();
        let id = server.create("payment", BITGPT);
        server.run(&["record", &id, "success"]);
        server.run(&["resolve", &id]).check(&expect![[r#"
            https://example.com/redirect?id=invoice_<uuid>&spaced=custom-value-2&item=PAYMENT_INTENT&x={{nothing}}

            outcome      success
            action       go there now (HTTP 303)
            URL from     the create request
            unresolved   {{nothing}}
            exit code 0
        "#]]);
    }

    #[test]
    fn resolve_tells_the_delay_of_an_orders_page_and_explains_every_candidate() {
        let server = Server::sandbox();
        server.run(&["merchant", "set", "demo", "--failure-url", "https://ana.example.com/sorry"]);
        let id = server.create("order", MERCADO_PAGO);
        server.run(&["resolve", &id, "--outcome", "success", "--payment-id", "5", "--explain"]).check(&expect![[r#"
            https://www.your-site.com/success?payment_id=5&status=approved&external_reference=order_pro_123&order_id=order_<uuid>

            outcome    success, as asked for; nothing is recorded by this
            action     show a page that goes there by itself after 5s, with a "Return to site" button
            URL from   the create request

            tried   slot      level      fate     URL template
            1       success   settings   empty
            2       success   request    chosen   https://www.your-site.com/success
            exit code 0
        "#]]);
        server.run(&["resolve", &id, "--explain"]).check(&expect![[r#"
            https://ana.example.com/sorry?payment_id=null&status=null&external_reference=order_pro_123&order_id=order_<uuid>

            outcome    cancel
            action     show a page whose "Return to site" button goes there
            URL from   the merchant's settings

            tried   slot      level      fate        URL template
            1       cancel    settings   empty
            2       cancel    request    empty
            3       failure   settings   chosen      https://ana.example.com/sorry
            4       failure   request    outranked   https://www.your-site.com/failure
            exit code 0
        "#]]);
    }

    #[test]
    fn resolve_says_when_there_is_no_url_and_why_one_was_refused() {
        let server = Server::sandbox();
        let id = server.create("checkout", CLOVER);
        server.run(&["resolve", &id, "--outcome", "pending"]).check(&expect![[r#"
            no URL: Waypost's own page serves

            outcome    pending, as asked for; nothing is recorded by this
            action     show a page without a button
            URL from   neither the merchant's settings nor the create request
                       --explain shows what was tried
            exit code 0
        "#]]);
        server.run(&["merchant", "set", "demo", "--allowed-origin", "https://ana.example.com"]);
        server.run(&["resolve", &id, "--outcome", "success", "--explain"]).check(&expect![[r#"
            no URL: Waypost's own page serves

            outcome    success, as asked for; nothing is recorded by this
            action     show a page without a button
            URL from   neither the merchant's settings nor the create request

            tried   slot      level      fate      URL template
            1       success   settings   empty
            2       success   request    refused   https://www.checkout-example.com/success?session_id=checkout_<uuid>
                                         because   it has the origin `https://www.checkout-example.com`, which the merchant's allowed_origins does not have: write one of those, or add it there
            exit code 0
        "#]]);
    }

    #[test]
    fn what_is_given_with_resolve_stands_in_for_what_was_recorded() {
        let server = Server::sandbox();
        let order = server.create("order", MERCADO_PAGO);
        let args =
            ["resolve", &order, "--outcome", "failure", "--payment-id", "7", "--status", "charged_back", "--json"];
        let url = server.run(&args).json()["redirect"]["url"].as_str().unwrap().to_owned();
        assert!(url.contains("payment_id=7&status=charged_back&"), "{url}");
        let checkout = server.create("checkout", CLOVER);
        let args = ["resolve", &checkout, "--outcome", "failure", "--error-code", "card_declined", "--json"];
        let redirect = &server.run(&args).json()["redirect"];
        assert_eq!(redirect["url"], "https://www.checkout-example.com/failure?error_code=card_declined");
        assert_eq!(redirect["action"], "ACTION_REDIRECT");
        assert_eq!(redirect["source"], "SOURCE_REQUEST");
    }

    #[test]
    fn resolve_waits_for_an_outcome_until_it_is_recorded() {
        let server = Server::sandbox();
        let id = server.create("payment", BITGPT);
        let began = Instant::now();
        // Whichever of the two comes first, the answer is success, and it comes long before the wait is over.
        let mut waiting = server.command(&["resolve", &id, "--wait", "30s", "--json"]);
        let waiting = waiting.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        assert_eq!(server.run(&["record", &id, "success"]).code, Some(0));
        let answer = Ran::from(waiting.wait_with_output().unwrap()).json();
        assert_eq!(answer["redirect"]["outcome"], "OUTCOME_SUCCESS");
        assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    }

    #[test]
    fn resolve_answers_cancel_when_the_wait_was_in_vain() {
        let server = Server::sandbox();
        let id = server.create("payment", BITGPT);
        let answer = server.run(&["resolve", &id, "--wait", "1ms", "--json"]).json();
        assert_eq!(answer["redirect"]["outcome"], "OUTCOME_CANCEL");
    }

    #[test]
    fn preview_shows_every_outcome_of_a_body_that_is_not_created() {
        let server = Server::sandbox();
        let preview = ["preview", "--order", "-", "--merchant", "demo"];
        server.run_with_stdin(&preview, MERCADO_PAGO).check(&expect![[r#"
            success   https://www.your-site.com/success?payment_id=null&status=approved&external_reference=order_pro_123&order_id=order_<uuid>
                      show a page that goes there by itself after 5s, with a "Return to site" button
                      the URL is that of the create request
            failure   https://www.your-site.com/failure?payment_id=null&status=rejected&external_reference=order_pro_123&order_id=order_<uuid>
                      show a page whose "Return to site" button goes there
                      the URL is that of the create request
            cancel    https://www.your-site.com/failure?payment_id=null&status=null&external_reference=order_pro_123&order_id=order_<uuid>
                      show a page whose "Return to site" button goes there
                      the URL is that of the create request
            pending   https://www.your-site.com/pending?payment_id=null&status=pending&external_reference=order_pro_123&order_id=order_<uuid>
                      show a page whose "Return to site" button goes there
                      the URL is that of the create request
            expired   https://www.your-site.com/failure?payment_id=null&status=null&external_reference=order_pro_123&order_id=order_<uuid>
                      show a page whose "Return to site" button goes there
                      the URL is that of the create request

            Longest possible URL: 1098 of 4096 bytes
            exit code 0
        "#]]);
    }

    #[test]
    fn preview_takes_every_kind_of_body_and_a_session() {
        let server = Server::sandbox();
        let dir = TempDir::new().unwrap();
        let id = server.create("checkout", CLOVER);
        let mut answers = vec![server.run(&["preview", &id, "--json"]).json()];
        for (option, body) in [("--checkout", CLOVER), ("--order", MERCADO_PAGO), ("--payment", BITGPT)] {
            let file = file(&dir, "body.json", body);
            answers.push(server.run(&["preview", option, text(&file), "--merchant", "demo", "--json"]).json());
        }
        for answer in answers {
            let redirects = answer["redirects"].as_array().unwrap();
            let outcomes: Vec<&str> = redirects.iter().map(|redirect| redirect["outcome"].as_str().unwrap()).collect();
            let all = ["OUTCOME_SUCCESS", "OUTCOME_FAILURE", "OUTCOME_CANCEL", "OUTCOME_PENDING", "OUTCOME_EXPIRED"];
            assert_eq!(outcomes, all);
            assert!(answer["maxUrlLength"].as_i64().unwrap() > 0);
        }
    }

    #[test]
    fn preview_warns_of_a_url_that_a_long_value_would_make_too_long() {
        let server = Server::sandbox();
        let many = "&p={{payment_id}}".repeat(20);
        let body = BITGPT.replace("&x={{nothing}}", &many);
        let ran = server.run_with_stdin(&["preview", "--payment", "-", "--merchant", "demo"], &body);
        assert!(ran.stdout.contains("bytes, and one above 4096 is refused"), "{ran:?}");
    }
}

mod merchants {
    use super::*;

    #[test]
    fn a_merchant_that_was_never_written_shows_the_defaults() {
        Server::sandbox().run(&["merchant", "get", "6CQXXXXXXXYE1"]).check(&expect![[r#"
            6CQXXXXXXXYE1

            name                none
            success URL         none
            failure URL         none
            cancel URL          none
            pending URL         none
            expired URL         none
            precedence          these settings, then the create request
            auto-return delay   5s
            allowed origins     every origin
            app schemes         none
            returns             not signed
            etag                v0
            changed             never: these are the defaults
            exit code 0
        "#]]);
    }

    #[test]
    fn set_changes_what_is_named_and_nothing_else_and_clear_puts_it_back() {
        let server = Server::sandbox();
        #[rustfmt::skip]
        let all = [
            "merchant", "set", "demo", "--name", "Ana Books",
            "--success-url", "https://ana.example.com/success", "--failure-url", "https://ana.example.com/failure",
            "--cancel-url", "https://ana.example.com/cancel", "--pending-url", "https://ana.example.com/pending",
            "--expired-url", "com.example.ana://expired", "--precedence", "request-first",
            "--auto-return-delay", "1500ms", "--allowed-origin", "https://ana.example.com",
            "--allowed-origin", "https://*.example.org", "--app-scheme", "com.example.ana", "--app-scheme", "anabooks",
        ];
        server.run(&all).check(&expect![[r#"
            demo

            name                Ana Books
            success URL         https://ana.example.com/success
            failure URL         https://ana.example.com/failure
            cancel URL          https://ana.example.com/cancel
            pending URL         https://ana.example.com/pending
            expired URL         com.example.ana://expired
            precedence          the create request, then these settings
            auto-return delay   1s 500ms
            allowed origins     https://ana.example.com https://*.example.org
            app schemes         com.example.ana anabooks
            returns             not signed
            etag                v1
            changed             <time>
            exit code 0
        "#]]);
        let before = server.run(&["merchant", "get", "demo", "--json"]).json()["merchant"].clone();
        let one = server.run(&["merchant", "set", "demo", "--name", "Ana's Books", "--json"]).json();
        for field in ["returnUrls", "precedence", "autoReturnDelay", "allowedOrigins", "appSchemes"] {
            assert_eq!(one["merchant"][field], before[field], "{field}");
        }
        assert_eq!(one["merchant"]["name"], "Ana's Books");
        assert_ne!(one["merchant"]["etag"], before["etag"]);
        #[rustfmt::skip]
        let clear = [
            "merchant", "set", "demo", "--clear", "name", "--clear", "success-url", "--clear", "failure-url",
            "--clear", "cancel-url", "--clear", "pending-url", "--clear", "expired-url", "--clear", "precedence",
            "--clear", "auto-return-delay", "--clear", "allowed-origin", "--clear", "app-scheme",
        ];
        server.run(&clear).check(&expect![[r#"
            demo

            name                none
            success URL         none
            failure URL         none
            cancel URL          none
            pending URL         none
            expired URL         none
            precedence          these settings, then the create request
            auto-return delay   5s
            allowed origins     every origin
            app schemes         none
            returns             not signed
            etag                v3
            changed             <time>
            exit code 0
        "#]]);
    }

    #[test]
    fn an_etag_that_is_stale_is_refused() {
        let server = Server::sandbox();
        let etag = server.run(&["merchant", "get", "demo", "--json"]).json()["merchant"]["etag"].clone();
        let set = ["merchant", "set", "demo", "--name", "Ana", "--etag", etag.as_str().unwrap()];
        assert_eq!(server.run(&set).code, Some(0));
        let stale = ["merchant", "set", "demo", "--name", "Bea", "--etag", etag.as_str().unwrap()];
        server.run(&stale).check(&expect![[r#"
            stderr: waypost: this etag is not that of now: read the merchant again, apply the change to that, and give its etag back as it is
            reason: ETAG_MISMATCH
            exit code 1
        "#]]);
    }

    #[test]
    fn an_update_that_says_nothing_or_contradicts_itself_is_not_sent() {
        let (_socket, nowhere) = deserted();
        for (args, saying) in [
            (vec![], "nothing to change: name a setting"),
            (vec!["--etag", "v0"], "nothing to change: name a setting"),
            (vec!["--name", "a", "--clear", "name"], "--name and --clear name contradict each other"),
            (vec!["--success-url", ""], "a value is required for '--success-url <URL>'"),
            (vec!["--precedence", "mine"], "possible values: settings-first, request-first"),
            (vec!["--auto-return-delay", "soon"], "invalid value 'soon' for '--auto-return-delay <TIME>'"),
        ] {
            let set = ["merchant", "set", "demo", "--server", &nowhere];
            run(&[&set[..], &args].concat()).failed(2, saying);
        }
    }
}

mod errors {
    use super::*;

    #[test]
    fn every_violation_is_listed_with_its_field() {
        let server = Server::sandbox();
        server.run_with_stdin(&["create", "payment", "-"], r#"{"items":[{"price":"1,5"}]}"#).check(&expect![[r#"
            stderr: waypost: 4 fields are invalid: customer_email, items[0].currency, items[0].price, merchant_id
              customer_email: is missing: write the e-mail address of the person who pays
              items[0].currency: is not an ISO 4217 currency: write its three upper-case letters, such as USD
              items[0].price: is not an amount: write digits with at most one point between them, such as 1000.00, without sign, separators or exponent
              merchant_id: is missing: write the merchant's id
            reason: INVALID_FIELD
            exit code 1
        "#]]);
    }

    #[test]
    fn a_single_violation_is_said_once() {
        Server::sandbox().run(&["get", "order_17"]).check(&expect![[r#"
            stderr: waypost: session_id is not a session id: write `checkout_`, `order_` or `invoice_` and the lower-case UUID, as the create call returned it
            reason: INVALID_FIELD
            exit code 1
        "#]]);
    }

    #[test]
    fn a_session_that_is_not_there_has_its_reason_in_every_command() {
        let server = Server::sandbox();
        server.run(&["get", NOBODY]).check(&expect![[r#"
            stderr: waypost: no session has this session_id
            reason: SESSION_NOT_FOUND
            exit code 1
        "#]]);
        for args in [vec!["resolve", NOBODY], vec!["preview", NOBODY], vec!["record", NOBODY, "success"]] {
            server.run(&args).failed(1, "reason: SESSION_NOT_FOUND");
        }
    }

    #[test]
    fn a_call_that_the_server_gives_up_says_when_to_try_again() {
        // It answers as ours does when its store is away, which takes another machine to bring about.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.spawn(answer_every_call(listener, || {
            let mut details = ErrorDetails::with_error_info("STORE_UNAVAILABLE", "waypost.v1", []);
            details.set_retry_info(Some(Duration::from_millis(1_500)));
            let text = "the store did not answer: try again";
            tonic::Status::with_error_details(tonic::Code::Unavailable, text, details)
        }));
        run(&["get", NOBODY, "--server", &addr]).check(&expect![[r#"
            stderr: waypost: the store did not answer: try again
            reason: STORE_UNAVAILABLE
            retry: after 1s 500ms
            exit code 1
        "#]]);
        run(&["healthcheck", "--server", &addr]).failed(1, "try again\nreason: STORE_UNAVAILABLE\n");
    }

    #[test]
    fn an_error_without_details_has_its_code() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.spawn(answer_every_call(listener, || tonic::Status::unimplemented("\u{1b}[2Jno such method")));
        run(&["get", NOBODY, "--server", &addr]).check(&expect![[r#"
            stderr: waypost: \u{1b}[2Jno such method
            code: Unimplemented
            exit code 1
        "#]]);
        // What took the time was the server, so it counts as no answer.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        runtime.spawn(answer_every_call(listener, || tonic::Status::deadline_exceeded("too slow")));
        run(&["get", NOBODY, "--server", &addr]).failed(3, "too slow\ncode: DeadlineExceeded");
    }

    async fn answer_every_call(listener: TcpListener, status: fn() -> tonic::Status) {
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let mut connection = h2::server::handshake(stream).await.unwrap();
            tokio::spawn(async move {
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    let answer = status().into_http::<()>();
                    respond.send_response(answer, true).unwrap();
                }
            });
        }
    }

    #[test]
    fn a_body_that_is_not_the_providers_is_refused_with_its_place_and_not_sent() {
        let (_socket, nowhere) = deserted();
        let dir = TempDir::new().unwrap();
        let typo = file(&dir, "typo.json", &BITGPT.replace("redirect_url", "redirectURL"));
        let create = |kind: &str, file: &Path| run(&["create", kind, text(file), "--server", &nowhere]);
        create("payment", &typo)
            .failed(2, "typo.json is not the body of a payment: unrecognized field name 'redirectURL' at line 5");
        create("checkout", &file(&dir, "wrong.json", BITGPT)).failed(2, "unrecognized field name 'customer_email'");
        create("order", &file(&dir, "empty.json", "")).failed(2, "empty.json is not the body of an order: EOF");
        create("order", &file(&dir, "two.json", "{} {}")).failed(2, "trailing characters at line 1 column 4");
        create("order", &dir.path().join("none.json")).failed(2, "none.json: No such file");
        create("order", &file(&dir, "large.json", &" ".repeat(1024 * 1024 + 1))).failed(2, "larger than 1048576 bytes");
        run(&["preview", "--payment", text(&typo), "--server", &nowhere]).failed(2, "'redirectURL'");
    }

    #[test]
    fn wrong_usage_has_an_exit_code_of_its_own() {
        for (args, saying) in [
            (vec!["get"], "<SESSION_ID>"),
            (vec!["refund", NOBODY], "unrecognized subcommand 'refund'"),
            (vec!["record", NOBODY, "paid"], "possible values: success, failure, cancel, pending, expired"),
            (vec!["resolve", NOBODY, "--wait", "soon"], "invalid value 'soon' for '--wait <TIME>'"),
            (vec!["resolve", NOBODY, "--wait", "20000years"], "is longer than 10,000 years"),
            (vec!["create", "invoice", "x.json"], "possible values: checkout, order, payment"),
            (vec!["preview"], "--checkout <FILE>"),
            (vec!["preview", NOBODY, "--order", "-"], "cannot be used with"),
            (vec!["preview", NOBODY, "--merchant", "m"], "cannot be used with"),
            (vec!["get", NOBODY, "--timeout", "2h"], "is longer than 1h"),
            (vec!["get", NOBODY, "--server", "https://a.example.com"], "has no port"),
            (vec!["get", NOBODY, "--server", "https://127.0.0.1:1", "--tls-ca", "/no/file"], "--tls-ca /no/file"),
            (vec!["get", NOBODY, "--tls-cert", "a.crt"], "--tls-key <FILE>"),
            (vec!["get", NOBODY, "--token-file", "/no/file"], "--token-file /no/file"),
            (vec!["get", NOBODY, "--server", "localhost"], "has no port"),
            (vec!["healthcheck", "--server", "https://a.example.com"], "has no port"),
        ] {
            run(&args).failed(2, saying);
        }
    }

    #[test]
    fn every_help_text_has_an_example_and_the_first_one_the_exit_codes() {
        for args in [
            vec!["resolve"],
            vec!["preview"],
            vec!["create"],
            vec!["get"],
            vec!["record"],
            vec!["merchant", "get"],
            vec!["merchant", "set"],
            vec!["merchant", "apply"],
            vec!["explain"],
            vec!["demo"],
            vec!["healthcheck"],
        ] {
            let help = run(&[&args[..], &["--help"]].concat());
            assert_eq!(help.code, Some(0));
            assert!(help.stdout.contains("Example"), "{args:?}");
            assert!(help.stdout.contains("Connection:"), "{args:?}");
        }
        assert!(run(&["--help"]).stdout.contains("Exit codes:\n  0  done\n"));
    }
}

mod connections {
    use super::*;

    #[test]
    fn a_server_that_is_not_there_is_named() {
        let (_socket, nowhere) = deserted();
        run(&["get", NOBODY, "--server", &nowhere]).check(&expect![[r#"
            stderr: waypost: cannot reach http://127.0.0.1:<port>: Connection refused (os error 111); is a server running there? --server names another
            exit code 3
        "#]]);
    }

    #[test]
    fn a_server_that_never_answers_is_given_up_in_time() {
        // Its connections are taken by the kernel and by nobody else.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = listener.local_addr().unwrap().to_string();
        let began = Instant::now();
        run(&["get", NOBODY, "--server", &silent, "--timeout", "200ms"]).check(&expect![[r#"
            stderr: waypost: no answer from http://127.0.0.1:<port> within 200ms; --timeout waits longer
            exit code 3
        "#]]);
        let environment = waypost()
            .args(["get", NOBODY])
            .envs([("WAYPOST_SERVER", silent.as_str()), ("WAYPOST_TIMEOUT", "100ms")])
            .output();
        Ran::from(environment.unwrap()).failed(3, "within 100ms");
        assert!(began.elapsed() < Duration::from_secs(8), "the default of 10s was waited for");
    }

    #[test]
    fn what_is_not_a_grpc_server_is_found_out() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let answer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut preface = [0; 24];
            stream.read_exact(&mut preface).unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").unwrap();
            // Reading to the end lets the other side see the answer before the connection is reset.
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        });
        run(&["get", NOBODY, "--server", &addr]).failed(3, "is it a Waypost server?");
        answer.join().unwrap();
    }

    #[test]
    fn the_address_may_have_its_scheme_or_not_and_the_option_comes_before_the_environment() {
        let server = Server::sandbox();
        for address in [server.addr.clone(), format!("http://{}", server.addr), format!("http://{}/", server.addr)] {
            let ran = waypost()
                .args(["merchant", "get", "demo", "--server", &address])
                .env("WAYPOST_SERVER", "https://unused.example.com:1")
                .output();
            assert_eq!(Ran::from(ran.unwrap()).code, Some(0), "{address}");
        }
    }

    #[test]
    fn options_about_tls_are_refused_for_a_server_without_it() {
        let (_socket, nowhere) = deserted();
        run(&["get", NOBODY, "--server", &nowhere, "--tls-ca", "ca.crt"])
            .failed(2, "write https:// in front of the address");
        let certificate = ["--tls-cert", "a.crt", "--tls-key", "a.key"];
        run(&[&["get", NOBODY, "--server", &nowhere][..], &certificate].concat()).failed(2, "write https://");
    }

    #[test]
    fn a_reader_that_stops_reading_is_no_error() {
        let server = Server::sandbox();
        let mut child =
            server.command(&["merchant", "get", "demo"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        Ran::from(child.wait_with_output().unwrap()).check(&expect![[r#"
            exit code 0
        "#]]);
    }
}

mod health {
    use super::*;

    #[test]
    fn a_server_that_serves_is_healthy_as_a_whole_and_by_service() {
        let server = Server::sandbox();
        server.run(&["healthcheck"]).check(&expect![[r#"
            serving
            exit code 0
        "#]]);
        for service in ["waypost.v1.RedirectService", "waypost.v1.MerchantService"] {
            assert_eq!(server.run(&["healthcheck", "--service", service]).code, Some(0));
        }
        server.run(&["healthcheck", "--service", "waypost.v1.Refunds"]).check(&expect![[r#"
            stderr: waypost: the server has no service `waypost.v1.Refunds`
            exit code 1
        "#]]);
    }

    #[test]
    fn a_server_that_is_stopped_or_silent_is_not_healthy() {
        let (_socket, nowhere) = deserted();
        run(&["healthcheck", "--server", &nowhere]).check(&expect![[r#"
            stderr: waypost: cannot reach http://127.0.0.1:<port>: Connection refused (os error 111); is a server running there? --server names another
            exit code 1
        "#]]);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = listener.local_addr().unwrap().to_string();
        run(&["healthcheck", "--server", &silent, "--timeout", "100ms"]).failed(1, "within 100ms");
        let environment = waypost()
            .arg("healthcheck")
            .envs([("WAYPOST_SERVER", silent.as_str()), ("WAYPOST_HEALTHCHECK_TIMEOUT", "100ms")])
            .output();
        Ran::from(environment.unwrap()).failed(1, "within 100ms");
    }

    #[test]
    fn a_server_that_is_stopping_is_not_healthy_and_a_second_signal_ends_it() {
        let mut server = Server::start(&["--lame-duck", "1h"]);
        assert_eq!(server.run(&["healthcheck"]).code, Some(0));
        server.process.signal(libc::SIGTERM);
        // The signal is on its way; until it arrives the server is healthy.
        let ran = loop {
            let ran = server.run(&["healthcheck"]);
            if ran.code != Some(0) {
                break ran;
            }
        };
        ran.check(&expect![[r#"
            stderr: waypost: the server is NOT_SERVING
            exit code 1
        "#]]);
        server.process.signal(libc::SIGTERM);
        assert_eq!(server.process.ended().code(), Some(130));
    }
}

mod store {
    use super::*;

    /// The store of a new directory, and the directory.
    fn store() -> (TempDir, String) {
        let dir = TempDir::new().unwrap();
        let url = format!("redb:{}", text(&dir.path().join("waypost.redb")));
        (dir, url)
    }

    #[test]
    fn what_was_acknowledged_is_there_after_a_kill() {
        let (_dir, url) = store();
        let mut server = Server::start(&["--store", &url]);
        let id = server.create("payment", BITGPT);
        assert_eq!(server.run(&["record", &id, "success", "--payment-id", "7"]).code, Some(0));
        server.process.signal(libc::SIGKILL);
        server.process.ended();
        let server = Server::start(&["--store", &url]);
        let session = server.run(&["get", &id, "--json"]).json();
        assert_eq!(
            (&session["session"]["outcome"], &session["session"]["paymentId"]),
            (&"OUTCOME_SUCCESS".into(), &"7".into())
        );
    }

    #[test]
    fn a_backup_is_taken_while_the_server_serves_and_moves_everything_to_another_store() {
        let (dir, url) = store();
        let server = Server::start(&["--store", &url]);
        let id = server.create("order", MERCADO_PAGO);
        server.run(&["merchant", "set", "demo", "--name", "Ana"]);
        let backup = dir.path().join("backup.jsonl");
        let export = || run(&["store", "export", text(&backup), "--store", &url]);
        assert_eq!(export().stdout, "exported 1 sessions and 1 merchants\n");
        // Nothing is overwritten.
        export().failed(2, "File exists");
        // The server goes on.
        assert_eq!(server.run(&["record", &id, "pending"]).code, Some(0));

        let other = format!("redb:{}", text(&dir.path().join("other.redb")));
        let import = || run(&["store", "import", text(&backup), "--store", &other]).stdout;
        assert_eq!(import(), "imported 2 records, kept 0 that were as new or newer\n");
        assert_eq!(import(), "imported 0 records, kept 2 that were as new or newer\n");
        assert_eq!(
            run(&["store", "check", "--store", &other]).stdout,
            "1 sessions, 1 merchants, 0 idempotency keys: no problem found\n"
        );
        let moved = Server::start(&["--store", &other]);
        assert_eq!(moved.run(&["get", &id, "--json"]).json()["session"]["outcome"], Value::Null);
        // From a file that no server has open, to standard output.
        drop(moved);
        assert_eq!(run(&["store", "export", "-", "--store", &other]).stdout, fs::read_to_string(&backup).unwrap());
    }

    #[test]
    fn what_is_not_a_store_or_not_there_is_refused() {
        let (dir, url) = store();
        run(&["store", "check", "--store", &url]).failed(1, "there is no such file");
        run(&["store", "export", "-", "--store", &url]).failed(1, "there is no such file");
        run(&["store", "check", "--store", "memory:"]).failed(2, "only a `redb:` file can be checked");
        let no_export = file(&dir, "x.jsonl", "{}\n");
        run(&["store", "import", text(&no_export), "--store", &url]).failed(1, "line 1");
        let no_store = format!("redb:{}", text(&file(&dir, "x.redb", "this is a text")));
        run(&["store", "check", "--store", &no_store]).failed(1, "x.redb");
        run(&["serve", "--grpc-addr", "127.0.0.1:0", "--store", &no_store]).failed(1, "x.redb");
    }

    #[test]
    fn a_file_has_one_server() {
        let (_dir, url) = store();
        let _server = Server::start(&["--store", &url]);
        run(&["serve", "--grpc-addr", "127.0.0.1:0", "--store", &url]).failed(1, "waypost.redb");
        run(&["store", "check", "--store", &url]).failed(1, "waypost.redb");
    }
}

mod keygen {
    use super::*;

    /// A key as its file has it.
    fn page_key() -> String {
        let ran = run(&["keygen", "page"]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        ran.stdout
    }

    /// Where that session's page is, below the address of whatever server shows it.
    pub fn page_path(server: &Server, id: &str) -> String {
        let session = server.run(&["get", id, "--json"]).json();
        let url = session["session"]["pageUrl"].as_str().unwrap();
        url[url.find("/r/").unwrap()..].to_owned()
    }

    /// The first line of the answer to a browser that opens the path.
    pub fn opened(server: &Server, id: &str, path: &str) -> String {
        let session = server.run(&["get", id, "--json"]).json();
        let url = session["session"]["pageUrl"].as_str().unwrap();
        let addr = url.strip_prefix("http://").and_then(|url| url.split('/').next()).unwrap();
        let mut stream = TcpStream::connect(addr).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.lines().next().unwrap().to_owned()
    }

    #[test]
    fn a_page_key_is_one_line_of_32_random_bytes_below_what_it_is() {
        let [one, other] = [page_key(), page_key()];
        let [says, key] = one.lines().collect::<Vec<_>>().try_into().unwrap();
        assert!(says.starts_with("# ") && says.contains("pages"), "{says}");
        // 32 bytes are 43 digits and one of padding.
        assert!(key.len() == 44 && key.ends_with('='), "{} bytes", key.len());
        assert_ne!(one, other);
    }

    #[test]
    fn links_open_after_a_restart_with_the_same_key_and_after_a_new_key_came_before_it() {
        let dir = TempDir::new().unwrap();
        let store = format!("redb:{}", text(&dir.path().join("waypost.redb")));
        let key = page_key();
        let serve = |keys: &str| {
            let keys = file(&dir, "page.key", keys);
            Server::start(&["--store", &store, "--page-addr", "127.0.0.1:0", "--page-key-file", text(&keys)])
        };

        let server = serve(&key);
        let id = server.create("payment", BITGPT);
        let link = page_path(&server, &id);
        assert_eq!(opened(&server, &id, &link), "HTTP/1.1 303 See Other");
        drop(server);

        let server = serve(&key);
        assert_eq!(page_path(&server, &id), link);
        assert_eq!(opened(&server, &id, &link), "HTTP/1.1 303 See Other");
        drop(server);

        let server = serve(&(page_key() + &key));
        let newer = page_path(&server, &id);
        assert_ne!(newer, link);
        for link in [&link, &newer] {
            assert_eq!(opened(&server, &id, link), "HTTP/1.1 303 See Other");
        }
        drop(server);

        let server = serve(&page_key());
        assert_eq!(opened(&server, &id, &link), "HTTP/1.1 404 Not Found");
    }

    #[test]
    fn a_page_key_file_that_holds_none_says_what_makes_one() {
        let dir = TempDir::new().unwrap();
        let keys = file(&dir, "page.key", "secret\n");
        let serve =
            ["serve", "--grpc-addr", "127.0.0.1:0", "--page-addr", "127.0.0.1:0", "--page-key-file", text(&keys)];
        let ran = run(&serve);
        ran.failed(1, "page.key has no key in line 1");
        ran.failed(1, "`waypost keygen page`");
        assert!(!ran.stderr.contains("secret"), "{}", ran.stderr);
    }

    #[test]
    fn a_page_key_file_without_end_is_not_read_to_it() {
        let serve = ["serve", "--grpc-addr", "127.0.0.1:0", "--page-addr", "127.0.0.1:0", "--page-key-file"];
        run(&[&serve[..], &["/dev/zero"]].concat()).failed(1, "--page-key-file /dev/zero is larger than 65536 bytes");
        run(&[&serve[..], &["/no/such"]].concat()).failed(1, "--page-key-file /no/such cannot be read: No such file");
    }
}

mod serve {
    use super::{
        keygen::{opened, page_path},
        *,
    };

    #[test]
    fn sigterm_ends_it_with_exit_code_0() {
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            let mut server = Server::sandbox();
            assert_eq!(server.run(&["healthcheck"]).code, Some(0));
            server.process.signal(signal);
            assert_eq!(server.process.ended().code(), Some(0));
        }
    }

    #[test]
    fn a_terminal_that_closes_is_told_of_twice_or_is_nothing_to_who_was_told_to_outlive_it() {
        let mut server = Server::sandbox();
        server.process.signal(libc::SIGHUP);
        server.process.signal(libc::SIGHUP);
        assert_eq!(server.process.ended().code(), Some(0));
        // As `nohup` does it.
        let mut shell = Command::new("sh");
        shell.env_clear().args([
            "-c",
            "trap '' HUP; exec \"$0\" \"$@\"",
            WAYPOST,
            "serve",
            "--grpc-addr",
            "127.0.0.1:0",
        ]);
        shell.args(["--page-addr", "off", "--ops-addr", "off", "--store", "memory:"]);
        let mut server = Server::spawn(&mut shell);
        server.process.signal(libc::SIGHUP);
        assert_eq!(server.run(&["healthcheck"]).code, Some(0));
        assert_eq!(server.process.stop().code(), Some(0));
    }

    #[test]
    fn a_start_that_waits_for_its_database_says_so_and_ends_when_told_to() {
        let (_nobody, addr) = deserted();
        let dir = TempDir::new().unwrap();
        let log = dir.path().join("log");
        let serve = |addr: &str, log: File| {
            let store = format!("postgres://waypost:s3cret@{addr}/waypost");
            Process::start(waypost().args(["serve", "--grpc-addr", "127.0.0.1:0", "--store", &store]).stderr(log))
        };
        let mut refused = serve(&addr, File::create(&log).unwrap());
        let waits = || fs::read_to_string(&log).unwrap();
        let began = Instant::now();
        while !waits().contains("the store does not answer yet") {
            assert!(began.elapsed() < Duration::from_secs(30), "{}", waits());
            std::thread::yield_now();
        }
        assert!(!waits().contains("s3cret"), "{}", waits());
        assert_eq!(refused.stop().code(), Some(0));
        // One that takes connections and never says a word.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut waiting = serve(&silent.local_addr().unwrap().to_string(), File::create(&log).unwrap());
        let _connection = silent.accept().unwrap();
        assert_eq!(waiting.stop().code(), Some(0));
    }

    #[test]
    fn what_it_prints_to_try_works_when_pasted() {
        let mut server = Server::start(&[]);
        let mut printed = String::new();
        // The last line of what is printed.
        while !printed.contains("resolve") {
            printed += &server.process.line().unwrap_or_else(|| panic!("{printed}"));
        }
        let line = |word: &str| printed.lines().find(|line| line.contains(word)).unwrap();
        // grpcurl is not needed for this: what it would send is sent, and where to is read.
        let grpcurl = line("grpcurl ");
        assert!(grpcurl.starts_with("grpcurl -plaintext -d '"), "{grpcurl}");
        assert!(grpcurl.ends_with(&format!("' {} waypost.v1.RedirectService/CreatePayment", server.addr)), "{grpcurl}");
        let id = server.run_with_stdin(&["create", "payment", "-"], grpcurl.split('\'').nth(1).unwrap());
        let resolve = line(" resolve ").replace("<sessionId of the answer>", id.stdout.lines().next().unwrap());
        let shell = Command::new("sh").args(["-ec", &format!("{resolve} --outcome success")]).env_clear().output();
        Ran::from(shell.unwrap()).check(&expect![[r#"
            https://shop.example.com/paid?id=invoice_<uuid>&order=A%2017

            outcome    success, as asked for; nothing is recorded by this
            action     go there now (HTTP 303)
            URL from   the create request

            tried   slot      level      fate     URL template
            1       success   settings   empty
            2       success   request    chosen   https://shop.example.com/paid?id=invoice_<uuid>&order=A%2017
            exit code 0
        "#]]);
    }

    #[test]
    fn every_option_can_come_from_the_environment() {
        let server = Server::spawn(waypost().arg("serve").envs([
            ("WAYPOST_GRPC_ADDR", "127.0.0.1:0"),
            ("WAYPOST_STORE", "memory:"),
            ("WAYPOST_SANDBOX", "1"),
            ("WAYPOST_ALLOW_UNAUTHENTICATED", "no"),
            ("WAYPOST_REFLECTION", "off"),
            ("WAYPOST_WORKERS", "1"),
            ("WAYPOST_RETENTION", "24h"),
            ("WAYPOST_LAME_DUCK", "0s"),
            ("WAYPOST_GRACE", "1s"),
            ("WAYPOST_LOG", "warn"),
            ("WAYPOST_LOG_FORMAT", "json"),
        ]));
        let set = ["merchant", "set", "demo", "--success-url", "http://localhost:3000/paid"];
        assert_eq!(server.run(&set).code, Some(0), "a sandbox takes URLs to localhost");
    }

    #[test]
    fn only_a_sandbox_takes_urls_to_localhost() {
        let server = Server::start(&[]);
        let set = ["merchant", "set", "demo", "--success-url", "http://localhost:3000/paid"];
        server.run(&set).failed(1, "reason: INVALID_FIELD");
    }

    #[test]
    fn a_wrong_value_in_the_environment_is_refused_by_its_variables_name() {
        for (name, value, saying) in [
            ("WAYPOST_GRPC_ADDR", "localhost", "WAYPOST_GRPC_ADDR localhost: invalid socket address"),
            ("WAYPOST_OPS_ADDR", "on", "WAYPOST_OPS_ADDR on: invalid socket address"),
            ("WAYPOST_STORE", "mongodb:", "WAYPOST_STORE: is not a store"),
            ("WAYPOST_SANDBOX", "maybe", "WAYPOST_SANDBOX maybe: is neither on nor off"),
            ("WAYPOST_ALLOW_UNAUTHENTICATED", "", "WAYPOST_ALLOW_UNAUTHENTICATED: is neither on nor off"),
            ("WAYPOST_REFLECTION", "maybe", "WAYPOST_REFLECTION maybe: is none of its values: write on or off"),
            ("WAYPOST_WORKERS", "0", "WAYPOST_WORKERS 0: is no whole number from 1"),
            ("WAYPOST_RETENTION", "1h", "WAYPOST_RETENTION 1h: is below 24h"),
            ("WAYPOST_LAME_DUCK", "soon", "WAYPOST_LAME_DUCK soon: "),
            ("WAYPOST_GRACE", "-1s", "WAYPOST_GRACE -1s: "),
            ("WAYPOST_GRACE", "", "WAYPOST_GRACE: "),
            ("WAYPOST_LOG_FORMAT", "xml", "WAYPOST_LOG_FORMAT xml: is none of its values: write text or json"),
        ] {
            Ran::from(waypost().arg("serve").env(name, value).output().unwrap()).failed(2, saying);
        }
    }

    #[test]
    fn an_address_that_others_reach_needs_a_word_of_its_own() {
        run(&["serve", "--grpc-addr", "0.0.0.0:0"]).check(&expect![[r#"
            stderr: waypost: --grpc-addr 0.0.0.0:0 is reachable from other machines, and calls are not authenticated: give --credentials-file, listen on a loopback address, or give --allow-unauthenticated if the network lets only trusted callers through
            exit code 2
        "#]]);
        // With the word it is tried: RFC 5737 keeps this address from being anybody's.
        let allowed = run(&["serve", "--grpc-addr", "192.0.2.1:0", "--allow-unauthenticated"]);
        allowed.failed(1, "cannot listen on --grpc-addr 192.0.2.1:0");
    }

    #[test]
    fn a_port_that_is_taken_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = taken.local_addr().unwrap().to_string();
        run(&["serve", "--grpc-addr", &addr]).check(&expect![[r#"
            stderr: waypost: cannot listen on --grpc-addr 127.0.0.1:<port>: Address already in use (os error 98)
            exit code 1
        "#]]);
    }

    #[test]
    fn a_log_filter_that_is_none_is_refused() {
        run(&["serve", "--grpc-addr", "127.0.0.1:0", "--log", "waypost=loud"]).failed(2, "--log waypost=loud: ");
    }

    #[test]
    fn the_log_never_tells_what_sessions_links_and_tokens_say_even_when_it_has_everything() {
        let dir = TempDir::new().unwrap();
        let log = dir.path().join("log");
        let key = private(file(&dir, "signing.pem", &run(&["keygen", "signing"]).stdout));
        let serve = ["serve", "--grpc-addr", "127.0.0.1:0", "--page-addr", "127.0.0.1:0", "--store", "memory:"];
        let mut command = waypost();
        command.args(serve).args(["--log", &STATIC_MAX_LEVEL.to_string(), "--signing-key-file", text(&key)]);
        let mut server = Server::spawn_logging(&mut command, fs::File::create(&log).unwrap());
        server.run(&["merchant", "set", "demo", "--sign-returns", "--name", "Secret Shop"]);
        let order = MERCADO_PAGO.replace("/success", "/success?q=secret-query&r={{external_reference}}");
        let id = server.create("order", &order);
        server.run(&["record", &id, "success", "--payment-id", "secret-payment", "--status", "secret-status"]);
        let redirect = server.run(&["resolve", &id, "--json"]).json();
        let url = redirect["redirect"]["url"].as_str().unwrap();
        let token = url.split_once("return_token=").unwrap().1;
        assert_eq!(server.run(&["verify", url, "--merchant", "demo"]).code, Some(0));
        assert_eq!(server.run(&["verify", &token[1..], "--merchant", "demo"]).code, Some(5));
        let link = page_path(&server, &id);
        assert_eq!(opened(&server, &id, &link), "HTTP/1.1 200 OK");
        assert_eq!(opened(&server, &id, &format!("{link}x")), "HTTP/1.1 404 Not Found");
        let refused = order.replace("https://www.your-site.com/failure", "http://secret-host.example.com/");
        server.run_with_stdin(&["create", "order", "-", "--merchant", "demo"], &refused).failed(1, "INVALID_FIELD");
        server.process.signal(libc::SIGTERM);
        assert!(server.process.ended().success());

        let log = fs::read_to_string(log).unwrap();
        assert!(
            log.contains(&STATIC_MAX_LEVEL.to_string().to_uppercase()) && log.contains("h2"),
            "the log has less than everything"
        );
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let payload = signed.split_once('.').unwrap().1;
        let key = fs::read_to_string(&key).unwrap();
        let key = key.lines().nth(1).unwrap();
        let page_token = link.strip_prefix("/r/").unwrap();
        let said = ["secret", "Secret", "your-site", "order_pro_123", "buyer@email.com"];
        for never in said.into_iter().chain([payload, signature, key, page_token]) {
            assert!(!log.contains(never), "{never} was logged");
        }
    }

    #[test]
    fn a_log_that_nobody_looks_at_has_no_colours() {
        // It warns about links that end with the process, and then ends for want of a store.
        let serve = ["serve", "--grpc-addr", "127.0.0.1:0", "--page-addr", "127.0.0.1:0", "--store", "redb:/no/such/x"];
        for format in ["text", "json"] {
            let ran = run(&[&serve[..], &["--log-format", format]].concat());
            ran.failed(1, "cannot open --store");
            assert!(ran.stderr.contains("WARN") && ran.stderr.contains("--page-key-file"), "{}", ran.stderr);
            assert!(!ran.stderr.contains('\u{1b}'), "{:?}", ran.stderr);
        }
    }
}

mod signed_returns {
    use super::*;
    use waypost::redirect::{SigningKey, SigningKeys};

    /// A new key, readable by its owner only.
    fn key(dir: &TempDir, name: &str) -> PathBuf {
        let key = run(&["keygen", "signing"]);
        assert_eq!((key.code, key.stderr.as_str()), (Some(0), ""));
        private(file(dir, name, &key.stdout))
    }

    fn signing(key: &Path) -> Server {
        let server = Server::start(&["--signing-key-file", text(key), "--issuer", "https://pay.example.com"]);
        let set = server.run(&["merchant", "set", "demo", "--sign-returns"]);
        assert!(set.stdout.contains("returns             signed: their URLs carry a return_token\n"), "{set:?}");
        server
    }

    /// The return URL of an order that was paid.
    fn return_url(server: &Server) -> String {
        let id = server.create("order", MERCADO_PAGO);
        server.run(&["record", &id, "success", "--payment-id", "123456789"]);
        server.run(&["resolve", &id]).stdout.lines().next().unwrap().to_owned()
    }

    #[test]
    fn a_key_is_one_that_openssl_could_have_written() {
        let key = run(&["keygen", "signing"]).stdout;
        let lines: Vec<&str> = key.lines().collect();
        assert_eq!((lines[0], lines[2]), ("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"));
        // What Ed25519 keys begin with in PKCS#8, and 32 bytes after it.
        assert!(lines[1].starts_with("MC4CAQAwBQYDK2VwBCIEI") && lines[1].len() == 64, "{key}");
        assert_ne!(run(&["keygen", "signing"]).stdout, key);
    }

    #[test]
    fn a_valid_return_is_shown_with_what_it_says_and_how_the_session_stands() {
        let dir = TempDir::new().unwrap();
        let server = signing(&key(&dir, "key.pem"));
        let url = return_url(&server);
        let mut shown = server.run(&["verify", &url, "--merchant", "demo"]);
        let token_id = shown.stdout.lines().find_map(|line| line.strip_prefix("token id")).unwrap().trim().to_owned();
        shown.stdout = shown.stdout.replace(&token_id, "<id>");
        shown.check(&expect![[r#"
            valid

            Waypost signed it for this merchant.

            It says:
            session       order_<uuid>
            merchant      demo
            outcome       success
            payment id    123456789
            status        approved
            reference     order_pro_123
            signed by     https://pay.example.com
            signed        <time>
            valid until   <time>
            token id      <id>

            The session now:
            order_<uuid>

            kind         order
            merchant     demo
            outcome      success
            payment id   123456789
            created      <time>
            changed      <time>
            exit code 0
        "#]]);
        let token = url.split_once("return_token=").unwrap().1;
        let alone = server.run(&["verify", token, "--merchant", "demo", "--json"]).json();
        assert_eq!(
            (&alone["verdict"], &alone["claims"]["outcome"]),
            (&"VERDICT_VALID".into(), &"OUTCOME_SUCCESS".into())
        );
    }

    /// The set that a server with this key publishes.
    fn jwks(dir: &TempDir, name: &str, key: &Path) -> PathBuf {
        let keys = SigningKey::read_all(&fs::read_to_string(key).unwrap()).unwrap();
        file(dir, name, &SigningKeys::new(keys).unwrap().to_jwks())
    }

    #[test]
    fn public_keys_alone_tell_the_verdict_when_no_server_is_there() {
        let dir = TempDir::new().unwrap();
        let (key, other) = (key(&dir, "key.pem"), key(&dir, "other.pem"));
        let (ours, others) = (jwks(&dir, "ours.json", &key), jwks(&dir, "others.json", &other));
        let url = {
            let server = signing(&key);
            return_url(&server)
        };
        let verify = |url: &str, merchant: &str, jwks: &Path| {
            // Nobody listens there.
            run(&["verify", url, "--merchant", merchant, "--server", "127.0.0.1:1", "--jwks", text(jwks)])
        };
        let token = url.split_once("return_token=").unwrap().1;
        let forged = &url[..url.len() - 4];
        for (url, merchant, jwks, code, word) in [
            (url.as_str(), "demo", &ours, 0, "valid"),
            (token, "demo", &ours, 0, "valid"),
            ("https://www.your-site.com/success?status=approved", "demo", &ours, 4, "missing"),
            (forged, "demo", &ours, 5, "altered"),
            (&url, "demo", &others, 6, "unknown key"),
            (&url, "other", &ours, 7, "other merchant"),
        ] {
            let ran = verify(url, merchant, jwks);
            assert_eq!((ran.code, ran.stdout.lines().next(), ran.stderr.as_str()), (Some(code), Some(word), ""));
        }
        let valid = verify(&url, "demo", &ours).stdout;
        assert!(valid.contains("payment id    123456789\n"), "{valid}");
        assert!(valid.ends_with("\n\nNo server was asked what the session is now.\n"), "{valid}");
        let told = run(&["verify", &url, "--merchant", "demo", "--jwks", text(&ours), "--json"]).json();
        assert_eq!((&told["verdict"], &told["session"]), (&"VERDICT_VALID".into(), &Value::Null));

        let empty = file(&dir, "empty.json", r#"{"keys":[]}"#);
        verify(&url, "demo", &empty).failed(2, "empty.json: holds no Ed25519 key: take it as it is from");
        verify(&url, "demo", &key).failed(2, "key.pem: is no JWK set");
        verify(&url, "demo", Path::new("absent.json")).failed(2, "--jwks absent.json: No such file");
        verify(&url, "a b", &ours).failed(2, "--merchant a b: ");
    }

    #[test]
    fn the_exit_code_tells_the_verdict() {
        let dir = TempDir::new().unwrap();
        let (server, other) = (signing(&key(&dir, "key.pem")), signing(&key(&dir, "other.pem")));
        let url = return_url(&server);
        let mut forged = url.clone();
        forged.truncate(url.len() - 4);
        for (server, url, merchant, code, word) in [
            (&server, url.as_str(), "demo", 0, "valid"),
            (&server, "https://www.your-site.com/success?status=approved", "demo", 4, "missing"),
            (&server, "", "demo", 4, "missing"),
            (&server, &forged, "demo", 5, "altered"),
            (&server, "eyJhbGciOiJub25lIn0.e30.", "demo", 5, "altered"),
            (&other, &url, "demo", 6, "unknown key"),
            (&server, &url, "other", 7, "other merchant"),
        ] {
            let ran = server.run(&["verify", url, "--merchant", merchant]);
            assert_eq!((ran.code, ran.stdout.lines().next(), ran.stderr.as_str()), (Some(code), Some(word), ""));
        }
        let ran = server.run(&["verify", &forged, "--merchant", "demo", "--json"]);
        assert_eq!(ran.code, Some(5));
        assert_eq!(serde_json::from_str::<Value>(&ran.stdout).unwrap(), json!({"verdict": "VERDICT_ALTERED"}));
        server.run(&["verify", &url, "--merchant", "a b"]).failed(1, "merchant_id is not a merchant id");
        server.run(&["verify", &url]).failed(2, "--merchant");
    }

    #[test]
    fn returns_cannot_be_signed_without_keys_and_can_be_ended_by_name() {
        let dir = TempDir::new().unwrap();
        Server::sandbox().run(&["merchant", "set", "demo", "--sign-returns"]).failed(1, "reason: SIGNING_KEYS_MISSING");
        let server = signing(&key(&dir, "key.pem"));
        let ended = server.run(&["merchant", "set", "demo", "--clear", "sign-returns"]);
        assert!(ended.stdout.contains("returns             not signed\n"), "{ended:?}");
    }

    #[test]
    fn a_key_file_that_cannot_be_used_is_refused_with_what_to_do() {
        let dir = TempDir::new().unwrap();
        let serve = |files: &[&Path], more: &[&str]| {
            let mut command = waypost();
            command.args(["serve", "--grpc-addr", "127.0.0.1:0"]).args(more);
            for file in files {
                command.args(["--signing-key-file", text(file)]);
            }
            Ran::from(command.output().unwrap())
        };
        let key = key(&dir, "key.pem");
        let issuer = ["--issuer", "https://pay.example.com"];
        serve(&[&key], &[]).failed(2, "without pages there is no public URL to name: give --issuer");
        serve(&[&key, &key], &issuer).failed(1, "twice: remove one of them");
        serve(&[&dir.path().join("none.pem")], &issuer).failed(1, "none.pem cannot be read: No such file");
        serve(&[&file(&dir, "empty.pem", "")], &issuer)
            .failed(1, "empty.pem holds no key: write a private Ed25519 key");
        serve(&[Path::new("/dev/zero")], &issuer).failed(1, "is larger than 65536 bytes");
        serve(&[&key], &["--issuer", "two words"]).failed(2, "is not an issuer: write 1 to 255 printable");
        serve(&[&key], &["--return-token-ttl", "30s"]).failed(2, "is not a time of whole seconds from 2m to 1day");
        let public = file(
            &dir,
            "public.pem",
            "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n",
        );
        serve(&[&public], &issuer).failed(1, "hold public keys only: add the private key");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o604)).unwrap();
        serve(&[&key], &issuer).failed(1, "is open to every user of the machine: `chmod 600` it");
        // Its group may read it, and so may everybody read what is public.
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
        fs::set_permissions(&public, fs::Permissions::from_mode(0o644)).unwrap();
        let both = format!("{},{}", text(&public), text(&key));
        let mut command = waypost();
        command.args(["serve", "--grpc-addr", "127.0.0.1:0", "--workers", "1"]).args(issuer);
        let server = Server::spawn(command.env("WAYPOST_SIGNING_KEY_FILE", both));
        assert_eq!(server.run(&["healthcheck"]).code, Some(0));
    }
}

mod bench {
    use super::*;

    const SHORT: [&str; 6] = ["--duration", "300ms", "--warm-up", "100ms", "--connections", "2"];

    fn measure(server: &Server, work: &str, more: &[&str]) -> Value {
        let args = [&["bench", work, "--json"][..], &SHORT, more].concat();
        server.run(&args).json()
    }

    #[test]
    fn every_load_is_borne_and_reported() {
        let server = Server::sandbox();
        for work in ["create", "record", "resolve", "mixed", "stream"] {
            let report = measure(&server, work, &["--sessions", "50", "--in-flight", "4"]);
            assert_eq!((&report["settings"]["work"], &report["failed"]), (&work.into(), &json!({})));
            let answered = report["answered"].as_u64().unwrap();
            assert!(answered > 0, "{report}");
            let rate = report["calls_per_second"].as_f64().unwrap();
            assert!((rate * 0.3 - answered as f64).abs() < 1.0, "of the measured time only: {report}");
            let latencies =
                ["p50", "p90", "p99", "p99_9", "max"].map(|name| report["latency_micros"][name].as_u64().unwrap());
            assert!(latencies.is_sorted() && latencies[0] > 0, "{report}");
            assert_eq!(report["settings"]["sessions"].is_null(), ["create", "mixed"].contains(&work), "{report}");
        }
    }

    #[test]
    fn a_rate_is_kept_and_latencies_count_from_the_moments_in_which_calls_were_to_begin() {
        let server = Server::sandbox();
        for work in ["resolve", "stream"] {
            let report = measure(&server, work, &["--rate", "200", "--sessions", "20"]);
            // Of the 60 moments in the measured time, each is answered or told as missed.
            let (answered, missed) = (report["answered"].as_u64().unwrap(), report["missed"].as_u64().unwrap());
            assert!((59..=61).contains(&(answered + missed)), "{report}");
        }
        // One place, and far more calls than it can make: each of them has waited since its moment.
        let report = measure(&server, "resolve", &["--rate", "1000000", "--in-flight", "1", "--sessions", "1"]);
        let (answered, missed) = (report["answered"].as_u64().unwrap(), report["missed"].as_u64().unwrap());
        assert!((299_999..=300_001).contains(&(answered + missed)), "{report}");
        assert!(missed > answered, "{report}");
        // Counted from when they began, most would have taken less than a millisecond.
        assert!(report["latency_micros"]["p50"].as_u64().unwrap() > 100_000, "{report}");
    }

    #[test]
    fn only_this_machine_is_loaded_unless_the_server_is_named_twice() {
        let refused = run(&["bench", "resolve", "--server", "https://pay.example.com:443"]);
        refused.failed(2, "if that is meant, repeat its host, --yes-load pay.example.com");
        let other = run(&["bench", "stream", "--server", "10.0.0.1:50051", "--yes-load", "10.0.0.2"]);
        other.failed(2, "--yes-load 10.0.0.2 is not the host of --server http://10.0.0.1:50051: 10.0.0.1");
        // Named, it is tried; nobody is there.
        let (_socket, addr) = deserted();
        let (_, port) = addr.split_once(':').unwrap();
        run(&["bench", "resolve", "--server", &format!("0.0.0.0:{port}"), "--yes-load", "0.0.0.0"])
            .failed(3, "cannot reach http://0.0.0.0:");
    }

    #[test]
    fn a_report_is_readable_and_two_are_compared_with_what_differs() {
        let server = Server::sandbox();
        let args = [&["bench", "resolve", "--sessions", "10"][..], &SHORT].concat();
        let ran = server.run(&args);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        for row in ["load           resolve", "connections    2", "in flight      16 on each", "calls/s", "p99.9", "us"]
        {
            assert!(ran.stdout.contains(row), "{row}: {}", ran.stdout);
        }
        assert_eq!(ran.stderr, "", "progress is for terminals");

        let dir = TempDir::new().unwrap();
        let report = |rate: f64, p50: u64, connections: u16| {
            json!({
                "version": "0.1.0",
                "settings": {
                    "work": "resolve", "server": "http://127.0.0.1:50051", "connections": connections, "in_flight": 16,
                    "rate": null, "sessions": 1000, "warm_up": "2s", "duration_seconds": 10.0
                },
                "answered": 1000, "calls_per_second": rate, "failed": {}, "missed": 0,
                "latency_micros": {"mean": 100.0, "p50": p50, "p90": 200, "p99": 300, "p99_9": 400, "max": 50_000},
                "client_micros_per_call": 8.0, "client_busy": 0.5
            })
            .to_string()
        };
        let before = file(&dir, "before.json", &report(50_000.0, 100, 4));
        let same = file(&dir, "same.json", &report(75_000.0, 50, 4));
        run(&["bench", "compare", text(&before), text(&same)]).check(&expect![[r#"
                           before        after         ratio
            calls/s        50000         75000         1.50
            mean           100 us        100 us        1.00
            p50            100 us        50 us         0.50
            p90            200 us        200 us        1.00
            p99            300 us        300 us        1.00
            p99.9          400 us        400 us        1.00
            max            50.0 ms       50.0 ms       1.00
            client's own   8.0 us/call   8.0 us/call   1.00

            The settings are the same.
            exit code 0
        "#]]);
        let wider = file(&dir, "wider.json", &report(60_000.0, 150, 8));
        run(&["bench", "compare", text(&before), text(&wider)]).check(&expect![[r#"
                           before        after         ratio
            calls/s        50000         60000         1.20
            mean           100 us        100 us        1.00
            p50            100 us        150 us        1.50
            p90            200 us        200 us        1.00
            p99            300 us        300 us        1.00
            p99.9          400 us        400 us        1.00
            max            50.0 ms       50.0 ms       1.00
            client's own   8.0 us/call   8.0 us/call   1.00

            The settings differ, so the ratios may not be the server's:
            connections   4   8
            exit code 0
        "#]]);
        let other = file(&dir, "other.json", "{}");
        run(&["bench", "compare", text(&before), text(&other)])
            .failed(2, "is not a report that `waypost bench --json` wrote");
    }

    #[test]
    fn what_cannot_be_measured_is_refused_with_the_servers_reason() {
        let server = Server::sandbox();
        let ran = server.run(&["bench", "create", "--merchant", "a b", "--duration", "100ms", "--warm-up", "0s"]);
        ran.failed(1, "reason: INVALID_FIELD");
        server.run(&["bench", "create", "--duration", "0s"]).failed(2, "--duration 0s measures nothing");
        server.run(&["bench", "create", "--in-flight", "257"]).failed(2, "257 is not in 1..=256");
    }
}
