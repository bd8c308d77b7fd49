//! The address of a store on the command line, for commands that read it by clap alone. `waypost serve` looks at all its
//! options together: see [`config`](super::config).

use crate::store::StoreUrl;
use clap::{
    Arg, Command, Error,
    builder::TypedValueParser,
    error::ErrorKind::{InvalidUtf8, ValueValidation},
};
use std::ffi::OsStr;

/// Reads the address, and does not repeat one that is wrong, as clap would: it may hold a password.
#[derive(Debug, Clone, Copy)]
pub struct Unrepeated;

impl TypedValueParser for Unrepeated {
    type Value = StoreUrl;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<StoreUrl, Error> {
        let name = arg.map(Arg::to_string).unwrap_or_default();
        let text = value.to_str().ok_or_else(|| Error::new(InvalidUtf8).with_cmd(command))?;
        let wrong = |error| Error::raw(ValueValidation, format!("{name} {error}\n")).with_cmd(command);
        text.parse().map_err(wrong)
    }
}
