//! `keys`: who may ask the API, and for whose rankings.
//!
//! A key's text is printed when it is made, once; no command can show it again. A key whose text could not be
//! printed does not stay in force.

use super::{
    ledger::minute,
    output::{Output, advertisers, table},
};
use crate::{
    cli::{CreateKey, RevokeKey},
    failure::{Exit, Failure},
    pipeline::Night,
};
use domain::AdvertiserId;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use store::{ApiKey, KeyId, KeyScope, KeyText, NewApiKey, Store, StoreError};

/// So many advertisers of a key are named in a table.
const NAMED_MAX: usize = 3;

/// Makes a key and prints it, for the first and last time.
pub(super) async fn create(night: &Night, flags: &CreateKey, output: Output) -> Result<(), Failure> {
    let store = night.existing_store().await?;
    let scope = match flags.all {
        true => KeyScope::All,
        false => KeyScope::of(flags.advertiser.clone()).ok_or_else(|| {
            Failure::new(Exit::Usage, "the key is for nobody").help("say --advertiser or --all")
        })?,
    };
    let text = KeyText::random().map_err(Failure::of)?;
    let key = NewApiKey::new(&text, flags.name.clone(), scope, night.clock.now());
    let unseen = unseen(&store, &key.scope).await?;
    store.add_key(&key).await.map_err(of_keys)?;
    let json = json!({
        "key": text.reveal(), "key_id": key.key_id, "name": key.name.as_str(), "scope": scope_name(&key.scope),
        "advertisers": key.scope.advertisers(), "unknown_advertisers": unseen, "created_at": key.created_at,
    });
    if let Err(unprinted) = output.only_copy(&json, || text.reveal().to_owned()) {
        return Err(take_back(&store, key.key_id, night.clock.now(), unprinted).await);
    }
    if output.is_for_people() {
        notices(&key, &unseen, night.config.serve.poll_seconds)
            .iter()
            .for_each(|notice| eprintln!("{notice}"));
    }
    Ok(())
}

/// Ends a key whose text nobody has, and says what became of it.
async fn take_back(store: &Store, key_id: KeyId, at: Timestamp, unprinted: Failure) -> Failure {
    match store.revoke_key(key_id.as_str(), at).await {
        Ok(_) => unprinted.help(format!(
            "the key cannot be shown again, so it (id {key_id}) is revoked: `topshelf keys create` makes another"
        )),
        Err(error) => Failure::of(error)
            .within(format!("API key {key_id} is made, but {unprinted}; nor could it be revoked"))
            .help(format!("the key cannot be shown again: `topshelf keys revoke {key_id}` ends it")),
    }
}

/// The advertisers of whom nothing is published.
async fn unseen(store: &Store, scope: &KeyScope) -> Result<Vec<AdvertiserId>, Failure> {
    let asked = scope.advertisers().unwrap_or_default();
    let seen: BTreeSet<AdvertiserId> = store.seen_advertisers(asked).await?;
    Ok(asked.iter().filter(|advertiser| !seen.contains(*advertiser)).cloned().collect())
}

/// What a person should know beside the key.
fn notices(key: &NewApiKey, unseen: &[AdvertiserId], poll_seconds: u64) -> Vec<String> {
    let NewApiKey { key_id, name, scope, .. } = key;
    let mut notices = Vec::new();
    if !unseen.is_empty() {
        let (those, their) = if unseen.len() == 1 { ("advertiser", "its") } else { ("advertisers", "their") };
        let names: Vec<_> = unseen.iter().map(|advertiser| format!("{advertiser:?}")).collect();
        notices.push(format!(
            "nothing is published yet of {those} {}: if that is {their} spelling, the key is good for it once there is",
            first(&names)
        ));
    }
    notices.extend([
        format!("above is the key {:?} (id {key_id}), for {}", name.as_str(), whom(scope)),
        "it is shown this once: only its SHA-256 is kept".to_owned(),
        "send it with each request: curl -H 'Authorization: Bearer KEY' http://SERVER/recommendations/ADVERTISER/TopCTR"
            .to_owned(),
        format!("servers take it within {poll_seconds} s (serve.poll_seconds); `topshelf keys revoke {key_id}` ends it"),
    ]);
    notices
}

