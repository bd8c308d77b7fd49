//! What signed returns are made with: the keys, who signs, and for how long (SPEC 10).

use crate::{
    model::{Outcome, Session, Timestamp, limits},
    redirect::{Claims, SigningKeys},
};
use std::{borrow::Cow, fmt, str::FromStr, sync::Arc, time::Duration};

/// Signs the returns of merchants who ask for it.
#[derive(Debug, Clone)]
pub struct Signer {
    /// Behind one method, [`Signer::keys`], so that they can change while the server runs.
    keys: Arc<SigningKeys>,
    issuer: Issuer,
    lifetime: Duration,
}

impl Signer {
    /// Signs with those keys in that name; `lifetime` is how long a token is valid.
    pub fn new(keys: SigningKeys, issuer: Issuer, lifetime: Duration) -> Self {
        Self { keys: Arc::new(keys), issuer, lifetime }
    }

    /// The keys as they are now. One answer is made with one set.
    pub fn keys(&self) -> Arc<SigningKeys> {
        Arc::clone(&self.keys)
    }

    /// What is said of a session now; the details of its ending are the caller's to add.
    pub(super) fn claims<'s>(&'s self, session: &'s Session, outcome: Outcome, now: Timestamp) -> Claims<'s> {
        Claims {
            external_reference: session.external_reference().map(Cow::Borrowed),
            ..Claims::new(&self.issuer.0, &session.merchant_id, session.id, outcome, now, self.lifetime)
        }
    }
}

/// Who signs, as tokens name it: usually where the pages are, whose `/.well-known/jwks.json` has the public keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer(Box<str>);

impl FromStr for Issuer {
    type Err = InvalidIssuer;

    fn from_str(text: &str) -> Result<Self, InvalidIssuer> {
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte));
        if plain && (1..=limits::ISSUER_BYTES).contains(&text.len()) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidIssuer)
        }
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text cannot stand for who signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not an issuer: write 1 to {} printable ASCII characters without spaces, quotes and backslashes, such as \
     `https://pay.example.com`",
    limits::ISSUER_BYTES
)]
pub struct InvalidIssuer;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_printable_and_needs_no_escape_in_json() {
        let longest = "i".repeat(limits::ISSUER_BYTES);
        for text in ["https://pay.example.com", "pay", "~", "!", &longest] {
            assert_eq!(text.parse::<Issuer>().map(|issuer| issuer.to_string()).as_deref(), Ok(text));
        }
        for text in ["", "pay example", "a\"b", "a\\b", "a\tb", "p\u{e4}y", "a\u{7f}b", &format!("{longest}i")] {
            assert_eq!(text.parse::<Issuer>(), Err(InvalidIssuer), "{text}");
        }
    }
}
