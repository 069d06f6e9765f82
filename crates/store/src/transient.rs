//! Which failures pass by themselves: the same call may succeed later without anybody doing anything.
//!
//! A failure whose cause may lie either way counts as passing: to wait for it costs a minute, to give up costs a
//! night.

use sqlx::{Error, error::DatabaseError, migrate::MigrateError, sqlite::SqliteError};
use std::io;

/// Whether a failure of a database that was connected to before passes.
pub(crate) fn is_transient(error: &Error) -> bool {
    match error {
        // Whatever happened to a connection, another may be made.
        Error::Io(_) | Error::PoolTimedOut | Error::Protocol(_) => true,
        _ => is_transient_when_connecting(error),
    }
}

/// Whether a failure to connect for the first time passes: then names and files may be wrong too.
pub(crate) fn is_transient_when_connecting(error: &Error) -> bool {
    match error {
        Error::Io(error) => is_transient_io(error),
        Error::Tls(error) => error.downcast_ref::<io::Error>().is_some_and(is_transient_io),
        // A server that ends while it is asked for TLS answers nothing, which reads as a wrong answer.
        Error::PoolTimedOut | Error::Protocol(_) => true,
        Error::Database(error) => is_transient_answer(error.as_ref()),
        _ => false,
    }
}

/// Whether a failure to migrate passes: each migration is one transaction, which is made once.
pub(crate) fn is_transient_migration(error: &MigrateError) -> bool {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => is_transient(error),
        _ => false,
    }
}

/// Whether the answer to a COMMIT leaves unknown what became of it: none came, or only that the server ends.
pub(crate) fn is_unanswered(error: &Error) -> bool {
    match error {
        Error::Io(_) | Error::Tls(_) | Error::Protocol(_) => true,
        Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            code.starts_with("57P") || code.starts_with("08") || code == "40003"
        }
        _ => false,
    }
}

fn is_transient_io(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted, NetworkDown,
        NetworkUnreachable, NotConnected, TimedOut, UnexpectedEof,
    };
    match error.kind() {
        ConnectionRefused
        | ConnectionReset
        | ConnectionAborted
        | NotConnected
        | UnexpectedEof
        | io::ErrorKind::BrokenPipe => true,
        TimedOut | Interrupted | HostUnreachable | NetworkUnreachable | NetworkDown => true,
        // The resolver's own EAI_AGAIN, which has no kind. A name that does not exist stays so.
        _ => error.to_string().contains("Temporary failure in name resolution"),
    }
}

