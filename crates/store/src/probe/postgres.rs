//! A PostgreSQL server: where it is, how it is to be reached, and what it says once it lets us in.

use super::{
    Lacking, Migrations, Refusal, Schema,
    migrations::Row,
    privileges::{self, Needs},
};
use crate::{
    Login, StoreError, migrations,
    postgres::{self, UrlTarget},
};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};
use std::{fmt, path::PathBuf, time::Duration};
use url::Url;

/// A server and how it is to be reached, as the driver reads the URL and libpq's variables.
pub struct PostgresTarget {
    options: PgConnectOptions,
    /// Where it listens.
    pub address: Address,
    /// Who connects.
    pub user: String,
    /// What to.
    pub database: String,
    /// How the connection is encrypted, and what is checked of who answers.
    pub tls: TlsMode,
    /// `sslrootcert`: authorities that are trusted beside the machine's.
    pub root_certificates: Option<Pem>,
    /// `sslcert` and `sslkey`: what this side proves itself with.
    pub client_certificate: Option<(Pem, Pem)>,
    /// Where the password comes from; none when there is none.
    pub password: Option<PasswordSource>,
    /// When the password was made, if it is an AWS IAM token: `20241120T023000Z`.
    pub token_made_at: Option<String>,
    /// Whether a token is to be logged in with that is made for the moment (`auth=iam`).
    pub is_by_token: bool,
    /// Whether the URL, or `PGUSER`, says who connects.
    pub names_user: bool,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A host's name or IP address, and the port.
    Host(String, u16),
    /// A socket of this machine.
    Socket(PathBuf),
}

/// libpq's `sslmode`, as far as the driver tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Never.
    Disable,
    /// Not as the driver does it: `allow` is `disable` to it.
    Allow,
    /// If the server can; whoever answers is believed.
    Prefer,
    /// In any case; whoever answers is believed.
    Require,
    /// In any case; the certificate's issuer must be known.
    VerifyCa,
    /// In any case; the issuer must be known and the certificate be of the host.
    VerifyFull,
}

/// Certificates or a key in PEM.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// In a file.
    File(PathBuf),
    /// As the setting's value.
    Inline(String),
}

/// Where a password comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordSource {
    /// The URL.
    Url,
    /// `PGPASSWORD`.
    Variable,
    /// A line of this password file, if one fits.
    File(PathBuf),
    /// Whoever keeps it, in words.
    Kept(String),
}

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// As a number: 150004 for 15.4.
    pub version_number: i32,
    /// In its words.
    pub version: String,
    /// Whether it repeats what another server does, and takes no writes.
    pub is_replica: bool,
    /// Whether transactions may only read, by a setting of the role, the database or the server.
    pub is_read_only: bool,
    /// How long a statement may take; none when it takes as long as it takes.
    pub statement_timeout: Option<Duration>,
}

/// A connection that the server accepted.
pub struct PostgresSession {
    connection: PgConnection,
}

impl TlsMode {
    /// As it is written in a URL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

impl From<PgSslMode> for TlsMode {
    fn from(mode: PgSslMode) -> Self {
        match mode {
            PgSslMode::Disable => Self::Disable,
            PgSslMode::Allow => Self::Allow,
            PgSslMode::Prefer => Self::Prefer,
            PgSslMode::Require => Self::Require,
            PgSslMode::VerifyCa => Self::VerifyCa,
            PgSslMode::VerifyFull => Self::VerifyFull,
        }
    }
}

impl Pem {
    fn of(text: String) -> Self {
        let is_inline = text.trim().starts_with("-----BEGIN");
        if is_inline { Self::Inline(text) } else { Self::File(text.into()) }
    }
}

/// No key.
impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Inline(_) => f.write_str("what the setting holds"),
        }
    }
}

