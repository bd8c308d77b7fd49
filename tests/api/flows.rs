//! From a provider's body to the buyer's next page.

use super::served::{Client, Served};
use serde_json::{Value, json};
use std::time::Duration;

/// A provider's document's body, with only our merchant and a key added.
fn body(name: &str, key: &str) -> Value {
    let path = format!("{}/tests/seeds/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let mut body: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("a body")).expect("JSON");
    body["merchant_id"] = "6CQXXXXXXXYE1".into();
    body["idempotency_key"] = key.into();
    body
}

fn id(created: &Value) -> String {
    created["session"]["sessionId"].as_str().expect("an id").to_owned()
}

async fn resolve(client: &Client, request: Value) -> Value {
    client.ok("ResolveRedirect", request).await["redirect"].clone()
}

#[tokio::test]
async fn bitgpts_full_example_goes_where_the_document_says() {
    let client = Served::start().client();
    let created = client.ok("CreatePayment", body("bitgpt_payment", "k1")).await;
    let id = id(&created);
    assert!(id.starts_with("invoice_"));
    assert_eq!(created["notices"], Value::Null);
    let redirect = resolve(&client, json!({"session_id": id, "outcome": "OUTCOME_SUCCESS"})).await;
    assert_eq!(
        redirect["url"],
        format!(
            "https://example.com/redirect?id={id}&metadata-value-spaced=custom-value-2&metadata-value-normal=custom-value-1&item=PAYMENT_INTENT"
        )
    );
    assert_eq!(redirect["action"], "ACTION_REDIRECT");
    assert_eq!(redirect["source"], "SOURCE_REQUEST");
}

#[tokio::test]
async fn mercado_pagos_success_goes_back_by_itself_with_its_parameters() {
    let client = Served::start().client();
    let id = id(&client.ok("CreateOrder", body("mercado_pago_order", "k1")).await);
    let report =
        json!({"session_id": id, "outcome": "OUTCOME_SUCCESS", "payment_id": "123456789", "status": "approved"});
    assert_eq!(client.ok("RecordOutcome", report).await["applied"], true);
    let redirect = resolve(&client, json!({"session_id": id})).await;
    assert_eq!(
        redirect["url"],
        format!(
            "https://www.your-site.com/success?payment_id=123456789&status=approved&external_reference=order_pro_123&order_id={id}"
        )
    );
    assert_eq!(redirect["action"], "ACTION_DELAYED_REDIRECT");
    assert_eq!(redirect["delay"], "5s");

    let pending = resolve(&client, json!({"session_id": id, "outcome": "OUTCOME_PENDING"})).await;
    assert_eq!(pending["action"], "ACTION_SHOW_PAGE");
    assert_eq!(
        pending["url"],
        format!(
            "https://www.your-site.com/pending?payment_id=null&status=pending&external_reference=order_pro_123&order_id={id}"
        )
    );
    let left = resolve(&client, json!({"session_id": id, "outcome": "OUTCOME_CANCEL"})).await;
    assert_eq!(
        left["url"],
        format!(
            "https://www.your-site.com/failure?payment_id=null&status=null&external_reference=order_pro_123&order_id={id}"
        )
    );
}

#[tokio::test]
async fn clovers_bodies_go_to_the_slot_of_their_outcome() {
    let client = Served::start().client();
    for name in ["clover_checkout", "clover_checkout_older"] {
        let body = body(name, name);
        let id = id(&client.ok("CreateCheckout", body.clone()).await);
        for (outcome, slot) in
            [("OUTCOME_SUCCESS", "success"), ("OUTCOME_FAILURE", "failure"), ("OUTCOME_CANCEL", "cancel")]
        {
            let redirect = resolve(&client, json!({"session_id": id, "outcome": outcome})).await;
            assert_eq!(redirect["url"], body["redirectUrls"][slot]);
            assert_eq!(redirect["action"], "ACTION_REDIRECT");
        }
        let pending = resolve(&client, json!({"session_id": id, "outcome": "OUTCOME_PENDING"})).await;
        assert_eq!(
            (&pending["action"], &pending["source"]),
            (&json!("ACTION_SHOW_PAGE"), &json!("SOURCE_HOSTED_PAGE"))
        );
        assert_eq!(pending["url"], Value::Null);
    }
}

fn checkout(urls: Value) -> Value {
    json!({
        "merchant_id": "m", "customer": {"email": "ana@example.com"}, "redirect_urls": urls,
        "shopping_cart": {"line_items": [{"name": "itemA", "price": 500, "unit_qty": 1}]},
    })
}

#[tokio::test]
async fn clovers_placeholders_are_the_session_and_the_error_code() {
    let client = Served::start().client();
    let created = client
        .ok(
            "CreateCheckout",
            checkout(json!({
                "success": "https://checkout-example.com/success?session_id={CHECKOUT_SESSION_ID}",
                "failure": "https://checkout-example.com/failure?error_code={ERROR_CODE}",
            })),
        )
        .await;
    let id = id(&created);
    let success = resolve(&client, json!({"session_id": id, "outcome": "OUTCOME_SUCCESS"})).await;
    assert_eq!(success["url"], format!("https://checkout-example.com/success?session_id={id}"));
    client
        .ok("RecordOutcome", json!({"session_id": id, "outcome": "OUTCOME_FAILURE", "error_code": "card declined"}))
        .await;
    let failure = resolve(&client, json!({"session_id": id})).await;
    assert_eq!(failure["url"], "https://checkout-example.com/failure?error_code=card%20declined");
}

#[tokio::test]
async fn the_dashboard_overrides_the_request_slot_by_slot_and_says_so() {
    let client = Served::start().client();
    client
        .ok(
            "UpdateMerchant",
            json!({"merchant": {"merchant_id": "m", "return_urls": {"success": "https://dashboard.example.com/s"}}}),
        )
        .await;
    let created = client
        .ok(
            "CreateCheckout",
            checkout(json!({"success": "https://request.example.com/s", "failure": "https://request.example.com/f"})),
        )
        .await;
    let notices: Vec<_> = created["notices"]
        .as_array()
        .expect("notices")
        .iter()
        .map(|notice| (&notice["code"], &notice["field"]))
        .collect();
    assert!(notices.contains(&(&json!("CODE_OVERRIDDEN_BY_SETTINGS"), &json!("redirect_urls.success"))));
    assert!(notices.contains(&(&json!("CODE_NO_URL"), &json!("redirect_urls.cancel"))));
    let id = id(&created);
    let ask = async |outcome: &str| resolve(&client, json!({"session_id": id, "outcome": outcome})).await;
    let success = ask("OUTCOME_SUCCESS").await;
    assert_eq!(
        (&success["url"], &success["source"]),
        (&json!("https://dashboard.example.com/s"), &json!("SOURCE_MERCHANT_SETTINGS"))
    );
    assert_eq!(ask("OUTCOME_FAILURE").await["url"], "https://request.example.com/f");
    // A change to the settings binds sessions that exist.
    client
        .ok("UpdateMerchant", json!({"merchant": {"merchant_id": "m", "precedence": "PRECEDENCE_REQUEST_FIRST"}}))
        .await;
    assert_eq!(ask("OUTCOME_SUCCESS").await["url"], "https://request.example.com/s");
    client
        .ok("UpdateMerchant", json!({"merchant": {"merchant_id": "m", "allowed_origins": ["https://*.example.com"]}}))
        .await;
    assert_eq!(ask("OUTCOME_SUCCESS").await["url"], "https://request.example.com/s");
    client
        .ok(
            "UpdateMerchant",
            json!({"merchant": {"merchant_id": "m", "allowed_origins": ["https://dashboard.example.com"]}}),
        )
        .await;
    let refused = client
        .ok("ResolveRedirect", json!({"session_id": id, "outcome": "OUTCOME_SUCCESS", "explain": true}))
        .await["redirect"]
        .clone();
    assert_eq!(
        (&refused["action"], &refused["source"], &refused["url"]),
        (&json!("ACTION_SHOW_PAGE"), &json!("SOURCE_HOSTED_PAGE"), &Value::Null)
    );
    assert_eq!(refused["candidates"][0]["fate"], "FATE_REFUSED");
    assert!(refused["candidates"][0]["detail"].as_str().expect("a detail").contains("allowed_origins"));
    assert_eq!(refused["candidates"][1]["fate"], "FATE_OUTRANKED");
}

#[tokio::test]
async fn unresolved_placeholders_stay_and_are_listed() {
    let client = Served::start().client();
    let created = client
        .ok(
            "CreateCheckout",
            checkout(json!({"success": "https://a.example.com/{{unknown_field}}?x={{metadata[no key]}}"})),
        )
        .await;
    assert!(
        created["notices"]
            .as_array()
            .expect("notices")
            .iter()
            .any(|notice| notice["code"] == "CODE_UNKNOWN_PLACEHOLDER")
    );
    let redirect = resolve(&client, json!({"session_id": id(&created), "outcome": "OUTCOME_SUCCESS"})).await;
    assert_eq!(redirect["url"], "https://a.example.com/{{unknown_field}}?x={{metadata[no key]}}");
    assert_eq!(redirect["unresolvedPlaceholders"], json!(["{{unknown_field}}", "{{metadata[no key]}}"]));
}

#[tokio::test]
async fn names_in_single_braces_that_are_no_placeholders_are_noticed_with_what_is_meant() {
    let client = Served::start().client();
    let url = "https://a.example.com/?a={checkout_session_id}&b={CHECKOUT_SESSION_ID}&c={{id}}&d={id}&e={%22x%22}&f={a{{id}}b}#{error_code}";
    let urls = json!({"success": url, "failure": "https://a.example.com/", "cancel": "https://a.example.com/"});
    let created = client.ok("CreateCheckout", checkout(urls)).await;
    let told: Vec<_> =
        created["notices"].as_array().expect("notices").iter().map(|notice| &notice["description"]).collect();
    assert_eq!(
        told,
        [
            "has {checkout_session_id}, which is no placeholder and stays in the URL: write {CHECKOUT_SESSION_ID} if one is \
          meant; 2 more are none either"
        ]
    );
}

#[tokio::test]
async fn personal_values_and_urls_that_will_be_refused_are_noticed_at_create() {
    let client = Served::start().client();
    let mut request = checkout(
        json!({"success": "https://a.example.com/?e={{customer.email}}", "failure": "https://a.example.com/{{metadata.x}}/y"}),
    );
    request["metadata"] = json!({"x": ".."});
    let created = client.ok("CreateCheckout", request).await;
    let has = |code: &str, field: &str| {
        created["notices"]
            .as_array()
            .expect("notices")
            .iter()
            .any(|notice| notice["code"] == code && notice["field"] == field)
    };
    assert!(has("CODE_PERSONAL_DATA", "redirect_urls.success"));
    assert!(has("CODE_URL_REFUSED", "redirect_urls.failure"));
    let order =
        json!({"merchant_id": "m", "type": "online", "total_amount": "1", "external_reference": "ana@example.com"});
    let notices = client.ok("CreateOrder", order).await["notices"].to_string();
    assert!(notices.contains("external_reference") && notices.contains("CODE_PERSONAL_DATA"), "{notices}");
    let literal =
        client.ok("CreateCheckout", checkout(json!({"success": "https://a.example.com/?tel=%2B14155550123"}))).await;
    assert!(literal["notices"].to_string().contains("CODE_PERSONAL_DATA"));
    let redirect = resolve(&client, json!({"session_id": id(&created), "outcome": "OUTCOME_FAILURE"})).await;
    assert_eq!((&redirect["action"], &redirect["url"]), (&json!("ACTION_SHOW_PAGE"), &Value::Null));
}

#[tokio::test]
async fn deep_links_are_answered_when_the_merchant_named_their_scheme() {
    let client = Served::start().client();
    let order = json!({"merchant_id": "m", "type": "online", "total_amount": "10", "checkout_pro": {"back_urls": {"success": "com.example.shop://paid/{{external_reference}}"}}, "external_reference": "a/1"});
    let refused = client.refused("CreateOrder", order.clone()).await;
    assert_eq!(refused.fields[0].0, "checkout_pro.back_urls.success");
    client.ok("UpdateMerchant", json!({"merchant": {"merchant_id": "m", "app_schemes": ["com.example.shop"]}})).await;
    let id = id(&client.ok("CreateOrder", order).await);
    let redirect = resolve(&client, json!({"session_id": id, "outcome": "OUTCOME_SUCCESS"})).await;
    assert_eq!(
        redirect["url"],
        format!("com.example.shop://paid/a%2F1?payment_id=null&status=approved&external_reference=a%2F1&order_id={id}")
    );
}

#[tokio::test]
async fn an_order_goes_on_by_itself_as_auto_return_and_the_delay_say() {
    let client = Served::start().client();
    let urls = json!({"success": "https://a.example.com/s", "failure": "https://a.example.com/f"});
    let order = |auto_return: &str| json!({"merchant_id": "m", "type": "online", "total_amount": "10", "checkout_pro": {"back_urls": urls, "auto_return": auto_return}});
    let approved = id(&client.ok("CreateOrder", order("approved")).await);
    let all = id(&client.ok("CreateOrder", order("all")).await);
    let action = async |id: &str, outcome: &str| {
        let redirect = resolve(&client, json!({"session_id": id, "outcome": outcome})).await;
        (redirect["action"].as_str().expect("an action").to_owned(), redirect["delay"].clone())
    };
    assert_eq!(action(&approved, "OUTCOME_FAILURE").await, ("ACTION_SHOW_PAGE".into(), Value::Null));
    assert_eq!(action(&all, "OUTCOME_FAILURE").await, ("ACTION_DELAYED_REDIRECT".into(), json!("5s")));
    client.ok("UpdateMerchant", json!({"merchant": {"merchant_id": "m", "auto_return_delay": "1.500s"}})).await;
    assert_eq!(action(&approved, "OUTCOME_SUCCESS").await, ("ACTION_DELAYED_REDIRECT".into(), json!("1.500s")));
    client.ok("UpdateMerchant", json!({"merchant": {"merchant_id": "m", "auto_return_delay": "0s"}})).await;
    assert_eq!(action(&approved, "OUTCOME_SUCCESS").await, ("ACTION_REDIRECT".into(), Value::Null));
}

#[tokio::test]
async fn an_open_session_expires_and_a_payment_may_still_come() {
    let served = Served::start();
    let client = served.client();
    let created = client
        .ok(
            "CreateCheckout",
            checkout(json!({"cancel": "https://a.example.com/c", "success": "https://a.example.com/s"})),
        )
        .await;
    let id = id(&created);
    assert_eq!(created["session"]["createTime"], "2026-01-01T00:00:00Z");
    assert_eq!(created["session"]["expireTime"], "2026-01-01T00:15:00Z");
    let session = async || client.ok("GetSession", json!({"session_id": id})).await["session"].clone();
    served.advance(Duration::from_secs(15 * 60) - Duration::from_micros(1));
    assert_eq!(session().await["outcome"], Value::Null);
    assert_eq!(resolve(&client, json!({"session_id": id})).await["outcome"], "OUTCOME_CANCEL");
    served.advance(Duration::from_micros(1));
    assert_eq!(session().await["outcome"], "OUTCOME_EXPIRED");
    assert_eq!(session().await["updateTime"], "2026-01-01T00:15:00Z");
    let expired = resolve(&client, json!({"session_id": id})).await;
    assert_eq!((&expired["outcome"], &expired["url"]), (&json!("OUTCOME_EXPIRED"), &json!("https://a.example.com/c")));
    assert_eq!(
        client.ok("RecordOutcome", json!({"session_id": id, "outcome": "OUTCOME_EXPIRED"})).await["applied"],
        Value::Null
    );
    assert_eq!(
        client.ok("RecordOutcome", json!({"session_id": id, "outcome": "OUTCOME_SUCCESS"})).await["applied"],
        true
    );
    assert_eq!(resolve(&client, json!({"session_id": id})).await["url"], "https://a.example.com/s");
}

#[tokio::test]
async fn a_pending_session_waits_on_past_its_expiry() {
    let served = Served::start();
    let client = served.client();
    let id = id(&client.ok("CreateCheckout", checkout(json!({}))).await);
    client.ok("RecordOutcome", json!({"session_id": id, "outcome": "OUTCOME_PENDING"})).await;
    served.advance(Duration::from_secs(3 * 24 * 60 * 60));
    assert_eq!(client.ok("GetSession", json!({"session_id": id})).await["session"]["outcome"], "OUTCOME_PENDING");
}

#[tokio::test]
async fn success_is_final_and_everything_else_may_change_in_any_order() {
    let client = Served::start().client();
    let outcomes = ["OUTCOME_SUCCESS", "OUTCOME_FAILURE", "OUTCOME_CANCEL", "OUTCOME_PENDING", "OUTCOME_EXPIRED"];
    for first in outcomes {
        for second in outcomes {
            let id = id(&client.ok("CreateCheckout", checkout(json!({}))).await);
            assert_eq!(client.ok("RecordOutcome", json!({"session_id": id, "outcome": first})).await["applied"], true);
            let answer = client.ok("RecordOutcome", json!({"session_id": id, "outcome": second})).await;
            let changes = first != "OUTCOME_SUCCESS" && first != second;
            assert_eq!(answer["applied"], if changes { json!(true) } else { Value::Null }, "{first} then {second}");
            assert_eq!(answer["session"]["outcome"], if changes { second } else { first });
        }
    }
}

#[tokio::test]
async fn what_a_report_leaves_out_stays_only_while_it_speaks_of_the_same_payment() {
    let client = Served::start().client();
    let id = id(&client.ok("CreateCheckout", checkout(json!({}))).await);
    let record = async |more: Value| {
        let mut request = json!({"session_id": id});
        request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let answer = client.ok("RecordOutcome", request).await;
        let session = &answer["session"];
        (
            answer["applied"] == true,
            session["paymentId"].clone(),
            session["status"].clone(),
            session["errorCode"].clone(),
        )
    };
    let failure = json!({"outcome": "OUTCOME_FAILURE", "payment_id": "1", "status": "rejected", "error_code": "e"});
    assert_eq!(record(failure.clone()).await, (true, json!("1"), json!("rejected"), json!("e")));
    assert!(!record(failure).await.0);
    assert_eq!(record(json!({"outcome": "OUTCOME_FAILURE"})).await, (false, json!("1"), json!("rejected"), json!("e")));
    assert_eq!(
        record(json!({"outcome": "OUTCOME_FAILURE", "status": "other"})).await,
        (true, json!("1"), json!("other"), json!("e"))
    );
    assert_eq!(
        record(json!({"outcome": "OUTCOME_PENDING", "payment_id": "2", "status": "in_process"})).await,
        (true, json!("2"), json!("in_process"), Value::Null)
    );
    assert_eq!(record(json!({"outcome": "OUTCOME_SUCCESS"})).await, (true, json!("2"), Value::Null, Value::Null));
    assert_eq!(
        record(json!({"outcome": "OUTCOME_SUCCESS", "payment_id": "3"})).await,
        (false, json!("2"), Value::Null, Value::Null)
    );
}

#[tokio::test]
async fn an_outcome_that_is_asked_about_is_answered_and_not_recorded() {
    let client = Served::start().client();
    let order = json!({"merchant_id": "m", "type": "online", "total_amount": "10", "checkout_pro": {"back_urls": {"success": "https://a.example.com/s", "failure": "https://a.example.com/f"}}});
    let id = id(&client.ok("CreateOrder", order).await);
    let asked =
        resolve(&client, json!({"session_id": id, "outcome": "OUTCOME_SUCCESS", "payment_id": "9", "status": "ok"}))
            .await;
    assert_eq!(
        asked["url"],
        format!("https://a.example.com/s?payment_id=9&status=ok&external_reference=null&order_id={id}")
    );
    assert_eq!(client.ok("GetSession", json!({"session_id": id})).await["session"]["outcome"], Value::Null);
    client
        .ok(
            "RecordOutcome",
            json!({"session_id": id, "outcome": "OUTCOME_FAILURE", "payment_id": "1", "status": "no_funds"}),
        )
        .await;
    // What was recorded says nothing about another outcome.
    let asked = resolve(&client, json!({"session_id": id, "outcome": "OUTCOME_SUCCESS"})).await;
    assert_eq!(
        asked["url"],
        format!("https://a.example.com/s?payment_id=null&status=approved&external_reference=null&order_id={id}")
    );
    let asked = resolve(&client, json!({"session_id": id, "outcome": "OUTCOME_FAILURE", "status": "stolen"})).await;
    assert_eq!(
        asked["url"],
        format!("https://a.example.com/f?payment_id=1&status=stolen&external_reference=null&order_id={id}")
    );
}

#[tokio::test]
async fn a_pending_payment_keeps_its_id_when_another_outcome_is_asked_about() {
    let client = Served::start().client();
    let order = json!({"merchant_id": "m", "type": "online", "total_amount": "10", "checkout_pro": {"back_urls": {"success": "https://a.example.com/s"}}});
    let id = id(&client.ok("CreateOrder", order).await);
    client
        .ok(
            "RecordOutcome",
            json!({"session_id": id, "outcome": "OUTCOME_PENDING", "payment_id": "7", "status": "in_process"}),
        )
        .await;
    let asked = resolve(&client, json!({"session_id": id, "outcome": "OUTCOME_SUCCESS"})).await;
    assert_eq!(
        asked["url"],
        format!("https://a.example.com/s?payment_id=7&status=approved&external_reference=null&order_id={id}")
    );
}

#[tokio::test]
async fn the_merchants_name_is_filled_as_it_is_now() {
    let client = Served::start().client();
    let id = id(&client
        .ok(
            "CreateCheckout",
            checkout(json!({"success": "https://a.example.com/?n={{organization.name}}&i={{organization.id}}"})),
        )
        .await);
    let url = async || resolve(&client, json!({"session_id": id, "outcome": "OUTCOME_SUCCESS"})).await["url"].clone();
    assert_eq!(url().await, "https://a.example.com/?n=&i=m");
    client.ok("UpdateMerchant", json!({"merchant": {"merchant_id": "m", "name": "Ana & Co"}})).await;
    assert_eq!(url().await, "https://a.example.com/?n=Ana%20%26%20Co&i=m");
}
