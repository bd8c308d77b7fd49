//! What placeholders name: the session as one JSON object (SPEC 5).

use super::{BodyRef, Kind, MerchantId, SessionId};
use crate::redirect::{Found, Path, Step, Steps, Values};
use serde_json::{Map, Number, Value};
use std::{borrow::Cow, cell::OnceCell};

/// The root of all placeholders. The body is read only when a placeholder leads into it.
pub struct Root<'s> {
    id: SessionId,
    merchant_id: &'s MerchantId,
    fields: Fields<'s>,
    late: Option<Late<'s>>,
}

/// The fields of the create request's body, read or to be read.
pub enum Fields<'s> {
    /// As they were read.
    Read(&'s Map<String, Value>),
    /// To be read once, if at all.
    Packed(BodyRef<'s>, OnceCell<Map<String, Value>>),
}

impl<'s> From<&'s Map<String, Value>> for Fields<'s> {
    fn from(fields: &'s Map<String, Value>) -> Self {
        Self::Read(fields)
    }
}

impl<'s> From<BodyRef<'s>> for Fields<'s> {
    fn from(body: BodyRef<'s>) -> Self {
        Self::Packed(body, OnceCell::new())
    }
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
    pub fn at_create(id: SessionId, merchant_id: &'s MerchantId, fields: impl Into<Fields<'s>>) -> Self {
        Self { id, merchant_id, fields: fields.into(), late: None }
    }

    /// All values.
    pub fn at_resolve(
        id: SessionId,
        merchant_id: &'s MerchantId,
        fields: impl Into<Fields<'s>>,
        late: Late<'s>,
    ) -> Self {
        Self { id, merchant_id, fields: fields.into(), late: Some(late) }
    }

    fn find_late(&self, value: impl FnOnce(&Late<'s>) -> Option<&'s str>) -> Found<'_> {
        self.late.as_ref().map_or(Found::Later, |late| Found::Text(Cow::Borrowed(value(late).unwrap_or_default())))
    }

    fn find_in_body(&self, first: &str, mut rest: Steps<'_>) -> Found<'_> {
        let fields = match &self.fields {
            Fields::Read(fields) => fields,
            Fields::Packed(body, read) => read.get_or_init(|| body.to_fields()),
        };
        fields.get(first).and_then(|value| rest.try_fold(value, step_into)).map_or(Found::Nothing, text)
    }
}

impl Values for Root<'_> {
    fn find(&self, path: Path<'_>) -> Found<'_> {
        let mut rest = path.steps();
        let Some(Step::Name(first)) = rest.next() else { return Found::Nothing };
        let (second, has_third) = {
            let mut rest = rest.clone();
            (rest.next(), rest.next().is_some())
        };
        match (first, second) {
            ("id", None) => Found::Text(self.id.to_string().into()),
            ("kind", None) => Found::Text(Kind::as_str(self.id.kind()).into()),
            ("payment_id", None) => self.find_late(|late| late.payment_id),
            ("status", None) => self.find_late(|late| late.status),
            ("error_code", None) => self.find_late(|late| late.error_code),
            ("organization", Some(Step::Name("id"))) if !has_third => Found::Text(self.merchant_id.as_str().into()),
            ("organization", Some(Step::Name("name"))) if !has_third => self.find_late(|late| late.organization_name),
            ("id" | "kind" | "payment_id" | "status" | "error_code" | "organization", _) => Found::Nothing,
            _ => self.find_in_body(first, rest),
        }
    }
}

fn step_into<'v>(value: &'v Value, step: Step<'_>) -> Option<&'v Value> {
    match (value, step) {
        (Value::Array(values), Step::Index(index)) => values.get(index as usize),
        (Value::Object(fields), Step::Name(name)) => fields.get(name),
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
