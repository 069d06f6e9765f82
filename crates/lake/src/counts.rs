//! Counts of a day, and the advertisers active on it.

mod cut;
mod decode;
mod encode;
mod piece;
mod sum;
mod totals;

pub use decode::CountsReader;
pub use totals::AdvertiserTotals;

use self::{piece::CountsPiece, sum::Sum};
use crate::{
    CountsInput, CountsManifest, DataObject, Lake, LakeError, WriteCountsError,
    commit::{MANIFEST, NewObject, hex},
    in_order::in_order,
    manifest::Manifest as _,
    parquet_file::{BATCH_ROWS, decode, encode, from_integer, integers, schema, texts},
};
use arrow_array::{ArrayRef, Int64Array, StringArray};
use arrow_schema::{DataType, SchemaRef};
use bytes::Bytes;
use domain::{AdvertiserId, Counts, CountsBlock, CountsSlice, Day};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use tokio::{runtime::Handle, sync::mpsc, task::spawn_blocking};

/// Counts that the lake does not hold yet, all but the counts themselves.
#[derive(Debug, Clone)]
pub struct NewCounts {
    /// Their day.
    pub day: Day,
    /// The day's active advertisers, in byte order: what blocks' indices mean.
    pub active: Arc<[AdvertiserId]>,
    /// What the counts are made of.
    pub input: CountsInput,
    /// The day's counts of some of that input, which are here already: the parts are added to them. They
    /// are of the same active advertisers.
    pub added_to: Option<CountsManifest>,
    /// What of them was put before, in any order: it is between the parts. None, if they are added to others.
    pub there: Vec<CountsThere>,
}

/// Objects of a day's counts that [`Lake::put_counts`] has put and no manifest names yet: what they hold is consecutive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountsThere {
    /// The advertiser's index and the product of the first row.
    pub first: (u32, String),
    /// The objects, in order.
    pub objects: Vec<DataObject>,
    /// How many rows they hold.
    pub rows: u64,
    /// What these come to for each of their advertisers, in order.
    pub totals: Vec<(u32, AdvertiserTotals)>,
}

