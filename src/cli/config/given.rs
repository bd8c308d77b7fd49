//! The options as they were typed and as the environment has them. Not looked into: that is done for all places at once.

use super::{
    definition::{self, Definition},
    effective::Effective,
    problem::Origin,
};
use crate::{cli::failure::Failure, store::StoreUrl};
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
        NamedFile::augment_args(command).args(definition::all().iter().map(Definition::as_given))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Given {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Self::of(definition::all(), matches)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Given {
    /// What is said of these options.
    fn of(definitions: Vec<Definition>, matches: &ArgMatches) -> Result<Self, Error> {
        let file = NamedFile::from_arg_matches(matches)?.config;
        let mut values = BTreeMap::new();
        for definition in definitions {
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
}

/// Which store is the server's: the same option, variable, file and key as those of `waypost serve`, for commands that
/// need no more of them.
#[derive(Debug)]
pub struct GivenStore(Given);

impl GivenStore {
    /// The store, as [`Effective`] has it.
    ///
    /// # Errors
    ///
    /// When the file, or the store that is named, cannot be used. What does not go together with other options is for the
    /// server to tell.
    pub fn url(self) -> Result<StoreUrl, Failure> {
        let effective = Effective::put_together(self.0);
        if !effective.problems.is_empty() {
            return Err(Failure::Options(effective.problems));
        }
        Ok(effective.serve.store)
    }
}

impl Args for GivenStore {
    fn augment_args(command: Command) -> Command {
        let command = NamedFile::augment_args(command).mut_arg("config", |config| {
            config.help("TOML file of the server, as `waypost serve` takes it: its `store` is meant unless --store or WAYPOST_STORE names another")
        });
        command.args(definition::store().iter().map(Definition::as_given))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for GivenStore {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Ok(Self(Given::of(definition::store(), matches)?))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
