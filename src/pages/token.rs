//! Who may see a page: whoever has its token, which is the session's id under a MAC.
//!
//! The id alone is no secret: it stands in return URLs and logs. Without a key of the deployment no token can be made
//! from it, and a token for one purpose is none for another. A token is 44 URL-safe characters.

use super::limits::PAGE_KEYS;
use crate::model::{Kind, SessionId};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use uuid::Uuid;

/// Bytes of a key: as many as the hash has.
const KEY_BYTES: usize = 32;
/// The kind and the uuid.
const ID_BYTES: usize = 1 + 16;
/// Half of the hash, which nobody guesses: 2^128 tries, each of them a request.
const MAC_BYTES: usize = 16;

/// What a token opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The buyer's page.
    Return,
    /// The sandbox's checkout.
    Checkout,
}

/// The keys of a deployment. Its servers share them, as a buyer's link may reach any of them.
#[derive(Clone)]
pub struct PageKeys {
    /// The first makes tokens; all open them, so that keys change without breaking links that are out.
    keys: Vec<Hmac<Sha256>>,
}

impl PageKeys {
    /// Reads a key file: one key a line, 32 bytes in base64 or hexadecimal digits, the newest first. Empty lines and
    /// lines that begin with `#` are left out.
    pub fn read(text: &str) -> Result<Self, InvalidPageKeys> {
        let lines = text.lines().map(str::trim).enumerate();
        let keys = lines
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
            .map(|(at, line)| key(line).ok_or(InvalidPageKeys::Line { number: at + 1 }))
            .collect::<Result<Vec<_>, _>>()?;
        match keys.len() {
            0 => Err(InvalidPageKeys::Empty),
            1..=PAGE_KEYS => Ok(Self { keys }),
            _ => Err(InvalidPageKeys::TooMany),
        }
    }

    /// A key that nobody else has and that ends with this value. `None` when the system has no randomness to give.
    pub fn ephemeral() -> Option<Self> {
        Some(Self { keys: vec![keyed(&random()?)] })
    }

    /// A key that nobody has yet, as a line of a key file. `None` when the system has no randomness to give.
    pub fn new_line() -> Option<String> {
        random().map(|bytes| STANDARD.encode(bytes))
    }

    /// The token that opens a page of that session.
    pub fn token(&self, purpose: Purpose, id: SessionId) -> String {
        let id = written(id);
        let mac = self.keys[0].clone().chain_update(context(purpose)).chain_update(id).finalize().into_bytes();
        URL_SAFE_NO_PAD.encode([&id[..], &mac[..MAC_BYTES]].concat())
    }

    /// The session whose page a token opens; `None` for every text that none of the keys made for that purpose.
    pub fn open(&self, purpose: Purpose, token: &str) -> Option<SessionId> {
        let mut bytes = [0; ID_BYTES + MAC_BYTES];
        let length = URL_SAFE_NO_PAD.decode_slice(token, &mut bytes).ok()?;
        let (id, mac) = bytes.get(..length)?.split_at_checked(ID_BYTES)?;
        // In constant time, so that no answer is sooner for a token that is nearer.
        let made_here = |key: &Hmac<Sha256>| {
            key.clone().chain_update(context(purpose)).chain_update(id).verify_truncated_left(mac).is_ok()
        };
        if mac.len() == MAC_BYTES && self.keys.iter().any(made_here) { read(id) } else { None }
    }
}

/// What the MAC is over besides the id. Ends with a byte that no purpose has within.
const fn context(purpose: Purpose) -> &'static [u8] {
    match purpose {
        Purpose::Return => b"waypost page token 1: return\0",
        Purpose::Checkout => b"waypost page token 1: checkout\0",
    }
}

fn written(id: SessionId) -> [u8; ID_BYTES] {
    let kind = match id.kind() {
        Kind::Checkout => 0,
        Kind::Order => 1,
        Kind::Payment => 2,
    };
    let mut bytes = [kind; ID_BYTES];
    bytes[1..].copy_from_slice(id.uuid().as_bytes());
    bytes
}

fn read(bytes: &[u8]) -> Option<SessionId> {
    let (kind, uuid) = bytes.split_first()?;
    let kind = [Kind::Checkout, Kind::Order, Kind::Payment].into_iter().nth(usize::from(*kind))?;
    Some(SessionId::new(kind, Uuid::from_slice(uuid).ok()?))
}

fn random() -> Option<[u8; KEY_BYTES]> {
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes)
}

fn key(text: &str) -> Option<Hmac<Sha256>> {
    let hexadecimal = |text: &str| -> Option<Vec<u8>> {
        let digits = text.as_bytes().chunks_exact(2).map(|pair| str::from_utf8(pair).ok());
        digits.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
    };
    let bytes = if text.len() == 2 * KEY_BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        hexadecimal(text)?
    } else {
        STANDARD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).ok()?
    };
    (bytes.len() == KEY_BYTES).then(|| keyed(&bytes))
}

fn keyed(bytes: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(bytes).expect("HMAC takes keys of every length")
}

