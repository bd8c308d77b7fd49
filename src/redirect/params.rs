//! What is added to the URL (SPEC 7): an order's parameters, as Mercado Pago sends them, and the token of a signed return.

use super::{
    template::{Filled, encode, encoded_len},
    token::PARAMETER,
};
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

impl ReturnParams<'_> {
    /// The names and values that are added, the token last.
    fn pairs<'p>(&'p self, token: Option<&'p str>) -> Vec<(&'static str, Option<&'p str>)> {
        let mut pairs = self.own_pairs();
        pairs.extend(token.map(|token| (PARAMETER, Some(token))));
        pairs
    }

    fn own_pairs(&self) -> Vec<(&'static str, Option<&str>)> {
        match *self {
            ReturnParams::None(_) => Vec::new(),
            ReturnParams::Order { payment_id, status, external_reference, order_id } => vec![
                ("payment_id", payment_id),
                ("status", status),
                ("external_reference", external_reference),
                ("order_id", Some(order_id)),
            ],
        }
    }

    const fn kind(&self) -> Kind {
        match self {
            ReturnParams::None(kind) => *kind,
            ReturnParams::Order { .. } => Kind::Order,
        }
    }

    /// Bytes that are added to a URL of this template.
    pub(super) fn added_len(&self, template: &str, token: Option<&str>) -> usize {
        let pairs = self.pairs(token);
        let values: usize =
            pairs.iter().map(|(name, value)| name.len() + "&=".len() + encoded_len(value.unwrap_or(ABSENT))).sum();
        let query = template.split('#').next().unwrap_or_default();
        if pairs.is_empty() || !query.ends_with(['?', '&']) { values } else { values - 1 }
    }
}

/// The word for a value that is not there, as Mercado Pago sends it.
const ABSENT: &str = "null";

impl Filled {
    /// Adds the parameters and the token after the merchant's own query, which stays byte for byte, and before the
    /// fragment.
    pub(super) fn append(mut self, params: &ReturnParams<'_>, token: Option<&str>) -> Complete {
        let pairs = params.pairs(token);
        if !pairs.is_empty() {
            self.insert_query(&pairs);
        }
        Complete { filled: self, reserved: params.kind().added_params(), added: pairs.len() }
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
            self.text.extend(encode(value.unwrap_or(ABSENT)));
            separator = "&";
        }
        let shift = self.text.len() - at;
        self.text.push_str(&fragment);
        for range in self.unresolved.iter_mut().filter(|range| range.start >= at) {
            *range = range.start + shift..range.end + shift;
        }
    }
}
