//! What the buyer reads: the language of `Accept-Language`, and how amounts are written there.

use super::limits::LANGUAGE_RANGES;
use http::{HeaderMap, header::ACCEPT_LANGUAGE};

/// The languages of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Also for everybody whose language is not here.
    English,
    /// `es`
    Spanish,
    /// `pt`
    Portuguese,
    /// `fr`
    French,
}

/// A language as one region writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locale {
    /// Of the words.
    pub language: Language,
    /// Of the amounts.
    pub numbers: Numbers,
    /// Where the code of a currency stands.
    pub code: CodePlace,
}

/// How a number is written: what stands between thousands, and before the decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// 1,234.56
    CommaPoint,
    /// 1.234,56
    PointComma,
    /// 1 234,56
    SpaceComma,
}

/// Where the code of a currency stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodePlace {
    /// USD 50.00
    Before,
    /// 50,00 USD
    After,
}

impl Locale {
    /// The best of what a browser asks for (RFC 9110, section 12.5.4).
    pub fn of(headers: &HeaderMap) -> Self {
        let asked = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Self::preferred(asked)
    }

    fn preferred(asked: &str) -> Self {
        let mut best: Option<(u16, Self)> = None;
        let (mut others, mut named) = (0, false);
        for range in asked.split(',').take(LANGUAGE_RANGES) {
            let (tag, weight) = range.split_once(';').unwrap_or((range, ""));
            let Some(weight) = weight_of(weight.trim()) else { continue };
            if tag.trim() == "*" {
                others = weight;
            }
            let Some(locale) = Self::of_tag(tag.trim()) else { continue };
            named |= locale.language == Language::English;
            // The first of those with one weight.
            if weight > 0 && best.is_none_or(|(so_far, _)| weight > so_far) {
                best = Some((weight, locale));
            }
        }
        // Those that were not named may be liked better.
        best.filter(|(weight, _)| named || *weight >= others).map_or(ENGLISH, |(_, locale)| locale)
    }

    /// The number formats are those of Unicode's CLDR. Within Spanish they differ by region.
    fn of_tag(tag: &str) -> Option<Self> {
        let mut parts = tag.split('-');
        let language = parts.next()?.to_ascii_lowercase();
        let region = parts.find(|part| matches!(part.len(), 2 | 3)).map(str::to_ascii_uppercase).unwrap_or_default();
        let locale = |language, numbers, code| Some(Self { language, numbers, code });
        match (&*language, &*region) {
            ("en", _) => Some(ENGLISH),
            ("es", "419" | "MX" | "US" | "PR" | "GT" | "HN" | "NI" | "PA" | "PE" | "SV" | "DO" | "CU" | "BZ") => {
                locale(Language::Spanish, Numbers::CommaPoint, CodePlace::Before)
            }
            ("es", _) => locale(Language::Spanish, Numbers::PointComma, CodePlace::After),
            ("pt", "" | "BR") => locale(Language::Portuguese, Numbers::PointComma, CodePlace::Before),
            ("pt", _) => locale(Language::Portuguese, Numbers::SpaceComma, CodePlace::After),
            ("fr", _) => locale(Language::French, Numbers::SpaceComma, CodePlace::After),
            _ => None,
        }
    }
}

const ENGLISH: Locale = Locale { language: Language::English, numbers: Numbers::CommaPoint, code: CodePlace::Before };

/// `q=0.8` in thousandths; `None` when it is something else.
fn weight_of(parameter: &str) -> Option<u16> {
    if parameter.is_empty() {
        return Some(1_000);
    }
    let value = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="))?;
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths = format!("{fraction:0<3}").parse::<u16>().ok()?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_with_the_greatest_weight_is_taken() {
        for (asked, language) in [
            ("", Language::English),
            ("es", Language::Spanish),
            ("pt-BR,pt;q=0.9,en;q=0.8", Language::Portuguese),
            ("de-DE,de;q=0.9,fr;q=0.5,en;q=0.4", Language::French),
            ("en;q=0.1, FR-ca ; q=0.2", Language::French),
            ("es;q=0.5,fr;q=0.5", Language::Spanish),
            ("es;q=0,de", Language::English),
            ("es;q=0.000,fr;q=0.001", Language::French),
            ("es;q=2,fr;q=1.0", Language::French),
            ("es;q=,fr;q=0.1", Language::French),
            ("*", Language::English),
            ("*;q=0.5,fr;q=0.1", Language::English),
            ("fr;q=0.1,*", Language::English),
            ("fr,*;q=0.1", Language::French),
            ("*,es", Language::Spanish),
            ("fr;q=0.5, en;q=0.3, *;q=0.8", Language::French),
            ("zh-Hant-TW, ja", Language::English),
            (",,;;q=,=,-", Language::English),
        ] {
            assert_eq!(Locale::preferred(asked).language, language, "{asked}");
        }
    }

    #[test]
    fn regions_write_numbers_their_way() {
        for (asked, numbers) in [
            ("en-US", Numbers::CommaPoint),
            ("es-ES", Numbers::PointComma),
            ("es-AR", Numbers::PointComma),
            ("es-MX", Numbers::CommaPoint),
            ("es-419", Numbers::CommaPoint),
            ("pt-BR", Numbers::PointComma),
            ("pt-PT", Numbers::SpaceComma),
            ("fr-CA", Numbers::SpaceComma),
        ] {
            assert_eq!(Locale::preferred(asked).numbers, numbers, "{asked}");
        }
    }
}