/// Why a text is no page key file. What stands in it is secret and not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPageKeys {
    /// No key.
    #[error("holds no key: write 32 random bytes in base64, as `waypost keygen page` prints them")]
    Empty,
    /// More than can be in use.
    #[error("holds more than {PAGE_KEYS} keys: remove those whose links are not out any more, at the end of the file")]
    TooMany,
    /// Not a key.
    #[error(
        "has no key in line {number}: write 32 bytes in base64 or hexadecimal digits, as `waypost keygen page` prints them"
    )]
    Line {
        /// Counted from 1.
        number: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const OTHER: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

    fn keys(text: &str) -> PageKeys {
        PageKeys::read(text).unwrap_or_else(|error| panic!("{error}"))
    }

    fn ids() -> impl Iterator<Item = SessionId> {
        Kind::ALL
            .into_iter()
            .map(|kind| SessionId::new(kind, Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001)))
    }

    #[test]
    fn a_token_opens_its_session_for_its_purpose_under_its_key() {
        for id in ids() {
            for (purpose, other) in [(Purpose::Return, Purpose::Checkout), (Purpose::Checkout, Purpose::Return)] {
                let token = keys(HEX).token(purpose, id);
                assert_eq!(token.len(), 44);
                assert_eq!(keys(BASE64).open(purpose, &token), Some(id), "the same key in the other spelling");
                assert_eq!(keys(HEX).open(other, &token), None);
                assert_eq!(keys(OTHER).open(purpose, &token), None);
            }
        }
    }

    #[test]
    fn a_token_that_is_altered_in_any_place_opens_nothing() {
        let keys = keys(HEX);
        for id in ids() {
            let token = keys.token(Purpose::Return, id);
            for at in 0..token.len() {
                for other in ['A', 'B', '_', '-', '=', '+', ' ', '%'] {
                    let mut altered: Vec<char> = token.chars().collect();
                    if altered[at] != other {
                        altered[at] = other;
                        assert_eq!(keys.open(Purpose::Return, &altered.into_iter().collect::<String>()), None);
                    }
                }
                assert_eq!(keys.open(Purpose::Return, &token[..at]), None);
            }
            assert_eq!(keys.open(Purpose::Return, &format!("{token}A")), None);
            assert_eq!(keys.open(Purpose::Return, &format!("{token}=")), None);
        }
    }

    #[test]
    fn a_hundred_thousand_guesses_made_from_an_id_open_nothing() {
        let keys = keys(HEX);
        let id = ids().next().expect("an id");
        let mut opened = 0;
        for guess in 0u64..100_000 {
            // What can be made of the id without the key: MACs under keys that are easy to think of.
            let mut key = [0; KEY_BYTES];
            key[..8].copy_from_slice(&guess.to_le_bytes());
            let token = PageKeys { keys: vec![keyed(&key)] }.token(Purpose::Return, id);
            opened += usize::from(keys.open(Purpose::Return, &token).is_some());
        }
        assert_eq!(opened, 0);
    }

    #[test]
    fn a_new_key_makes_tokens_while_the_old_one_still_opens_them() {
        let id = ids().next().expect("an id");
        let rotated = keys(&format!("# since May\n{OTHER}\n\n  {HEX}  \n"));
        assert_eq!(rotated.open(Purpose::Return, &keys(HEX).token(Purpose::Return, id)), Some(id));
        assert_eq!(keys(OTHER).open(Purpose::Return, &rotated.token(Purpose::Return, id)), Some(id));
    }

    #[test]
    fn a_key_is_read_in_each_of_its_spellings() {
        let id = ids().next().expect("an id");
        let token = keys(&"00".repeat(32)).token(Purpose::Return, id);
        // The last one consists of hexadecimal digits only, and is base64 all the same: its length says so.
        for spelling in ["A".repeat(43) + "=", "A".repeat(43)] {
            assert_eq!(keys(&spelling).open(Purpose::Return, &token), Some(id), "{spelling}");
        }
        let upper = HEX.to_uppercase();
        assert_eq!(keys(&upper).token(Purpose::Return, id), keys(HEX).token(Purpose::Return, id));
    }

    #[test]
    fn a_new_line_is_a_key_that_nobody_has() {
        let [one, other] = [(); 2].map(|()| PageKeys::new_line().expect("randomness"));
        let id = ids().next().expect("an id");
        assert_ne!(keys(&one).token(Purpose::Return, id), keys(&other).token(Purpose::Return, id));
    }

    #[test]
    fn a_key_file_without_good_keys_is_refused() {
        for (text, expected) in [
            ("", InvalidPageKeys::Empty),
            ("# none\n", InvalidPageKeys::Empty),
            ("secret", InvalidPageKeys::Line { number: 1 }),
            ("AAECAw==", InvalidPageKeys::Line { number: 1 }),
            (&format!("{HEX}\n{HEX}00"), InvalidPageKeys::Line { number: 2 }),
            (&[HEX; 9].join("\n"), InvalidPageKeys::TooMany),
        ] {
            assert_eq!(PageKeys::read(text).err(), Some(expected), "{text}");
        }
    }

    #[test]
    fn ephemeral_keys_differ() {
        let [one, other] = [(); 2].map(|()| PageKeys::ephemeral().expect("randomness"));
        let id = ids().next().expect("an id");
        assert_ne!(one.token(Purpose::Return, id), other.token(Purpose::Return, id));
    }
}
