//! Keys of the API: made, read, revoked for good, and noted when used.

use crate::{
    database::{Database, chain, on_both, server_url},
    notation::{publish, rankings},
};
use domain::AdvertiserId;
use jiff::Timestamp;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use store::{ApiKey, KeyId, KeyName, KeyScope, KeyText, NewApiKey, Store, StoreError, Trouble};

on_both!(
    a_store_that_is_not_migrated_has_no_keys,
    a_key_comes_back_as_it_was_made,
    any_id_may_be_in_a_scope_and_hundreds_of_them,
    a_key_made_again_is_the_same_key,
    a_name_is_of_one_key_in_force,
    a_key_is_revoked_by_id_or_name_once,
    a_key_stays_as_it_was_made_whatever_sql_says,
    the_version_moves_with_what_matters_to_servers,
    uses_move_forward_only,
    servers_note_the_same_keys_at_once,
    of_several_keys_of_one_name_made_at_once_one_is_made,
    a_scope_without_advertisers_is_refused,
    advertisers_that_readers_see_are_known,
);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

const MADE_AT: &str = "2026-11-20T10:00:00.123Z";
const REVOKED_AT: &str = "2026-11-21T11:00:00.456Z";

fn new_key(name: &str, scope: KeyScope) -> NewApiKey {
    NewApiKey::new(&KeyText::random().unwrap(), KeyName::new(name).unwrap(), scope, at(MADE_AT))
}

fn advertisers(ids: impl IntoIterator<Item = impl Into<Box<str>>>) -> KeyScope {
    KeyScope::of(ids.into_iter().map(|id| AdvertiserId::new(id).unwrap()).collect()).unwrap()
}

/// A key for all that was just made.
async fn make(store: &Store, name: &str) -> NewApiKey {
    let key = new_key(name, KeyScope::All);
    store.add_key(&key).await.unwrap();
    key
}

async fn key(store: &Store, key_id: KeyId) -> ApiKey {
    store.keys().await.unwrap().into_iter().find(|key| key.key_id == key_id).unwrap()
}

async fn names(store: &Store) -> Vec<String> {
    store.keys().await.unwrap().into_iter().map(|key| key.name).collect()
}

async fn a_store_that_is_not_migrated_has_no_keys(database: Database) {
    let store = database.open().await;
    assert_eq!((store.keys().await.unwrap(), store.keys_version().await.unwrap()), (vec![], 0));
    // What uses them may have read them elsewhere; making one needs the table, and says so.
    let error = store.add_key(&new_key("web", KeyScope::All)).await.unwrap_err().to_string();
    assert_eq!(error, format!("could not make API key \"web\" in {}", store.description()));
    store.migrate().await.unwrap();
    assert_eq!((store.keys().await.unwrap(), store.keys_version().await.unwrap()), (vec![], 0));
}

async fn a_key_comes_back_as_it_was_made(database: Database) {
    let store = database.migrated().await;
    let late = NewApiKey { created_at: at("2026-11-20T10:00:00.124Z"), ..new_key("b", KeyScope::All) };
    let early = new_key("Größe, the 'shop'", advertisers(["b", "a", "b"]));
    store.add_key(&late).await.unwrap();
    store.add_key(&early).await.unwrap();
    let expected = [&early, &late].map(|key| ApiKey {
        key_id: key.key_id,
        name: key.name.to_string(),
        digest: key.digest,
        scope: key.scope.clone(),
        created_at: key.created_at,
        revoked_at: None,
        last_used_at: None,
    });
    assert_eq!(database.open().await.keys().await.unwrap(), expected);
    assert_eq!(early.scope.advertisers().unwrap().len(), 2);
    assert!(early.scope.covers("a") && !early.scope.covers("c") && late.scope.covers("c"));
}

async fn any_id_may_be_in_a_scope_and_hundreds_of_them(database: Database) {
    let store = database.migrated().await;
    let awkward =
        ["\0", "\u{1}\t\n\r", "\"", "\\", "\\u0000", "'", "null", "[]", "é🛒", "\u{FFFF}", " ", "a,b"];
    let awkward = awkward.map(str::to_owned).into_iter();
    let many = (0..700).map(|number| format!("{number:0>255}"));
    let key = new_key("agency", advertisers(awkward.chain(many)));
    store.add_key(&key).await.unwrap();
    assert_eq!(store.keys().await.unwrap()[0].scope, key.scope);
}

