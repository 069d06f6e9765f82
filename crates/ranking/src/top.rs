//! The best products of one advertiser by one model, of however many go by.

use crate::Model;
use domain::{Counts, CountsSlice, ProductId, RankedProduct};
use std::cmp::Ordering;

/// The best products of an advertiser by one model.
#[derive(Debug)]
pub struct Top {
    k: usize,
    /// The best so far, and fewer than `k` that may be: in no order.
    best: Vec<Candidate>,
    /// The counts of one that `k` others are at least as good as.
    beaten: Option<Counts>,
    /// How many products were added.
    added: usize,
}

/// A product that may be ranked.
#[derive(Debug)]
struct Candidate {
    counts: Counts,
    /// How many products were added before: as they come in byte order of their ids, this breaks ties.
    place: usize,
    /// None while its slice is being added.
    product_id: Option<ProductId>,
}

impl Top {
    pub(crate) fn new(k: usize) -> Self {
        Self { k, best: Vec::with_capacity(2 * k), beaten: None, added: 0 }
    }

    /// Takes the advertiser's next products, in byte order.
    pub(crate) fn add<M: Model + ?Sized>(&mut self, model: &M, products: &CountsSlice<'_>) {
        let start = self.added;
        for counts in products.counts() {
            // One that is only as good is beaten too: its id is greater.
            let is_beaten = self.beaten.is_some_and(|beaten| model.order(*counts, beaten).is_ge());
            if !is_beaten && model.score(*counts).is_some() {
                self.best.push(Candidate { counts: *counts, place: self.added, product_id: None });
                if self.best.len() >= 2 * self.k {
                    self.forget_beaten(model);
                }
            }
            self.added += 1;
        }
        self.forget_beaten(model);
        for candidate in self.best.iter_mut().filter(|candidate| candidate.product_id.is_none()) {
            let id = ProductId::new(products.product_id(candidate.place - start));
            candidate.product_id = Some(id.expect("ids in counts were checked when read"));
        }
    }

    /// Keeps the best `k`.
    fn forget_beaten<M: Model + ?Sized>(&mut self, model: &M) {
        if self.k == 0 {
            self.best.clear();
        } else if self.best.len() >= self.k {
            let order = |left: &Candidate, right: &Candidate| left.order(right, model);
            let (_, last, _) = self.best.select_nth_unstable_by(self.k - 1, order);
            self.beaten = Some(last.counts);
            self.best.truncate(self.k);
        }
    }

    /// The best in order; from now on it is another advertiser's.
    pub(crate) fn take(&mut self, model: &dyn Model) -> Vec<RankedProduct> {
        (self.beaten, self.added) = (None, 0);
        self.best.sort_unstable_by(|left, right| left.order(right, model));
        let ranked = |Candidate { counts, product_id, .. }| {
            Some(RankedProduct { product_id: product_id?, score: model.score(counts)?, counts })
        };
        self.best.drain(..).filter_map(ranked).collect()
    }
}

impl Candidate {
    fn order<M: Model + ?Sized>(&self, other: &Self, model: &M) -> Ordering {
        model.order(self.counts, other.counts).then(self.place.cmp(&other.place))
    }
}
