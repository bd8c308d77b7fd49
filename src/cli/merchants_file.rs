//! The file of `waypost merchant apply`, as operators write it:
//!
//! ```toml
//! [[merchant]]
//! merchant_id = "6CQXXXXXXXYE1"
//! name = "Ana Books"
//! precedence = "request-first"               # or "settings-first", the default
//! auto_return_delay = "5s"
//! allowed_origins = ["https://shop.example.com"]
//! app_schemes = ["com.example.shop"]
//! sign_returns = true
//!
//! [merchant.return_urls]
//! success = "https://shop.example.com/paid?s={CHECKOUT_SESSION_ID}"
//! ```
//!
//! An entry is all of its merchant's settings: what it leaves out has its default. The form is checked here, what it says
//! by the server. Both name the key and its line.

use super::time;
use crate::proto::v1::{Merchant, Precedence, ReturnUrls};
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    ops::Range,
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Bytes of a file that are read: some thousand merchants with every setting.
pub const FILE_BYTES: u64 = 4 * 1024 * 1024;

/// A merchant as the file has it.
#[derive(Debug)]
pub struct Entry {
    pub merchant: Merchant,
    /// Where the entry begins, and where each of its keys stands.
    line: usize,
    lines: BTreeMap<String, usize>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    pub line: usize,
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.text)
    }
}

impl Entry {
    /// Reads the text of a file, or finds everything that is wrong with its form.
    pub fn read_all(text: &str) -> Result<Vec<Self>, Vec<Problem>> {
        let (document, errors) = DeTable::parse_recoverable(text);
        let mut reading = Reading { text, problems: Vec::new() };
        for error in &errors {
            reading.problem(&error.span().unwrap_or_default(), error.message());
        }
        // What is made of a text that is no TOML says nothing about what its author meant.
        let entries = if errors.is_empty() { reading.document(document.get_ref()) } else { Vec::new() };
        reading.problems.sort();
        if reading.problems.is_empty() { Ok(entries) } else { Err(reading.problems) }
    }

    /// The problem that the server has with a field, such as `merchant.return_urls.success`, at the line of its key.
    pub fn problem(&self, field: &str, text: &str) -> Problem {
        let key = field.strip_prefix("merchant.").unwrap_or(field);
        // An entry of a list, or what is not in the file, is found by what it belongs to.
        let mut place = key;
        let line = loop {
            match (self.lines.get(place), place.rfind(['.', '['])) {
                (Some(line), _) => break *line,
                (None, Some(at)) => place = &place[..at],
                (None, None) => break self.line,
            }
        };
        Problem { line, text: format!("{key} {text}") }
    }

    /// The problem with the entry as a whole.
    pub fn problem_with_all(&self, text: &str) -> Problem {
        Problem { line: self.line, text: format!("merchant {}: {text}", self.merchant.merchant_id) }
    }
}

struct Reading<'t> {
    text: &'t str,
    problems: Vec<Problem>,
}

type Value<'i> = Spanned<DeValue<'i>>;

const KEYS: &str =
    "merchant_id, name, return_urls, precedence, auto_return_delay, allowed_origins, app_schemes, sign_returns";
const SLOTS: &str = "success, failure, cancel, pending, expired";

