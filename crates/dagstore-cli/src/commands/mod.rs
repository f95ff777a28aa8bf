//! The commands, a file each: what can be typed, and what is done.

pub(crate) mod adopt;
pub(crate) mod blocks;
pub(crate) mod car;
pub(crate) mod completions;
pub(crate) mod destroy;
pub(crate) mod evict;
pub(crate) mod gc;
pub(crate) mod get;
pub(crate) mod index;
pub(crate) mod info;
pub(crate) mod init;
pub(crate) mod init_all;
pub(crate) mod list;
pub(crate) mod locate;
pub(crate) mod mounts;
pub(crate) mod pin;
pub(crate) mod quarantine;
pub(crate) mod recover;
pub(crate) mod register;
pub(crate) mod resume;
pub(crate) mod store;
pub(crate) mod transients;
pub(crate) mod verify;

use std::sync::Arc;

use crate::arguments::Command;
use crate::context::Context;
use crate::exit::Outcome;

/// Does what was typed.
pub(crate) async fn run(command: Command, context: Arc<Context>) -> Outcome {
    match command {
        Command::Init(arguments) => arguments.run(&context).await,
        Command::Register(arguments) => arguments.run(&context).await,
        Command::List(arguments) => arguments.run(&context).await,
        Command::Info(arguments) => arguments.run(&context).await,
        Command::Blocks(arguments) => arguments.run(&context).await,
        Command::Get(arguments) => arguments.run(&context).await,
        Command::Locate(arguments) => arguments.run(&context).await,
        Command::Verify(arguments) => arguments.run(&context).await,
        Command::Index(arguments) => arguments.run(&context).await,
        Command::Car(arguments) => arguments.run(&context).await,
        Command::Recover(arguments) => arguments.run(&context).await,
        Command::InitAll(arguments) => arguments.run(&context).await,
        Command::Destroy(arguments) => arguments.run(&context).await,
        Command::Quarantine(arguments) => arguments.run(&context).await,
        Command::Mounts(_) => mounts::Mounts::run(&context),
        Command::Transients(arguments) => arguments.run(&context).await,
        Command::Pin(arguments) => arguments.run(&context).await,
        Command::Unpin(arguments) => arguments.run(&context).await,
        Command::Evict(arguments) => arguments.run(&context).await,
        Command::Adopt(arguments) => arguments.run(&context).await,
        Command::Gc(arguments) => arguments.run(&context).await,
        Command::Resume(arguments) => arguments.run(&context).await,
        Command::Store(arguments) => arguments.run(&context).await,
        Command::Demo(arguments) => arguments.run(&context).await,
        Command::Completions(arguments) => arguments.run(&context),
        Command::DemoChild(arguments) => arguments.run(&context).await,
    }
}
