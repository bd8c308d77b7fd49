//! Every kind and outcome: where the browser is sent, or what the page says.

use super::served::{Answer, Served};
use serde_json::{Value, json};
use std::time::Duration;
use waypost::{
    app::MerchantChange,
    model::{Kind, Outcome},
    redirect::Mode,
};

/// A body with a return URL for every outcome.
fn with_urls(kind: Kind) -> Value {
    let url = |slot: &str| format!("https://shop.example.com/{slot}?own=1#there");
    let urls = json!({"success": url("success"), "failure": url("failure"), "cancel": url("cancel"), "pending": url("pending"), "expired": url("expired")});
    match kind {
        Kind::Checkout => json!({"redirect_urls": urls}),
        Kind::Order => json!({"checkout_pro": {"back_urls": urls}, "external_reference": "A-17"}),
        Kind::Payment => json!({"redirect_url": url("{{kind}}")}),
    }
}

/// Where the button leads.
fn button(answer: &Answer) -> Option<String> {
    let href = answer.body.split_once("class=\"button\" href=\"")?.1.split_once('"')?.0;
    Some(href.replace("&#38;", "&").replace("&amp;", "&"))
}

#[tokio::test]
async fn checkouts_and_payments_are_redirected_at_once_whatever_the_outcome() {
    let served = Served::start(Mode::Production);
    for (kind, outcome) in [Kind::Checkout, Kind::Payment].into_iter().flat_map(|kind| Outcome::ALL.map(|o| (kind, o)))
    {
        let id = served.ended(kind, with_urls(kind), outcome).await;
        let answer = served.get(&served.page(id)).await;
        let slot = if kind == Kind::Payment { "payment" } else { outcome.as_str() };
        assert_eq!(answer.status, 303);
        assert_eq!(answer.header("location"), format!("https://shop.example.com/{slot}?own=1#there"));
        assert_eq!(answer.body, "");
    }
}

#[tokio::test]
async fn orders_get_a_page_with_a_button_that_goes_on_by_itself_after_success_only() {
    let served = Served::start(Mode::Production);
    for outcome in Outcome::ALL {
        let id = served.ended(Kind::Order, with_urls(Kind::Order), outcome).await;
        let answer = served.get(&served.page(id)).await;
        assert_eq!(answer.status, 200);
        let status = outcome.default_status().unwrap_or("null");
        let url = format!(
            "https://shop.example.com/{}?own=1&payment_id=null&status={status}&external_reference=A-17&order_id={id}#there",
            outcome.as_str()
        );
        assert_eq!(button(&answer).as_deref(), Some(&*url));
        let expected = if outcome == Outcome::Success { format!("5;url={url}") } else { String::new() };
        assert_eq!(answer.header("refresh"), expected);
        assert_eq!(answer.body.contains("class=\"countdown\""), outcome == Outcome::Success);
    }
}

#[tokio::test]
async fn with_auto_return_all_every_outcome_goes_on_and_the_buyer_may_stay() {
    let served = Served::start(Mode::Production);
    for outcome in Outcome::ALL {
        let mut body = with_urls(Kind::Order);
        body["checkout_pro"]["auto_return"] = "all".into();
        let id = served.ended(Kind::Order, body, outcome).await;
        assert!(served.get(&served.page(id)).await.header("refresh").starts_with("5;url=https://shop.example.com/"));
        let stays = served.get(&format!("{}?stay", served.page(id))).await;
        assert_eq!((stays.status, stays.header("refresh")), (200, ""));
        assert!(button(&stays).is_some() && !stays.body.contains("countdown"));
    }
}

#[tokio::test]
async fn the_delay_is_the_merchants_in_whole_seconds() {
    let served = Served::start(Mode::Production);
    let id = served.ended(Kind::Order, with_urls(Kind::Order), Outcome::Success).await;
    for (delay_ms, seconds) in [(1, "1;"), (1_000, "1;"), (2_500, "3;"), (40_000, "40;"), (0, "")] {
        let delay = Some(Duration::from_millis(delay_ms));
        served.merchant(MerchantChange { auto_return_delay: delay, ..Default::default() }).await;
        let answer = served.get(&served.page(id)).await;
        assert_eq!(answer.header("refresh").split_inclusive(';').next().unwrap_or_default(), seconds);
        assert_eq!(answer.status, if delay_ms == 0 { 303 } else { 200 });
    }
}

