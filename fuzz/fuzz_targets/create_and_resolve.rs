//! A session with any URLs and values, resolved for every outcome: what is answered leads to a host that somebody wrote,
//! is one URL for everybody, is the same when it is asked again, and carries a token that verifies if it is to carry one.
//!
//! The input is a line for each field of [`Input`].
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::{
    cell::LazyCell,
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicI64},
    time::Duration,
};
use tokio::runtime::{Builder, Runtime};
use tonic::{Code, Request};
use url::Url;
use waypost::{
    app::{App, Clock, Signer},
    grpc::{Merchants, Redirects},
    model::Timestamp,
    proto::v1::{
        CheckoutPro, CreateOrderRequest, CreatePaymentRequest, Merchant, Outcome, PaymentItem, ResolveRedirectRequest, ReturnUrls,
        UpdateMerchantRequest, merchant_service_server::MerchantService, redirect_service_server::RedirectService,
    },
    redirect::{Mode, SigningKey, SigningKeys, Verdict, Verified, to_pem},
    store::MemoryStore,
};

#[derive(Debug, Default)]
struct Input<'i> {
    settings: &'i str,
    request: &'i str,
    /// `order` is one, anything else is a payment.
    kind: &'i str,
    /// `signed` means that returns are.
    returns: &'i str,
    metadata: (&'i str, &'i str),
    reference: &'i str,
    payment_id: &'i str,
    status: &'i str,
    error_code: &'i str,
}

impl<'i> Input<'i> {
    fn read(text: &'i str) -> Self {
        let mut lines = text.split('\n');
        let mut next = || lines.next().unwrap_or_default();
        Self {
            settings: next(),
            request: next(),
            kind: next(),
            returns: next(),
            metadata: (next(), next()),
            reference: next(),
            payment_id: next(),
            status: next(),
            error_code: next(),
        }
    }
}

struct Beginning {
    runtime: Runtime,
    signer: Signer,
}

thread_local! {
    static BEGINNING: LazyCell<Beginning> = LazyCell::new(|| {
        let keys = SigningKeys::new(SigningKey::read_all(&to_pem(&[7; 32])).expect("a key")).expect("a set");
        let issuer = "https://pay.example.com".parse().expect("an issuer");
        Beginning {
            runtime: Builder::new_current_thread().enable_time().build().expect("a runtime"),
            signer: Signer::new(keys, issuer, Duration::from_secs(900)),
        }
    });
}

/// 2026-01-01 00:00 UTC, in microseconds.
const NOW: i64 = 1_767_225_600_000_000;

fuzz_target!(|text: &str| {
    let input = Input::read(text);
    BEGINNING.with(|beginning| beginning.runtime.block_on(run(&input, &beginning.signer)));
});

async fn run(input: &Input<'_>, signer: &Signer) {
    let clock = Clock::Manual(Arc::new(AtomicI64::new(NOW)));
    let app = App::new(Arc::new(MemoryStore::default()), Mode::Production, clock).signing(signer.clone());
    let (redirects, merchants) = (Redirects::new(app.clone()), Merchants::new(app));
    let urls = |url: &str| ReturnUrls { success: url.to_owned(), failure: url.to_owned(), ..ReturnUrls::default() };
    let merchant = Merchant {
        merchant_id: "m".to_owned(),
        return_urls: Some(urls(input.settings)),
        sign_returns: input.returns == "signed",
        app_schemes: vec!["com.example.app".to_owned()],
        ..Merchant::default()
    };
    // Refused settings are simply not there.
    let settings = UpdateMerchantRequest { merchant: Some(merchant), ..UpdateMerchantRequest::default() };
    let saved = merchants.update_merchant(Request::new(settings)).await;
    let signs = saved.is_ok_and(|saved| saved.into_inner().merchant.expect("a merchant").sign_returns);
    let value = prost_types::Value { kind: Some(prost_types::value::Kind::StringValue(input.metadata.1.to_owned())) };
    let metadata = Some(prost_types::Struct { fields: BTreeMap::from([(input.metadata.0.to_owned(), value)]) });
    let created = if input.kind == "order" {
        let order = CreateOrderRequest {
            merchant_id: "m".to_owned(),
            r#type: "online".to_owned(),
            total_amount: "1".to_owned(),
            external_reference: input.reference.to_owned(),
            metadata,
            checkout_pro: Some(CheckoutPro { back_urls: Some(urls(input.request)), ..CheckoutPro::default() }),
            ..CreateOrderRequest::default()
        };
        redirects.create_order(Request::new(order)).await.map(|created| created.into_inner().session)
    } else {
        let payment = CreatePaymentRequest {
            merchant_id: "m".to_owned(),
            customer_email: "a@example.com".to_owned(),
            items: vec![PaymentItem { r#type: "X".to_owned(), price: "1".to_owned(), currency: "USD".to_owned() }],
            metadata,
            redirect_url: input.request.to_owned(),
            ..CreatePaymentRequest::default()
        };
        redirects.create_payment(Request::new(payment)).await.map(|created| created.into_inner().session)
    };
    let session = match created {
        Ok(session) => session.expect("a session"),
        Err(status) => return assert_eq!(status.code(), Code::InvalidArgument, "{status:?}"),
    };
    for outcome in [Outcome::Success, Outcome::Failure, Outcome::Cancel, Outcome::Pending, Outcome::Expired] {
        let request = ResolveRedirectRequest {
            session_id: session.session_id.clone(),
            outcome: outcome.into(),
            payment_id: input.payment_id.to_owned(),
            status: input.status.to_owned(),
            error_code: input.error_code.to_owned(),
            ..ResolveRedirectRequest::default()
        };
        let ask = async || redirects.resolve_redirect(Request::new(request.clone())).await.map(|answer| answer.into_inner());
        let answer = match ask().await {
            Ok(answer) => answer.redirect.expect("a redirect"),
            Err(status) => {
                assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
                continue;
            }
        };
        assert_eq!(ask().await.expect("as before").redirect.as_ref(), Some(&answer));
        if answer.url.is_empty() {
            continue;
        }
        assert!(answer.url.len() <= 4_096);
        let authority = |url: &str| {
            let from = url.find("://").expect("absolute") + 3;
            url[..from + url[from..].find(['/', '?', '#']).unwrap_or(url.len() - from)].to_owned()
        };
        let written = [input.settings, input.request].map(|url| url.contains("://").then(|| authority(url)));
        assert!(written.contains(&Some(authority(&answer.url))), "{} is not of {written:?}", answer.url);
        // A placeholder that stays may hold anything, a `#` too.
        if signs && answer.unresolved_placeholders.is_empty() {
            let merchant_id = "m".parse().expect("a merchant id");
            let keys = signer.keys();
            let verified = Verified::judge_url(&answer.url, Some(&*keys), &merchant_id, Timestamp::from_micros(NOW));
            assert_eq!(verified.verdict, Verdict::Valid, "{}", answer.url);
            assert_eq!(verified.claims.expect("claims").session_id, session.session_id);
        }
        if answer.unresolved_placeholders.is_empty() {
            let url = Url::parse(&answer.url).expect("a URL");
            let with_path = url.as_str().len() == answer.url.len() + 1 && url.path() == "/";
            assert!(url.as_str() == answer.url || with_path);
        }
    }
}
