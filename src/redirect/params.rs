//! What is added to the URL (SPEC 7): an order's parameters, as Mercado Pago sends them.

use super::template::{Filled, encode};
use crate::model::Kind;

/// The values of the added parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReturnParams<'v> {
    /// Checkouts and payments get none: their providers use placeholders.
    None(Kind),
    /// Orders get these four, always, in this order. A value that is not there is the word `null`.
    Order {
        /// The provider's id of the payment.
        payment_id: Option<&'v str>,
        /// The provider's word for the state.
        status: Option<&'v str>,
        /// The caller's own reference.
        external_reference: Option<&'v str>,
        /// The session's id.
        order_id: &'v str,
    },
}

/// A URL with everything filled in and added. Not checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complete {
    pub(super) filled: Filled,
    /// The names that the merchant's own part of the query may not hold.
    pub(super) reserved: &'static [&'static str],
    /// How many parameters with such names were added here.
    pub(super) added: usize,
}

impl Complete {
    /// Bytes of the URL.
    pub(super) fn len(&self) -> usize {
        self.filled.text.len()
    }
}

impl Filled {
    /// Adds the parameters after the merchant's own query, which stays byte for byte, and before the fragment.
    pub(super) fn append(mut self, params: &ReturnParams<'_>) -> Complete {
        let (kind, pairs): (Kind, &[(&str, Option<&str>)]) = match *params {
            ReturnParams::None(kind) => (kind, &[]),
            ReturnParams::Order { payment_id, status, external_reference, order_id } => (
                Kind::Order,
                &[
                    ("payment_id", payment_id),
                    ("status", status),
                    ("external_reference", external_reference),
                    ("order_id", Some(order_id)),
                ],
            ),
        };
        if !pairs.is_empty() {
            self.insert_query(pairs);
        }
        Complete { filled: self, reserved: kind.added_params(), added: pairs.len() }
    }

    fn insert_query(&mut self, pairs: &[(&str, Option<&str>)]) {
        // Neither a value nor a placeholder holds a raw `#` or `?`, so the first ones are the template's own.
        let at = self.text.find('#').unwrap_or(self.text.len());
        let fragment = self.text.split_off(at);
        let mut separator = match self.text.find('?') {
            None => "?",
            Some(query) if query + 1 == self.text.len() || self.text.ends_with('&') => "",
            Some(_) => "&",
        };
        for (name, value) in pairs {
            self.text.push_str(separator);
            self.text.push_str(name);
            self.text.push('=');
            self.text.extend(encode(value.unwrap_or("null")));
            separator = "&";
        }
        let shift = self.text.len() - at;
        self.text.push_str(&fragment);
        for range in self.unresolved.iter_mut().filter(|range| range.start >= at) {
            *range = range.start + shift..range.end + shift;
        }
    }
}
