//! The command line: every command with its flags, help and an example.

#[cfg(feature = "cluster")]
mod cluster;
mod generate;
mod grant;
mod keys;
mod nights;
mod readers;

#[cfg(feature = "cluster")]
pub use cluster::{Cluster, Executor, Scheduler, Tls};
pub use generate::{CompressionName, FormatName, Generate, LayoutName};
pub use grant::{DutyName, Grant};
pub use keys::{CreateKey, Keys, RevokeKey};
pub use nights::{CountedDay, OneDay, Publish, Range, Rank, RunDay, Waiting};
pub use readers::{Diff, Moves, Pin, Rollback, Runs, Show, Side, Unpin};

use crate::config::Flags;
use clap::{Args, Parser, Subcommand, ValueEnum, builder::styling};
use domain::AdvertiserId;
use std::{path::PathBuf, time::Duration};

const STYLES: styling::Styles = styling::Styles::styled()
    .header(styling::AnsiColor::Green.on_default().bold())
    .usage(styling::AnsiColor::Green.on_default().bold())
    .literal(styling::AnsiColor::Cyan.on_default().bold())
    .placeholder(styling::AnsiColor::Cyan.on_default());

/// Turns a night's ad logs into each advertiser's top products, and serves them all day.
#[derive(Debug, Parser)]
#[command(name = "topshelf", version, styles = STYLES, max_term_width = 110, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
}

const EXIT_CODES: &str = "\
Results go to stdout, everything else to stderr.
Exit codes: 0 done · 1 failed · 2 usage or configuration · 3 input refused · 4 checks held publication back

Start here:  topshelf demo";

/// Flags that every command takes. A flag beats the environment, which beats the file.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Configuration file [default: topshelf.toml, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the logs are: a directory, file:///… or s3://bucket/prefix
    #[arg(long, global = true, value_name = "URL")]
    pub input: Option<String>,
    /// Where publications go: sqlite:path or postgres://user@host/database
    #[arg(long, global = true, value_name = "URL")]
    pub store: Option<String>,
    /// Where stages leave their outputs: a directory, file:///… or s3://bucket/prefix
    #[arg(long, global = true, value_name = "URL")]
    pub lake: Option<String>,
    /// Scheduler of the cluster that counts, df://HOST:PORT; without one this machine does
    #[arg(long, global = true, value_name = "URL")]
    pub cluster: Option<String>,
    /// Address the API listens on; port 0 takes a free one
    #[arg(long, global = true, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Print results as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// How the log on stderr is written
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

impl Global {
    /// The flags that are configuration keys.
    #[must_use]
    pub fn flags(&self) -> Flags {
        Flags {
            config: self.config.clone(),
            input: self.input.clone(),
            store: self.store.clone(),
            lake: self.lake.clone(),
            listen: self.listen.clone(),
            cluster: self.cluster.clone(),
        }
    }
}

