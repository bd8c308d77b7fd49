//! The keys of signed returns (SPEC 10): the one that signs, and those whose signatures are still believed.
//!
//! Ed25519 only, so that no token can choose its algorithm. Reads texts, never files; a key leaves here as a signature
//! or as its public half, never as itself.

use crate::model::limits::SIGNING_KEYS;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use rustls::pki_types::pem::{PemObject, SectionKind};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{fmt, ops::Deref};

/// Bytes of a public key (RFC 8032).
const PUBLIC_BYTES: usize = 32;
/// Bytes of a signature (RFC 8032).
pub(super) const SIGNATURE_BYTES: usize = 64;

/// What an Ed25519 public key begins with in SPKI (RFC 8410, section 4): there is one way to write it.
const SPKI_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// What an Ed25519 private key begins with in PKCS#8 version 1 (RFC 8410, section 7), as OpenSSL writes it.
const PKCS8_HEAD: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// One key: a pair that signs, or the public half of one that does not sign any more.
pub struct SigningKey {
    kid: Box<str>,
    public: [u8; PUBLIC_BYTES],
    pair: Option<Ed25519KeyPair>,
    /// The first part of every token that this key signs.
    header: Box<str>,
}

impl SigningKey {
    /// Reads every key of a PEM file: private ones in PKCS#8, as `openssl genpkey -algorithm ed25519` writes them, and
    /// public ones in SPKI, as `openssl pkey -pubout` does.
    pub fn read_all(pem: &str) -> Result<Vec<Self>, InvalidSigningKey> {
        let keys = <(SectionKind, Vec<u8>)>::pem_slice_iter(pem.as_bytes()).enumerate().map(|(at, section)| {
            let invalid = InvalidSigningKey::Section { number: at + 1 };
            let (kind, der) = section.map_err(|_| invalid)?;
            match kind {
                SectionKind::PrivateKey => Self::from_pkcs8(&der),
                SectionKind::PublicKey => Self::from_spki(&der),
                _ => None,
            }
            .ok_or(invalid)
        });
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        // The reader passes over what it has no word for, such as an encrypted key.
        match pem.matches("-----BEGIN ").count() {
            0 => Err(InvalidSigningKey::Empty),
            sections if sections == keys.len() => Ok(keys),
            _ => Err(InvalidSigningKey::Unknown),
        }
    }

    fn from_pkcs8(der: &[u8]) -> Option<Self> {
        // Version 1 has no public half to compare with; it is computed.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?;
        let public = pair.public_key().as_ref().try_into().ok()?;
        Some(Self::new(public, Some(pair)))
    }

    fn from_spki(der: &[u8]) -> Option<Self> {
        let public = der.strip_prefix(&SPKI_HEAD)?.try_into().ok()?;
        Some(Self::new(public, None))
    }

    fn new(public: [u8; PUBLIC_BYTES], pair: Option<Ed25519KeyPair>) -> Self {
        let kid = thumbprint(&public);
        // Written out, as tokens are compared with it byte for byte.
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"JWT"}}"#));
        Self { kid: kid.into(), public, pair, header: header.into() }
    }

    /// Its name in tokens: the key's thumbprint (RFC 7638), so that equal keys have equal names everywhere.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Whether it can sign.
    pub const fn is_private(&self) -> bool {
        self.pair.is_some()
    }

    /// The header of its tokens, as it stands in them.
    pub(super) fn header(&self) -> &str {
        &self.header
    }

    /// Its signature of that text; `None` of a public key.
    pub(super) fn sign(&self, text: &str) -> Option<[u8; SIGNATURE_BYTES]> {
        self.pair.as_ref()?.sign(text.as_bytes()).as_ref().try_into().ok()
    }

    /// Whether that is its signature of that text.
    pub(super) fn has_signed(&self, text: &str, signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public).verify(text.as_bytes(), signature).is_ok()
    }
}

/// Without what is secret.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).field("is_private", &self.is_private()).finish()
    }
}

/// The `kid` of a public key. The members are those that RFC 8037, section 2, requires, in the order of the alphabet.
fn thumbprint(public: &[u8; PUBLIC_BYTES]) -> String {
    let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, URL_SAFE_NO_PAD.encode(public));
    URL_SAFE_NO_PAD.encode(Sha256::digest(members))
}

