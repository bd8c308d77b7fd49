//! A session with any URLs and values, resolved for every outcome: what is answered leads to a host that somebody wrote,
//! is one URL for everybody, and is the same when it is asked again.
#![no_main]

use libfuzzer_sys::{
    arbitrary::{self, Arbitrary},
    fuzz_target,
};
use std::{cell::LazyCell, collections::BTreeMap, sync::Arc};
use tokio::runtime::{Builder, Runtime};
use tonic::{Code, Request};
use url::Url;
use waypost::{
    app::{App, Clock},
    grpc::{Merchants, Redirects},
    proto::v1::{
        CheckoutPro, CreateOrderRequest, CreatePaymentRequest, Merchant, Outcome, PaymentItem, ResolveRedirectRequest, ReturnUrls,
        UpdateMerchantRequest, merchant_service_server::MerchantService, redirect_service_server::RedirectService,
    },
    redirect::Mode,
    store::MemoryStore,
};

#[derive(Debug, Arbitrary)]
struct Input {
    settings: String,
    request: String,
    is_order: bool,
    metadata: (String, String),
    reference: String,
    payment_id: String,
    status: String,
    error_code: String,
}

thread_local! {
    static RUNTIME: LazyCell<Runtime> = LazyCell::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));
}

fuzz_target!(|input: Input| RUNTIME.with(|runtime| runtime.block_on(run(input))));

async fn run(input: Input) {
    let app = App::new(Arc::new(MemoryStore::default()), Mode::Production, Clock::System);
    let (redirects, merchants) = (Redirects::new(app.clone()), Merchants::new(app));
    let urls = |url: &str| ReturnUrls { success: url.to_owned(), failure: url.to_owned(), ..ReturnUrls::default() };
    let merchant = Merchant {
        merchant_id: "m".to_owned(),
        return_urls: Some(urls(&input.settings)),
        app_schemes: vec!["com.example.app".to_owned()],
        ..Merchant::default()
    };
    // Refused settings are simply not there.
    let settings = UpdateMerchantRequest { merchant: Some(merchant), ..UpdateMerchantRequest::default() };
    let _ = merchants.update_merchant(Request::new(settings)).await;
    let value = prost_types::Value { kind: Some(prost_types::value::Kind::StringValue(input.metadata.1.clone())) };
    let metadata = Some(prost_types::Struct { fields: BTreeMap::from([(input.metadata.0.clone(), value)]) });
    let created = if input.is_order {
        let order = CreateOrderRequest {
            merchant_id: "m".to_owned(),
            r#type: "online".to_owned(),
            total_amount: "1".to_owned(),
            external_reference: input.reference.clone(),
            metadata,
            checkout_pro: Some(CheckoutPro { back_urls: Some(urls(&input.request)), ..CheckoutPro::default() }),
            ..CreateOrderRequest::default()
        };
        redirects.create_order(Request::new(order)).await.map(|created| created.into_inner().session)
    } else {
        let payment = CreatePaymentRequest {
            merchant_id: "m".to_owned(),
            customer_email: "a@example.com".to_owned(),
            items: vec![PaymentItem { r#type: "X".to_owned(), price: "1".to_owned(), currency: "USD".to_owned() }],
            metadata,
            redirect_url: input.request.clone(),
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
            payment_id: input.payment_id.clone(),
            status: input.status.clone(),
            error_code: input.error_code.clone(),
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
        let written = [&input.settings, &input.request].map(|url| url.contains("://").then(|| authority(url)));
        assert!(written.contains(&Some(authority(&answer.url))), "{} is not of {written:?}", answer.url);
        if answer.unresolved_placeholders.is_empty() {
            let url = Url::parse(&answer.url).expect("a URL");
            let with_path = url.as_str().len() == answer.url.len() + 1 && url.path() == "/";
            assert!(url.as_str() == answer.url || with_path);
        }
    }
}
