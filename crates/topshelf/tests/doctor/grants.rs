//! `topshelf grant`: roles that serve or run nights, tried as those roles.

use crate::{
    call::doctor,
    cluster::Cluster,
    roles::{Database, execute},
    scene::{Ended, Scene},
    servers::runtime,
    service::{Service, get, get_until},
};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

/// A database whose tables a role owns that is no superuser and may make roles, as the master user of RDS.
struct Owned {
    database: Database,
    owner: String,
    /// Of the owner.
    url: String,
}

impl Owned {
    /// Without tables.
    fn empty() -> Self {
        let database = Database::new();
        let (owner, url) = database.role("owner");
        database.execute(&format!(
            "ALTER ROLE {owner} CREATEROLE; ALTER DATABASE {} OWNER TO {owner};
             REVOKE CREATE ON SCHEMA public FROM PUBLIC; GRANT CREATE ON SCHEMA public TO {owner}",
            database.name
        ));
        Self { database, owner, url }
    }

    fn migrated() -> Self {
        let owned = Self::empty();
        Scene::new().end_well(&["migrate", "--store", &owned.url]);
        owned
    }

    /// A name that no other test has.
    fn named(&self, name: &str) -> String {
        format!("{name}_{}", self.database.name)
    }

    /// Grants as the owner.
    fn grant(&self, args: &[&str]) -> Ended {
        Scene::new().call(&[&["grant", "--store", &self.url], args].concat())
    }

    #[track_caller]
    fn grants(&self, args: &[&str]) -> Ended {
        let ended = self.grant(args);
        assert_eq!(ended.exit, 0, "{ended:#?}");
        ended
    }

    /// Nothing was granted, for a reason that holds the words; nothing is changed.
    #[track_caller]
    fn refuses(&self, args: &[&str], exit: i32, words: &[&str]) {
        let before = self.rights();
        let ended = self.grant(args);
        assert_eq!(ended.exit, exit, "{ended:#?}");
        for word in words {
            assert!(ended.stderr.contains(word), "{word:?} in {}", ended.stderr);
        }
        assert_eq!(self.rights(), before);
    }

    /// Grants, and gives the role a password, as somebody must; its URL.
    fn role(&self, duty: &str, name: &str) -> (String, String) {
        let role = self.named(name);
        self.grants(&[duty, &role]);
        self.database.execute(&format!("ALTER ROLE {role} PASSWORD 'hunter2'"));
        let url = self.database.as_user(&role, "hunter2");
        (role, url)
    }

    fn asked(&self, sql: &str) -> String {
        asked(&self.database.url, sql)
    }

    /// All that GRANT changes here, and the roles whose names say that they are ours.
    fn rights(&self) -> String {
        self.asked(&format!(
            "SELECT concat_ws(E'\\n',
                (SELECT string_agg(relname || relacl::text, ' ' ORDER BY relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace),
                (SELECT string_agg(attname || attacl::text, ' ' ORDER BY attname) FROM pg_attribute WHERE attacl IS NOT NULL),
                (SELECT string_agg(defaclacl::text, ' ' ORDER BY oid) FROM pg_default_acl),
                (SELECT nspacl::text FROM pg_namespace WHERE nspname = 'public'),
                (SELECT datacl::text FROM pg_database WHERE datname = current_database()),
                (SELECT string_agg(rolname || rolcanlogin, ' ' ORDER BY rolname) FROM pg_roles WHERE rolname LIKE '%{}%'))",
            self.database.name
        ))
    }
}

/// The one value that a query gives, as text.
fn asked(url: &str, sql: &str) -> String {
    runtime().block_on(async {
        let mut connection = PgConnection::connect(url).await.unwrap();
        let value: Option<String> =
            sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await.unwrap();
        value.unwrap_or_default()
    })
}

/// Whether the server refuses a statement for want of a right.
fn is_denied(url: &str, sql: &str) -> bool {
    runtime().block_on(async {
        let mut connection = PgConnection::connect(url).await.unwrap();
        let error = connection.execute(AssertSqlSafe(format!("BEGIN; {sql}; ROLLBACK"))).await.err();
        let code = error.and_then(|error| Some(error.as_database_error()?.code()?.into_owned()));
        code.as_deref() == Some("42501")
    })
}

