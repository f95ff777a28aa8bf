//! `dagstore completions`: what a shell needs to complete command lines.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::arguments::Cli;
use crate::context::Context;
use crate::exit::Outcome;

/// Print the completions for a shell.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  dagstore completions bash > ~/.local/share/bash-completion/completions/dagstore")]
pub(crate) struct Completions {
    /// Which shell.
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        // Some shells would complete hidden commands, too.
        let program = Cli::command();
        let shown = program.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
        let mut shown = clap::Command::new("dagstore").args(program.get_arguments().cloned()).subcommands(shown);
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut shown, "dagstore", &mut script);
        context.output.bytes(&script)
    }
}
