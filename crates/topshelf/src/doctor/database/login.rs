//! Why a server lets a role not in, by the SQLSTATE that it gives.
//!
//! Codes are those of PostgreSQL's documentation, appendix A.

use crate::doctor::step::Answer;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use store::probe::{Address, PasswordSource, PostgresTarget, Refusal, TlsMode};

/// For how long AWS lets a token log in.
const TOKEN_MINUTES: i64 = 15;

/// Where the password comes from, in words.
pub(super) fn password_in_words(target: &PostgresTarget) -> String {
    let kind = if target.token_made_at.is_some() { "the IAM token" } else { "the password" };
    match &target.password {
        Some(PasswordSource::Url) => format!("{kind} in store.url"),
        Some(PasswordSource::Variable) => format!("{kind} in PGPASSWORD"),
        Some(PasswordSource::File(file)) => format!("what {} has for it", file.display()),
        Some(PasswordSource::Kept(kept)) => kept.clone(),
        None => "no password".to_owned(),
    }
}

/// Whether the server believed us, and then had no such database for us.
pub(super) fn is_about_database(refusal: &Refusal) -> bool {
    refusal.is("3D000") || refusal.is("42501")
}

/// The server let us not in.
pub(super) fn refused(target: &PostgresTarget, refusal: &Refusal) -> Answer {
    let (cause, remedy) = match refusal.code.as_deref() {
        Some("28P01") => wrong_password(target),
        Some("28000") => not_authorised(target, &refusal.message),
        Some("53300") => (
            "as many connections are open as the server allows".to_owned(),
            "close what nobody needs (`SELECT usename, state, count(*) FROM pg_stat_activity GROUP BY 1, 2`), or raise max_connections".to_owned(),
        ),
        Some("57P03") => (
            "the server starts, stops or recovers".to_owned(),
            "wait a minute and try again; if it stays so, look at the server's log".to_owned(),
        ),
        Some(_) => ("see the server's answer".to_owned(), "look at the server's log".to_owned()),
        None => (
            "the connection broke off while the two were still agreeing on it".to_owned(),
            "look at the server's log; a pooler in between must pass on authentication".to_owned(),
        ),
    };
    Answer::failed(refusal.message.clone(), cause, remedy)
}

fn wrong_password(target: &PostgresTarget) -> (String, String) {
    let user = &target.user;
    if let Some(age) = target.token_made_at.as_deref().and_then(age_minutes) {
        return token(target, age);
    }
    let how = "postgres://USER:PASSWORD@… in store.url, or the variable PGPASSWORD";
    match &target.password {
        None => {
            (format!("the server wants a password of {user}, and none is given"), format!("give one: {how}"))
        }
        Some(source) => {
            let place = match source {
                PasswordSource::Url => {
                    "store.url (in a URL, / ? # @ % are written %2F %3F %23 %40 %25)".to_owned()
                }
                PasswordSource::Variable => "PGPASSWORD".to_owned(),
                PasswordSource::Kept(kept) => {
                    format!("what has {kept}; a rotation that is under way ends by itself")
                }
                PasswordSource::File(file) => {
                    format!("{}, which must have mode 0600, or another: {how}", file.display())
                }
            };
            (
                format!(
                    "the password is not that of {user}, or there is no such role: the server does not say which"
                ),
                format!(
                    "correct it in {place}; a new one is set by: ALTER ROLE {} PASSWORD '…'",
                    quoted(user)
                ),
            )
        }
    }
}

fn token(target: &PostgresTarget, age: i64) -> (String, String) {
    let user = &target.user;
    if target.is_by_token {
        return (
            format!(
                "{user} was not granted rds_iam, the AWS identity may not rds-db:connect as it, the instance has no IAM \
                 authentication, or this machine's clock is more than 5 minutes off"
            ),
            format!(
                "GRANT rds_iam TO {}; allow rds-db:connect on arn:aws:rds-db:REGION:ACCOUNT:dbuser:RESOURCE-ID/{user} to \
                 the AWS identity; turn on IAM authentication (aws rds modify-db-instance \
                 --enable-iam-database-authentication); name the instance's own host in store.url; check the clock",
                quoted(user)
            ),
        );
    }
    let again = "make a new one: aws rds generate-db-auth-token --hostname HOST --port PORT --username USER, or let topshelf make them: auth=iam";
    if age >= TOKEN_MINUTES {
        (format!("the IAM token is {age} minutes old, and good for {TOKEN_MINUTES}"), again.to_owned())
    } else {
        (
            format!(
                "the IAM token was made for another host, port or role, or {user} may not log in by token"
            ),
            format!(
                "GRANT rds_iam TO {}; allow rds-db:connect to the AWS identity; then {again}",
                quoted(user)
            ),
        )
    }
}

/// How old a token is that was made at `20241120T023000Z`.
fn age_minutes(made_at: &str) -> Option<i64> {
    let made_at =
        DateTime::strptime("%Y%m%dT%H%M%SZ", made_at).ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some(Timestamp::now().duration_since(made_at).as_mins())
}