/// Lists all keys.
pub(super) async fn list(night: &Night, output: Output) -> Result<(), Failure> {
    let store = Store::open_existing(night.database()?).await?;
    let keys = store.keys().await?;
    let json = json!({ "keys": keys.iter().map(to_json).collect::<Vec<_>>() });
    output.either(&json, || {
        if keys.is_empty() {
            return format!(
                "there are no API keys in {}; `topshelf keys create` makes one",
                store.description()
            );
        }
        keys_table(&keys)
    })
}

fn keys_table(keys: &[ApiKey]) -> String {
    let mut table = table(&["id", "name", "advertisers", "created", "last used", "revoked"], &[]);
    for key in keys {
        table.add_row([
            key.key_id.to_string(),
            key.name.clone(),
            first_advertisers(&key.scope),
            minute(key.created_at),
            key.last_used_at.map_or("never".to_owned(), minute),
            key.revoked_at.map(minute).unwrap_or_default(),
        ]);
    }
    table.to_string()
}

/// Takes a key out of force.
pub(super) async fn revoke(night: &Night, flags: &RevokeKey, output: Output) -> Result<(), Failure> {
    let store = night.existing_store().await?;
    let at = night.clock.now();
    let key = store.revoke_key(&flags.key, at).await.map_err(of_keys)?;
    let is_new = key.revoked_at.is_some_and(|revoked_at| revoked_at.as_millisecond() == at.as_millisecond());
    let mut json = to_json(&key);
    json["was_revoked_before"] = json!(!is_new);
    output.either(&json, || revoked_text(&key, is_new, night.config.serve.poll_seconds))
}

fn revoked_text(key: &ApiKey, is_new: bool, poll_seconds: u64) -> String {
    let ApiKey { key_id, name, revoked_at, last_used_at, .. } = key;
    let used = match last_used_at {
        Some(last_used_at) => format!("it was last used at {}", minute(*last_used_at)),
        None => "no use of it was noted".to_owned(),
    };
    match revoked_at {
        Some(revoked_at) if !is_new => {
            format!("API key {name:?} (id {key_id}) was revoked already, at {revoked_at}; {used}")
        }
        _ => format!(
            "API key {name:?} (id {key_id}) is revoked; servers refuse it within {poll_seconds} s (serve.poll_seconds); {used}"
        ),
    }
}

fn to_json(key: &ApiKey) -> Value {
    json!({
        "key_id": key.key_id, "name": key.name, "scope": scope_name(&key.scope),
        "advertisers": key.scope.advertisers(), "created_at": key.created_at, "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
    })
}

/// The scope's kind in JSON, beside the advertisers.
fn scope_name(scope: &KeyScope) -> &'static str {
    match scope {
        KeyScope::All => "all",
        KeyScope::Advertisers(_) => "advertisers",
    }
}

fn whom(scope: &KeyScope) -> String {
    match scope {
        KeyScope::All => "all advertisers".to_owned(),
        KeyScope::Advertisers(of) => {
            format!("{}: {}", advertisers(of.len() as u64), first_advertisers(scope))
        }
    }
}

fn first_advertisers(scope: &KeyScope) -> String {
    let Some(advertisers) = scope.advertisers() else { return "all".to_owned() };
    first(&advertisers.iter().map(ToString::to_string).collect::<Vec<_>>())
}

/// `a, b, c and 4 more`.
fn first(names: &[String]) -> String {
    let named = if names.len() <= NAMED_MAX + 1 { names.len() } else { NAMED_MAX };
    let (named, more) = names.split_at(named);
    let named = named.join(", ");
    if more.is_empty() { named } else { format!("{named} and {} more", more.len()) }
}

/// The store's failure, with what to do about it when a key may have been made or revoked all the same.
fn of_keys(error: StoreError) -> Failure {
    match error {
        error @ StoreError::OutcomeUnknown { .. } => Failure::explained(Exit::Failed, error).help(
            "`topshelf keys list` tells once the database answers; a key that was made and not shown is of no use: `topshelf keys revoke NAME`",
        ),
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_names_its_first_advertisers() {
        let scope = |count: usize| {
            let ids = ["a", "b", "c", "d", "e", "f"].map(|id| AdvertiserId::new(id).expect("it is an id"));
            KeyScope::of(ids[..count].to_vec()).unwrap_or(KeyScope::All)
        };
        let named: Vec<_> = (0..=6).map(|count| first_advertisers(&scope(count))).collect();
        let expected =
            ["all", "a", "a, b", "a, b, c", "a, b, c, d", "a, b, c and 2 more", "a, b, c and 3 more"];
        assert_eq!(named, expected);
    }
}