async fn a_key_made_again_is_the_same_key(database: Database) {
    let store = database.migrated().await;
    let key = make(&store, "web").await;
    let version = store.keys_version().await.unwrap();
    store.add_key(&key).await.unwrap();
    assert_eq!(store.keys().await.unwrap().len(), 1);
    assert_eq!(store.keys_version().await.unwrap(), version);
    // Once it is revoked, the same key is not made in its place.
    store.revoke_key("web", at(REVOKED_AT)).await.unwrap();
    assert!(matches!(store.add_key(&key).await, Err(StoreError::KeyNameTaken { .. })));
}

async fn a_name_is_of_one_key_in_force(database: Database) {
    let store = database.migrated().await;
    let first = make(&store, "web").await;
    let error = store.add_key(&new_key("web", KeyScope::All)).await.unwrap_err();
    let told = format!("the name \"web\" is taken by API key {}, which was made at {MADE_AT}", first.key_id);
    assert_eq!(error.to_string(), told);
    // A name that is another key's id would leave it open whom `revoke` is about.
    let error = store.add_key(&new_key(first.key_id.as_str(), KeyScope::All)).await.unwrap_err();
    assert!(matches!(error, StoreError::KeyNameTaken { key_id, .. } if key_id == first.key_id));
    make(&store, "Web").await;
    store.revoke_key("web", at(REVOKED_AT)).await.unwrap();
    make(&store, "web").await;
    let mut all = names(&store).await;
    all.sort();
    assert_eq!(all, ["Web", "web", "web"]);
}

async fn a_key_is_revoked_by_id_or_name_once(database: Database) {
    let store = database.migrated().await;
    let (first, other) = (make(&store, "web").await, make(&store, "app").await);
    let revoked = store.revoke_key("web", at(REVOKED_AT)).await.unwrap();
    assert_eq!((revoked.key_id, revoked.revoked_at), (first.key_id, Some(at(REVOKED_AT))));
    assert!(!revoked.is_in_force());
    assert_eq!(store.revoke_key("web", at("2026-12-01T00:00:00Z")).await.unwrap(), revoked, "it says when");
    assert!(key(&store, other.key_id).await.is_in_force());
    // An id leads to its key, and a name to the key in force, wherever its id comes in order.
    let again = at("2026-11-22T00:00:00Z");
    for key_id in ["zzzzzzzzzzzy", "000000000001", "000000000000"] {
        let key_id = key_id.parse().unwrap();
        store.add_key(&NewApiKey { key_id, ..new_key("web", KeyScope::All) }).await.unwrap();
        assert_eq!(store.revoke_key(first.key_id.as_str(), again).await.unwrap(), revoked);
        assert_eq!(store.revoke_key("web", again).await.unwrap().key_id, key_id);
    }
    let by_id = store.revoke_key(other.key_id.as_str(), again).await.unwrap();
    assert_eq!((by_id.name.as_str(), by_id.revoked_at), ("app", Some(again)));
    for unknown in ["nobody", "", "zzzzzzzzzzzz", "a\0"] {
        let error = store.revoke_key(unknown, again).await.unwrap_err().to_string();
        assert_eq!(error, format!("there is no API key {unknown:?}"));
    }
}

async fn a_key_stays_as_it_was_made_whatever_sql_says(database: Database) {
    let store = database.migrated().await;
    make(&store, "web").await;
    make(&store, "app").await;
    store.revoke_key("web", at(REVOKED_AT)).await.unwrap();
    let before = store.keys().await.unwrap();
    let truncate = if database.is_sqlite() { "DELETE FROM api_keys" } else { "TRUNCATE api_keys" };
    for statement in [
        "UPDATE api_keys SET revoked_at = NULL WHERE name = 'web'",
        "UPDATE api_keys SET revoked_at = '2030-01-01T00:00:00.000Z' WHERE name = 'web'",
        "UPDATE api_keys SET advertisers = '[\"x\"]' WHERE name = 'app'",
        "UPDATE api_keys SET name = 'x' WHERE name = 'app'",
        "UPDATE api_keys SET key_id = 'aaaaaaaaaaaa' WHERE name = 'app'",
        "UPDATE api_keys SET digest = (SELECT digest FROM api_keys WHERE name = 'app') WHERE name = 'web'",
        "UPDATE api_keys SET created_at = '2030-01-01T00:00:00.000Z' WHERE name = 'app'",
        "DELETE FROM api_keys WHERE name = 'web'",
        truncate,
    ] {
        let error = database.try_sql(statement).await.unwrap_err();
        assert!(error.contains("an API key stays as it was made"), "{statement}: {error}");
    }
    assert_eq!(store.keys().await.unwrap(), before);
}

