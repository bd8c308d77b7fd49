//! Any bytes as a request of any method: it is answered or refused, and never a fault of ours.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message;
use std::{cell::LazyCell, sync::Arc};
use tokio::runtime::{Builder, Runtime};
use tonic::{Code, Request, Response, Status};
use waypost::{
    app::{App, Clock},
    grpc::{Merchants, Redirects},
    proto::v1::{merchant_service_server::MerchantService, redirect_service_server::RedirectService},
    redirect::Mode,
    store::MemoryStore,
};

thread_local! {
    static RUNTIME: LazyCell<Runtime> = LazyCell::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));
}

fn fine<T>(answer: Result<Response<T>, Status>) {
    if let Err(status) = answer {
        assert!(!matches!(status.code(), Code::Internal | Code::Unknown | Code::DataLoss), "{status:?}");
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((method, bytes)) = bytes.split_first() else { return };
    let app = App::new(Arc::new(MemoryStore::default()), Mode::Sandbox, Clock::System);
    let (redirects, merchants) = (Redirects::new(app.clone()), Merchants::new(app));
    macro_rules! call {
        ($service:ident.$method:ident) => {
            if let Ok(message) = Message::decode(bytes) {
                fine($service.$method(Request::new(message)).await);
            }
        };
    }
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            match method % 11 {
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
                _ => {
                    if let Ok(message) = Message::decode(bytes) {
                        fine(redirects.watch_session(Request::new(message)).await.map(|_| Response::new(())));
                    }
                }
            }
        });
    });
});
