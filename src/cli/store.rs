//! `waypost store`: an operator's work on a store, beside the server.

use super::{config::GivenStore, failure::Failure};
use crate::store::{
    StoreUrl, backup,
    export::{self, Exported, Totals},
    redb,
};
use clap::{Args, Subcommand};
use std::{
    fmt::Display,
    fs,
    io::{self, BufRead, BufReader, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// What is done with a store.
#[derive(Debug, Subcommand)]
pub enum Store {
    /// Reads a whole `redb:` file that no server has open, and says what is wrong with it.
    #[command(after_help = "Example:\n  waypost store check --store redb:/var/lib/waypost/waypost.redb")]
    Check(GivenStore),
    /// Writes all sessions and merchants as JSON lines, as they are at one moment. Servers go on serving.
    #[command(after_help = "Example:\n  waypost store export backup.jsonl --config /etc/waypost/waypost.toml")]
    Export(File),
    /// Saves what an export holds, but nothing that is older than what is there. May be repeated.
    #[command(after_help = "Example:\n  waypost store import backup.jsonl --store redb:new.redb")]
    Import(File),
}

/// Which file, and which store.
#[derive(Debug, Args)]
pub struct File {
    /// The file of JSON lines; `-` for standard output or input.
    file: PathBuf,
    #[command(flatten)]
    store: GivenStore,
}

impl Store {
    /// Does it, and says what came of it.
    pub fn run(self) -> Result<String, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::Failed(format!("cannot start: {error}")))?;
        match self {
            Self::Check(store) => At { store: store.url()? }.check(),
            Self::Export(file) => runtime.block_on(file.at()?.export()),
            Self::Import(file) => runtime.block_on(file.at()?.import()),
        }
    }
}

impl File {
    fn at(self) -> Result<AtFile, Failure> {
        Ok(AtFile { file: self.file, at: At { store: self.store.url()? } })
    }
}

/// At work on a store.
struct At {
    store: StoreUrl,
}

/// At work on a store, with a file.
struct AtFile {
    file: PathBuf,
    at: At,
}

impl At {
    fn check(&self) -> Result<String, Failure> {
        let StoreUrl::Redb(path) = &self.store else {
            return Err(Failure::Usage(format!("--store {}: only a `redb:` file can be checked", self.store)));
        };
        let report = redb::check(path).map_err(|error| self.failed(error))?;
        let held =
            format!("{} sessions, {} merchants, {} idempotency keys", report.sessions, report.merchants, report.keys);
        if report.problems == 0 {
            return Ok(format!("{held}: no problem found"));
        }
        Err(self.failed(format!("{held}, {} problems:\n  {}", report.problems, report.named.join("\n  "))))
    }

    fn failed(&self, problem: impl Display) -> Failure {
        Failure::Failed(format!("--store {}: {problem}", self.store))
    }
}

impl AtFile {
    async fn export(&self) -> Result<String, Failure> {
        let made = self.create()?;
        let exported = self.export_into(made.as_ref().map(|(file, _)| file)).await;
        let exported = match &made {
            None => exported,
            Some((file, part)) => {
                let exported = exported.and_then(|exported| self.finish(file, part).map(|()| exported));
                // What is left of it is in nobody's way, but full of what customers sent.
                let _ = fs::remove_file(part);
                exported
            }
        };
        let Exported { totals: Totals { sessions, merchants, unreadable }, unreadable: named } = exported?;
        let said = format!("exported {sessions} sessions and {merchants} merchants");
        if unreadable > 0 {
            return Err(self.at.failed(format!(
                "{said}, and as it stands there what this version cannot read of {unreadable}, which an import leaves \
                 out:\n  {}",
                named.join("\n  ")
            )));
        }
        // Standard output has the export itself.
        Ok(if made.is_some() { said } else { String::new() })
    }

    async fn export_into(&self, made: Option<&fs::File>) -> Result<Exported, Failure> {
        let mut file: Box<dyn Write + Send> = match made {
            Some(made) => Box::new(BufWriter::new(made)),
            None => Box::new(BufWriter::new(io::stdout())),
        };
        let served = match &self.at.store {
            StoreUrl::Redb(path) => {
                backup::connect(path).map_err(|error| self.at.failed(format!("cannot ask the server: {error}")))?
            }
            StoreUrl::Memory | StoreUrl::Postgres(_) => None,
        };
        match served {
            Some(stream) => export::copy(&mut BufReader::new(stream), &mut file).map_err(|error| self.at.failed(error)),
            None => self.export_unserved(&mut file).await,
        }
    }

    async fn export_unserved(&self, file: &mut (dyn Write + Send)) -> Result<Exported, Failure> {
        if let StoreUrl::Redb(path) = &self.at.store
            && !path.exists()
        {
            return Err(self.at.failed("there is no such file"));
        }
        let store = self.at.store.open().await.map_err(|error| self.at.failed(error))?;
        let exported = export::export(&*store, file).await.map_err(|error| self.at.failed(error))?;
        store.close().await.map_err(|error| self.at.failed(error))?;
        Ok(exported)
    }

    async fn import(&self) -> Result<String, Failure> {
        let mut file = self.open()?;
        let store = self.at.store.open().await.map_err(|error| self.at.failed(error))?;
        let summary = export::import(&*store, &mut *file).await.map_err(|error| self.at.failed(error))?;
        store.close().await.map_err(|error| self.at.failed(error))?;
        let mut said = format!("imported {} records, kept {} that were as new or newer", summary.saved, summary.kept);
        if summary.unreadable > 0 {
            said += &format!(", left out {} that could not be read when they were exported", summary.unreadable);
        }
        if summary.conflicts == 0 {
            return Ok(said);
        }
        let named: Vec<String> = summary.conflicting.iter().map(ToString::to_string).collect();
        let conflicts = summary.conflicts;
        let text =
            format!("{said}, left out {conflicts} sessions whose key or id another one has:\n  {}", named.join("\n  "));
        Err(Failure::Failed(text))
    }

    fn is_standard(&self) -> bool {
        self.file == Path::new("-")
    }

    /// The file to write, under another name until it is whole, and that name; `None` for standard output.
    fn create(&self) -> Result<Option<(fs::File, PathBuf)>, Failure> {
        if self.is_standard() {
            return Ok(None);
        }
        // An export that fails must not have replaced a good one, and it holds what customers sent.
        if self.file.exists() {
            return Err(Failure::Usage(format!("{}: File exists: name another one", self.file.display())));
        }
        let mut part = self.file.clone().into_os_string();
        part.push(format!(".{}.part", std::process::id()));
        let mut options = fs::File::options();
        let made = options.write(true).create_new(true).mode(0o600).open(&part);
        made.map(|made| Some((made, part.into()))).map_err(|error| self.unusable(&error))
    }

    /// Gives a whole export its name. What is said then may be the last word before the store is taken away.
    fn finish(&self, made: &fs::File, part: &Path) -> Result<(), Failure> {
        let named = made.sync_all().and_then(|()| fs::hard_link(part, &self.file));
        named.map_err(|error| Failure::Failed(format!("{}: {error}", self.file.display())))
    }

    fn open(&self) -> Result<Box<dyn BufRead + Send>, Failure> {
        if self.is_standard() {
            return Ok(Box::new(BufReader::new(io::stdin())));
        }
        let file = fs::File::open(&self.file).map_err(|error| self.unusable(&error))?;
        Ok(Box::new(BufReader::new(file)))
    }

    fn unusable(&self, error: &io::Error) -> Failure {
        Failure::Usage(format!("{}: {error}", self.file.display()))
    }
}
