//! One option of the server, as clap has it defined: the one source of its flag, its environment variable, its key in the
//! file, its default, its meaning and what it takes.
//!
//! An option that is added to [`Serve`] is all of these at once, and stands in every generated document.

use crate::cli::serve::Serve;
use clap::{
    Arg, ArgAction, Args, Command, Error,
    builder::{PossibleValue, Resettable, StyledStr, TypedValueParser},
    error::{ContextKind, ContextValue, ErrorKind},
};
use std::{
    any::TypeId,
    error::Error as _,
    ffi::{OsStr, OsString},
    net::AddrParseError,
    num::{NonZeroU16, NonZeroU32, NonZeroU64, NonZeroUsize, ParseIntError},
};

/// An option of the server.
#[derive(Debug, Clone)]
pub struct Definition {
    arg: Arg,
    /// What it is called in the file, and by [`Problem`](super::problem::Problem)s.
    pub key: String,
}

/// What an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// On or off.
    Switch,
    /// A whole number, and the least that it may be.
    Number {
        /// 0, or 1 where 0 makes no sense.
        min: u8,
    },
    /// A text, which may have a form of its own.
    Text,
    /// Any number of texts.
    List,
}

/// Every option of the server, group by group, as the help text has them.
pub fn all() -> Vec<Definition> {
    let server = Serve::augment_args(Command::new("serve"));
    let mut all: Vec<Definition> = server.get_arguments().cloned().map(Definition::new).collect();
    let mut groups: Vec<String> = Vec::new();
    for definition in &all {
        if !groups.iter().any(|group| group == definition.group()) {
            groups.push(definition.group().to_owned());
        }
    }
    all.sort_by_key(|definition| groups.iter().position(|group| group == definition.group()));
    all
}

/// The option that says where sessions live.
pub fn store() -> Vec<Definition> {
    all().into_iter().filter(|definition| definition.key == "store").collect()
}

impl Definition {
    fn new(arg: Arg) -> Self {
        let key = arg.get_long().unwrap_or_default().replace('-', "_");
        Self { arg, key }
    }

    /// What clap calls it.
    pub fn id(&self) -> &str {
        self.arg.get_id().as_str()
    }

    /// What it is called on the command line.
    pub fn flag(&self) -> String {
        format!("--{}", self.arg.get_long().unwrap_or_default())
    }

    /// What it is called in the environment.
    pub fn variable(&self) -> &str {
        self.arg.get_env().and_then(OsStr::to_str).unwrap_or_default()
    }

    /// The group of options that it belongs to.
    pub fn group(&self) -> &str {
        self.arg.get_help_heading().unwrap_or_default()
    }

