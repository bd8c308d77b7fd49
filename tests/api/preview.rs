//! Every outcome's answer at once.

use super::served::Served;
use serde_json::{Value, json};
use tonic::Code;

#[tokio::test]
async fn a_draft_is_answered_for_every_outcome_and_not_created() {
    let client = Served::start().client();
    let order = json!({
        "merchant_id": "m", "idempotency_key": "k", "type": "online", "total_amount": "10",
        "checkout_pro": {"back_urls": {"success": "https://a.example.com/s", "failure": "https://a.example.com/f"}},
    });
    let preview = client.ok("PreviewRedirects", json!({"create_order": order})).await;
    let actions: Vec<_> = preview["redirects"]
        .as_array()
        .expect("redirects")
        .iter()
        .map(|redirect| (redirect["outcome"].as_str(), redirect["action"].as_str()))
        .collect();
    assert_eq!(
        actions,
        [
            (Some("OUTCOME_SUCCESS"), Some("ACTION_DELAYED_REDIRECT")),
            (Some("OUTCOME_FAILURE"), Some("ACTION_SHOW_PAGE")),
            (Some("OUTCOME_CANCEL"), Some("ACTION_SHOW_PAGE")),
            (Some("OUTCOME_PENDING"), Some("ACTION_SHOW_PAGE")),
            (Some("OUTCOME_EXPIRED"), Some("ACTION_SHOW_PAGE")),
        ]
    );
    assert_eq!(preview["redirects"][2]["candidates"].as_array().expect("candidates").len(), 4);
    assert_eq!(preview["notices"][0]["field"], "checkout_pro.back_urls.pending");
    // `https://a.example.com/s?payment_id=` and so on, every byte of what is not known written as three.
    let longest = "https://a.example.com/s?payment_id=&status=&external_reference=null&order_id=".len()
        + 3 * (256 + 64)
        + "order_".len()
        + 36;
    assert_eq!(preview["maxUrlLength"], longest);
    assert_eq!(client.ok("CreateOrder", order).await["replayed"], Value::Null);
}

#[tokio::test]
async fn a_session_is_previewed_as_it_would_be_resolved() {
    let client = Served::start().client();
    let payment = json!({"merchant_id": "m", "customer_email": "a", "items": [{"price": "1", "currency": "EUR"}], "redirect_url": "https://a.example.com/?p={{payment_id}}"});
    let id = client.ok("CreatePayment", payment).await["session"]["sessionId"].clone();
    client.ok("RecordOutcome", json!({"session_id": id, "outcome": "OUTCOME_FAILURE", "payment_id": "7"})).await;
    let preview = client.ok("PreviewRedirects", json!({"session_id": id})).await;
    for redirect in preview["redirects"].as_array().expect("redirects") {
        let mut resolved = client
            .ok("ResolveRedirect", json!({"session_id": id, "outcome": redirect["outcome"], "explain": true}))
            .await;
        assert_eq!(&resolved["redirect"].take(), redirect);
    }
    assert_eq!(preview["maxUrlLength"], "https://a.example.com/?p=".len() + 3 * 256);
}

#[tokio::test]
async fn what_is_wrong_with_a_draft_is_said_with_its_path() {
    let client = Served::start().client();
    let refused = client
        .refused(
            "PreviewRedirects",
            json!({"create_checkout": {"merchant_id": "m", "customer": {}, "redirect_urls": {"success": "http://x"}}}),
        )
        .await;
    let fields: Vec<&str> = refused.fields.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["create_checkout.shopping_cart.line_items", "create_checkout.redirect_urls.success"]);
    assert_eq!(client.refused("PreviewRedirects", json!({})).await.fields[0].0, "source");
    let unknown = json!({"session_id": "order_01986132-e354-7676-9b4a-fc8dd5c5253e"});
    assert_eq!(client.refused("PreviewRedirects", unknown).await.code, Code::NotFound);
}