impl Lake {
    /// Puts objects of some consecutive counts of a day, which come block by block: those that are the same whatever
    /// stands before and behind. Rows before the first and behind the last go `back`, in order. It blocks.
    ///
    /// # Errors
    /// What a block or `back` says, or [`LakeError`]. Objects that were put stay until a commit of the day sweeps them.
    pub fn put_counts<E>(
        &self,
        day: Day,
        active: &Arc<[AdvertiserId]>,
        blocks: impl Iterator<Item = Result<CountsBlock, E>>,
        mut back: impl FnMut(CountsSlice<'_>) -> Result<(), E>,
        runtime: &Handle,
    ) -> Result<Option<CountsThere>, WriteCountsError<E>> {
        let blocks = blocks.map(|block| block.map_err(WriteCountsError::Counts));
        let put = |object: NewObject| {
            runtime.block_on(self.put_new(&folder(day), object)).map_err(WriteCountsError::Lake)
        };
        let back = |rows: CountsSlice<'_>| back(rows).map_err(WriteCountsError::Counts);
        encode::whole_objects(&encode::Encoder::of(day, active), blocks, put, back)
    }

    /// Writes the counts of a day and commits them with what they were made of. The counts come in parts, in
    /// order; each gives its block on one of `threads` threads, which then encode them, added to what was
    /// counted earlier. No more is in memory than a few blocks for each thread and a few objects.
    ///
    /// # Errors
    /// What a part says, or [`LakeError`]; what was committed before stays.
    pub async fn write_counts<P, E>(
        &self,
        new: NewCounts,
        parts: impl Iterator<Item = P> + Send + 'static,
        threads: usize,
    ) -> Result<CountsManifest, WriteCountsError<E>>
    where
        P: FnOnce() -> Result<CountsBlock, E> + Send + 'static,
        E: Send + 'static,
    {
        let NewCounts { day, active, input, added_to, there } = new;
        assert!(added_to.is_none() || there.is_empty(), "nothing is put of what is added to other counts");
        let unwritable = |reason: String| LakeError::Unwritable { what: "counts", day, reason };
        let mut commit = self.begin(folder(day)).await?;
        let (sender, mut objects) = mpsc::channel(1);
        let active_advertisers = active.len();
        let earlier = added_to.map(|earlier| self.reader(earlier, Arc::clone(&active), threads));
        let of_list = Arc::clone(&active);
        let encoding = spawn_blocking(move || {
            let encoder = Arc::new(encode::Encoder::of(day, &active));
            let parts = in_order(threads, parts, |part| part().map_err(WriteCountsError::Counts));
            match earlier {
                None => encode::objects(&encoder, piece::in_order_of_rows(there, parts), threads, &sender),
                Some(earlier) => {
                    let earlier = earlier.map(|block| block.map_err(WriteCountsError::Lake));
                    let sums = Sum::of(earlier, parts).map(CountsPiece::Rows);
                    encode::objects(&encoder, sums, threads, &sender)
                }
            }
        });
        let mut counts = Vec::new();
        while let Some(outgoing) = objects.recv().await {
            match outgoing {
                encode::Outgoing::New(object) => counts.push(commit.put(object).await?),
                encode::Outgoing::There(objects) => {
                    objects.iter().try_for_each(|object| commit.name(object, ELSEWHERE))?;
                    counts.extend(objects);
                }
            }
        }
        let (products, totals) = encoding.await.expect("encoding does not panic")?;
        let list = encode_advertisers(&of_list, &totals).map_err(unwritable)?;
        let advertisers = commit.put(NewObject::new("advertisers", list)).await?;
        let manifest = CountsManifest {
            format_version: CountsManifest::FORMAT_VERSION,
            day,
            program_version: input.program_version,
            settings: input.settings,
            active_advertisers,
            products,
            counts_digest: digest(&counts, &advertisers),
            counts,
            advertisers,
            logs: input.logs,
        };
        commit.end(&manifest).await?;
        Ok(manifest)
    }

    /// Where the manifest of a day's counts lies, for messages.
    #[must_use]
    pub fn counts_manifest_url(&self, day: Day) -> String {
        self.object_url(&folder(day), MANIFEST)
    }

    /// What the counts of a day were made of; none when the day has not been counted.
    ///
    /// # Errors
    /// When the manifest cannot be read.
    pub async fn counts_manifest(&self, day: Day) -> Result<Option<CountsManifest>, LakeError> {
        self.manifest(&folder(day), day, &remedy(day)).await
    }

    /// What `take` makes of the counts of a day, which come to it block by block, decoded on `threads`
    /// threads; none when the day has not been counted. It is called again, with other counts, when another
    /// commit replaced them meanwhile, and on a thread that it may block.
    ///
    /// # Errors
    /// What `take` says, or when an object cannot be read or is not what was committed.
    pub async fn read_counts<T: Send + 'static>(
        &self,
        day: Day,
        threads: usize,
        take: impl Fn(CountsReader) -> Result<T, LakeError> + Send + Sync + 'static,
    ) -> Result<Option<(T, CountsManifest)>, LakeError> {
        let (folder, remedy, take) = (folder(day), remedy(day), Arc::new(take));
        self.read_by_manifest(&folder, day, &remedy, async |manifest: &CountsManifest| {
            let active = self.active(manifest).await?.into();
            let reader = self.reader(manifest.clone(), active, threads);
            let take = Arc::clone(&take);
            spawn_blocking(move || take(reader)).await.expect("taking counts does not panic")
        })
        .await
    }

    /// Reads the counts that the manifest names, ahead of who takes them.
    fn reader(&self, manifest: CountsManifest, active: Arc<[AdvertiserId]>, threads: usize) -> CountsReader {
        let (sender, objects) = mpsc::channel(1);
        let (lake, day, counts) = (self.clone(), manifest.day, manifest.counts.clone());
        tokio::spawn(async move {
            for object in counts {
                let read = lake.data(&folder(day), &object, &remedy(day)).await;
                let is_last = read.is_err();
                if sender.send(read.map(|bytes| (object.name, bytes))).await.is_err() || is_last {
                    break;
                }
            }
        });
        CountsReader::new(self.clone(), manifest, active, objects, threads)
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
        for object in manifest.counts.iter().chain([&manifest.advertisers]) {
            self.data(&folder(manifest.day), object, &remedy(manifest.day)).await?;
        }
        Ok(())
    }

