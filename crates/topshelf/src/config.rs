//! The configuration: every key, its default, and how flags, environment and file are laid over it.

mod address;
mod by_file;
mod load;
mod show;

#[cfg(feature = "cluster")]
pub(crate) use address::{host_and_port, is_host};
pub use load::{Flags, load};
pub use show::{as_toml, without_password};

use crate::{
    checks::Checks,
    failure::{Exit, Failure},
    memory::MemoryLimit,
};
use counting::DateFormat;
use serde::{Deserialize, Serialize};
use sha2::Digest;
use std::{collections::BTreeMap, fmt};

/// Every key. Each has one name here, in `topshelf.toml`, and in the environment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the logs are and how they are written.
    pub input: Input,
    /// How they are counted.
    pub counting: Counting,
    /// Who counts in this machine's place.
    pub cluster: Cluster,
    /// Which models rank, and how far.
    pub ranking: Ranking,
    /// What is checked before a day is published.
    pub checks: Checks,
    /// How long what runs made is kept.
    pub retention: Retention,
    /// Where stages leave their outputs.
    pub lake: Lake,
    /// Where publications and the ledger of runs are.
    pub store: Store,
    /// When nights begin.
    pub schedule: Schedule,
    /// How what is published is served.
    pub serve: Serve,
}

/// Where the logs are and how they are written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A directory, `file:///…`, or `s3://bucket/prefix`.
    pub url: String,
    /// Object name, glob or template of the active advertisers.
    pub advertiser_ids: String,
    /// The same of the ads shown and clicked; empty when there is no such log.
    pub ads_views: String,
    /// The same of the product pages viewed; empty when there is no such log.
    pub product_views: String,
    /// The share of a log's lines that may be rejected, 0 to 1.
    pub max_rejected_ratio: f64,
    /// `iso`, or a pattern such as `%d/%m/%Y`.
    pub date_format: String,
    /// `auto` (a comma, tab, semicolon or bar, as the header has it), `tab`, or one character.
    pub delimiter: String,
    /// What the columns are called in the files.
    pub columns: Columns,
}

/// What the columns are called in the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Columns {
    /// The advertiser's id.
    pub advertiser_id: String,
    /// The product's id.
    pub product_id: String,
    /// `impression` or `click`.
    pub r#type: String,
    /// The date or date-time.
    pub date: String,
}

/// How logs are counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counting {
    /// Threads that count; 0 takes every core.
    pub threads: usize,
    /// Mebibytes of an object that a thread takes at a time.
    pub slice_mib: u64,
    /// How much memory the program may take while it counts: `auto`, or bytes, such as `4GiB`.
    pub memory_limit: MemoryLimit,
    /// A folder on a disk, for partial counts that do not fit in it; `auto` lies in the lake, or with the
    /// system's temporary files when the lake is a bucket.
    pub spill_dir: String,
}

/// A cluster that counts in this machine's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Its scheduler, `df://host:port`; empty when this machine counts.
    pub url: String,
    /// Mebibytes of objects that a task counts.
    pub task_mib: u64,
    /// Tasks that add up what was counted, each a share of the products; 0 for as many as count, up to 32.
    pub adders: usize,
    /// Whether executors write counts to the lake: else all of them come back to be written.
    pub executors_write: bool,
    /// Seconds after which a job is given up.
    pub deadline_seconds: u64,
    /// How often a job that failed or was given up is tried again, as a new one.
    pub retries: u32,
    /// File with the certificate that whoever runs the night shows to the cluster, in PEM; empty without TLS.
    pub tls_cert: String,
    /// File with its private key, in PEM.
    pub tls_key: String,
    /// File with the authority of all certificates of the cluster, in PEM.
    pub tls_ca: String,
}

/// Which models rank, and how far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ranking {
    /// The models that are computed; all that there are by default.
    pub models: Vec<String>,
    /// How many products a ranking has at most.
    pub k: usize,
    /// The same for one model, by its name.
    pub k_per_model: BTreeMap<String, usize>,
}

