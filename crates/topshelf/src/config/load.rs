//! Flag beats environment beats file beats default.

use super::{Cluster, Columns, Config, Input, Ranking, Schedule, Serve, by_file};
use crate::{
    database,
    failure::{Exit, Failure},
    webhook,
};
use figment::{
    Figment, Metadata, Profile, Provider,
    error::Kind,
    providers::{Env, Format, Serialized, Toml},
    value::{Dict, Map, Value},
};
use source::{AwsSettings, LogPattern};
use std::path::{Path, PathBuf};

/// The file that is read when it is there and no other is named.
const FILE_DEFAULT: &str = "topshelf.toml";

/// Where values of the environment come from, as messages call it.
pub(super) const BY_VARIABLE: &str = "environment";
pub(super) const BY_FILE: &str = "environment, by file";

/// Variables of the family that are no configuration keys; the latter two are the tests', and developers
/// have them set when they call the program too.
const NOT_KEYS: [&str; 5] = ["config", "log", "orchestrator", "shared", "test_postgres"];

/// The keys that every command takes as a flag.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// `input.url`.
    pub input: Option<String>,
    /// `store.url`.
    pub store: Option<String>,
    /// `lake.url`.
    pub lake: Option<String>,
    /// `serve.listen`.
    pub listen: Option<String>,
    /// `cluster.url`.
    pub cluster: Option<String>,
}

impl Provider for Flags {
    fn metadata(&self) -> Metadata {
        Metadata::named("flag")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let flags = [
            ("input.url", &self.input),
            ("store.url", &self.store),
            ("lake.url", &self.lake),
            ("serve.listen", &self.listen),
            ("cluster.url", &self.cluster),
        ];
        let mut dict = Dict::new();
        for (key, value) in flags {
            if let (Some(value), Some((section, name))) = (value, key.split_once('.')) {
                let entry = Dict::from([(name.to_owned(), Value::from(value.as_str()))]);
                dict.insert(section.to_owned(), Value::from(entry));
            }
        }
        Ok(Profile::Default.collect(dict))
    }
}

/// Variables of the environment, `TOPSHELF_INPUT__URL` for `input.url`, or what files hold that such name.
struct Environment {
    name: &'static str,
    values: Vec<(String, String)>,
}

impl Provider for Environment {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    /// Where the configuration wants text, a value that looks like a number is text too.
    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let defaults = Value::serialize(Config::default())?;
        let mut dict = Dict::new();
        for (key, text) in &self.values {
            let is_text = defaults.find_ref(key.as_str()).is_some_and(|default| default.as_str().is_some());
            let value = match text.parse().expect("any text is a value") {
                other if is_text && Value::as_str(&other).is_none() => Value::from(text.trim()),
                value => value,
            };
            let nested = figment::util::nest(key.as_str(), value).into_dict();
            dict = merged(dict, nested.expect("a key and its value are a dictionary"));
        }
        Ok(Profile::Default.collect(dict))
    }
}

/// Both dictionaries, of what both have the latter.
fn merged(mut into: Dict, from: Dict) -> Dict {
    for (key, value) in from {
        let value = match (into.remove(&key), value) {
            (Some(Value::Dict(_, old)), Value::Dict(tag, new)) => Value::Dict(tag, merged(old, new)),
            (_, value) => value,
        };
        into.insert(key, value);
    }
    into
}

/// The configuration, and where each value came from.
///
/// # Errors
/// Exit code 2, naming the key, where it stands, and the nearest known key.
pub fn load(flags: &Flags) -> Result<(Config, Figment), Failure> {
    let figment = layers(flags)?;
    let config: Config = figment.extract().map_err(|error| explain(&error))?;
    check(&config)?;
    Ok((config, figment))
}

fn layers(flags: &Flags) -> Result<Figment, Failure> {
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    if let Some(file) = file(flags)? {
        figment = figment.merge(Toml::file_exact(file));
    }
    for layer in environment()? {
        figment = figment.merge(layer);
    }
    Ok(figment.merge(flags))
}

