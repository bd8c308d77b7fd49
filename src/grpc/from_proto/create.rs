//! The three bodies of create requests, as one [`Draft`].

use super::field::{count, duration, merchant_id, plain_text, put, text};
use crate::{
    app::Draft,
    model::{Amount, Currency, Fingerprint, Idempotency, IdempotencyKey, Kind, Outcome, Violations, limits},
    proto::v1,
    redirect::AutoReturn,
};
use prost::Message;
use prost_types::{ListValue, Struct, Value as ProtoValue, value};
use serde_json::{Map, Number, Value};
use sha2::{Digest, Sha256};

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
