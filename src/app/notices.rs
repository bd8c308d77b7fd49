//! What a caller is told about return URLs that were accepted: things that will surprise somebody later.

use super::resolve_redirect::{Circumstances, answer};
use crate::{
    model::{Ending, Kind, Late, Level, Merchant, Notice, NoticeCode, Outcome, ReturnUrls, Root, Session},
    redirect::{Found, Position, Step, Template, Values, select},
};

/// Names of fields that hold personal data, whatever they lead to.
const PERSONAL_FIELDS: [&str; 6] = ["email", "customer_email", "first_name", "last_name", "phone_number", "phone"];

/// Everything to know about a session's URLs under those settings. `templates` are the session's own, unbound.
pub(super) fn notices(
    session: &Session,
    templates: &ReturnUrls<Template>,
    merchant: &Merchant,
    circumstances: Circumstances<'_>,
) -> Vec<Notice> {
    let mut notices = Notices(Vec::new());
    let kind = session.id.kind();
    for outcome in Outcome::ALL {
        let own = kind.return_url_field(outcome);
        let urls = |position: Position| position.level.of(&merchant.return_urls, templates).get(position.slot);
        let Some(selection) = select(kind, outcome, merchant.precedence, urls) else {
            if known_to_provider(kind, outcome) {
                notices.add(NoticeCode::NoUrl, own, no_url(kind, outcome));
            }
            continue;
        };
        if selection.position.level == Level::Settings && templates.get(outcome).is_some() {
            notices.add(
                NoticeCode::OverriddenBySettings,
                own,
                format!(
                    "is not used for the outcome {}: the merchant's settings have a URL for it and come first; remove \
                     that one, or set the merchant's precedence to PRECEDENCE_REQUEST_FIRST",
                    outcome.as_str()
                ),
            );
        }
        let field = match selection.position.level {
            Level::Settings => format!("merchant.return_urls.{}", selection.position.slot.as_str()),
            Level::Request => kind.return_url_field(selection.position.slot),
        };
        look_at_template(selection.value, &field, session, merchant, &mut notices);
        let answered = answer(session, merchant, circumstances, &Ending::bare(outcome), super::Explain::No);
        if let Some(refusal) = answered.decision.refusal {
            notices.add(
                NoticeCode::UrlRefused,
                field,
                format!(
                    "is refused when it is filled with this session's values, and the hosted page serves: it {refusal}"
                ),
            );
        }
    }
    if session.external_reference().is_some_and(looks_personal) {
        notices.add(NoticeCode::PersonalData, "external_reference".into(), personal("the order's external_reference"));
    }
    notices.0
}

fn personal(source: &str) -> String {
    format!("looks personal and is put into the URL by {source}: URLs end up in logs and histories; use an id instead")
}

/// Whether the provider's own body has a slot for it. Callers who send those bodies cannot have meant to fill ours.
fn known_to_provider(kind: Kind, outcome: Outcome) -> bool {
    match kind {
        Kind::Checkout => matches!(outcome, Outcome::Success | Outcome::Failure | Outcome::Cancel),
        Kind::Order => matches!(outcome, Outcome::Success | Outcome::Failure | Outcome::Pending),
        Kind::Payment => true,
    }
}

fn no_url(kind: Kind, outcome: Outcome) -> String {
    match kind {
        Kind::Payment => {
            "is empty and the merchant's settings do not fill every outcome: the hosted page serves".into()
        }
        Kind::Checkout | Kind::Order => {
            format!(
                "is empty, here and in the merchant's settings: the hosted page serves the outcome {}",
                outcome.as_str()
            )
        }
    }
}

/// Whether the text of a template itself holds something personal in its query.
fn has_personal_literal(template: &Template) -> bool {
    let query = template.as_str().split_once('?').map_or("", |(_, rest)| rest.split('#').next().unwrap_or_default());
    // A `+` that was meant is read as a space.
    let as_meant = |value: &str| looks_personal(value) || looks_personal(&value.replacen(' ', "+", 1));
    url::form_urlencoded::parse(query.as_bytes()).any(|(_, value)| as_meant(&value))
}

