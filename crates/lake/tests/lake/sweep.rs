//! What writes that were killed left behind goes, and nothing else.

use crate::{
    place::{Place, on_both},
    samples::{counts, day, input, rankings},
};
use std::{
    fs,
    time::{Duration, SystemTime},
};

/// What writes of two days that were killed left in the folders of both.
const LEFT: [&str; 4] = [
    "counts/day=2024-11-20/counts-0123456789abcdef.parquet",
    "rankings/day=2024-11-20/model=TopCTR/rankings-0123456789abcdef.parquet",
    "rankings/day=2024-11-20/model=NeverRanked/rankings-0123456789abcdef.parquet",
    "counts/day=2024-11-21/counts-0123456789abcdef.parquet",
];

#[tokio::test]
async fn what_no_manifest_of_the_day_names_is_swept() {
    on_both(async |place| {
        counts(1).write(&place.lake, input()).await.unwrap();
        place.lake.write_rankings(&rankings(1), 20, "digest").await.unwrap();
        let committed = place.objects().await;
        for name in LEFT {
            place.put(name, "left".into()).await;
        }
        place.lake.sweep(day(), SystemTime::now() - Duration::from_secs(60)).await.unwrap();
        assert_eq!(
            place.objects().await.len(),
            committed.len() + LEFT.len(),
            "it may be of a write under way"
        );

        place.lake.sweep(day(), SystemTime::now() + Duration::from_secs(2)).await.unwrap();
        let mut after = place.objects().await;
        assert!(after.remove(LEFT[3]).is_some(), "of another day");
        assert_eq!(after, committed);
    })
    .await;
}

#[tokio::test]
async fn a_day_of_which_there_is_nothing_is_swept_too() {
    on_both(async |place| place.lake.sweep(day(), SystemTime::now()).await.unwrap()).await;
}

#[tokio::test]
async fn files_that_never_became_objects_go() {
    let place = Place::directory();
    counts(1).write(&place.lake, input()).await.unwrap();
    place.lake.write_rankings(&rankings(1), 20, "digest").await.unwrap();
    let root = place.directory.as_ref().unwrap().path();
    let folders =
        ["counts/day=2024-11-20", "rankings/day=2024-11-20/model=TopCTR"].map(|name| root.join(name));
    let names = || {
        let names = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
        let mut names: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let committed = names();
    let begin = || {
        for folder in &folders {
            for name in ["manifest.json#1", "rankings-0123456789abcdef.parquet#12"] {
                fs::write(folder.join(name), "unfini").unwrap();
            }
        }
    };
    begin();
    place.lake.sweep(day(), SystemTime::now() + Duration::from_secs(2)).await.unwrap();
    assert_eq!(names(), committed);

    // Without a sweep they go with the first write of their folder, a day later.
    begin();
    counts(2).write(&place.lake, input()).await.unwrap();
    assert_eq!(names().len(), committed.len() + 4, "they may be of a write under way");
    for folder in &folders {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let file = fs::File::options().write(true).open(entry.path()).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(25 * 3600)).unwrap();
        }
    }
    counts(1).write(&place.lake, input()).await.unwrap();
    place.lake.write_rankings(&rankings(1), 20, "digest").await.unwrap();
    assert_eq!(names(), committed);
}
