//! From the wire to types that cannot be wrong. Every field is looked at, so that all violations come at once; a
//! violation's field is the proto path within the request.

use crate::{
    app::{Draft, Explain, MerchantChange, PreviewSource, ResolveQuery, Returned, Vouching},
    model::{
        Amount, Currency, Ending, Fingerprint, Idempotency, IdempotencyKey, Kind, MerchantId, Outcome, Precedence,
        SessionId, Violations, limits,
    },
    proto::v1,
    redirect::{AutoReturn, Mode, OriginPattern},
};
use compact_str::CompactString;
use prost::Message;
use prost_types::{FieldMask, ListValue, Struct, Value as ProtoValue, value};
use serde_json::{Map, Number, Value};
use sha2::{Digest, Sha256};
use std::{fmt::Display, time::Duration};
use tokio::time::Instant;

/// Clover's body.
pub fn checkout(request: v1::CreateCheckoutRequest) -> (Draft, Violations) {
    let mut violations = Violations::default();
    let fingerprint = fingerprint(&v1::CreateCheckoutRequest { idempotency_key: String::new(), ..request.clone() });
    let mut body = Map::new();
    match request.customer {
        None => violations.add("customer", "is missing: write who pays, at least `{}`"),
        Some(customer) => {
            let mut fields = Map::new();
            for (name, value, bytes) in [
                ("first_name", customer.first_name, limits::NAME_BYTES),
                ("last_name", customer.last_name, limits::NAME_BYTES),
                ("email", customer.email, limits::EMAIL_BYTES),
                ("phone_number", customer.phone_number, limits::PHONE_BYTES),
            ] {
                put(&mut fields, name, text(format!("customer.{name}"), value, bytes, &mut violations));
            }
            body.insert("customer".into(), fields.into());
        }
    }
    if let Some(urls) = request.redirect_urls {
        body.insert("redirect_urls".into(), return_urls(urls));
    }
    let lines = request.shopping_cart.map(|cart| cart.line_items).unwrap_or_default();
    count("shopping_cart.line_items", lines.len(), 1, limits::ITEMS, &mut violations);
    let lines: Vec<Value> =
        lines.into_iter().enumerate().map(|(at, line)| line_item(at, line, &mut violations)).collect();
    body.insert("shopping_cart".into(), Value::Object(Map::from_iter([("line_items".into(), lines.into())])));
    let own = OwnFields {
        merchant_id: request.merchant_id,
        idempotency_key: request.idempotency_key,
        ttl: request.ttl,
        metadata: request.metadata,
    };
    (own.into_draft(Kind::Checkout, fingerprint, body, &mut violations), violations)
}

fn line_item(at: usize, line: v1::LineItem, violations: &mut Violations) -> Value {
    let field = |name: &str| format!("shopping_cart.line_items[{at}].{name}");
    let mut fields = Map::new();
    put(&mut fields, "name", text(field("name"), line.name, limits::ITEM_NAME_BYTES, violations));
    put(&mut fields, "note", text(field("note"), line.note, limits::NOTE_BYTES, violations));
    if line.price < 0 {
        violations.add(field("price"), "is negative: write the price in minor units (cents), 0 or more");
    }
    if line.unit_qty < 1 {
        violations.add(field("unit_qty"), "is less than 1: write how many, 1 or more");
    }
    fields.insert("price".into(), line.price.into());
    fields.insert("unit_qty".into(), line.unit_qty.into());
    fields.into()
}