    /// The advertisers active on the manifest's day, in byte order.
    ///
    /// # Errors
    /// As [`Lake::read_counts`].
    pub async fn active(&self, manifest: &CountsManifest) -> Result<Vec<AdvertiserId>, LakeError> {
        Ok(self.totals(manifest).await?.into_iter().map(|(advertiser, _)| advertiser).collect())
    }

    /// The advertisers active on the manifest's day, in byte order, each with what its products come to.
    ///
    /// # Errors
    /// As [`Lake::read_counts`].
    pub async fn totals(
        &self,
        manifest: &CountsManifest,
    ) -> Result<Vec<(AdvertiserId, AdvertiserTotals)>, LakeError> {
        let day = manifest.day;
        let bytes = self.data(&folder(day), &manifest.advertisers, &remedy(day)).await?;
        decode_advertisers(bytes)
            .map_err(|reason| self.damaged(&folder(day), &manifest.advertisers.name, reason, &remedy(day)))
    }
}

/// What to do about an object that was put elsewhere.
const ELSEWHERE: &str = "lake.url must name the same place on all machines that write to it";

fn folder(day: Day) -> String {
    format!("counts/day={day}")
}

fn remedy(day: Day) -> String {
    format!("run `topshelf count --day {day}` again")
}

/// Names the counts and the active advertisers.
fn digest(counts: &[DataObject], advertisers: &DataObject) -> String {
    let objects = counts.iter().chain([advertisers]);
    hex(&Sha256::digest(objects.map(|object| object.sha256.as_str()).collect::<String>()))
}

fn counts_schema(advertiser_id: DataType) -> SchemaRef {
    schema(&[
        ("advertiser_id", advertiser_id),
        ("product_id", DataType::Utf8),
        ("impressions", DataType::Int64),
        ("clicks", DataType::Int64),
        ("views", DataType::Int64),
    ])
}

/// Advertisers as they are encoded and decoded: each text once, and a number in each row.
fn numbered_texts() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

fn advertisers_schema() -> SchemaRef {
    schema(&[
        ("advertiser_id", DataType::Utf8),
        ("impressions", DataType::Int64),
        ("clicks", DataType::Int64),
        ("views", DataType::Int64),
        ("unseen_clicks", DataType::Int64),
    ])
}

fn encode_advertisers(advertisers: &[AdvertiserId], totals: &[AdvertiserTotals]) -> Result<Vec<u8>, String> {
    let numbers = [
        |totals: &AdvertiserTotals| totals.counts.impressions,
        |totals: &AdvertiserTotals| totals.counts.clicks,
        |totals: &AdvertiserTotals| totals.counts.views,
        |totals: &AdvertiserTotals| totals.unseen_clicks,
    ];
    let batches = advertisers.chunks(BATCH_ROWS).zip(totals.chunks(BATCH_ROWS)).map(|(chunk, totals)| {
        let ids = Arc::new(StringArray::from_iter_values(chunk.iter().map(AdvertiserId::as_str))) as ArrayRef;
        let numbers = numbers.iter().map(|of| {
            Arc::new(Int64Array::from_iter_values(totals.iter().map(|totals| of(totals).cast_signed())))
                as ArrayRef
        });
        std::iter::once(ids).chain(numbers).collect()
    });
    encode(&advertisers_schema(), batches).map_err(|error| error.to_string())
}

fn decode_advertisers(bytes: Bytes) -> Result<Vec<(AdvertiserId, AdvertiserTotals)>, String> {
    let mut advertisers: Vec<(AdvertiserId, AdvertiserTotals)> = Vec::new();
    decode(&advertisers_schema(), bytes, |batch| {
        let numbers = [1, 2, 3, 4].map(|column| integers(batch, column));
        for (row, text) in texts(batch, 0).iter().flatten().enumerate() {
            let advertiser = AdvertiserId::new(text).map_err(|error| error.to_string())?;
            if advertisers.last().is_some_and(|(last, _)| *last >= advertiser) {
                return Err(format!("{advertiser:?} is out of order"));
            }
            let [impressions, clicks, views, unseen_clicks] = numbers.map(|column| from_integer(column[row]));
            let counts = Counts { impressions: impressions?, clicks: clicks?, views: views? };
            advertisers.push((advertiser, AdvertiserTotals { counts, unseen_clicks: unseen_clicks? }));
        }
        Ok(())
    })?;
    Ok(advertisers)
}