/// What the environment says, the weightiest last.
fn environment() -> Result<[Environment; 3], Failure> {
    let [database_url, database_url_file] = ["DATABASE_URL", "DATABASE_URL_FILE"]
        .map(|name| Env::raw().only(&[name]).iter().next().map(|(_, value)| value));
    let is_by_file = database_url_file.is_some();
    let theirs = by_file::database_url(database_url, database_url_file)?;
    let theirs = theirs.map(|url| ("store.url".to_owned(), url)).into_iter().collect();
    let variables = Env::prefixed("TOPSHELF_").ignore(&NOT_KEYS).split("__");
    let variables = variables.iter().map(|(key, value)| (key.as_str().to_owned(), value)).collect();
    let defaults = Value::serialize(Config::default()).expect("the configuration is plain data");
    let [plain, read] = by_file::read(variables, &defaults)?;
    Ok([
        Environment { name: if is_by_file { BY_FILE } else { BY_VARIABLE }, values: theirs },
        Environment { name: BY_VARIABLE, values: plain },
        Environment { name: BY_FILE, values: read },
    ])
}

fn file(flags: &Flags) -> Result<Option<PathBuf>, Failure> {
    let named = flags.config.clone().or_else(|| std::env::var_os("TOPSHELF_CONFIG").map(PathBuf::from));
    match named {
        Some(file) if !file.is_file() => {
            let message = format!("there is no configuration file {}", file.display());
            Err(Failure::new(Exit::Usage, message).help("`topshelf config` prints one with every key"))
        }
        Some(file) => Ok(Some(file)),
        None => Ok(Path::new(FILE_DEFAULT).is_file().then(|| PathBuf::from(FILE_DEFAULT))),
    }
}

/// Names that are less alike were not meant for each other.
const LIKENESS_MIN: f64 = 0.7;

/// One error of figment in our words: the key, where it stands, the nearest known key.
fn explain(error: &figment::Error) -> Failure {
    let place = error.metadata.as_ref().map(place).unwrap_or_default();
    let path = error.path.join(".");
    match &error.kind {
        Kind::UnknownField(field, known) => {
            let section = path.strip_suffix(field.as_str()).unwrap_or(&path).trim_end_matches('.');
            let full =
                |name: &str| if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
            let nearest = known
                .iter()
                .map(|name| (strsim::jaro_winkler(name, field), name))
                .max_by(|left, right| left.0.total_cmp(&right.0))
                .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
                .map(|(_, name)| format!("did you mean `{}`? ", full(name)));
            let known = known.iter().map(|name| full(name)).collect::<Vec<_>>().join(", ");
            let spelling = if place.contains("environment") {
                "; a variable is spelled like TOPSHELF_STORE__URL, two underscores between section and key"
            } else {
                ""
            };
            Failure::new(Exit::Usage, format!("unknown configuration key `{}`{place}", full(field)))
                .help(format!("{}known here: {known}{spelling}", nearest.unwrap_or_default()))
        }
        kind => {
            if path.is_empty() {
                let message = format!("the configuration cannot be read{place}: {kind}");
                return Failure::new(Exit::Usage, message)
                    .help("it is TOML; `topshelf config` prints a whole one where no broken one lies");
            }
            let message = format!("configuration key `{path}`{place} cannot be used: {}", why(error, kind));
            Failure::new(Exit::Usage, message).help(default_of(&path))
        }
    }
}

/// What of a file was found may be a secret.
fn why(error: &figment::Error, kind: &Kind) -> String {
    let is_of_file = error.metadata.as_ref().is_some_and(|metadata| metadata.name == BY_FILE);
    match kind {
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) if is_of_file => {
            format!("invalid content of its file, expected {expected}")
        }
        _ if is_of_file => "invalid content of its file".to_owned(),
        Kind::InvalidType(found, expected) => {
            format!("found {found}, expected {}", in_words(expected.to_string()))
        }
        Kind::InvalidValue(found, expected) => {
            format!("found {found}, expected {}", in_words(expected.to_string()))
        }
        kind => kind.to_string(),
    }
}

/// What a value should be; the library calls numbers by what holds them.
fn in_words(expected: String) -> String {
    match expected.as_str() {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        _ => expected,
    }
}