impl PostgresTarget {
    pub(super) fn of(
        url: &str,
        is_kept: bool,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, StoreError> {
        let UrlTarget { options, is_by_token, names_user } = UrlTarget::of(url, is_kept)?;
        let parsed = Url::parse(url).map_err(|error| StoreError::Url { reason: error.to_string() })?;
        let parameter = |names: &[&str]| {
            let pairs = parsed.query_pairs().filter(|(name, _)| names.contains(&name.as_ref()));
            pairs.last().map(|(_, value)| value.into_owned())
        };
        let pem = |names: &[&str], of: &str| parameter(names).or_else(|| variable(of)).map(Pem::of);
        let certificate = pem(&["sslcert", "ssl-cert"], "PGSSLCERT");
        let key = pem(&["sslkey", "ssl-key"], "PGSSLKEY");
        let in_url = parameter(&["password"]).or_else(|| parsed.password().map(decoded));
        let user = options.get_username().to_owned();
        let password = in_url.or_else(|| variable("PGPASSWORD"));
        Ok(Self {
            address: address(&options),
            database: options.get_database().unwrap_or(&user).to_owned(),
            user,
            tls: options.get_ssl_mode().into(),
            root_certificates: pem(&["sslrootcert", "ssl-root-cert", "ssl-ca"], "PGSSLROOTCERT"),
            client_certificate: certificate.zip(key),
            token_made_at: password.as_deref().and_then(token_time),
            is_by_token,
            names_user,
            password: password_source(&parsed, &variable),
            options,
        })
    }

    /// The same, to be logged in to with what is kept elsewhere.
    #[must_use]
    pub fn with_login(self, login: &Login, kept: String) -> Self {
        let options = postgres::with_login(&self.options, login);
        Self {
            user: options.get_username().to_owned(),
            token_made_at: token_time(&login.password),
            password: Some(PasswordSource::Kept(kept)),
            options,
            ..self
        }
    }

    /// Connects and logs in, as a night does.
    ///
    /// # Errors
    /// What the server answered.
    pub async fn log_in(&self) -> Result<PostgresSession, Refusal> {
        Ok(PostgresSession { connection: self.options.connect().await? })
    }
}

fn address(options: &PgConnectOptions) -> Address {
    let (host, port) = (options.get_host(), options.get_port());
    let folder = options.get_socket().cloned().or_else(|| host.starts_with('/').then(|| host.into()));
    match folder {
        Some(folder) => Address::Socket(folder.join(format!(".s.PGSQL.{port}"))),
        None => Address::Host(host.trim_start_matches('[').trim_end_matches(']').to_owned(), port),
    }
}

fn password_source(url: &Url, variable: &impl Fn(&str) -> Option<String>) -> Option<PasswordSource> {
    if url.password().is_some() || url.query_pairs().any(|(name, _)| name == "password") {
        return Some(PasswordSource::Url);
    }
    if variable("PGPASSWORD").is_some() {
        return Some(PasswordSource::Variable);
    }
    let files = [
        variable("PGPASSFILE").map(PathBuf::from),
        variable("HOME").map(|home| PathBuf::from(home).join(".pgpass")),
    ];
    files.into_iter().flatten().find(|file| file.is_file()).map(PasswordSource::File)
}

/// A part of a URL without its percent signs, as a query would be read.
fn decoded(text: &str) -> String {
    let text = text.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    url::form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default()
}

/// When a token of AWS was made, as it says itself.
fn token_time(password: &str) -> Option<String> {
    let (_, rest) = password.split_once("X-Amz-Date=")?;
    let time = rest.split('&').next().unwrap_or_default();
    password.contains("X-Amz-Signature=").then(|| time.to_owned())
}

/// No password.
impl fmt::Debug for PostgresTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, user, database, tls, .. } = self;
        f.debug_tuple("PostgresTarget").field(address).field(user).field(database).field(tls).finish()
    }
}

