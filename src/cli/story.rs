//! A decision told in sentences: what happened, where the buyer goes, why, and what to change if that is not what was
//! meant; for people, and for programs with a [`Code`] for each sentence. Says nothing of a session that `waypost resolve`
//! would not print, and shortens return tokens.

use super::{outcome, redirect, table::visible, time};
use crate::{
    proto::v1::{Action, Candidate, Kind, Outcome, Redirect, Session, Source, candidate::Fate},
    redirect::Template,
};
use clap::{ValueEnum, builder::PossibleValue};
use serde::{Serialize, Serializer};
use std::fmt::{self, Display};
use url::Url;

/// Who asks, which decides the tense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Where the session's buyer goes as things stand.
    AsItStands,
    /// Where a buyer would go after that outcome.
    WhatIf,
}

/// A decision told.
#[derive(Debug)]
pub struct Story(Vec<Paragraph>);

/// Sentences that answer one question.
#[derive(Debug)]
struct Paragraph {
    heading: &'static str,
    sentences: Vec<Sentence>,
}

/// What is said, for people, and a word for it, for programs.
#[derive(Debug)]
struct Sentence {
    code: Code,
    /// The lines of the text. Further ones belong to the first.
    lines: Vec<String>,
}

/// What a sentence is about. Programs compare these names, so they stay as they are. Written into
/// `docs/troubleshooting.md` with these comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "SCREAMING_SNAKE_CASE")]
enum Code {
    /// No outcome is recorded, and the session has not expired.
    Open,
    /// The session expired without an outcome.
    RanOut,
    /// An outcome was recorded.
    Recorded,
    /// A buyer who comes back before an outcome is recorded counts as one who left.
    CountsAsLeft,
    /// The answer is for an outcome that was asked for and is not the recorded one.
    WhatIf,
    /// The URL that the buyer goes to.
    Destination,
    /// The buyer goes to no URL but sees Waypost's own page.
    HostedPage,
    /// The URL of this place is the answer.
    Chosen,
    /// This place has no URL.
    Empty,
    /// The URL of this place came first, and failed the final check.
    Refused,
    /// The URL of this place came after the answer.
    Outranked,
    /// The server is newer than the command and told of this place what the command does not know.
    UnknownFate,
    /// No place has a URL for the outcome.
    NoUrl,
    /// A placeholder became a value.
    Filled,
    /// A placeholder became nothing, as there is no such value yet.
    FilledWithNothing,
    /// A placeholder names nothing that the session has, and stayed as it is.
    Unresolved,
    /// A parameter that Waypost added to the URL.
    Added,
    /// What the buyer's browser does.
    Browser,
    /// Advice: if the buyer paid, record it.
    RecordTheOutcome,
    /// Advice: correct the refused URL in the merchant's settings.
    CorrectTheSettings,
    /// Advice: correct the refused URL in create requests.
    CorrectTheRequest,
    /// Advice: give a URL for this outcome.
    GiveAUrl,
    /// Advice: let the other level come first.
    ChangeThePrecedence,
    /// Advice: correct the placeholders that name nothing, or send what they name.
    CorrectThePlaceholders,
}

impl Sentence {
    fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, lines: vec![text.into()] }
    }

    fn line(mut self, text: impl Into<String>) -> Self {
        self.lines.push(text.into());
        self
    }
}

/// The heading of what does not explain the decision but would lead to another one.
const ADVICE: &str = "What to change, if that is not what was meant";

impl Story {
    /// The story of a session's decision, which was explained.
    pub fn of(session: &Session, decision: &Redirect, asked: Asked) -> Self {
        let paragraph = |heading, sentences| Paragraph { heading, sentences };
        Self(vec![
            paragraph("What happened", what_happened(session, decision, asked)),
            paragraph("Where the buyer goes", vec![destination(decision)]),
            paragraph("Why", reasons(decision)),
            paragraph("What was filled in", fillings(decision)),
            paragraph("What was added", additions(decision)),
            paragraph("What the browser does", vec![browser(session, decision)]),
            paragraph(ADVICE, advice(session, decision, asked)),
        ])
    }

    /// What explains the decision.
    pub fn reasons(&self) -> Vec<Told> {
        self.told(|paragraph| paragraph.heading != ADVICE)
    }

    /// What would lead elsewhere, most likely first.
    pub fn advice(&self) -> Vec<Told> {
        self.told(|paragraph| paragraph.heading == ADVICE)
    }

    fn told(&self, which: impl Fn(&&Paragraph) -> bool) -> Vec<Told> {
        let sentences = self.0.iter().filter(which).flat_map(|paragraph| &paragraph.sentences);
        sentences.map(|Sentence { code, lines }| Told { code: *code, text: lines.join(" ") }).collect()
    }
}

/// A sentence for programs.
#[derive(Debug, Serialize)]
pub struct Told {
    #[serde(serialize_with = "name")]
    code: Code,
    text: String,
}

fn name<S: Serializer>(code: &Code, serializer: S) -> Result<S::Ok, S::Error> {
    code.to_possible_value().as_ref().map(PossibleValue::get_name).serialize(serializer)
}

