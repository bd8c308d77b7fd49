//! A provider's JSON body, out of a file: a create request that has not been sent.

use super::{failure::Failure, input, json};
use crate::proto::v1::{CreateCheckoutRequest, CreateOrderRequest, CreatePaymentRequest};
use clap::ValueEnum;
use prost::{Message, Name};
use std::path::Path;

/// Whose body it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BodyKind {
    /// Clover Hosted Checkout.
    Checkout,
    /// Mercado Pago Checkout Pro.
    Order,
    /// BitGPT payment.
    Payment,
}

/// A create request.
#[derive(Debug)]
pub enum Body {
    Checkout(CreateCheckoutRequest),
    Order(CreateOrderRequest),
    Payment(CreatePaymentRequest),
}

/// Bytes of a file that are read: a request of the most that the server takes, with room for JSON's own characters.
const BYTES_MAX: u64 = 1024 * 1024;

impl Body {
    /// Reads a file, or standard input when it is `-`.
    pub fn read(kind: BodyKind, file: &Path) -> Result<Self, Failure> {
        let text = input::read(file, BYTES_MAX)
            .map_err(|error| Failure::Usage(format!("cannot read {}: {error}", input::name(file))))?;
        match kind {
            BodyKind::Checkout => parse(&text, file, "a checkout").map(Self::Checkout),
            BodyKind::Order => parse(&text, file, "an order").map(Self::Order),
            BodyKind::Payment => parse(&text, file, "a payment").map(Self::Payment),
        }
    }

    /// The merchant that it belongs to.
    pub const fn merchant_id_mut(&mut self) -> &mut String {
        match self {
            Self::Checkout(request) => &mut request.merchant_id,
            Self::Order(request) => &mut request.merchant_id,
            Self::Payment(request) => &mut request.merchant_id,
        }
    }

    /// What makes it safe to repeat.
    pub const fn idempotency_key_mut(&mut self) -> &mut String {
        match self {
            Self::Checkout(request) => &mut request.idempotency_key,
            Self::Order(request) => &mut request.idempotency_key,
            Self::Payment(request) => &mut request.idempotency_key,
        }
    }

    /// How long the session stays open.
    pub const fn ttl_mut(&mut self) -> &mut Option<prost_types::Duration> {
        match self {
            Self::Checkout(request) => &mut request.ttl,
            Self::Order(request) => &mut request.ttl,
            Self::Payment(request) => &mut request.ttl,
        }
    }
}

fn parse<M: Message + Name + Default>(text: &str, file: &Path, what: &str) -> Result<M, Failure> {
    json::read(text)
        .map_err(|error| Failure::Usage(format!("{} is not the body of {what}: {error}", input::name(file))))
}