#[test]
fn a_role_that_serves_serves_and_can_do_nothing_else() {
    let owned = Owned::empty();
    let mut scene = Scene::new();
    scene.add_args(&["--store", &owned.url]);
    assert_eq!(scene.end().exit, 0, "the owner has nights");
    scene.end_well(&["keys", "create", "--name", "web", "--all", "--store", &owned.url]);
    let (role, url) = owned.role("serve", "reader");

    let mut server = Service::start(&scene, &["serve", "--store", &url, "--listen", "127.0.0.1:0"]);
    let address = server.address();
    get_until(&address, "/health/ready", 200);
    let (code, body) = get(&address, "/recommendations/acme/TopCTR");
    assert!(code == 200 && body.contains("shoe"), "{code} {body}");
    assert_eq!(server.stop("TERM"), Some(0));
    assert!(!is_denied(&url, "UPDATE api_keys SET last_used_at = now()"));
    let listed = scene.call(&["keys", "list", "--store", &url]);
    assert!(listed.exit == 0 && listed.stdout.contains("web"), "{listed:#?}");

    let more = owned.asked(&format!(
        "SELECT string_agg(relname || ' ' || privilege, ', ') FROM pg_class,
            unnest('{{INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}}'::text[]) AS asked(privilege)
         WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')
            AND has_table_privilege('{role}', pg_class.oid, privilege)"
    ));
    assert_eq!(more, "");
    for denied in [
        "UPDATE api_keys SET revoked_at = now()",
        "INSERT INTO runs SELECT * FROM runs",
        "DELETE FROM publications",
        "CREATE TABLE mine (number INT)",
        "CREATE ROLE another",
    ] {
        assert!(is_denied(&url, denied), "{denied}");
    }
    for args in [&["keys", "create", "--name", "mine", "--all"][..], &["rollback", "--day", "2024-11-20"]] {
        let ended = scene.call(&[args, &["--store", &url]].concat());
        assert!(ended.exit == 1 && ended.stderr.contains("permission denied"), "{ended:#?}");
    }
}

#[test]
fn a_role_of_nights_has_them_and_the_doctor_is_content() {
    let owned = Owned::migrated();
    let (_, url) = owned.role("night", "night");
    doctor(&Scene::new(), &["--store", &url]).is_well();
    let mut scene = Scene::new();
    scene.add_args(&["--store", &url]);
    assert_eq!(scene.end().exit, 0, "a night works");
    scene.ads_of(80, "");
    assert_eq!(scene.end().exit, 0, "the day again");
    for args in
        [&["rollback", "--day", "2024-11-20"][..], &["rollback", "--undo"], &["trim"], &["show", "acme"]]
    {
        scene.end_well(&[args, &["--store", &url]].concat());
    }
    let ended = scene.call(&["keys", "create", "--name", "mine", "--all", "--store", &url]);
    assert!(ended.exit == 1 && ended.stderr.contains("permission denied"), "{ended:#?}");
    for denied in ["DELETE FROM runs", "CREATE TABLE mine (number INT)", "TRUNCATE rankings"] {
        assert!(is_denied(&url, denied), "{denied}");
    }
}

#[test]
fn what_later_migrations_make_is_covered_and_what_is_pending_is_told() {
    let owned = Owned::migrated();
    let (night, url) = owned.role("night", "night");
    let (reader, _) = owned.role("serve", "reader");
    execute(&owned.url, "DROP TABLE nights_held; DELETE FROM topshelf_migrations WHERE version = 8");
    let pending = ["the tables are not all there yet", "run `topshelf migrate` as their owner"];
    owned.refuses(&["night", &night], 1, &pending);
    owned.refuses(&["night", &night, "--dry-run"], 1, &pending);
    Scene::new().end_well(&["migrate", "--store", &owned.url]);
    doctor(&Scene::new(), &["--store", &url]).is_well();
    let may = |role, privilege| {
        owned.asked(&format!("SELECT has_table_privilege('{role}', 'nights_held', '{privilege}')::text"))
    };
    assert_eq!(
        [may(&reader, "SELECT"), may(&reader, "INSERT"), may(&night, "DELETE")],
        ["true", "false", "true"]
    );
    Owned::empty().refuses(&["serve", "nobody_made_this"], 1, &pending);
}

#[test]
fn the_same_again_changes_nothing() {
    let owned = Owned::migrated();
    for (duty, role) in [("serve", owned.named("reader")), ("night", owned.named("night"))] {
        let first = owned.grants(&[duty, &role]).stdout;
        assert!(first.contains("is made, and may") && first.contains("has no password yet"), "{first}");
        let rights = owned.rights();
        let again = owned.grants(&[duty, &role, "--json"]).json();
        assert_eq!(
            (&again["is_new"], &again["duty"], &again["role"]),
            (&false.into(), &duty.into(), &role.into())
        );
        assert_eq!(owned.rights(), rights);
    }
}

#[test]
fn names_are_of_any_characters() {
    let owned = Owned::migrated();
    for name in ["user", "a\"b'c\\", "Ünïcode; DROP ROLE x --"] {
        let role = format!("{name} {}", owned.database.name);
        owned.grants(&["serve", &role]);
        owned.grants(&["serve", &role]);
        let quoted = role.replace('\'', "''");
        let may = format!(
            "SELECT has_table_privilege(oid, 'runs', 'SELECT')::text FROM pg_roles WHERE rolname = '{quoted}'"
        );
        assert_eq!(owned.asked(&may), "true", "{role}");
    }
    // Whom SQL takes for others than a role of the name.
    owned.refuses(&["serve", "public"], 1, &["role name \"public\" is reserved"]);
    owned.refuses(&["serve", &"x".repeat(64)], 2, &["1 to 63 bytes"]);
    owned.refuses(&["serve", ""], 2, &["1 to 63 bytes"]);
}

