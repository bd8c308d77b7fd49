//! The configuration file: TOML, one key for each option, no tables. Read once, when the server starts.
//!
//! A text of the file that may be a secret is never repeated.

use super::{
    definition::{self, Definition, Kind},
    limits::{FILE_BYTES, KEY_CHARS, PROBLEMS},
};
use crate::cli::secret_file::SecretFile;
use std::{collections::BTreeMap, ffi::OsString, ops::Range, path::Path};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// What a file says.
#[derive(Debug, Default)]
pub struct Contents {
    /// For each key that can be used, its line and the values.
    pub values: BTreeMap<String, (usize, Vec<OsString>)>,
    /// What is wrong, each with its line; and without one, what is wrong with the file as a whole.
    pub problems: Vec<(Option<usize>, String)>,
    /// The keys that are meant by what is wrong.
    pub meant: Vec<String>,
    /// Whether it is not known what the file says about any option.
    pub is_unreadable: bool,
    /// Whether every user of the machine can read it.
    pub is_open_to_others: bool,
}

impl Contents {
    /// Reads a file.
    pub fn read(path: &Path) -> Self {
        match SecretFile::read(path, FILE_BYTES) {
            Ok(SecretFile { text, is_open_to_others }) => Self { is_open_to_others, ..Self::of(&text) },
            Err(problem) => Self { problems: vec![(None, problem)], is_unreadable: true, ..Self::default() },
        }
    }

    /// Reads the text of a file.
    fn of(text: &str) -> Self {
        let (document, errors) = DeTable::parse_recoverable(text);
        let mut contents = Self::default();
        let newlines: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
        let line = |at: &Range<usize>| 1 + newlines.partition_point(|newline| *newline < at.start);
        for error in &errors {
            contents.problems.push((error.span().as_ref().map(line), format!("is no TOML: {}", error.message())));
        }
        // What is made of a text that is no TOML says nothing about what its author meant.
        contents.is_unreadable = !errors.is_empty();
        if contents.is_unreadable {
            return contents;
        }
        let definitions = definition::all();
        for (key, value) in document.get_ref() {
            let line = line(&key.span());
            let key = key.get_ref().as_ref();
            match definitions.iter().find(|definition| definition.key == key) {
                Some(definition) => contents.take(definition, line, value),
                None => contents.refuse(key, line, value),
            }
        }
        contents
    }

    fn take(&mut self, definition: &Definition, line: usize, value: &Spanned<DeValue<'_>>) {
        let key = &definition.key;
        let read = values(definition, value.get_ref()).map_err(|problem| format!("{key} {problem}"));
        let checked = read.and_then(|values| match definition.check(&values) {
            Ok(()) => Ok(values),
            Err(problem) => Err(format!("{key}{}: {problem}", super::shown(definition, &values))),
        });
        match checked {
            Ok(values) => drop(self.values.insert(key.clone(), (line, values))),
            Err(problem) => {
                self.problems.push((Some(line), problem));
                self.meant.push(key.clone());
            }
        }
    }

    fn refuse(&mut self, key: &str, line: usize, value: &Spanned<DeValue<'_>>) {
        let is_plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if key.is_empty() || key.len() > KEY_CHARS || !is_plain {
            self.problems.push((Some(line), "this key is no option".into()));
            return;
        }
        if let DeValue::Table(_) = value.get_ref() {
            self.problems.push((Some(line), format!("{key} is a table: write options above it, outside of tables")));
            return;
        }
        // Nobody reads more of them than that.
        let meant = if self.problems.len() < PROBLEMS { definition::nearest(key) } else { None };
        let remedy = meant.as_ref().map(|meant| format!(": write {meant}")).unwrap_or_default();
        self.problems.push((Some(line), format!("{key} is no option{remedy}")));
        self.meant.extend(meant);
    }
}

/// The values as they would be typed.
fn values(definition: &Definition, value: &DeValue<'_>) -> Result<Vec<OsString>, String> {
    match (definition.kind(), value) {
        (Kind::List, DeValue::Array(values)) => values.iter().map(|value| one(value.get_ref())).collect(),
        (_, DeValue::Array(_)) => Err("takes one value, not a list".into()),
        (_, value) => Ok(vec![one(value)?]),
    }
}

fn one(value: &DeValue<'_>) -> Result<OsString, String> {
    match value {
        DeValue::String(text) => Ok(text.as_ref().into()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().into()),
        DeValue::Integer(_) => Err("is a number that is not written in decimals".into()),
        DeValue::Float(number) => Ok(number.as_str().into()),
        DeValue::Boolean(switch) => Ok(switch.to_string().into()),
        DeValue::Datetime(_) => Err("takes no date: write a text in quotes".into()),
        DeValue::Array(_) => Err("takes a list of texts, not of lists".into()),
        DeValue::Table(_) => Err("takes a value, not a table".into()),
    }
}
