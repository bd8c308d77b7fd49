//! Sessions to resolve, as the providers' documents have them.

use serde_json::json;
use uuid::Uuid;
use waypost::model::{Kind, MerchantId, Session, SessionId, Timestamp};

/// BitGPT's example with a fifth placeholder.
pub const BITGPT: &str = "https://example.com/redirect?id={{id}}&metadata-value-spaced={{metadata[another example]}}&metadata-value-normal={{metadata.example}}&item={{items[0].type}}&payment={{payment_id}}";

/// A session with that return URL for success.
pub fn session(kind: Kind, url: &str) -> Session {
    let body = json!({
        "redirect_url": url,
        "checkout_pro": {"back_urls": {"success": url}},
        "external_reference": "order_pro_123",
        "items": [{"type": "PAYMENT_INTENT", "price": "50", "currency": "USD"}],
        "metadata": {"example": "custom-value-1", "another example": "custom-value-2"},
    });
    let id = SessionId::new(kind, Uuid::from_u128(0x0198_6132_e354_7676_9b4a_fc8d_d5c5_253e));
    let merchant_id: MerchantId = "6CQXXXXXXXYE1".parse().expect("a merchant id");
    let (created, expires) = (Timestamp::from_micros(0), Timestamp::from_micros(1));
    let session = Session::open(id, merchant_id, body.as_object().expect("an object"), None, created, expires);
    session.expect("a session").with_notices(&[])
}