fn look_at_template(template: &Template, field: &str, session: &Session, merchant: &Merchant, notices: &mut Notices) {
    let late = Late { organization_name: Some(&merchant.name), ..Late::default() };
    let root = Root::at_resolve(session.id, &session.merchant_id, session.body(), late);
    if has_personal_literal(template) {
        notices.add(NoticeCode::PersonalData, field.to_owned(), personal("its own query"));
    }
    if let (Some(name), more) = almost_placeholders(template) {
        let meant = match name.to_ascii_uppercase().as_str() {
            "CHECKOUT_SESSION_ID" => "{CHECKOUT_SESSION_ID}".to_owned(),
            "ERROR_CODE" => "{ERROR_CODE}".to_owned(),
            _ => format!("{{{{{name}}}}}"),
        };
        let others = if more == 0 { String::new() } else { format!("; {more} more are none either") };
        notices.add(
            NoticeCode::UnknownPlaceholder,
            field.to_owned(),
            format!(
                "has {{{name}}}, which is no placeholder and stays in the URL: write {meant} if one is meant{others}"
            ),
        );
    }
    for placeholder in template.placeholders() {
        let named_personal =
            matches!(placeholder.path.steps().last(), Some(Step::Name(name)) if PERSONAL_FIELDS.contains(&name));
        let personal = match root.find(placeholder.path) {
            Found::Text(value) => (named_personal && !value.is_empty()) || looks_personal(&value),
            Found::Nothing | Found::Later => {
                notices.add(
                    NoticeCode::UnknownPlaceholder,
                    field.to_owned(),
                    format!(
                        "has {}, which names nothing that this session has: it stays in the URL as it is written",
                        placeholder.written
                    ),
                );
                false
            }
        };
        if personal {
            notices.add(
                NoticeCode::PersonalData,
                field.to_owned(),
                format!("is filled with a value that looks personal by {}: URLs end up in logs and histories; use an id instead", placeholder.written),
            );
        }
    }
}

/// The first name in single braces that is no placeholder, and how many more there are.
fn almost_placeholders(template: &Template) -> (Option<String>, usize) {
    let mut text = template.as_str().to_owned();
    for placeholder in template.placeholders() {
        // What stands around it belongs to nothing together.
        text = text.replacen(placeholder.written, " ", 1);
    }
    let is_name = |name: &&str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.".contains(c))
    };
    let mut names = text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)).filter(is_name);
    (names.next().map(str::to_owned), names.count())
}

/// Whether a value looks like an e-mail address, a telephone number or the number of a payment card.
fn looks_personal(value: &str) -> bool {
    let email = value.split_once('@').is_some_and(|(name, domain)| !name.is_empty() && domain.contains('.'));
    email || is_phone_number(value) || is_card_number(value)
}

/// `+` and 8 to 15 digits, as in ITU-T E.164.
fn is_phone_number(value: &str) -> bool {
    value.strip_prefix('+').is_some_and(|rest| {
        let digits = rest.chars().filter(char::is_ascii_digit).count();
        (8..=15).contains(&digits) && rest.chars().all(|c| c.is_ascii_digit() || " -()".contains(c))
    })
}

/// 13 to 19 digits, spaces and dashes aside, that pass the Luhn check of ISO/IEC 7812.
fn is_card_number(value: &str) -> bool {
    let digits: Option<Vec<u32>> = value.chars().filter(|c| !matches!(c, ' ' | '-')).map(|c| c.to_digit(10)).collect();
    let Some(digits) = digits.filter(|digits| (13..=19).contains(&digits.len())) else { return false };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, digit * 2) {
            (0, _) => *digit,
            (_, doubled) if doubled > 9 => doubled - 9,
            (_, doubled) => doubled,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Notices, each once: several outcomes may share a URL.
struct Notices(Vec<Notice>);

impl Notices {
    fn add(&mut self, code: NoticeCode, field: String, description: String) {
        let notice = Notice { code, field: field.into(), description: description.into() };
        if !self.0.contains(&notice) {
            self.0.push(notice);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_card_numbers_look_personal_and_references_do_not() {
        for (value, personal) in [
            ("ana@example.com", true),
            ("4111 1111 1111 1111", true),
            ("4111111111111112", false),
            ("+1 (415) 555-0123", true),
            ("+12", false),
            ("order_pro_123", false),
            ("@home", false),
            ("2026-11-21", false),
            ("", false),
        ] {
            assert_eq!(looks_personal(value), personal, "{value}");
        }
    }

    #[test]
    fn a_personal_value_is_found_in_a_query_as_it_is_written() {
        for (query, personal) in [
            ("p=+14155550123", true),
            ("p=%2B14155550123", true),
            ("a=1&e=ana%40example.com#x", true),
            ("q=two words", false),
            ("ref=14155550123", false),
            ("#e=ana@example.com", false),
        ] {
            let template = Template::compile(&format!("https://a.example.com/?{query}")).unwrap();
            assert_eq!(has_personal_literal(&template), personal, "{query}");
        }
    }
}
