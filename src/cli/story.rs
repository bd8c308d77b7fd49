//! A decision told in sentences: what happened, where the buyer goes, why, and what to change if that is not what was
//! meant. Says nothing of a session that `waypost resolve` would not print, and shortens return tokens.

use super::{outcome, redirect, table::visible, time};
use crate::{
    proto::v1::{Action, Candidate, Kind, Outcome, Redirect, Session, Source, candidate::Fate},
    redirect::Template,
};
use std::fmt::Write;
use url::Url;

/// Who asks, which decides the tense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Where the session's buyer goes as things stand.
    AsItStands,
    /// Where a buyer would go after that outcome.
    WhatIf,
}

/// The story of a session's decision, which was explained.
pub fn tell(session: &Session, decision: &Redirect, asked: Asked) -> String {
    let mut story = String::new();
    paragraph(&mut story, "What happened", &[what_happened(session, decision, asked)]);
    paragraph(&mut story, "Where the buyer goes", &[destination(decision)]);
    paragraph(&mut story, "Why", &reasons(decision));
    paragraph(&mut story, "What was filled in", &fillings(decision));
    paragraph(&mut story, "What was added", &additions(decision));
    paragraph(&mut story, "What the browser does", &[browser(session, decision)]);
    paragraph(&mut story, "What to change, if that is not what was meant", &advice(session, decision, asked));
    story.trim_end().to_owned()
}

/// A heading and its lines; nothing when there are none.
fn paragraph(story: &mut String, heading: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(story, "{heading}:");
    for line in lines {
        let _ = writeln!(story, "  {}", visible(line));
    }
    story.push('\n');
}

/// What the session is, in words.
pub fn kind(session: &Session) -> &'static str {
    match session.kind() {
        Kind::Checkout => "checkout",
        Kind::Order => "order",
        Kind::Payment => "payment",
        Kind::Unspecified => "session",
    }
}

fn what_happened(session: &Session, decision: &Redirect, asked: Asked) -> String {
    let kind = kind(session);
    let recorded = match session.outcome() {
        Outcome::Unspecified => {
            format!("The {kind} is open until {}; no outcome is recorded.", time::point(session.expire_time))
        }
        Outcome::Expired => format!("The {kind} ran out at {}.", time::point(session.expire_time)),
        Outcome::Success | Outcome::Failure | Outcome::Cancel | Outcome::Pending => {
            let word = outcome::word(session.outcome);
            format!("The outcome {word} of the {kind} was recorded at {}.", time::point(session.update_time))
        }
    };
    let answered = outcome::word(decision.outcome);
    match asked {
        Asked::WhatIf if decision.outcome != session.outcome => {
            format!("{recorded} This is where the buyer would go after {answered}; nothing is recorded by asking.")
        }
        Asked::AsItStands if session.outcome() == Outcome::Unspecified => {
            format!("{recorded} A buyer who comes back now counts as one who left before paying: {answered}.")
        }
        Asked::AsItStands | Asked::WhatIf => recorded,
    }
}

fn destination(decision: &Redirect) -> String {
    if decision.url.is_empty() {
        return "To no URL: Waypost's own page serves.".into();
    }
    shortened(&decision.url)
}

/// The URL without its token, which is for the merchant's site and for nobody who reads this.
fn shortened(url: &str) -> String {
    let Some(at) = url.find(TOKEN) else { return url.to_owned() };
    let value = at + TOKEN.len();
    let end = url[value..].find(['&', '#']).map_or(url.len(), |end| value + end);
    format!("{}...{}", &url[..value], &url[end..])
}

const TOKEN: &str = "return_token=";

/// Every place that was looked at, in order, and what became of it.
fn reasons(decision: &Redirect) -> Vec<String> {
    let mut lines = Vec::new();
    for (at, candidate) in decision.candidates.iter().enumerate() {
        let number = at + 1;
        let place = place(candidate);
        let fate = match candidate.fate() {
            Fate::Chosen => "is the answer.",
            Fate::Empty => "is not set.",
            Fate::Refused => "came first and was refused. No URL of lower rank stands in for it: the hosted page does.",
            Fate::Outranked => "is set, and came after the answer.",
            Fate::Unspecified => "met a fate that this command does not know.",
        };
        lines.push(format!("{number}. {place} {fate}"));
        if !candidate.template.is_empty() {
            lines.push(format!("   {}", candidate.template));
        }
        if !candidate.detail.is_empty() {
            lines.push(format!("   Refused because it {}.", candidate.detail.trim_end_matches('.')));
        }
    }
    if decision.url.is_empty() && decision.candidates.iter().all(|candidate| candidate.fate() == Fate::Empty) {
        lines.push("So there is no URL for this outcome.".into());
    }
    lines
}

