//! The token of a signed return (SPEC 10): a JWT that says what the answer is. Written here, and read when it comes back.
//!
//! It is over what the answer says and not over the URL: so it is added like any other parameter, and the complete URL,
//! token and all, passes the final check before anybody gets it.
//!
//! The compact serialisation of RFC 7515 with EdDSA (RFC 8037) is written out here rather than taken from a library:
//! there is one algorithm and one form of header, and what differs from it in any byte is not a token. So nothing of a
//! header is ever acted upon: no `alg` chooses, no `crit`, `jku` or `jwk` is looked at.

use super::{Refusal, SigningKeys, VerifyingKeys, params::ABSENT, signing_keys::SIGNATURE_BYTES};
use crate::model::{Kind, MerchantId, Outcome, SessionId, Timestamp, limits};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{borrow::Cow, time::Duration};

/// The parameter that holds the token.
pub(super) const PARAMETER: &str = "return_token";

/// What a token says. The names are those of RFC 7519, then our own. What is not known is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims<'c> {
    /// Who signed it.
    #[serde(rename = "iss")]
    pub issuer: Cow<'c, str>,
    /// The merchant that it is for.
    #[serde(rename = "aud")]
    pub merchant_id: Cow<'c, str>,
    /// The session.
    #[serde(rename = "sub")]
    pub session_id: Cow<'c, str>,
    /// When it was signed, in seconds since 1970; a multiple of [`limits::RETURN_TOKEN_STEP`].
    #[serde(rename = "iat")]
    pub issue_secs: i64,
    /// From when it is not valid any more, in seconds since 1970.
    #[serde(rename = "exp")]
    pub expire_secs: i64,
    /// Stands for all the other claims. Empty until the token is written.
    #[serde(rename = "jti", default, skip_serializing_if = "str::is_empty")]
    pub token_id: Cow<'c, str>,
    /// The outcome that was answered for.
    pub outcome: Outcome,
    /// The provider's id of the payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_id: Option<Cow<'c, str>>,
    /// The provider's word for the state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Cow<'c, str>>,
    /// An order's external reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_reference: Option<Cow<'c, str>>,
}

impl<'c> Claims<'c> {
    /// What is said of that session to its merchant, for `lifetime` from now; the rest is filled in by the caller.
    ///
    /// The time is the beginning of a step and not the moment: answers of one minute are equal in every byte, on every
    /// server, and a verifier whose clock is behind by seconds does not see a token from its future. Nor is it the time
    /// of the ending: a buyer may come back to a page days later, and needs a token that has not expired.
    pub fn new(
        issuer: &'c str,
        merchant_id: &'c MerchantId,
        session_id: SessionId,
        outcome: Outcome,
        now: Timestamp,
        lifetime: Duration,
    ) -> Self {
        let step = seconds(limits::RETURN_TOKEN_STEP);
        let issue_secs = now.as_micros().div_euclid(1_000_000).div_euclid(step) * step;
        Self {
            issuer: issuer.into(),
            merchant_id: merchant_id.as_str().into(),
            session_id: session_id.to_string().into(),
            issue_secs,
            expire_secs: issue_secs.saturating_add(seconds(lifetime)),
            token_id: Cow::Borrowed(""),
            outcome,
            payment_id: None,
            status: None,
            external_reference: None,
        }
    }

    /// The claims as they stand in the token, under an id that is made of them: equal claims have equal ids, others have
    /// others, and no randomness is needed for it.
    fn to_json(&self) -> Vec<u8> {
        let write = |claims: &Claims<'_>| serde_json::to_vec(claims).expect("claims have only string keys");
        let digest = Sha256::digest(write(&Claims { token_id: Cow::Borrowed(""), ..self.clone() }));
        // Half of the hash: nobody finds two sets of claims with one id.
        let token_id = URL_SAFE_NO_PAD.encode(&digest[..16]);
        write(&Claims { token_id: token_id.into(), ..self.clone() })
    }