#[test]
fn a_dry_run_prints_what_somebody_else_may_carry_out() {
    let owned = Owned::migrated();
    let (_, poor) = owned.database.role("poor");
    let (role, before) = (owned.named("night"), owned.rights());
    let printed = Scene::new().call(&["grant", "night", &role, "--dry-run", "--store", &poor]);
    assert_eq!((printed.exit, owned.rights()), (0, before), "{printed:#?}");
    owned.database.execute(&printed.stdout);
    owned.database.execute(&format!("ALTER ROLE {role} PASSWORD 'hunter2'"));
    doctor(&Scene::new(), &["--store", &owned.database.as_user(&role, "hunter2")]).is_well();
    let rights = owned.rights();
    owned.grants(&["night", &role]);
    assert_eq!(owned.rights(), rights, "it is what is granted without --dry-run");
}

#[test]
fn whoever_cannot_grant_is_told_what_can() {
    let mut owned = Owned::migrated();
    let role = owned.named("reader");
    let owner = owned.owner.clone();
    owned.refuses(&["night", &owner], 2, &["is who is logged in or owns the tables", "name another role"]);
    owned.refuses(&["serve", &role, "--iam"], 1, &["has no role rds_iam", "leave out --iam"]);
    // The owner may be let in by name, without the right to let others in.
    owned.database.execute(&format!(
        "ALTER DATABASE {0} OWNER TO CURRENT_USER; REVOKE CONNECT ON DATABASE {0} FROM PUBLIC; GRANT CONNECT ON DATABASE {0} TO {owner}",
        owned.database.name
    ));
    owned.refuses(&["serve", &role], 1, &["may not connect to the database", "the owner of the database"]);
    owned.database.execute(&format!("ALTER ROLE {owner} NOCREATEROLE"));
    owned.refuses(&["serve", &role], 1, &["permission denied to create role", "what --dry-run prints"]);
    let (poor, url) = owned.database.role("poor");
    owned.database.execute(&format!(
        "ALTER ROLE {poor} CREATEROLE; GRANT CONNECT ON DATABASE {} TO {poor}",
        owned.database.name
    ));
    owned.url = url;
    owned.refuses(
        &["serve", &role],
        1,
        &["another role owns advertiser_totals, api_keys", "name their owner"],
    );
    let scene = Scene::new();
    scene.end_well(&["migrate", "--store", "sqlite:top.db"]);
    let ended = scene.call(&["grant", "serve", "reader", "--store", "sqlite:top.db"]);
    assert!(ended.exit == 2 && ended.stderr.contains("an SQLite file has no roles"), "{ended:#?}");
}

#[test]
fn by_tokens_a_role_is_granted_rds_iam_and_the_owner_never() {
    // The role is one of the whole server.
    let cluster = Cluster::new();
    let url = cluster.url("postgres");
    execute(&url, "CREATE ROLE rds_iam; CREATE ROLE owner LOGIN");
    Scene::new().end_well(&["migrate", "--store", &url]);
    let members = || {
        asked(
            &url,
            "SELECT string_agg(member::regrole::text, ' ' ORDER BY 1) FROM pg_auth_members WHERE roleid = 'rds_iam'::regrole",
        )
    };
    let grant = |args: &[&str]| Scene::new().call(&[&["grant", "--store", &url], args].concat());
    let done = grant(&["serve", "reader"]);
    assert_eq!((done.exit, members().as_str()), (0, ""), "{done:#?}");
    for _ in 0..2 {
        let done = grant(&["serve", "reader", "--iam"]);
        assert!(done.exit == 0 && done.stdout.contains("logs in by tokens of IAM"), "{done:#?}");
        assert_eq!(members(), "reader");
    }
    execute(
        &url,
        "DO $$ DECLARE of text; BEGIN FOR of IN SELECT oid::regclass FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v') LOOP EXECUTE 'ALTER TABLE ' || of || ' OWNER TO owner'; END LOOP; END $$",
    );
    for role in ["postgres", "owner"] {
        let refused = grant(&["night", role, "--iam"]);
        assert!(refused.exit == 2 && refused.stderr.contains("it would lose its password"), "{refused:#?}");
    }
    // What a member's member is, it is too.
    execute(&url, "CREATE ROLE teller LOGIN; GRANT teller TO owner");
    let refused = grant(&["serve", "teller", "--iam"]);
    assert!(refused.exit == 1 && refused.stderr.contains("is a member of it"), "{refused:#?}");
    assert_eq!(members(), "reader");
    // A superuser grants in the owner's name, also what the owner will make.
    assert_eq!(grant(&["night", "night"]).exit, 0);
    execute(&url, "GRANT CREATE ON SCHEMA public TO owner; SET ROLE owner; CREATE TABLE later (number INT)");
    assert_eq!(asked(&url, "SELECT has_table_privilege('night', 'later', 'INSERT')::text"), "true");
}
