//! The command line: every command with its flags, help and an example.

use crate::{
    config::Flags,
    generate::{Format, Layout},
    pipeline::Wait,
};
use clap::{Args, Parser, Subcommand, ValueEnum, builder::styling};
use domain::{AdvertiserId, Day, RunId};
use source::Compression;
use std::{path::PathBuf, time::Duration};
use store::KeyName;

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

/// A command about one day.
#[derive(Debug, Args)]
pub struct OneDay {
    /// The day of the data, YYYY-MM-DD [default: yesterday in the configured time zone]
    #[arg(long, value_name = "DAY")]
    pub day: Option<Day>,
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

/// What to do when somebody else works on the day.
#[derive(Debug, Args)]
pub struct Waiting {
    /// While another run of the day is under way, wait for its end, at most so long (such as 90s, 30m, 2h), instead of failing
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "forever", value_parser = wait)]
    pub wait: Option<Wait>,
}

fn wait(text: &str) -> Result<Wait, String> {
    if text == "forever" {
        return Ok(Wait::Forever);
    }
    time(text).map(Wait::AtMost)
}

fn time(text: &str) -> Result<Duration, String> {
    let time = text.parse::<jiff::SignedDuration>().ok().and_then(|time| time.try_into().ok());
    time.ok_or_else(|| "a time is written like 90s, 30m or 2h".to_owned())
}

/// Flags of `run`.
#[derive(Debug, Args)]
pub struct RunDay {
    /// The day, and how it is counted.
    #[command(flatten)]
    pub counted: CountedDay,
    /// Whether it waits.
    #[command(flatten)]
    pub waiting: Waiting,
}

/// Flags of `publish`.
#[derive(Debug, Args)]
pub struct Publish {
    /// The day.
    #[command(flatten)]
    pub one: OneDay,
    /// Whether it waits.
    #[command(flatten)]
    pub waiting: Waiting,
    /// Publish instead what checks held back of this run
    #[arg(long, value_name = "RUN", conflicts_with = "day", requires = "reason")]
    pub accept: Option<RunId>,
    /// Accept the run for this advertiser alone
    #[arg(long, value_name = "ADVERTISER", value_parser = advertiser_id, requires = "accept")]
    pub advertiser: Option<AdvertiserId>,
    /// Why it is accepted: kept beside what it changed
    #[arg(long, value_name = "TEXT", requires = "accept", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub reason: Option<String>,
}

/// A command that counts one day.
#[derive(Debug, Args)]
pub struct CountedDay {
    /// The day.
    #[command(flatten)]
    pub one: OneDay,
    /// Read all objects, also those that did not change since the day was counted
    #[arg(long)]
    pub recount: bool,
}

/// A command that counts several days.
#[derive(Debug, Args)]
pub struct Range {
    /// The first day, YYYY-MM-DD
    #[arg(long, value_name = "DAY")]
    pub from: Day,
    /// The last day, YYYY-MM-DD
    #[arg(long, value_name = "DAY")]
    pub to: Day,
    /// Read all objects, also those that did not change since their days were counted
    #[arg(long)]
    pub recount: bool,
    /// Whether it waits.
    #[command(flatten)]
    pub waiting: Waiting,
}

/// Flags of `rank`.
#[derive(Debug, Args)]
pub struct Rank {
    /// The day of the data, YYYY-MM-DD [default: yesterday in the configured time zone]
    #[arg(long, value_name = "DAY")]
    pub day: Option<Day>,
    /// A model to rank by, in any case; may be repeated [default: every configured model]
    #[arg(long, value_name = "MODEL")]
    pub model: Vec<String>,
}

/// Flags of `show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The advertiser
    #[arg(value_parser = advertiser_id)]
    pub advertiser: AdvertiserId,
    /// The model, in any case [default: every model of the last days]
    pub model: Option<String>,
    /// The day, YYYY-MM-DD [default: the newest published]
    #[arg(long, value_name = "DAY", requires = "model")]
    pub day: Option<Day>,
    /// How many days, without a model
    #[arg(long, value_name = "N", default_value_t = 7, conflicts_with = "model", value_parser = clap::value_parser!(u32).range(1..))]
    pub days: u32,
}

