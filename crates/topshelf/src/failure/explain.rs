//! Failures of the input, the lake and the store, with what to do next.

use super::{Exit, Failure};
use crate::halt::Stopped;
use lake::LakeError;
use source::{Cause, SourceError};
use store::{NoGrant, StoreError, Trouble};

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        if let StoreError::NoLogin { source, .. } = &error {
            let (remedy, is_transient) = (source.remedy.clone(), source.is_transient);
            return Self::explained(Exit::Failed, error).help(remedy).transient_if(is_transient);
        }
        let (exit, help) = match &error {
            StoreError::Url { .. } => {
                (Exit::Usage, "set store.url (--store, TOPSHELF_STORE__URL or DATABASE_URL)")
            }
            StoreError::Missing { .. } => (
                Exit::Failed,
                "the first `topshelf run` makes it, and so does `topshelf migrate`; one elsewhere is named by store.url (--store, TOPSHELF_STORE__URL or DATABASE_URL)",
            ),
            StoreError::Folder { .. } => {
                (Exit::Failed, "make the folder, or keep the database elsewhere with store.url (--store)")
            }
            StoreError::Connect { .. } => (
                Exit::Failed,
                "check store.url (--store, TOPSHELF_STORE__URL or DATABASE_URL): its host and port, user, password and database; \
                 for SQLite, that it is a file that this user may write, on a disk with space left",
            ),
            StoreError::LoginRefused { may_rotate: true, .. } => (
                Exit::Failed,
                "what store.secret holds is not what the database takes: write the role's password into it, or set the role's anew, ALTER ROLE … PASSWORD '…'; a rotation that is under way ends by itself; `topshelf doctor` tells more",
            ),
            StoreError::LoginRefused { .. } => (
                Exit::Failed,
                "for auth=iam the role needs GRANT rds_iam TO ROLE, the database IAM authentication turned on, and the AWS identity rds-db:connect on the role; a clock that is wrong spoils tokens too; `topshelf doctor` tells more",
            ),
            StoreError::Migrate { .. } => (
                Exit::Failed,
                "the user needs the right to create tables, and the disk space left; a database of a newer topshelf needs that topshelf",
            ),
            StoreError::NotGranted { source, .. } => no_grant(source),
            StoreError::NothingHeld { .. } => (
                Exit::Failed,
                "`topshelf runs` tells which runs are held; a later run of the day takes the place of what an earlier one held; `topshelf rollback --to RUN` leads to any run that readers saw",
            ),
            StoreError::NothingSeen { .. } => (
                Exit::Failed,
                "there is nothing to take back; `topshelf moves` tells what changed what readers see; what is seen of one advertiser alone is taken back with --advertiser",
            ),
            StoreError::NeverSeen { .. } => (
                Exit::Failed,
                "`topshelf runs RUN` tells whether it is held back, which `topshelf publish --accept RUN` overrides; `topshelf moves` lists the runs that readers saw, of one advertiser alone if it says so: --advertiser leads there",
            ),
            StoreError::SeenAlready { .. } => (
                Exit::Failed,
                "nothing moved; readers who ask for the newest see the newest day, which `topshelf rollback --day DAY` takes back",
            ),
            StoreError::NotKept { .. } => (
                Exit::Failed,
                "nothing moved; it is older than retention.keep_days, or an earlier version published it and kept no more; run the day again from its logs",
            ),
            StoreError::NothingToUndo { .. } => (
                Exit::Failed,
                "`topshelf moves` tells what happened last; `topshelf rollback --to RUN` leads to any run that readers saw",
            ),
            StoreError::NotPinned { .. } => (Exit::Failed, "`topshelf pins` lists who is"),
            StoreError::KeyNameTaken { .. } => (
                Exit::Failed,
                "give the new key another name, which may be in force beside the old one; or end the old one first, for whoever uses it too: `topshelf keys revoke NAME`",
            ),
            StoreError::KeyUnknown { .. } => (Exit::Failed, "`topshelf keys list` lists those there are"),
            StoreError::RunUnknown { .. } => (Exit::Failed, "`topshelf runs` lists those there are"),
            StoreError::Older { .. } => {
                (Exit::Failed, "run `topshelf migrate`; every run of this version does it too")
            }
            StoreError::Sql { .. } => {
                (Exit::Failed, "check that the database is up, has space left, and lets this user write")
            }
            StoreError::OutcomeUnknown { .. } => (
                Exit::Failed,
                "look before you repeat it: `topshelf moves` tells what readers see once the database answers, and the next run writes down how one ended that could not",
            ),
            _ => return Self::of(error),
        };
        let help = error.trouble().map_or(help, remedy);
        let (answer, is_transient) = (error.answer().map(str::to_owned), error.is_transient());
        let failure = Self::explained(exit, error).help(help).transient_if(is_transient);
        match answer {
            Some(answer) => failure.because(answer),
            None => failure,
        }
    }
}

