//! The ids: of sessions (made here), of merchants and of idempotent requests (the caller's own).

use super::{Kind, limits};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::{Uuid, fmt::Hyphenated};

/// `checkout_<uuid>`, `order_<uuid>` or `invoice_<uuid>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId {
    kind: Kind,
    uuid: Uuid,
}

impl SessionId {
    /// The id with these parts. The uuid is of version 7: ids made later sort later, which keeps stores fast.
    pub const fn new(kind: Kind, uuid: Uuid) -> Self {
        Self { kind, uuid }
    }

    /// What the session is for.
    pub const fn kind(self) -> Kind {
        self.kind
    }

    /// The unique part.
    pub const fn uuid(self) -> Uuid {
        self.uuid
    }

    /// Adds its text, which URLs take as it is.
    pub fn push_to(self, text: &mut String) {
        text.push_str(self.kind.id_prefix());
        text.push('_');
        text.push_str(self.uuid.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()));
    }

    /// Bytes of its text.
    #[expect(clippy::len_without_is_empty, reason = "no id is empty")]
    pub const fn len(self) -> usize {
        self.kind.id_prefix().len() + "_".len() + Hyphenated::LENGTH
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.id_prefix())?;
        f.write_str("_")?;
        f.write_str(self.uuid.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SessionId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let read = || {
            let (prefix, uuid) = text.split_at_checked(text.len().checked_sub(Hyphenated::LENGTH)?)?;
            let prefix = prefix.strip_suffix('_')?;
            let kind = Kind::ALL.into_iter().find(|kind| kind.id_prefix() == prefix)?;
            // Only the spelling that was handed out: one session has one id.
            let is_ours = uuid.bytes().fold(true, |ours, byte| ours & !byte.is_ascii_uppercase());
            is_ours.then(|| Uuid::try_parse(uuid).ok()).flatten().map(|uuid| Self::new(kind, uuid))
        };
        read().ok_or(InvalidId::Session)
    }
}

/// The caller's own id of a merchant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Box<str>", into = "Box<str>")]
pub struct MerchantId(CompactString);

impl MerchantId {
    /// Stands for a merchant that is not known. No id that was read is equal to it.
    pub fn nobody() -> Self {
        Self("".into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<Box<str>> for MerchantId {
    type Error = InvalidId;

    fn try_from(text: Box<str>) -> Result<Self, InvalidId> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:@".contains(&byte);
        if text.is_empty() {
            Err(InvalidId::MerchantMissing)
        } else if text.len() > limits::MERCHANT_ID_BYTES || !text.bytes().all(allowed) {
            Err(InvalidId::Merchant)
        } else {
            Ok(Self(text.into()))
        }
    }
}

impl FromStr for MerchantId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::try_from(Box::from(text))
    }
}

impl From<MerchantId> for Box<str> {
    fn from(id: MerchantId) -> Self {
        id.0.into()
    }
}

impl fmt::Display for MerchantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The caller's name for one create request, which makes it safe to repeat.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Box<str>", into = "Box<str>")]
pub struct IdempotencyKey(Box<str>);

impl IdempotencyKey {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<Box<str>> for IdempotencyKey {
    type Error = InvalidId;

    fn try_from(text: Box<str>) -> Result<Self, InvalidId> {
        let printable = |byte: u8| (b' '..=b'~').contains(&byte);
        if text.is_empty() || text.len() > limits::IDEMPOTENCY_KEY_BYTES || !text.bytes().all(printable) {
            Err(InvalidId::IdempotencyKey)
        } else {
            Ok(Self(text))
        }
    }
}

impl From<IdempotencyKey> for Box<str> {
    fn from(key: IdempotencyKey) -> Self {
        key.0
    }
}

/// Why a text is not an id. The text itself is the caller's and is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Not a session id.
    #[error(
        "is not a session id: write `checkout_`, `order_` or `invoice_` and the lower-case UUID, as the create call returned it"
    )]
    Session,
    /// No merchant id.
    #[error("is missing: write the merchant's id")]
    MerchantMissing,
    /// Not a merchant id.
    #[error("is not a merchant id: write 1 to 64 characters out of A-Z a-z 0-9 . _ - : @")]
    Merchant,
    /// Not an idempotency key.
    #[error("is not an idempotency key: write 1 to 255 printable ASCII characters")]
    IdempotencyKey,
}
