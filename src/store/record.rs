//! How sessions and merchants are written down: JSON, the same in every durable store and in exports.
//!
//! What can be derived is not written: return URLs are compiled again from the body. Fields are only ever added, with a
//! default, so that an older record can always be read.

use super::StoreError;
use crate::model::{
    Ending, Idempotency, IdempotencyKey, Merchant, MerchantId, Notice, Outcome, Precedence, ReturnUrls, Session,
    SessionId, Timestamp, limits,
};
use crate::redirect::{InvalidTemplate, Mode, OriginPattern, Template};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};
use std::{borrow::Cow, collections::BTreeMap, time::Duration};

/// A session as it is written.
#[derive(Debug, Serialize, Deserialize)]
struct SessionRecord<'s> {
    session_id: String,
    merchant_id: MerchantId,
    /// The create request's body, as a JSON object within this one.
    body: Cow<'s, RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency: Option<Idempotency>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    notices: Box<[Notice]>,
    create_time: Timestamp,
    update_time: Timestamp,
    expire_time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    ending: Option<Ending>,
    version: u64,
}

/// A merchant as it is written.
#[derive(Debug, Serialize, Deserialize)]
struct MerchantRecord<'m> {
    merchant_id: Cow<'m, MerchantId>,
    name: Cow<'m, str>,
    return_urls: BTreeMap<Cow<'m, str>, Cow<'m, str>>,
    precedence: Precedence,
    auto_return_delay_ms: u64,
    allowed_origins: Vec<String>,
    app_schemes: Vec<Cow<'m, str>>,
    #[serde(default)]
    sign_returns: bool,
    update_time: Option<Timestamp>,
    version: u64,
}

/// Writes a session down.
pub fn write_session(session: &Session) -> String {
    let body = RawValue::from_string(session.body().to_text()).expect("a body is JSON");
    let record = SessionRecord {
        session_id: session.id.to_string(),
        merchant_id: session.merchant_id.clone(),
        body: Cow::Owned(body),
        idempotency: session.key().zip(session.fingerprint()).map(|(key, fingerprint)| Idempotency {
            key: IdempotencyKey::try_from(Box::from(key)).expect("the text of a key is a key"),
            fingerprint,
        }),
        notices: session.notices().into(),
        create_time: session.create_time,
        update_time: session.update_time,
        expire_time: session.expire_time,
        ending: session.ending.clone(),
        version: session.version,
    };
    serde_json::to_string(&record).expect("a record has only string keys")
}

/// Reads a session back.
pub fn read_session(text: &[u8]) -> Result<Session, StoreError> {
    let record: SessionRecord<'_> = serde_json::from_slice(text).map_err(no_record)?;
    let id: SessionId = record.session_id.parse().map_err(unreadable)?;
    let body: Map<String, Value> = serde_json::from_str(record.body.get()).map_err(no_record)?;
    let SessionRecord { merchant_id, idempotency, create_time, expire_time, .. } = record;
    let created = Session::open(id, merchant_id, &body, idempotency.as_ref(), create_time, expire_time);
    let mut session = created.map_err(no_template)?.with_notices(&record.notices);
    session.update_time = record.update_time;
    session.ending = record.ending;
    session.version = record.version;
    Ok(session)
}

/// What of a session's record is not its own: whose key it has.
#[derive(Debug, Deserialize)]
pub(crate) struct KeyOwner {
    /// The merchant that it belongs to.
    pub merchant_id: MerchantId,
    /// The key.
    pub idempotency: Option<Idempotency>,
}

/// Reads only whose key a session has, for a fraction of the cost of reading it.
pub(crate) fn read_key_owner(text: &[u8]) -> Result<KeyOwner, StoreError> {
    serde_json::from_slice(text).map_err(no_record)
}

/// Writes a merchant down.
pub fn write_merchant(merchant: &Merchant) -> String {
    let record = MerchantRecord {
        merchant_id: Cow::Borrowed(&merchant.id),
        name: Cow::Borrowed(&merchant.name),
        return_urls: merchant
            .return_urls
            .iter()
            .map(|(slot, url)| (slot.as_str().into(), url.as_str().into()))
            .collect(),
        precedence: merchant.precedence,
        auto_return_delay_ms: u64::try_from(merchant.auto_return_delay.as_millis()).unwrap_or(u64::MAX),
        allowed_origins: merchant.allowed_origins.iter().map(ToString::to_string).collect(),
        app_schemes: merchant.app_schemes.iter().map(|scheme| scheme.as_str().into()).collect(),
        sign_returns: merchant.sign_returns,
        update_time: merchant.update_time,
        version: merchant.version,
    };
    serde_json::to_string(&record).expect("a record has only string keys")
}

