//! How many different pairs of advertiser and product a number of lines holds, as `topshelf generate` draws them.
//!
//! Half of the lines fall on any pair alike, the other half by Zipf's law (exponent 1) over advertisers, and within one over its
//! products. Four fifths of the advertisers are active, whoever they are.

/// The share of advertisers whose lines count.
const ACTIVE: f64 = 0.8;

/// Ranks up to here are looked at one by one, those behind them in bands.
const ALONE: u64 = 64;

/// The last rank of a band is so many times the first.
const BAND: f64 = 1.05;

/// Who there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Population {
    pub(super) advertisers: u64,
    /// Of each advertiser.
    pub(super) products: u64,
}

impl Population {
    /// Pairs of all advertisers, active or not.
    #[expect(clippy::cast_precision_loss, reason = "three digits of it matter")]
    fn pairs(self) -> f64 {
        self.advertisers as f64 * self.products as f64
    }

    /// Different pairs of active advertisers among so many lines, on average.
    pub(super) fn among(self, lines: f64) -> f64 {
        let (advertisers, products) = (bands(self.advertisers), bands(self.products));
        let alike = 0.5 / self.pairs();
        let met = |chance: f64| -(-lines * chance).exp_m1();
        let of_advertisers = advertisers.iter().map(|advertiser| {
            let of = |product: &Band| product.ranks * met(alike + 0.5 * advertiser.chance * product.chance);
            advertiser.ranks * products.iter().map(of).sum::<f64>()
        });
        ACTIVE * of_advertisers.sum::<f64>()
    }
}

/// Ranks that are about as likely.
struct Band {
    ranks: f64,
    /// Of each of them.
    chance: f64,
}

#[expect(clippy::cast_precision_loss, reason = "three digits of it matter")]
fn bands(ranks: u64) -> Vec<Band> {
    let mut bands = Vec::new();
    let mut first = 1;
    while first <= ranks {
        let last = if first <= ALONE { first } else { ((first as f64 * BAND) as u64).min(ranks) };
        let weight: f64 = if last - first < 1_000 {
            (first..=last).map(|rank| 1.0 / rank as f64).sum()
        } else {
            ((last as f64 + 0.5) / (first as f64 - 0.5)).ln()
        };
        let ranks = (last - first + 1) as f64;
        bands.push(Band { ranks, chance: weight / ranks });
        first = last + 1;
    }
    let total: f64 = bands.iter().map(|band| band.ranks * band.chance).sum();
    bands.iter_mut().for_each(|band| band.chance /= total);
    bands
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same, pair by pair.
    fn one_by_one(of: Population, lines: f64) -> f64 {
        let chances = |ranks: u64| {
            let total: f64 = (1..=ranks).map(|rank| 1.0 / rank as f64).sum();
            (1..=ranks).map(move |rank| 1.0 / rank as f64 / total).collect::<Vec<_>>()
        };
        let (advertisers, products) = (chances(of.advertisers), chances(of.products));
        let pairs = advertisers.iter().flat_map(|one| products.iter().map(move |other| one * other));
        let met = pairs.map(|chance| 1.0 - (-lines * (0.5 / of.pairs() + 0.5 * chance)).exp());
        0.8 * met.sum::<f64>()
    }

    #[test]
    fn bands_are_as_good_as_pairs() {
        for (advertisers, products) in [(10, 7), (2_000, 500)] {
            let of = Population { advertisers, products };
            for lines in [10.0, 10_000.0, 3e6] {
                let (fast, slow) = (of.among(lines), one_by_one(of, lines));
                assert!((fast / slow - 1.0).abs() < 0.002, "{fast} instead of {slow}");
            }
        }
    }

    #[test]
    fn few_lines_hold_as_many_pairs_and_many_lines_all() {
        let of = Population { advertisers: 100_000, products: 10_000 };
        assert!((of.among(10.0) - 8.0).abs() < 0.1, "{}", of.among(10.0));
        assert!((of.among(1e15) / 8e8 - 1.0).abs() < 1e-6, "{}", of.among(1e15));
    }
}
