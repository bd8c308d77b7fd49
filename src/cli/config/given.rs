//! The options as they were typed and as the environment has them. Not looked into: that is done for all places at once.

use super::{definition, problem::Origin};
use clap::{ArgMatches, Args, Command, Error, FromArgMatches, parser::ValueSource};
use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

/// What the command line and the environment say.
#[derive(Debug)]
pub struct Given {
    /// The file that says the rest.
    pub file: Option<PathBuf>,
    /// For each key that is given, where, and the values.
    pub values: BTreeMap<String, (Origin, Vec<OsString>)>,
}

/// Where the rest is said.
#[derive(Debug, Args)]
struct NamedFile {
    /// TOML file of these options: the key of `--grpc-addr` is `grpc_addr`. An environment variable comes before the file,
    /// and a flag before both.
    #[arg(long, env = "WAYPOST_CONFIG", value_name = "FILE", help_heading = "Configuration")]
    config: Option<PathBuf>,
}

impl Args for Given {
    fn augment_args(command: Command) -> Command {
        NamedFile::augment_args(command).args(definition::all().iter().map(definition::Definition::as_given))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Given {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let file = NamedFile::from_arg_matches(matches)?.config;
        let mut values = BTreeMap::new();
        for definition in definition::all() {
            let id = definition.id();
            let origin = match matches.value_source(id) {
                Some(ValueSource::CommandLine) => Origin::Flag,
                Some(ValueSource::EnvVariable) => Origin::Environment,
                _ => continue,
            };
            let given = matches.get_raw(id).into_iter().flatten().map(ToOwned::to_owned).collect();
            values.insert(definition.key, (origin, given));
        }
        Ok(Self { file, values })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