impl Reading<'_> {
    fn line(&self, at: &Range<usize>) -> usize {
        let before = &self.text.as_bytes()[..at.start.min(self.text.len())];
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }

    fn problem(&mut self, at: &Range<usize>, text: impl fmt::Display) {
        let line = self.line(at);
        self.problems.push(Problem { line, text: text.to_string() });
    }

    fn document(&mut self, document: &DeTable<'_>) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (key, value) in document {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("merchant", DeValue::Array(found)) => {
                    entries.extend(found.iter().filter_map(|entry| self.entry(entry)));
                }
                ("merchant", _) => self.problem(&key.span(), "merchant is not a list: write [[merchant]]"),
                (other, _) => {
                    self.problem(&key.span(), format_args!("{other:?} is not a key of this file: write [[merchant]]"));
                }
            }
        }
        if entries.is_empty() && self.problems.is_empty() {
            self.problem(&(0..0), "there is no merchant: write at least one [[merchant]]");
        }
        let mut first: HashMap<&str, usize> = HashMap::new();
        let mut repeated = Vec::new();
        for entry in &entries {
            let id = entry.merchant.merchant_id.as_str();
            match first.get(id) {
                Some(line) => repeated.push(entry.problem(
                    "merchant_id",
                    &format!("{id:?} has an entry at line {line} already: write one for each merchant"),
                )),
                None => drop(first.insert(id, entry.line)),
            }
        }
        self.problems.extend(repeated);
        entries
    }

    fn entry(&mut self, value: &Value<'_>) -> Option<Entry> {
        let DeValue::Table(table) = value.get_ref() else {
            self.problem(&value.span(), "merchant is not a table: write [[merchant]] and its keys below");
            return None;
        };
        let mut merchant = Merchant::default();
        let mut lines = BTreeMap::new();
        let mut named = false;
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            lines.insert(name.to_owned(), self.line(&key.span()));
            match name {
                "merchant_id" => {
                    named = true;
                    merchant.merchant_id = self.text(name, value);
                }
                "name" => merchant.name = self.text(name, value),
                "precedence" => merchant.precedence = self.precedence(value).into(),
                "auto_return_delay" => merchant.auto_return_delay = self.delay(value),
                "allowed_origins" => merchant.allowed_origins = self.list(name, value),
                "app_schemes" => merchant.app_schemes = self.list(name, value),
                "sign_returns" => match value.get_ref() {
                    DeValue::Boolean(sign) => merchant.sign_returns = *sign,
                    _ => self.problem(&value.span(), "sign_returns is neither: write true or false"),
                },
                "return_urls" => merchant.return_urls = self.return_urls(value, &mut lines),
                other => {
                    self.problem(&key.span(), format_args!("{other:?} is not a key of a merchant: write {KEYS}"));
                }
            }
        }
        if !named {
            self.problem(&value.span(), "merchant_id is missing: write whose settings these are");
        }
        Some(Entry { merchant, line: self.line(&value.span()), lines })
    }

    fn return_urls(&mut self, value: &Value<'_>, lines: &mut BTreeMap<String, usize>) -> Option<ReturnUrls> {
        let DeValue::Table(table) = value.get_ref() else {
            self.problem(
                &value.span(),
                format_args!("return_urls is not a table: write [merchant.return_urls] and {SLOTS}"),
            );
            return None;
        };
        let mut urls = ReturnUrls::default();
        for (key, value) in table {
            let slot = key.get_ref().as_ref();
            let name = format!("return_urls.{slot}");
            lines.insert(name.clone(), self.line(&key.span()));
            let place = match slot {
                "success" => &mut urls.success,
                "failure" => &mut urls.failure,
                "cancel" => &mut urls.cancel,
                "pending" => &mut urls.pending,
                "expired" => &mut urls.expired,
                other => {
                    self.problem(&key.span(), format_args!("{other:?} is not a return URL: write {SLOTS}"));
                    continue;
                }
            };
            *place = self.text(&name, value);
        }
        Some(urls)
    }

    fn text(&mut self, key: &str, value: &Value<'_>) -> String {
        match value.get_ref().as_str() {
            Some("") => self.problem(&value.span(), format_args!("{key} is empty: leave it out for the default")),
            Some(text) => return text.to_owned(),
            None => self.problem(&value.span(), format_args!("{key} is not a text: put it into quotes")),
        }
        String::new()
    }

    fn list(&mut self, key: &str, value: &Value<'_>) -> Vec<String> {
        let Some(values) = value.get_ref().as_array() else {
            self.problem(&value.span(), format_args!("{key} is not a list: write [\"...\", ...]"));
            return Vec::new();
        };
        values.iter().map(|value| self.text(key, value)).collect()
    }

    fn precedence(&mut self, value: &Value<'_>) -> Precedence {
        match value.get_ref().as_str() {
            Some("settings-first") => Precedence::SettingsFirst,
            Some("request-first") => Precedence::RequestFirst,
            _ => {
                self.problem(&value.span(), "precedence is neither: write \"settings-first\" or \"request-first\"");
                Precedence::Unspecified
            }
        }
    }

    fn delay(&mut self, value: &Value<'_>) -> Option<prost_types::Duration> {
        let read = value.get_ref().as_str().ok_or_else(|| "is not a text".to_owned()).and_then(time::parse_span);
        read.map(time::to_proto)
            .map_err(|wrong| {
                self.problem(&value.span(), format_args!("auto_return_delay {wrong}: write a time such as \"5s\""));
            })
            .ok()
    }
}
