//! Which objects a day needs, on a directory and on an S3 server.

use crate::support::{Place, on_both};
use source::{Location, ReadLimits, Reading, SourceError};
use tokio::runtime::Handle;

#[tokio::test]
async fn one_object_for_all_days() {
    on_both(async |place| {
        place.put_all("ads_views.csv product_views.csv old/ads_views.csv").await;
        for pattern in ["ads_views.csv", "ads_views*", "./ads_views.csv", "ads_views.???"] {
            assert_eq!(place.planned(pattern, "2024-11-20 2024-11-21").await, ["ads_views.csv"], "{pattern}");
        }
        assert_eq!(
            place.planned("**/ads_views.csv", "2024-11-20").await,
            ["ads_views.csv", "old/ads_views.csv"]
        );
        assert!(place.plan("nothing", "").await.unwrap().is_empty(), "no days need no objects");
    })
    .await;
}

#[tokio::test]
async fn one_object_per_day() {
    on_both(async |place| {
        place.put_all("ads-2024-11-19.csv ads-2024-11-20.csv ads-2024-11-21.csv").await;
        assert_eq!(
            place.planned("ads-{day}.csv", "2024-11-21 2024-11-20 2024-11-20").await,
            ["ads-2024-11-20.csv template 2024-11-20", "ads-2024-11-21.csv template 2024-11-21"]
        );
        assert_eq!(
            place.planned("ads-{yyyy}-{mm}-{dd}*", "2024-11-19").await,
            ["ads-2024-11-19.csv template 2024-11-19"]
        );
        assert_eq!(place.planned("ads-*", "2024-11-20").await.len(), 3, "a glob tells no day");
    })
    .await;
}

#[tokio::test]
async fn one_object_per_month_is_read_once_for_its_days() {
    on_both(async |place| {
        place.put_all("2024/10/ads.csv 2024/11/ads.csv 2024/12/ads.csv").await;
        assert_eq!(
            place.planned("{yyyy}/{mm}/*.csv", "2024-10-31 2024-11-01 2024-11-02").await,
            ["2024/10/ads.csv", "2024/11/ads.csv"]
        );
    })
    .await;
}

#[tokio::test]
async fn hive_folders() {
    on_both(async |place| {
        place
            .put_all(
                "ads_views/date=2024-11-19/part-0.csv ads_views/date=2024-11-20/part-0.csv \
                 ads_views/date=2024-11-20/part-1.csv ads_views/date=2024-11-20/_SUCCESS \
                 ads_views/date=2024-11-20/.part-0.csv.crc ads_views/_temporary/part-9.csv \
                 by_name/fecha=2024-11-20/country=es/x.csv by_day/dt=2024-11-20/x.csv",
            )
            .await;
        let both = ["part-0.csv", "part-1.csv"]
            .map(|part| format!("ads_views/date=2024-11-20/{part} partition 2024-11-20"));
        for pattern in
            ["ads_views*", "ads_views", "ads_views/date={day}/*", "ads_views/*/*.csv", "ads_views/**"]
        {
            assert_eq!(place.planned(pattern, "2024-11-20").await, both, "{pattern}");
        }
        assert_eq!(place.planned("ads_views*", "2024-11-19 2024-11-20").await.len(), 3);
        assert_eq!(
            place.planned("by_*", "2024-11-20").await,
            [
                "by_day/dt=2024-11-20/x.csv partition 2024-11-20",
                "by_name/fecha=2024-11-20/country=es/x.csv partition 2024-11-20"
            ]
        );
    })
    .await;
}

/// The message about what is missing, without the location.
async fn missing(place: &Place, pattern: &str, days: &str) -> String {
    let error = place.plan(pattern, days).await.unwrap_err();
    assert!(matches!(error, SourceError::NoObject(_)) && !error.is_transient());
    error.to_string().replace(place.location.url(), "URL")
}

#[tokio::test]
async fn a_day_without_an_object_is_an_error_that_shows_what_is_there() {
    on_both(async |place| {
        assert_eq!(
            missing(place, "ads_views*", "2024-11-20").await,
            r#"no object of ads_views matches "ads_views*" in URL for 2024-11-20; nothing is there"#
        );
        place.put_all("ad_views-2024-11-20.csv logs/2024-11-19.csv hive/date=2024-11-19/x.csv").await;
        assert_eq!(
            missing(place, "ads_views*", "2024-11-20").await,
            r#"no object of ads_views matches "ads_views*" in URL for 2024-11-20; there: ad_views-2024-11-20.csv, hive/, logs/"#
        );
        assert_eq!(
            missing(place, "logs/{day}.csv", "2024-11-20").await,
            r#"no object of ads_views matches "logs/2024-11-20.csv" in URL for 2024-11-20; there: logs/2024-11-19.csv"#
        );
        assert_eq!(
            missing(place, "logs/{day}.csv", "2024-11-18 2024-11-19 2024-11-20").await,
            r#"no object of ads_views matches "logs/{day}.csv" in URL for 2024-11-18, 2024-11-20; there: logs/2024-11-19.csv"#
        );
        assert_eq!(
            missing(place, "hive", "2024-11-19 2024-11-20").await,
            r#"no object of ads_views matches "hive" in URL for 2024-11-20; there: ad_views-2024-11-20.csv, hive/, logs/"#
        );
        for number in 10..23 {
            place.put(&format!("many/{number}"), "x").await;
        }
        let message = missing(place, "many/x*", "2024-11-20").await;
        assert!(message.ends_with("there: many/10, many/11, many/12, many/13, many/14, many/15, many/16, many/17, many/18, many/19, …"), "{message}");
    })
    .await;
}

