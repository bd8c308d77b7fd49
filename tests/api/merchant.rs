//! Settings.

use super::served::Served;
use serde_json::{Value, json};
use std::time::Duration;
use tonic::Code;

#[tokio::test]
async fn a_merchant_never_written_has_the_defaults() {
    let client = Served::start().client();
    assert_eq!(
        client.ok("GetMerchant", json!({"merchant_id": "m"})).await["merchant"],
        json!({"merchantId": "m", "precedence": "PRECEDENCE_SETTINGS_FIRST", "autoReturnDelay": "5s", "etag": "v0"})
    );
}

#[tokio::test]
async fn without_a_mask_the_fields_that_are_set_change() {
    let served = Served::start();
    let client = served.client();
    client.ok("UpdateMerchant", json!({"merchant": {"merchant_id": "m", "name": "Ana", "return_urls": {"success": "https://a.example.com/s", "cancel": "https://a.example.com/c"}}})).await;
    served.advance(Duration::from_secs(1));
    let changed = client.ok("UpdateMerchant", json!({"merchant": {"merchant_id": "m", "return_urls": {"success": "https://b.example.com/s"}, "precedence": "PRECEDENCE_REQUEST_FIRST"}})).await;
    assert_eq!(
        changed["merchant"],
        json!({
            "merchantId": "m", "name": "Ana", "precedence": "PRECEDENCE_REQUEST_FIRST", "autoReturnDelay": "5s", "etag": "v2",
            "returnUrls": {"success": "https://b.example.com/s", "cancel": "https://a.example.com/c"}, "updateTime": "2026-01-01T00:00:01Z",
        })
    );
    assert_eq!(client.ok("GetMerchant", json!({"merchant_id": "m"})).await, changed);
}

#[tokio::test]
async fn a_mask_says_what_changes_and_empties_what_is_not_given() {
    let client = Served::start().client();
    let full = json!({
        "merchant_id": "m", "name": "Ana", "return_urls": {"success": "https://a.example.com/s", "cancel": "https://a.example.com/c"},
        "precedence": "PRECEDENCE_REQUEST_FIRST", "auto_return_delay": "9s", "allowed_origins": ["https://a.example.com"], "app_schemes": ["com.example.a"],
    });
    client.ok("UpdateMerchant", json!({"merchant": full})).await;
    let update = async |mask: &str, merchant: Value| {
        client.ok("UpdateMerchant", json!({"merchant": merchant, "update_mask": mask})).await["merchant"].clone()
    };
    let merchant =
        update("name,returnUrls.success", json!({"merchant_id": "m", "precedence": "PRECEDENCE_SETTINGS_FIRST"})).await;
    assert_eq!(
        (&merchant["name"], &merchant["returnUrls"]),
        (&Value::Null, &json!({"cancel": "https://a.example.com/c"}))
    );
    assert_eq!(merchant["precedence"], "PRECEDENCE_REQUEST_FIRST");
    let merchant = update(
        "returnUrls,allowedOrigins,autoReturnDelay",
        json!({"merchant_id": "m", "return_urls": {"pending": "https://b.example.com/"}}),
    )
    .await;
    assert_eq!(
        (&merchant["returnUrls"], &merchant["allowedOrigins"], &merchant["autoReturnDelay"]),
        (&json!({"pending": "https://b.example.com/"}), &Value::Null, &json!("5s"))
    );
    let merchant = update("*", json!({"merchant_id": "m"})).await;
    assert_eq!((&merchant["precedence"], &merchant["appSchemes"]), (&json!("PRECEDENCE_SETTINGS_FIRST"), &Value::Null));
}

#[tokio::test]
async fn a_stale_etag_is_refused_and_a_standing_one_is_not() {
    let client = Served::start().client();
    let update = async |etag: &str, name: &str| {
        client.call("UpdateMerchant", json!({"merchant": {"merchant_id": "m", "name": name, "etag": etag}})).await
    };
    let first = update("v0", "one").await.expect("the state that stands");
    for stale in ["v0", "v2", "1", "V1", "v01", "\"v1\"", " v1", "stale", &"v1".repeat(10_000)] {
        let refused = update(stale, "two").await.expect_err("stale");
        assert_eq!((refused.code, refused.reason.as_str()), (Code::Aborted, "ETAG_MISMATCH"), "{stale:.20}");
    }
    let etag = first["merchant"]["etag"].as_str().expect("an etag").to_owned();
    assert!(update(&etag, "two").await.is_ok());
    // A change that changes nothing leaves the etag.
    let same = update("", "two").await.expect("no change");
    assert_eq!(same["merchant"]["etag"], "v2");
}