/// Keys whose signatures are believed. Any of them may be without its private half.
#[derive(Debug)]
pub struct VerifyingKeys(Vec<SigningKey>);

impl VerifyingKeys {
    /// A set of these keys.
    fn new(keys: Vec<SigningKey>) -> Result<Self, InvalidSigningKeys> {
        if keys.len() > SIGNING_KEYS {
            return Err(InvalidSigningKeys::TooMany);
        }
        let twice = keys.iter().enumerate().find(|(at, key)| keys[..*at].iter().any(|before| before.kid == key.kid));
        if let Some((_, key)) = twice {
            return Err(InvalidSigningKeys::Twice { kid: key.kid.clone() });
        }
        Ok(Self(keys))
    }

    /// Reads what [`VerifyingKeys::to_jwks`] writes, wherever it was kept since. Keys of other types are passed over, as
    /// RFC 7517, section 5, has it.
    pub fn from_jwks(text: &str) -> Result<Self, InvalidJwks> {
        let Jwks { keys } = serde_json::from_str(text).map_err(|_| InvalidJwks::NoSet)?;
        let ours = keys.into_iter().enumerate().filter(|(_, jwk)| jwk.kty == "OKP" && jwk.crv == "Ed25519");
        let read = ours.map(|(at, Jwk { x, kid, .. })| {
            let public = URL_SAFE_NO_PAD.decode(x).ok().and_then(|public| public.try_into().ok());
            let key = public.map(|public| SigningKey::new(public, None));
            // Another name than its thumbprint is none that a token of ours has.
            key.filter(|key| *key.kid == *kid).ok_or(InvalidJwks::Key { number: at + 1 })
        });
        let read = read.collect::<Result<Vec<_>, _>>()?;
        if read.is_empty() { Err(InvalidJwks::NoKey) } else { Ok(Self::new(read)?) }
    }

    /// The key of that name.
    pub fn get(&self, kid: &str) -> Option<&SigningKey> {
        self.0.iter().find(|key| *key.kid == *kid)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The public halves of all of them, as a JWK set (RFC 7517, RFC 8037).
    pub fn to_jwks(&self) -> String {
        let jwk = |key: &SigningKey| {
            let x = URL_SAFE_NO_PAD.encode(key.public);
            json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": key.kid, "use": "sig", "alg": "EdDSA"})
        };
        json!({"keys": self.0.iter().map(jwk).collect::<Vec<_>>()}).to_string()
    }
}

/// A JWK set as anybody may have written it.
#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Jwk>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Jwk {
    kty: String,
    crv: String,
    x: String,
    kid: String,
}

/// The keys of a deployment; at least one can sign. All its servers have the same, as a buyer's return may be verified by
/// any of them.
#[derive(Debug)]
pub struct SigningKeys {
    keys: VerifyingKeys,
    /// Where the first private one stands.
    signing: usize,
}

impl SigningKeys {
    /// A set of these keys: the first private one signs, all verify.
    pub fn new(keys: Vec<SigningKey>) -> Result<Self, InvalidSigningKeys> {
        let keys = VerifyingKeys::new(keys)?;
        let signing = keys.0.iter().position(SigningKey::is_private).ok_or(InvalidSigningKeys::NoPrivate)?;
        Ok(Self { keys, signing })
    }

    /// The key that signs.
    pub fn signing(&self) -> &SigningKey {
        &self.keys.0[self.signing]
    }
}

/// All of them verify.
impl Deref for SigningKeys {
    type Target = VerifyingKeys;

    fn deref(&self) -> &VerifyingKeys {
        &self.keys
    }
}

/// Writes a private key in PKCS#8 PEM, as `openssl genpkey -algorithm ed25519` does. `seed` is 32 bytes of the system's
/// randomness.
pub fn to_pem(seed: &[u8; 32]) -> String {
    let der = [&PKCS8_HEAD[..], seed].concat();
    // 48 bytes make 64 characters: one line, as PEM has them.
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n")
}

