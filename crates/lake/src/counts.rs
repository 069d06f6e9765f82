//! Counts of a day, and the advertisers active on it.

use crate::{
    CountsInput, CountsManifest, Lake, LakeError,
    commit::{NewObject, hex},
    manifest::FORMAT_VERSION,
    parquet_file::{BATCH_ROWS, decode, encode, from_integer, integers, schema, texts, to_integer},
};
use arrow_array::{ArrayRef, Int64Array, StringArray};
use arrow_schema::{DataType, SchemaRef};
use bytes::Bytes;
use domain::{AdvertiserId, Counts, Day, DayCounts, DayCountsBuilder, ID_BYTES_MAX};
use sha2::{Digest, Sha256};
use std::sync::Arc;

impl Lake {
    /// Writes the counts of a day and commits them with what they were made of. Encodes on the calling
    /// thread: tenths of a second for a million products.
    ///
    /// # Errors
    /// [`LakeError`]; what was committed before stays.
    pub async fn write_counts(
        &self,
        counts: &DayCounts,
        input: CountsInput,
    ) -> Result<CountsManifest, LakeError> {
        let day = counts.day();
        let unwritable = |reason: String| LakeError::Unwritable { what: "counts", day, reason };
        let data = NewObject::new("counts", encode_counts(counts).map_err(unwritable)?);
        let active =
            NewObject::new("advertisers", encode_advertisers(counts.advertisers()).map_err(unwritable)?);
        let both = [data.described.sha256.as_str(), &active.described.sha256].concat();
        let manifest = CountsManifest {
            format_version: FORMAT_VERSION,
            day,
            program_version: input.program_version,
            settings: input.settings,
            active_advertisers: counts.advertisers().len(),
            products: counts.product_count(),
            counts_digest: hex(&Sha256::digest(both)),
            counts: data.described.clone(),
            advertisers: active.described.clone(),
            logs: input.logs,
        };
        self.commit(&folder(day), vec![data, active], &manifest).await?;
        Ok(manifest)
    }

    /// What the counts of a day were made of; none when the day has not been counted.
    ///
    /// # Errors
    /// When the manifest cannot be read.
    pub async fn counts_manifest(&self, day: Day) -> Result<Option<CountsManifest>, LakeError> {
        self.manifest(&folder(day), day, &remedy(day)).await
    }

    /// The counts of a day; none when the day has not been counted.
    ///
    /// # Errors
    /// When an object cannot be read or is not what was committed.
    pub async fn read_counts(&self, day: Day) -> Result<Option<(DayCounts, CountsManifest)>, LakeError> {
        let (folder, remedy) = (folder(day), remedy(day));
        self.read_by_manifest(&folder, day, &remedy, async |manifest: &CountsManifest| {
            let active = self.active(manifest).await?;
            let bytes = self.data(&folder, &manifest.counts, &remedy).await?;
            decode_counts(day, &active, bytes)
                .map_err(|reason| self.damaged(&folder, &manifest.counts.name, reason, &remedy))
        })
        .await
    }

    /// The advertisers active on a day, in byte order; none when the day has not been counted.
    ///
    /// # Errors
    /// As [`Lake::read_counts`].
    pub async fn read_active(&self, day: Day) -> Result<Option<Vec<AdvertiserId>>, LakeError> {
        let active = async |manifest: &CountsManifest| self.active(manifest).await;
        let read = self.read_by_manifest(&folder(day), day, &remedy(day), active).await?;
        Ok(read.map(|(active, _)| active))
    }

    /// Sees that the objects that the manifest names are there as they were committed, byte for byte.
    ///
    /// # Errors
    /// When one is not, or cannot be read.
    pub async fn verify_counts(&self, manifest: &CountsManifest) -> Result<(), LakeError> {
        for object in [&manifest.counts, &manifest.advertisers] {
            self.data(&folder(manifest.day), object, &remedy(manifest.day)).await?;
        }
        Ok(())
    }

    /// The advertisers active on the manifest's day, in byte order.
    ///
    /// # Errors
    /// As [`Lake::read_counts`].
    pub async fn active(&self, manifest: &CountsManifest) -> Result<Vec<AdvertiserId>, LakeError> {
        let day = manifest.day;
        let bytes = self.data(&folder(day), &manifest.advertisers, &remedy(day)).await?;
        decode_advertisers(bytes)
            .map_err(|reason| self.damaged(&folder(day), &manifest.advertisers.name, reason, &remedy(day)))
    }
}

