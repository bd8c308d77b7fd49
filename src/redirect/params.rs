//! What is added to the URL (SPEC 7): an order's parameters, as Mercado Pago sends them, and the token of a signed return.

use super::template::{Filled, encoded_len, push_encoded};
use crate::model::{Kind, SessionId};
use memchr::{memchr, memchr2};

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
        order_id: SessionId,
    },
}

/// A URL with everything filled in and added. Not checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complete {
    pub(super) filled: Filled,
    /// The names that the merchant's own part of the query may not hold.
    pub(super) reserved: &'static [&'static str],
    /// The bytes of the query, at its end, that were added here.
    pub(super) added: usize,
}

/// The value of an added parameter.
#[derive(Clone, Copy)]
enum Value<'v> {
    Text(&'v str),
    Id(SessionId),
    Absent,
}

impl<'v> From<Option<&'v str>> for Value<'v> {
    fn from(text: Option<&'v str>) -> Self {
        text.map_or(Self::Absent, Self::Text)
    }
}

impl Value<'_> {
    fn written_len(self) -> usize {
        match self {
            Self::Text(text) => encoded_len(text),
            Self::Id(id) => id.len(),
            Self::Absent => ABSENT.len(),
        }
    }

    fn push_to(self, text: &mut String) {
        match self {
            Self::Text(value) => push_encoded(text, value),
            // Neither has anything to encode.
            Self::Id(id) => id.push_to(text),
            Self::Absent => text.push_str(ABSENT),
        }
    }
}

impl ReturnParams<'_> {
    /// Hands out what is added, the token last: each name as it stands behind another parameter, and its value.
    fn for_each(&self, token: Option<&str>, mut add: impl FnMut(&'static str, Value<'_>)) {
        if let Self::Order { payment_id, status, external_reference, order_id } = *self {
            add("&payment_id=", payment_id.into());
            add("&status=", status.into());
            add("&external_reference=", external_reference.into());
            add("&order_id=", Value::Id(order_id));
        }
        if let Some(token) = token {
            add("&return_token=", Value::Text(token));
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
        let query = template.split('#').next().unwrap_or_default();
        let separated = query.contains('?') && query.ends_with(['?', '&']);
        let mut added = 0;
        self.for_each(token, |name, value| added += name.len() + value.written_len());
        added.saturating_sub(usize::from(separated))
    }
}

/// The word for a value that is not there, as Mercado Pago sends it.
pub(super) const ABSENT: &str = "null";

impl Filled {
    /// Adds the parameters and the token after the merchant's own query, which stays byte for byte, and before the
    /// fragment.
    pub(super) fn append(mut self, params: &ReturnParams<'_>, token: Option<&str>) -> Complete {
        let reserved = params.kind().added_params();
        if token.is_none() && matches!(params, ReturnParams::None(_)) {
            return Complete { filled: self, reserved, added: 0 };
        }
        // Neither a value nor a placeholder holds a raw `#` or `?`, so the first ones are the template's own.
        let text = self.text.as_bytes();
        let first = memchr2(b'?', b'#', text).unwrap_or(text.len());
        let (mark, mut skipped, at) = match &text[first..] {
            [b'?', query @ ..] => {
                let query = &query[..memchr(b'#', query).unwrap_or(query.len())];
                let separated = matches!(query, [] | [.., b'&']);
                ("", usize::from(separated), first + "?".len() + query.len())
            }
            _ => ("?", "&".len(), first),
        };
        let fragment = self.text.split_off(at);
        self.text.push_str(mark);
        params.for_each(token, |name, value| {
            self.text.push_str(&name[skipped..]);
            value.push_to(&mut self.text);
            skipped = 0;
        });
        let added = self.text.len() - at;
        self.text.push_str(&fragment);
        for range in self.unresolved.iter_mut().filter(|range| range.start >= at) {
            *range = range.start + added..range.end + added;
        }
        Complete { filled: self, reserved, added }
    }
}
