//! What a client shows to the server: a secret that travels in the `authorization` header of every call.

use crate::callers::limits::SECRET_BYTES;
use std::{fmt, str::FromStr};
use tonic::metadata::{Ascii, MetadataValue};

/// A bearer credential. It is never printed, and marked as sensitive to what compresses headers.
#[derive(Clone)]
pub struct Credential(MetadataValue<Ascii>);

impl Credential {
    /// What the `authorization` header says.
    pub(crate) fn header(&self) -> MetadataValue<Ascii> {
        self.0.clone()
    }
}

/// Reads the secret as the operator gave it: the first line of `waypost keygen credential`. Spaces and newlines around it
/// do no harm.
impl FromStr for Credential {
    type Err = InvalidCredential;

    fn from_str(text: &str) -> Result<Self, InvalidCredential> {
        let secret = text.trim_ascii();
        let plain = (1..=SECRET_BYTES).contains(&secret.len()) && secret.bytes().all(|byte| byte.is_ascii_graphic());
        let header = format!("Bearer {secret}").parse().ok().filter(|_| plain);
        let mut header: MetadataValue<Ascii> = header.ok_or(InvalidCredential)?;
        header.set_sensitive(true);
        Ok(Self(header))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential")
    }
}

/// The text is not a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no secret: put there the first line of `waypost keygen credential`")]
pub struct InvalidCredential;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_one_line_of_visible_characters_and_is_never_shown() {
        let credential: Credential = " abc-123 \n".parse().unwrap();
        assert_eq!(credential.header().to_str().unwrap(), "Bearer abc-123");
        assert!(!format!("{credential:?}").contains("abc"));
        for wrong in ["", " \n", "a b", "a\nb", "é", &"a".repeat(SECRET_BYTES + 1)] {
            assert_eq!(wrong.parse::<Credential>().err(), Some(InvalidCredential), "{wrong:?}");
        }
    }
}