/// Where stages leave their outputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lake {
    /// A directory, `file:///…`, or `s3://bucket/prefix`.
    pub url: String,
}

/// Where publications and the ledger of runs are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// `sqlite:path`, or `postgres://user@host/database?sslmode=verify-full`.
    pub url: String,
    /// The ARN of a secret of AWS Secrets Manager, or a file, that has the password, or user and password as RDS keeps
    /// them; empty when the URL says all. It is read again while the program runs.
    pub secret: String,
    /// Seconds for which a run tries again what the database cannot do at the moment; 0 gives up at once.
    pub patience_seconds: u64,
}

/// How long what runs made is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// So many of the newest published days keep their rankings and what lies in the lake, 7 or more; 0 keeps all. The
    /// ledger is kept in any case, and so is what readers see last of an advertiser.
    pub keep_days: u32,
}

/// When nights begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// A cron line: minute, hour, day of month, month, day of week.
    pub cron: String,
    /// The IANA time zone of the cron line and of the data's days.
    pub timezone: String,
    /// Minutes after a night began from which its day is promised: older answers say `stale`.
    pub stale_after_minutes: u32,
    /// Nights of the last so many days are caught up when they were missed, the newest first; 0 catches up none.
    pub catch_up_days: u32,
    /// Whether a night waits until the day's input is there.
    pub wait_for_input: bool,
    /// Minutes after a night was due until which it waits for the input; then it fails.
    pub input_deadline_minutes: u32,
    /// Name, glob or template of an object that is written after all others of the day, such as
    /// `{day}/_SUCCESS`; it is waited for instead of the logs. Empty when there is none.
    pub input_marker: String,
    /// How often a night is tried again that failed of what may pass by itself.
    pub retries: u32,
    /// Seconds before it is tried again first; each further pause is twice as long, up to a quarter of an hour.
    pub retry_seconds: u64,
    /// After a night, so many days before its day are run again, to add what has come late.
    pub refresh_days: u32,
    /// The URL that is told of nights that fail or are held, and of the first that is well again; empty for none. The
    /// ARN of a secret of AWS Secrets Manager that holds it may take its place.
    pub webhook: Webhook,
}

/// A URL whose path is a secret: whoever knows it may post.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Webhook(pub String);

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Webhook({:?})", self.hidden())
    }
}

impl Webhook {
    /// The URL without its path; an ARN is no secret.
    #[must_use]
    pub fn hidden(&self) -> String {
        if self.0.is_empty() || secrets::is_arn(&self.0) {
            self.0.clone()
        } else {
            show::without_path(&self.0)
        }
    }
}

