//! What a create call said, in one piece of memory.
//!
//! There are millions of sessions and a resolve meets one at random: each separate piece would cost it a wait for
//! memory. What a resolve reads stands in front. What it seldom reads, the body and the notices, is compressed as soon as
//! the notices are known; much of it stands in front already, so that it is compressed as the continuation of that.

use super::{Fingerprint, Idempotency, Notice, Outcome, ReturnUrls};
use crate::redirect::{Template, TemplateRef};
use lz4_flex::block::{compress_with_dict, decompress_with_dict};
use serde_json::{Map, Value};
use std::{fmt, ops::Range};

/// What a create call said: its body, what was made of it, its key, and the notices that it was answered.
///
/// The bytes: for each slot the number of its template, counted from 1, or 0; a set of flags; the ends of the parts that
/// follow, as three bytes each: the reference, the key behind its fingerprint, as many templates as there are; and these
/// parts. The rest is the notices and the body as JSON, a line each; or their length and they compressed.
///
/// A copy of it is made when its session ends. To share it would cost each session 16 bytes, which are a lot for as many.
#[derive(Clone)]
pub struct Content(Box<[u8]>);

const SLOTS: usize = Outcome::ALL.len();
const FLAGS: usize = SLOTS;
const ENDS_FROM: usize = SLOTS + 1;

const HAS_REFERENCE: u8 = 1;
const COMPRESSED: u8 = 2;
const END_BYTES: usize = 3;

/// Parts before the templates.
const REFERENCE: usize = 0;
const KEY: usize = 1;
const FINGERPRINT_BYTES: usize = size_of::<Fingerprint>();
const TEMPLATES_FROM: usize = 2;

impl Content {
    pub(super) fn pack(
        return_urls: &ReturnUrls<Template>,
        external_reference: Option<&str>,
        idempotency: Option<&Idempotency>,
        body: &str,
    ) -> Self {
        let mut templates: Vec<&[u8]> = Vec::new();
        let mut packed = vec![0; ENDS_FROM];
        for (slot, template) in return_urls.iter() {
            // A payment's URL fills every slot, and is kept once.
            let known = templates.iter().position(|known| *known == template.as_bytes());
            let number = known.unwrap_or_else(|| {
                templates.push(template.as_bytes());
                templates.len() - 1
            });
            packed[slot as usize] = number as u8 + 1;
        }
        packed[FLAGS] = if external_reference.is_some() { HAS_REFERENCE } else { 0 };
        let key = idempotency.map(|sent| [&sent.fingerprint.0, sent.key.as_str().as_bytes()].concat());
        let parts = [external_reference.unwrap_or_default().as_bytes(), &key.unwrap_or_default()];
        let parts = || parts.iter().chain(&templates);
        let mut end = ENDS_FROM + parts().count() * END_BYTES;
        for part in parts() {
            end += part.len();
            packed.extend(offset(end));
        }
        for part in parts() {
            packed.extend_from_slice(part);
        }
        packed.extend_from_slice(b"[]\n");
        packed.extend_from_slice(body.as_bytes());
        Self(packed.into())
    }

    /// The same, with what its caller was told, and as small as it is kept.
    pub(super) fn with_notices(&self, notices: &[Notice]) -> Self {
        let front = &self.0[..self.parts_end()];
        let notices = serde_json::to_string(notices).expect("notices have a JSON text");
        let lines = format!("{notices}\n{}", self.body().to_text());
        let compressed = compress_with_dict(lines.as_bytes(), &dictionary(front));
        let mut packed = [front, &offset(lines.len()), &compressed].concat();
        packed[FLAGS] |= COMPRESSED;
        Self(packed.into())
    }