fn is_transient_answer(error: &(dyn DatabaseError + 'static)) -> bool {
    let code = error.code().unwrap_or_default();
    match error.try_downcast_ref::<SqliteError>() {
        Some(_) => is_transient_in_sqlite(&code),
        None => is_transient_in_postgres(&code),
    }
}

/// <https://www.sqlite.org/rescode.html>; above the lowest byte stands what it is in detail.
fn is_transient_in_sqlite(code: &str) -> bool {
    // SQLITE_BUSY, and SQLITE_PROTOCOL: others were faster, again and again. A full disk, a file that may not be
    // written or is damaged wait for somebody.
    code.parse::<u32>().is_ok_and(|code| matches!(code & 0xFF, 5 | 15))
}

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn is_transient_in_postgres(code: &str) -> bool {
    match code {
        // Transactions that got into each other's way, and a lock that someone else held for too long.
        "40001" | "40003" | "40P01" | "55P03" => true,
        // Out of disk space: of temporary files of others, or until storage that grows by itself has grown.
        // Out of memory or of connections: others have them, and give them back.
        "53000" | "53100" | "53200" | "53300" => true,
        // The server shuts down, has crashed, or starts; a connection was ended because it was idle.
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" => true,
        // Read-only: after a failover a name leads to the old primary, a standby now, until it is changed. That
        // somebody has set it so looks the same.
        "25006" => true,
        // Connections that broke, by the server's or a pooler's account.
        _ => code.starts_with("08"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use io::ErrorKind;

    #[test]
    fn answers_of_postgresql_that_pass() {
        for (code, passes) in [
            ("08000", true),  // connection_exception
            ("08003", true),  // connection_does_not_exist
            ("08006", true),  // connection_failure
            ("08P01", true),  // what poolers say when their server does not answer
            ("25006", true),  // read_only_sql_transaction
            ("25P03", true),  // idle_in_transaction_session_timeout
            ("40001", true),  // serialization_failure
            ("40P01", true),  // deadlock_detected
            ("53100", true),  // disk_full
            ("53200", true),  // out_of_memory
            ("53300", true),  // too_many_connections
            ("55P03", true),  // lock_not_available: lock_timeout
            ("57P01", true),  // admin_shutdown
            ("57P02", true),  // crash_shutdown
            ("57P03", true),  // cannot_connect_now
            ("23505", false), // unique_violation
            ("25P02", false), // in_failed_sql_transaction
            ("28000", false), // no entry of pg_hba.conf
            ("28P01", false), // wrong password
            ("3D000", false), // no such database
            ("42501", false), // insufficient_privilege
            ("42P01", false), // undefined_table
            ("53400", false), // configuration_limit_exceeded: temp_file_limit is met again
            ("57014", false), // query_canceled: statement_timeout is met again, or somebody wanted it
            ("57P04", false), // database_dropped
            ("58030", false), // io_error
            ("XX000", false), // internal_error
            ("XX001", false), // data_corrupted
            ("", false),
        ] {
            assert_eq!(is_transient_in_postgres(code), passes, "{code}");
        }
    }

    #[test]
    fn answers_of_sqlite_that_pass() {
        for (code, passes) in [
            ("5", true),     // SQLITE_BUSY
            ("261", true),   // SQLITE_BUSY_RECOVERY
            ("517", true),   // SQLITE_BUSY_SNAPSHOT
            ("15", true),    // SQLITE_PROTOCOL
            ("8", false),    // SQLITE_READONLY
            ("10", false),   // SQLITE_IOERR
            ("11", false),   // SQLITE_CORRUPT
            ("13", false),   // SQLITE_FULL
            ("14", false),   // SQLITE_CANTOPEN
            ("26", false),   // SQLITE_NOTADB
            ("1555", false), // SQLITE_CONSTRAINT_PRIMARYKEY
            ("", false),
        ] {
            assert_eq!(is_transient_in_sqlite(code), passes, "{code}");
        }
    }

    #[test]
    fn connections_that_break_pass_and_names_that_are_wrong_do_not() {
        for (kind, passes) in [
            (ErrorKind::ConnectionRefused, true),
            (ErrorKind::ConnectionReset, true),
            (ErrorKind::BrokenPipe, true),
            (ErrorKind::UnexpectedEof, true),
            (ErrorKind::TimedOut, true),
            (ErrorKind::HostUnreachable, true),
            (ErrorKind::NotFound, false),
            (ErrorKind::PermissionDenied, false),
            (ErrorKind::Other, false),
        ] {
            let error = || Error::Io(io::Error::from(kind));
            assert_eq!(is_transient_when_connecting(&error()), passes, "{kind:?}");
            assert!(is_transient(&error()), "{kind:?}, of a connection that was there");
            assert!(is_unanswered(&error()), "{kind:?}");
        }
        let resolver = |text: &str| Error::Io(io::Error::other(format!("failed to lookup address: {text}")));
        assert!(is_transient_when_connecting(&resolver("Temporary failure in name resolution")));
        assert!(!is_transient_when_connecting(&resolver("Name or service not known")));
        assert!(is_transient_when_connecting(&Error::Tls(io::Error::from(ErrorKind::UnexpectedEof).into())));
        assert!(!is_transient_when_connecting(&Error::Tls("server does not support TLS".into())));
        assert!(is_transient(&Error::PoolTimedOut));
        assert!(!is_transient(&Error::PoolClosed));
        assert!(!is_transient(&Error::RowNotFound) && !is_unanswered(&Error::RowNotFound));
    }
}
