//! What a session is about in money, in the buyer's format.
//!
//! A body names what its provider's names: a payment its currency, an order none, a checkout an integer of minor units
//! without currency. No currency is ever made up: an amount whose currency is not known stands without one.

use super::language::{CodePlace, Locale, Numbers};
use crate::model::{Amount, Currency, Kind};
use serde_json::Value;

/// The whole amount of a body: one text, or one for each currency of a payment in several.
pub fn totals(kind: Kind, body: &Value, locale: Locale) -> Vec<String> {
    match kind {
        Kind::Checkout => vec![minor_units(cart_total(body), locale)],
        Kind::Order => body["total_amount"].as_str().map(|total| decimal(total, locale)).into_iter().collect(),
        Kind::Payment => payment_totals(body, locale),
    }
}

/// An amount in minor units. They are written as hundredths: Clover, whose body it is, calls them cents.
pub fn minor_units(minor: i128, locale: Locale) -> String {
    decimal(&format!("{}.{:02}", minor / 100, minor % 100), locale)
}

/// A decimal whose currency is not known, with two places when it has any.
pub fn decimal(amount: &str, locale: Locale) -> String {
    written(amount, if amount.contains('.') { 2 } else { 0 }, locale)
}

/// A decimal in a currency, with the places that it has.
pub fn in_currency(amount: &str, code: &str, locale: Locale) -> String {
    let places = Currency::parse(code).map_or(0, Currency::places);
    let amount = written(amount, places, locale);
    // Apart, and never on two lines.
    match locale.code {
        CodePlace::Before => format!("{code}\u{a0}{amount}"),
        CodePlace::After => format!("{amount}\u{a0}{code}"),
    }
}

/// At most 500 lines, so nothing overflows.
fn cart_total(body: &Value) -> i128 {
    let lines = body["shopping_cart"]["line_items"].as_array().into_iter().flatten();
    lines.map(|line| integer(&line["price"]) * integer(&line["unit_qty"])).sum()
}

fn integer(value: &Value) -> i128 {
    value.as_i64().unwrap_or_default().into()
}

fn payment_totals(body: &Value, locale: Locale) -> Vec<String> {
    let mut totals: Vec<(&str, Amount)> = Vec::new();
    for item in body["items"].as_array().into_iter().flatten() {
        let (Some(price), Some(code)) = (item["price"].as_str(), item["currency"].as_str()) else { continue };
        let places = Currency::parse(code).map_or(0, Currency::places);
        let Ok(price) = Amount::parse(price, places) else { continue };
        match totals.iter_mut().find(|(counted, _)| *counted == code) {
            Some((_, total)) => *total = Amount::sum([*total, price]),
            None => totals.push((code, price)),
        }
    }
    totals.into_iter().map(|(code, total)| in_currency(&total.to_string(), code, locale)).collect()
}

/// Digits with the separators of a place; `places` decimals at least.
fn written(amount: &str, places: u32, locale: Locale) -> String {
    let (thousands, point) = match locale.numbers {
        Numbers::CommaPoint => (",", "."),
        Numbers::PointComma => (".", ","),
        Numbers::SpaceComma => ("\u{202f}", ","),
    };
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    let mut text = String::with_capacity(amount.len() + 8);
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            text.push_str(thousands);
        }
        text.push(digit);
    }
    let places = places as usize;
    if !fraction.is_empty() || places > 0 {
        text.push_str(point);
        text.push_str(&format!("{fraction:0<places$}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::language::Language;
    use serde_json::json;

    const US: Locale = Locale { language: Language::English, numbers: Numbers::CommaPoint, code: CodePlace::Before };
    const BRAZIL: Locale =
        Locale { language: Language::Portuguese, numbers: Numbers::PointComma, code: CodePlace::Before };
    const FRANCE: Locale = Locale { language: Language::French, numbers: Numbers::SpaceComma, code: CodePlace::After };

    #[test]
    fn totals_are_exact_and_written_as_the_buyer_does() {
        let cart =
            json!({"shopping_cart": {"line_items": [{"price": 123_456, "unit_qty": 2}, {"price": 5, "unit_qty": 1}]}});
        let order = json!({"total_amount": "1000.5"});
        let whole_order = json!({"total_amount": "1234567"});
        let payment = json!({"items": [{"price": "50", "currency": "USD"}, {"price": "0.10", "currency": "USD"}]});
        let mixed = json!({"items": [{"price": "1500", "currency": "JPY"}, {"price": "1.2", "currency": "KWD"}]});
        for (kind, body, locale, expected) in [
            (Kind::Checkout, &cart, US, vec!["2,469.17"]),
            (Kind::Order, &order, US, vec!["1,000.50"]),
            (Kind::Order, &order, FRANCE, vec!["1\u{202f}000,50"]),
            (Kind::Order, &whole_order, BRAZIL, vec!["1.234.567"]),
            (Kind::Payment, &payment, US, vec!["USD\u{a0}50.10"]),
            (Kind::Payment, &payment, FRANCE, vec!["50,10\u{a0}USD"]),
            (Kind::Payment, &mixed, BRAZIL, vec!["JPY\u{a0}1.500", "KWD\u{a0}1,200"]),
        ] {
            assert_eq!(totals(kind, body, locale), expected);
        }
    }

    #[test]
    fn the_largest_cart_has_a_total() {
        let line = json!({"price": i64::MAX, "unit_qty": i32::MAX});
        let cart = json!({"shopping_cart": {"line_items": vec![line; 500]}});
        assert!(totals(Kind::Checkout, &cart, US)[0].starts_with("99,"));
    }
}
