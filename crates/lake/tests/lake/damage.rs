//! An object that is not what was committed is told, and the command that makes it anew does.

use crate::{
    place::{Place, on_both},
    samples::{counts, day, input, rankings, read_counts},
};
use bytes::Bytes;
use domain::ModelName;
use lake::LakeError;

async fn write(place: &Place) {
    counts(1).write(&place.lake, input()).await.unwrap();
    place.lake.write_rankings(&rankings(1), 20, "digest").await.unwrap();
}

async fn read(place: &Place) -> Result<(), LakeError> {
    read_counts(&place.lake).await?;
    place.lake.read_rankings(day(), &ModelName::new("TopCTR")).await?;
    Ok(())
}

fn flipped(bytes: &Bytes) -> Bytes {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes.into()
}

#[tokio::test]
async fn damaged_data_is_told_and_made_anew() {
    on_both(async |place| {
        write(place).await;
        let whole = place.objects().await;
        let data = whole.iter().filter(|(name, _)| name.ends_with(".parquet"));
        for (name, bytes) in data {
            let command = if name.starts_with("counts/") {
                "count --day 2024-11-20"
            } else {
                "rank --day 2024-11-20 --model TopCTR"
            };
            let size = bytes.len();
            let damages = [
                (Some(flipped(bytes)), "its bytes are not those that were committed".to_owned()),
                (Some(bytes.slice(..size - 1)), format!("it has {} bytes, {size} were committed", size - 1)),
                (Some(Bytes::new()), format!("it has 0 bytes, {size} were committed")),
                (None, "the manifest names it, but it is not there".to_owned()),
            ];
            for (damage, reason) in damages {
                match damage {
                    Some(bytes) => place.put(name, bytes).await,
                    None => place.delete(name).await,
                }
                let error = read(place).await.unwrap_err();
                assert_eq!(
                    error.to_string(),
                    format!("LAKE/{name} is damaged: {reason}; run `topshelf {command}` again")
                );
                write(place).await;
                assert_eq!(place.objects().await, whole, "{reason}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_manifest_that_is_none_is_told_and_made_anew() {
    let place = Place::directory();
    write(&place).await;
    let name = "counts/day=2024-11-20/manifest.json";
    let whole = place.objects().await;
    let text = String::from_utf8(whole[name].to_vec()).unwrap();
    let damages = [
        (text[..text.len() / 2].to_owned(), "EOF while parsing"),
        (String::new(), "EOF while parsing"),
        (
            text.replace("\"format_version\": 3", "\"format_version\": 1"),
            "its format is 1, this program reads 3",
        ),
        (text.replace("2024-11-20", "2024-11-21"), "it is of 2024-11-21"),
        (text.replace("\"counts_digest\"", "\"other\""), "missing field `counts_digest`"),
    ];
    for (damage, reason) in damages {
        assert_ne!(damage, text);
        place.put(name, damage.into()).await;
        let message = read(&place).await.unwrap_err().to_string();
        assert!(message.starts_with(&format!("LAKE/{name} is damaged: {reason}")), "{message}");
        assert!(message.ends_with("; run `topshelf count --day 2024-11-20` again"), "{message}");
        write(&place).await;
        assert_eq!(place.objects().await, whole);
    }
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_told() {
    let place = Place::directory();
    std::fs::write(place.directory.as_ref().unwrap().path().join("counts"), "a file").unwrap();
    let error = counts(1).write(&place.lake, input()).await.unwrap_err();
    assert!(error.to_string().contains("LAKE/counts/day=2024-11-20/"), "{error}");
    assert!(matches!(error, LakeError::Read { .. } | LakeError::Write { .. }));
}

#[tokio::test]
async fn counts_that_are_not_as_many_as_the_manifest_says_are_told() {
    let place = Place::directory();
    counts(1).write(&place.lake, input()).await.unwrap();
    let name = "counts/day=2024-11-20/manifest.json";
    let manifest = place.objects().await[name].clone();
    for (products, than) in [(3, "fewer"), (1, "more")] {
        let mut other: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        assert_eq!(other["products"], 2);
        other["products"] = products.into();
        place.put(name, serde_json::to_vec(&other).unwrap().into()).await;
        let told = read_counts(&place.lake).await.unwrap_err().to_string();
        let reason = format!("its objects hold {than} than the {products} products that it tells of");
        assert!(told.contains(&reason), "{told}");
    }
}