/// How what is published is served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Serve {
    /// Host and port; port 0 takes a free one.
    pub listen: String,
    /// The most published days kept in memory, and so the most that can be asked for.
    pub history_days: usize,
    /// Seconds between looks at the store for a new publication, when it cannot tell by itself.
    pub poll_seconds: u64,
    /// Seconds for which a server that was told to end goes on answering, not ready any more, so that load balancers
    /// notice; Ctrl-C does without.
    pub drain_seconds: u64,
    /// Mebibytes of memory for answers kept ready; those that find no room are written for each request.
    pub prepared_mib: usize,
    /// Where what is served is kept, for a start without the database; empty to keep nothing.
    pub snapshot_dir: String,
    /// The share of requests that the access log has a line of, 0 to 1; answers of 500 and above have one in any case.
    pub access_log: f64,
    /// Whether callers must send an API key: `auto` (on every address but loopback), `required` or `off`.
    pub keys: Keys,
    /// Host and port for operators alone: `/metrics` and `/health` are there then, and not on `listen`; empty for none.
    pub operator_listen: String,
    /// The file of the server's certificate and of those that lead to a root, in PEM; empty for HTTP without TLS.
    pub tls_certificate: String,
    /// The file of its private key, in PEM.
    pub tls_key: String,
    /// Networks of the proxies whose `X-Forwarded-For` is believed, such as `10.0.0.0/8`.
    pub trusted_proxies: Vec<String>,
    /// Connections open at a time.
    pub connections_max: usize,
    /// The same from one address, or from one IPv6 network of 64 bits; proxies that are trusted have no such limit.
    pub connections_per_address_max: usize,
    /// Kibibytes of a request's head.
    pub head_kib_max: usize,
    /// Bytes of its path and query.
    pub path_bytes_max: usize,
    /// Headers of a request.
    pub headers_max: usize,
    /// Seconds for a TLS handshake, and for a head.
    pub head_seconds: u64,
    /// Seconds for which a connection may rest between requests: longer than a balancer in front keeps it.
    pub idle_seconds: u64,
    /// Seconds for a request's body.
    pub body_seconds: u64,
    /// Seconds for all the work on a request.
    pub request_seconds: u64,
    /// Seconds for a client to take 64 KiB of its answer, or the rest of it.
    pub write_seconds: u64,
    /// Mebibytes of memory for the bodies of requests and for long answers until they have been read or sent.
    pub bodies_mib: usize,
    /// Requests a second of one caller, each ranking of a `POST` counted as one; 0 for no limit.
    pub requests_per_second: u32,
    /// Requests at once of a caller that was silent before; 0 for as many as in a second.
    pub requests_burst: u32,
}

/// Whether callers must send an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keys {
    /// On every address but loopback.
    #[default]
    Auto,
    /// Yes.
    Required,
    /// No.
    Off,
}

impl Default for Retention {
    fn default() -> Self {
        Self { keep_days: 90 }
    }
}

impl Default for Input {
    fn default() -> Self {
        Self {
            url: "data".into(),
            advertiser_ids: "advertiser_ids*".into(),
            ads_views: "ads_views*".into(),
            product_views: "product_views*".into(),
            max_rejected_ratio: 0.01,
            date_format: "iso".into(),
            delimiter: "auto".into(),
            columns: Columns::default(),
        }
    }
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            advertiser_id: "advertiser_id".into(),
            product_id: "product_id".into(),
            r#type: "type".into(),
            date: "date".into(),
        }
    }
}

impl Default for Counting {
    fn default() -> Self {
        Self { threads: 0, slice_mib: 16, memory_limit: MemoryLimit::Auto, spill_dir: "auto".into() }
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            url: String::new(),
            task_mib: 256,
            adders: 0,
            executors_write: true,
            deadline_seconds: 5400,
            retries: 1,
            tls_cert: String::new(),
            tls_key: String::new(),
            tls_ca: String::new(),
        }
    }
}

impl Default for Ranking {
    fn default() -> Self {
        let models = ranking::MODELS.iter().map(|model| model.name().to_owned()).collect();
        Self { models, k: ranking::K_DEFAULT, k_per_model: BTreeMap::new() }
    }
}

impl Default for Lake {
    fn default() -> Self {
        Self { url: "topshelf-data/lake".into() }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self { url: "sqlite:topshelf-data/topshelf.db".into(), secret: String::new(), patience_seconds: 60 }
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            cron: "30 2 * * *".into(),
            timezone: "UTC".into(),
            stale_after_minutes: 120,
            catch_up_days: 7,
            wait_for_input: false,
            input_deadline_minutes: 240,
            input_marker: String::new(),
            retries: 5,
            retry_seconds: 30,
            refresh_days: 0,
            webhook: Webhook::default(),
        }
    }
}

impl Default for Serve {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".into(),
            history_days: 30,
            poll_seconds: 2,
            drain_seconds: 5,
            prepared_mib: 128,
            snapshot_dir: "topshelf-data/snapshot".into(),
            access_log: 0.0,
            keys: Keys::Auto,
            operator_listen: String::new(),
            tls_certificate: String::new(),
            tls_key: String::new(),
            trusted_proxies: Vec::new(),
            connections_max: 10_000,
            connections_per_address_max: 1000,
            head_kib_max: 16,
            path_bytes_max: 4096,
            headers_max: 64,
            head_seconds: 10,
            idle_seconds: 75,
            body_seconds: 10,
            request_seconds: 30,
            write_seconds: 30,
            bodies_mib: 256,
            requests_per_second: 0,
            requests_burst: 0,
        }
    }
}

