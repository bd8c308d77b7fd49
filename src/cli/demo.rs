//! `waypost demo`: the three providers' flows, played against a running server, each decision explained. It leaves three
//! sessions that expire after a minute, and nothing else.

use super::{
    client::Connection,
    failure::Failure,
    outcome,
    story::{Asked, Story},
    table::visible,
};
use crate::{
    client::{Client, Error},
    model::limits::TTL_MIN,
    proto::v1::{
        CheckoutPro, CreateCheckoutRequest, CreateOrderRequest, CreatePaymentRequest, Customer, LineItem, Outcome,
        Payer, PaymentItem, RecordOutcomeRequest, Redirect, ResolveRedirectRequest, ReturnUrls, Session, ShoppingCart,
        Verdict, VerifyReturnRequest, verify_return_request::Returned,
    },
};
use clap::Args;
use std::fmt::Write;

/// Against which server, and as whom.
#[derive(Debug, Args)]
pub struct Demo {
    /// The merchant of the sessions. Its settings count as they are, and stay as they are.
    #[arg(long, default_value = "waypost-demo", value_name = "ID", help_heading = "Demo")]
    merchant: String,

    #[command(flatten)]
    connection: Connection,
}

/// One provider's flow.
struct Flow {
    title: &'static str,
    create: Create,
    outcome: Outcome,
    status: &'static str,
    error_code: &'static str,
}

enum Create {
    Checkout(CreateCheckoutRequest),
    Order(CreateOrderRequest),
    Payment(CreatePaymentRequest),
}

impl Demo {
    /// Plays the flows, and tells them.
    pub fn run(self) -> Result<String, Failure> {
        let merchant = &self.merchant;
        let told = self.connection.ask(async |client| {
            let mut told = format!("Three buyers of merchant {}, one of each provider.", visible(merchant));
            let mut signed = None;
            for flow in [clover(merchant), mercado_pago(merchant), bitgpt(merchant)] {
                let (session, decision) = flow.play(&client, &mut told).await?;
                if decision.url.contains("return_token=") {
                    signed = Some((session, decision));
                }
            }
            match signed {
                Some((session, decision)) => verify(&client, merchant, &session, &decision, &mut told).await?,
                None => told.push_str(&unsigned(merchant)),
            }
            Ok(told)
        })?;
        Ok(format!("{told}\n\nThe three sessions expire after a minute; nothing else was written."))
    }
}

impl Flow {
    /// Creates a session, records how it ended, and asks where the buyer goes.
    async fn play(self, client: &Client, told: &mut String) -> Result<(Session, Redirect), Error> {
        let Self { title, create, outcome, status, error_code } = self;
        let created = match create {
            Create::Checkout(request) => client.create_checkout(request).await?.session,
            Create::Order(request) => client.create_order(request).await?.session,
            Create::Payment(request) => client.create_payment(request).await?.session,
        };
        let session_id = created.unwrap_or_default().session_id;
        let record = RecordOutcomeRequest {
            session_id: session_id.clone(),
            outcome: outcome.into(),
            payment_id: "123456789".into(),
            status: status.into(),
            error_code: error_code.into(),
        };
        let session = client.record_outcome(record).await?.session.unwrap_or_default();
        let question = ResolveRedirectRequest { session_id, explain: true, ..Default::default() };
        let decision = client.resolve_redirect(question).await?.redirect.unwrap_or_default();
        let line = "-".repeat(title.len());
        let _ = write!(told, "\n\n{title}\n{line}\n");
        let _ = writeln!(told, "{}\n", visible(&session.session_id));
        let _ = write!(told, "{}", Story::of(&session, &decision, Asked::AsItStands));
        if !session.page_url.is_empty() {
            let _ = write!(told, "\n\nThe page that does all this, in a browser:\n  {}", visible(&session.page_url));
        }
        Ok((session, decision))
    }
}

const SIGNED: &str = "\n\nSigned returns\n--------------\n";