    /// Whether a parameter of the URL is one that Waypost adds beside a token, and says something else. Only orders have
    /// them (see [`ReturnParams`](super::ReturnParams)); in the URL of another session they are the merchant's own.
    fn contradict(&self, name: &str, value: &str) -> bool {
        let said = match name {
            "payment_id" => self.payment_id.as_deref(),
            "status" => self.status.as_deref(),
            "external_reference" => self.external_reference.as_deref(),
            "order_id" => Some(&*self.session_id),
            _ => return false,
        };
        let is_order = self.session_id.parse().is_ok_and(|id: SessionId| id.kind() == Kind::Order);
        is_order && value != said.unwrap_or(ABSENT)
    }

    /// Reads claims that were signed.
    fn read(json: &[u8]) -> Option<Claims<'static>> {
        serde_json::from_slice(json).ok()
    }
}

/// A lifetime in whole seconds, as JWTs count.
fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// Whether a URL carries a token.
#[derive(Debug, Clone, Copy)]
pub enum Signing<'a> {
    /// It does not: the merchant does not ask for it.
    Off,
    /// It does.
    On {
        /// What the token says.
        claims: &'a Claims<'a>,
        /// The keys, of which the first signs.
        keys: &'a SigningKeys,
        /// How.
        seal: Seal,
    },
    /// It has to, and there is no key: such a URL is refused, as a merchant who verifies tokens must not learn to do
    /// without.
    NoKeys,
}

/// What stands in the place of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// The signature: for an answer.
    Signature,
    /// Zeros, which no key signs: for what only shows how an answer would look. A preview of success is no proof of it.
    Specimen,
}

impl Signing<'_> {
    /// The token, if there is to be one.
    pub(super) fn token(&self) -> Result<Option<String>, Refusal> {
        let (claims, keys, seal) = match self {
            Self::Off => return Ok(None),
            Self::NoKeys => return Err(Refusal::NoSigningKeys),
            Self::On { claims, keys, seal } => (claims, keys, seal),
        };
        let key = keys.signing();
        let mut token = String::with_capacity(limits::RETURN_TOKEN_BYTES);
        token.push_str(key.header());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims.to_json(), &mut token);
        let signature = match seal {
            Seal::Signature => key.sign(&token).ok_or(Refusal::NoSigningKeys)?,
            Seal::Specimen => [0; SIGNATURE_BYTES],
        };
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(Some(token))
    }
}

/// What a token that came back is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Ours, for this merchant, and in time.
    Valid,
    /// There is none.
    Missing,
    /// Not as we make them, or changed, or contradicted by its URL.
    Altered,
    /// Names a key that is not in the set.
    UnknownKey,
    /// Ours, for another merchant.
    OtherMerchant,
    /// Ours, for this merchant, too late.
    Expired,
}

/// A verdict, with what the token says when that may be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The verdict.
    pub verdict: Verdict,
    /// The claims; of [`Verdict::Valid`] and [`Verdict::Expired`] only.
    pub claims: Option<Claims<'static>>,
}

impl From<Verdict> for Verified {
    fn from(verdict: Verdict) -> Self {
        Self { verdict, claims: None }
    }
}

/// The header as anybody may have written it: read only to tell a key that is gone from a token that is none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ForeignHeader {
    alg: String,
    kid: String,
    #[serde(default)]
    typ: Option<String>,
}

impl Verified {
    /// Judges a token that came back to that merchant, in the order of [`Verdict`]: what it says is looked at only when
    /// its signature holds, whether it has expired only when it is this merchant's to know.
    ///
    /// The issuer is not compared: a key belongs to one deployment, and the issuer is what that says of itself.
    pub fn judge(token: &str, keys: Option<&VerifyingKeys>, merchant_id: &MerchantId, now: Timestamp) -> Self {
        match signed_claims(token, keys) {
            Ok(claims) => Self::weigh(claims, merchant_id, now),
            Err(verdict) => verdict.into(),
        }
    }

