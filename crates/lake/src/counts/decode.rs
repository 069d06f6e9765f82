//! Objects of counts become blocks again.

use super::{counts_schema, folder, numbered_texts, remedy};
use crate::{
    CountsManifest, Lake, LakeError,
    commit::MANIFEST,
    in_order::in_order,
    parquet_file::{EncodedFile, from_integer, integers, texts},
};
use arrow_array::{RecordBatch, StringArray, cast::AsArray, types::Int32Type};
use bytes::Bytes;
use domain::{AdvertiserId, Counts, CountsBlock, Day, ID_BYTES_MAX};
use std::{collections::VecDeque, sync::Arc};
use tokio::sync::mpsc::Receiver;

/// An object's name and bytes, as they come from the store.
pub(super) type ReadObject = Result<(String, Bytes), LakeError>;

/// The counts of a day, block by block, in order. The first error is the last item.
pub struct CountsReader {
    lake: Lake,
    manifest: CountsManifest,
    active: Arc<[AdvertiserId]>,
    blocks: Box<dyn Iterator<Item = Result<Decoded, LakeError>> + Send>,
    /// The row before the next block.
    last: Option<(u32, String)>,
    /// Rows that are to come.
    rest: u64,
}

/// A row group of an object.
struct Encoded {
    name: Arc<str>,
    file: EncodedFile,
    row_group: usize,
}

/// A row group's counts.
struct Decoded {
    /// The name of its object.
    name: Arc<str>,
    block: CountsBlock,
}

impl CountsReader {
    pub(super) fn new(
        lake: Lake,
        manifest: CountsManifest,
        active: Arc<[AdvertiserId]>,
        objects: Receiver<ReadObject>,
        threads: usize,
    ) -> Self {
        let day = manifest.day;
        let groups = RowGroups { lake: lake.clone(), day, objects, ready: VecDeque::new() };
        let (advertisers, of) = (Arc::clone(&active), lake.clone());
        let decode = move |group: Result<Encoded, LakeError>| {
            let Encoded { name, file, row_group } = group?;
            let batch = file.decode(row_group);
            let block = batch.and_then(|batch| block(&advertisers, &batch));
            let damaged = |reason| of.damaged(&folder(day), &name, reason, &remedy(day));
            let block = block.map_err(damaged)?;
            Ok(Decoded { name, block })
        };
        let blocks = Box::new(in_order(threads, groups, decode));
        let rest = manifest.products;
        Self { lake, manifest, active, blocks, last: None, rest }
    }

    /// The day's active advertisers, in byte order: what the blocks' indices mean.
    #[must_use]
    pub fn active(&self) -> &Arc<[AdvertiserId]> {
        &self.active
    }

    /// What the counts were made of.
    #[must_use]
    pub fn manifest(&self) -> &CountsManifest {
        &self.manifest
    }
}

impl CountsReader {
    /// The end, unless rows are still to come: then whoever read them has stopped without a word.
    fn end(&mut self) -> Option<Result<CountsBlock, LakeError>> {
        let is_cut_short = std::mem::take(&mut self.rest) > 0;
        is_cut_short.then(|| Err(self.miscounted("fewer")))
    }

    fn miscounted(&self, than: &str) -> LakeError {
        let reason =
            format!("its objects hold {than} than the {} products that it tells of", self.manifest.products);
        self.lake.damaged(&folder(self.manifest.day), MANIFEST, reason, &remedy(self.manifest.day))
    }
}

impl Iterator for CountsReader {
    type Item = Result<CountsBlock, LakeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (name, block) = match self.blocks.next() {
            Some(Ok(Decoded { name, block })) => (name, block),
            Some(Err(error)) => return Some(Err(error)),
            None => return self.end(),
        };
        self.rest = match self.rest.checked_sub(block.len() as u64) {
            Some(rest) => rest,
            None => return Some(Err(self.miscounted("more"))),
        };
        if let Some((advertiser, product, _)) = block.rows().next()
            && self.last.as_ref().is_some_and(|(last, id)| (*last, id.as_str()) >= (advertiser, product))
        {
            let (day, reason) = (self.manifest.day, format!("product {product:?} is out of order"));
            return Some(Err(self.lake.damaged(&folder(day), &name, reason, &remedy(day))));
        }
        self.last = block.last().map(|(advertiser, product)| (advertiser, product.to_owned()));
        Some(Ok(block))
    }
}

/// The row groups of the objects, in order.
struct RowGroups {
    lake: Lake,
    day: Day,
    objects: Receiver<ReadObject>,
    ready: VecDeque<Encoded>,
}

impl Iterator for RowGroups {
    type Item = Result<Encoded, LakeError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() {
            let (name, bytes) = match self.objects.blocking_recv()? {
                Ok(object) => object,
                Err(error) => return Some(Err(error)),
            };
            let file = match EncodedFile::open(bytes, counts_schema(numbered_texts())) {
                Ok(file) => file,
                Err(reason) => {
                    return Some(Err(self.lake.damaged(&folder(self.day), &name, reason, &remedy(self.day))));
                }
            };
            let name: Arc<str> = name.into();
            let group = |row_group| Encoded { name: Arc::clone(&name), file: file.clone(), row_group };
            self.ready = (0..file.row_groups()).map(group).collect();
        }
        self.ready.pop_front().map(Ok)
    }
}

fn block(active: &[AdvertiserId], batch: &RecordBatch) -> Result<CountsBlock, String> {
    let numbers = batch.column(0).as_dictionary::<Int32Type>();
    let advertisers = Advertisers { active, texts: numbers.values().as_string() };
    let numbers = numbers.keys().values();
    let products = texts(batch, 1);
    let [impressions, clicks, views] = [2, 3, 4].map(|column| integers(batch, column));
    let mut block = CountsBlock::with_capacity(batch.num_rows(), products.value_data().len());
    let mut last: Option<(i32, u32)> = None;
    let mut last_product = "";
    for (row, number) in numbers.iter().enumerate() {
        let advertiser = match last {
            Some((same, advertiser)) if same == *number => advertiser,
            _ => {
                let advertiser = advertisers.index(*number, last.map(|(_, advertiser)| advertiser))?;
                (last, last_product) = (Some((*number, advertiser)), "");
                advertiser
            }
        };
        let product = products.value(row);
        if product.len() > ID_BYTES_MAX || product <= last_product {
            let advertiser = advertisers.text(*number);
            return Err(format!("product {product:?} of {advertiser:?} is no id or out of order"));
        }
        last_product = product;
        let counts = Counts {
            impressions: from_integer(impressions[row])?,
            clicks: from_integer(clicks[row])?,
            views: from_integer(views[row])?,
        };
        block.push(advertiser, product, counts);
    }
    Ok(block)
}

/// The texts of a row group's advertisers, and those that may come.
struct Advertisers<'a> {
    active: &'a [AdvertiserId],
    texts: &'a StringArray,
}

impl<'a> Advertisers<'a> {
    fn text(&self, number: i32) -> &'a str {
        self.texts.value(usize::try_from(number).expect("Parquet's reader checks numbers"))
    }

    /// The index of the advertiser among the active ones behind the last.
    fn index(&self, number: i32, last: Option<u32>) -> Result<u32, String> {
        let text = self.text(number);
        let found = self.active.binary_search_by(|id| id.as_str().cmp(text)).ok();
        let found = found.and_then(|index| u32::try_from(index).ok());
        let found = found.filter(|index| last.is_none_or(|last| last < *index));
        found.ok_or_else(|| format!("{text:?} is out of order or not active"))
    }
}