/// What the key is when nobody sets it, which shows its type too.
fn default_of(key: &str) -> String {
    let defaults = serde_json::to_value(Config::default()).expect("the configuration is plain data");
    match defaults.pointer(&format!("/{}", key.replace('.', "/"))) {
        Some(default) => format!("the default is `{default}`"),
        None => "`topshelf config` prints every key where no broken one lies".to_owned(),
    }
}

/// Where a value came from, for a message: ` (in topshelf.toml)`.
fn place(metadata: &Metadata) -> String {
    match &metadata.source {
        Some(figment::Source::File(file)) => format!(" (in {})", file.display()),
        _ if metadata.name.contains("environment") => " (from the environment)".to_owned(),
        _ => format!(" (from the {})", metadata.name),
    }
}

/// Longer than that, and no night would be held before others are due.
const INPUT_DEADLINE_MINUTES_MAX: u32 = 7 * 24 * 60;

/// With the longest pause between them, more would take more than a day.
const RETRIES_MAX: u32 = 100;

/// A night that waits for longer is late in any case, and nobody has heard of it.
const PATIENCE_SECONDS_MAX: u64 = 3600;

/// Whoever tells a server to end does not wait for longer.
const DRAIN_SECONDS_MAX: u64 = 3600;

/// What types cannot say about values.
fn check(config: &Config) -> Result<(), Failure> {
    check_input(&config.input)?;
    check_models(&config.ranking)?;
    if !(1..=1000).contains(&config.ranking.k) {
        return Err(refused("ranking.k", "is not between 1 and 1000"));
    }
    let counts = [
        ("serve.history_days", config.serve.history_days == 0),
        ("serve.poll_seconds", config.serve.poll_seconds == 0),
        ("counting.slice_mib", config.counting.slice_mib == 0),
    ];
    if let Some((key, _)) = counts.into_iter().find(|(_, is_zero)| *is_zero) {
        return Err(refused(key, "is 0"));
    }
    if (1..7).contains(&config.retention.keep_days) {
        return Err(refused(
            "retention.keep_days",
            "is less than the 7 days that a night is compared with; 0 keeps all",
        ));
    }
    if config.serve.drain_seconds > DRAIN_SECONDS_MAX {
        return Err(refused("serve.drain_seconds", "is more than an hour"));
    }
    if !(0.0..=1.0).contains(&config.serve.access_log) {
        let says = format!("is {}, which is not between 0 and 1", config.serve.access_log);
        return Err(refused("serve.access_log", &says));
    }
    if config.store.patience_seconds > PATIENCE_SECONDS_MAX {
        return Err(refused("store.patience_seconds", "is more than an hour"));
    }
    if config.counting.slice_mib > 1024 {
        return Err(refused("counting.slice_mib", "is more than 1024"));
    }
    if config.counting.threads > 1024 {
        return Err(refused("counting.threads", "is more than 1024"));
    }
    if config.counting.spill_dir.is_empty() {
        return Err(refused("counting.spill_dir", "is empty"));
    }
    check_cluster(&config.cluster)?;
    check_schedule(&config.schedule)?;
    database::of(&config.store, &AwsSettings::from_env())?;
    check_serve(&config.serve)
}

fn check_serve(serve: &Serve) -> Result<(), Failure> {
    check_listen("serve.listen", &serve.listen)?;
    if !serve.operator_listen.is_empty() {
        check_listen("serve.operator_listen", &serve.operator_listen)?;
    }
    check_tls(serve)?;
    if let Err(text) = api::Networks::parse(&serve.trusted_proxies) {
        let says = format!("has {text:?}, which is no network such as \"10.0.0.0/8\" or \"2001:db8::/32\"");
        return Err(refused("serve.trusted_proxies", &says));
    }
    let ranges = [
        ("serve.connections_max", serve.connections_max, 1..=1_000_000),
        ("serve.connections_per_address_max", serve.connections_per_address_max, 1..=1_000_000),
        ("serve.head_kib_max", serve.head_kib_max, 8..=1024),
        ("serve.path_bytes_max", serve.path_bytes_max, 64..=65_000),
        ("serve.headers_max", serve.headers_max, 8..=1000),
        // The longest body and the longest answer, at least once.
        ("serve.bodies_mib", serve.bodies_mib, 16..=1 << 20),
    ];
    for (key, value, range) in ranges {
        if !range.contains(&value) {
            let (min, max) = range.into_inner();
            return Err(refused(key, &format!("is {value}, which is not between {min} and {max}")));
        }
    }
    let times = [
        ("serve.head_seconds", serve.head_seconds),
        ("serve.idle_seconds", serve.idle_seconds),
        ("serve.body_seconds", serve.body_seconds),
        ("serve.request_seconds", serve.request_seconds),
        ("serve.write_seconds", serve.write_seconds),
    ];
    match times.into_iter().find(|(_, seconds)| !(1..=3600).contains(seconds)) {
        Some((key, seconds)) => Err(refused(key, &format!("is {seconds}, which is not between 1 and 3600"))),
        None => Ok(()),
    }
}

