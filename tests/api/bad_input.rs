//! Bad input for every field of every request: the code, the reason, the field's path, and what to write instead.

use super::served::Served;
use prost_reflect::{Kind, MessageDescriptor};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tonic::Code;

/// One field made wrong: method, JSON pointer into the request, value, the violation's field, what it says.
type Row = (&'static str, &'static str, Value, &'static str, &'static str);

const UNKNOWN_ID: &str = "order_01986132-e354-7676-9b4a-fc8dd5c5253e";

/// A request of each method that is accepted, or finds no session.
fn good(method: &str) -> Value {
    match method {
        "CreateCheckout" => json!({
            "merchant_id": "m", "customer": {"email": "a@example.com"}, "redirect_urls": {"success": "https://a.example.com/"},
            "shopping_cart": {"line_items": [{"name": "a", "price": 1, "unit_qty": 1}]},
        }),
        "CreateOrder" => json!({
            "merchant_id": "m", "type": "online", "total_amount": "10.00", "payer": {"email": "a@example.com"},
            "transactions": {"payments": [{"amount": "4.00"}, {"amount": "6.00"}]}, "checkout_pro": {"back_urls": {"success": "https://a.example.com/"}, "auto_return": "approved"},
        }),
        "CreatePayment" => json!({
            "merchant_id": "m", "customer_email": "a@example.com", "items": [{"type": "T", "price": "10", "currency": "EUR"}], "redirect_url": "https://a.example.com/",
        }),
        "GetSession" => json!({"session_id": UNKNOWN_ID}),
        "RecordOutcome" => json!({"session_id": UNKNOWN_ID, "outcome": "OUTCOME_SUCCESS"}),
        "ResolveRedirect" => json!({"session_id": UNKNOWN_ID}),
        "PreviewRedirects" => json!({"session_id": UNKNOWN_ID}),
        "VerifyReturn" => json!({"merchant_id": "m", "token": "x"}),
        "GetMerchant" => json!({"merchant_id": "m"}),
        "UpdateMerchant" => json!({"merchant": {"merchant_id": "m", "return_urls": {}}}),
        other => panic!("no request for {other}"),
    }
}