#[tokio::test]
async fn a_deep_link_always_gets_a_button_and_never_goes_by_itself() {
    let served = Served::start(Mode::Production);
    let schemes = Some(vec!["com.example.shop".parse().expect("a scheme")]);
    served.merchant(MerchantChange { app_schemes: schemes, ..Default::default() }).await;
    let link = "com.example.shop://paid/x";
    for (kind, body) in [
        (Kind::Checkout, json!({"redirect_urls": {"success": link}})),
        (Kind::Payment, json!({"redirect_url": link})),
        (Kind::Order, json!({"checkout_pro": {"back_urls": {"success": link}}})),
    ] {
        let id = served.ended(kind, body, Outcome::Success).await;
        let answer = served.get(&served.page(id)).await;
        assert_eq!((answer.status, answer.header("refresh"), answer.header("location")), (200, "", ""));
        assert!(button(&answer).expect("a button").starts_with(link));
    }
}

#[tokio::test]
async fn without_a_url_the_page_says_how_it_ended_in_four_languages_and_has_no_button() {
    let served = Served::start(Mode::Production);
    served.merchant(MerchantChange { name: Some("Casa Luna".into()), ..Default::default() }).await;
    let headings = [
        (Outcome::Success, ["Payment complete", "Pago completado", "Pagamento concluído", "Paiement effectué"]),
        (
            Outcome::Failure,
            ["Payment not completed", "Pago no completado", "Pagamento não concluído", "Paiement non abouti"],
        ),
        (Outcome::Cancel, ["Payment cancelled", "Pago cancelado", "Pagamento cancelado", "Paiement annulé"]),
        (Outcome::Pending, ["Payment pending", "Pago pendiente", "Pagamento pendente", "Paiement en attente"]),
        (Outcome::Expired, ["Time is up", "Se acabó el tiempo", "O tempo acabou", "Le délai est écoulé"]),
    ];
    for (kind, (outcome, headings)) in Kind::ALL.into_iter().flat_map(|kind| headings.map(|heading| (kind, heading))) {
        let id = served.ended(kind, json!({}), outcome).await;
        for (language, heading) in ["en-GB", "es-MX,es;q=0.9", "pt-BR", "fr;q=0.7,de"].into_iter().zip(headings) {
            let answer = served.get_in(language, &served.page(id)).await;
            assert_eq!(answer.status, 200);
            assert!(answer.body.contains(&format!("<h1>{heading}</h1>")), "{}", answer.text());
            assert!(answer.body.contains(&format!("<html lang=\"{}\">", &language[..2])));
            assert!(answer.text().contains("Casa Luna"));
            assert_eq!(button(&answer), None);
        }
    }
}

#[tokio::test]
async fn amounts_stand_in_the_buyers_format_with_the_currency_that_the_body_names() {
    let served = Served::start(Mode::Production);
    for (kind, language, amount) in [
        (Kind::Checkout, "en", "1,234.50"),
        (Kind::Order, "es-ES", "1.000,00"),
        (Kind::Order, "fr", "1\u{202f}000,00"),
        (Kind::Payment, "en", "USD\u{a0}50.00"),
        (Kind::Payment, "fr", "50,00\u{a0}USD"),
        (Kind::Payment, "pt-BR", "USD\u{a0}50,00"),
    ] {
        let id = served.ended(kind, json!({}), Outcome::Success).await;
        let answer = served.get_in(language, &served.page(id)).await;
        assert!(answer.body.contains(&format!("<dd class=\"amount\">{amount}</dd>")), "{language}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_page_without_a_recorded_outcome_waits_a_moment_and_then_claims_nothing() {
    let served = Served::start(Mode::Production);
    // The buyer is back before the provider's notification.
    let id = served.create(Kind::Payment, with_urls(Kind::Payment)).await;
    let (page, recorded) = (served.page(id), served.record(id, Outcome::Success));
    let (answer, ()) = tokio::join!(served.get(&page), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        recorded.await;
    });
    assert_eq!(answer.header("location"), "https://shop.example.com/payment?own=1#there");
    // Nobody says anything: the page does not say that the buyer cancelled.
    let id = served.create(Kind::Payment, json!({})).await;
    let answer = served.get(&served.page(id)).await;
    assert!(answer.body.contains("<h1>No payment yet</h1>"), "{}", answer.text());
}

#[tokio::test]
async fn only_success_is_called_paid() {
    let served = Served::start(Mode::Production);
    for outcome in Outcome::ALL.into_iter().filter(|outcome| *outcome != Outcome::Success) {
        let id = served.ended(Kind::Order, json!({}), outcome).await;
        let text = served.get(&served.page(id)).await.text();
        for claim in ["received", "complete ", "paid.", "Thank you", "not been charged"] {
            assert!(!text.contains(claim), "{outcome:?} says {claim}: {text}");
        }
    }
}