impl PostgresSession {
    /// What the server says of itself.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn server(&mut self) -> Result<Server, Refusal> {
        let (version_number, version, is_replica, is_read_only, timeout_ms): (_, _, _, _, i64) =
            sqlx::query_as(
                "SELECT current_setting('server_version_num')::int4, current_setting('server_version'),
                    pg_is_in_recovery(), current_setting('transaction_read_only') = 'on',
                    (SELECT setting::int8 FROM pg_settings WHERE name = 'statement_timeout')",
            )
            .fetch_one(&mut self.connection)
            .await?;
        let timeout_ms = u64::try_from(timeout_ms).ok().filter(|timeout_ms| *timeout_ms > 0);
        let statement_timeout = timeout_ms.map(Duration::from_millis);
        Ok(Server { version_number, version, is_replica, is_read_only, statement_timeout })
    }

    /// The server's clock, in seconds since 1970.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn clock(&mut self) -> Result<f64, Refusal> {
        let asked = sqlx::query_scalar("SELECT extract(epoch FROM clock_timestamp())::float8");
        Ok(asked.fetch_one(&mut self.connection).await?)
    }

    /// Which migrations the database has had.
    ///
    /// # Errors
    /// When it does not answer, or does not let us read which.
    pub async fn migrations(&mut self) -> Result<Migrations, Refusal> {
        let table = migrations::TABLE;
        let is_there = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(table);
        let is_there: bool = is_there.fetch_one(&mut self.connection).await?;
        let rows: Vec<Row> = if is_there {
            let sql = format!("SELECT version, checksum, success FROM {table} ORDER BY version");
            sqlx::query_as(AssertSqlSafe(sql)).fetch_all(&mut self.connection).await?
        } else {
            Vec::new()
        };
        Ok(Migrations::compare(&migrations::of_postgres(), &rows))
    }

    /// Whether the role may do what migrations do.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn schema(&mut self) -> Result<Schema, Refusal> {
        let (name, may_create): (Option<String>, bool) = sqlx::query_as(
            "SELECT current_schema()::text,
                coalesce(has_schema_privilege(current_schema()::text, 'CREATE'), false)",
        )
        .fetch_one(&mut self.connection)
        .await?;
        let of = [privileges::OF_NIGHTS, privileges::OF_KEYS].concat();
        let tables: Vec<_> = of.iter().map(|(table, _)| (*table).to_owned()).collect();
        let of_others = sqlx::query_scalar(
            "SELECT name FROM unnest($1::text[]) AS asked(name)
             JOIN pg_class ON pg_class.oid = to_regclass(name)
             WHERE NOT pg_has_role(relowner, 'USAGE') ORDER BY name",
        )
        .bind(&tables)
        .fetch_all(&mut self.connection)
        .await?;
        Ok(Schema { name, may_create, of_others })
    }

    /// What the role may not do of what a night does, once all migrations are applied.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn lacking(&mut self) -> Result<Vec<Lacking>, Refusal> {
        self.lacking_of(privileges::OF_NIGHTS).await
    }

    /// What the role may not do of what a server does that asks for API keys, once all migrations are applied.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn lacking_for_keys(&mut self) -> Result<Vec<Lacking>, Refusal> {
        self.lacking_of(privileges::OF_KEYS).await
    }

    async fn lacking_of(&mut self, needs: &Needs) -> Result<Vec<Lacking>, Refusal> {
        let (tables, privileges) = privileges::asked(needs);
        let answers = sqlx::query_as(
            "SELECT name, privilege, to_regclass(name) IS NOT NULL
             FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS asked(name, privilege, place)
             WHERE NOT coalesce(has_table_privilege(to_regclass(name), privilege), false) ORDER BY place",
        )
        .bind(&tables)
        .bind(&privileges)
        .fetch_all(&mut self.connection)
        .await?;
        Ok(privileges::lacking(answers))
    }

    /// Says goodbye.
    pub async fn close(self) {
        // Whoever has heard all needs no answer.
        let _ = self.connection.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str, variables: &[(&str, &str)]) -> PostgresTarget {
        let variable = |name: &str| {
            let found = variables.iter().find(|(of, _)| *of == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        PostgresTarget::of(url, false, variable).unwrap()
    }

    #[test]
    fn a_url_is_read_as_the_driver_reads_it() {
        let of = target("postgres://u:p@h:5433/d?sslmode=verify-full&sslrootcert=/ca.pem", &[]);
        assert_eq!(of.address, Address::Host("h".into(), 5433));
        assert_eq!((of.user.as_str(), of.database.as_str(), of.tls), ("u", "d", TlsMode::VerifyFull));
        assert_eq!(of.root_certificates, Some(Pem::File("/ca.pem".into())));
        assert_eq!(of.password, Some(PasswordSource::Url));
        let of = target("postgres://u@h/d", &[("PGPASSWORD", "x"), ("PGSSLROOTCERT", "/other.pem")]);
        assert_eq!(of.password, Some(PasswordSource::Variable));
        assert_eq!(of.root_certificates, Some(Pem::File("/other.pem".into())));
        let of = target("postgres:///d?host=/run/pg&port=5433&user=u", &[]);
        assert_eq!(of.address, Address::Socket("/run/pg/.s.PGSQL.5433".into()));
        assert_eq!(of.password, None);
    }

    #[test]
    fn a_token_is_told_from_a_password_and_neither_is_shown() {
        let token =
            "h%3A5432%2F%3FAction%3Dconnect%26X-Amz-Date%3D20241120T023000Z%26X-Amz-Signature%3Dhunter2";
        let of = target(&format!("postgres://u:{token}@h/d"), &[]);
        assert_eq!(of.token_made_at.as_deref(), Some("20241120T023000Z"));
        assert!(!format!("{of:?}").contains("hunter2"));
        assert_eq!(target("postgres://u:X-Amz-Date=1@h/d", &[]).token_made_at, None);
    }
}
