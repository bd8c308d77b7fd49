//! The pure core by example: every rule of SPEC 4 to 8 that a case can show, as text with its expected answer.
//!
//! A case is a list of settings, one a line, and `check` puts the one question that they describe.

use expect_test::{Expect, expect};
use serde_json::{Map, Value};
use std::{str::FromStr, time::Duration};
use uuid::Uuid;
use waypost::{
    model::{Kind, Late, Level, MerchantId, Outcome, Precedence, ReturnUrls, Root, SessionId, Timestamp},
    redirect::{
        AppScheme, AutoReturn, Candidate, Claims, Decision, Delivery, Fate, Mode, OriginPattern, Policy, Position,
        Question, ReturnParams, Seal, Signing, SigningKey, SigningKeys, Template, decide, to_pem,
    },
};

/// What a case describes; what it does not say has the default.
struct Case {
    kind: Kind,
    outcome: Outcome,
    settings: ReturnUrls<Template>,
    request: ReturnUrls<Template>,
    precedence: Precedence,
    auto_return: AutoReturn,
    delay: Duration,
    mode: Mode,
    origins: Vec<OriginPattern>,
    schemes: Vec<AppScheme>,
    body: Map<String, Value>,
    payment_id: Option<String>,
    status: Option<String>,
    error_code: Option<String>,
    organization_name: Option<String>,
    signed: Signed,
}

/// Whether the merchant's returns are signed in a case.
enum Signed {
    No,
    At(Timestamp, Seal),
    WithoutKeys,
}

fn case(text: &str) -> Case {
    let mut case = Case {
        kind: Kind::Checkout,
        outcome: Outcome::Success,
        settings: ReturnUrls::default(),
        request: ReturnUrls::default(),
        precedence: Precedence::SettingsFirst,
        auto_return: AutoReturn::Approved,
        delay: Duration::from_secs(5),
        mode: Mode::Production,
        origins: Vec::new(),
        schemes: Vec::new(),
        body: Map::new(),
        payment_id: None,
        status: None,
        error_code: None,
        organization_name: None,
        signed: Signed::No,
    };
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        match word {
            "kind" => case.kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == rest).expect("a kind"),
            "outcome" => case.outcome = outcome(rest),
            "request" | "settings" => {
                let (slot, url) = rest.split_once(' ').expect("a slot and a URL");
                let template = Template::compile(url.trim()).expect("a template");
                let urls = if word == "request" { &mut case.request } else { &mut case.settings };
                urls.set(outcome(slot), Some(template));
            }
            "request_first" => case.precedence = Precedence::RequestFirst,
            "auto_return_all" => case.auto_return = AutoReturn::All,
            "delay_ms" => case.delay = Duration::from_millis(rest.parse().expect("milliseconds")),
            "sandbox" => case.mode = Mode::Sandbox,
            "origin" => case.origins.push(OriginPattern::parse(rest, Mode::Sandbox).expect("an origin")),
            "scheme" => case.schemes.push(AppScheme::from_str(rest).expect("a scheme")),
            "body" => case.body = serde_json::from_str(rest).expect("a JSON object"),
            "payment_id" => case.payment_id = Some(rest.into()),
            "status" => case.status = Some(rest.into()),
            "error_code" => case.error_code = Some(rest.into()),
            "signed_at_secs" => case.signed = Signed::At(secs(rest), Seal::Signature),
            "specimen_at_secs" => case.signed = Signed::At(secs(rest), Seal::Specimen),
            "signed_without_keys" => case.signed = Signed::WithoutKeys,
            "name" => case.organization_name = Some(rest.into()),
            _ => panic!("no such setting: {word}"),
        }
    }
    case
}

fn secs(text: &str) -> Timestamp {
    Timestamp::from_micros(text.parse::<i64>().expect("seconds") * 1_000_000 + 999_999)
}

/// The key of RFC 8037, appendix A.
fn keys() -> SigningKeys {
    let seed = 0x9d61_b19d_effd_5a60_ba84_4af4_92ec_2cc4_u128.to_be_bytes();
    let rest = 0x4449_c569_7b32_6919_703b_ac03_1cae_7f60_u128.to_be_bytes();
    let pem = to_pem(&[seed, rest].concat().try_into().expect("32 bytes"));
    SigningKeys::new(SigningKey::read_all(&pem).expect("a key")).expect("a set")
}

fn outcome(word: &str) -> Outcome {
    Outcome::ALL.into_iter().find(|outcome| outcome.as_str() == word).expect("an outcome")
}

fn answer(case: &Case) -> Decision {
    explained(case).0
}