fn not_authorised(target: &PostgresTarget, message: &str) -> (String, String) {
    let user = quoted(&target.user);
    if message.contains("no pg_hba.conf entry") || message.contains("pg_hba.conf rejects") {
        let is_in_clear = message.contains("no encryption") || message.contains("SSL off");
        let is_on_purpose = matches!(target.tls, TlsMode::Disable | TlsMode::Allow);
        if is_in_clear && (is_on_purpose || message.contains("rds")) {
            return (
                "the server lets nobody in without TLS (rds.force_ssl, or `hostssl` in pg_hba.conf)".to_owned(),
                "set sslmode=verify-full in store.url, with sslrootcert=FILE where needed; at least sslmode=require".to_owned(),
            );
        }
        let from = match &target.address {
            Address::Host(..) => "hostssl DATABASE ROLE THIS-MACHINE/32 scram-sha-256",
            Address::Socket(_) => "local DATABASE ROLE scram-sha-256",
        };
        return (
            "no line of the server's pg_hba.conf lets this role into this database from here".to_owned(),
            format!("add a line like `{from}`, and reload: SELECT pg_reload_conf()"),
        );
    }
    if message.contains("does not exist") {
        return (
            "nobody has made the role".to_owned(),
            format!("CREATE ROLE {user} LOGIN PASSWORD '…'; or name another in store.url"),
        );
    }
    if message.contains("not permitted to log in") {
        return ("the role is one that others belong to".to_owned(), format!("ALTER ROLE {user} LOGIN"));
    }
    if let Some(age) = target.token_made_at.as_deref().and_then(age_minutes) {
        return token(target, age);
    }
    (
        "the server does not let this role log in in this way".to_owned(),
        "look at the server's log, which says why".to_owned(),
    )
}

/// We are believed, but the database is not there or not ours to open.
pub(super) fn no_database(target: &PostgresTarget, refusal: &Refusal) -> Answer {
    let (user, database) = (quoted(&target.user), quoted(&target.database));
    let (cause, remedy) = if refusal.is("3D000") {
        (
            "nobody has made it, or store.url misspells it",
            format!("CREATE DATABASE {database} OWNER {user}; or name another in store.url"),
        )
    } else {
        ("the role may not connect to it", format!("GRANT CONNECT ON DATABASE {database} TO {user}"))
    };
    Answer::failed(refusal.message.clone(), cause, remedy)
}

/// A name as SQL takes it whatever it is.
pub(super) fn quoted(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let begins_well = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    if begins_well && name.bytes().all(is_plain) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause_and_remedy(url: &str, code: &str, message: &str) -> String {
        let store::probe::Target::Postgres(target) = store::probe::Target::of(url).unwrap() else { panic!() };
        let refusal = Refusal { code: Some(code.into()), message: message.into() };
        let answer = refused(&target, &refusal);
        format!("{} / {}", answer.cause.unwrap(), answer.remedy.unwrap())
    }

    #[test]
    fn a_refusal_is_told_with_what_to_type() {
        let url = "postgres://night:hunter2@db/top?sslmode=disable";
        let told = cause_and_remedy(url, "28P01", "password authentication failed for user \"night\"");
        assert!(told.contains("not that of night") && told.contains("correct it in store.url"), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
        let hba =
            "no pg_hba.conf entry for host \"10.0.0.7\", user \"night\", database \"top\", no encryption";
        assert!(cause_and_remedy(url, "28000", hba).contains("set sslmode=verify-full"));
        let other = url.replace("disable", "require");
        assert!(cause_and_remedy(&other, "28000", hba).contains("hostssl DATABASE ROLE"));
        let told = cause_and_remedy(url, "28000", "role \"night\" does not exist");
        assert!(
            told.ends_with("CREATE ROLE night LOGIN PASSWORD '…'; or name another in store.url"),
            "{told}"
        );
    }

    #[test]
    fn an_old_token_is_told_apart_from_a_wrong_one() {
        let url = |time: &str| {
            format!("postgres://night:h%3A5432%2F%3FX-Amz-Date%3D{time}%26X-Amz-Signature%3Dx@db/top")
        };
        let old = cause_and_remedy(&url("20241120T023000Z"), "28P01", "");
        assert!(
            old.contains("minutes old, and good for 15") && old.contains("generate-db-auth-token"),
            "{old}"
        );
        let now = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let wrong = cause_and_remedy(&url(&now), "28000", "PAM authentication failed for user \"night\"");
        assert!(wrong.contains("GRANT rds_iam TO night"), "{wrong}");
    }

    #[test]
    fn names_are_quoted_when_they_must_be() {
        assert_eq!([quoted("night_1"), quoted("1a"), quoted("a\"B")], ["night_1", "\"1a\"", "\"a\"\"B\""]);
    }
}