/// What to do about a trouble that the database told of.
fn remedy(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::StatementTimeout => {
            "a night's statements take longer than statement_timeout lets them, or somebody cancelled one: lift it for the role that store.url names, ALTER ROLE … SET statement_timeout = 0, and run the day again"
        }
        Trouble::Locked => {
            "something else holds a lock in the database: end it (PostgreSQL: `SELECT * FROM pg_stat_activity`; SQLite: another process that writes the file), and run the day again"
        }
        Trouble::DiskFull => {
            "make room on the disk of the database, of PostgreSQL's server or of the SQLite file, and run the day again; `topshelf trim` deletes days that are older than retention.keep_days"
        }
        Trouble::ReadOnly => {
            "store.url must lead to the primary, not to a standby; if it does, default_transaction_read_only is on: ALTER ROLE … SET default_transaction_read_only = off, and run the day again"
        }
        Trouble::ReadOnlyFile => {
            "this user must be allowed to write the SQLite file and its folder, and the disk must not be mounted read-only"
        }
        Trouble::ConnectionLost => {
            "check that the database server is up and can be reached, and run the day again; a longer store.patience_seconds waits for one that restarts or fails over"
        }
        Trouble::TooManyConnections => {
            "raise what the message names, max_connections of the server or the CONNECTION LIMIT of the role or database, or end what holds its connections; topshelf takes five a process, and one more to listen"
        }
        Trouble::MissingRight => {
            "the role that store.url names lacks a right: grant it as the tables' owner; `topshelf doctor` names those that a night or a server needs"
        }
        _ => "check that the database is up, has space left, and lets this user write",
    }
}

/// What to do about a role that cannot be granted anything.
fn no_grant(reason: &NoGrant) -> (Exit, &'static str) {
    match reason {
        NoGrant::File => {
            (Exit::Usage, "name a PostgreSQL in store.url (--store, TOPSHELF_STORE__URL or DATABASE_URL)")
        }
        NoGrant::Pending => (Exit::Failed, "run `topshelf migrate` as their owner, then this again"),
        NoGrant::NotOwner { .. } => (
            Exit::Failed,
            "let store.url (--store) and store.secret name their owner; or let whoever may run what --dry-run prints",
        ),
        NoGrant::Owner => (
            Exit::Usage,
            "name another role: this one needs nothing, and with rds_iam it would lose its password",
        ),
        NoGrant::NoTokens => {
            (Exit::Failed, "leave out --iam, and give the role a password: ALTER ROLE … PASSWORD '…'")
        }
        NoGrant::Membership => (
            Exit::Failed,
            "nothing was changed: take that membership away, REVOKE ROLE FROM OWNER; where the database will not, as PostgreSQL 16 and later make whoever makes a role its member, leave out --iam and give the role a password",
        ),
        NoGrant::NoWayIn => (Exit::Failed, "let the owner of the database run what --dry-run prints"),
    }
}

impl From<Stopped> for Failure {
    fn from(stopped: Stopped) -> Self {
        Self::of(stopped).help("readers see what was published until then; run the day again")
    }
}

impl From<SourceError> for Failure {
    /// What may be cured by waiting is a failure (exit code 1).
    fn from(error: SourceError) -> Self {
        let exit = match &error {
            SourceError::NotALocation { .. } | SourceError::Settings { .. } => Exit::Usage,
            SourceError::Damaged { .. } | SourceError::Unsupported { .. } => Exit::Refused,
            _ => Exit::Failed,
        };
        let help = error.help();
        // The next run plans anew.
        let is_transient = error.is_transient() || matches!(error, SourceError::Changed { .. });
        let failure = Self::explained(exit, error).transient_if(is_transient);
        match help {
            Some(help) => failure.help(help),
            None => failure,
        }
    }
}

impl Failure {
    /// The lake's place refused, told as the input's place tells it.
    fn of_place(operation: &'static str, url: String, cause: impl Into<Cause>) -> Self {
        Self::from(SourceError::Failed { operation, url, cause: cause.into() })
            .or_help("check lake.url (--lake): the place must be there, be writable and have space left")
    }
}

impl From<LakeError> for Failure {
    fn from(error: LakeError) -> Self {
        match error {
            LakeError::Damaged { url, reason, remedy } => {
                Self::new(Exit::Failed, format!("{url} is damaged: {reason}")).help(remedy)
            }
            LakeError::Read { url, source } => Self::of_place("read", url, source),
            LakeError::Write { url, source } => Self::of_place("write", url, source),
            error => Self::of(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whether_a_failure_may_pass_is_carried_along() {
        let refused =
            || LakeError::Damaged { url: "URL".into(), reason: "it is".into(), remedy: "count".into() };
        let changed = || SourceError::Changed { url: "URL".into(), change: "it is gone".into() };
        for (failure, is_transient) in [
            (Failure::from(changed()), true),
            (Failure::from(refused()), false),
            (Failure::from(refused()).transient_if(true), true),
            (Failure::from(StoreError::Older { database: "DATABASE".into() }), false),
        ] {
            let day = "2024-11-20".parse().expect("it is a day");
            let carried = failure.again().within("more").of_days([day]).help("wait").again();
            assert_eq!(carried.is_transient(), is_transient, "{}", failure.chain());
        }
    }
}