impl Config {
    /// The same, to be shown.
    #[must_use]
    pub fn without_secrets(&self) -> Self {
        let mut shown = self.clone();
        shown.store.url = without_password(&shown.store.url);
        shown.schedule.webhook = Webhook(self.schedule.webhook.hidden());
        shown
    }

    /// Names the configuration, without its secrets: equal when every key has the same value.
    #[must_use]
    pub fn hash(&self) -> String {
        let json = serde_json::to_vec(&self.without_secrets()).expect("the configuration is plain data");
        sha2::Sha256::digest(json).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Input {
    /// How dates are written.
    ///
    /// # Errors
    /// When the pattern cannot be understood.
    pub fn date_format(&self) -> Result<DateFormat, Failure> {
        match self.date_format.as_str() {
            "iso" => Ok(DateFormat::Iso),
            pattern => DateFormat::pattern(pattern).map_err(|error| {
                Failure::explained(Exit::Usage, error).help(
                    "input.date_format is \"iso\", or a pattern such as \"%d/%m/%Y\" or \"%Y%m%d %H:%M:%S\"",
                )
            }),
        }
    }
}

impl Input {
    /// What stands between fields; none when the header tells.
    ///
    /// # Errors
    /// When it cannot stand between fields.
    pub fn delimiter(&self) -> Result<Option<u8>, Failure> {
        match self.delimiter.as_bytes() {
            b"auto" => Ok(None),
            b"tab" | b"\\t" => Ok(Some(b'\t')),
            [delimiter @ (b'\t' | b' '..=b'~')] if *delimiter != b'"' => Ok(Some(*delimiter)),
            _ => Err(Failure::new(Exit::Usage, format!("input.delimiter {:?} cannot stand between fields", self.delimiter))
                .help("input.delimiter is \"auto\", \"tab\", or one ASCII character that is no quote, such as \";\"")),
        }
    }
}

impl Cluster {
    /// What to do with a program that was built without the feature.
    pub(crate) const WITH_FEATURE: &str = "build it with `--features cluster`, or the image with `FEATURES=cluster`; without cluster.url, `--cluster=`, this machine counts";

    /// Host and port of its scheduler; none when this machine counts.
    ///
    /// # Errors
    /// When the URL is no scheduler's.
    pub fn scheduler(&self) -> Result<Option<(&str, u16)>, Failure> {
        if self.url.is_empty() {
            return Ok(None);
        }
        let address = self.url.strip_prefix("df://").unwrap_or(&self.url);
        address::host_and_port(address).map(Some).ok_or_else(|| {
            let message = format!("cluster.url {:?} is not df://HOST:PORT", self.hidden_url());
            Failure::new(Exit::Usage, message).help("it names the machine where `topshelf cluster scheduler` runs, and its port, and nothing else; an address of IPv6 stands in brackets; empty, this machine counts")
        })
    }

    /// The URL without what stands before an @, which may be a password.
    #[must_use]
    pub fn hidden_url(&self) -> String {
        self.url.rsplit_once('@').map_or_else(|| self.url.clone(), |(_, host)| format!("…@{host}"))
    }
}

impl Counting {
    /// How many threads count.
    #[must_use]
    pub fn threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }
}

impl Ranking {
    /// How many products a ranking of the model has at most.
    #[must_use]
    pub fn k_of(&self, model: &str) -> usize {
        let own = self.k_per_model.iter().find(|(name, _)| name.eq_ignore_ascii_case(model));
        own.map_or(self.k, |(_, k)| *k)
    }
}