fn rows() -> Vec<Row> {
    let long = |bytes: usize| Value::from("a".repeat(bytes));
    let mut rows: Vec<Row> = vec![
        ("CreateCheckout", "/customer", Value::Null, "customer", "is missing"),
        ("CreateCheckout", "/customer/first_name", long(201), "customer.first_name", "at most 200"),
        ("CreateCheckout", "/customer/last_name", long(201), "customer.last_name", "at most 200"),
        ("CreateCheckout", "/customer/email", long(255), "customer.email", "at most 254"),
        ("CreateCheckout", "/customer/phone_number", long(51), "customer.phone_number", "at most 50"),
        ("CreateCheckout", "/shopping_cart", Value::Null, "shopping_cart.line_items", "at least 1"),
        ("CreateCheckout", "/shopping_cart/line_items", json!([]), "shopping_cart.line_items", "at least 1"),
        (
            "CreateCheckout",
            "/shopping_cart/line_items",
            vec![json!({"unit_qty": 1}); 501].into(),
            "shopping_cart.line_items",
            "at most 500",
        ),
        (
            "CreateCheckout",
            "/shopping_cart/line_items/0/name",
            long(501),
            "shopping_cart.line_items[0].name",
            "at most 500",
        ),
        (
            "CreateCheckout",
            "/shopping_cart/line_items/0/note",
            long(2_001),
            "shopping_cart.line_items[0].note",
            "at most 2000",
        ),
        (
            "CreateCheckout",
            "/shopping_cart/line_items/0/price",
            json!(-1),
            "shopping_cart.line_items[0].price",
            "0 or more",
        ),
        (
            "CreateCheckout",
            "/shopping_cart/line_items/0/unit_qty",
            json!(0),
            "shopping_cart.line_items[0].unit_qty",
            "1 or more",
        ),
        (
            "CreateCheckout",
            "/shopping_cart/line_items/0/unit_qty",
            json!(-5),
            "shopping_cart.line_items[0].unit_qty",
            "1 or more",
        ),
        ("CreateOrder", "/type", json!(""), "type", "write `online`"),
        ("CreateOrder", "/type", json!("manual"), "type", "write `online`"),
        ("CreateOrder", "/total_amount", json!(""), "total_amount", "is missing"),
        ("CreateOrder", "/total_amount", json!("-1"), "total_amount", "without sign"),
        ("CreateOrder", "/total_amount", json!("1.000"), "total_amount", "at most 2 digits"),
        ("CreateOrder", "/total_amount", json!("11.00"), "total_amount", "write 10.00"),
        ("CreateOrder", "/external_reference", long(151), "external_reference", "at most 150"),
        ("CreateOrder", "/external_reference", json!("a\nb"), "external_reference", "control character"),
        ("CreateOrder", "/payer/email", long(255), "payer.email", "at most 254"),
        (
            "CreateOrder",
            "/transactions/payments",
            vec![json!({"amount": "0.1"}); 101].into(),
            "transactions.payments",
            "at most 100",
        ),
        (
            "CreateOrder",
            "/transactions/payments/1/amount",
            json!("x"),
            "transactions.payments[1].amount",
            "such as 1000.00",
        ),
        ("CreateOrder", "/transactions/payments/1/amount", json!(""), "transactions.payments[1].amount", "is missing"),
        ("CreateOrder", "/checkout_pro/auto_return", json!("never"), "checkout_pro.auto_return", "`approved` or `all`"),
        ("CreatePayment", "/customer_email", json!(""), "customer_email", "is missing"),
        ("CreatePayment", "/customer_email", long(255), "customer_email", "at most 254"),
        ("CreatePayment", "/items", json!([]), "items", "at least 1"),
        ("CreatePayment", "/items", vec![json!({"price": "1", "currency": "EUR"}); 501].into(), "items", "at most 500"),
        ("CreatePayment", "/items/0/type", long(101), "items[0].type", "at most 100"),
        ("CreatePayment", "/items/0/price", json!(""), "items[0].price", "is missing"),
        ("CreatePayment", "/items/0/price", json!("1.001"), "items[0].price", "at most 2 digits"),
        ("CreatePayment", "/items/0/currency", json!(""), "items[0].currency", "ISO 4217"),
        ("CreatePayment", "/items/0/currency", json!("eur"), "items[0].currency", "ISO 4217"),
        ("CreatePayment", "/items/0/currency", json!("XYZ"), "items[0].currency", "ISO 4217"),
        ("CreatePayment", "/redirect_url", json!("http://a.example.com/"), "redirect_url", "write `https://`"),
        ("GetSession", "/session_id", json!(""), "session_id", "is missing"),
        ("RecordOutcome", "/outcome", json!("OUTCOME_UNSPECIFIED"), "outcome", "is missing"),
        ("RecordOutcome", "/outcome", json!(99), "outcome", "number 99"),
        ("ResolveRedirect", "/outcome", json!(99), "outcome", "number 99"),
        ("ResolveRedirect", "/wait", json!("-1s"), "wait", "0 or more"),
        ("PreviewRedirects", "/session_id", json!(""), "session_id", "is missing"),
        ("UpdateMerchant", "/merchant", Value::Null, "merchant", "is missing"),
        ("UpdateMerchant", "/merchant/name", long(201), "merchant.name", "at most 200"),
        ("UpdateMerchant", "/merchant/name", json!("a\u{7}"), "merchant.name", "control character"),
        ("UpdateMerchant", "/merchant/precedence", json!(99), "merchant.precedence", "number 99"),
        (
            "UpdateMerchant",
            "/merchant/auto_return_delay",
            json!("40.001s"),
            "merchant.auto_return_delay",
            "from 0s to 40s",
        ),
        ("UpdateMerchant", "/merchant/auto_return_delay", json!("-1s"), "merchant.auto_return_delay", "from 0s to 40s"),
        (
            "UpdateMerchant",
            "/merchant/auto_return_delay",
            json!("0.000001s"),
            "merchant.auto_return_delay",
            "whole milliseconds",
        ),
        (
            "UpdateMerchant",
            "/merchant/allowed_origins",
            json!(["https://a.example.com", "x"]),
            "merchant.allowed_origins[1]",
            "is not an origin",
        ),
        (
            "UpdateMerchant",
            "/merchant/allowed_origins",
            vec!["https://a.example.com"; 101].into(),
            "merchant.allowed_origins",
            "at most 100",
        ),
        (
            "UpdateMerchant",
            "/merchant/app_schemes",
            json!(["javascript"]),
            "merchant.app_schemes[0]",
            "act on by themselves",
        ),
        ("UpdateMerchant", "/merchant/app_schemes", vec!["a"; 21].into(), "merchant.app_schemes", "at most 20"),
        ("UpdateMerchant", "/update_mask", json!("merchantId"), "update_mask", "names `merchant_id`"),
    ];
    for method in ["CreateCheckout", "CreateOrder", "CreatePayment"] {
        rows.extend([
            (method, "/merchant_id", json!(""), "merchant_id", "is missing"),
            (method, "/merchant_id", json!("a b"), "merchant_id", "out of A-Z"),
            (method, "/merchant_id", long(65), "merchant_id", "1 to 64"),
            (method, "/idempotency_key", long(256), "idempotency_key", "1 to 255"),
            (method, "/idempotency_key", json!("k\u{e9}"), "idempotency_key", "ASCII"),
            (method, "/ttl", json!("59s"), "ttl", "from 60s to 2592000s"),
            (method, "/ttl", json!("2592001s"), "ttl", "from 60s to 2592000s"),
            (method, "/ttl", json!("-1s"), "ttl", "from 60s to 2592000s"),
            (method, "/metadata", json!({"a": "b".repeat(16 * 1024)}), "metadata", "at most 16384"),
            (
                method,
                "/metadata",
                json!({"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {}}}}}}}}}),
                "metadata.a.b.c.d.e.f.g.h",
                "at most 8",
            ),
        ]);
    }
    for (method, path) in [
        ("CreateCheckout", "redirect_urls"),
        ("CreateOrder", "checkout_pro.back_urls"),
        ("UpdateMerchant", "merchant.return_urls"),
    ] {
        for slot in ["success", "failure", "cancel", "pending", "expired"] {
            let pointer: &str = format!("/{}/{slot}", path.replace('.', "/")).leak();
            let field: &str = format!("{path}.{slot}").leak();
            rows.push((method, pointer, json!("http://a.example.com/"), field, "write `https://`"));
            rows.push((method, pointer, json!("https://a.example.com/{{"), field, "position 22 without its end"));
        }
    }
    for method in ["GetSession", "RecordOutcome", "ResolveRedirect", "PreviewRedirects"] {
        rows.push((
            method,
            "/session_id",
            json!("invoice_01986132-E354-7676-9b4a-fc8dd5c5253e"),
            "session_id",
            "is not a session id",
        ));
        rows.push((method, "/session_id", json!("checkout_1"), "session_id", "is not a session id"));
    }
    for method in ["RecordOutcome", "ResolveRedirect"] {
        for (pointer, field, bytes) in
            [("/payment_id", "payment_id", 256), ("/status", "status", 64), ("/error_code", "error_code", 64)]
        {
            rows.push((method, pointer, long(bytes + 1), field, "write at most"));
            rows.push((method, pointer, json!("a\u{0}b"), field, "control character"));
        }
    }
    for (method, pointer, field) in [
        ("GetMerchant", "/merchant_id", "merchant_id"),
        ("VerifyReturn", "/merchant_id", "merchant_id"),
        ("UpdateMerchant", "/merchant/merchant_id", "merchant.merchant_id"),
    ] {
        rows.push((method, pointer, json!(""), field, "is missing"));
        rows.push((method, pointer, json!("a/b"), field, "out of A-Z"));
    }
    rows
}

fn put(request: &mut Value, pointer: &str, value: Value) {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let mut at = request;
    for step in parent.split('/').skip(1) {
        at = match step.parse::<usize>() {
            Ok(index) => &mut at[index],
            Err(_) => &mut at[step],
        };
    }
    at[name] = value;
}

#[tokio::test]
async fn every_field_that_is_wrong_is_named_with_what_to_write() {
    let client = Served::start().client();
    for (method, pointer, value, field, says) in rows() {
        let mut request = good(method);
        put(&mut request, pointer, value.clone());
        let refused = client.refused(method, request).await;
        let shown: String = value.to_string().chars().take(80).collect();
        let case = format!("{method} {pointer} = {shown}: {refused:?}");
        assert_eq!(refused.code, Code::InvalidArgument, "{case}");
        assert_eq!(refused.reason, "INVALID_FIELD", "{case}");
        let found = refused.fields.iter().find(|(found, _)| found == field);
        assert!(
            found.is_some_and(|(_, description)| description.contains(says)),
            "{case}\nshould name {field} and say {says}"
        );
    }
}

/// Fields with nothing that could be wrong, and messages that are looked at field by field.
const CANNOT_BE_WRONG: [&str; 7] = [
    "ResolveRedirect explain",
    "PreviewRedirects create",
    // A bad one is a verdict.
    "VerifyReturn url",
    "VerifyReturn token",
    // Any other than that of now is stale.
    "UpdateMerchant merchant/etag",
    "UpdateMerchant merchant/sign_returns",
    "UpdateMerchant validate_only",
];

#[test]
fn no_field_is_left_out() {
    let client = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(async { Served::start().client() });
    let tried: BTreeSet<String> = rows()
        .iter()
        .map(|row| format!("{} {}", row.0, row.1.trim_start_matches('/').replace("/0", "").replace("/1", "")))
        .collect();
    for method in [
        "CreateCheckout",
        "CreateOrder",
        "CreatePayment",
        "GetSession",
        "RecordOutcome",
        "ResolveRedirect",
        "PreviewRedirects",
        "VerifyReturn",
        "GetMerchant",
        "UpdateMerchant",
    ] {
        for field in leaves(&client.method(method).input(), "") {
            let case = format!("{method} {field}");
            assert!(
                tried.contains(&case)
                    || CANNOT_BE_WRONG.iter().any(|prefix| case.starts_with(prefix))
                    || case.ends_with("update_time"),
                "no row for {case}"
            );
        }
    }
}

/// The paths of all fields that hold a value, those of the well-known types as one.
fn leaves(message: &MessageDescriptor, path: &str) -> Vec<String> {
    let mut leaves = Vec::new();
    for field in message.fields() {
        let path = format!("{path}{}", field.name());
        match field.kind() {
            Kind::Message(inner) if inner.package_name() == "waypost.v1" => {
                leaves.extend(self::leaves(&inner, &format!("{path}/")))
            }
            _ => leaves.push(path),
        }
    }
    leaves
}

#[tokio::test]
async fn all_violations_come_at_once() {
    let client = Served::start().client();
    let refused = client
        .refused("CreateOrder", json!({
            "merchant_id": "a b", "idempotency_key": "\n", "ttl": "1s", "total_amount": "x", "transactions": {"payments": [{"amount": "y"}]},
            "checkout_pro": {"back_urls": {"success": "javascript:alert(1)", "failure": "https://A.example.com/"}, "auto_return": "no"},
        }))
        .await;
    let fields: BTreeSet<&str> = refused.fields.iter().map(|(field, _)| field.as_str()).collect();
    let expected = [
        "merchant_id",
        "idempotency_key",
        "ttl",
        "type",
        "total_amount",
        "transactions.payments[0].amount",
        "checkout_pro.back_urls.success",
        "checkout_pro.back_urls.failure",
        "checkout_pro.auto_return",
    ];
    assert_eq!(fields, BTreeSet::from(expected));
    assert!(refused.message.starts_with("9 fields are invalid"));
}

#[tokio::test]
async fn very_many_violations_still_fit_into_a_header() {
    let client = Served::start().client();
    let lines = vec![json!({"price": -1}); 500];
    let refused = client
        .refused("CreateCheckout", json!({"merchant_id": "m", "customer": {}, "shopping_cart": {"line_items": lines}}))
        .await;
    assert_eq!(refused.code, Code::InvalidArgument);
    assert!(refused.message.starts_with("1000 fields are invalid"));
    assert!(
        refused
            .fields
            .last()
            .is_some_and(|(_, description)| description.starts_with("and ") && description.contains(" more"))
    );
}

#[tokio::test]
async fn what_is_as_long_as_it_may_be_is_taken() {
    let client = Served::start().client();
    let longest = "b".repeat(16 * 1024 - r#"{"a":""}"#.len());
    for (pointer, value) in [
        ("/merchant_id", json!("m".repeat(64))),
        ("/idempotency_key", json!("k".repeat(255))),
        ("/ttl", json!("60s")),
        ("/ttl", json!("2592000s")),
        ("/metadata", json!({"a": longest})),
    ] {
        let mut request = good("CreatePayment");
        put(&mut request, pointer, value);
        client.ok("CreatePayment", request).await;
    }
}

#[tokio::test]
async fn an_error_fits_into_the_headers_that_clients_take_whatever_was_sent() {
    let client = Served::start().client();
    let long = |unit: &str, times: usize| format!("https://EXAMPLE.com/{}", unit.repeat(times));
    for (unit, times) in [("\u{e9}", 600), ("\u{e9}", 1_000), ("a", 1_900), ("%zz", 600)] {
        let url = long(unit, times);
        let urls = json!({"success": url, "failure": url, "cancel": url, "pending": url, "expired": url});
        let order = json!({"merchant_id": "m", "type": "x", "total_amount": "1", "checkout_pro": {"back_urls": urls}});
        let refused = client.refused("CreateOrder", order).await;
        assert_eq!(refused.code, Code::InvalidArgument, "{unit}");
        assert_eq!(refused.fields.len(), 6, "{unit}: {refused:?}");
        assert!(refused.fields.iter().all(|(field, _)| !field.is_empty()), "{refused:?}");
        assert!(refused.message.len() <= 510);
    }
    let fields: serde_json::Map<String, Value> = (0..12)
        .map(|n| {
            (format!("{n}{}", "\u{1f600}".repeat(200)), json!({"a": {"b": {"c": {"d": {"e": {"f": {"g": {}}}}}}}}))
        })
        .collect();
    let mut request = good("CreatePayment");
    request["metadata"] = fields.into();
    assert_eq!(client.refused("CreatePayment", request).await.code, Code::InvalidArgument);
}

#[tokio::test]
async fn every_name_of_a_mask_that_is_none_is_told() {
    let request = json!({"merchant": {"merchant_id": "m", "name": "n"}, "update_mask": "nameOne,name,nameTwo"});
    let refused = Served::start().client().refused("UpdateMerchant", request).await;
    let told: Vec<&str> = refused.fields.iter().map(|(_, text)| &text[..16]).collect();
    assert_eq!(told, ["names `name_one`", "names `name_two`"]);
    let many = vec!["no"; 1_000].join(",");
    let request = json!({"merchant": {"merchant_id": "m"}, "update_mask": many});
    let refused = Served::start().client().refused("UpdateMerchant", request).await;
    assert!(refused.fields.len() <= 17, "{}", refused.fields.len());
}

#[tokio::test]
async fn auto_return_needs_a_success_url_in_the_request_or_the_settings() {
    let client = Served::start().client();
    let order = json!({"merchant_id": "m", "type": "online", "total_amount": "1", "checkout_pro": {"auto_return": "approved", "back_urls": {"failure": "https://a.example.com/"}}});
    let refused = client.refused("CreateOrder", order.clone()).await;
    assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "AUTO_RETURN_NEEDS_SUCCESS_URL"));
    assert_eq!(refused.fields[0].0, "checkout_pro.auto_return");
    // And beside others.
    let mut worse = order.clone();
    worse["type"] = "offline".into();
    let refused = client.refused("CreateOrder", worse).await;
    assert_eq!(refused.reason, "AUTO_RETURN_NEEDS_SUCCESS_URL");
    assert_eq!(refused.fields.len(), 2);
    client
        .ok(
            "UpdateMerchant",
            json!({"merchant": {"merchant_id": "m", "return_urls": {"success": "https://a.example.com/"}}}),
        )
        .await;
    client.ok("CreateOrder", order).await;
    client
        .ok(
            "CreateOrder",
            json!({"merchant_id": "n", "type": "online", "total_amount": "1", "checkout_pro": {"back_urls": {}}}),
        )
        .await;
}

#[tokio::test]
async fn a_session_that_is_not_there_is_not_found() {
    let client = Served::start().client();
    for method in ["GetSession", "RecordOutcome", "ResolveRedirect", "PreviewRedirects"] {
        let refused = client.refused(method, good(method)).await;
        assert_eq!((refused.code, refused.reason.as_str()), (Code::NotFound, "SESSION_NOT_FOUND"), "{method}");
        assert_eq!(refused.retry_after, None);
    }
}

#[tokio::test]
async fn currencies_say_how_many_places_a_price_has() {
    let client = Served::start().client();
    for (price, currency, accepted) in [
        ("50", "JPY", true),
        ("50.0", "JPY", false),
        ("1.234", "KWD", true),
        ("1.2345", "KWD", false),
        ("1.23", "USD", true),
    ] {
        let mut request = good("CreatePayment");
        request["items"][0] = json!({"price": price, "currency": currency});
        assert_eq!(client.call("CreatePayment", request).await.is_ok(), accepted, "{price} {currency}");
    }
}
