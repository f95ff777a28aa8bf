//! What can be typed: the global options, and the list of commands.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextValue, ErrorKind};
use clap::{ArgAction, ColorChoice, CommandFactory, Parser, Subcommand};
use dagstore::mount::redacted;

use crate::commands;
use crate::demo;
use crate::exit::{Code, Failure};
use crate::output;

const AFTER_HELP: &str = "\
Examples:
  dagstore demo                          see it work, and survive being killed
  dagstore register a.car b.car          index two CAR files
  dagstore get CID -o block.bin          read a block, checked against its CID
  dagstore verify --all                  hash every block again
  dagstore car verify *.car              hash CAR files without a store
  dagstore --dir /srv/store list --json  for programs

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 130 interrupted.";

const DIRECTORY_HELP: &str = "The store's directory [default: DAGSTORE_DIR, then the place for a user's data]";

/// Keeps a catalogue of CAR files, indexes them, and reads their blocks by CID.
#[derive(Debug, Parser)]
#[command(name = "dagstore", version, color = ColorChoice::Never, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[arg(long, global = true, value_name = "DIR", help = DIRECTORY_HELP)]
    pub(crate) dir: Option<PathBuf>,
    /// Print JSON for programs: one document, or one a line for lists.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Tell on standard error what is being done; twice for everything.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Tell on standard error what happens to shards, operation by operation.
    #[arg(long, global = true)]
    pub(crate) trace: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(commands::init::Init),
    Register(commands::register::Register),
    List(commands::list::List),
    Info(commands::info::Info),
    Blocks(commands::blocks::Blocks),
    Get(commands::get::Get),
    Locate(commands::locate::Locate),
    Verify(commands::verify::Verify),
    Index(commands::index::Index),
    Car(commands::car::Car),
    Recover(commands::recover::Recover),
    InitAll(commands::init_all::InitAll),
    Destroy(commands::destroy::Destroy),
    Quarantine(commands::quarantine::Quarantine),
    Mounts(commands::mounts::Mounts),
    Transients(commands::transients::Transients),
    Pin(commands::pin::Pin),
    Unpin(commands::pin::Unpin),
    Evict(commands::evict::Evict),
    Adopt(commands::adopt::Adopt),
    Gc(commands::gc::Gc),
    Resume(commands::resume::Resume),
    Store(commands::store::Store),
    Demo(demo::Demo),
    Completions(commands::completions::Completions),
    /// Registers a file that is read slowly: what the demonstration kills.
    #[command(hide = true)]
    DemoChild(demo::child::DemoChild),
}

/// Reads the command line. What is wrong with it, or the help that was asked for, is printed already on the way out.
pub(crate) fn parse() -> Result<Cli, ExitCode> {
    let error = match Cli::try_parse() {
        Ok(cli) => return Ok(cli),
        Err(error) => error,
    };
    let is_help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    if is_help {
        // Where nobody reads the help there is nobody to tell.
        let _ = error.print();
        let is_wanted = error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
        return Err(if is_wanted { Code::Done } else { Code::Usage }.into());
    }
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let json = arguments.iter().take_while(|argument| *argument != "--").any(|argument| argument == "--json");
    let message = without_secrets(error).to_string();
    let failure = Failure::of_text(Code::Usage, in_one_line(&message)).advise(help_command(&arguments));
    Err(output::print_failure(&failure, json).into())
}

/// The error with secrets in what was typed hidden: it repeats values, and a value may be a URL with a password.
fn without_secrets(mut error: clap::Error) -> clap::Error {
    let typed = error.context().filter_map(|(kind, value)| match value {
        ContextValue::String(typed) => Some((kind, ContextValue::String(redacted(typed)))),
        _ => None,
    });
    for (kind, shown) in typed.collect::<Vec<_>>() {
        error.insert(kind, shown);
    }
    error
}

/// The first paragraph of clap's message, without its label.
fn in_one_line(message: &str) -> String {
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let lines = message.lines().take_while(|line| !line.trim().is_empty());
    lines.map(str::trim).collect::<Vec<_>>().join(" ")
}

/// The command that tells more about the command that was meant.
fn help_command(arguments: &[OsString]) -> String {
    let mut command = Cli::command();
    let mut words = vec!["dagstore".to_owned()];
    for argument in arguments {
        if let Some(found) = command.find_subcommand(argument as &OsStr).cloned() {
            words.push(found.get_name().to_owned());
            command = found;
        }
    }
    words.push("--help".to_owned());
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_says_what_it_does_and_gives_an_example() {
        Cli::command().debug_assert();
        all_help(&Cli::command(), "dagstore");
    }

    fn all_help(program: &clap::Command, path: &str) {
        for command in program.get_subcommands().filter(|command| !command.is_hide_set()) {
            let path = format!("{path} {}", command.get_name());
            assert!(command.get_about().is_some(), "{path}");
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.contains(&path), "{path}: {after}");
            all_help(command, &path);
        }
    }

    #[test]
    fn no_message_repeats_a_password() {
        for typed in [["init", "--datastore", "mysql://me:hunter2@db/x"], ["--json", "mysql://me:hunter2@db/x", "init"]]
        {
            let error = Cli::try_parse_from(["dagstore"].iter().chain(&typed)).unwrap_err();
            let message = without_secrets(error).to_string();
            assert!(message.contains("mysql://***@db/x") && !message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn the_message_is_one_line() {
        let error = Cli::try_parse_from(["dagstore", "register"]).unwrap_err();
        assert_eq!(in_one_line(&error.to_string()), "the following required arguments were not provided: <URL>...");
        assert_eq!(help_command(&["--json".into(), "register".into()]), "dagstore register --help");
        let nested = ["quarantine", "--yes", "drop", "list"].map(OsString::from);
        assert_eq!(help_command(&nested), "dagstore quarantine drop --help");
        assert_eq!(help_command(&["nonsense".into()]), "dagstore --help");
    }
}
