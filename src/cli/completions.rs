//! `waypost completions`: what a shell has to know to complete this command line. It is made from the command line's own
//! description, so that it never lags behind.

use super::failure::Failure;
use clap::Args;
use clap_complete::Shell;

/// Where each shell looks for such a script.
pub const EXAMPLES: &str = "\
Examples:
  source <(waypost completions bash)                                                      # in ~/.bashrc
  waypost completions bash > /usr/local/share/bash-completion/completions/waypost        # for everybody
  waypost completions zsh > /usr/local/share/zsh/site-functions/_waypost
  waypost completions fish > ~/.config/fish/completions/waypost.fish";

/// For which shell.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    /// The script.
    pub fn run(&self, mut command: clap::Command) -> Result<String, Failure> {
        let mut script = Vec::new();
        let name = command.get_name().to_owned();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        // What prints it ends it with a newline.
        String::from_utf8(script)
            .map(|script| script.trim_end().to_owned())
            .map_err(|error| Failure::Failed(format!("the script is no text: {error}")))
    }
}
