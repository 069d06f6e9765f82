//! What servers load: packed rankings beside their rows, only of days that changed, and nothing that is invalid.

use crate::{
    database::{Database, on_both, server_url},
    notation::{check, publish, rankings},
};
use domain::{AdvertiserId, DayRankings};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::fmt::Write;
use store::{Back, DayStamp, Decision, PackedDay, PublishedDay, Store};

on_both!(
    packed_rankings_are_read_and_say_the_same_as_rows,
    packed_rankings_go_when_their_rows_change,
    parts_that_are_not_all_there_are_of_no_use,
    parts_that_are_not_understood_are_refused,
    parts_of_another_format_are_none,
    long_rankings_come_in_several_parts,
    only_days_that_changed_are_read,
    few_advertisers_of_another_run_are_read_by_themselves,
    rankings_that_cannot_be_served_are_refused,
    a_product_that_a_ranking_has_twice_is_not_published,
);

const TWO_MODELS: &str = "2024-11-20: a b c\n TopCTR a: x=0.5 y=0.25\n TopCTR c: z=1\n TopProduct b: x=7";

fn decision() -> Decision<'static> {
    Decision { advertiser: None, reason: "", at: "2024-11-21T08:00:00Z".parse().unwrap() }
}

async fn read(store: &Store) -> Vec<PackedDay> {
    let days = store.published(30, &[]).await.unwrap().days;
    days.iter().map(|day| day.read().expect("nothing is known").clone()).collect()
}

/// How many parts there are, of each run and model.
async fn parts(database: &Database) -> String {
    let text = if database.is_sqlite() { "TEXT" } else { "VARCHAR" };
    let sql = format!(
        "SELECT CAST(count(*) AS {text}) FROM packed_rankings GROUP BY run_id, model ORDER BY run_id, model"
    );
    database.sql(&sql).await.replace('\n', " ")
}

/// Bytes in SQL.
fn literal(database: &Database, hex: &str) -> String {
    if database.is_sqlite() { format!("X'{hex}'") } else { format!("decode('{hex}', 'hex')") }
}

/// Why the newest day is refused.
async fn refusal(store: &Store) -> String {
    match store.published(30, &[]).await.unwrap().days.swap_remove(0) {
        PublishedDay::Refused { what, .. } => what,
        other => panic!("{other:?} is not refused"),
    }
}

async fn packed_rankings_are_read_and_say_the_same_as_rows(database: Database) {
    let store = database.migrated().await;
    let content = rankings(&format!("{TWO_MODELS}\n ZNothing:"));
    let (run, _) = publish(&store, &content).await;
    assert_eq!(parts(&database).await, "1 1 1");
    let packed = read(&store).await;
    assert_eq!(packed[0].unpack().into_rankings(), content);
    let counts: Vec<_> =
        packed[0].models.iter().map(|(model, of)| (model.as_str(), of.ranking_count())).collect();
    assert_eq!(counts, [("TopCTR", 2), ("TopProduct", 1), ("ZNothing", 0)]);
    assert_eq!((packed[0].publications.len(), &packed[0].publication(2).run_id), (1, &run.run_id));
    // As of an earlier version, or of one that writes beside this one.
    database.sql("DELETE FROM packed_rankings").await;
    assert_eq!(read(&store).await, packed);
    assert_eq!(store.rankings_of_run(&run.run_id).await.unwrap(), Some(content));
}

async fn packed_rankings_go_when_their_rows_change(database: Database) {
    let store = database.migrated().await;
    let (other, _) = publish(&store, &rankings(&TWO_MODELS.replace("20:", "19:"))).await;
    let mut statements = vec![
        "DELETE FROM rankings WHERE run_id = 'WHOSE' AND rank = 2",
        "UPDATE rankings SET views = views + 1 WHERE run_id = 'WHOSE' AND rank = 2",
        "UPDATE rankings SET run_id = 'nobody' WHERE run_id = 'WHOSE' AND rank = 2",
    ];
    if !database.is_sqlite() {
        statements.push("TRUNCATE rankings");
    }
    for (at, statement) in statements.into_iter().enumerate() {
        let (run, _) = publish(&store, &rankings(&TWO_MODELS.replace("z=", &format!("z{at}=")))).await;
        assert_eq!(parts(&database).await, "1 1 1 1");
        database.sql(&statement.replace("WHOSE", run.run_id.as_str())).await;
        let left = if statement.contains("TRUNCATE") { "" } else { "1 1" };
        assert_eq!(parts(&database).await, left, "{statement}");
        let of_other = format!("SELECT run_id FROM packed_rankings WHERE run_id <> '{}'", other.run_id);
        assert_eq!(database.sql(&of_other).await, "", "{statement}");
    }
}

