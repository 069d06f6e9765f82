//! What each command does, from its flags to what it prints.

#[cfg(feature = "cluster")]
mod cluster;
mod demo;
mod diff;
mod doctor;
mod generate;
mod grant;
mod health;
mod input;
mod keys;
mod ledger;
mod moves;
mod output;
mod run_text;
mod serve;
mod shell;
mod show;
mod stages;
mod stop;

use crate::{
    cli::{Cli, Command, Global, Keys, RunDay},
    config,
    failure::Failure,
    pipeline::{Night, Wait},
    progress::Progress,
    schedule::Schedule,
};
use output::Output;

impl Command {
    /// Whether the command is a service, whose log tells what it does.
    pub(crate) fn logs_at_info(&self) -> bool {
        #[cfg(feature = "cluster")]
        if matches!(self, Self::Cluster(_)) {
            return true;
        }
        matches!(self, Self::Serve | Self::Schedule | Self::Up)
    }
}

/// Does what the command line says.
///
/// # Errors
/// The failure to report, with its exit code.
pub async fn execute(cli: Cli) -> Result<(), Failure> {
    stop::listen_as_process_one();
    let Cli { command, global } = cli;
    let output = Output::new(global.json);
    match command {
        Command::Demo(flags) => demo::demo(flags, &global, output).await,
        Command::Run(RunDay { counted, waiting }) => {
            let night = working_night(&global, counted.recount, waiting.wait)?;
            stages::run(&night, counted.one.day, output).await
        }
        Command::Backfill(range) => {
            stages::backfill(&working_night(&global, range.recount, range.waiting.wait)?, &range, output)
                .await
        }
        Command::Input(flags) => input::input(&night(&global)?, flags.day, output).await,
        Command::Count(flags) => {
            stages::count(&working_night(&global, flags.recount, None)?, flags.one.day, output).await
        }
        Command::Rank(flags) => stages::rank(&working_night(&global, false, None)?, flags, output).await,
        Command::Publish(flags) => {
            stages::publish(&working_night(&global, false, flags.waiting.wait)?, flags, output).await
        }
        Command::Schedule => serve::schedule(night(&global)?).await,
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
        Command::Keys(Keys::Create(flags)) => keys::create(&night(&global)?, &flags, output).await,
        Command::Keys(Keys::List) => keys::list(&night(&global)?, output).await,
        Command::Keys(Keys::Revoke(flags)) => keys::revoke(&night(&global)?, &flags, output).await,
        #[cfg(feature = "cluster")]
        Command::Cluster(command) => cluster::cluster(command, &global).await,
        Command::Generate(flags) => generate::generate(&flags, output),
        Command::Doctor(flags) => doctor::doctor(&flags, &global, output).await,
        Command::Migrate => ledger::migrate(&night(&global)?, output).await,
        Command::Grant(flags) => grant::grant(&night(&global)?, flags, output).await,
        Command::Config => print_config(&global, output),
        Command::Health(flags) => health::health(&flags, &global, output).await,
        Command::Completions(flags) => shell::completions(&flags, output),
        Command::Man(flags) => shell::man(&flags, output),
        Command::Openapi => output.text(&api::openapi_json(api::HISTORY_DAYS_KEPT)),
    }
}

fn night(global: &Global) -> Result<Night, Failure> {
    let (config, _) = config::load(&global.flags())?;
    Night::new(config, Progress::for_terminal())
}

/// The night of a command that works, and ends cleanly when it is told to stop.
fn working_night(global: &Global, recount: bool, wait: Option<Wait>) -> Result<Night, Failure> {
    let night = Night { recount, wait: wait.unwrap_or(Wait::No), ..night(global)? };
    stop::at_signal(night.halt.clone());
    Ok(night)
}

fn print_config(global: &Global, output: Output) -> Result<(), Failure> {
    let (config, figment) = config::load(&global.flags())?;
    Schedule::new(&config.schedule)?;
    output.either(&config.without_secrets(), || config::as_toml(&config, &figment))
}
