//! Any bytes as the request, or the stream of requests, of any method: each is answered or refused, and never a fault of
//! ours. There is a session of each kind, and a merchant whose returns are signed, so that requests come as far as they can.
#![no_main]

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::Full;
use libfuzzer_sys::fuzz_target;
use prost::Message;
use std::{
    cell::LazyCell,
    sync::{Arc, atomic::AtomicI64},
    time::Duration,
};
use tokio::runtime::{Builder, Runtime};
use tonic::{Code, Request, Response, Status, Streaming, codec::Codec};
use waypost::{
    app::{App, Clock, Signer},
    grpc::{Merchants, Redirects, limits::MAX_REQUEST_BYTES},
    model::{Merchant, Session},
    proto::{
        SmallBuffers,
        v1::{
            ResolveRedirectsRequest, ResolveRedirectsResponse, merchant_service_server::MerchantService,
            redirect_service_server::RedirectService, resolve_redirects_response::Answer,
        },
    },
    redirect::{Mode, SigningKey, SigningKeys, to_pem},
    store::{MemoryStore, Store, record},
};

/// What every execution begins with.
struct Beginning {
    /// Its clock jumps to the next timer when there is nothing else to do, so that waiting takes no time.
    runtime: Runtime,
    sessions: Vec<Session>,
    merchant: Merchant,
    signer: Signer,
}

/// The ids are those of the seeds.
const SESSIONS: [&str; 3] = [
    r#"{"session_id": "checkout_01986132-e354-7676-9b4a-fc8dd5c5253e", "merchant_id": "m", "body": {"redirect_urls": {"success": "https://a.example.com/{{id}}?c={ERROR_CODE}"}}, "create_time": 1, "update_time": 1, "expire_time": 9000000000000000, "version": 1}"#,
    r#"{"session_id": "order_01986132-e354-7676-9b4a-fc8dd5c5253e", "merchant_id": "m", "body": {"type": "online", "total_amount": "1", "external_reference": "A", "checkout_pro": {"auto_return": "all", "back_urls": {"success": "https://a.example.com/s"}}}, "create_time": 1, "update_time": 1, "expire_time": 3, "version": 1}"#,
    r#"{"session_id": "invoice_01986132-e354-7676-9b4a-fc8dd5c5253e", "merchant_id": "n", "body": {"customer_email": "a@example.com", "items": [{"type": "X", "price": "1", "currency": "USD"}], "redirect_url": "https://a.example.com/?p={{payment_id}}&u={{no}}"}, "create_time": 1, "update_time": 1, "expire_time": 3, "ending": {"outcome": "pending", "payment_id": "1", "status": null, "error_code": null}, "version": 1}"#,
];

/// 2026-01-01 00:00 UTC, in microseconds.
const NOW: i64 = 1_767_225_600_000_000;

impl Beginning {
    fn new() -> Self {
        let keys = SigningKey::read_all(&to_pem(&[7; 32])).expect("a key");
        let issuer = "https://pay.example.com".parse().expect("an issuer");
        let merchant = Merchant { sign_returns: true, version: 1, ..Merchant::default_for("m".parse().expect("an id")) };
        Self {
            runtime: Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime"),
            sessions: SESSIONS.map(|text| record::read_session(text.as_bytes()).expect("a session")).into(),
            merchant,
            signer: Signer::new(SigningKeys::new(keys).expect("a set"), issuer, Duration::from_secs(900)),
        }
    }

    async fn app(&self) -> App {
        let store = MemoryStore::default();
        for session in &self.sessions {
            store.import_session(session.clone()).await.expect("saved");
        }
        store.import_merchant(self.merchant.clone()).await.expect("saved");
        App::new(Arc::new(store), Mode::Sandbox, Clock::Manual(Arc::new(AtomicI64::new(NOW)))).signing(self.signer.clone())
    }
}

thread_local! {
    static BEGINNING: LazyCell<Beginning> = LazyCell::new(Beginning::new);
}

fn assert_no_fault(code: Code, said: &dyn std::fmt::Debug) {
    assert!(!matches!(code, Code::Internal | Code::Unknown | Code::DataLoss | Code::Cancelled), "{said:?}");
}

fn fine<T>(answer: Result<Response<T>, Status>) {
    if let Err(status) = answer {
        assert_no_fault(status.code(), &status);
    }
}

async fn resolve_all(redirects: &Redirects, bytes: &[u8]) {
    let body = Full::new(Bytes::copy_from_slice(bytes));
    let decoder = SmallBuffers::<ResolveRedirectsResponse, _>::default().decoder();
    let requests: Streaming<ResolveRedirectsRequest> =
        Streaming::new_request(decoder, body, None, Some(MAX_REQUEST_BYTES));
    let mut answers = redirects.resolve_redirects(Request::new(requests)).await.expect("a place").into_inner();
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(answer) => match answer.answer.expect("an answer") {
                Answer::Redirect(_) => {}
                Answer::Error(error) => assert_no_fault(Code::from_i32(error.code), &error),
            },
            Err(status) => {
                assert_no_fault(status.code(), &status);
                assert!(answers.next().await.is_none(), "a status is the end");
                return;
            }
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((method, bytes)) = bytes.split_first() else { return };
    macro_rules! call {
        ($service:ident.$method:ident) => {
            if let Ok(message) = Message::decode(bytes) {
                fine($service.$method(Request::new(message)).await);
            }
        };
    }
    BEGINNING.with(|beginning| {
        beginning.runtime.block_on(async {
            let app = beginning.app().await;
            let (redirects, merchants) = (Redirects::new(app.clone()), Merchants::new(app));
            match method % 12 {
                0 => call!(redirects.create_checkout),
                1 => call!(redirects.create_order),
                2 => call!(redirects.create_payment),
                3 => call!(redirects.get_session),
                4 => call!(redirects.record_outcome),
                5 => call!(redirects.resolve_redirect),
                6 => call!(redirects.preview_redirects),
                7 => call!(merchants.get_merchant),
                8 => call!(merchants.update_merchant),
                9 => call!(redirects.verify_return),
                10 => resolve_all(&redirects, bytes).await,
                _ => {
                    if let Ok(message) = Message::decode(bytes) {
                        match redirects.watch_session(Request::new(message)).await {
                            Ok(states) => drop(states.into_inner().next().await.expect("a state").expect("a state")),
                            Err(status) => assert_no_fault(status.code(), &status),
                        }
                    }
                }
            }
        });
    });
});