/// Flags of `runs`.
#[derive(Debug, Args)]
pub struct Runs {
    /// One run, whole
    pub run: Option<RunId>,
    /// Only runs of this day, YYYY-MM-DD
    #[arg(long, value_name = "DAY", conflicts_with = "run")]
    pub day: Option<Day>,
    /// At most so many, newest first
    #[arg(long, value_name = "N", default_value_t = 20, conflicts_with = "run", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

/// Flags of `moves`.
#[derive(Debug, Args)]
pub struct Moves {
    /// Only moves of this day, YYYY-MM-DD
    #[arg(long, value_name = "DAY")]
    pub day: Option<Day>,
    /// At most so many, newest first
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    /// A day, as readers see it.
    Day(Day),
    /// What a run made, also what is held back of it.
    Run(RunId),
}

impl std::str::FromStr for Side {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let day = text.parse().map(Self::Day);
        day.or_else(|_| text.parse().map(Self::Run))
            .map_err(|_| "neither a day (YYYY-MM-DD) nor a run".into())
    }
}

/// Flags of `diff`.
#[derive(Debug, Args)]
pub struct Diff {
    /// The day or run before
    #[arg(value_name = "DAY|RUN")]
    pub from: Side,
    /// The day or run after
    #[arg(value_name = "DAY|RUN")]
    pub to: Side,
    /// Only this advertiser
    #[arg(long, value_name = "ADVERTISER", value_parser = advertiser_id)]
    pub advertiser: Option<AdvertiserId>,
    /// Only this model, in any case
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// At most so many lines of the table; JSON is always whole
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

/// Flags of `rollback`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("back").required(true).multiple(true).args(["day", "to", "undo"]))]
pub struct Rollback {
    /// Take back the run that readers see of this day, YYYY-MM-DD; they see what they saw before it
    #[arg(long, value_name = "DAY")]
    pub day: Option<Day>,
    /// Let readers see this run of its day again, as they saw it last
    #[arg(long, value_name = "RUN", conflicts_with_all = ["day", "undo"])]
    pub to: Option<RunId>,
    /// Undo the last rollback, of the day if one is given
    #[arg(long)]
    pub undo: bool,
    /// Only this advertiser
    #[arg(long, value_name = "ADVERTISER", value_parser = advertiser_id, conflicts_with = "undo")]
    pub advertiser: Option<AdvertiserId>,
    /// Why: kept beside what it changed, and shown where readers are told of it
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub reason: String,
}

/// Flags of `pin`.
#[derive(Debug, Args)]
pub struct Pin {
    /// The advertiser
    #[arg(value_parser = advertiser_id)]
    pub advertiser: AdvertiserId,
    /// A run that readers have seen of it
    pub run: RunId,
    /// Why: kept beside the pin, and shown where readers are told of it
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub reason: String,
}

/// Flags of `unpin`.
#[derive(Debug, Args)]
pub struct Unpin {
    /// The advertiser
    #[arg(value_parser = advertiser_id)]
    pub advertiser: AdvertiserId,
    /// Why
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub reason: String,
}

/// What to do about keys.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make a key for some advertisers or for all, and print it, this once
    #[command(
        after_help = "Examples:\n  topshelf keys create --name 'acme shop' --advertiser acme\n  topshelf keys create --name agency --advertiser acme bolt --advertiser zeta\n  topshelf keys create --name dashboard --all\n\nThe key is printed on stdout, all else on stderr. Only its SHA-256 is kept: a key that is lost is revoked, and another made.\nServers take it within serve.poll_seconds. Clients send it as `Authorization: Bearer KEY`."
    )]
    Create(CreateKey),
    /// All keys, those too that are revoked, in the order in which they were made
    #[command(
        after_help = "Examples:\n  topshelf keys list\n  topshelf keys list --json    # with all advertisers of each"
    )]
    List,
    /// Take a key out of force, for good; servers refuse it within serve.poll_seconds
    #[command(
        after_help = "Examples:\n  topshelf keys revoke 'acme shop'     # the key in force of this name\n  topshelf keys revoke 4h8k2m0x7qv1"
    )]
    Revoke(RevokeKey),
}