fn check_listen(key: &str, listen: &str) -> Result<(), Failure> {
    let port =
        listen.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    if !matches!(port, Some(Ok(_))) {
        return Err(refused(key, &format!("is {listen:?}, which is not host:port")));
    }
    Ok(())
}

fn check_tls(serve: &Serve) -> Result<(), Failure> {
    let (set, empty) = match (serve.tls_certificate.is_empty(), serve.tls_key.is_empty()) {
        (false, true) => ("serve.tls_certificate", "serve.tls_key"),
        (true, false) => ("serve.tls_key", "serve.tls_certificate"),
        _ => return Ok(()),
    };
    let message = format!("{set} is set, but {empty} is not");
    Err(Failure::new(Exit::Usage, message).help(format!("TLS needs both: set {empty}, or take {set} away")))
}

/// More, and the tasks of a night are fewer than anybody's executors.
const TASK_MIB_MAX: u64 = 1 << 20;

/// Each of them is a partition of each task that counts: more of them shuffle more marks than counts.
const ADDERS_MAX: usize = 10_000;

/// Longer than that, and no night would be held before others are due.
const DEADLINE_SECONDS_MAX: u64 = 7 * 24 * 3600;

fn check_cluster(cluster: &Cluster) -> Result<(), Failure> {
    cluster.scheduler()?;
    let ranges = [
        ("cluster.task_mib", cluster.task_mib, 1..=TASK_MIB_MAX),
        ("cluster.adders", cluster.adders as u64, 0..=ADDERS_MAX as u64),
        ("cluster.deadline_seconds", cluster.deadline_seconds, 1..=DEADLINE_SECONDS_MAX),
        ("cluster.retries", cluster.retries.into(), 0..=RETRIES_MAX.into()),
    ];
    if let Some((key, value, range)) = ranges.into_iter().find(|(_, value, range)| !range.contains(value)) {
        let (min, max) = range.into_inner();
        return Err(refused(key, &format!("is {value}, which is not between {min} and {max}")));
    }
    check_cluster_tls(cluster)
}

fn check_cluster_tls(cluster: &Cluster) -> Result<(), Failure> {
    let keys = [
        ("cluster.tls_cert", &cluster.tls_cert),
        ("cluster.tls_key", &cluster.tls_key),
        ("cluster.tls_ca", &cluster.tls_ca),
    ];
    let name = |is_set: bool| keys.iter().find(|(_, file)| file.is_empty() != is_set).map(|(key, _)| *key);
    match (name(true), name(false)) {
        (Some(set), Some(empty)) => {
            let message = format!("{set} is set, but {empty} is not");
            Err(Failure::new(Exit::Usage, message)
                .help("mutual TLS needs all of cluster.tls_cert, cluster.tls_key and cluster.tls_ca; without it none of them is set"))
        }
        _ => Ok(()),
    }
}

