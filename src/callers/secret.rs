//! What a caller shows, and the little of it that is kept.

use super::limits::SECRET_BYTES;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};
use subtle::{Choice, ConstantTimeEq};

/// Random bytes of a secret of ours. As nobody guesses them, one pass of SHA-256 protects them as well as a slow hash
/// would, and costs a call next to nothing.
const RANDOM_BYTES: usize = 32;

/// What secrets of ours begin with, for people and scanners that come across one where it does not belong.
const PREFIX: &str = "wp_";

/// A new secret. Only [`Secret::reveal`] shows it.
pub struct Secret(String);

/// The SHA-256 of a secret, which nobody comes back from.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretDigest([u8; 32]);

impl Secret {
    /// One that nobody else has. `None` when the system has no randomness to give.
    pub fn generate() -> Option<Self> {
        let mut bytes = [0; RANDOM_BYTES];
        getrandom::fill(&mut bytes).ok()?;
        Some(Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// The secret itself, for the one who asked for it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn digest(&self) -> SecretDigest {
        SecretDigest(Sha256::digest(&self.0).into())
    }
}

/// Whether a text that stands where none belongs may be a secret of ours, and so must not be repeated.
pub(super) fn may_be_secret(text: &str) -> bool {
    text.starts_with(PREFIX)
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl SecretDigest {
    /// Of a secret as it was sent; `None` when it is empty or too long to be one.
    pub fn of(sent: &[u8]) -> Option<Self> {
        (1..=SECRET_BYTES).contains(&sent.len()).then(|| Self(Sha256::digest(sent).into()))
    }
}

impl ConstantTimeEq for SecretDigest {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl FromStr for SecretDigest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let mut digest = [0; 32];
        if text.len() != 2 * digest.len() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(InvalidDigest::Form);
        }
        for (byte, at) in digest.iter_mut().zip((0..text.len()).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| InvalidDigest::Form)?;
        }
        if Sha256::digest([])[..] == digest {
            return Err(InvalidDigest::OfNothing);
        }
        Ok(Self(digest))
    }
}

impl fmt::Display for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not the digest of a secret. It may be the secret itself, so it is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDigest {
    /// Another text.
    #[error("is not a SHA-256: write the 64 hexadecimal digits of the secret's, never the secret itself")]
    Form,
    /// The digest of the empty text, as a variable that is not set gives it.
    #[error("is the SHA-256 of an empty text, which is no secret: write what `waypost keygen credential` prints")]
    OfNothing,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_random_and_its_digest_is_what_anybody_would_compute() {
        let (one, other) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        assert_ne!(one.reveal(), other.reveal());
        assert!(one.reveal().starts_with("wp_") && one.reveal().len() == 46, "{}", one.reveal().len());
        assert_eq!(Some(one.digest()), SecretDigest::of(one.reveal().as_bytes()));
        // As `printf %s abc | sha256sum` says.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(SecretDigest::of(b"abc").unwrap().to_string(), abc);
        assert_eq!(abc.to_uppercase().parse(), Ok(SecretDigest::of(b"abc").unwrap()));
        assert_eq!(format!("{one:?}"), "Secret");
    }

    #[test]
    fn what_is_not_a_digest_is_refused_without_being_repeated() {
        for text in ["", "abc", &"g".repeat(64), &"a".repeat(63), &"a".repeat(65), &"é".repeat(32), &"+a".repeat(32)] {
            let error = text.parse::<SecretDigest>().unwrap_err().to_string();
            assert!(text.is_empty() || text == "abc" || !error.contains(text));
        }
    }

    #[test]
    fn nothing_is_no_secret() {
        assert_eq!(SecretDigest::of(b""), None);
        // As `printf %s "$UNSET" | sha256sum` says.
        let digest = "E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest.parse::<SecretDigest>(), Err(InvalidDigest::OfNothing));
    }

    #[test]
    fn what_is_too_long_to_be_a_secret_is_not_hashed() {
        assert!(SecretDigest::of(&[b'a'; SECRET_BYTES]).is_some());
        assert_eq!(SecretDigest::of(&[b'a'; SECRET_BYTES + 1]), None);
    }
}
