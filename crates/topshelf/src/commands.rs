//! What each command does, from its flags to what it prints.

mod demo;
mod diff;
mod doctor;
mod generate;
mod ledger;
mod moves;
mod output;
mod run_text;
mod serve;
mod show;
mod stages;

use crate::{
    cli::{Cli, Command, Global},
    config,
    failure::Failure,
    pipeline::Night,
    progress::Progress,
    schedule::Schedule,
};
use output::Output;

impl Command {
    /// Whether the command is a service, whose log tells what it does.
    pub(crate) fn logs_at_info(&self) -> bool {
        matches!(self, Self::Serve | Self::Up)
    }
}

/// Does what the command line says.
///
/// # Errors
/// The failure to report, with its exit code.
pub async fn execute(cli: Cli) -> Result<(), Failure> {
    let Cli { command, global } = cli;
    let output = Output::new(global.json);
    match command {
        Command::Demo(flags) => demo::demo(flags, &global, output).await,
        Command::Run(flags) => {
            stages::run(&counting_night(&global, flags.recount)?, flags.one.day, output).await
        }
        Command::Backfill(range) => {
            stages::backfill(&counting_night(&global, range.recount)?, &range, output).await
        }
        Command::Count(flags) => {
            stages::count(&counting_night(&global, flags.recount)?, flags.one.day, output).await
        }
        Command::Rank(flags) => stages::rank(&night(&global)?, flags, output).await,
        Command::Publish(flags) => stages::publish(&night(&global)?, flags, output).await,
        Command::Serve => serve::serve(night(&global)?).await,
        Command::Up => serve::up(night(&global)?).await,
        Command::Show(flags) => show::show(&night(&global)?, &flags, output).await,
        Command::Runs(flags) => ledger::runs(&night(&global)?, &flags, output).await,
        Command::Moves(flags) => moves::moves(&night(&global)?, &flags, output).await,
        Command::Diff(flags) => diff::diff(&night(&global)?, &flags, output).await,
        Command::Rollback(flags) => moves::rollback(&night(&global)?, &flags, output).await,
        Command::Pin(flags) => moves::pin(&night(&global)?, &flags, output).await,
        Command::Unpin(flags) => moves::unpin(&night(&global)?, &flags, output).await,
        Command::Pins => moves::pins(&night(&global)?, output).await,
        Command::Trim => ledger::trim(&night(&global)?, output).await,
        Command::Generate(flags) => generate::generate(&flags, output),
        Command::Doctor(flags) => doctor::doctor(&flags, &global, output).await,
        Command::Migrate => ledger::migrate(&night(&global)?, output).await,
        Command::Config => print_config(&global, output),
        Command::Openapi => output.text(&api::openapi_json()),
    }
}

fn night(global: &Global) -> Result<Night, Failure> {
    let (config, _) = config::load(&global.flags())?;
    Night::new(config, Progress::for_terminal())
}

fn counting_night(global: &Global, recount: bool) -> Result<Night, Failure> {
    Ok(Night { recount, ..night(global)? })
}

fn print_config(global: &Global, output: Output) -> Result<(), Failure> {
    let (mut config, figment) = config::load(&global.flags())?;
    Schedule::new(&config.schedule)?;
    config.store.url = config::without_password(&config.store.url);
    output.either(&config, || config::as_toml(&config, &figment))
}