async fn parts_that_are_not_all_there_are_of_no_use(database: Database) {
    let store = database.migrated().await;
    let content = rankings(TWO_MODELS);
    publish(&store, &content).await;
    for statement in [
        "UPDATE packed_rankings SET parts = 2 WHERE model = 'TopCTR'",
        "UPDATE packed_rankings SET parts = 1, part = 1 WHERE model = 'TopCTR'",
        "UPDATE packed_rankings SET part = 0, model = 'Other' WHERE model = 'TopCTR'",
        "DELETE FROM packed_rankings WHERE model = 'Other'",
    ] {
        database.sql(statement).await;
        assert_eq!(read(&store).await[0].unpack().into_rankings(), content, "{statement}");
    }
}

async fn parts_that_are_not_understood_are_refused(database: Database) {
    let store = database.migrated().await;
    let (run, _) = publish(&store, &rankings(TWO_MODELS)).await;
    let set = async |bytes: &str| {
        let bytes = literal(&database, bytes);
        database.sql(&format!("UPDATE packed_rankings SET bytes = {bytes} WHERE model = 'TopCTR'")).await;
    };
    for (bytes, what) in [
        ("0161", "ends amid a number"),
        ("01610300", "ends amid an advertiser"),
        ("01610100", "has a ranking of \"a\" that has no product"),
        ("016106090178000007", "has a ranking of \"a\" that is of the unknown form 9"),
        ("016206000178000007016106000178000007", "has an advertiser that does not come after \"b\""),
    ] {
        set(bytes).await;
        let expected = format!(
            "part 0 of run {} by TopCTR {what}: delete the run's rows from the table packed_rankings, and its rankings are \
             read from the table rankings",
            run.run_id
        );
        assert_eq!(refusal(&store).await, expected);
    }
    // What is of nobody who is seen is not looked at.
    set("016106000178000007016401ff").await;
    check(&store.published(30, &[]).await.unwrap(), "2024-11-20: a b c\n TopCTR a: x=7\n TopProduct b: x=7");
    // What it says helps.
    database.sql("DELETE FROM packed_rankings").await;
    check(&store.published(30, &[]).await.unwrap(), TWO_MODELS);
}

/// Of each of so many advertisers, 20 products by one model.
fn many(day: &str, advertisers: usize, product: &str) -> DayRankings {
    let ids: Vec<_> = (0..advertisers).map(|at| format!("advertiser{at:04}")).collect();
    let mut text = format!("{day}: {}\n", ids.join(" "));
    let products: String = (0..20).map(|at| format!(" {product}{at}=0.5")).collect();
    ids.iter().for_each(|id| writeln!(text, "TopCTR {id}:{products}").unwrap());
    rankings(&text)
}

async fn long_rankings_come_in_several_parts(database: Database) {
    let store = database.migrated().await;
    let content = many("2024-11-20", 700, &"product".repeat(15));
    publish(&store, &content).await;
    assert_eq!(parts(&database).await, "2");
    let packed = read(&store).await;
    assert!(packed[0].unpack().into_rankings() == content);
    database.sql("DELETE FROM packed_rankings WHERE part = 1").await;
    assert!(read(&store).await == packed, "from rows");
}