/// The answer, and what became of every place that was looked at.
fn explained(case: &Case) -> (Decision, Vec<Candidate>) {
    let id = SessionId::new(case.kind, Uuid::from_u128(7));
    let merchant_id: MerchantId = "6CQXXXXXXXYE1".parse().expect("a merchant id");
    let status = case.status.as_deref().or(case.outcome.default_status());
    let late = Late {
        organization_name: case.organization_name.as_deref(),
        payment_id: case.payment_id.as_deref(),
        status,
        error_code: case.error_code.as_deref(),
    };
    let external_reference = case.body.get("external_reference").and_then(Value::as_str);
    let at_create = Root::at_create(id, &merchant_id, &case.body);
    let mut bound = ReturnUrls::default();
    for (slot, template) in case.request.iter() {
        bound.set(slot, Some(template.bind(&at_create)));
    }
    let values = Root::at_resolve(id, &merchant_id, &case.body, late);
    let keys = keys();
    let now = if let Signed::At(now, _) = case.signed { now } else { Timestamp::from_micros(0) };
    let ttl = Duration::from_secs(15 * 60);
    let claims = Claims {
        payment_id: case.payment_id.as_deref().map(Into::into),
        status: status.map(Into::into),
        external_reference: external_reference.map(Into::into),
        ..Claims::new("https://pay.example.com", &merchant_id, id, case.outcome, now, ttl)
    };
    let signing = match case.signed {
        Signed::No => Signing::Off,
        Signed::WithoutKeys => Signing::NoKeys,
        Signed::At(_, seal) => Signing::On { claims: &claims, keys: &keys, seal },
    };
    let decide_with = |request: &ReturnUrls<Template>| {
        let question = Question {
            kind: case.kind,
            outcome: case.outcome,
            urls: &|Position { slot, level }| level.of(&case.settings, request).get(slot).map(Template::view),
            precedence: case.precedence,
            values: &values,
            params: match case.kind {
                Kind::Order => {
                    let payment_id = case.payment_id.as_deref();
                    ReturnParams::Order { payment_id, status, external_reference, order_id: id }
                }
                kind => ReturnParams::None(kind),
            },
            signing,
            policy: Policy { mode: case.mode, allowed_origins: &case.origins, app_schemes: &case.schemes },
            auto_return: case.auto_return,
            delay: case.delay,
        };
        let decision = decide(&question);
        if let Some(redirect) = &decision.redirect {
            assert_eq!(question.url_length(), Some(redirect.url.as_str().len()), "the length that previews tell");
        }
        let candidates = question.explain(&decision);
        (decision, candidates)
    };
    let (decision, candidates) = decide_with(&bound);
    assert_eq!(decision, decide_with(&case.request).0, "binding at create changes no answer");
    (decision, candidates)
}

fn written(decision: Decision) -> String {
    let Some(redirect) = decision.redirect else {
        return match decision.refusal {
            None => "PAGE, no URL".into(),
            Some(refusal) => format!("PAGE, the URL {refusal}"),
        };
    };
    let delivery = match redirect.delivery {
        Delivery::Now => "REDIRECT".into(),
        Delivery::After(delay) => format!("AFTER {delay:?}"),
        Delivery::Button => "BUTTON".into(),
    };
    let level = match redirect.level {
        Level::Settings => "settings",
        Level::Request => "request",
    };
    let unresolved =
        if redirect.unresolved.is_empty() { String::new() } else { format!(", unresolved {:?}", redirect.unresolved) };
    format!("{delivery} {} ({level}{unresolved})", redirect.url.as_str())
}

fn check(text: &str, expected: Expect) {
    expected.assert_eq(&written(answer(&case(text))));
}

/// The fates of all candidates, a line each.
fn check_explained(text: &str, expected: Expect) {
    let mut lines = String::new();
    for Candidate { position, template, fate } in explained(&case(text)).1 {
        let fate = match fate {
            Fate::Refused(refusal) => format!("the URL {refusal}"),
            fate => format!("{fate:?}"),
        };
        let template = template.map(|template| format!(" {template}")).unwrap_or_default();
        lines += &format!("{:?} {}: {fate}{template}\n", position.level, position.slot.as_str());
    }
    expected.assert_eq(&lines);
}

