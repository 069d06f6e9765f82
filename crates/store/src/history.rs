//! What was published before, as checks compare with it.

use crate::{columns::from_columns, error::Failure, published::advertiser};
use domain::{AdvertiserId, Counts, Day, ProductId};
use std::collections::BTreeMap;

/// What was counted of a published day, by the runs whose rankings readers see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TotalsOfDay {
    /// The day.
    pub day: Day,
    /// What the events of each advertiser came to.
    pub advertisers: BTreeMap<AdvertiserId, Counts>,
    /// How many advertisers were active, also those that are held.
    pub active: usize,
    /// Whether all that was made of the day last is held, so that what is seen is older or a part.
    pub is_held: bool,
    /// How the last run of the day that was published reported: opaque here.
    pub report: Option<serde_json::Value>,
}

/// The products of each advertiser's last ranking by a model, best first.
pub type LastRankings = BTreeMap<AdvertiserId, Vec<ProductId>>;

/// What is known of a day beside its advertisers, as it is read.
#[derive(Debug)]
pub(crate) struct DayRow {
    pub(crate) report: Option<String>,
    pub(crate) active: i64,
    pub(crate) is_held: i64,
}

from_columns!(DayRow { report, active, is_held });

/// An advertiser's totals as they are read.
#[derive(Debug)]
pub(crate) struct TotalsRow {
    pub(crate) advertiser_id: String,
    pub(crate) impressions: i64,
    pub(crate) clicks: i64,
    pub(crate) views: i64,
}

from_columns!(TotalsRow { advertiser_id, impressions, clicks, views });

impl TotalsRow {
    pub(crate) fn totals(self) -> Result<(AdvertiserId, Counts), Failure> {
        let count =
            |count: i64| u64::try_from(count).map_err(|_| Failure::corrupt("a count", &count.to_string()));
        let counts = Counts {
            impressions: count(self.impressions)?,
            clicks: count(self.clicks)?,
            views: count(self.views)?,
        };
        Ok((advertiser(&self.advertiser_id)?, counts))
    }
}

/// A product of a last ranking as it is read, in the order of advertiser and rank.
#[derive(Debug)]
pub(crate) struct LastRow {
    pub(crate) advertiser_id: String,
    pub(crate) product_id: String,
}

from_columns!(LastRow { advertiser_id, product_id });

/// Adds a row.
pub(crate) fn add(rankings: &mut LastRankings, row: &LastRow) -> Result<(), Failure> {
    let product = ProductId::new(row.product_id.as_str());
    let product = product.map_err(|_| Failure::corrupt("a product id", &row.product_id))?;
    match rankings.get_mut(row.advertiser_id.as_str()) {
        Some(products) => products.push(product),
        None => drop(rankings.insert(advertiser(&row.advertiser_id)?, vec![product])),
    }
    Ok(())
}