fn check_input(input: &Input) -> Result<(), Failure> {
    if input.ads_views.is_empty() && input.product_views.is_empty() {
        let message = "input.ads_views and input.product_views are both empty: there is nothing to count";
        return Err(Failure::new(Exit::Usage, message).help(default_of("input.ads_views")));
    }
    if input.advertiser_ids.is_empty() {
        return Err(refused(
            "input.advertiser_ids",
            "is empty: without active advertisers nothing can be ranked",
        ));
    }
    let patterns = [
        ("input.advertiser_ids", &input.advertiser_ids),
        ("input.ads_views", &input.ads_views),
        ("input.product_views", &input.product_views),
    ];
    for (key, pattern) in patterns.into_iter().filter(|(_, pattern)| !pattern.is_empty()) {
        LogPattern::parse(pattern).map_err(|error| refused(key, &format!("cannot be used: {error}")))?;
    }
    if !(0.0..=1.0).contains(&input.max_rejected_ratio) {
        let says = format!("is {}, which is not between 0 and 1", input.max_rejected_ratio);
        return Err(refused("input.max_rejected_ratio", &says));
    }
    let Columns { advertiser_id, product_id, r#type, date } = &input.columns;
    let names = [advertiser_id, product_id, r#type, date];
    if let Some(twice) = names.iter().find(|name| names.iter().filter(|other| other == name).count() > 1) {
        let message = format!("input.columns calls two columns {twice:?}");
        return Err(Failure::new(Exit::Usage, message).help("each column has a name of its own"));
    }
    input.delimiter()?;
    input.date_format().map(drop)
}

fn check_schedule(schedule: &Schedule) -> Result<(), Failure> {
    if schedule.catch_up_days > 366 {
        return Err(refused("schedule.catch_up_days", "is more than 366"));
    }
    if schedule.refresh_days > 90 {
        return Err(refused("schedule.refresh_days", "is more than 90"));
    }
    let marker = &schedule.input_marker;
    if !marker.is_empty() {
        let parsed = LogPattern::parse(marker);
        parsed.map_err(|error| refused("schedule.input_marker", &format!("cannot be used: {error}")))?;
    }
    if schedule.input_deadline_minutes > INPUT_DEADLINE_MINUTES_MAX {
        return Err(refused("schedule.input_deadline_minutes", "is more than a week"));
    }
    if schedule.retries > RETRIES_MAX {
        return Err(refused("schedule.retries", "is more than 100"));
    }
    let webhook = &schedule.webhook.0;
    let secret = webhook::secret(&schedule.webhook, &AwsSettings::from_env());
    let secret = secret.map_err(|error| Failure::new(Exit::Usage, error.message).help(error.remedy))?;
    if !(webhook.is_empty() || webhook::is_url(webhook) || secret.is_some()) {
        return Err(refused("schedule.webhook", "is no http:// or https:// URL"));
    }
    if webhook.ends_with("/***") {
        return Err(refused("schedule.webhook", "is what `topshelf config` shows of it, without its secret"));
    }
    Ok(())
}

fn check_models(config: &Ranking) -> Result<(), Failure> {
    let models = || ranking::MODELS.iter().map(|model| model.name()).collect::<Vec<_>>().join(", ");
    let usage =
        |message: String| Failure::new(Exit::Usage, message).help(format!("the models are {}", models()));
    let named = config.models.iter().chain(config.k_per_model.keys());
    if let Some(name) = named.into_iter().find(|name| ranking::model(name).is_none()) {
        return Err(usage(format!("{name:?} is not a model")));
    }
    if config.models.is_empty() {
        return Err(usage("ranking.models is empty".into()));
    }
    if let Some(model) = config.k_per_model.iter().find(|(_, k)| !(1..=1000).contains(*k)) {
        return Err(refused(&format!("ranking.k_per_model.{}", model.0), "is not between 1 and 1000"));
    }
    Ok(())
}

/// The key's value cannot be meant.
fn refused(key: &str, says: &str) -> Failure {
    Failure::new(Exit::Usage, format!("{key} {says}")).help(default_of(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use figment::Jail;

    /// Loads with the file's text, environment and flags given; what is told of the outcome.
    #[expect(clippy::result_large_err, reason = "figment's error is what its jail takes")]
    fn check(file: &str, environment: &[(&str, &str)], flags: &Flags, expected: &str) {
        Jail::expect_with(|jail| {
            jail.clear_env();
            jail.create_file(FILE_DEFAULT, file)?;
            environment.iter().for_each(|(key, value)| jail.set_env(key, value));
            let told = match load(flags) {
                Ok((config, _)) => format!("{} {} {}", config.input.url, config.store.url, config.ranking.k),
                Err(failure) => {
                    let help = miette::Diagnostic::help(&failure).map(|help| help.to_string());
                    format!("{failure} / {}", help.unwrap_or_default())
                }
            };
            assert!(told.contains(expected), "{told}");
            Ok(())
        });
    }

    #[test]
    fn flag_beats_environment_beats_file_beats_default() {
        let file = "[input]\nurl = \"file\"\n[ranking]\nk = 5\n";
        let none = Flags::default();
        check("", &[], &none, "data sqlite:topshelf-data/topshelf.db 20");
        check(file, &[], &none, "file sqlite:topshelf-data/topshelf.db 5");
        let environment = [("TOPSHELF_INPUT__URL", "environment"), ("DATABASE_URL", "postgres://db/x")];
        check(file, &environment, &none, "environment postgres://db/x 5");
        let numbers =
            [("TOPSHELF_INPUT__URL", "2024"), ("TOPSHELF_STORE__URL", "true"), ("TOPSHELF_RANKING__K", "7")];
        check(file, &numbers, &none, "2024 true 7");
        let of_tests = [("TOPSHELF_SHARED", "../shared"), ("TOPSHELF_TEST_POSTGRES", "postgres://db")];
        check(file, &of_tests, &none, "file sqlite:topshelf-data/topshelf.db 5");
        let both = [("TOPSHELF_STORE__URL", "sqlite:mine"), ("DATABASE_URL", "postgres://db/x")];
        check(file, &both, &none, "file sqlite:mine 5");
        let flags = Flags { input: Some("flag".into()), store: Some("sqlite:f".into()), ..Flags::default() };
        check(file, &environment, &flags, "flag sqlite:f 5");
    }

    #[test]
    fn wrong_keys_and_values_are_named() {
        let none = Flags::default();
        check("[input]\nadds_views = \"x\"", &[], &none, "unknown configuration key `input.adds_views` (in ");
        check("[input]\nadds_views = \"x\"", &[], &none, "did you mean `input.ads_views`?");
        check("[inputs]\nurl = \"x\"", &[], &none, "did you mean `input`?");
        check("", &[("TOPSHELF_STORE__URI", "x")], &none, "did you mean `store.url`?");
        check("[ranking]\nk = \"many\"", &[], &none, "configuration key `ranking.k` (in ");
        check(
            "[ranking]\nmodels = [\"TopCRT\"]",
            &[],
            &none,
            "\"TopCRT\" is not a model / the models are TopCTR, TopProduct",
        );
        check("[input]\nads_views = \"\"\nproduct_views = \"\"", &[], &none, "there is nothing to count");
        let serve = |keys: &str, expected| check(&format!("[serve]\n{keys}"), &[], &none, expected);
        serve("tls_certificate = \"c.pem\"", "serve.tls_certificate is set, but serve.tls_key is not");
        serve("tls_key = \"k.pem\"", "serve.tls_key is set, but serve.tls_certificate is not");
        serve(
            "trusted_proxies = [\"10.0.0.0/8\", \"vpc\"]",
            "serve.trusted_proxies has \"vpc\", which is no network",
        );
        serve("operator_listen = \"9090\"", "serve.operator_listen is \"9090\", which is not host:port");
        serve("head_kib_max = 4", "serve.head_kib_max is 4, which is not between 8 and 1024");
        serve("write_seconds = 0", "serve.write_seconds is 0, which is not between 1 and 3600");
        let cluster = |keys: &str, expected| check(&format!("[cluster]\n{keys}"), &[], &none, expected);
        cluster("tls_ca = \"ca.pem\"", "cluster.tls_ca is set, but cluster.tls_cert is not");
        cluster("tls_cert = \"c\"\ntls_key = \"k\"", "cluster.tls_cert is set, but cluster.tls_ca is not");
        check("[input", &[], &none, "the configuration cannot be read");
        let missing = Flags { config: Some("no.toml".into()), ..Flags::default() };
        check("", &[], &missing, "there is no configuration file no.toml");
    }
}