#[test]
fn clovers_three_slots_serve_their_outcomes() {
    let urls = "request success https://checkout-example.com/success?session_id={CHECKOUT_SESSION_ID}
                request failure https://checkout-example.com/failure?error_code={ERROR_CODE}
                request cancel  https://checkout-example.com/cancel
                error_code card_declined
                ";
    check(
        &format!("{urls} outcome success"),
        expect![
            "REDIRECT https://checkout-example.com/success?session_id=checkout_00000000-0000-0000-0000-000000000007 (request)"
        ],
    );
    check(
        &format!("{urls} outcome failure"),
        expect!["REDIRECT https://checkout-example.com/failure?error_code=card_declined (request)"],
    );
    check(&format!("{urls} outcome cancel"), expect!["REDIRECT https://checkout-example.com/cancel (request)"]);
    check(&format!("{urls} outcome expired"), expect!["REDIRECT https://checkout-example.com/cancel (request)"]);
    check(&format!("{urls} outcome pending"), expect!["PAGE, no URL"]);
}

#[test]
fn settings_override_the_request_slot_by_slot() {
    let urls = "request  success https://request.example.com/s
                request  failure https://request.example.com/f
                settings success https://settings.example.com/s
                ";
    check(&format!("{urls} outcome success"), expect!["REDIRECT https://settings.example.com/s (settings)"]);
    check(&format!("{urls} outcome failure"), expect!["REDIRECT https://request.example.com/f (request)"]);
    check(
        &format!("{urls} request_first\n outcome success"),
        expect!["REDIRECT https://request.example.com/s (request)"],
    );
}

#[test]
fn no_url_is_the_hosted_page() {
    check("outcome success", expect!["PAGE, no URL"]);
    check("request failure https://a.example.com/\n outcome success", expect!["PAGE, no URL"]);
}

