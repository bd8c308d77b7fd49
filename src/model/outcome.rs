//! What a session is for ([`Kind`]) and how it ended ([`Outcome`]).

use serde::{Deserialize, Serialize};

/// What the buyer pays for: which create call made the session, and whose rules it follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Clover Hosted Checkout.
    Checkout,
    /// Mercado Pago Checkout Pro.
    Order,
    /// BitGPT payment.
    Payment,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Checkout, Self::Order, Self::Payment];

    /// The word for it in placeholders, logs and stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Checkout => "checkout",
            Self::Order => "order",
            Self::Payment => "payment",
        }
    }

    /// What session ids of this kind begin with, before the underscore. A payment's id is that of its invoice, as in
    /// BitGPT's own example.
    pub const fn id_prefix(self) -> &'static str {
        match self {
            Self::Checkout => "checkout",
            Self::Order => "order",
            Self::Payment => "invoice",
        }
    }

    /// The names of the parameters that Waypost adds to a return URL of this kind (SPEC 7). A template's own query may
    /// hold none of them.
    pub const fn added_params(self) -> &'static [&'static str] {
        match self {
            Self::Checkout | Self::Payment => &["return_token"],
            Self::Order => &["payment_id", "status", "external_reference", "order_id", "return_token"],
        }
    }
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The buyer paid. Final.
    Success,
    /// A payment was attempted and not completed.
    Failure,
    /// The buyer left before paying.
    Cancel,
    /// The payment settles later.
    Pending,
    /// The session's time ran out while it was open.
    Expired,
}

impl Outcome {
    /// All outcomes, in the order of the proto enum.
    pub const ALL: [Self; 5] = [Self::Success, Self::Failure, Self::Cancel, Self::Pending, Self::Expired];

    /// The word for it, which is also the name of its slot.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancel => "cancel",
            Self::Pending => "pending",
            Self::Expired => "expired",
        }
    }

    /// The provider's word for the state when the caller recorded none. Nothing was paid or refused for a buyer who
    /// left or ran out of time, so there is none for them, and Mercado Pago sends `null`.
    pub const fn default_status(self) -> Option<&'static str> {
        match self {
            Self::Success => Some("approved"),
            Self::Pending => Some("pending"),
            Self::Failure => Some("rejected"),
            Self::Cancel | Self::Expired => None,
        }
    }
}