#[tokio::test]
async fn urls_that_stay_must_fit_the_lists_that_change() {
    let client = Served::start().client();
    client
        .ok(
            "UpdateMerchant",
            json!({"merchant": {"merchant_id": "m", "return_urls": {"success": "https://a.example.com/s"}}}),
        )
        .await;
    let refused = client
        .refused(
            "UpdateMerchant",
            json!({"merchant": {"merchant_id": "m", "allowed_origins": ["https://b.example.com"]}}),
        )
        .await;
    assert_eq!(refused.fields[0].0, "merchant.return_urls.success");
    assert_eq!(client.ok("GetMerchant", json!({"merchant_id": "m"})).await["merchant"]["etag"], "v1");
}

#[tokio::test]
async fn a_mask_that_names_nothing_is_no_mask() {
    let client = Served::start().client();
    let changed =
        client.ok("UpdateMerchant", json!({"merchant": {"merchant_id": "m", "name": "n"}, "update_mask": ""})).await;
    assert_eq!(changed["merchant"]["name"], "n");
}

#[tokio::test]
async fn a_wrong_merchant_id_does_not_hide_what_else_is_wrong() {
    let client = Served::start().client();
    let merchant =
        json!({"merchant_id": "a b", "return_urls": {"success": "http://a.example.com/"}, "auto_return_delay": "50s"});
    let refused = client.refused("UpdateMerchant", json!({"merchant": merchant})).await;
    let fields: Vec<&str> = refused.fields.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["merchant.merchant_id", "merchant.auto_return_delay", "merchant.return_urls.success"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_changes_are_all_applied() {
    let served = Served::start();
    let slots = ["success", "failure", "cancel", "pending", "expired"];
    let calls = slots.map(|slot| {
        let client = served.client();
        tokio::spawn(async move { client.ok("UpdateMerchant", json!({"merchant": {"merchant_id": "m", "return_urls": {slot: format!("https://{slot}.example.com/")}}})).await })
    });
    for call in calls {
        call.await.expect("an answer");
    }
    let merchant = served.client().ok("GetMerchant", json!({"merchant_id": "m"})).await["merchant"].clone();
    assert_eq!(merchant["etag"], "v5");
    assert!(slots.iter().all(|slot| merchant["returnUrls"][slot] == format!("https://{slot}.example.com/")));
}

#[tokio::test]
async fn a_change_that_is_only_checked_writes_nothing_and_fails_as_it_would() {
    let served = Served::start();
    let client = served.client();
    client.ok("UpdateMerchant", json!({"merchant": {"merchant_id": "m", "name": "Ana"}})).await;
    let stands = client.ok("GetMerchant", json!({"merchant_id": "m"})).await;
    let check = |merchant: Value| json!({"merchant": merchant, "validate_only": true});

    let url = "https://a.example.com/s";
    let good = check(json!({"merchant_id": "m", "name": "Bo", "return_urls": {"success": url}, "etag": "v1"}));
    let would_be = client.ok("UpdateMerchant", good).await;
    let mut expected = stands.clone();
    expected["merchant"]["name"] = json!("Bo");
    expected["merchant"]["returnUrls"] = json!({"success": url});
    assert_eq!(would_be, expected, "with the etag and time of now");
    assert_eq!(client.ok("GetMerchant", json!({"merchant_id": "m"})).await, stands);

    let bad = check(json!({"merchant_id": "m", "return_urls": {"success": "http://a.example.com/", "cancel": "x"}}));
    let fields: Vec<_> =
        client.refused("UpdateMerchant", bad).await.fields.into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["merchant.return_urls.success", "merchant.return_urls.cancel"]);
    let stale = client.refused("UpdateMerchant", check(json!({"merchant_id": "m", "name": "Bo", "etag": "v0"}))).await;
    assert_eq!(stale.reason, "ETAG_MISMATCH");
    let unsigned = check(json!({"merchant_id": "m", "sign_returns": true}));
    assert_eq!(client.refused("UpdateMerchant", unsigned).await.reason, "SIGNING_KEYS_MISSING");
    assert_eq!(client.ok("GetMerchant", json!({"merchant_id": "m"})).await, stands);
}
