//! Counts of a day in, rankings out, without I/O: one file per model.
//!
//! A model says which products it ranks and in what order; ties that it leaves are broken by product
//! id ascending (bytes), so every order is total. Nothing here reads, writes or knows how the counts
//! came about. To add a model, add its file and its line in `models!`.

mod rank;
mod top;

pub use rank::{K_DEFAULT, Ranker};
pub use top::Top;

use domain::{Counts, CountsSlice, Log, ModelName};
use std::cmp::Ordering;

/// A rule that orders an advertiser's products.
pub trait Model: Sync {
    /// The model's name in its own spelling, the same everywhere.
    fn name(&self) -> &'static str;

    /// The log whose events the model orders by.
    fn needs(&self) -> Log;

    /// What the model orders by, as a number for people; none when the product is not ranked.
    fn score(&self, counts: Counts) -> Option<f64>;

    /// Which of two ranked products comes first: `Less` when `left` does. Exact; products that are
    /// `Equal` come in order of their ids.
    fn order(&self, left: Counts, right: Counts) -> Ordering;

    /// Adds an advertiser's next products to its best. Every model has a loop of its own, without a call
    /// for each product.
    fn add(&self, products: &CountsSlice<'_>, top: &mut Top) {
        top.add(self, products);
    }
}

macro_rules! models {
    ($($module:ident :: $model:ident),* $(,)?) => {
        $(mod $module;)*

        /// Every model there is, in byte order of the names.
        pub static MODELS: &[&dyn Model] = &[$(&$module::$model),*];
    };
}

models! {
    top_ctr::TopCtr,
    top_product::TopProduct,
}

/// The model of that name, in any case.
#[must_use]
pub fn model(name: &str) -> Option<&'static dyn Model> {
    MODELS.iter().copied().find(|model| ModelName::new(model.name()).matches(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_found_in_any_case() {
        assert_eq!(model("topctr").map(Model::name), Some("TopCTR"));
        assert_eq!(model("TOPPRODUCT").map(Model::name), Some("TopProduct"));
        assert!(model("TopNothing").is_none());
        assert!(MODELS.is_sorted_by_key(|model| model.name()));
    }
}