    /// The return URL of that slot, with all the values bound that were known at create.
    pub(super) fn return_url(&self, slot: Outcome) -> Option<TemplateRef<'_>> {
        let number = usize::from(self.0[slot as usize]).checked_sub(1)?;
        // No template is the first of the parts.
        let number = TEMPLATES_FROM + number;
        Some(TemplateRef::of_bytes(&self.0[self.end(number - 1)..self.end(number)]))
    }

    pub(super) fn external_reference(&self) -> Option<&str> {
        (self.0[FLAGS] & HAS_REFERENCE != 0).then(|| text(&self.0[self.part(REFERENCE)]))
    }

    pub(super) fn key(&self) -> Option<&str> {
        self.0[self.part(KEY)].get(FINGERPRINT_BYTES..).map(text)
    }

    pub(super) fn fingerprint(&self) -> Option<Fingerprint> {
        self.0[self.part(KEY)].first_chunk().copied().map(Fingerprint)
    }

    pub(super) fn body(&self) -> BodyRef<'_> {
        BodyRef(self)
    }

    /// The notices and the body.
    fn lines(&self) -> (String, String) {
        let (front, rest) = self.0.split_at(self.parts_end());
        let text = || {
            if front[FLAGS] & COMPRESSED == 0 {
                return String::from_utf8(rest.to_vec()).ok();
            }
            let (length, compressed) = rest.split_first_chunk()?;
            String::from_utf8(decompress_with_dict(compressed, read_offset(*length), &dictionary(front)).ok()?).ok()
        };
        let mut notices = text().expect("a body is kept as it was written");
        // JSON writes line ends within texts as `\n`.
        let line = notices.find('\n').expect("two lines were written");
        let body = notices.split_off(line + 1);
        notices.truncate(line);
        (notices, body)
    }

    pub(super) fn notices(&self) -> Vec<Notice> {
        let (notices, _) = self.lines();
        serde_json::from_str(&notices).expect("notices are kept as they were written")
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.len()
    }

    fn part(&self, number: usize) -> Range<usize> {
        let from = if number == 0 { ENDS_FROM + self.parts() * END_BYTES } else { self.end(number - 1) };
        from..self.end(number)
    }

    fn parts(&self) -> usize {
        let templates = self.0[..SLOTS].iter().max().copied().unwrap_or_default();
        TEMPLATES_FROM + usize::from(templates)
    }

    fn parts_end(&self) -> usize {
        self.end(self.parts() - 1)
    }

    fn end(&self, number: usize) -> usize {
        let at = ENDS_FROM + number * END_BYTES;
        read_offset(*self.0[at..].first_chunk().expect("the ends were written"))
    }
}

/// Whether the same was said, kept small or not.
impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        let front = |content: &Self| {
            let mut front = content.0[..content.parts_end()].to_vec();
            front[FLAGS] &= !COMPRESSED;
            front
        };
        self.0 == other.0 || (front(self) == front(other) && self.lines() == other.lines())
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content")
            .field("return_urls", &Outcome::ALL.map(|slot| self.return_url(slot)))
            .field("key", &self.key())
            .field("fingerprint", &self.fingerprint())
            .field("body", &self.body().to_text())
            .field("notices", &self.notices())
            .finish()
    }
}

/// A create request's body, by the proto names of its fields, `metadata` included: what placeholders name, and the one
/// durable form of the request.
#[derive(Clone, Copy)]
pub struct BodyRef<'c>(&'c Content);

impl BodyRef<'_> {
    /// Its fields.
    pub fn to_fields(self) -> Map<String, Value> {
        serde_json::from_str(&self.to_text()).expect("a body is kept as it was written")
    }

    /// Its JSON text, an object.
    pub fn to_text(self) -> String {
        self.0.lines().1
    }
}

/// What texts behind that front are likely to have in common with all others, and with it. Its flags differ between
/// compressing and reading, and are left out.
fn dictionary(front: &[u8]) -> Vec<u8> {
    [DICTIONARY, &front[ENDS_FROM..]].concat()
}

fn offset(bytes: usize) -> [u8; END_BYTES] {
    let [low, middle, high, beyond, ..] = bytes.to_le_bytes();
    assert!(beyond == 0 && bytes >> 32 == 0, "a request is shorter than 16 MiB");
    [low, middle, high]
}

const fn read_offset([low, middle, high]: [u8; END_BYTES]) -> usize {
    u32::from_le_bytes([low, middle, high, 0]) as usize
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("texts are kept as they were written")
}