/// Why a text holds no keys. What stands in it may be secret and is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSigningKey {
    /// No PEM at all.
    #[error("holds no key: write a private Ed25519 key in PKCS#8 PEM, as `waypost keygen signing` prints it")]
    Empty,
    /// Something else that has the form of PEM.
    #[error(
        "has, as its PEM section {number}, something that is not an Ed25519 key: write private keys in PKCS#8, as \
         `waypost keygen signing` prints them, and public ones as `openssl pkey -pubout` does"
    )]
    Section {
        /// Counted from 1.
        number: usize,
    },
    /// A section that has no meaning here.
    #[error(
        "has a PEM section that is neither a plain private key nor a public one, such as an encrypted key: write `-----BEGIN \
         PRIVATE KEY-----`, as `waypost keygen signing` prints it"
    )]
    Unknown,
}

/// Why keys do not make a set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSigningKeys {
    /// None can sign.
    #[error("hold public keys only: add the private key that signs, as `waypost keygen signing` prints it")]
    NoPrivate,
    /// More than can be in use.
    #[error("hold more than {SIGNING_KEYS} keys: remove those whose tokens have expired")]
    TooMany,
    /// One of them again.
    #[error("hold the key {kid} twice: remove one of them")]
    Twice {
        /// Its name.
        kid: Box<str>,
    },
}