/// Reads a merchant back.
pub fn read_merchant(text: &[u8]) -> Result<Merchant, StoreError> {
    let record: MerchantRecord<'_> = serde_json::from_slice(text).map_err(no_record)?;
    let mut return_urls = ReturnUrls::default();
    for slot in Outcome::ALL {
        let url = record.return_urls.get(slot.as_str());
        return_urls.set(slot, url.map(|url| Template::compile(url)).transpose().map_err(no_template)?);
    }
    // Whether this server's mode still accepts a saved origin is the policy's question at each resolve.
    let origin = |text: &String| OriginPattern::parse(text, Mode::Sandbox).map_err(unreadable);
    Ok(Merchant {
        id: record.merchant_id.into_owned(),
        name: record.name.into(),
        return_urls,
        precedence: record.precedence,
        auto_return_delay: Duration::from_millis(record.auto_return_delay_ms).min(limits::AUTO_RETURN_DELAY_MAX),
        allowed_origins: record.allowed_origins.iter().map(origin).collect::<Result<_, _>>()?,
        // One that this version does not accept any more is not named any more; everything else goes on.
        app_schemes: record.app_schemes.iter().filter_map(|scheme| scheme.parse().ok()).collect(),
        sign_returns: record.sign_returns,
        update_time: record.update_time,
        version: record.version,
    })
}

fn unreadable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(error.to_string())
}

// These texts are logged, so they repeat nothing that stands in a record: no customer's data, and no URL.

fn no_record(error: serde_json::Error) -> StoreError {
    let said = error.to_string();
    // The fields' names are ours.
    let missing = said.starts_with("missing field ").then_some(said);
    let place = || format!("no record of this version, from line {} column {} on", error.line(), error.column());
    StoreError::Corrupt(missing.unwrap_or_else(place))
}

fn no_template(_: InvalidTemplate) -> StoreError {
    StoreError::Corrupt("a return URL that this version cannot compile".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_not_repeated() {
        let body = serde_json::json!({"customer_email": "ana", "redirect_url": "https://shop.example.com/ana"});
        let Value::Object(body) = body else { unreachable!("an object was written") };
        let id = "invoice_01986132-e354-7676-9b4a-fc8dd5c5253e".parse().expect("an id");
        let (merchant, now) = ("m".parse().expect("a merchant id"), Timestamp::from_micros(0));
        let session = Session::open(id, merchant, &body, None, now, now).expect("a session");
        let written = write_session(&session);
        for (from, to, expected) in [
            ("\"version\":1", "\"version\":\"ana\"", "no record of this version"),
            ("\"create_time\":0,", "", "missing field `create_time`"),
            ("\"body\":{", "\"body\":\"ana\",\"x\":{", "no record of this version"),
            ("example.com/ana", "example.com/{{ana", "a return URL that this version cannot compile"),
            ("example.com/ana", "ex\u{e4}mple.com/ana", "a return URL that this version cannot compile"),
        ] {
            let wrong = written.replace(from, to);
            assert_ne!(wrong, written, "{from}");
            let error = read_session(wrong.as_bytes()).expect_err("unreadable").to_string();
            assert!(error.contains(expected) && !error.contains("ana") && !error.contains("mple"), "{error}");
        }
    }

    #[test]
    fn a_merchant_written_before_returns_were_signed_reads_as_one_who_does_not_sign() {
        let merchant = Merchant::default_for("m".parse().expect("a merchant id"));
        let written = write_merchant(&Merchant { sign_returns: true, ..merchant.clone() });
        assert!(read_merchant(written.as_bytes()).expect("a record").sign_returns);
        let older = written.replace(r#""sign_returns":true,"#, "");
        assert_ne!(older, written);
        assert_eq!(read_merchant(older.as_bytes()).expect("a record"), merchant);
    }
}