/// Flags of `keys create`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("scope").required(true).args(["advertiser", "all"]))]
pub struct CreateKey {
    /// What people call it; of keys in force, one has the name
    #[arg(long, value_name = "NAME")]
    pub name: KeyName,
    /// An advertiser whose rankings it is for; several may be given, and the flag repeated
    #[arg(long, value_name = "ADVERTISER", num_args = 1.., value_parser = advertiser_id)]
    pub advertiser: Vec<AdvertiserId>,
    /// For all advertisers, also those that come later, and for what is told of all of them together
    #[arg(long)]
    pub all: bool,
}

/// Flags of `keys revoke`.
#[derive(Debug, Args)]
pub struct RevokeKey {
    /// The key's id, or its name
    #[arg(value_name = "ID|NAME")]
    pub key: String,
}

/// Flags of `generate`.
#[derive(Debug, Args)]
pub struct Generate {
    /// Folder to write into; made if missing
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Ad rows (impressions and clicks) a day
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub rows: u64,
    /// View rows a day [default: half of the ad rows]
    #[arg(long, value_name = "N")]
    pub view_rows: Option<u64>,
    /// Advertisers
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub advertisers: u32,
    /// Products of each advertiser
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub products: u32,
    /// The first day, YYYY-MM-DD
    #[arg(long, value_name = "DAY", default_value = "2024-11-20")]
    pub first_day: Day,
    /// How many days
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub days: u32,
    /// The share of advertisers that are active, 0 to 1
    #[arg(long, value_name = "RATIO", default_value_t = 0.8)]
    pub active_ratio: f64,
    /// The same seed gives the same bytes
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How days are laid out in objects
    #[arg(long, value_name = "LAYOUT", default_value = "single")]
    pub layout: LayoutName,
    /// The format of the logs
    #[arg(long, value_name = "FORMAT", default_value = "csv")]
    pub format: FormatName,
    /// How files are compressed
    #[arg(long, value_name = "COMPRESSION", default_value = "none")]
    pub compress: CompressionName,
    /// Columns beside those that count, with short texts: half of them before those, half behind
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub extra_columns: u32,
    /// Replace files that are there
    #[arg(long)]
    pub overwrite: bool,
}

/// The format of generated logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatName {
    /// Comma-separated values with a header.
    Csv,
    /// Tab-separated values with a header.
    Tsv,
    /// JSON lines: an object a line.
    Jsonl,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Csv => Self::Csv,
            FormatName::Tsv => Self::Tsv,
            FormatName::Jsonl => Self::Jsonl,
        }
    }
}

/// How generated files are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompressionName {
    /// Not at all.
    None,
    /// Gzip: names end with .gz.
    Gzip,
    /// Zstandard: names end with .zst.
    Zstd,
}

impl From<CompressionName> for Compression {
    fn from(name: CompressionName) -> Self {
        match name {
            CompressionName::None => Self::None,
            CompressionName::Gzip => Self::Gzip,
            CompressionName::Zstd => Self::Zstd,
        }
    }
}

/// How generated days are laid out in objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LayoutName {
    /// One object for all days.
    Single,
    /// An object a day: ads_views-2024-11-20.csv.
    Daily,
    /// Hive folders: ads_views/date=2024-11-20/part-0.csv.
    Hive,
}

impl From<LayoutName> for Layout {
    fn from(name: LayoutName) -> Self {
        match name {
            LayoutName::Single => Self::Single,
            LayoutName::Daily => Self::Daily,
            LayoutName::Hive => Self::Hive,
        }
    }
}

fn advertiser_id(text: &str) -> Result<AdvertiserId, domain::IdError> {
    AdvertiserId::new(text)
}
