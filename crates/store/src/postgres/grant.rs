//! Rights of roles in PostgreSQL.

use super::{Postgres, WRITE, bound_waits};
use crate::{
    error::{Failure, StoreError},
    grants::{Duty, Grant, Granted, NoGrant},
    migrations,
    probe::privileges::{OF_KEYS, OF_NIGHTS},
};
use sqlx::{AssertSqlSafe, PgConnection};

/// Where the tables are, and what is there of the role. Names are as SQL takes them, whatever they are.
struct Place {
    role: String,
    database: String,
    schema: String,
    owner: String,
    is_role_there: bool,
    is_owner: bool,
    knows_tokens: bool,
}

impl Postgres {
    /// Grants all or nothing; of a dry run, nothing.
    pub(crate) async fn grant(&self, grant: &Grant, is_dry_run: bool) -> Result<Granted, Failure> {
        let refused = |source| {
            let (role, database) = (grant.role.clone(), self.description().to_owned());
            Failure::from(StoreError::NotGranted { role, database, source })
        };
        let mut transaction = self.pool.begin_with(WRITE).await?;
        bound_waits(&mut transaction, true).await?;
        let place = place(&mut transaction, &grant.role).await?.ok_or_else(|| refused(NoGrant::Pending))?;
        let obstacle = obstacle(&mut transaction, grant, &place, is_dry_run).await?;
        if let Some(obstacle) = obstacle {
            return Err(refused(obstacle));
        }
        let granted = Granted { is_new: !place.is_role_there, statements: statements(grant, &place) };
        if is_dry_run {
            return Ok(granted);
        }
        for statement in &granted.statements {
            sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut *transaction).await?;
        }
        // What who is logged in may not grant, the server passes over with a warning.
        if !has_way_in(&mut transaction, &grant.role).await? {
            return Err(refused(NoGrant::NoWayIn));
        }
        if grant.is_by_token && takes_passwords(&mut transaction).await? {
            return Err(refused(NoGrant::Membership));
        }
        transaction.commit().await.map_err(Failure::of_commit)?;
        Ok(granted)
    }
}

/// None when there are no tables at all.
async fn place(connection: &mut PgConnection, role: &str) -> Result<Option<Place>, sqlx::Error> {
    let place: Option<(_, _, _, _, _, _, _)> = sqlx::query_as(
        "SELECT quote_ident($1), quote_ident(current_database()), quote_ident(nspname),
                quote_ident(pg_get_userbyid(relowner)), EXISTS (SELECT FROM pg_roles WHERE rolname = $1),
                $1 IN (session_user::text, current_user::text, pg_get_userbyid(relowner)::text),
                EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam')
         FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE pg_class.oid = to_regclass($2)",
    )
    .bind(role)
    .bind(migrations::TABLE)
    .fetch_optional(connection)
    .await?;
    let of = |(role, database, schema, owner, is_role_there, is_owner, knows_tokens)| Place {
        role,
        database,
        schema,
        owner,
        is_role_there,
        is_owner,
        knows_tokens,
    };
    Ok(place.map(of))
}

/// What is in the way of a grant. A dry run needs no rights: somebody else carries it out.
async fn obstacle(
    connection: &mut PgConnection,
    grant: &Grant,
    place: &Place,
    is_dry_run: bool,
) -> Result<Option<NoGrant>, sqlx::Error> {
    if place.is_owner {
        return Ok(Some(NoGrant::Owner));
    }
    let tables: Vec<_> = needs().map(|(table, _)| table.to_owned()).collect();
    let unfit: Vec<(String, bool)> = sqlx::query_as(
        "SELECT name, pg_class.oid IS NOT NULL FROM unnest($1::text[]) AS asked(name)
         LEFT JOIN pg_class ON pg_class.oid = to_regclass(name)
         WHERE pg_class.oid IS NULL OR NOT pg_has_role(relowner, 'USAGE') ORDER BY name",
    )
    .bind(tables)
    .fetch_all(connection)
    .await?;
    if unfit.iter().any(|(_, is_there)| !is_there) {
        return Ok(Some(NoGrant::Pending));
    }
    if !unfit.is_empty() && !is_dry_run {
        let tables = unfit.into_iter().map(|(table, _)| table).collect::<Vec<_>>().join(", ");
        return Ok(Some(NoGrant::NotOwner { tables }));
    }
    Ok((grant.is_by_token && !place.knows_tokens).then_some(NoGrant::NoTokens))
}

fn needs() -> impl Iterator<Item = &'static (&'static str, &'static [&'static str])> {
    OF_NIGHTS.iter().chain(OF_KEYS)
}

/// What is there is granted by name, so that tables of others in the schema are left alone; what later migrations make,
/// by what the owner's new tables come with.
fn statements(grant: &Grant, place: &Place) -> Vec<String> {
    let Place { role, database, schema, owner, .. } = place;
    let mut statements = Vec::new();
    if !place.is_role_there {
        statements.push(format!("CREATE ROLE {role} LOGIN"));
    }
    if grant.is_by_token {
        statements.push(format!("GRANT rds_iam TO {role}"));
    }
    statements.push(format!("GRANT CONNECT ON DATABASE {database} TO {role}"));
    statements.push(format!("GRANT USAGE ON SCHEMA {schema} TO {role}"));
    let later = match grant.duty {
        Duty::Serve => {
            let tables: Vec<_> = needs().map(|(table, _)| format!("{schema}.{table}")).collect();
            statements.push(format!("GRANT SELECT ON {} TO {role}", tables.join(", ")));
            statements.push(format!("GRANT UPDATE (last_used_at) ON {schema}.api_keys TO {role}"));
            "SELECT"
        }
        Duty::Night => {
            statements.extend(needs().map(|(table, privileges)| {
                format!("GRANT {} ON {schema}.{table} TO {role}", privileges.join(", "))
            }));
            "SELECT, INSERT, UPDATE, DELETE"
        }
    };
    statements.push(format!(
        "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schema} GRANT {later} ON TABLES TO {role}"
    ));
    statements
}

/// Whether who is logged in, or the owner of the tables, may log in by tokens alone from now on. Members of members are
/// members; and from PostgreSQL 16 on, who makes a role is one of its members.
async fn takes_passwords(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "WITH RECURSIVE by_token(oid) AS (
             SELECT oid FROM pg_roles WHERE rolname = 'rds_iam'
             UNION SELECT member FROM pg_auth_members JOIN by_token ON roleid = by_token.oid
         )
         SELECT EXISTS (SELECT FROM by_token WHERE pg_get_userbyid(oid) = session_user
                        OR oid = (SELECT relowner FROM pg_class WHERE oid = to_regclass($1)))",
    )
    .bind(migrations::TABLE)
    .fetch_one(connection)
    .await
}

async fn has_way_in(connection: &mut PgConnection, role: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT has_database_privilege($1::name, current_database(), 'CONNECT')
                AND has_schema_privilege($1::name, relnamespace, 'USAGE') FROM pg_class WHERE oid = to_regclass($2)",
    )
    .bind(role)
    .bind(migrations::TABLE)
    .fetch_one(connection)
    .await
}
