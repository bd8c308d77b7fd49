//! Decisions told in words: `waypost explain` and `waypost demo`.

use super::*;

#[test]
fn an_open_session_is_explained_with_what_would_change_it() {
    let server = Server::start(&[]);
    let id = server.create("checkout", CLOVER);
    server.run(&["explain", &id]).check(&expect![[r#"
        checkout_<uuid>, a checkout of merchant demo

        What happened:
          The checkout is open until <time>; no outcome is recorded.
          A buyer who comes back now counts as one who left before paying: cancel.

        Where the buyer goes:
          https://www.checkout-example.com/cancel

        Why:
          1. The cancel URL of the merchant's settings is not set.
          2. The cancel URL of the create request is the answer.
             https://www.checkout-example.com/cancel

        What the browser does:
          Go there now (HTTP 303).

        What to change, if that is not what was meant:
          If the buyer paid, that was not recorded: waypost record checkout_<uuid> success
        exit code 0
    "#]]);
}

#[test]
fn a_recorded_order_is_explained_with_what_was_added() {
    let server = Server::start(&[]);
    let id = server.create("order", MERCADO_PAGO);
    server.run(&["record", &id, "success", "--payment-id", "123456789", "--status", "approved"]);
    server.run(&["explain", &id]).check(&expect![[r#"
        order_<uuid>, an order of merchant demo

        What happened:
          The outcome success of the order was recorded at <time>.

        Where the buyer goes:
          https://www.your-site.com/success?payment_id=123456789&status=approved&external_reference=order_pro_123&order_id=order_<uuid>

        Why:
          1. The success URL of the merchant's settings is not set.
          2. The success URL of the create request is the answer.
             https://www.your-site.com/success

        What was added:
          payment_id: 123456789
          status: approved
          external_reference: order_pro_123
          order_id: order_<uuid>

        What the browser does:
          Show a page that goes there by itself after 5s, with a "Return to site" button. The delay is the merchant's auto_return_delay.
        exit code 0
    "#]]);
}

#[test]
fn settings_that_come_first_are_told_and_how_to_turn_that_round() {
    let server = Server::start(&[]);
    server.run(&[
        "merchant",
        "set",
        "demo",
        "--failure-url",
        "https://shop.example.com/f?e={ERROR_CODE}&p={{payment_id}}",
    ]);
    let id = server.create("checkout", CLOVER);
    server.run(&["record", &id, "failure", "--error-code", "card_declined"]);
    server.run(&["explain", &id]).check(&expect![[r#"
        checkout_<uuid>, a checkout of merchant demo

        What happened:
          The outcome failure of the checkout was recorded at <time>.

        Where the buyer goes:
          https://shop.example.com/f?e=card_declined&p=

        Why:
          1. The failure URL of the merchant's settings is the answer.
             https://shop.example.com/f?e={ERROR_CODE}&p={{payment_id}}
          2. The failure URL of the create request is set, and came after the answer.
             https://www.checkout-example.com/failure?error_code={ERROR_CODE}

        What was filled in:
          {ERROR_CODE} became card_declined
          {{payment_id}} became nothing: there is no such value yet.

        What the browser does:
          Go there now (HTTP 303).

        What to change, if that is not what was meant:
          To let the create request come first: waypost merchant set demo --precedence request-first
        exit code 0
    "#]]);
}

#[test]
fn a_url_that_is_refused_is_told_with_where_to_correct_it() {
    let server = Server::start(&[]);
    let id = server.create("payment", BITGPT);
    server.run(&["merchant", "set", "demo", "--allowed-origin", "https://shop.example.com"]);
    server.run(&["explain", &id, "--outcome", "success"]).check(&expect![[r#"
        invoice_<uuid>, a payment of merchant demo

        What happened:
          The payment is open until <time>; no outcome is recorded.
          This is where the buyer would go after success; nothing is recorded by asking.

        Where the buyer goes:
          To no URL: Waypost's own page serves.

        Why:
          1. The success URL of the merchant's settings is not set.
          2. The success URL of the create request came first and was refused. No URL of lower rank stands in for it: the hosted page does.
             https://example.com/redirect?id=invoice_<uuid>&spaced=custom-value-2&item=PAYMENT_INTENT&x={{nothing}}
             Refused because it has the origin `https://example.com`, which the merchant's allowed_origins does not have: write one of those, or add it there.

        What the browser does:
          Show a page without a button.

        What to change, if that is not what was meant:
          Correct the URL in the create request of later sessions: redirect_url
        exit code 0
    "#]]);
}

#[test]
fn what_if_records_nothing_and_an_unknown_session_has_its_reason() {
    let server = Server::start(&[]);
    let id = server.create("order", MERCADO_PAGO);
    let ran = server.run(&["explain", &id, "--outcome", "expired"]);
    assert!(ran.stdout.contains("This is where the buyer would go after expired; nothing is recorded by asking."));
    assert_eq!(server.run(&["get", &id, "--json"]).json()["session"]["outcome"], Value::Null);
    server.run(&["explain", NOBODY]).failed(1, "reason: SESSION_NOT_FOUND");
}

#[test]
fn programs_are_told_the_same_with_codes_and_every_key_is_always_there() {
    let server = Server::start(&[]);
    let id = server.create("checkout", CLOVER);
    let told = server.run(&["explain", &id, "--json"]).json();
    let codes = |told: &Value, list: &str| -> Vec<String> {
        let list = told[list].as_array().unwrap().iter();
        list.map(|said| said["code"].as_str().unwrap().to_owned()).collect()
    };
    let expected = json!({
        "sessionId": id,
        "merchantId": "demo",
        "kind": "KIND_CHECKOUT",
        "recordedOutcome": "OUTCOME_UNSPECIFIED",
        "outcome": "OUTCOME_CANCEL",
        "action": "ACTION_REDIRECT",
        "url": "https://www.checkout-example.com/cancel",
        "source": "SOURCE_REQUEST",
        "reasons": told["reasons"],
        "advice": [{
            "code": "RECORD_THE_OUTCOME",
            "text": format!("If the buyer paid, that was not recorded: waypost record {id} success"),
        }],
    });
    assert_eq!(told, expected);
    assert_eq!(codes(&told, "reasons"), ["OPEN", "COUNTS_AS_LEFT", "DESTINATION", "EMPTY", "CHOSEN", "BROWSER"]);
    assert_eq!(
        told["reasons"][4]["text"],
        "The cancel URL of the create request is the answer. https://www.checkout-example.com/cancel"
    );

    let what_if = server.run(&["explain", &id, "--json", "--outcome", "pending"]).json();
    assert_eq!((&what_if["url"], &what_if["source"]), (&json!(""), &json!("SOURCE_HOSTED_PAGE")));
    assert_eq!(codes(&what_if, "reasons"), ["OPEN", "WHAT_IF", "HOSTED_PAGE", "EMPTY", "EMPTY", "NO_URL", "BROWSER"]);
    assert_eq!(codes(&what_if, "advice"), ["GIVE_A_URL"]);
    server.run(&["explain", NOBODY, "--json"]).failed(1, "reason: SESSION_NOT_FOUND");
}

#[test]
fn the_demo_plays_three_flows_on_a_server_as_in_production_and_changes_no_settings() {
    let server = Server::start(&[]);
    let before = server.run(&["merchant", "get", "waypost-demo", "--json"]).stdout;
    let ran = server.run(&["demo"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    for said in [
        "1. Clover",
        "https://shop.example.com/failed?session=checkout_",
        "&error=card_declined",
        "2. Mercado Pago",
        "https://shop.example.com/success?payment_id=123456789&status=approved&external_reference=demo_17&order_id=order_",
        "3. BitGPT",
        "{{metadata.gift}} names nothing that this session has",
        "URLs carry no return_token",
    ] {
        assert!(ran.stdout.contains(said), "{said}\n{}", ran.stdout);
    }
    assert_eq!(server.run(&["merchant", "get", "waypost-demo", "--json"]).stdout, before);
    let id = ran.stdout.lines().find(|line| line.starts_with("checkout_")).expect("the id");
    let session = server.run(&["get", id, "--json"]).json()["session"].clone();
    let time = |field: &str| session[field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(time("expireTime").duration_since(time("createTime")).as_secs(), 60);
}

#[test]
fn the_demo_verifies_a_signed_return_and_shows_no_token() {
    let dir = TempDir::new().unwrap();
    let key = private(file(&dir, "signing.pem", &run(&["keygen", "signing"]).stdout));
    let server = Server::start(&["--signing-key-file", text(&key), "--issuer", "https://pay.example.com"]);
    server.run(&["merchant", "set", "waypost-demo", "--sign-returns"]);
    let ran = server.run(&["demo"]);
    assert!(ran.stdout.contains("VerifyReturn answers: valid; the token says success for invoice_"), "{}", ran.stdout);
    assert!(ran.stdout.contains("return_token=..."));
    assert!(!ran.stdout.contains("return_token=e"), "a token is never shown");
}
