//! Every maximum of the data, in one place, each with its reason. The limits of connections and calls stand in
//! [`crate::server::Limits`] and [`crate::grpc::Limits`].

use std::time::Duration;

/// Bytes of a return URL as it is written. Browsers and proxies differ above 2,000; nothing real needs more.
pub const URL_WRITTEN_BYTES: usize = 2_048;
/// Bytes of a return URL with its placeholders filled and its parameters added: half of the 8 KiB that common servers
/// take for a whole request head.
pub const URL_FILLED_BYTES: usize = 4_096;
/// Placeholders in one return URL: bounds the work of a resolve.
pub const PLACEHOLDERS: usize = 32;
/// Names in one placeholder's path, and levels of `metadata`.
pub const DEPTH: usize = 8;

/// Characters of a merchant id: room for a UUID, a Clover id or a domain name.
pub const MERCHANT_ID_BYTES: usize = 64;
/// Characters of an idempotency key, as most payment APIs have it.
pub const IDEMPOTENCY_KEY_BYTES: usize = 255;
/// Bytes of a person's or a merchant's name.
pub const NAME_BYTES: usize = 200;
/// Bytes of an e-mail address (RFC 5321 allows 254 in a path).
pub const EMAIL_BYTES: usize = 254;
/// Bytes of a telephone number in any notation.
pub const PHONE_BYTES: usize = 50;
/// Bytes of the name of a cart's line.
pub const ITEM_NAME_BYTES: usize = 500;
/// Bytes of the remark on a cart's line.
pub const NOTE_BYTES: usize = 2_000;
/// Bytes of a payment item's type.
pub const ITEM_TYPE_BYTES: usize = 100;
/// Lines of a cart, or items of a payment.
pub const ITEMS: usize = 500;
/// Payments of an order.
pub const ORDER_PAYMENTS: usize = 100;
/// Bytes of an order's external reference (Mercado Pago: 150).
pub const EXTERNAL_REFERENCE_BYTES: usize = 150;
/// Bytes of `metadata` as JSON.
pub const METADATA_BYTES: usize = 16 * 1_024;

/// Bytes of a payment id.
pub const PAYMENT_ID_BYTES: usize = 256;
/// Bytes of a status.
pub const STATUS_BYTES: usize = 64;
/// Bytes of an error code.
pub const ERROR_CODE_BYTES: usize = 64;

/// Entries of a merchant's `allowed_origins`.
pub const ALLOWED_ORIGINS: usize = 100;
/// Entries of a merchant's `app_schemes`.
pub const APP_SCHEMES: usize = 20;
/// Characters of an app scheme.
pub const APP_SCHEME_BYTES: usize = 64;

/// The shortest life of a session: shorter than this no buyer can pay.
pub const TTL_MIN: Duration = Duration::from_secs(60);
/// The longest life of a session: vouchers are valid for some weeks at most.
pub const TTL_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long a delayed redirect waits unless the merchant says otherwise.
pub const AUTO_RETURN_DELAY_DEFAULT: Duration = Duration::from_secs(5);
/// The longest that a delayed redirect waits (Mercado Pago: "up to 40 seconds").
pub const AUTO_RETURN_DELAY_MAX: Duration = Duration::from_secs(40);
/// The longest that `ResolveRedirect` waits for an outcome: a buyer looks at a blank page meanwhile.
pub const WAIT_MAX: Duration = Duration::from_secs(30);
/// How long a pending payment may take to settle before its session counts as over: the longest vouchers and bank
/// transfers, with room.
pub const PENDING_WAIT: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// The shortest time that sessions are kept after they are over, so that an idempotency key, which lives with its
/// session, is kept at least as long.
pub const RETENTION_MIN: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a checkout stays open (Clover's figure).
pub const CHECKOUT_TTL: Duration = Duration::from_secs(15 * 60);
/// How long an order or a payment stays open.
pub const ORDER_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// Keys of signed returns: the one that signs, the next one, and those whose tokens are still out.
pub const SIGNING_KEYS: usize = 8;
/// Bytes of a file of signing keys: the keys need a twentieth of it, and nobody names a device as one.
pub const SIGNING_KEY_FILE_BYTES: u64 = 64 * 1_024;
/// Characters of the issuer of signed returns: it stands in every URL.
pub const ISSUER_BYTES: usize = 255;
/// How long a return token is valid unless the server says otherwise: as long as Clover leaves a buyer to pay. Browsers
/// follow within seconds, but the page of an outcome may be left open with its button.
pub const RETURN_TOKEN_TTL: Duration = Duration::from_secs(15 * 60);
/// The shortest that a return token is valid: a minute of it may be over when it is made ([`RETURN_TOKEN_STEP`]).
pub const RETURN_TOKEN_TTL_MIN: Duration = Duration::from_secs(2 * 60);
/// The longest that a return token is valid: after a day, ask how the session stands now.
pub const RETURN_TOKEN_TTL_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// How fine the time in a return token is, so that repeated questions get equal URLs and clocks may differ a little.
pub const RETURN_TOKEN_STEP: Duration = Duration::from_secs(60);
/// Bytes of a return token whose claims are all as long as they may be and need escapes all over.
pub const RETURN_TOKEN_BYTES: usize = 2_208;
/// Bytes of a URL that came back: what was added on the way is the trackers' business, within reason.
pub const RETURNED_URL_BYTES: usize = 16 * 1_024;
