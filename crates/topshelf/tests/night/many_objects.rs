//! Many small objects, whose beginnings are not read before they are counted: however they begin, the lake
//! has what it has of the same lines in one file, and a bad one among them is refused by name.

use crate::{
    data_sets::days,
    place::{Database, Objects, Place},
};
use flate2::{Compression, write::GzEncoder};
use std::{collections::BTreeMap, fs, io::Write, path::Path};
use topshelf::pipeline::{self, StartedBy, Verdict};

/// More than are asked for at once.
const OBJECTS: usize = 150;
const COLUMNS: [&str; 4] = ["advertiser_id", "product_id", "type", "date"];

/// The ad log's lines in object `number`.
fn lines(number: usize) -> Vec<[String; 4]> {
    let line = |row: usize| {
        let kind = if (number + row).is_multiple_of(3) { "click" } else { "impression" };
        let product = format!("product {}", (number * row) % 7);
        [format!("advertiser {}", row % 2), product, kind.to_owned(), "2024-11-20".to_owned()]
    };
    (0..20).map(line).collect()
}

fn text(lines: &[[String; 4]], order: [usize; 4], delimiter: &str) -> String {
    let row = |fields: &dyn Fn(usize) -> String| order.map(fields).join(delimiter) + "\n";
    let header = row(&|column| COLUMNS[column].to_owned());
    header + &lines.iter().map(|line| row(&|column| line[column].clone())).collect::<String>()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn write_list(input: &Path) {
    fs::write(input.join("advertiser_ids.csv"), "advertiser_id\nadvertiser 0\nadvertiser 1\n").unwrap();
}

/// A bucket with the ad log in many objects, each written by `object` from its number and lines.
async fn bucket(object: impl Fn(usize, &[[String; 4]]) -> Vec<u8>) -> Place {
    let place = Place::new((Objects::Bucket, Database::Sqlite)).await;
    let place = place.configured(|config| config.input.product_views = String::new());
    write_list(&place.input());
    for number in 0..OBJECTS {
        let name = place.input().join(format!("ads_views-{number:04}"));
        fs::write(name, object(number, &lines(number))).unwrap();
    }
    place
}

/// Counts and rankings in the lake, without the manifests, which tell of the objects.
async fn published(place: &Place) -> BTreeMap<String, Vec<u8>> {
    place.run_to(Verdict::Published, &days("2024-11-20", "2024-11-20")).await;
    let mut lake = place.lake();
    lake.retain(|name, _| name.ends_with(".parquet"));
    assert!(lake.len() >= 3, "{:?}", lake.keys());
    lake
}

async fn of_one_file() -> BTreeMap<String, Vec<u8>> {
    let place = Place::new((Objects::Directory, Database::Sqlite)).await;
    let place = place.configured(|config| config.input.product_views = String::new());
    write_list(&place.input());
    let all: Vec<_> = (0..OBJECTS).flat_map(lines).collect();
    fs::write(place.input().join("ads_views.csv"), text(&all, [0, 1, 2, 3], ",")).unwrap();
    published(&place).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_they_begin_the_lake_has_the_same() {
    let expected = of_one_file().await;
    type Object = fn(usize, &[[String; 4]]) -> Vec<u8>;
    let ways: [(&str, Object); 5] = [
        ("all alike", |_, lines| text(lines, [0, 1, 2, 3], ",").into()),
        ("all compressed", |_, lines| gzip(&text(lines, [0, 1, 2, 3], ","))),
        ("a column elsewhere in the last", |number, lines| match number {
            149 => text(lines, [0, 2, 1, 3], ",").into(),
            _ => text(lines, [0, 1, 2, 3], ",").into(),
        }),
        ("one compressed, one with tabs", |number, lines| match number {
            70 => gzip(&text(lines, [0, 1, 2, 3], ",")),
            100 => text(lines, [3, 2, 1, 0], "\t").into(),
            _ => text(lines, [0, 1, 2, 3], ",").into(),
        }),
        ("the first one is like no other", |number, lines| match number {
            0 => text(lines, [3, 2, 1, 0], ";").into(),
            _ => text(lines, [0, 1, 2, 3], ",").into(),
        }),
    ];
    for (way, object) in ways {
        let counted = published(&bucket(object).await).await;
        let different: Vec<_> =
            counted.keys().filter(|name| counted.get(*name) != expected.get(*name)).collect();
        assert!(counted == expected, "{way}: {different:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_one_among_them_is_refused_by_name() {
    for bad in [0, 99] {
        let place = bucket(|number, lines| {
            if number == bad { b"no header\n".to_vec() } else { text(lines, [0, 1, 2, 3], ",").into() }
        });
        let place = place.await;
        let failure = pipeline::run(&place.night(), &days("2024-11-20", "2024-11-20"), StartedBy::Hand)
            .await
            .unwrap_err();
        let refused = format!("s3://bucket/input/ads_views-{bad:04} cannot be read as ads_views: no column");
        assert!(failure.to_string().starts_with(&refused), "{failure}");
    }
}