/// Mercado Pago's body.
pub fn order(request: v1::CreateOrderRequest) -> (Draft, Violations) {
    let mut violations = Violations::default();
    let fingerprint = fingerprint(&v1::CreateOrderRequest { idempotency_key: String::new(), ..request.clone() });
    let mut body = Map::new();
    if request.r#type != "online" {
        violations.add("type", "is not a type of order that is supported: write `online`");
    }
    body.insert("type".into(), request.r#type.into());
    let total = violations.take("total_amount", Amount::parse(&request.total_amount, ORDER_PLACES));
    body.insert("total_amount".into(), request.total_amount.into());
    let reference = request.external_reference;
    let reference = plain_text("external_reference", reference, limits::EXTERNAL_REFERENCE_BYTES, &mut violations);
    put(&mut body, "external_reference", reference.map(Into::into));
    if let Some(payer) = request.payer {
        let mut fields = Map::new();
        put(&mut fields, "email", text("payer.email", payer.email, limits::EMAIL_BYTES, &mut violations));
        body.insert("payer".into(), fields.into());
    }
    if let Some(transactions) = request.transactions {
        let payments = order_payments(transactions.payments, total, &mut violations);
        body.insert("transactions".into(), Value::Object(Map::from_iter([("payments".into(), payments)])));
    }
    if let Some(checkout_pro) = request.checkout_pro {
        let mut fields = Map::new();
        if let Some(urls) = checkout_pro.back_urls {
            fields.insert("back_urls".into(), return_urls(urls));
        }
        let word = checkout_pro.auto_return;
        if !word.is_empty() && !AutoReturn::ALL.iter().any(|known| known.as_str() == word) {
            violations.add("checkout_pro.auto_return", "is not known: write `approved` or `all`, or leave it out");
        }
        put(&mut fields, "auto_return", Some(word).filter(|word| !word.is_empty()));
        body.insert("checkout_pro".into(), fields.into());
    }
    let own = OwnFields {
        merchant_id: request.merchant_id,
        idempotency_key: request.idempotency_key,
        ttl: request.ttl,
        metadata: request.metadata,
    };
    (own.into_draft(Kind::Order, fingerprint, body, &mut violations), violations)
}

/// Mercado Pago's order names no currency; those it is used with have two places.
const ORDER_PLACES: u32 = 2;

fn order_payments(payments: Vec<v1::OrderPayment>, total: Option<Amount>, violations: &mut Violations) -> Value {
    count("transactions.payments", payments.len(), 0, limits::ORDER_PAYMENTS, violations);
    let amounts: Vec<Option<Amount>> = payments
        .iter()
        .enumerate()
        .map(|(at, payment)| {
            let field = format!("transactions.payments[{at}].amount");
            violations.take(field, Amount::parse(&payment.amount, ORDER_PLACES))
        })
        .collect();
    // A sum with a wrong amount in it says nothing.
    if let (Some(total), Some(amounts)) = (total, amounts.into_iter().collect::<Option<Vec<_>>>())
        && !amounts.is_empty()
        && Amount::sum(amounts.clone()) != total
    {
        let sum = Amount::sum(amounts);
        violations.add(
            "total_amount",
            format!("is not the sum of transactions.payments: write {sum}, or correct the payments"),
        );
    }
    let payment = |payment: v1::OrderPayment| Value::Object(Map::from_iter([("amount".into(), payment.amount.into())]));
    payments.into_iter().map(payment).collect()
}

/// BitGPT's body.
pub fn payment(request: v1::CreatePaymentRequest) -> (Draft, Violations) {
    let mut violations = Violations::default();
    let fingerprint = fingerprint(&v1::CreatePaymentRequest { idempotency_key: String::new(), ..request.clone() });
    let mut body = Map::new();
    if request.customer_email.is_empty() {
        violations.add("customer_email", "is missing: write the e-mail address of the person who pays");
    }
    let email = text("customer_email", request.customer_email, limits::EMAIL_BYTES, &mut violations);
    put(&mut body, "customer_email", email);
    count("items", request.items.len(), 1, limits::ITEMS, &mut violations);
    let items = request.items.into_iter().enumerate().map(|(at, item)| payment_item(at, item, &mut violations));
    let items: Vec<Value> = items.collect();
    body.insert("items".into(), items.into());
    put(&mut body, "redirect_url", Some(request.redirect_url).filter(|url| !url.is_empty()));
    let own = OwnFields {
        merchant_id: request.merchant_id,
        idempotency_key: request.idempotency_key,
        ttl: request.ttl,
        metadata: request.metadata,
    };
    (own.into_draft(Kind::Payment, fingerprint, body, &mut violations), violations)
}

