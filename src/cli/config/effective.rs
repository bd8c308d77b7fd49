//! What holds: for each option the flag, else the environment variable, else the key of the file, else the default.

use super::{
    definition::{self, Definition, Kind},
    file::Contents,
    given::Given,
    has_password,
    problem::{Origin, Problem, Problems},
    redacted, shown,
};
use crate::cli::serve::Serve;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// The configuration that holds.
pub struct Effective {
    /// The options, without those whose value is wrong.
    pub serve: Serve,
    /// What is wrong with them.
    pub problems: Problems,
    /// Every option, in the order of the help text.
    pub values: Vec<Value>,
    file: Option<PathBuf>,
    /// Whether it is not known what the file says about any option.
    is_file_unreadable: bool,
    /// Whether every user of the machine can read a password in the file.
    is_password_open: bool,
}

/// An option, and what it is set to.
pub struct Value {
    /// Which option.
    pub definition: Definition,
    /// Who says so.
    pub origin: Origin,
    /// What is said; nothing for an option that is not set and has no default.
    pub texts: Vec<OsString>,
    /// Whether that cannot be used.
    is_wrong: bool,
}

impl Effective {
    /// Puts the places together and looks at everything that can be told without opening a file but the one of the
    /// configuration.
    pub fn of(given: Given) -> Self {
        let mut effective = Self::put_together(given);
        if !effective.is_file_unreadable {
            effective.relate();
            let contradictions = effective.serve.contradictions();
            effective.tell(contradictions);
        }
        effective
    }

    /// The same without a look at how the options go together.
    pub fn put_together(given: Given) -> Self {
        let Given { file, values: mut given } = given;
        let mut contents = file.as_deref().map(Contents::read).unwrap_or_default();
        let mut texts = contents.values.values().flat_map(|(_, texts)| texts);
        let is_password_open = contents.is_open_to_others && texts.any(|text| has_password(&text.to_string_lossy()));
        let values = definition::all().into_iter().map(|definition| {
            let (origin, texts) = match (given.remove(&definition.key), contents.values.remove(&definition.key)) {
                (Some(given), _) => given,
                (None, Some((line, texts))) => (Origin::File(line), texts),
                (None, None) => (Origin::Default, definition.defaults()),
            };
            // Nobody knows what it is when the file means to say it.
            let is_wrong = origin == Origin::Default && contents.meant.contains(&definition.key);
            Value { definition, origin, texts, is_wrong }
        });
        let mut values: Vec<Value> = values.collect();
        let mut problems = Problems::default();
        if let Some(file) = &file {
            for (line, problem) in contents.problems {
                let place = line.map(|line| format!(":{line}:")).unwrap_or_default();
                problems.tell(Origin::File(line.unwrap_or_default()), format!("{}{place} {problem}", file.display()));
            }
        }
        for value in &mut values {
            // The file's own were looked at, those too that another place comes before.
            let checked = match value.origin {
                Origin::Environment | Origin::Flag => value.definition.check(&value.texts),
                Origin::File(_) | Origin::Default => Ok(()),
            };
            if let Err(problem) = checked {
                value.is_wrong = true;
                let name = name(&value.definition, &value.origin, None);
                let text = format!("{name}{}: {problem}", shown(&value.definition, &value.texts));
                problems.tell(value.origin.clone(), text);
            }
        }
        let said = values.iter().filter(|value| value.origin != Origin::Default && !value.is_wrong);
        let words = said.flat_map(|value| value.definition.words(&value.texts)).collect();
        let serve = definition::serve(words).unwrap_or_else(|problem| {
            // Each word is good by itself. Something about them together that is not looked at below.
            problems.tell(Origin::Default, problem);
            definition::serve(Vec::new()).expect("no option is required")
        });
        Self { serve, problems, values, file, is_file_unreadable: contents.is_unreadable, is_password_open }
    }

    /// Tells of problems, but of those that come of a value that is wrong itself.
    pub fn tell(&mut self, problems: Vec<Problem>) {
        for problem in problems {
            if problem.about.iter().any(|key| self.value(key).is_some_and(|value| value.is_wrong)) {
                continue;
            }
            let value = problem.about.first().and_then(|key| self.value(key));
            let value = value.expect("a problem is about an option");
            let (origin, name) = (value.origin.clone(), name(&value.definition, &value.origin, self.file.as_deref()));
            self.problems.tell(origin, format!("{name} {}", problem.text));
        }
    }

    /// Looks for options that lack one that they need, or that exclude each other.
    fn relate(&mut self) {
        let given: Vec<&Value> = self.values.iter().filter(|value| value.is_given()).collect();
        let mut told = Vec::new();
        let mut lacking = Vec::new();
        for value in &given {
            let name = name(&value.definition, &value.origin, self.file.as_deref());
            for needed in definition::needed_by(&value.definition) {
                let Some(other) = self.value(&needed) else { continue };
                if !other.is_given() && !other.is_wrong && !lacking.contains(&needed) {
                    let other = name_like(&other.definition, &value.origin);
                    told.push((value.origin.clone(), format!("{name} needs {other} beside it")));
                    lacking.push(needed);
                }
            }
            for excluded in definition::excluded_by(&value.definition) {
                if let Some(other) = given.iter().find(|other| other.definition.key == excluded) {
                    let other = name_like(&other.definition, &other.origin);
                    let text = format!("{name} and {other} contradict each other: give one of them");
                    told.push((value.origin.clone(), text));
                }
            }
        }
        for (origin, text) in told {
            self.problems.tell(origin, text);
        }
    }

    /// Logs what is not wrong, and should not stay so.
    pub fn warn(&self) {
        if self.is_password_open {
            tracing::warn!("every user of the machine can read a password: `chmod 600` the file of --config");
        }
    }

    /// The file's name and the line in it, or what else says so.
    pub fn origin(&self, value: &Value) -> String {
        match (&value.origin, &self.file) {
            (Origin::Flag, _) => value.definition.flag(),
            (Origin::Environment, _) => value.definition.variable().to_owned(),
            (Origin::File(line), Some(file)) => format!("{}:{line}", file.display()),
            (Origin::File(_) | Origin::Default, _) => "default".to_owned(),
        }
    }

    fn value(&self, key: &str) -> Option<&Value> {
        self.values.iter().find(|value| value.definition.key == key)
    }
}

impl Value {
    /// Whether the value has something that is not to be told.
    pub fn is_redacted(&self) -> bool {
        self.texts.iter().any(|text| redacted(&text.to_string_lossy()) != text.to_string_lossy())
    }

    /// Whether somebody asks for it. To switch something off is not to ask for it.
    fn is_given(&self) -> bool {
        let is_off = || self.definition.kind() == Kind::Switch && !self.definition.is_on(&self.texts);
        self.origin != Origin::Default && !self.is_wrong && !is_off()
    }
}

/// The option as the place calls it, with the line of a file.
fn name(definition: &Definition, origin: &Origin, file: Option<&Path>) -> String {
    match (origin, file) {
        (Origin::File(line), Some(file)) => format!("{}:{line}: {}", file.display(), definition.key),
        _ => name_like(definition, origin),
    }
}

/// The option as places of that sort call options.
fn name_like(definition: &Definition, origin: &Origin) -> String {
    match origin {
        Origin::File(_) => definition.key.clone(),
        Origin::Environment => definition.variable().to_owned(),
        Origin::Flag | Origin::Default => definition.flag(),
    }
}