async fn the_version_moves_with_what_matters_to_servers(database: Database) {
    let store = database.migrated().await;
    let mut last = store.keys_version().await.unwrap();
    let mut has_moved = async || {
        let version = store.keys_version().await.unwrap();
        assert!(version >= last, "{version} after {last}");
        std::mem::replace(&mut last, version) != version
    };
    let key = make(&store, "web").await;
    assert!(has_moved().await, "a key was made");
    store.note_keys_used(&[(key.key_id, at("2026-11-20T12:00:00Z"))]).await.unwrap();
    assert!(!has_moved().await, "it was used");
    store.add_key(&new_key("web", KeyScope::All)).await.unwrap_err();
    assert!(!has_moved().await, "another was refused");
    store.revoke_key("web", at(REVOKED_AT)).await.unwrap();
    assert!(has_moved().await, "it was revoked");
    store.revoke_key("web", at("2026-12-01T00:00:00Z")).await.unwrap();
    assert!(!has_moved().await, "it was revoked before");
    make(&store, "app").await;
    assert!(has_moved().await);
    // As someone with a prompt does at night.
    database.sql("UPDATE api_keys SET revoked_at = '2030-01-01T00:00:00.000Z' WHERE name = 'app'").await;
    assert!(has_moved().await, "it was revoked by hand");
}

async fn uses_move_forward_only(database: Database) {
    let store = database.migrated().await;
    let (web, app) = (make(&store, "web").await.key_id, make(&store, "app").await.key_id);
    let (early, middle, late) =
        (at("2026-11-20T12:00:00.001Z"), at("2026-11-20T12:00:00.002Z"), at("2026-11-20T12:00:00.003Z"));
    let last_used = async || (key(&store, web).await.last_used_at, key(&store, app).await.last_used_at);
    store.note_keys_used(&[]).await.unwrap();
    assert_eq!(last_used().await, (None, None));
    store.note_keys_used(&[(web, middle), (web, early)]).await.unwrap();
    assert_eq!(last_used().await, (Some(middle), None));
    store
        .note_keys_used(&[(web, early), (app, early), ("aaaaaaaaaaaa".parse().unwrap(), early)])
        .await
        .unwrap();
    assert_eq!(last_used().await, (Some(middle), Some(early)));
    // A server that has not heard yet that a key is revoked lets it in, and may say so.
    store.revoke_key("web", at(REVOKED_AT)).await.unwrap();
    store.note_keys_used(&[(web, late), (app, late)]).await.unwrap();
    assert_eq!(last_used().await, (Some(late), Some(late)));
}

async fn servers_note_the_same_keys_at_once(database: Database) {
    let store = database.migrated().await;
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(make(&store, &number.to_string()).await.key_id);
    }
    let moment = |server: i64, round: i64| {
        Timestamp::from_millisecond(1_800_000_000_000 + 10 * round + server).unwrap()
    };
    let servers = (0..4).map(|server| {
        let (database, mut ids) = (database.clone(), ids.clone());
        tokio::spawn(async move {
            let store = database.open().await;
            if server % 2 == 0 {
                ids.reverse();
            }
            for round in 0..20 {
                let used: Vec<_> = ids.iter().map(|id| (*id, moment(server, round))).collect();
                store.note_keys_used(&used).await.unwrap();
            }
        })
    });
    for server in servers.collect::<Vec<_>>() {
        server.await.unwrap();
    }
    assert!(store.keys().await.unwrap().iter().all(|key| key.last_used_at == Some(moment(3, 19))));
}

async fn of_several_keys_of_one_name_made_at_once_one_is_made(database: Database) {
    database.migrated().await;
    let made = (0..8).map(|_| {
        let database = database.clone();
        tokio::spawn(async move { database.open().await.add_key(&new_key("web", KeyScope::All)).await })
    });
    let mut refused = 0;
    for made in made.collect::<Vec<_>>() {
        match made.await.unwrap() {
            Ok(()) => {}
            Err(StoreError::KeyNameTaken { .. }) => refused += 1,
            Err(error) => panic!("{}", chain(&error)),
        }
    }
    assert_eq!((refused, names(&database.open().await).await.len()), (7, 1));
}

async fn a_scope_without_advertisers_is_refused(database: Database) {
    let store = database.migrated().await;
    assert_eq!(KeyScope::of(vec![]), None);
    let error = store.add_key(&new_key("web", KeyScope::Advertisers(vec![]))).await.unwrap_err();
    assert!(chain(&error).to_lowercase().contains("check constraint"), "{}", chain(&error));
    assert_eq!(store.keys().await.unwrap(), []);
}