/// For people: headings with their sentences; nothing where there are none.
impl Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = self.0.iter().filter(|paragraph| !paragraph.sentences.is_empty());
        for (at, Paragraph { heading, sentences }) in told.enumerate() {
            let space = if at == 0 { "" } else { "\n\n" };
            write!(f, "{space}{heading}:")?;
            let mut number = 0;
            for Sentence { code, lines } in sentences {
                let is_place = code.is_of_a_place();
                number += u32::from(is_place);
                for (at, line) in lines.iter().enumerate() {
                    let margin = match (is_place, at) {
                        (true, 0) => format!("{number}. "),
                        (true, _) => "   ".to_owned(),
                        (false, _) => String::new(),
                    };
                    write!(f, "\n  {margin}{}", visible(line))?;
                }
            }
        }
        Ok(())
    }
}

impl Code {
    /// Whether it says what became of one of the places that were looked at in order.
    fn is_of_a_place(self) -> bool {
        matches!(self, Self::Chosen | Self::Empty | Self::Refused | Self::Outranked | Self::UnknownFate)
    }
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

fn what_happened(session: &Session, decision: &Redirect, asked: Asked) -> Vec<Sentence> {
    let kind = kind(session);
    let (code, recorded) = match session.outcome() {
        Outcome::Unspecified => (
            Code::Open,
            format!("The {kind} is open until {}; no outcome is recorded.", time::point(session.expire_time)),
        ),
        Outcome::Expired => (Code::RanOut, format!("The {kind} ran out at {}.", time::point(session.expire_time))),
        Outcome::Success | Outcome::Failure | Outcome::Cancel | Outcome::Pending => {
            let word = outcome::word(session.outcome);
            let at = time::point(session.update_time);
            (Code::Recorded, format!("The outcome {word} of the {kind} was recorded at {at}."))
        }
    };
    let answered = outcome::word(decision.outcome);
    let mut sentences = vec![Sentence::new(code, recorded)];
    match asked {
        Asked::WhatIf if decision.outcome != session.outcome => sentences.push(Sentence::new(
            Code::WhatIf,
            format!("This is where the buyer would go after {answered}; nothing is recorded by asking."),
        )),
        Asked::AsItStands if session.outcome() == Outcome::Unspecified => sentences.push(Sentence::new(
            Code::CountsAsLeft,
            format!("A buyer who comes back now counts as one who left before paying: {answered}."),
        )),
        Asked::AsItStands | Asked::WhatIf => {}
    }
    sentences
}

fn destination(decision: &Redirect) -> Sentence {
    if decision.url.is_empty() {
        return Sentence::new(Code::HostedPage, "To no URL: Waypost's own page serves.");
    }
    Sentence::new(Code::Destination, shortened(&decision.url))
}

/// The URL without its token, which is for the merchant's site and for nobody who reads this.
pub fn shortened(url: &str) -> String {
    let Some(at) = url.find(TOKEN) else { return url.to_owned() };
    let value = at + TOKEN.len();
    let end = url[value..].find(['&', '#']).map_or(url.len(), |end| value + end);
    format!("{}...{}", &url[..value], &url[end..])
}

const TOKEN: &str = "return_token=";

/// Every place that was looked at, in order, and what became of it.
fn reasons(decision: &Redirect) -> Vec<Sentence> {
    let mut sentences = Vec::new();
    for candidate in &decision.candidates {
        let place = place(candidate);
        let (code, fate) = match candidate.fate() {
            Fate::Chosen => (Code::Chosen, "is the answer."),
            Fate::Empty => (Code::Empty, "is not set."),
            Fate::Refused => (
                Code::Refused,
                "came first and was refused. No URL of lower rank stands in for it: the hosted page does.",
            ),
            Fate::Outranked => (Code::Outranked, "is set, and came after the answer."),
            Fate::Unspecified => (Code::UnknownFate, "met a fate that this command does not know."),
        };
        let mut sentence = Sentence::new(code, format!("{place} {fate}"));
        if !candidate.template.is_empty() {
            sentence = sentence.line(&candidate.template);
        }
        if !candidate.detail.is_empty() {
            sentence = sentence.line(format!("Refused because it {}.", candidate.detail.trim_end_matches('.')));
        }
        sentences.push(sentence);
    }
    if nothing_is_set(decision) {
        sentences.push(Sentence::new(Code::NoUrl, "So there is no URL for this outcome."));
    }
    sentences
}

/// Whether no place has a URL for the outcome.
fn nothing_is_set(decision: &Redirect) -> bool {
    decision.url.is_empty() && decision.candidates.iter().all(|candidate| candidate.fate() == Fate::Empty)
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
fn fillings(decision: &Redirect) -> Vec<Sentence> {
    let chosen = decision.candidates.iter().find(|candidate| candidate.fate() == Fate::Chosen);
    let mut sentences = Vec::new();
    for (written, value) in chosen.map(|chosen| filled(&chosen.template, &decision.url)).unwrap_or_default() {
        sentences.push(match value {
            "" => {
                Sentence::new(Code::FilledWithNothing, format!("{written} became nothing: there is no such value yet."))
            }
            value => Sentence::new(Code::Filled, format!("{written} became {value}")),
        });
    }
    for unresolved in &decision.unresolved_placeholders {
        let text = format!("{unresolved} names nothing that this session has, and stays as it is written.");
        sentences.push(Sentence::new(Code::Unresolved, text));
    }
    sentences
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
fn additions(decision: &Redirect) -> Vec<Sentence> {
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
    url.query_pairs().filter_map(added).map(|text: String| Sentence::new(Code::Added, text)).collect()
}

/// Whether the merchant's own template has a parameter of that name.
fn has_parameter(decision: &Redirect, name: &str) -> bool {
    let chosen = decision.candidates.iter().find(|candidate| candidate.fate() == Fate::Chosen);
    chosen.is_some_and(|chosen| {
        let query = chosen.template.split_once('?').map_or("", |(_, query)| query);
        query.split(['&', '#']).any(|pair| pair.split('=').next() == Some(name))
    })
}

fn browser(session: &Session, decision: &Redirect) -> Sentence {
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
    Sentence::new(Code::Browser, sentence)
}

/// What would lead elsewhere, most likely first.
fn advice(session: &Session, decision: &Redirect, asked: Asked) -> Vec<Sentence> {
    let mut sentences = Vec::new();
    let (id, merchant) = (&session.session_id, &session.merchant_id);
    let slot = outcome::word(decision.outcome);
    if asked == Asked::AsItStands && matches!(session.outcome(), Outcome::Unspecified | Outcome::Expired) {
        let text = format!("If the buyer paid, that was not recorded: waypost record {id} success");
        sentences.push(Sentence::new(Code::RecordTheOutcome, text));
    }
    for candidate in decision.candidates.iter().filter(|candidate| candidate.fate() == Fate::Refused) {
        sentences.push(match candidate.source() {
            Source::MerchantSettings => {
                let slot = outcome::word(candidate.slot);
                let text = format!("Correct the URL in the settings: waypost merchant set {merchant} --{slot}-url ...");
                Sentence::new(Code::CorrectTheSettings, text)
            }
            _ => {
                let field = field(session, candidate.slot);
                let text = format!("Correct the URL in the create request of later sessions: {field}");
                Sentence::new(Code::CorrectTheRequest, text)
            }
        });
    }
    if nothing_is_set(decision) {
        let field = field(session, decision.outcome);
        let text = format!("Give a URL for this outcome in the create request, as {field}, or");
        let command = format!("for all sessions, these too: waypost merchant set {merchant} --{slot}-url https://...");
        sentences.push(Sentence::new(Code::GiveAUrl, text).line(command));
    }
    let chosen = decision.candidates.iter().position(|candidate| candidate.fate() == Fate::Chosen);
    if let Some(outranked) = decision.candidates.iter().find(|candidate| candidate.fate() == Fate::Outranked) {
        let same_slot = chosen.is_some_and(|at| decision.candidates[at].slot == outranked.slot);
        let (order, first) = match outranked.source() {
            Source::Request => ("request-first", "the create request"),
            _ => ("settings-first", "the settings"),
        };
        if same_slot {
            let text = format!("To let {first} come first: waypost merchant set {merchant} --precedence {order}");
            sentences.push(Sentence::new(Code::ChangeThePrecedence, text));
        }
    }
    if !decision.unresolved_placeholders.is_empty() {
        let text = "Correct the placeholders that name nothing, or send what they name, such as metadata.";
        sentences.push(Sentence::new(Code::CorrectThePlaceholders, text));
    }
    sentences
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
    use expect_test::expect_file;

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
    fn the_document_has_every_code_with_its_meaning() {
        const BEGIN: &str = "<!-- codes: written by `UPDATE_EXPECT=1 cargo test --lib story` -->\n";
        const END: &str = "<!-- end of codes -->";
        let rows = Code::value_variants()
            .iter()
            .filter_map(Code::to_possible_value)
            .map(|code| format!("| `{}` | {} |\n", code.get_name(), code.get_help().expect("a code has a meaning")));
        let table = format!("| code | says |\n|---|---|\n{}", rows.collect::<String>());
        let written = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/troubleshooting.md")).unwrap();
        let (before, rest) = written.split_once(BEGIN).expect("the document has a place for the codes");
        let (_, after) = rest.split_once(END).expect("the place has an end");
        expect_file!["../../docs/troubleshooting.md"].assert_eq(&format!("{before}{BEGIN}{table}{END}{after}"));
    }

    #[test]
    fn a_token_is_never_shown() {
        assert_eq!(shortened("https://a.example/?return_token=eyJ.a.b#top"), "https://a.example/?return_token=...#top");
        assert_eq!(shortened("https://a.example/?a=1&return_token=x"), "https://a.example/?a=1&return_token=...");
        assert_eq!(shortened("https://a.example/"), "https://a.example/");
    }
}