#[tokio::test]
async fn more_objects_than_a_listing_has_on_a_page() {
    on_both(async |place| {
        for number in 0..1100 {
            std::fs::create_dir_all(place.file("v")).unwrap();
            std::fs::write(place.file("v").join(number.to_string()), "x").unwrap();
        }
        assert_eq!(place.planned("v", "2024-11-20").await.len(), 1100);
    })
    .await;
}

#[tokio::test]
async fn links_are_followed_and_loops_and_dead_ends_are_told() {
    let place = Place::directory();
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("one.csv"), "header\n").unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("one.csv"), place.file("ads_views.csv")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), place.file("linked")).unwrap();
    assert_eq!(place.planned("ads_views*", "2024-11-20").await, ["ads_views.csv"]);
    assert_eq!(place.planned("linked", "2024-11-20").await, ["linked/one.csv"]);
    assert_eq!(place.read(&place.object("linked").await, 0).await.unwrap(), b"header\n");

    std::os::unix::fs::symlink(".", place.file("loop")).unwrap();
    std::os::unix::fs::symlink("gone.csv", place.file("dead.csv")).unwrap();
    let message = async |pattern| place.plan(pattern, "2024-11-20").await.unwrap_err().to_string();
    let url = place.location.url();
    let expected =
        format!("could not list {url}/loop: a symbolic link in it points back to a folder above it");
    assert_eq!(message("loop").await, expected);
    let expected = format!("could not read {url}/dead.csv: No such file or directory (os error 2)");
    assert_eq!(message("dead*").await, expected);
    assert_eq!(place.planned("ads_views*", "2024-11-20").await, ["ads_views.csv"], "others do not matter");
}

#[tokio::test]
async fn directories_by_any_spelling() {
    let place = Place::directory();
    place.put("logs of ü/ads_views.csv", "header\n").await;
    let here = std::env::current_dir().unwrap();
    let up = "../".repeat(here.components().count() - 1);
    let path = place.file("logs of ü");
    let path = path.to_str().unwrap();
    for url in [
        path.to_owned(),
        format!("{path}/"),
        format!("{up}{}", path.trim_start_matches('/')),
        format!("{path}/../logs of ü"),
        format!("file://{}", path.replace(' ', "%20").replace('ü', "%C3%BC")),
    ] {
        let location = Location::open(&url).unwrap();
        let pattern = source::LogPattern::parse("ads_views*").unwrap();
        let days = ["2024-11-20".parse().unwrap()];
        let planned = source::plan(&location, domain::Log::AdsViews, &pattern, &days, "date").await.unwrap();
        let reading = Reading::new(&location, ReadLimits::for_threads(1), &Handle::current());
        assert_eq!(reading.head_bytes(&planned[0].object, 3).await.unwrap(), "hea", "{url}");
    }
}

#[test]
fn what_is_no_location_says_why() {
    let open = |url: &str| Location::open(url).unwrap_err();
    assert_eq!(
        open("/no/such/directory").to_string(),
        "could not open /no/such/directory: No such file or directory (os error 2)"
    );
    assert!(open("/no/such/directory").help().unwrap().starts_with("create the directory"));
    assert!(open("/proc/self/status").to_string().ends_with("it is a file: name the directory it lies in"));
    assert_eq!(
        open("gs://bucket/x").to_string(),
        r#""gs://bucket/x" is not a location: gs:// is not supported"#
    );
    for url in ["", "s3://", "file://host/x", "s3://buck et/x", "s3://bucket/a//b"] {
        assert!(matches!(open(url), SourceError::NotALocation { .. }), "{url}");
    }
    for url in ["s3://key:secret@bucket/x", "https://key:secret@host/x"] {
        assert!(!format!("{0} {0:?}", open(url)).contains("secret"), "{url}");
    }
}

#[test]
fn a_lake_directory_is_made() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a/b");
    let url = path.to_str().unwrap();
    Location::open_in(url, false).unwrap_err();
    assert_eq!(Location::open_in(url, true).unwrap().url(), url);
    assert!(path.is_dir());
}