/// How the log on stderr is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// A JSON object a line, for machines.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sample logs → 30 days of runs → API on 127.0.0.1:8080
    #[command(after_help = "Example:\n  topshelf demo --listen 127.0.0.1:9000")]
    Demo(Demo),
    /// One day end to end: count, rank, publish
    #[command(
        after_help = "Examples:\n  topshelf run                                   # yesterday in the configured time zone\n  topshelf run --day 2024-11-20 --input s3://bucket/logs --store postgres://topshelf@db/topshelf\n  topshelf run --wait=30m                        # if another run of the day is under way, wait for its end"
    )]
    Run(RunDay),
    /// Each day of a range, end to end; input shared by several days is read once
    #[command(after_help = "Example:\n  topshelf backfill --from 2024-11-20 --to 2024-12-19 --input ./logs")]
    Backfill(Range),
    /// Whether a day's input is there: what to ask before the stages
    #[command(
        after_help = "Examples:\n  topshelf input --day 2024-11-20 --input s3://bucket/logs\n  topshelf input --json    # objects and bytes of each log, and the models that can be ranked\n\nExit code 1 says what lacks. It looks for what a night waits for: an object of each log for the day, or schedule.input_marker.\nNo object is read, and no database is needed."
    )]
    Input(OneDay),
    /// The first stage alone: logs → counts of the day, left in the lake
    #[command(after_help = "Example:\n  topshelf count --day 2024-11-20 --input ./logs")]
    Count(CountedDay),
    /// The second stage alone: counts → rankings, left in the lake
    #[command(after_help = "Example:\n  topshelf rank --day 2024-11-20 --model TopCTR")]
    Rank(Rank),
    /// The last stage alone: rankings → what readers see
    #[command(
        after_help = "Examples:\n  topshelf publish --day 2024-11-20\n  topshelf publish --accept 20241121T023000Z-3f9a1c2e --reason 'Black Friday: the volume is real'"
    )]
    Publish(Publish),
    /// Serve what is published
    #[command(after_help = "Example:\n  topshelf serve --listen 0.0.0.0:8080")]
    Serve,
    /// Run every night at the scheduled time, and serve nothing
    #[command(
        after_help = "Nights that were missed are caught up; of several schedulers with one database, one holds each night.\n\nExample:\n  topshelf schedule --input s3://bucket/logs --store postgres://topshelf@db/topshelf"
    )]
    Schedule,
    /// Serve, and run every night at the scheduled time
    #[command(
        after_help = "Example:\n  TOPSHELF_SCHEDULE__CRON='15 3 * * *' topshelf up --input s3://bucket/logs"
    )]
    Up,
    /// What the API would answer
    #[command(
        after_help = "Examples:\n  topshelf show ADVERTISER\n  topshelf show ADVERTISER TopCTR --day 2024-11-20 --json"
    )]
    Show(Show),
    /// The ledger: what ran, when, and how it ended
    #[command(
        after_help = "Examples:\n  topshelf runs --day 2024-11-20\n  topshelf runs 20241121T023000Z-3f9a1c2e --json"
    )]
    Runs(Runs),
    /// What changed what readers see, newest first: publications, accepts, rollbacks, pins, trims
    #[command(after_help = "Example:\n  topshelf moves --day 2024-11-20")]
    Moves(Moves),
    /// What came, went and moved between two runs, or between two days as readers see them
    #[command(
        after_help = "Examples:\n  topshelf diff 2024-11-20 2024-11-21\n  topshelf diff 20241121T023000Z-3f9a1c2e 20241121T081500Z-77aa01bc --advertiser acme --json"
    )]
    Diff(Diff),
    /// Point readers back to what they saw before, or undo that
    #[command(
        after_help = "Examples:\n  topshelf rollback --day 2024-11-20                       # what was seen of the day before its last run; nothing, if that was the first\n  topshelf rollback --to 20241121T023000Z-3f9a1c2e --advertiser acme\n  topshelf rollback --undo\n\nWhat was taken back stays held back, also when another run makes the same, until readers have seen it again:\n`topshelf publish --accept RUN` publishes it. --to may be repeated safely; --day again leads one run further back."
    )]
    Rollback(Rollback),
    /// Keep readers of an advertiser at a run, whatever is published later
    #[command(
        after_help = "Example:\n  topshelf pin acme 20241121T023000Z-3f9a1c2e --reason 'audit until Friday'"
    )]
    Pin(Pin),
    /// Let readers of a pinned advertiser see what is published again
    #[command(after_help = "Example:\n  topshelf unpin acme")]
    Unpin(Unpin),
    /// Who is pinned, and to which run
    Pins,
    /// Delete what is older than retention.keep_days, as every run does when it has ended
    #[command(after_help = "Example:\n  TOPSHELF_RETENTION__KEEP_DAYS=30 topshelf trim")]
    Trim,
    /// Keys of the API: make, list and revoke them
    #[command(
        subcommand,
        after_help = "Examples:\n  topshelf keys list\n  topshelf keys create --help   # and so of the others"
    )]
    Keys(Keys),
    /// The processes of a cluster that counts in one machine's place
    #[cfg(feature = "cluster")]
    #[command(
        subcommand,
        after_help = "Examples:\n  topshelf cluster scheduler\n  topshelf cluster executor --scheduler 127.0.0.1:50050\n  topshelf run --cluster df://127.0.0.1:50050"
    )]
    Cluster(Cluster),
    /// Reproducible sample logs of any size
    #[command(
        after_help = "Example:\n  topshelf generate --out ./logs --rows 1000000 --advertisers 100 --products 200 --first-day 2024-11-20 --days 3"
    )]
    Generate(Generate),
    /// Try each thing that a night needs, and tell what to do about what does not work
    #[command(
        after_help = "Examples:\n  topshelf doctor\n  topshelf doctor --day 2024-11-20 --json   # an object with every step, for programs\n\nNothing is changed: no database, table, folder or file is made or migrated. Only to see whether the lake can be written,\none object of a few bytes, topshelf-doctor-…, is put there twice and deleted, also when the doctor is interrupted; what\none that was killed left behind, one that comes ten minutes later deletes. Exit code 1 says that something failed that a night needs."
    )]
    Doctor(OneDay),
    /// Create or migrate the database
    #[command(after_help = "Example:\n  topshelf migrate --store postgres://topshelf@db/topshelf")]
    Migrate,
    /// Let a role of the database serve or run nights, and no more; makes it if missing
    #[command(
        after_help = "Examples:\n  topshelf grant serve reader\n  topshelf grant night night --iam      # it logs in by tokens of AWS IAM, and by no password\n  topshelf grant serve reader --dry-run > grants.sql\n\nCall it as the owner of the tables, who must be allowed to make roles (store.url, store.secret).\nAll is granted or nothing; the same again changes nothing. Tables of later migrations are\ncovered, if their owner makes them, and so is all else that it makes in that schema. Nothing is\ntaken from a role that may do more: begin with a new one. It has no password: give it one,\nALTER ROLE reader PASSWORD '…', unless it logs in by tokens."
    )]
    Grant(Grant),
    /// Print the effective configuration, without secrets, and where each value came from
    #[command(after_help = "Example:\n  topshelf config > example.toml   # passwords are left out")]
    Config,
    /// Ask the server of this configuration whether it answers; what containers and supervisors call
    #[command(
        after_help = "Examples:\n  topshelf health                          # the process answers: else exit code 1\n  topshelf health --ready --timeout 10s    # and has read what is published\n  topshelf health --listen 10.0.3.7:8080 --json"
    )]
    Health(Health),
    /// Print the API's OpenAPI specification
    #[command(after_help = "Example:\n  topshelf openapi > openapi.json")]
    Openapi,
    /// Print a shell's completion script
    #[command(
        after_help = "Examples:\n  topshelf completions bash > ~/.local/share/bash-completion/completions/topshelf\n  topshelf completions zsh > ~/.zfunc/_topshelf      # in a folder of $fpath\n  topshelf completions fish > ~/.config/fish/completions/topshelf.fish"
    )]
    Completions(Completions),
    /// Print the manual page, or write one for each command
    #[command(
        after_help = "Examples:\n  topshelf man | man -l -\n  topshelf man --out ~/.local/share/man/man1      # then: man topshelf-run"
    )]
    Man(Man),
}

/// Flags of `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Folder for the sample logs, the lake and the database
    #[arg(long, value_name = "DIR", default_value = "topshelf-demo")]
    pub dir: PathBuf,
    /// Days of logs, up to yesterday
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=366))]
    pub days: u32,
}

/// Flags of `health`.
#[derive(Debug, Args)]
pub struct Health {
    /// Ask whether it has read what is published, not only whether it answers
    #[arg(long)]
    pub ready: bool,
    /// How long the answer may take, such as 500ms, 3s or 1m
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = time)]
    pub timeout: Duration,
}

/// Flags of `completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// Flags of `man`.
#[derive(Debug, Args)]
pub struct Man {
    /// Folder for a page of each command; made if missing
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

fn time(text: &str) -> Result<Duration, String> {
    let time = text.parse::<jiff::SignedDuration>().ok().and_then(|time| time.try_into().ok());
    time.ok_or_else(|| "a time is written like 90s, 30m or 2h".to_owned())
}

fn advertiser_id(text: &str) -> Result<AdvertiserId, domain::IdError> {
    AdvertiserId::new(text)
}
