//! Readers see what was committed last, whole, wherever a write stopped.

use crate::{
    place::{Place, on_both},
    samples::{DayCounts, counts, day, input, rankings, read_counts},
};
use domain::{ModelName, ModelRankings};
use std::time::{Duration, SystemTime};

async fn read(place: &Place) -> DayCounts {
    read_counts(&place.lake).await.unwrap().unwrap().0
}

async fn read_rankings(place: &Place) -> ModelRankings {
    place.lake.read_rankings(day(), &ModelName::new("TopCTR")).await.unwrap().unwrap().0
}

/// A write that stops after each of its objects leaves what those leave; the objects are taken from
/// a lake in which the same write went through.
#[tokio::test]
async fn a_write_that_stops_before_its_manifest_is_not_seen() {
    let finished = Place::directory();
    counts(2).write(&finished.lake, input()).await.unwrap();
    finished.lake.write_rankings(&rankings(2), 20, "digest").await.unwrap();
    let steps = finished.objects().await;
    let (manifests, data): (Vec<_>, Vec<_>) =
        steps.into_iter().partition(|(name, _)| name.ends_with(".json"));
    assert_eq!((manifests.len(), data.len()), (2, 3));
    on_both(async |place| {
        counts(1).write(&place.lake, input()).await.unwrap();
        place.lake.write_rankings(&rankings(1), 20, "digest").await.unwrap();
        for (name, bytes) in &data {
            place.put(name, bytes.clone()).await;
            assert_eq!((read(place).await, read_rankings(place).await), (counts(1), rankings(1)));
        }
        for (name, bytes) in &manifests {
            place.put(name, bytes.clone()).await;
        }
        assert_eq!((read(place).await, read_rankings(place).await), (counts(2), rankings(2)));
    })
    .await;
}

#[tokio::test]
async fn a_first_write_that_stops_leaves_nothing_to_read_and_the_next_one_ends_it() {
    let finished = Place::directory();
    counts(1).write(&finished.lake, input()).await.unwrap();
    on_both(async |place| {
        for (name, bytes) in finished.objects().await {
            if !name.ends_with(".json") {
                place.put(&name, bytes).await;
                assert!(read_counts(&place.lake).await.unwrap().is_none());
            }
        }
        counts(1).write(&place.lake, input()).await.unwrap();
        assert_eq!(place.objects().await, finished.objects().await);
    })
    .await;
}

#[tokio::test]
async fn what_is_replaced_is_deleted_and_other_days_are_not() {
    on_both(async |place| {
        counts(1).write(&place.lake, input()).await.unwrap();
        place.lake.write_rankings(&rankings(1), 20, "digest").await.unwrap();
        let tomorrow = ModelRankings { day: day().tomorrow(), ..rankings(1) };
        place.lake.write_rankings(&tomorrow, 20, "digest").await.unwrap();
        let before = place.objects().await;
        counts(2).write(&place.lake, input()).await.unwrap();
        place.lake.write_rankings(&rankings(2), 20, "digest").await.unwrap();
        let after = place.objects().await;
        assert_eq!(after.len(), before.len(), "nothing is left over: {:?}", after.keys());
        assert_eq!((read(place).await, read_rankings(place).await), (counts(2), rankings(2)));
        let of_tomorrow = |name: &&String| name.contains("2024-11-21");
        assert_eq!(before.keys().filter(of_tomorrow).count(), 2);
        assert!(before.keys().filter(of_tomorrow).all(|name| after.contains_key(name)));

        counts(1).write(&place.lake, input()).await.unwrap();
        place.lake.write_rankings(&rankings(1), 20, "digest").await.unwrap();
        assert_eq!(place.objects().await, before, "the way back gives the same bytes");
    })
    .await;
}

#[tokio::test]
async fn a_day_that_is_removed_leaves_the_others() {
    on_both(async |place| {
        assert_eq!(place.lake.days().await.unwrap(), []);
        let tomorrow = ModelRankings { day: day().tomorrow(), ..rankings(1) };
        place.lake.write_rankings(&tomorrow, 20, "digest").await.unwrap();
        let before = place.objects().await;
        counts(1).write(&place.lake, input()).await.unwrap();
        place.lake.write_rankings(&rankings(1), 20, "digest").await.unwrap();
        assert_eq!(place.lake.days().await.unwrap(), [day(), day().tomorrow()]);
        let there = place.objects().await.len() - before.len();
        let yesterday = SystemTime::now() - Duration::from_secs(24 * 60 * 60);
        assert_eq!(place.lake.remove_day(day(), yesterday).await.unwrap(), 0, "it may still be worked on");
        // A server that tells whole seconds may round up.
        let later = SystemTime::now() + Duration::from_secs(5);
        assert_eq!(place.lake.remove_day(day(), later).await.unwrap(), there);
        assert_eq!(place.objects().await, before);
        assert_eq!(place.lake.days().await.unwrap(), [day().tomorrow()]);
        assert_eq!(place.lake.counts_manifest(day()).await.unwrap(), None);
        assert_eq!(place.lake.remove_day(day(), later).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_beside_a_writer_reads_the_old_or_the_new() {
    on_both(async |place| {
        counts(1).write(&place.lake, input()).await.unwrap();
        let lake = place.lake.clone();
        let writer = tokio::spawn(async move {
            for version in 2..40 {
                counts(version).write(&lake, input()).await.unwrap();
            }
        });
        while !writer.is_finished() {
            let seen = read(place).await;
            assert!((1..40).any(|version| seen == counts(version)));
        }
        writer.await.unwrap();
        assert_eq!(read(place).await, counts(39));
    })
    .await;
}

#[tokio::test]
async fn orphans_go_when_they_are_too_old_to_belong_to_a_write_under_way() {
    let place = Place::directory();
    let folder = place.directory.as_ref().unwrap().path().join("counts/day=2024-11-20");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, hours) in [("counts-young.parquet", 23), ("counts-old.parquet", 25)] {
        std::fs::write(folder.join(name), "x").unwrap();
        let file = std::fs::File::options().write(true).open(folder.join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(hours * 3600)).unwrap();
    }
    counts(1).write(&place.lake, input()).await.unwrap();
    assert!(folder.join("counts-young.parquet").exists());
    assert!(!folder.join("counts-old.parquet").exists());
    assert_eq!(read(&place).await, counts(1));
}

#[tokio::test]
async fn what_is_there_already_is_not_written_again() {
    use std::os::unix::fs::MetadataExt;
    let place = Place::directory();
    let root = place.directory.as_ref().unwrap().path().to_owned();
    let inodes = async || {
        let objects = place.objects().await;
        objects.into_keys().map(|name| std::fs::metadata(root.join(name)).unwrap().ino()).collect::<Vec<_>>()
    };
    let write = async |version: &str| {
        let mut input = input();
        input.program_version = version.to_owned();
        counts(1).write(&place.lake, input).await.unwrap();
        inodes().await
    };
    let [advertisers, data, manifest] = write("0.1.0").await[..] else { panic!("three objects") };
    assert_eq!(write("0.1.0").await, [advertisers, data, manifest]);
    let after = write("0.2.0").await;
    assert_eq!(after[..2], [advertisers, data], "data that is the same stays");
    assert_ne!(after[2], manifest, "a manifest that says something new is written");
}
