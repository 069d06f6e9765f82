//! What the role may do: apply pending migrations, and write what a night writes.

use super::{current, damaged, how_far, login::quoted, postgres::unanswered};
use crate::doctor::step::{Answer, Tried};
use std::sync::Arc;
use store::probe::{Lacking, Migrations, PostgresSession, Refusal, Schema};
use tokio::sync::Mutex;

/// Whom a GRANT is for.
#[derive(Debug, Clone)]
pub(super) struct Who {
    pub(super) user: String,
    pub(super) database: String,
}

/// Whether all migrations are applied; fails when the next run could not apply them.
pub(super) async fn migrations(session: Arc<Mutex<PostgresSession>>, who: Who) -> Tried<bool> {
    let mut session = session.lock().await;
    let read = session.migrations().await;
    let migrations = read.map_err(|refusal| unread(&refusal, &who))?;
    if let Some(answer) = damaged(&migrations) {
        return Err(answer);
    }
    if migrations.pending.is_empty() {
        return Ok((current(&migrations), true));
    }
    let schema = session.schema().await.map_err(|refusal| unanswered(&refusal))?;
    Ok((pending(&migrations, &schema, &who)?, false))
}

fn unread(refusal: &Refusal, who: &Who) -> Answer {
    if !refusal.is("42501") {
        return unanswered(refusal);
    }
    Answer::failed(
        refusal.message.clone(),
        "the tables belong to another role, which has let this one do nothing",
        format!("as their owner: {}", grant_all(who)),
    )
}

fn grant_all(Who { user, .. }: &Who) -> String {
    format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {}", quoted(user))
}

/// Migrations are to be applied, by whoever runs next.
fn pending(migrations: &Migrations, schema: &Schema, who: &Who) -> Result<Answer, Answer> {
    let (told, user) = (how_far(migrations), quoted(&who.user));
    let Some(name) = &schema.name else {
        return Err(Answer::failed(
            format!("{told}; no schema of the search path is there that this role may use"),
            "the role lacks USAGE on schema public, or its search_path names others",
            format!("GRANT USAGE, CREATE ON SCHEMA public TO {user}"),
        ));
    };
    if !schema.may_create {
        return Err(Answer::failed(
            format!("{told}; this role may not make tables in schema {name}"),
            "since PostgreSQL 15 nobody but a database's owner may, unless it is granted",
            format!(
                "GRANT CREATE ON SCHEMA {} TO {user}; or run `topshelf migrate` once as a role that may, e.g. the owner of {}",
                quoted(name),
                quoted(&who.database)
            ),
        ));
    }
    if !schema.of_others.is_empty() {
        return Err(Answer::failed(
            format!("{told}; this role does not own {}", schema.of_others.join(", ")),
            "another role made the tables, and only their owner may alter them",
            format!(
                "run `topshelf migrate` as their owner, or: ALTER TABLE {} OWNER TO {user}, and of the others too",
                schema.of_others[0]
            ),
        ));
    }
    Ok(Answer::warning(
        told,
        "this program is newer than the tables, or there are none yet",
        "nothing: the next run applies them; `topshelf migrate` does it now",
    ))
}

/// Whether the role may do all that a night does to the tables.
pub(super) async fn privileges(session: Arc<Mutex<PostgresSession>>, who: Who) -> Tried<()> {
    let mut session = session.lock().await;
    let lacking = session.lacking().await.map_err(|refusal| unanswered(&refusal))?;
    let for_keys = session.lacking_for_keys().await.map_err(|refusal| unanswered(&refusal))?;
    let gone: Vec<_> = lacking
        .iter()
        .chain(&for_keys)
        .filter(|lacks| !lacks.is_there)
        .map(|lacks| lacks.table.as_str())
        .collect();
    if !gone.is_empty() {
        return Err(Answer::failed(
            format!("{} cannot be found", gone.join(", ")),
            "somebody deleted them, or the role's search_path leads past them",
            format!(
                "GRANT USAGE ON SCHEMA public TO {}; ALTER ROLE {0} RESET search_path; else restore the database",
                quoted(&who.user)
            ),
        ));
    }
    match (lacking.is_empty(), for_keys.is_empty()) {
        (true, true) => return Answer::ok("all that a night does").alone(),
        (true, false) => return without_keys(&for_keys, &who).alone(),
        (false, _) => {}
    }
    Err(Answer::failed(
        format!("it lacks {}", told(&lacking)),
        "the role is one that only reads, or a migration added tables since rights were granted",
        grants(&lacking, &who),
    ))
}

/// A night works, and a server of this role does not ask for keys.
fn without_keys(lacking: &[Lacking], who: &Who) -> Answer {
    Answer::warning(
        format!(
            "all that a night does; it lacks {}, which a server needs that asks for API keys",
            told(lacking)
        ),
        "a migration added tables since rights were granted",
        format!("when a server uses this role: {}", grants(lacking, who)),
    )
}

fn told(lacking: &[Lacking]) -> String {
    let told = lacking.iter().map(|lacks| format!("{} on {}", lacks.privileges.join(", "), lacks.table));
    told.collect::<Vec<_>>().join("; ")
}

/// The statements that give the role what it lacks: one for all tables that lack the same.
fn grants(lacking: &[Lacking], who: &Who) -> String {
    let mut statements: Vec<(&[String], Vec<&str>)> = Vec::new();
    for Lacking { table, privileges, .. } in lacking {
        match statements.iter_mut().find(|(of, _)| of == privileges) {
            Some((_, tables)) => tables.push(table),
            None => statements.push((privileges, vec![table])),
        }
    }
    let written = statements.iter().map(|(privileges, tables)| {
        format!("GRANT {} ON {} TO {};", privileges.join(", "), tables.join(", "), quoted(&who.user))
    });
    written.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_that_lack_the_same_share_a_statement() {
        let lacks = |table: &str, privileges: &[&str]| Lacking {
            table: table.into(),
            privileges: privileges.iter().map(|privilege| (*privilege).to_owned()).collect(),
            is_there: true,
        };
        let lacking =
            [lacks("runs", &["INSERT", "UPDATE"]), lacks("holds", &["INSERT"]), lacks("pins", &["INSERT"])];
        let who = Who { user: "night".into(), database: "top".into() };
        assert_eq!(
            grants(&lacking, &who),
            "GRANT INSERT, UPDATE ON runs TO night; GRANT INSERT ON holds, pins TO night;"
        );
    }
}