    /// The same for a URL that came back, whole or from its path on. Its token must not be contradicted by the parameters
    /// beside it that Waypost adds: who reads those and not the claims shall not be told that they are valid.
    pub fn judge_url(url: &str, keys: Option<&VerifyingKeys>, merchant_id: &MerchantId, now: Timestamp) -> Self {
        if url.len() > limits::RETURNED_URL_BYTES {
            return Verdict::Altered.into();
        }
        // A fragment reaches no server; a token in one was not put there by us.
        let before_fragment = url.split_once('#').map_or(url, |(before, _)| before);
        let query = before_fragment.split_once('?').map_or("", |(_, query)| query);
        // As the merchant's framework reads it: percent-encoded names and values are decoded.
        let parameters = || url::form_urlencoded::parse(query.as_bytes());
        let mut tokens = parameters().filter(|(name, _)| name == PARAMETER);
        let token = match (tokens.next(), tokens.next()) {
            (None, _) => return Verdict::Missing.into(),
            (Some((_, token)), None) => token,
            // Frameworks differ in which one they read; nobody shall be told of the other.
            (Some(_), Some(_)) => return Verdict::Altered.into(),
        };
        match signed_claims(&token, keys) {
            Ok(claims) if parameters().any(|(name, value)| claims.contradict(&name, &value)) => Verdict::Altered.into(),
            Ok(claims) => Self::weigh(claims, merchant_id, now),
            Err(verdict) => verdict.into(),
        }
    }

    /// Judges what was signed.
    fn weigh(claims: Claims<'static>, merchant_id: &MerchantId, now: Timestamp) -> Self {
        if claims.merchant_id != merchant_id.as_str() {
            return Verdict::OtherMerchant.into();
        }
        let expired = now.as_micros() >= claims.expire_secs.saturating_mul(1_000_000);
        let verdict = if expired { Verdict::Expired } else { Verdict::Valid };
        Self { verdict, claims: Some(claims) }
    }
}

/// What a token says that one of our keys has signed; else the verdict on it.
fn signed_claims(token: &str, keys: Option<&VerifyingKeys>) -> Result<Claims<'static>, Verdict> {
    if token.is_empty() {
        return Err(Verdict::Missing);
    }
    // What was in a URL of ours is shorter.
    if token.len() > limits::URL_FILLED_BYTES {
        return Err(Verdict::Altered);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(Verdict::Altered)?;
    let (header, payload) = signed.split_once('.').ok_or(Verdict::Altered)?;
    let kid = kid(header).ok_or(Verdict::Altered)?;
    let key = keys.and_then(|keys| keys.get(&kid)).ok_or(Verdict::UnknownKey)?;
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Verdict::Altered);
    let (payload, signature) = (decoded(payload)?, decoded(signature)?);
    if header != key.header() || !key.has_signed(signed, &signature) {
        return Err(Verdict::Altered);
    }
    Claims::read(&payload).ok_or(Verdict::Altered)
}

/// The name of the key that a header names, when it is one of a token that could be ours.
fn kid(header: &str) -> Option<String> {
    let header: ForeignHeader = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    let ours = header.alg == "EdDSA" && header.typ.is_none_or(|typ| typ == "JWT");
    ours.then_some(header.kid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redirect::{SigningKey, to_pem};
    use uuid::Uuid;

    #[test]
    fn no_token_is_longer_than_its_limit() {
        let keys = SigningKey::read_all(&to_pem(&[7; 32])).expect("a key");
        let keys = SigningKeys::new(keys).expect("a set");
        let text = |bytes| Some(Cow::Owned("\"".repeat(bytes)));
        let (issuer, merchant_id) = ("i".repeat(limits::ISSUER_BYTES), "m".repeat(limits::MERCHANT_ID_BYTES));
        let merchant_id = merchant_id.parse().expect("a merchant id");
        // The longest id and outcome, and the last second before the year 2286.
        let (id, now) = (SessionId::new(Kind::Checkout, Uuid::max()), Timestamp::from_micros(9_999_999_999_000_000));
        let claims = Claims {
            payment_id: text(limits::PAYMENT_ID_BYTES),
            status: text(limits::STATUS_BYTES),
            external_reference: text(limits::EXTERNAL_REFERENCE_BYTES),
            ..Claims::new(&issuer, &merchant_id, id, Outcome::Success, now, Duration::ZERO)
        };
        let signing = Signing::On { claims: &claims, keys: &keys, seal: Seal::Signature };
        let token = signing.token().ok().flatten().expect("a token");
        assert!(
            (limits::RETURN_TOKEN_BYTES - 64..=limits::RETURN_TOKEN_BYTES).contains(&token.len()),
            "{}",
            token.len()
        );
    }
}