fn folder(day: Day) -> String {
    format!("counts/day={day}")
}

fn remedy(day: Day) -> String {
    format!("run `topshelf count --day {day}` again")
}

fn counts_schema() -> SchemaRef {
    schema(&[
        ("advertiser_id", DataType::Utf8),
        ("product_id", DataType::Utf8),
        ("impressions", DataType::Int64),
        ("clicks", DataType::Int64),
        ("views", DataType::Int64),
    ])
}

fn advertisers_schema() -> SchemaRef {
    schema(&[("advertiser_id", DataType::Utf8)])
}

fn encode_counts(counts: &DayCounts) -> Result<Vec<u8>, String> {
    let too_large = |counts: &Counts| {
        [counts.impressions, counts.clicks, counts.views]
            .into_iter()
            .find_map(|count| to_integer(count).err())
    };
    let all = || counts.iter().flat_map(|(_, products)| products.counts());
    if let Some(problem) = all().find_map(too_large) {
        return Err(problem);
    }
    let mut rows = counts.iter().flat_map(|(advertiser, products)| {
        products.iter().map(move |(product, counts)| (advertiser.as_str(), product, counts))
    });
    let batches = std::iter::from_fn(|| {
        let batch: Vec<_> = rows.by_ref().take(BATCH_ROWS).collect();
        let integers = |of: fn(&Counts) -> u64| -> ArrayRef {
            Arc::new(batch.iter().map(|(_, _, counts)| of(counts).cast_signed()).collect::<Int64Array>())
        };
        (!batch.is_empty()).then(|| {
            vec![
                Arc::new(StringArray::from_iter_values(batch.iter().map(|row| row.0))) as ArrayRef,
                Arc::new(StringArray::from_iter_values(batch.iter().map(|row| row.1))),
                integers(|counts| counts.impressions),
                integers(|counts| counts.clicks),
                integers(|counts| counts.views),
            ]
        })
    });
    encode(&counts_schema(), batches).map_err(|error| error.to_string())
}

fn decode_counts(day: Day, active: &[AdvertiserId], bytes: Bytes) -> Result<DayCounts, String> {
    let mut builder = DayCountsBuilder::new(day);
    let mut waiting = active.iter();
    let mut current: Option<&AdvertiserId> = None;
    let mut last_product = String::new();
    decode(&counts_schema(), bytes, |batch| {
        let (advertisers, products) = (texts(batch, 0), texts(batch, 1));
        let [impressions, clicks, views] = [2, 3, 4].map(|column| integers(batch, column));
        for row in 0..batch.num_rows() {
            let advertiser = advertisers.value(row);
            while current.is_none_or(|current| current.as_str() != advertiser) {
                let next =
                    waiting.next().ok_or_else(|| format!("{advertiser:?} is out of order or not active"))?;
                builder.advertiser(next.clone());
                current = Some(next);
                last_product.clear();
            }
            let product = products.value(row);
            if product.len() > ID_BYTES_MAX || product <= last_product.as_str() {
                return Err(format!("product {product:?} of {advertiser:?} is no id or out of order"));
            }
            last_product.replace_range(.., product);
            let counts = Counts {
                impressions: from_integer(impressions[row])?,
                clicks: from_integer(clicks[row])?,
                views: from_integer(views[row])?,
            };
            builder.product(product, counts);
        }
        Ok(())
    })?;
    waiting.for_each(|advertiser| builder.advertiser(advertiser.clone()));
    Ok(builder.finish())
}

fn encode_advertisers(advertisers: &[AdvertiserId]) -> Result<Vec<u8>, String> {
    let batches = advertisers.chunks(BATCH_ROWS).map(|chunk| {
        vec![Arc::new(StringArray::from_iter_values(chunk.iter().map(AdvertiserId::as_str))) as ArrayRef]
    });
    encode(&advertisers_schema(), batches).map_err(|error| error.to_string())
}

fn decode_advertisers(bytes: Bytes) -> Result<Vec<AdvertiserId>, String> {
    let mut advertisers: Vec<AdvertiserId> = Vec::new();
    decode(&advertisers_schema(), bytes, |batch| {
        for text in texts(batch, 0).iter().flatten() {
            let advertiser = AdvertiserId::new(text).map_err(|error| error.to_string())?;
            if advertisers.last().is_some_and(|last| *last >= advertiser) {
                return Err(format!("{advertiser:?} is out of order"));
            }
            advertisers.push(advertiser);
        }
        Ok(())
    })?;
    Ok(advertisers)
}
