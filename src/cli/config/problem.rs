//! What is wrong with a configuration: all of it at once, each with the place where it has to be put right.

use super::limits::PROBLEMS;
use crate::cli::table::visible;
use std::fmt;

/// Something that an option's value makes impossible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The keys of the options that it depends on; the first is where it is told. A problem that depends on a value that is
    /// wrong itself is none.
    pub about: Vec<&'static str>,
    /// What is wrong and what to do, to be read after the option's name.
    pub text: String,
}

impl Problem {
    /// One that depends on one option.
    pub fn of(key: &'static str, text: impl Into<String>) -> Self {
        Self { about: vec![key], text: text.into() }
    }

    /// It depends on that option too.
    pub fn and(mut self, key: &'static str) -> Self {
        self.about.push(key);
        self
    }
}

/// Where a value comes from, the file first, since that is where most of it is put right.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The file, and its line from 1.
    File(usize),
    /// An environment variable.
    Environment,
    /// The command line.
    Flag,
    /// Nobody said anything.
    Default,
}

/// What is told about a configuration, in the order of the places. Not necessarily anything.
#[derive(Debug, Default)]
pub struct Problems(Vec<(Origin, String)>);

impl Problems {
    /// Tells something about a place; the text begins with the place's name.
    pub fn tell(&mut self, place: Origin, text: String) {
        // After those of the same place.
        let at = self.0.partition_point(|(other, _)| *other <= place);
        self.0.insert(at, (place, text));
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [(_, text)] = &self.0[..] {
            return f.write_str(&lines(text, "\n"));
        }
        write!(f, "{} problems with the options:", self.0.len())?;
        for (_, text) in self.0.iter().take(PROBLEMS) {
            write!(f, "\n  {}", lines(text, "\n  "))?;
        }
        match self.0.len().saturating_sub(PROBLEMS) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

/// The lines of a text, with nothing in them that moves the cursor.
fn lines(text: &str, separator: &str) -> String {
    text.lines().map(visible).collect::<Vec<_>>().join(separator)
}
