//! Creates a payment, records that it was paid, asks where the buyer goes, and handles an error by its reason.
//!
//! ```console
//! $ cargo run --example first-return 127.0.0.1:50051
//! ```

use std::{env, error::Error};
use waypost::{
    client::Client,
    proto::v1::{
        CreatePaymentRequest, ErrorReason, Outcome, PaymentItem, RecordOutcomeRequest, ResolveRedirectRequest,
    },
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).ok_or("write the server's address, such as 127.0.0.1:50051")?;
    // With deadlines and retries; a create gets an idempotency key, so that it is safe to repeat.
    let client = Client::options(address.parse()?).open()?;

    let created = client
        .create_payment(CreatePaymentRequest {
            merchant_id: "demo".into(),
            customer_email: "ana@example.com".into(),
            items: vec![PaymentItem { r#type: "PAYMENT_INTENT".into(), price: "50".into(), currency: "USD".into() }],
            redirect_url: "https://shop.example.com/paid?id={{id}}".into(),
            ..CreatePaymentRequest::default()
        })
        .await?;
    let session_id = created.session.unwrap_or_default().session_id;
    println!("created {session_id}");

    client
        .record_outcome(RecordOutcomeRequest {
            session_id: session_id.clone(),
            outcome: Outcome::Success.into(),
            payment_id: "123456789".into(),
            ..RecordOutcomeRequest::default()
        })
        .await?;

    let resolve = |session_id| ResolveRedirectRequest { session_id, ..ResolveRedirectRequest::default() };
    let answer = client.resolve_redirect(resolve(session_id)).await?;
    println!("the buyer goes to {}", answer.redirect.unwrap_or_default().url);

    let nobody = "invoice_01986132-e354-7676-9b4a-fc8dd5c5253e".to_owned();
    match client.resolve_redirect(resolve(nobody)).await {
        Err(error) if error.reason() == Some(ErrorReason::SessionNotFound) => {
            println!("there is no such session: SESSION_NOT_FOUND");
        }
        answer => drop(answer?),
    }
    Ok(())
}
