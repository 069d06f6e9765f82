//! `grant`: roles of the database that serve or run nights, and no more.

use super::output::Output;
use crate::{
    cli::{self, DutyName},
    failure::Failure,
    pipeline::Night,
};
use serde_json::json;
use store::{Duty, Grant, Granted, Store, StoreError, Trouble};

/// Grants a role what its duty needs, or tells how.
pub(super) async fn grant(night: &Night, flags: cli::Grant, output: Output) -> Result<(), Failure> {
    let cli::Grant { duty, role, iam, dry_run } = flags;
    let (duty, name) = match duty {
        DutyName::Serve => (Duty::Serve, "serve"),
        DutyName::Night => (Duty::Night, "night"),
    };
    let store = Store::open_existing(night.database()?).await?;
    let grant = Grant { duty, role, is_by_token: iam };
    let granted = store.grant(&grant, dry_run).await.map_err(of_grants)?;
    let Granted { is_new, statements } = &granted;
    let json = json!({
        "role": grant.role, "duty": name, "iam": iam, "is_new": is_new, "dry_run": dry_run, "statements": statements,
    });
    output.either(&json, || match dry_run {
        true => format!("BEGIN;\n{};\nCOMMIT;", statements.join(";\n")),
        false => done(&grant, *is_new),
    })
}

fn done(grant: &Grant, is_new: bool) -> String {
    let is_made = if is_new { " is made, and" } else { "" };
    let may = match grant.duty {
        Duty::Serve => "may read what is served, and note when keys were last used",
        Duty::Night => "may do what a night does",
    };
    let login = match (grant.is_by_token, is_new) {
        (true, _) => "; it logs in by tokens of IAM: postgres://…?auth=iam",
        (false, true) => "; it has no password yet: ALTER ROLE … PASSWORD '…'",
        (false, false) => "",
    };
    format!("role {:?}{is_made} {may}{login}", grant.role)
}

/// The store's failure, with what to do when who is logged in may not make roles.
fn of_grants(error: StoreError) -> Failure {
    let is_right_missing = error.trouble() == Some(Trouble::MissingRight);
    let failure = Failure::from(error);
    match is_right_missing {
        true => failure.help(
            "nothing was granted: the role that store.url names may not make roles or not grant rds_iam; on RDS the master user may. Or let whoever may run what --dry-run prints",
        ),
        false => failure,
    }
}
