//! Rankings of a day by one model.

use crate::{
    Lake, LakeError, RankingsManifest,
    commit::{MANIFEST, NewObject},
    manifest::Manifest as _,
    parquet_file::{BATCH_ROWS, decode, encode, from_integer, integers, schema, texts, to_integer},
};
use arrow_array::{ArrayRef, Float64Array, Int64Array, StringArray, cast::AsArray, types::Float64Type};
use arrow_schema::{DataType, SchemaRef};
use bytes::Bytes;
use domain::{AdvertiserId, Counts, Day, ModelName, ModelRankings, ProductId, RankedProduct, Ranking};
use std::sync::Arc;

impl Lake {
    /// Writes the rankings of a day by one model, made with at most `k` products from the counts that
    /// `counts_digest` names, and commits them.
    ///
    /// # Errors
    /// [`LakeError`]; what was committed before stays.
    pub async fn write_rankings(
        &self,
        rankings: &ModelRankings,
        k: usize,
        counts_digest: &str,
    ) -> Result<RankingsManifest, LakeError> {
        let day = rankings.day;
        let encoded = encode_rankings(rankings);
        let encoded = encoded.map_err(|reason| LakeError::Unwritable { what: "rankings", day, reason })?;
        let mut commit = self.begin(folder(day, &rankings.model)).await?;
        let data = commit.put(NewObject::new("rankings", encoded)).await?;
        let manifest = RankingsManifest {
            format_version: RankingsManifest::FORMAT_VERSION,
            day,
            model: rankings.model.clone(),
            k,
            advertisers: rankings.rankings.len(),
            products: rankings.rankings.iter().map(|ranking| ranking.products.len()).sum(),
            counts_digest: counts_digest.to_owned(),
            rankings: data,
        };
        commit.end(&manifest).await?;
        Ok(manifest)
    }

    /// Where the manifest of a day's rankings by one model lies, for messages.
    #[must_use]
    pub fn rankings_manifest_url(&self, day: Day, model: &ModelName) -> String {
        self.object_url(&folder(day, model), MANIFEST)
    }

    /// The rankings of a day by one model; none when it has not been ranked by it.
    ///
    /// # Errors
    /// When an object cannot be read or is not what was committed.
    pub async fn read_rankings(
        &self,
        day: Day,
        model: &ModelName,
    ) -> Result<Option<(ModelRankings, RankingsManifest)>, LakeError> {
        let (folder, remedy) =
            (folder(day, model), format!("run `topshelf rank --day {day} --model {model}` again"));
        self.read_by_manifest(&folder, day, &remedy, async |manifest: &RankingsManifest| {
            let bytes = self.data(&folder, &manifest.rankings, &remedy).await?;
            let rankings = decode_rankings(bytes)
                .map_err(|reason| self.damaged(&folder, &manifest.rankings.name, reason, &remedy))?;
            Ok(ModelRankings { day, model: manifest.model.clone(), rankings })
        })
        .await
    }
}

fn folder(day: Day, model: &ModelName) -> String {
    format!("rankings/day={day}/model={model}")
}

fn rankings_schema() -> SchemaRef {
    schema(&[
        ("advertiser_id", DataType::Utf8),
        ("rank", DataType::Int64),
        ("product_id", DataType::Utf8),
        ("score", DataType::Float64),
        ("impressions", DataType::Int64),
        ("clicks", DataType::Int64),
        ("views", DataType::Int64),
    ])
}

type Row<'a> = (&'a str, i64, &'a RankedProduct);

fn encode_rankings(rankings: &ModelRankings) -> Result<Vec<u8>, String> {
    let rows: Vec<Row<'_>> = rankings
        .rankings
        .iter()
        .flat_map(|ranking| {
            (1..)
                .zip(&ranking.products)
                .map(|(rank, product)| (ranking.advertiser_id.as_str(), rank, product))
        })
        .collect();
    for (_, _, product) in &rows {
        let Counts { impressions, clicks, views } = product.counts;
        [impressions, clicks, views].into_iter().try_for_each(|count| to_integer(count).map(drop))?;
    }
    let batches = rows.chunks(BATCH_ROWS).map(|rows| {
        let integers = |of: fn(&Counts) -> u64| -> ArrayRef {
            Arc::new(
                rows.iter().map(|(_, _, product)| of(&product.counts).cast_signed()).collect::<Int64Array>(),
            )
        };
        vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))) as ArrayRef,
            Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>()),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.2.product_id.as_str()))),
            Arc::new(rows.iter().map(|row| row.2.score).collect::<Float64Array>()),
            integers(|counts| counts.impressions),
            integers(|counts| counts.clicks),
            integers(|counts| counts.views),
        ]
    });
    encode(&rankings_schema(), batches).map_err(|error| error.to_string())
}

fn decode_rankings(bytes: Bytes) -> Result<Vec<Ranking>, String> {
    let mut rankings: Vec<Ranking> = Vec::new();
    decode(&rankings_schema(), bytes, |batch| {
        let (advertisers, products) = (texts(batch, 0), texts(batch, 2));
        let scores = batch.column(3).as_primitive::<Float64Type>().values();
        let [ranks, impressions, clicks, views] = [1, 4, 5, 6].map(|column| integers(batch, column));
        for row in 0..batch.num_rows() {
            let advertiser = advertisers.value(row);
            if rankings.last().is_none_or(|last| last.advertiser_id.as_str() != advertiser) {
                let advertiser_id = AdvertiserId::new(advertiser).map_err(|error| error.to_string())?;
                if rankings.last().is_some_and(|last| last.advertiser_id > advertiser_id) {
                    return Err(format!("{advertiser:?} is out of order"));
                }
                rankings.push(Ranking { advertiser_id, products: Vec::new() });
            }
            let ranking = rankings.last_mut().expect("a ranking was just begun");
            if usize::try_from(ranks[row]).ok() != Some(ranking.products.len() + 1) {
                return Err(format!("{advertiser:?} has a gap before rank {}", ranks[row]));
            }
            ranking.products.push(RankedProduct {
                product_id: ProductId::new(products.value(row)).map_err(|error| error.to_string())?,
                score: scores[row],
                counts: Counts {
                    impressions: from_integer(impressions[row])?,
                    clicks: from_integer(clicks[row])?,
                    views: from_integer(views[row])?,
                },
            });
        }
        Ok(())
    })?;
    Ok(rankings)
}
