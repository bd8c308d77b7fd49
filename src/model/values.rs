//! What placeholders name: the session as one JSON object (SPEC 5).

use super::{Body, Kind, MerchantId, SessionId};
use crate::redirect::{Found, Step, Values};
use serde_json::{Number, Value};
use std::{borrow::Cow, cell::OnceCell};

/// The root of all placeholders. The body is read only when a placeholder leads into it.
pub struct Root<'s> {
    id: SessionId,
    merchant_id: &'s MerchantId,
    body: &'s Body,
    read_body: OnceCell<Value>,
    late: Option<Late<'s>>,
}

/// What is known only when a URL is resolved. What is absent is `null`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Late<'s> {
    /// The merchant's name, which the settings may change.
    pub organization_name: Option<&'s str>,
    /// The provider's id of the payment.
    pub payment_id: Option<&'s str>,
    /// The provider's word for the state.
    pub status: Option<&'s str>,
    /// The provider's code of what went wrong.
    pub error_code: Option<&'s str>,
}

impl<'s> Root<'s> {
    /// The values known at create.
    pub const fn at_create(id: SessionId, merchant_id: &'s MerchantId, body: &'s Body) -> Self {
        Self { id, merchant_id, body, read_body: OnceCell::new(), late: None }
    }

    /// All values.
    pub const fn at_resolve(id: SessionId, merchant_id: &'s MerchantId, body: &'s Body, late: Late<'s>) -> Self {
        Self { id, merchant_id, body, read_body: OnceCell::new(), late: Some(late) }
    }

    fn find_late(&self, value: impl FnOnce(&Late<'s>) -> Option<&'s str>) -> Found<'_> {
        self.late.as_ref().map_or(Found::Later, |late| Found::Text(Cow::Borrowed(value(late).unwrap_or_default())))
    }

    fn find_in_body(&self, path: &[Step]) -> Found<'_> {
        let body = self.read_body.get_or_init(|| self.body.to_value());
        path.iter().try_fold(body, step_into).map_or(Found::Nothing, text)
    }
}

impl Values for Root<'_> {
    fn find(&self, path: &[Step]) -> Found<'_> {
        let (Some(Step::Name(first)), rest) = (path.first(), path.get(1..).unwrap_or_default()) else {
            return Found::Nothing;
        };
        match (&**first, rest) {
            ("id", []) => Found::Text(self.id.to_string().into()),
            ("kind", []) => Found::Text(Kind::as_str(self.id.kind()).into()),
            ("payment_id", []) => self.find_late(|late| late.payment_id),
            ("status", []) => self.find_late(|late| late.status),
            ("error_code", []) => self.find_late(|late| late.error_code),
            ("organization", [Step::Name(field)]) if &**field == "id" => Found::Text(self.merchant_id.as_str().into()),
            ("organization", [Step::Name(field)]) if &**field == "name" => {
                self.find_late(|late| late.organization_name)
            }
            ("id" | "kind" | "payment_id" | "status" | "error_code" | "organization", _) => Found::Nothing,
            _ => self.find_in_body(path),
        }
    }
}

fn step_into<'v>(value: &'v Value, step: &Step) -> Option<&'v Value> {
    match (value, step) {
        (Value::Array(values), Step::Index(index)) => values.get(*index as usize),
        (Value::Object(fields), Step::Name(name)) => fields.get(&**name),
        (Value::Object(fields), Step::Index(index)) => fields.get(&index.to_string()),
        _ => None,
    }
}

fn text(value: &Value) -> Found<'_> {
    match value {
        Value::String(text) => Found::Text(text.as_str().into()),
        Value::Number(number) => Found::Text(plain(number).into()),
        Value::Bool(true) => Found::Text("true".into()),
        Value::Bool(false) => Found::Text("false".into()),
        Value::Null => Found::Text("".into()),
        Value::Array(_) | Value::Object(_) => Found::Nothing,
    }
}

/// A number without exponent, and without a point when it is whole.
fn plain(number: &Number) -> String {
    match number.as_f64() {
        // Rust writes floats with as many digits as they need and never with an exponent. Zero has no sign here.
        Some(float) if number.is_f64() => {
            if float == 0.0 {
                "0".to_owned()
            } else {
                float.to_string()
            }
        }
        _ => number.to_string(),
    }
}