fn place(candidate: &Candidate) -> String {
    let slot = outcome::word(candidate.slot);
    match candidate.source() {
        Source::MerchantSettings => format!("The {slot} URL of the merchant's settings"),
        Source::Request => format!("The {slot} URL of the create request"),
        Source::Unspecified | Source::HostedPage => {
            format!("The {slot} URL of a place that this command does not know")
        }
    }
}

/// What the placeholders became that were left for this moment; those that were known at create were filled then.
fn fillings(decision: &Redirect) -> Vec<String> {
    let chosen = decision.candidates.iter().find(|candidate| candidate.fate() == Fate::Chosen);
    let mut lines = Vec::new();
    for (written, value) in chosen.map(|chosen| filled(&chosen.template, &decision.url)).unwrap_or_default() {
        lines.push(match value {
            "" => format!("{written} became nothing: there is no such value yet."),
            value => format!("{written} became {value}"),
        });
    }
    for unresolved in &decision.unresolved_placeholders {
        lines.push(format!("{unresolved} names nothing that this session has, and stays as it is written."));
    }
    lines
}

/// What each placeholder of a template became in a URL, as far as that can be told from the two. A value is made of
/// unreserved and percent-encoded characters only, so it ends where another one stands.
fn filled<'u>(template: &str, url: &'u str) -> Vec<(String, &'u str)> {
    let Ok(compiled) = Template::compile(template) else { return Vec::new() };
    let (mut left, mut rest) = (template, url);
    let mut found = Vec::new();
    for placeholder in compiled.placeholders() {
        let written = placeholder.written;
        let Some((literal, behind)) = left.split_once(written) else { break };
        let Some(from_value) = rest.strip_prefix(literal) else { break };
        left = behind;
        if let Some(behind) = from_value.strip_prefix(written) {
            rest = behind;
            continue;
        }
        let of_value = |c: char| c.is_ascii_alphanumeric() || "-._~%".contains(c);
        let most = from_value.find(|c| !of_value(c)).unwrap_or(from_value.len());
        // A literal that could itself be of a value ends it where it stands first.
        let stop: String = behind.chars().take_while(|c| of_value(*c)).collect();
        let end = match stop.as_str() {
            "" => most,
            stop => from_value[..most].find(stop).unwrap_or(most),
        };
        found.push((written.to_owned(), &from_value[..end]));
        rest = &from_value[end..];
    }
    found
}

/// What Waypost put behind the merchant's own query.
fn additions(decision: &Redirect) -> Vec<String> {
    let Ok(url) = Url::parse(&decision.url) else { return Vec::new() };
    let added = |(name, value): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)| match (&*name, &*value) {
        ("return_token", _) => {
            Some("return_token: what this answer says, signed for the merchant's site to verify".into())
        }
        (name @ ("payment_id" | "status" | "external_reference" | "order_id"), _) if !has_parameter(decision, name) => {
            Some(match &*value {
                "null" => format!("{name}: the word null, as there is no such value"),
                value => format!("{name}: {value}"),
            })
        }
        _ => None,
    };
    url.query_pairs().filter_map(added).collect()
}

/// Whether the merchant's own template has a parameter of that name.
fn has_parameter(decision: &Redirect, name: &str) -> bool {
    let chosen = decision.candidates.iter().find(|candidate| candidate.fate() == Fate::Chosen);
    chosen.is_some_and(|chosen| {
        let query = chosen.template.split_once('?').map_or("", |(_, query)| query);
        query.split(['&', '#']).any(|pair| pair.split('=').next() == Some(name))
    })
}

