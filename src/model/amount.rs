//! Amounts of money as decimals, and the currencies that say how many places they have.

use rust_decimal::Decimal;
use std::str::FromStr;

/// Digits that an amount may have before the point: far above any price, far below what [`Decimal`] holds when a
/// hundred of them are added up.
const WHOLE_DIGITS: usize = 15;

/// A decimal amount that is not negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(Decimal);

impl Amount {
    /// Reads an amount with at most `places` digits after the point.
    pub fn parse(text: &str, places: u32) -> Result<Self, InvalidAmount> {
        if text.is_empty() {
            return Err(InvalidAmount::Missing);
        }
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (text, None),
        };
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !fraction.is_none_or(digits) {
            return Err(InvalidAmount::NotDecimal);
        }
        if whole.len() > WHOLE_DIGITS {
            return Err(InvalidAmount::TooLarge { digits: WHOLE_DIGITS });
        }
        if fraction.is_some_and(|fraction| fraction.len() > places as usize) {
            return Err(InvalidAmount::Places { places });
        }
        Decimal::from_str(text).map(Self).map_err(|_| InvalidAmount::NotDecimal)
    }

    /// The sum, exactly.
    pub fn sum(amounts: impl IntoIterator<Item = Self>) -> Self {
        Self(amounts.into_iter().map(|amount| amount.0).sum())
    }
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a text is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAmount {
    /// Nothing there.
    #[error("is missing: write a decimal such as 1000.00")]
    Missing,
    /// Not digits with at most one point between them.
    #[error(
        "is not an amount: write digits with at most one point between them, such as 1000.00, without sign, separators or exponent"
    )]
    NotDecimal,
    /// More digits before the point than any price has.
    #[error("is too large: write at most {digits} digits before the point")]
    TooLarge {
        /// The limit.
        digits: usize,
    },
    /// More digits after the point than the currency has.
    #[error("has too many decimal places: write at most {places} digits after the point")]
    Places {
        /// The limit.
        places: u32,
    },
}

/// An ISO 4217 currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// Reads a code such as `USD`; `None` when ISO 4217 has no such currency.
    pub fn parse(code: &str) -> Option<Self> {
        // The codes of ISO 4217 are upper case; the crate takes others too.
        let upper = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase());
        if upper { iso_currency::Currency::from_code(code).map(Self) } else { None }
    }

    /// Digits after the point: 2 for most, 0 for JPY, 3 for KWD. What has no minor unit (gold) gets none.
    pub fn places(self) -> u32 {
        self.0.exponent().map_or(0, u32::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_plain_decimals_within_their_places() {
        for (text, places, answer) in [
            ("1000.00", 2, Ok("1000.00")),
            ("0", 2, Ok("0")),
            ("50", 0, Ok("50")),
            ("1.234", 3, Ok("1.234")),
            ("", 2, Err(InvalidAmount::Missing)),
            ("1.234", 2, Err(InvalidAmount::Places { places: 2 })),
            ("50.0", 0, Err(InvalidAmount::Places { places: 0 })),
            ("-1", 2, Err(InvalidAmount::NotDecimal)),
            ("+1", 2, Err(InvalidAmount::NotDecimal)),
            ("1e3", 2, Err(InvalidAmount::NotDecimal)),
            (".5", 2, Err(InvalidAmount::NotDecimal)),
            ("5.", 2, Err(InvalidAmount::NotDecimal)),
            ("1,000", 2, Err(InvalidAmount::NotDecimal)),
            ("1_000", 2, Err(InvalidAmount::NotDecimal)),
            (" 1", 2, Err(InvalidAmount::NotDecimal)),
            ("1.2.3", 2, Err(InvalidAmount::NotDecimal)),
            ("1000000000000000", 2, Err(InvalidAmount::TooLarge { digits: WHOLE_DIGITS })),
        ] {
            assert_eq!(
                Amount::parse(text, places).map(|amount| amount.to_string()),
                answer.map(str::to_owned),
                "{text}"
            );
        }
    }

    #[test]
    fn sums_are_exact_and_do_not_depend_on_trailing_zeros() {
        let amounts = ["0.10", "0.2", "999999999999999.70"].map(|text| Amount::parse(text, 2).expect("an amount"));
        assert_eq!(
            Amount::sum(amounts),
            Amount::parse("1000000000000000.00", 2).unwrap_or(Amount(Decimal::from(10u64.pow(15))))
        );
    }

    #[test]
    fn currencies_know_their_places() {
        for (code, places) in
            [("USD", Some(2)), ("JPY", Some(0)), ("KWD", Some(3)), ("usd", None), ("XYZ", None), ("", None)]
        {
            assert_eq!(Currency::parse(code).map(Currency::places), places, "{code}");
        }
    }
}
