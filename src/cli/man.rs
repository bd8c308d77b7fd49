//! `waypost man`: the manual, one page for each command. It is made from the command line's own description, so that it
//! says what `--help` says, and holds no date, so that the same version always makes the same pages.

use super::failure::Failure;
use clap::{Args, Command};
use clap_mangen::roff::{Roff, bold, roman};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where to.
#[derive(Debug, Args)]
pub struct Man {
    /// The directory for the pages, made if it is not there: `waypost.1`, `waypost-serve.1`, ...
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// The section of the manual that user commands are in.
const SECTION: &str = "1";

impl Man {
    /// Writes the pages, and says how many.
    pub fn run(&self, command: Command) -> Result<String, Failure> {
        let mut command = command.disable_help_subcommand(true);
        command.build();
        let mut pages = Vec::new();
        write_pages(&command, None, &mut pages)
            .and_then(|()| fs::create_dir_all(&self.out))
            .and_then(|()| pages.iter().try_for_each(|(name, page)| fs::write(self.out.join(name), page)))
            .map_err(|error| Failure::Failed(format!("cannot write to {}: {error}", self.out.display())))?;
        Ok(format!("{} pages written to {}", pages.len(), display(&self.out)))
    }
}

fn display(path: &Path) -> String {
    super::table::visible(&path.display().to_string()).into_owned()
}

/// The page of a command and of all commands below it: the name of each one's file, and its text.
fn write_pages(command: &Command, parent: Option<&Command>, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    let name = name(command);
    pages.push((format!("{name}.{SECTION}"), page(command, parent)?));
    command
        .get_subcommands()
        .filter(|below| !below.is_hide_set())
        .try_for_each(|below| write_pages(below, Some(command), pages))
}

/// As the manual has it: `waypost-merchant-get`.
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn page(command: &Command, parent: Option<&Command>) -> io::Result<Vec<u8>> {
    let man = clap_mangen::Man::new(command.clone())
        .title(name(command).to_uppercase())
        .section(SECTION)
        .source(concat!("waypost ", env!("CARGO_PKG_VERSION")))
        .manual("Waypost Manual");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        man.render_options_section(&mut page)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(text) = command.get_after_long_help().or_else(|| command.get_after_help()) {
        closing(&text.to_string()).to_writer(&mut page)?;
    }
    if let Some(parent) = parent {
        let mut roff = Roff::new();
        roff.control("SH", ["SEE ALSO"]).text([bold(name(parent)), roman(format!("({SECTION})"))]);
        roff.to_writer(&mut page)?;
    }
    Ok(page)
}

/// What stands below the options in a help text, its lines kept: a line at the margin that ends with a colon is the
/// heading of what is indented below it.
fn closing(text: &str) -> Roff {
    let mut roff = Roff::new();
    let mut verbatim = false;
    for line in text.lines() {
        let heading = line.strip_suffix(':').filter(|_| !line.starts_with(' '));
        if verbatim && heading.is_some() {
            roff.control("fi", []);
            verbatim = false;
        }
        match heading {
            Some(heading) => {
                roff.control("SH", [heading.to_uppercase().as_str()]);
            }
            None => {
                if !verbatim {
                    roff.control("nf", []);
                    verbatim = true;
                }
                roff.text([roman(line)]);
            }
        }
    }
    if verbatim {
        roff.control("fi", []);
    }
    roff
}