/// What bodies and notices have in common, the most frequent at the end.
const DICTIONARY: &[u8] = br#"{"code":"overridden_by_settings","field":"merchant.return_urls.success","description":"is not used for the outcome : the merchant's settings have a URL for it and come first; remove that one, or set the merchant's precedence to PRECEDENCE_REQUEST_FIRST"}{"code":"personal_data","description":"is filled with a value that looks personal by {{customer.email}}: URLs end up in logs and histories; use an id instead"}{"code":"unknown_placeholder","description":"has {{metadata.}}, which names nothing that this session has: it stays in the URL as it is written"}{"code":"no_url","field":"redirect_urls.cancel","description":"is empty, here and in the merchant's settings: the hosted page serves the outcome cancel"}{"code":"no_url","field":"checkout_pro.back_urls.failure","description":"is empty, here and in the merchant's settings: the hosted page serves the outcome pending"}[]
{"customer_email":"@gmail.com","items":[{"currency":"USD","price":"","type":"PAYMENT_INTENT"}],"redirect_url":"https://?id={{id}}&payment_id={{payment_id}}&status={{status}}"}[]
{"checkout_pro":{"auto_return":"approved","back_urls":{"failure":"https://","pending":"https://","success":"https://"}},"external_reference":"","payer":{"email":"@gmail.com"},"total_amount":"","transactions":{"payments":[{"amount":"100.00"}]},"type":"online"}[]
{"customer":{"email":"@example.com","first_name":"","last_name":"","phone_number":"+1"},"metadata":{"order_id":"","order":""},"redirect_urls":{"cancel":"https://www.example.com/checkout/cancel","failure":"https://www.example.com/checkout/failure?session={CHECKOUT_SESSION_ID}&error={ERROR_CODE}","success":"https://www.example.com/checkout/success?session_id={CHECKOUT_SESSION_ID}&order={{metadata.order_id}}{{metadata.order}}"},"shopping_cart":{"line_items":[{"name":"","note":"","price":1000,"unit_qty":1},{"name":"","price":999,"unit_qty":2},{"name":"","price":,"unit_qty":1}]}}"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{IdempotencyKey, NoticeCode};

    fn template(text: &str) -> Option<Template> {
        Template::compile(text).ok()
    }

    #[test]
    fn what_was_packed_comes_back() {
        let mut urls = ReturnUrls::default();
        for keyed in [false, true] {
            for reference in [None, Some(""), Some("A-17")] {
                for slot in Outcome::ALL {
                    let key = IdempotencyKey::try_from(Box::from("a key")).unwrap();
                    let idempotency = keyed.then_some(Idempotency { key, fingerprint: Fingerprint([7; 32]) });
                    let notice = Notice { code: NoticeCode::NoUrl, field: "f".into(), description: "a\nb".into() };
                    let notices = vec![notice; usize::from(keyed)];
                    let body = r#"{"a":"line\nend"}"#;
                    let plain = Content::pack(&urls, reference, idempotency.as_ref(), body);
                    let content = plain.with_notices(&notices);
                    assert_eq!(content.with_notices(&[]), plain);
                    assert_eq!(content == plain, notices.is_empty());
                    assert!(plain.notices().is_empty());
                    assert_eq!(content.notices(), notices);
                    for content in [&plain, &content] {
                        assert_eq!(content.external_reference(), reference);
                        assert_eq!(content.key(), keyed.then_some("a key"));
                        assert_eq!(content.fingerprint(), keyed.then_some(Fingerprint([7; 32])));
                        assert_eq!(content.body().to_text(), body);
                        for slot in Outcome::ALL {
                            assert_eq!(content.return_url(slot), urls.get(slot).map(Template::view));
                        }
                    }
                    let text = if slot == Outcome::Cancel { "https://a.example.com/{{id}}" } else { slot.as_str() };
                    urls.set(slot, template(text));
                }
            }
        }
    }

    #[test]
    fn a_url_for_every_slot_is_kept_once() {
        let mut urls = ReturnUrls::default();
        urls.set(Outcome::Success, template("https://a.example.com/{{payment_id}}"));
        let one = Content::pack(&urls, None, None, "{}").0.len();
        for slot in Outcome::ALL {
            urls.set(slot, template("https://a.example.com/{{payment_id}}"));
        }
        assert_eq!(Content::pack(&urls, None, None, "{}").0.len(), one);
    }
}
