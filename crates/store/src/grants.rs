//! What a role is granted, so that it can do one thing of the program and no more.

/// What a role is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// Read all that is served and asked for, and note when keys were last used.
    Serve,
    /// What a night does, its scheduler, `rollback` and `pin`.
    Night,
}

/// A role that is to have the rights for its duty.
#[derive(Debug, Clone)]
pub struct Grant {
    /// What it is to do.
    pub duty: Duty,
    /// Its name, as the database has it: of any characters, and no more bytes than PostgreSQL keeps (63).
    pub role: String,
    /// Whether it is to log in by tokens of IAM, and by no password.
    pub is_by_token: bool,
}

/// What was granted, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// Whether the role was not there before.
    pub is_new: bool,
    /// The SQL, in order, to be carried out as one transaction.
    pub statements: Vec<String>,
}

/// Why a role can be granted nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoGrant {
    /// The database is a file.
    #[error("an SQLite file has no roles: whoever may write the file may do everything")]
    File,
    /// Migrations are pending.
    #[error("the tables are not all there yet")]
    Pending,
    /// Who is logged in may not grant.
    #[error("another role owns {tables}, and nobody else may grant rights on its tables")]
    NotOwner {
        /// The tables.
        tables: String,
    },
    /// The role needs nothing, and must keep its password.
    #[error("it is who is logged in or owns the tables, and may do everything")]
    Owner,
    /// The database does not know tokens.
    #[error(
        "the database has no role rds_iam, which lets others log in by tokens: it is not RDS, or a version without them"
    )]
    NoTokens,
    /// Who is logged in or owns the tables would lose its password with the role's.
    #[error("who is logged in or owns the tables is a member of it, and could log in by tokens alone too")]
    Membership,
    /// The role could not make use of its rights.
    #[error(
        "it may not connect to the database or use the tables' schema, and who is logged in may not let it"
    )]
    NoWayIn,
}