    /// What it means, as the help text has it.
    pub fn help(&self) -> String {
        let help = self.arg.get_long_help().or_else(|| self.arg.get_help()).map(StyledStr::to_string);
        help.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// What it means, without the default that is said in words, and that default.
    pub fn meaning(&self) -> (String, Option<String>) {
        let help = self.help();
        match help.strip_suffix(']').and_then(|help| help.rsplit_once(" [default: ")) {
            Some((meaning, default)) => (meaning.trim_end_matches('.').to_owned(), Some(default.to_owned())),
            None => (help.trim_end_matches('.').to_owned(), None),
        }
    }

    /// The values that hold when nobody says anything.
    pub fn defaults(&self) -> Vec<OsString> {
        self.arg.get_default_values().iter().map(|value| OsStr::to_owned(value)).collect()
    }

    /// What stands for a value in help texts.
    #[cfg(test)]
    pub fn placeholder(&self) -> &str {
        self.arg.get_value_names().and_then(<[_]>::first).map_or("", |name| name.as_str())
    }

    /// Whether there is no server without it.
    #[cfg(test)]
    pub fn is_required(&self) -> bool {
        self.arg.is_required_set()
    }

    /// The texts that it takes, when these are few.
    pub fn choices(&self) -> Vec<String> {
        match self.kind() {
            Kind::Switch => Vec::new(),
            _ => self.arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect(),
        }
    }

    /// What it takes.
    pub fn kind(&self) -> Kind {
        match self.arg.get_action() {
            ArgAction::SetTrue | ArgAction::SetFalse => return Kind::Switch,
            ArgAction::Append => return Kind::List,
            _ => {}
        }
        let value = self.arg.get_value_parser().type_id();
        let is = |types: &[TypeId]| types.iter().any(|of| value == *of);
        if is(&[TypeId::of::<bool>()]) {
            Kind::Switch
        } else if is(&[TypeId::of::<u8>(), TypeId::of::<u16>(), TypeId::of::<u32>(), TypeId::of::<u64>()])
            || is(&[TypeId::of::<usize>()])
        {
            Kind::Number { min: 0 }
        } else if is(&[TypeId::of::<NonZeroU16>(), TypeId::of::<NonZeroU32>(), TypeId::of::<NonZeroU64>()])
            || is(&[TypeId::of::<NonZeroUsize>()])
        {
            Kind::Number { min: 1 }
        } else {
            Kind::Text
        }
    }

    /// Whether a value may hold a secret: clap's own word for what help texts must not show.
    pub fn is_secret(&self) -> bool {
        self.arg.is_hide_env_values_set()
    }

    /// The option for the command line and the environment, which is not looked into yet: every value will do, and so does
    /// every combination. Help texts show it as it is.
    pub fn as_given(&self) -> Arg {
        let arg = self.arg.clone().requires(Resettable::Reset).conflicts_with(Resettable::Reset);
        // Shells complete paths by it.
        let arg = arg.value_hint(self.arg.get_value_hint());
        match self.kind() {
            Kind::Switch => arg
                .action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .value_name("BOOL")
                .value_parser(AnyValue(Vec::new())),
            _ => arg.value_parser(AnyValue(self.arg.get_possible_values())),
        }
    }

    /// The option alone, of what is in nobody's environment.
    fn alone(&self) -> Arg {
        let arg = self.arg.clone().env(Resettable::Reset).default_value(Resettable::Reset);
        arg.requires(Resettable::Reset).conflicts_with(Resettable::Reset)
    }

    /// Whether these values can be used, as clap and the option's own type have it.
    ///
    /// # Errors
    ///
    /// What is wrong, without the value.
    pub fn check(&self, values: &[OsString]) -> Result<(), String> {
        self.read(values).map(|_| ())
    }

    /// Whether the switch is on.
    pub fn is_on(&self, values: &[OsString]) -> bool {
        let read = self.read(values).ok();
        read.and_then(|read| read.get_one::<bool>(self.id()).copied()).unwrap_or_default()
    }

    fn read(&self, values: &[OsString]) -> Result<clap::ArgMatches, String> {
        let arg = match self.kind() {
            Kind::Switch => self.alone().action(ArgAction::Set).num_args(1),
            _ => self.alone(),
        };
        let command = bare("option").arg(arg);
        let read = command.try_get_matches_from(values.iter().map(|value| self.typed(value)));
        read.map_err(|error| self.said_of_a_value(&error))
    }

    /// What an error of clap says, without the value and the option. The standard types do not say what to write.
    fn said_of_a_value(&self, error: &Error) -> String {
        let remedy = match (self.kind(), error.source()) {
            (Kind::Switch, _) => return "is neither on nor off: write true or false".into(),
            (Kind::Number { min }, Some(source)) if source.is::<ParseIntError>() => {
                return format!("is no whole number from {min}");
            }
            (_, Some(source)) if source.is::<AddrParseError>() => {
                ": write an address and a port, as 127.0.0.1:50051 is"
            }
            (_, Some(source)) if source.is::<humantime::DurationError>() => ": write a time such as 30s or 1h 30m",
            _ => "",
        };
        if let Some(source) = error.source() {
            return format!("{source}{remedy}");
        }
        match (error.kind(), error.get(ContextKind::ValidValue)) {
            (ErrorKind::InvalidValue, Some(ContextValue::Strings(valid))) if !valid.is_empty() => {
                format!("is none of its values: write {}", valid.join(" or "))
            }
            (ErrorKind::InvalidValue | ErrorKind::NoEquals, _) => "needs a value".into(),
            (ErrorKind::InvalidUtf8, _) => "is no UTF-8".into(),
            (kind, _) => kind.to_string(),
        }
    }

    /// As it would be typed.
    fn typed(&self, value: &OsStr) -> OsString {
        let mut typed = OsString::from(self.flag());
        typed.push("=");
        typed.push(value);
        typed
    }

    /// The words of a command line on which these values are given.
    pub fn words(&self, values: &[OsString]) -> Vec<OsString> {
        match self.kind() {
            Kind::Switch if self.is_on(values) => vec![self.flag().into()],
            Kind::Switch => Vec::new(),
            _ => values.iter().map(|value| self.typed(value)).collect(),
        }
    }
}

/// Makes the options of the server out of words that were checked one by one.
///
/// # Errors
///
/// What clap says about them as a whole.
pub fn serve(words: Vec<OsString>) -> Result<Serve, String> {
    let command = Serve::augment_args(bare("serve"))
        .mut_args(|arg| arg.env(Resettable::Reset).requires(Resettable::Reset).conflicts_with(Resettable::Reset));
    let read = command.try_get_matches_from(words).and_then(|matches| clap::FromArgMatches::from_arg_matches(&matches));
    read.map_err(|error: Error| error.to_string())
}

/// The keys of options that this one needs beside it, those that they need included.
pub fn needed_by(definition: &Definition) -> Vec<String> {
    // What is given for it makes no difference.
    let command = Serve::augment_args(bare("serve")).mut_args(|arg| {
        let arg = arg.env(Resettable::Reset).default_value(Resettable::Reset);
        let choices = arg.get_possible_values();
        if arg.get_action().takes_values() { arg.value_parser(AnyValue(choices)) } else { arg }
    });
    let words = match definition.kind() {
        Kind::Switch => definition.flag(),
        _ => format!("{}=x", definition.flag()),
    };
    let Err(error) = command.try_get_matches_from([words]) else { return Vec::new() };
    match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::MissingRequiredArgument, Some(ContextValue::Strings(missing))) => {
            missing.iter().filter_map(|shown| key_of(shown)).collect()
        }
        _ => Vec::new(),
    }
}