fn browser(session: &Session, decision: &Redirect) -> String {
    let action = redirect::action(decision);
    let why = match (session.kind(), decision.action()) {
        (Kind::Order, Action::ShowPage) if !decision.url.is_empty() => {
            ". Orders go by themselves after success only, unless checkout_pro.auto_return is \"all\""
        }
        (Kind::Order, Action::DelayedRedirect) => ". The delay is the merchant's auto_return_delay",
        _ => "",
    };
    let mut sentence = format!("{action}{why}.");
    sentence[..1].make_ascii_uppercase();
    sentence
}

/// What would lead elsewhere, most likely first.
fn advice(session: &Session, decision: &Redirect, asked: Asked) -> Vec<String> {
    let mut lines = Vec::new();
    let (id, merchant) = (&session.session_id, &session.merchant_id);
    let slot = outcome::word(decision.outcome);
    if asked == Asked::AsItStands && matches!(session.outcome(), Outcome::Unspecified | Outcome::Expired) {
        lines.push(format!("If the buyer paid, that was not recorded: waypost record {id} success"));
    }
    for candidate in &decision.candidates {
        if candidate.fate() == Fate::Refused {
            lines.push(match candidate.source() {
                Source::MerchantSettings => {
                    format!(
                        "Correct the URL in the settings: waypost merchant set {merchant} --{slot}-url ...",
                        slot = outcome::word(candidate.slot)
                    )
                }
                _ => format!(
                    "Correct the URL in the create request of later sessions: {}",
                    field(session, candidate.slot)
                ),
            });
        }
    }
    if decision.url.is_empty() && decision.candidates.iter().all(|candidate| candidate.fate() == Fate::Empty) {
        lines.push(format!(
            "Give a URL for this outcome in the create request, as {}, or",
            field(session, decision.outcome)
        ));
        lines.push(format!("for all sessions, these too: waypost merchant set {merchant} --{slot}-url https://..."));
    }
    let chosen = decision.candidates.iter().position(|candidate| candidate.fate() == Fate::Chosen);
    if let Some(outranked) = decision.candidates.iter().find(|candidate| candidate.fate() == Fate::Outranked) {
        let same_slot = chosen.is_some_and(|at| decision.candidates[at].slot == outranked.slot);
        let (order, first) = match outranked.source() {
            Source::Request => ("request-first", "the create request"),
            _ => ("settings-first", "the settings"),
        };
        if same_slot {
            lines.push(format!("To let {first} come first: waypost merchant set {merchant} --precedence {order}"));
        }
    }
    if !decision.unresolved_placeholders.is_empty() {
        lines.push("Correct the placeholders that name nothing, or send what they name, such as metadata.".into());
    }
    lines
}

/// Where the create request has the URL for an outcome.
fn field(session: &Session, slot: i32) -> String {
    let slot = outcome::word(slot);
    match session.kind() {
        Kind::Order => format!("checkout_pro.back_urls.{slot}"),
        Kind::Payment => "redirect_url".into(),
        Kind::Checkout | Kind::Unspecified => format!("redirect_urls.{slot}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_placeholders_became_is_told_from_template_and_url() {
        for (template, url, expected) in [
            (
                "https://a.example/{{payment_id}}/x?s={{status}}",
                "https://a.example/12/x?s=ok%20",
                vec![("{{payment_id}}", "12"), ("{{status}}", "ok%20")],
            ),
            ("https://a.example/?e={ERROR_CODE}", "https://a.example/?e=&more=1", vec![("{ERROR_CODE}", "")]),
            ("https://a.example/{{no}}/{{payment_id}}", "https://a.example/{{no}}/7", vec![("{{payment_id}}", "7")]),
            ("https://a.example/{{payment_id}}-done", "https://a.example/7-done", vec![("{{payment_id}}", "7")]),
            ("https://a.example/", "https://a.example/", vec![]),
            ("https://a.example/{{payment_id}}", "https://b.example/7", vec![]),
        ] {
            let found = filled(template, url);
            let found: Vec<_> = found.iter().map(|(written, value)| (written.as_str(), *value)).collect();
            assert_eq!(found, expected, "{template}");
        }
    }

    #[test]
    fn a_token_is_never_shown() {
        assert_eq!(shortened("https://a.example/?return_token=eyJ.a.b#top"), "https://a.example/?return_token=...#top");
        assert_eq!(shortened("https://a.example/?a=1&return_token=x"), "https://a.example/?a=1&return_token=...");
        assert_eq!(shortened("https://a.example/"), "https://a.example/");
    }
}