/// Why a text is no JWK set of public keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJwks {
    /// Something else.
    #[error("is no JWK set: take it as it is from /.well-known/jwks.json of the page listener")]
    NoSet,
    /// None that a token could be of.
    #[error("holds no Ed25519 key: take it as it is from /.well-known/jwks.json of the page listener")]
    NoKey,
    /// One that is broken, or not Waypost's.
    #[error(
        "has, as its key {number}, one that is not as Waypost writes it: 32 bytes `x` in base64url, and `kid` the key's \
         thumbprint"
    )]
    Key {
        /// Counted from 1.
        number: usize,
    },
    /// Too many, or one of them again.
    #[error("has keys that {0}")]
    Keys(#[from] InvalidSigningKeys),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of RFC 8037, appendix A, as `openssl` writes it.
    const RFC_8037: [u8; 32] = [
        0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49,
        0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
    ];
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";

    fn read(pem: &str) -> Vec<SigningKey> {
        SigningKey::read_all(pem).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_key_has_the_thumbprint_and_the_signature_of_rfc_8037() {
        let key = read(&to_pem(&RFC_8037)).remove(0);
        assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        let signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = key.sign(signed).expect("a private key");
        assert_eq!(
            URL_SAFE_NO_PAD.encode(signature),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
        assert!(key.has_signed(signed, &signature));
        assert!(!key.has_signed(&signed.replace("eyJ", "eyK"), &signature));
    }

    #[test]
    fn the_public_half_verifies_and_does_not_sign() {
        let (private, public) = (read(&to_pem(&RFC_8037)).remove(0), read(PUBLIC).remove(0));
        assert_eq!((private.kid(), private.is_private()), (public.kid(), true));
        assert!(!public.is_private() && public.sign("x").is_none());
        assert!(public.has_signed("x", &private.sign("x").expect("a private key")));
    }

    #[test]
    fn keys_written_by_openssl_and_by_ring_are_read() {
        // RFC 8410, section 10.3, which OpenSSL writes alike.
        let openssl = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
        assert!(read(openssl)[0].is_private());
        // Version 2, with its public half.
        let written = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).expect("randomness");
        let body = base64::engine::general_purpose::STANDARD.encode(written);
        assert!(read(&format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"))[0].is_private());
        // With what `openssl pkey -text` writes around it.
        assert!(read(&format!("# the key of May\nED25519 Private-Key:\npriv:\n{openssl}\n"))[0].is_private());
    }

    #[test]
    fn the_first_private_key_signs_and_all_are_published() {
        let other = to_pem(&[7; 32]);
        let keys = SigningKeys::new(read(&format!("{PUBLIC}{other}{}", to_pem(&[8; 32])))).expect("a set");
        assert_eq!(keys.signing().kid(), read(&other)[0].kid());
        assert_eq!(keys.count(), 3);
        let jwks: serde_json::Value = serde_json::from_str(&keys.to_jwks()).expect("JSON");
        assert_eq!(
            jwks["keys"][0],
            json!({
                "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
                "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", "use": "sig", "alg": "EdDSA",
            })
        );
        assert!(!keys.to_jwks().contains("\"d\""), "nothing secret is published");
    }

    #[test]
    fn what_is_no_key_is_refused_with_its_place() {
        let rsa = "-----BEGIN RSA PRIVATE KEY-----\nMAA=\n-----END RSA PRIVATE KEY-----\n";
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
        // The id of X25519, which differs in one byte.
        let x25519 = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VuAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";
        for (pem, expected) in [
            ("", InvalidSigningKey::Empty),
            ("secret", InvalidSigningKey::Empty),
            (rsa, InvalidSigningKey::Section { number: 1 }),
            (&format!("{PUBLIC}{x25519}"), InvalidSigningKey::Section { number: 2 }),
            (&format!("{PUBLIC}{encrypted}"), InvalidSigningKey::Unknown),
            ("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQ", InvalidSigningKey::Section { number: 1 }),
        ] {
            assert_eq!(SigningKey::read_all(pem).err(), Some(expected), "{pem}");
        }
    }

    #[test]
    fn a_set_needs_a_private_key_and_no_key_twice() {
        let set = |pem: &str| SigningKeys::new(read(pem)).err();
        assert_eq!(set(PUBLIC), Some(InvalidSigningKeys::NoPrivate));
        let kid = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k".into();
        assert_eq!(set(&format!("{}{PUBLIC}", to_pem(&RFC_8037))), Some(InvalidSigningKeys::Twice { kid }));
        let many: String = (0..9).map(|seed| to_pem(&[seed; 32])).collect();
        assert_eq!(set(&many), Some(InvalidSigningKeys::TooMany));
    }

    #[test]
    fn published_keys_verify_wherever_they_were_kept() {
        let keys = SigningKeys::new(read(&to_pem(&RFC_8037))).unwrap();
        let jwks = keys.to_jwks();
        let read = VerifyingKeys::from_jwks(&jwks).unwrap();
        assert_eq!((read.count(), read.to_jwks()), (1, jwks.clone()));
        let key = read.get(keys.signing().kid()).unwrap();
        assert!(!key.is_private() && key.has_signed("a", &keys.signing().sign("a").unwrap()));
        // Other systems' keys may stand beside ours.
        let beside = jwks.replace(r#"{"keys":["#, r#"{"keys":[{"kty":"RSA","n":"AQ","e":"AQAB"},"#);
        assert_eq!(VerifyingKeys::from_jwks(&beside).unwrap().count(), 1);
        let key = &jwks[r#"{"keys":["#.len()..jwks.len() - 2];
        let kid = keys.signing().kid();
        for (text, error) in [
            (String::new(), InvalidJwks::NoSet),
            ("{}".into(), InvalidJwks::NoSet),
            (key.into(), InvalidJwks::NoSet),
            (r#"{"keys":[]}"#.into(), InvalidJwks::NoKey),
            (jwks.replace("OKP", "RSA"), InvalidJwks::NoKey),
            (jwks.replace(kid, "another-name"), InvalidJwks::Key { number: 1 }),
            (jwks.replace(r#""x":""#, r#""x":"AA"#), InvalidJwks::Key { number: 1 }),
            (format!(r#"{{"keys":[{key},{key}]}}"#), InvalidJwks::Keys(InvalidSigningKeys::Twice { kid: kid.into() })),
            (
                format!(r#"{{"keys":[{}]}}"#, [key; SIGNING_KEYS + 1].join(",")),
                InvalidJwks::Keys(InvalidSigningKeys::TooMany),
            ),
        ] {
            assert_eq!(VerifyingKeys::from_jwks(&text).err(), Some(error), "{text}");
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let shown = format!("{:?}", SigningKeys::new(read(&to_pem(&RFC_8037))).expect("a set"));
        assert!(shown.contains("kPrK_") && !shown.contains("9d61") && !shown.contains("157"), "{shown}");
    }
}