fn payment_item(at: usize, item: v1::PaymentItem, violations: &mut Violations) -> Value {
    let field = |name: &str| format!("items[{at}].{name}");
    let mut fields = Map::new();
    put(&mut fields, "type", text(field("type"), item.r#type, limits::ITEM_TYPE_BYTES, violations));
    let currency = Currency::parse(&item.currency);
    if currency.is_none() {
        violations
            .add(field("currency"), "is not an ISO 4217 currency: write its three upper-case letters, such as USD");
    }
    // With an unknown currency, the form of the price is still looked at.
    let places = currency.map_or(MOST_PLACES, Currency::places);
    violations.take(field("price"), Amount::parse(&item.price, places));
    fields.insert("price".into(), item.price.into());
    fields.insert("currency".into(), item.currency.into());
    fields.into()
}

/// As many decimal places as the currency of ISO 4217 that has most.
const MOST_PLACES: u32 = 4;

/// The four fields that every create request begins with.
struct OwnFields {
    merchant_id: String,
    idempotency_key: String,
    ttl: Option<prost_types::Duration>,
    metadata: Option<Struct>,
}

impl OwnFields {
    fn into_draft(
        self,
        kind: Kind,
        fingerprint: Fingerprint,
        mut body: Map<String, Value>,
        violations: &mut Violations,
    ) -> Draft {
        let key = Some(self.idempotency_key).filter(|key| !key.is_empty());
        let key = key.and_then(|key| violations.take("idempotency_key", IdempotencyKey::try_from(Box::from(key))));
        let ttl = self.ttl.and_then(|ttl| duration("ttl", ttl, limits::TTL_MIN, limits::TTL_MAX, violations));
        if let Some(metadata) = self.metadata {
            let metadata = object(metadata, "metadata", 1, violations);
            let bytes = Value::Object(metadata.clone()).to_string().len();
            if bytes > limits::METADATA_BYTES {
                violations
                    .add("metadata", format!("is {bytes} bytes of JSON: write at most {}", limits::METADATA_BYTES));
            }
            body.insert("metadata".into(), metadata.into());
        }
        Draft {
            merchant_id: merchant_id("merchant_id", self.merchant_id, violations),
            kind,
            idempotency: key.map(|key| Idempotency { key, fingerprint }),
            ttl,
            body,
        }
    }
}

/// Stands for a create request's content. The encoding is deterministic: its only maps are those of `Struct`, which are
/// sorted.
fn fingerprint(request: &impl Message) -> Fingerprint {
    Fingerprint(Sha256::digest(request.encode_to_vec()).into())
}

fn return_urls(urls: v1::ReturnUrls) -> Value {
    let v1::ReturnUrls { success, failure, cancel, pending, expired } = urls;
    let mut slots = Map::new();
    for (slot, url) in [
        (Outcome::Success, success),
        (Outcome::Failure, failure),
        (Outcome::Cancel, cancel),
        (Outcome::Pending, pending),
        (Outcome::Expired, expired),
    ] {
        put(&mut slots, slot.as_str(), Some(url).filter(|url| !url.is_empty()));
    }
    slots.into()
}

fn object(fields: Struct, path: &str, depth: usize, violations: &mut Violations) -> Map<String, Value> {
    let read = |(name, value)| {
        let value = json(value, &format!("{path}.{name}"), depth, violations);
        (name, value)
    };
    fields.fields.into_iter().map(read).collect()
}

fn json(value: ProtoValue, path: &str, depth: usize, violations: &mut Violations) -> Value {
    match value.kind {
        None | Some(value::Kind::NullValue(_)) => Value::Null,
        Some(value::Kind::BoolValue(bool)) => bool.into(),
        Some(value::Kind::StringValue(text)) => text.into(),
        Some(value::Kind::NumberValue(number)) => match Number::from_f64(number) {
            Some(number) => number.into(),
            None => {
                violations.add(path, "is not a finite number: write one, or a text");
                Value::Null
            }
        },
        Some(value::Kind::StructValue(_) | value::Kind::ListValue(_)) if depth >= limits::DEPTH => {
            violations.add(path, format!("is nested too deeply: write at most {} levels", limits::DEPTH));
            Value::Null
        }
        Some(value::Kind::StructValue(fields)) => object(fields, path, depth + 1, violations).into(),
        Some(value::Kind::ListValue(ListValue { values })) => {
            let read = |(at, value)| json(value, &format!("{path}[{at}]"), depth + 1, violations);
            values.into_iter().enumerate().map(read).collect()
        }
    }
}

/// `GetSession`, and the session of a preview.
pub fn session_id(text: &str, violations: &mut Violations) -> Option<SessionId> {
    if text.is_empty() {
        violations.add("session_id", "is missing: write the id that the create call returned");
        return None;
    }
    violations.take("session_id", text.parse())
}

/// `PreviewRedirects`: what to preview, and the field of the request that holds it.
pub fn preview(request: v1::PreviewRedirectsRequest) -> Result<(PreviewSource, &'static str), Violations> {
    use v1::preview_redirects_request::Source;
    let mut violations = Violations::default();
    let draft = |(draft, violations): (Draft, Violations)| PreviewSource::Draft(draft.into(), violations);
    match request.source {
        None => {
            violations.add("source", "is missing: write session_id, create_checkout, create_order or create_payment");
            Err(violations)
        }
        Some(Source::SessionId(id)) => {
            session_id(&id, &mut violations).map(|id| (PreviewSource::Session(id), "")).ok_or(violations)
        }
        Some(Source::CreateCheckout(request)) => Ok((draft(checkout(request)), "create_checkout.")),
        Some(Source::CreateOrder(request)) => Ok((draft(order(request)), "create_order.")),
        Some(Source::CreatePayment(request)) => Ok((draft(payment(request)), "create_payment.")),
    }
}

/// `RecordOutcome`.
pub fn record(request: v1::RecordOutcomeRequest) -> Result<(SessionId, Ending), Violations> {
    let mut violations = Violations::default();
    let session_id = session_id(&request.session_id, &mut violations);
    let outcome = outcome(request.outcome, &mut violations);
    if outcome.is_none() && violations.as_slice().iter().all(|violation| violation.field != "outcome") {
        violations.add("outcome", "is missing: write how the session ended, such as OUTCOME_SUCCESS");
    }
    let (payment_id, status, error_code) =
        details(request.payment_id, request.status, request.error_code, &mut violations);
    match (session_id, outcome) {
        (Some(session_id), Some(outcome)) if violations.is_empty() => {
            Ok((session_id, Ending { outcome, payment_id, status, error_code }))
        }
        _ => Err(violations),
    }
}

/// `ResolveRedirect`, of somebody whose word about outcomes is not taken.
pub fn resolve(request: v1::ResolveRedirectRequest, deadline: Option<Instant>) -> Result<ResolveQuery, Violations> {
    let mut violations = Violations::default();
    let session_id = session_id(&request.session_id, &mut violations);
    let outcome = outcome(request.outcome, &mut violations);
    let (payment_id, status, error_code) =
        details(request.payment_id, request.status, request.error_code, &mut violations);
    // A longer wait is no mistake: callers may pass on their whole budget.
    let wait = request.wait.and_then(|wait| duration("wait", wait, Duration::ZERO, Duration::MAX, &mut violations));
    let wait = wait.map(|wait| wait.min(limits::WAIT_MAX));
    let explain = if request.explain { Explain::Candidates } else { Explain::No };
    match session_id {
        Some(session_id) if violations.is_empty() => Ok(ResolveQuery {
            session_id,
            outcome,
            payment_id,
            status,
            error_code,
            wait: wait.unwrap_or_default(),
            deadline,
            explain,
            vouching: Vouching::Forbidden,
        }),
        _ => Err(violations),
    }
}

/// One request of `ResolveRedirects`. The fields of violations are those of the request within.
pub fn resolve_of_many(
    resolve: Option<v1::ResolveRedirectRequest>,
    deadline: Option<Instant>,
) -> Result<ResolveQuery, Violations> {
    let Some(request) = resolve else {
        let mut violations = Violations::default();
        violations.add("resolve", "is missing: write what to decide, at least its session_id");
        return Err(violations);
    };
    self::resolve(request, deadline)
}

/// `VerifyReturn`. What came back is not judged here: nothing about it is an error.
pub fn verify(request: v1::VerifyReturnRequest) -> Result<(MerchantId, Returned), Violations> {
    use v1::verify_return_request::Returned as Given;
    let mut violations = Violations::default();
    let id = merchant_id("merchant_id", request.merchant_id, &mut violations).ok_or(violations)?;
    let returned = match request.returned {
        None => Returned::Token(String::new()),
        Some(Given::Url(url)) => Returned::Url(url),
        Some(Given::Token(token)) => Returned::Token(token),
    };
    Ok((id, returned))
}

type Text = Option<CompactString>;

fn details(payment_id: String, status: String, error_code: String, violations: &mut Violations) -> (Text, Text, Text) {
    (
        plain_text("payment_id", payment_id, limits::PAYMENT_ID_BYTES, violations),
        plain_text("status", status, limits::STATUS_BYTES, violations),
        plain_text("error_code", error_code, limits::ERROR_CODE_BYTES, violations),
    )
}

/// `None` for an unspecified outcome, and for one that is not known, which is a violation.
fn outcome(number: i32, violations: &mut Violations) -> Option<Outcome> {
    match v1::Outcome::try_from(number) {
        Ok(v1::Outcome::Unspecified) => None,
        Ok(v1::Outcome::Success) => Some(Outcome::Success),
        Ok(v1::Outcome::Failure) => Some(Outcome::Failure),
        Ok(v1::Outcome::Cancel) => Some(Outcome::Cancel),
        Ok(v1::Outcome::Pending) => Some(Outcome::Pending),
        Ok(v1::Outcome::Expired) => Some(Outcome::Expired),
        Err(_) => {
            violations.add(
                "outcome",
                format!("is the number {number}, which is no outcome: write one such as OUTCOME_SUCCESS"),
            );
            None
        }
    }
}

/// `GetMerchant`.
pub fn get_merchant(request: v1::GetMerchantRequest) -> Result<MerchantId, Violations> {
    let mut violations = Violations::default();
    merchant_id("merchant_id", request.merchant_id, &mut violations).ok_or(violations)
}

/// The fields of a merchant that an update mask may name.
const MASK: [&str; 12] = [
    "name",
    "return_urls",
    "return_urls.success",
    "return_urls.failure",
    "return_urls.cancel",
    "return_urls.pending",
    "return_urls.expired",
    "precedence",
    "auto_return_delay",
    "allowed_origins",
    "app_schemes",
    "sign_returns",
];

/// `UpdateMerchant`. The merchant is `None` when its id is wrong.
pub fn update_merchant(
    request: v1::UpdateMerchantRequest,
    mode: Mode,
) -> (Option<MerchantId>, MerchantChange, Violations) {
    let mut violations = Violations::default();
    let Some(merchant) = request.merchant else {
        violations.add("merchant", "is missing: write the merchant with its merchant_id and the fields to change");
        return (None, MerchantChange::default(), violations);
    };
    // A mask that names nothing is what generated clients send for none.
    let mask = request.update_mask.filter(|mask| !mask.paths.is_empty());
    let mask = mask.map(|mask| read_mask(mask, &mut violations));
    // Without a mask, the fields that are set; with one, the fields that it names.
    let changes = |field: &str, is_set: bool| match &mask {
        None => is_set,
        Some(mask) => mask.iter().any(|named| named == field || named == "*"),
    };
    let id = merchant_id("merchant.merchant_id", merchant.merchant_id, &mut violations);
    let mut change =
        MerchantChange { etag: Some(merchant.etag).filter(|etag| !etag.is_empty()), ..MerchantChange::default() };
    if changes("name", !merchant.name.is_empty()) {
        let name = plain_text("merchant.name", merchant.name, limits::NAME_BYTES, &mut violations);
        change.name = Some(name.unwrap_or_default().into());
    }
    let urls = merchant.return_urls.unwrap_or_default();
    for (slot, url) in [
        (Outcome::Success, urls.success),
        (Outcome::Failure, urls.failure),
        (Outcome::Cancel, urls.cancel),
        (Outcome::Pending, urls.pending),
        (Outcome::Expired, urls.expired),
    ] {
        let all = changes("return_urls", false);
        if all || changes(&format!("return_urls.{}", slot.as_str()), !url.is_empty()) {
            change.return_urls.push((slot, url.into()));
        }
    }
    if changes("precedence", merchant.precedence != 0) {
        change.precedence = precedence(merchant.precedence, &mut violations);
    }
    if changes("auto_return_delay", merchant.auto_return_delay.is_some()) {
        let field = "merchant.auto_return_delay";
        let max = limits::AUTO_RETURN_DELAY_MAX;
        change.auto_return_delay = match merchant.auto_return_delay {
            None => Some(limits::AUTO_RETURN_DELAY_DEFAULT),
            Some(delay) => duration(field, delay, Duration::ZERO, max, &mut violations).inspect(|delay| {
                if delay.subsec_nanos() % 1_000_000 != 0 {
                    violations.add(field, "is finer than a millisecond: write whole milliseconds");
                }
            }),
        };
    }
    if changes("allowed_origins", !merchant.allowed_origins.is_empty()) {
        let field = "merchant.allowed_origins";
        let parse = |text: &str| OriginPattern::parse(text, mode);
        change.allowed_origins =
            Some(list(field, &merchant.allowed_origins, limits::ALLOWED_ORIGINS, parse, &mut violations));
    }
    if changes("app_schemes", !merchant.app_schemes.is_empty()) {
        let field = "merchant.app_schemes";
        change.app_schemes = Some(list(field, &merchant.app_schemes, limits::APP_SCHEMES, str::parse, &mut violations));
    }
    if changes("sign_returns", merchant.sign_returns) {
        change.sign_returns = Some(merchant.sign_returns);
    }
    (id, change, violations)
}

/// Paths of a mask that are told to be none: some more than the fields, as a message may hold very many.
const UNKNOWN_PATHS_TOLD: usize = 16;

fn read_mask(mask: FieldMask, violations: &mut Violations) -> Vec<String> {
    let unknown = |path: &&String| *path != "*" && !MASK.contains(&path.as_str());
    let mut unknown = mask.paths.iter().filter(unknown);
    for path in unknown.by_ref().take(UNKNOWN_PATHS_TOLD) {
        // A name as long as a message would drown the answer.
        let shown = &path[..path.floor_char_boundary(limits::MERCHANT_ID_BYTES)];
        violations.add(
            "update_mask",
            format!("names `{shown}`, which is not a field that can change: write `*` or some of {}", MASK.join(", ")),
        );
    }
    let more = unknown.count();
    if more > 0 {
        violations.add("update_mask", format!("names {more} more that are not fields"));
    }
    mask.paths
}

fn precedence(number: i32, violations: &mut Violations) -> Option<Precedence> {
    match v1::Precedence::try_from(number) {
        Ok(v1::Precedence::Unspecified) => Some(Precedence::default()),
        Ok(v1::Precedence::SettingsFirst) => Some(Precedence::SettingsFirst),
        Ok(v1::Precedence::RequestFirst) => Some(Precedence::RequestFirst),
        Err(_) => {
            violations.add(
                "merchant.precedence",
                format!("is the number {number}, which is no precedence: write PRECEDENCE_SETTINGS_FIRST or PRECEDENCE_REQUEST_FIRST"),
            );
            None
        }
    }
}

fn list<T, E: Display>(
    field: &str,
    texts: &[String],
    max: usize,
    parse: impl Fn(&str) -> Result<T, E>,
    violations: &mut Violations,
) -> Vec<T> {
    count(field, texts.len(), 0, max, violations);
    let read = |(at, text): (usize, &String)| {
        violations.take(format!("{field}[{at}]"), parse(text).map_err(|e| e.to_string()))
    };
    texts.iter().take(max).enumerate().filter_map(read).collect()
}

fn merchant_id(field: &str, text: String, violations: &mut Violations) -> Option<MerchantId> {
    violations.take(field, MerchantId::try_from(Box::from(text)))
}

/// A text of bounded length; `None` when it is empty, which is how proto3 says that it was not given.
fn text(field: impl Into<String>, value: String, bytes: usize, violations: &mut Violations) -> Option<String> {
    if value.len() > bytes {
        violations.add(field, format!("is {} bytes long: write at most {bytes}", value.len()));
    }
    Some(value).filter(|value| !value.is_empty())
}

/// A text of bounded length without control characters: it goes into URLs and to screens.
fn plain_text(field: &str, value: String, bytes: usize, violations: &mut Violations) -> Text {
    if value.is_empty() {
        return None;
    }
    if value.chars().any(char::is_control) {
        violations.add(field, "has a control character: leave it out");
    }
    text(field, value, bytes, violations).map(CompactString::from)
}

fn count(field: &str, found: usize, min: usize, max: usize, violations: &mut Violations) {
    if found < min {
        violations.add(field, format!("has {found} entries: write at least {min}"));
    } else if found > max {
        violations.add(field, format!("has {found} entries: write at most {max}"));
    }
}

fn duration(
    field: &str,
    value: prost_types::Duration,
    min: Duration,
    max: Duration,
    violations: &mut Violations,
) -> Option<Duration> {
    let read = Duration::try_from(value).ok().filter(|duration| (min..=max).contains(duration));
    if read.is_none() && max == Duration::MAX {
        violations.add(field, "is out of range: write a duration of 0 or more");
    } else if read.is_none() {
        let (min, max) = (humantime::format_duration(min), humantime::format_duration(max));
        violations.add(field, format!("is out of range: write a duration from {min} to {max}"));
    }
    read
}

fn put(fields: &mut Map<String, Value>, name: &str, value: Option<String>) {
    if let Some(value) = value {
        fields.insert(name.into(), value.into());
    }
}
