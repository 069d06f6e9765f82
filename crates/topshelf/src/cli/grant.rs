//! Flags of `grant`.

use clap::{Args, ValueEnum};

/// PostgreSQL cuts off what is longer.
const ROLE_BYTES_MAX: usize = 63;

/// Flags of `grant`.
#[derive(Debug, Args)]
pub struct Grant {
    /// What the role is to do
    #[arg(value_name = "DUTY")]
    pub duty: DutyName,
    /// The role, spelt as it logs in
    #[arg(value_name = "ROLE", value_parser = role)]
    pub role: String,
    /// It logs in by tokens of AWS IAM (auth=iam), and by no password
    #[arg(long)]
    pub iam: bool,
    /// Print the SQL, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// What a role is to do.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum DutyName {
    /// Read what is published, and note when keys were last used
    Serve,
    /// What a night does, and rollback and pin
    Night,
}

fn role(text: &str) -> Result<String, String> {
    match text.len() {
        1..=ROLE_BYTES_MAX => Ok(text.to_owned()),
        _ => Err(format!("the name of a role has 1 to {ROLE_BYTES_MAX} bytes")),
    }
}