/// The keys of options that cannot be given beside this one.
pub fn excluded_by(definition: &Definition) -> Vec<String> {
    let command = Serve::augment_args(bare("serve"));
    let excluded = command.get_arg_conflicts_with(&definition.arg);
    excluded.into_iter().map(|arg| Definition::new(arg.clone()).key).collect()
}

/// The key of the option whose name is most like that one, by clap's own measure.
pub fn nearest(key: &str) -> Option<String> {
    let written_otherwise = key.replace('-', "_").to_lowercase();
    let all = all();
    if let Some(definition) = all.iter().find(|definition| definition.key == written_otherwise) {
        return Some(definition.key.clone());
    }
    let command = bare("serve").args(all.iter().map(|definition| definition.alone()));
    let error = command.try_get_matches_from([format!("--{}", written_otherwise.replace('_', "-"))]).err()?;
    match error.get(ContextKind::SuggestedArg) {
        Some(ContextValue::String(flag)) => key_of(flag),
        _ => None,
    }
}

/// A command that is options and nothing else.
fn bare(name: &'static str) -> Command {
    Command::new(name).no_binary_name(true).disable_help_flag(true).disable_version_flag(true)
}

/// The key of an option that clap shows, as in `--tls-key <FILE>`.
fn key_of(shown: &str) -> Option<String> {
    let flag = shown.strip_prefix("--")?.split([' ', '=', '[']).next()?;
    Some(flag.replace('-', "_"))
}

/// Takes every value as it is. Help texts show those that will do later.
#[derive(Debug, Clone)]
struct AnyValue(Vec<PossibleValue>);

impl TypedValueParser for AnyValue {
    type Value = OsString;

    fn parse_ref(&self, _: &Command, _: Option<&Arg>, value: &OsStr) -> Result<OsString, Error> {
        Ok(value.to_owned())
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        if self.0.is_empty() { None } else { Some(Box::new(self.0.iter().cloned())) }
    }
}