async fn advertisers_that_readers_see_are_known(database: Database) {
    let asked = ["a", "c", "a\0", "b"].map(|id| AdvertiserId::new(id).unwrap());
    assert!(database.open().await.seen_advertisers(&asked).await.unwrap().is_empty());
    let store = database.migrated().await;
    publish(&store, &rankings("2024-11-20: a b d\n TopCTR a: x=0.5")).await;
    let seen = store.seen_advertisers(&asked).await.unwrap();
    assert_eq!(seen.into_iter().map(String::from).collect::<Vec<_>>(), ["a", "b"]);
    assert!(store.seen_advertisers(&[]).await.unwrap().is_empty());
}

/// Whoever makes a key of a name that another is just being made of waits, and is told what has become of that.
#[tokio::test]
async fn a_key_that_is_being_made_is_waited_for() {
    let database = Database::postgres().await;
    let store = database.migrated().await;
    for end in ["ROLLBACK", "COMMIT"] {
        let mut other = PgConnection::connect(&database.url).await.unwrap();
        let insert = format!(
            "BEGIN; INSERT INTO api_keys (key_id, name, digest, created_at)
             VALUES ('000000000000', 'of {end}', decode(repeat('00', 32), 'hex'), now())"
        );
        other.execute(AssertSqlSafe(insert)).await.unwrap();
        let (second, name) = (database.open().await, format!("of {end}"));
        let made = tokio::spawn(async move { second.add_key(&new_key(&name, KeyScope::All)).await });
        let waits = "SELECT count(*)::text FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'
                     AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())";
        while database.sql(waits).await == "0" {
            assert!(!made.is_finished(), "it did not wait");
            tokio::task::yield_now().await;
        }
        other.execute(end).await.unwrap();
        match made.await.unwrap() {
            Ok(()) => assert_eq!(end, "ROLLBACK"),
            Err(StoreError::KeyNameTaken { .. }) => assert_eq!(end, "COMMIT"),
            Err(error) => panic!("{}", chain(&error)),
        }
    }
    assert_eq!(names(&store).await.len(), 2);
}

/// A server's role that may only read: it reads keys once it is granted that, and is told what else it may not.
#[tokio::test]
async fn a_role_reads_keys_and_notes_uses_as_far_as_it_may() {
    let database = Database::postgres().await;
    let name = database.url.rsplit('/').next().unwrap();
    let reader = format!("{name}_reader");
    let mut admin = PgConnection::connect(&database.url).await.unwrap();
    let owner = database.migrated().await;
    let key_id = make(&owner, "web").await.key_id;
    admin.execute(AssertSqlSafe(format!("CREATE ROLE {reader} LOGIN PASSWORD 'reads'"))).await.unwrap();
    let (_, address) =
        server_url().rsplit_once('@').map(|(user, at)| (user.to_owned(), at.to_owned())).unwrap();
    let address = address.rsplit_once('/').unwrap().0;
    let store = Store::open(&format!("postgres://{reader}:reads@{address}/{name}")).await.unwrap();
    let uses = [(key_id, at("2026-11-20T12:00:00Z"))];

    for error in [store.keys().await.unwrap_err(), store.keys_version().await.unwrap_err()] {
        assert_eq!(error.trouble(), Some(Trouble::MissingRight), "{}", chain(&error));
        assert!(!error.is_transient());
    }
    admin
        .execute(AssertSqlSafe(format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {reader}")))
        .await
        .unwrap();
    assert_eq!(store.keys().await.unwrap(), owner.keys().await.unwrap());
    assert_eq!(store.keys_version().await.unwrap(), owner.keys_version().await.unwrap());
    let error = store.note_keys_used(&uses).await.unwrap_err();
    assert_eq!(error.trouble(), Some(Trouble::MissingRight), "{}", chain(&error));
    // One column is enough to note uses, and neither makes keys nor revokes them.
    admin
        .execute(AssertSqlSafe(format!("GRANT UPDATE (last_used_at) ON api_keys TO {reader}")))
        .await
        .unwrap();
    store.note_keys_used(&uses).await.unwrap();
    assert_eq!(key(&owner, key_id).await.last_used_at, Some(uses[0].1));
    let refused = store.revoke_key("web", at(REVOKED_AT)).await.unwrap_err();
    assert_eq!(refused.trouble(), Some(Trouble::MissingRight));
    // Who may make and revoke keys need not be able to set their version.
    admin.execute(AssertSqlSafe(format!("GRANT INSERT, UPDATE ON api_keys TO {reader}"))).await.unwrap();
    let before = store.keys_version().await.unwrap();
    store.add_key(&new_key("app", KeyScope::All)).await.unwrap();
    store.revoke_key("web", at(REVOKED_AT)).await.unwrap();
    assert!(store.keys_version().await.unwrap() > before);
}