async fn only_days_that_changed_are_read(database: Database) {
    let store = database.migrated().await;
    let of_day = |day: u32| format!("2024-11-{day}: a b\n TopCTR a: a{day}=0.5\n TopCTR b: b{day}=0.5");
    for day in 18..21 {
        publish(&store, &rankings(&of_day(day))).await;
    }
    let mut known: Vec<DayStamp> = Vec::new();
    // The days that are read, when those of the call before are known.
    let mut changed = async || {
        let published = store.published(30, &known).await.unwrap();
        let all = store.published(30, &[]).await.unwrap();
        assert_eq!(
            (&published.holds, &published.older, &published.pins),
            (&all.holds, &all.older, &all.pins)
        );
        known = published.days.iter().map(|day| day.stamp().clone()).collect();
        let days = published.days.iter().filter_map(PublishedDay::read).map(|day| day.day.to_string());
        days.map(|day| day["2024-11-".len()..].to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(changed().await, "20 19 18");
    assert_eq!(changed().await, "");
    let (run, _) = publish(&store, &rankings(&of_day(19).replace("a19=", "other="))).await;
    assert_eq!(changed().await, "19");
    publish(&store, &rankings(&of_day(21))).await;
    assert_eq!(changed().await, "21");
    store.roll_back(Back::Before("2024-11-19".parse().unwrap()), decision()).await.unwrap();
    assert_eq!(changed().await, "19");
    store.undo_rollback(None, "", decision().at).await.unwrap();
    assert_eq!(changed().await, "19");
    let a = AdvertiserId::new("a").unwrap();
    store.pin(&run.run_id, &a, decision()).await.unwrap();
    assert_eq!(changed().await, "21 20 19");
    assert_eq!(changed().await, "");
    store.unpin(&a, decision()).await.unwrap();
    assert_eq!(changed().await, "21 20 19");
    // Nothing is read of a day that is known: not even what could not be understood.
    database.sql(&format!("UPDATE packed_rankings SET bytes = {}", literal(&database, "01"))).await;
    database.sql("DELETE FROM publications WHERE advertiser_id = 'a'").await;
    assert_eq!(store.published(30, &known).await.unwrap().days.len(), 4);
    assert_eq!(store.published(1, &known).await.unwrap().days, [PublishedDay::Known(known[0].clone())]);
    refusal(&store).await;
}

async fn few_advertisers_of_another_run_are_read_by_themselves(database: Database) {
    let store = database.migrated().await;
    let (old, _) = publish(&store, &many("2024-11-20", 150, "old")).await;
    publish(&store, &many("2024-11-20", 150, "new")).await;
    let pinned = AdvertiserId::new("advertiser0070").unwrap();
    store.pin(&old.run_id, &pinned, decision()).await.unwrap();
    // Nothing of the old run is read but that.
    let spoilt = literal(&database, "01");
    let spoil = format!("UPDATE packed_rankings SET bytes = {spoilt} WHERE run_id = '{}'", old.run_id);
    database.sql(&spoil).await;
    let day = &read(&store).await[0];
    let (_, rankings) = &day.models[0];
    for place in [0, 69, 70, 71, 149] {
        let first = rankings.ranking(place).rows().next().unwrap().product_id;
        assert_eq!(first, if place == 70 { "old0" } else { "new0" });
        assert_eq!(rankings.ranking(place).rows().count(), 20);
    }
    assert_eq!((day.publications.len(), &day.publication(70).run_id), (2, &old.run_id));
}

async fn rankings_that_cannot_be_served_are_refused(database: Database) {
    let store = database.migrated().await;
    let infinite = if database.is_sqlite() { "9e999" } else { "'Infinity'" };
    let of_a = "WHERE advertiser_id = 'a' AND rank";
    for (at, (statement, what)) in [
        (format!("UPDATE rankings SET rank = 3 {of_a} = 2"), "has rank 3 where rank 2 should be"),
        (format!("DELETE FROM rankings {of_a} = 1"), "has rank 2 where rank 1 should be"),
        (format!("UPDATE rankings SET product_id = 'x' {of_a} = 2"), "has product \"x\" twice"),
        (format!("UPDATE rankings SET score = {infinite} {of_a} = 1"), "scores product \"x\" inf"),
        (format!("UPDATE rankings SET product_id = '' {of_a} = 1"), "has the product id \"\" of 0 bytes"),
        ("UPDATE rankings SET model = 'Other' WHERE model = 'TopCTR'".to_owned(), ""),
    ]
    .into_iter()
    .enumerate()
    {
        let (run, _) = publish(&store, &rankings(&TWO_MODELS.replace("z=", &format!("z{at}=")))).await;
        database.sql(&statement).await;
        let what = match what {
            "" => format!(
                "run {} has rankings by \"Other\", which it did not compute: delete them, or take readers back with \
                 topshelf rollback",
                run.run_id
            ),
            what => format!(
                "the ranking of \"a\" by TopCTR of run {} {what}: correct it in the table rankings, or take readers \
                 back with topshelf rollback",
                run.run_id
            ),
        };
        assert_eq!(refusal(&store).await, what, "{statement}");
        database.sql("DELETE FROM rankings").await;
    }
    // What helps is what it says.
    publish(&store, &rankings(TWO_MODELS)).await;
    check(&store.published(30, &[]).await.unwrap(), TWO_MODELS);
}

async fn a_product_that_a_ranking_has_twice_is_not_published(database: Database) {
    let store = database.migrated().await;
    let run = crate::database::new_run("2024-11-20".parse().unwrap());
    store.begin_runs(std::slice::from_ref(&run)).await.unwrap();
    let content = rankings("2024-11-20: a\n TopCTR a: x=0.5 y=0.25 x=0.125");
    let unheld = crate::notation::unheld(&content);
    let error = store.publish(&run.run_id, unheld, run.started_at).await.unwrap_err().to_string();
    let what = "TopCTR ranks product \"x\" of advertiser \"a\" twice";
    assert_eq!(error, format!("the rankings of 2024-11-20 cannot be published: {what}"));
}

/// Roles that an administrator gave rights before the packed rankings were there.
#[tokio::test]
async fn roles_of_an_earlier_version_read_and_delete() {
    let database = Database::postgres().await;
    let name = database.url.rsplit('/').next().unwrap();
    let role = format!("{name}_earlier");
    let store = database.migrated().await;
    publish(&store, &rankings(TWO_MODELS)).await;
    let mut admin = PgConnection::connect(&database.url).await.unwrap();
    for sql in [
        format!("CREATE ROLE {role} LOGIN PASSWORD 'earlier'"),
        format!("GRANT SELECT, DELETE ON ALL TABLES IN SCHEMA public TO {role}"),
        format!("REVOKE ALL ON packed_rankings FROM {role}"),
    ] {
        admin.execute(AssertSqlSafe(sql)).await.unwrap();
    }
    let (_, address) =
        server_url().rsplit_once('@').map(|(user, at)| (user.to_owned(), at.to_owned())).unwrap();
    let address = address.rsplit_once('/').unwrap().0;
    let url = format!("postgres://{role}:earlier@{address}/{name}");
    let store = Store::open(&url).await.unwrap();
    check(&store.published(30, &[]).await.unwrap(), TWO_MODELS);
    let mut connection = PgConnection::connect(&url).await.unwrap();
    // What the triggers do is done with their owner's rights: nobody else may have it done elsewhere.
    for sql in [
        "CREATE TEMP TABLE rankings (run_id TEXT)",
        "CREATE TRIGGER mine AFTER TRUNCATE ON pg_temp.rankings
         FOR EACH STATEMENT EXECUTE FUNCTION public.packed_rankings_say_the_same()",
    ] {
        let done = connection.execute(sql).await;
        assert_eq!(done.is_err(), sql.contains("TRIGGER"), "{sql}: {done:?}");
    }
    connection.execute("DELETE FROM public.rankings WHERE rank = 2").await.unwrap();
    assert_eq!(parts(&database).await, "");
}

async fn parts_of_another_format_are_none(database: Database) {
    let store = database.migrated().await;
    publish(&store, &rankings(TWO_MODELS)).await;
    let junk = literal(&database, "00ff");
    database.sql(&format!("UPDATE packed_rankings SET format = 2, bytes = {junk}")).await;
    check(&store.published(30, &[]).await.unwrap(), TWO_MODELS);
}