#[test]
fn a_refused_url_is_never_replaced_by_one_of_lower_precedence() {
    check(
        "settings success https://a.example.com/{{metadata.x}}/b
         request  success https://b.example.com/
         body     {\"metadata\":{\"x\":\"..\"}}",
        expect![
            "PAGE, the URL has a dot segment (`.` or `..`, plain or encoded) in its path: write the path that is meant"
        ],
    );
}

#[test]
fn every_candidate_has_a_fate_in_the_order_in_which_they_were_tried() {
    check_explained(
        "outcome pending",
        expect![[r#"
        Settings pending: Empty
        Request pending: Empty
    "#]],
    );
    check_explained(
        "kind order
         outcome expired
         settings cancel  https://a.example.com/c
         request  cancel  https://b.example.com/{{id}}/{{payment_id}}
         settings failure https://a.example.com/f",
        expect![[r#"
            Settings expired: Empty
            Request expired: Empty
            Settings cancel: Chosen https://a.example.com/c
            Request cancel: Outranked https://b.example.com/order_00000000-0000-0000-0000-000000000007/{{payment_id}}
            Settings failure: Outranked https://a.example.com/f
            Request failure: Empty
        "#]],
    );
    check_explained(
        "outcome expired
         settings cancel https://a.example.com/{{metadata.x}}/b
         request  cancel https://b.example.com/
         body     {\"metadata\":{\"x\":\"..\"}}",
        expect![[r#"
            Settings expired: Empty
            Request expired: Empty
            Settings cancel: the URL has a dot segment (`.` or `..`, plain or encoded) in its path: write the path that is meant https://a.example.com/{{metadata.x}}/b
            Request cancel: Outranked https://b.example.com/
        "#]],
    );
}

#[test]
fn mercado_pagos_parameters_come_in_order_after_the_merchants_own_query_and_before_the_fragment() {
    check(
        "kind order
         request success https://www.your-site.com/success
         body {\"external_reference\":\"order_pro_123\"}
         payment_id 123456789",
        expect![
            "AFTER 5s https://www.your-site.com/success?payment_id=123456789&status=approved&external_reference=order_pro_123&order_id=order_00000000-0000-0000-0000-000000000007 (request)"
        ],
    );
    check(
        "kind order
         request success https://a.example.com/p?b=2&a=1&b=2#top?x
         delay_ms 0",
        expect![
            "REDIRECT https://a.example.com/p?b=2&a=1&b=2&payment_id=null&status=approved&external_reference=null&order_id=order_00000000-0000-0000-0000-000000000007#top?x (request)"
        ],
    );
    check(
        "kind order
         delay_ms 0
         request success https://a.example.com/?a=1&",
        expect![
            "REDIRECT https://a.example.com/?a=1&payment_id=null&status=approved&external_reference=null&order_id=order_00000000-0000-0000-0000-000000000007 (request)"
        ],
    );
    check(
        "kind order
         delay_ms 0
         request success https://a.example.com/p&",
        expect![
            "REDIRECT https://a.example.com/p&?payment_id=null&status=approved&external_reference=null&order_id=order_00000000-0000-0000-0000-000000000007 (request)"
        ],
    );
    check(
        "kind order
         request success https://a.example.com?
         delay_ms 250
         status ac credited&x=1",
        expect![
            "AFTER 250ms https://a.example.com?payment_id=null&status=ac%20credited%26x%3D1&external_reference=null&order_id=order_00000000-0000-0000-0000-000000000007 (request)"
        ],
    );
}

#[test]
fn status_defaults_by_outcome_and_is_null_for_those_who_never_paid() {
    for (outcome, expected) in [
        ("success", expect!["https://a.example.com/?payment_id=null&status=approved"]),
        ("pending", expect!["https://a.example.com/?payment_id=null&status=pending"]),
        ("failure", expect!["https://a.example.com/?payment_id=null&status=rejected"]),
        ("cancel", expect!["https://a.example.com/?payment_id=null&status=null"]),
        ("expired", expect!["https://a.example.com/?payment_id=null&status=null"]),
    ] {
        let text = format!("kind order\n request {outcome} https://a.example.com/\n outcome {outcome}");
        let url = answer(&case(&text)).redirect.expect("a redirect").url;
        expected.assert_eq(url.as_str().split("&external_reference").next().unwrap_or_default());
    }
}

#[test]
fn leavers_of_an_order_go_to_its_failure_url() {
    let failure = "kind order\n request failure https://a.example.com/f?x=1";
    for outcome in ["cancel", "expired"] {
        let decision = answer(&case(&format!("{failure}\n outcome {outcome}")));
        assert!(written(decision).starts_with("BUTTON https://a.example.com/f?x=1&payment_id=null"));
    }
    check("request failure https://a.example.com/f\n outcome cancel", expect!["PAGE, no URL"]);
}

#[test]
fn auto_return_says_which_pages_go_on_by_themselves() {
    let urls = "kind order\n request success https://a.example.com/s\n request pending https://a.example.com/p\n";
    let how = |more: &str| written(answer(&case(&format!("{urls}{more}")))).split(" http").next().map(str::to_owned);
    assert_eq!(how("outcome success").as_deref(), Some("AFTER 5s"));
    assert_eq!(how("outcome pending").as_deref(), Some("BUTTON"));
    assert_eq!(how("outcome pending\n auto_return_all").as_deref(), Some("AFTER 5s"));
    assert_eq!(how("outcome pending\n auto_return_all\n delay_ms 0").as_deref(), Some("REDIRECT"));
}

#[test]
fn auto_return_is_one_of_two_words_in_the_body() {
    for (body, expected) in [
        (r#"{"checkout_pro":{"auto_return":"approved"}}"#, Some(AutoReturn::Approved)),
        (r#"{"checkout_pro":{"auto_return":"all"}}"#, Some(AutoReturn::All)),
        (r#"{"checkout_pro":{"auto_return":"All"}}"#, None),
        (r#"{"checkout_pro":{"auto_return":""}}"#, None),
        (r#"{"checkout_pro":{}}"#, None),
        ("{}", None),
    ] {
        let body = serde_json::from_str(body).expect("a JSON object");
        assert_eq!(Kind::Order.auto_return(&body), expected, "{body:?}");
    }
}

#[test]
fn bitgpts_example_is_filled_to_the_letter() {
    check(
        "kind payment
         request success https://example.com/redirect?id={{id}}&metadata-value-spaced={{metadata[another example]}}&metadata-value-normal={{metadata.example}}&item={{items[0].type}}
         body {\"items\":[{\"type\":\"PAYMENT_INTENT\"}],\"metadata\":{\"example\":\"custom-value-1\",\"another example\":\"custom-value-2\"}}",
        expect!["REDIRECT https://example.com/redirect?id=invoice_00000000-0000-0000-0000-000000000007&metadata-value-spaced=custom-value-2&metadata-value-normal=custom-value-1&item=PAYMENT_INTENT (request)"],
    );
}

#[test]
fn paths_are_written_in_many_ways() {
    let body = r#"body {"items":[{"type":"A"},{"type":"B"}],"metadata":{"a b":{"c":"deep"},"0":"zero","k":"v"}}"#;
    for (path, expected) in [
        ("{{id}}", expect!["invoice_00000000-0000-0000-0000-000000000007"]),
        ("{{ id }}", expect!["invoice_00000000-0000-0000-0000-000000000007"]),
        ("%7B%7Bid%7D%7D", expect!["invoice_00000000-0000-0000-0000-000000000007"]),
        ("%7b%7b%20id%20%7d%7d", expect!["invoice_00000000-0000-0000-0000-000000000007"]),
        ("%7BCHECKOUT_SESSION_ID%7D", expect!["invoice_00000000-0000-0000-0000-000000000007"]),
        ("{CHECKOUT_SESSION_ID}", expect!["invoice_00000000-0000-0000-0000-000000000007"]),
        ("{{kind}}", expect!["payment"]),
        ("{{organization.id}}", expect!["6CQXXXXXXXYE1"]),
        ("{{organization[name]}}", expect!["Ana%27s%20Shop"]),
        ("{{status}}", expect!["approved"]),
        ("{{items[1].type}}", expect!["B"]),
        ("{{items[1][type]}}", expect!["B"]),
        ("{{items[2].type}}", expect!["{{items[2].type}}"]),
        ("{{metadata[a b].c}}", expect!["deep"]),
        ("{{metadata['a b'][\"c\"]}}", expect!["deep"]),
        ("{{metadata[ \"a b\" ].c}}", expect!["deep"]),
        ("%7B%7Bmetadata%5Ba%20b%5D.c%7D%7D", expect!["deep"]),
        ("{{metadata[0]}}", expect!["zero"]),
        ("{{metadata.k}}", expect!["v"]),
        ("{{metadata}}", expect!["{{metadata}}"]),
        ("{{items}}", expect!["{{items}}"]),
        ("{{metadata.k.x}}", expect!["{{metadata.k.x}}"]),
        ("{{unknown_field}}", expect!["{{unknown_field}}"]),
        ("{{metadata[no such key]}}", expect!["{{metadata[no such key]}}"]),
        ("%7B%7Bnope%7D%7D", expect!["%7B%7Bnope%7D%7D"]),
        ("{{payment_id}}", expect![""]),
        ("{ERROR_CODE}", expect![""]),
        ("{{CHECKOUT_SESSION_ID}}", expect!["{{CHECKOUT_SESSION_ID}}"]),
        ("{checkout_session_id}", expect!["{checkout_session_id}"]),
    ] {
        let text =
            format!("kind payment\n name Ana's Shop\n {body}\n request success https://a.example.com/?q={path}#z");
        let url = answer(&case(&text)).redirect.expect("a redirect").url;
        let filled = url.as_str().strip_prefix("https://a.example.com/?q=").and_then(|rest| rest.strip_suffix("#z"));
        expected.assert_eq(filled.expect("the rest of the URL as it was written"));
    }
}

#[test]
fn unresolved_placeholders_stay_byte_for_byte_and_are_listed_as_written() {
    check(
        "request success https://a.example.com/o/{{nope}}/x?a={{ metadata[no key] }}&b=%7B%7Bno%7D%7D#{{f}}",
        expect![[
            r#"REDIRECT https://a.example.com/o/{{nope}}/x?a={{ metadata[no key] }}&b=%7B%7Bno%7D%7D#{{f}} (request, unresolved ["{{nope}}", "{{ metadata[no key] }}", "%7B%7Bno%7D%7D", "{{f}}"])"#
        ]],
    );
    check(
        "kind order\n delay_ms 0\n request success https://a.example.com/?a={{x}}#{{f}}",
        expect![[
            r#"REDIRECT https://a.example.com/?a={{x}}&payment_id=null&status=approved&external_reference=null&order_id=order_00000000-0000-0000-0000-000000000007#{{f}} (request, unresolved ["{{x}}", "{{f}}"])"#
        ]],
    );
}

#[test]
fn a_filled_template_is_its_url_however_early_its_values_were_bound() {
    let (id, merchant_id) = (SessionId::new(Kind::Payment, Uuid::from_u128(7)), "m".parse().expect("a merchant id"));
    let body = serde_json::from_str(r#"{"metadata":{"n":"name"}}"#).expect("a JSON object");
    let at_resolve = Root::at_resolve(id, &merchant_id, &body, Late::default());
    let filled = |text: &str| Template::compile(text).expect("a template").view().render(&at_resolve);
    let text = "https://a.example.com/?{{metadata.n}}=1&{{nope}}";
    let bound = Template::compile(text).expect("a template").bind(&Root::at_create(id, &merchant_id, &body));
    let early = bound.view().render(&at_resolve);
    assert_eq!(early, filled(text));
    assert_eq!(early.as_str(), "https://a.example.com/?name=1&{{nope}}");
    assert_ne!(early, filled("https://a.example.com/?{{metadata.n}}=2&{{nope}}"));
}

#[test]
fn a_value_that_no_url_has_room_for_is_not_bound() {
    let (id, merchant_id) = (SessionId::new(Kind::Payment, Uuid::from_u128(7)), "m".parse().expect("a merchant id"));
    let text = "https://a.example.com/?{{metadata.v}}";
    let template = Template::compile(text).expect("a template");
    assert_eq!(template.as_str(), text);
    let room = 4_096 - "https://a.example.com/?".len();
    for (bytes, bound) in [(room, true), (room + 1, false), (room + 1_000, false)] {
        let body = serde_json::json!({"metadata": {"v": "v".repeat(bytes)}});
        let body = body.as_object().expect("an object").clone();
        let kept = template.bind(&Root::at_create(id, &merchant_id, &body));
        assert_eq!(kept.as_str() == text, !bound, "{bytes}");
        assert_eq!(kept.as_str().len() == 4_096, bound, "{bytes}");
    }
}

#[test]
fn values_are_text_numbers_and_booleans() {
    for (json, expected) in [
        ("50", expect!["50"]),
        ("50.0", expect!["50"]),
        ("-0.0", expect!["0"]),
        ("0.1", expect!["0.1"]),
        ("1e21", expect!["1000000000000000000000"]),
        ("1e-7", expect!["0.0000001"]),
        ("9007199254740993", expect!["9007199254740993"]),
        ("true", expect!["true"]),
        ("false", expect!["false"]),
        ("null", expect![""]),
        ("\"\"", expect![""]),
        ("\"a b/c?d#e&f=g%h+i\"", expect!["a%20b%2Fc%3Fd%23e%26f%3Dg%25h%2Bi"]),
        ("\"é\u{202e}\"", expect!["%C3%A9%E2%80%AE"]),
        ("\"-._~\"", expect!["-._~"]),
    ] {
        let text = format!(
            "body {{\"metadata\":{{\"v\":{json}}}}}\n request success https://a.example.com/?v={{{{metadata.v}}}}"
        );
        let url = answer(&case(&text)).redirect.expect("a redirect").url;
        expected.assert_eq(url.as_str().strip_prefix("https://a.example.com/?v=").expect("the URL"));
    }
}

#[test]
fn what_a_value_contains_is_never_expanded_again() {
    check(
        r#"request success https://a.example.com/?v={{metadata.v}}&e={ERROR_CODE}
           body {"metadata":{"v":"{{id}} {ERROR_CODE} %7B%7Bid%7D%7D","w":"x"}}
           error_code {{id}}"#,
        expect![
            "REDIRECT https://a.example.com/?v=%7B%7Bid%7D%7D%20%7BERROR_CODE%7D%20%257B%257Bid%257D%257D&e=%7B%7Bid%7D%7D (request)"
        ],
    );
}

#[test]
fn a_value_cannot_leave_its_path_segment() {
    check(
        r#"request success https://shop.example.com/o/{{metadata.ref}}
           body {"metadata":{"ref":"../admin?x=1#y"}}"#,
        expect!["REDIRECT https://shop.example.com/o/..%2Fadmin%3Fx%3D1%23y (request)"],
    );
    for value in [".", "..", "%2e%2e", "%2E.", "..;x", ".;"] {
        let text = format!(
            r#"request success https://shop.example.com/o/{{{{metadata.ref}}}}/x
            body {{"metadata":{{"ref":"{value}"}}}}"#
        );
        assert!(written(answer(&case(&text))).contains("dot segment"), "{value}");
    }
    for (before, value) in [(".", "."), ("%2e", "."), ("", "..")] {
        let text = format!(
            r#"request success https://shop.example.com/o/{before}{{{{metadata.ref}}}}
            body {{"metadata":{{"ref":"{value}"}}}}"#
        );
        assert!(written(answer(&case(&text))).contains("dot segment"), "{before}{value}");
    }
}

#[test]
fn allowed_origins_bind_the_final_url() {
    let text = "request success https://shop.example.com/p\n";
    check(&format!("{text} origin https://shop.example.com"), expect!["REDIRECT https://shop.example.com/p (request)"]);
    check(&format!("{text} origin https://*.example.com"), expect!["REDIRECT https://shop.example.com/p (request)"]);
    for other in
        ["https://example.com", "https://shop.example.com:8443", "https://*.shop.example.com", "https://*.ample.com"]
    {
        assert!(written(answer(&case(&format!("{text} origin {other}")))).contains("allowed_origins"), "{other}");
    }
}

#[test]
fn an_origin_is_its_scheme_host_and_port() {
    for (url, origin, allowed) in [
        ("http://localhost:3000/", "http://localhost:3000", true),
        ("https://localhost:3000/", "http://localhost:3000", false),
        ("http://localhost:3000/", "https://localhost:3000", false),
        ("http://localhost:3001/", "http://localhost:3000", false),
        ("http://127.0.0.1:3000/", "http://localhost:3000", false),
        ("https://a.b.example.com/", "https://*.example.com", true),
        ("https://a.example.com:8443/", "https://*.example.com", false),
        ("https://badexample.com/", "https://*.example.com", false),
    ] {
        let decision = answer(&case(&format!("sandbox\n request success {url}\n origin {origin}")));
        assert_eq!(decision.redirect.is_some(), allowed, "{url} {origin}");
    }
}

#[test]
fn a_deep_link_is_told_apart_from_what_a_browser_opens() {
    for (url, is_web) in [
        ("https://a.example.com/", true),
        ("http://localhost:3000/", true),
        ("com.example.shop://paid", false),
        ("https-shop://paid", false),
    ] {
        let text = format!("sandbox\n scheme com.example.shop\n scheme https-shop\n request success {url}");
        assert_eq!(answer(&case(&text)).redirect.expect("a redirect").url.is_web(), is_web, "{url}");
    }
}

#[test]
fn deep_links_need_their_scheme_and_take_parameters_and_placeholders() {
    let text = "kind order\n delay_ms 0\n request success com.example.shop://paid/{{id}}?a=1#f\n";
    check(
        &format!("{text} scheme com.example.shop\n origin https://shop.example.com"),
        expect![
            "REDIRECT com.example.shop://paid/order_00000000-0000-0000-0000-000000000007?a=1&payment_id=null&status=approved&external_reference=null&order_id=order_00000000-0000-0000-0000-000000000007#f (request)"
        ],
    );
    check(
        text,
        expect![
            "PAGE, the URL has a scheme that the merchant's app_schemes does not name: write `https://`, or add `com.example.shop` to app_schemes for deep links"
        ],
    );
}

#[test]
fn a_parameter_name_made_by_a_placeholder_cannot_be_one_that_is_added() {
    check(
        r#"kind order
           request success https://a.example.com/?{{metadata.name}}=forged
           body {"metadata":{"name":"status"}}"#,
        expect![
            "PAGE, the URL has the parameter `status` in its query, which Waypost adds itself: leave it out or rename it"
        ],
    );
}

#[test]
fn a_filled_url_is_at_most_4096_bytes() {
    let value = |bytes: usize| {
        format!(
            "request success https://a.example.com/?v={{{{metadata.v}}}}\n body {{\"metadata\":{{\"v\":\"{}\"}}}}",
            "a".repeat(bytes)
        )
    };
    let fits = 4_096 - "https://a.example.com/?v=".len();
    assert!(written(answer(&case(&value(fits)))).starts_with("REDIRECT"));
    check(&value(fits + 1), expect!["PAGE, the URL is longer than 4096 bytes when filled"]);
}

#[test]
fn a_signed_return_carries_its_token_after_everything_else_in_the_query_and_before_the_fragment() {
    check(
        "kind order
         delay_ms 0
         signed_at_secs 1767225659
         request success https://a.example.com/p?b=2#top
         body {\"external_reference\":\"A-17\"}
         payment_id 123456789",
        expect![
            "REDIRECT https://a.example.com/p?b=2&payment_id=123456789&status=approved&external_reference=A-17&order_id=order_00000000-0000-0000-0000-000000000007&return_token=eyJhbGciOiJFZERTQSIsImtpZCI6ImtQcktfcW14VldhWVZBOXd3QkY2SXVvM3ZWeno3VHhIQ1R3WEJ5Z3JTNGsiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL3BheS5leGFtcGxlLmNvbSIsImF1ZCI6IjZDUVhYWFhYWFhZRTEiLCJzdWIiOiJvcmRlcl8wMDAwMDAwMC0wMDAwLTAwMDAtMDAwMC0wMDAwMDAwMDAwMDciLCJpYXQiOjE3NjcyMjU2MDAsImV4cCI6MTc2NzIyNjUwMCwianRpIjoiWFczSlRBUkhyTE9qX05OVTdQTXRrZyIsIm91dGNvbWUiOiJzdWNjZXNzIiwicGF5bWVudF9pZCI6IjEyMzQ1Njc4OSIsInN0YXR1cyI6ImFwcHJvdmVkIiwiZXh0ZXJuYWxfcmVmZXJlbmNlIjoiQS0xNyJ9.98Yg7s8eYdOmMfiFEChXoC1ArBm9O5f61IUBiTiCFxWX8AHDhNM-kEmOwO4R1lma49FO4P3QtFTKI_vnLTX0CQ#top (request)"
        ],
    );
    // Without parameters of its kind's own, and a query that has none either; a deep link too.
    check(
        "kind checkout
         signed_at_secs 1767225600
         request cancel https://a.example.com/
         outcome cancel",
        expect![
            "REDIRECT https://a.example.com/?return_token=eyJhbGciOiJFZERTQSIsImtpZCI6ImtQcktfcW14VldhWVZBOXd3QkY2SXVvM3ZWeno3VHhIQ1R3WEJ5Z3JTNGsiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL3BheS5leGFtcGxlLmNvbSIsImF1ZCI6IjZDUVhYWFhYWFhZRTEiLCJzdWIiOiJjaGVja291dF8wMDAwMDAwMC0wMDAwLTAwMDAtMDAwMC0wMDAwMDAwMDAwMDciLCJpYXQiOjE3NjcyMjU2MDAsImV4cCI6MTc2NzIyNjUwMCwianRpIjoiVWxnT0dNb0pDUVptT19rLWVlXzRhQSIsIm91dGNvbWUiOiJjYW5jZWwifQ.qqKCwC3OksXMc6Ayxlzxso6_uJG0T7Q4OlCaw27-tHmteAuZ8GDJ-0Bcb3mE0Xia-FTS_m_g_85FB1xJvcZaBw (request)"
        ],
    );
    check(
        "kind payment
         signed_at_secs 1767225600
         scheme com.example.shop
         request success com.example.shop://back?x=1",
        expect![
            "REDIRECT com.example.shop://back?x=1&return_token=eyJhbGciOiJFZERTQSIsImtpZCI6ImtQcktfcW14VldhWVZBOXd3QkY2SXVvM3ZWeno3VHhIQ1R3WEJ5Z3JTNGsiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL3BheS5leGFtcGxlLmNvbSIsImF1ZCI6IjZDUVhYWFhYWFhZRTEiLCJzdWIiOiJpbnZvaWNlXzAwMDAwMDAwLTAwMDAtMDAwMC0wMDAwLTAwMDAwMDAwMDAwNyIsImlhdCI6MTc2NzIyNTYwMCwiZXhwIjoxNzY3MjI2NTAwLCJqdGkiOiIxVi03NUNyRTdMdUNReTBrbFhOdklBIiwib3V0Y29tZSI6InN1Y2Nlc3MiLCJzdGF0dXMiOiJhcHByb3ZlZCJ9.WFbAowasDij5SWoZLymjwypx1S4MIJ7G8N0GrdTngFQPr79Q2y-2_nrfLoDw2TMLVzyXaGAgUH-Q03W0ATYRBA (request)"
        ],
    );
}

#[test]
fn answers_of_one_minute_are_equal_and_those_of_the_next_one_are_not() {
    let url = |at: i64| {
        let text = format!("request success https://a.example.com/\n signed_at_secs {at}");
        String::from(answer(&case(&text)).redirect.expect("a redirect").url)
    };
    assert_eq!(url(1_767_225_600), url(1_767_225_659));
    assert_ne!(url(1_767_225_659), url(1_767_225_660));
}

#[test]
fn a_specimen_reads_like_the_token_and_has_no_signature() {
    let token = |word: &str| {
        let text = format!("request success https://a.example.com/\n {word} 1767225600");
        let url = String::from(answer(&case(&text)).redirect.expect("a redirect").url);
        url.split_once("return_token=").expect("a token").1.to_owned()
    };
    let (real, specimen) = (token("signed_at_secs"), token("specimen_at_secs"));
    assert_eq!(real.rsplit_once('.').map(|parts| parts.0), specimen.rsplit_once('.').map(|parts| parts.0));
    assert!(specimen.ends_with(&format!(".{}", "A".repeat(86))) && !real.ends_with("AAAA"));
}

#[test]
fn a_return_that_cannot_be_signed_is_not_answered_unsigned() {
    check(
        "request success https://a.example.com/\n signed_without_keys",
        expect![
            "PAGE, the URL cannot be signed, as the merchant's sign_returns asks, because this server has no signing keys: start it with --signing-key-file, or clear sign_returns"
        ],
    );
    check("signed_without_keys", expect!["PAGE, no URL"]);
}

#[test]
fn a_value_cannot_bring_a_token_of_its_own() {
    check(
        "request success https://a.example.com/?{{metadata.name}}=forged
         body {\"metadata\":{\"name\":\"return_token\"}}
         signed_at_secs 1767225600",
        expect![
            "PAGE, the URL has the parameter `return_token` in its query, which Waypost adds itself: leave it out or rename it"
        ],
    );
}

#[test]
fn a_url_that_is_too_long_with_its_token_is_refused_whole() {
    check(
        &format!(
            "request success https://a.example.com/?x={{{{metadata.x}}}}
             body {{\"metadata\":{{\"x\":\"{}\"}}}}
             signed_at_secs 1767225600",
            "a".repeat(3_800)
        ),
        expect!["PAGE, the URL is longer than 4096 bytes when filled"],
    );
}