/// What the merchant's site does when a buyer comes back with a token.
async fn verify(
    client: &Client,
    merchant: &str,
    session: &Session,
    decision: &Redirect,
    told: &mut String,
) -> Result<(), Error> {
    let request =
        VerifyReturnRequest { merchant_id: merchant.into(), returned: Some(Returned::Url(decision.url.clone())) };
    let answer = client.verify_return(request).await?;
    told.push_str(SIGNED);
    let verdict = match answer.verdict() {
        Verdict::Valid => "valid",
        Verdict::Missing => "missing",
        Verdict::Altered => "altered",
        Verdict::UnknownKey => "unknown key",
        Verdict::OtherMerchant => "other merchant",
        Verdict::Expired => "expired",
        Verdict::Unspecified => "none that this command knows",
    };
    let said = answer.claims.map_or_else(|| "nothing".into(), |claims| outcome::word(claims.outcome));
    let _ = write!(
        told,
        "This merchant's URLs carry a return_token. Given the last URL, VerifyReturn answers: {verdict}; the token says \
         {said} for {}. A buyer who types such a URL has no token that does.",
        visible(&session.session_id)
    );
    Ok(())
}

fn unsigned(merchant: &str) -> String {
    format!(
        "{SIGNED}This merchant's URLs carry no return_token, so anyone can type them. On a server with \
         --signing-key-file:\n  waypost merchant set {} --sign-returns",
        visible(merchant)
    )
}

fn a_minute() -> Option<prost_types::Duration> {
    TTL_MIN.try_into().ok()
}

/// A buyer whose card is declined.
fn clover(merchant: &str) -> Flow {
    let customer = Customer {
        first_name: "Ana".into(),
        last_name: "Demo".into(),
        email: "ana@example.com".into(),
        ..Customer::default()
    };
    let book = LineItem { name: "Book".into(), price: 1_500, unit_qty: 1, ..LineItem::default() };
    Flow {
        title: "1. Clover Hosted Checkout: the card is declined",
        create: Create::Checkout(CreateCheckoutRequest {
            merchant_id: merchant.into(),
            ttl: a_minute(),
            customer: Some(customer),
            redirect_urls: Some(ReturnUrls {
                success: "https://shop.example.com/thanks?session={CHECKOUT_SESSION_ID}".into(),
                failure: "https://shop.example.com/failed?session={CHECKOUT_SESSION_ID}&error={ERROR_CODE}".into(),
                cancel: "https://shop.example.com/cart".into(),
                ..ReturnUrls::default()
            }),
            shopping_cart: Some(ShoppingCart { line_items: vec![book] }),
            ..CreateCheckoutRequest::default()
        }),
        outcome: Outcome::Failure,
        status: "declined",
        error_code: "card_declined",
    }
}

/// A buyer who pays.
fn mercado_pago(merchant: &str) -> Flow {
    Flow {
        title: "2. Mercado Pago Checkout Pro: the order is paid",
        create: Create::Order(CreateOrderRequest {
            merchant_id: merchant.into(),
            ttl: a_minute(),
            r#type: "online".into(),
            total_amount: "1000.00".into(),
            external_reference: "demo_17".into(),
            payer: Some(Payer { email: "ana@example.com".into() }),
            checkout_pro: Some(CheckoutPro {
                back_urls: Some(ReturnUrls {
                    success: "https://shop.example.com/success".into(),
                    failure: "https://shop.example.com/failure".into(),
                    pending: "https://shop.example.com/pending".into(),
                    ..ReturnUrls::default()
                }),
                auto_return: "approved".into(),
            }),
            ..CreateOrderRequest::default()
        }),
        outcome: Outcome::Success,
        status: "approved",
        error_code: "",
    }
}

/// A buyer who pays, whose URL has a placeholder too many.
fn bitgpt(merchant: &str) -> Flow {
    Flow {
        title: "3. BitGPT payment: paid, with placeholders in the URL",
        create: Create::Payment(CreatePaymentRequest {
            merchant_id: merchant.into(),
            ttl: a_minute(),
            customer_email: "ana@example.com".into(),
            items: vec![PaymentItem { r#type: "PAYMENT_INTENT".into(), price: "50".into(), currency: "USD".into() }],
            redirect_url: "https://shop.example.com/paid?id={{id}}&item={{items[0].type}}&payment={{payment_id}}\
                           &gift={{metadata.gift}}"
                .into(),
            ..CreatePaymentRequest::default()
        }),
        outcome: Outcome::Success,
        status: "completed",
        error_code: "",
    }
}
