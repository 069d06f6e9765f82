//! What is usual: the median, which one odd day does not move, and the range of what was.

use super::settings::Volume;

/// What is less than this share of the least that was, or more than its inverse times the most, is out of range.
const OUT_OF_RANGE: f64 = 0.8;

/// What a number usually is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Usual {
    pub(super) median: f64,
    least: f64,
    most: f64,
}

impl Usual {
    /// Of what it was on other days; none of none. The median is the middle one in order, or the mean of the
    /// two in the middle.
    pub(super) fn of(mut numbers: Vec<f64>) -> Option<Self> {
        numbers.sort_by(f64::total_cmp);
        let (least, most) = (*numbers.first()?, *numbers.last()?);
        let middle = numbers.len() / 2;
        let median = match numbers.len() % 2 {
            1 => numbers[middle],
            _ => f64::midpoint(numbers[middle - 1], numbers[middle]),
        };
        Some(Self { median, least, most })
    }

    /// Whether a number is far from the median and from all that was: where days differ much, more is usual.
    pub(super) fn is_far(self, settings: &Volume, number: f64) -> bool {
        let is_less = number < settings.drop * self.median && number < OUT_OF_RANGE * self.least;
        let is_more =
            settings.rise > 0.0 && number > settings.rise * self.median && number * OUT_OF_RANGE > self.most;
        self.median > 0.0 && (is_less || is_more)
    }

    /// How far a count is from what is usual, in words; none when it is near, when both are too small to say,
    /// or when none is usual: what begins is new.
    pub(super) fn deviation(self, settings: &Volume, count: u64) -> Option<String> {
        let is_few = self.median.max(count as f64) < settings.min as f64;
        let ratio = count as f64 / self.median;
        (!is_few && self.is_far(settings, count as f64)).then(|| {
            let times =
                if ratio < 1.0 { format!("{:.0} % of", ratio * 100.0) } else { format!("{ratio:.1} times") };
            format!("{count}, which is {times} the typical {}", self.median)
        })
    }
}

/// The median of counts; none of none.
pub(super) fn median(counts: impl Iterator<Item = u64>) -> Option<f64> {
    Usual::of(counts.map(|count| count as f64).collect()).map(|usual| usual.median)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::Checks;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([].into_iter()), None);
        assert_eq!(median([7].into_iter()), Some(7.0));
        assert_eq!(median([9, 1, 5].into_iter()), Some(5.0));
        assert_eq!(median([9, 1, 5, 2].into_iter()), Some(3.5));
        assert_eq!(median([1, 1, 1, 1_000_000].into_iter()), Some(1.0));
    }

    #[test]
    fn where_days_differ_much_more_is_usual() {
        let volume = Checks::default().volume;
        let is_far = |before: [f64; 5], now| Usual::of(before.to_vec()).unwrap().is_far(&volume, now);
        let alike = [1000.0, 990.0, 1010.0, 1005.0, 995.0];
        assert_eq!([590.0, 610.0, 2990.0, 3010.0].map(|now| is_far(alike, now)), [true, false, false, true]);
        let unlike = [1000.0, 300.0, 1010.0, 4000.0, 995.0];
        assert_eq!([230.0, 250.0, 4900.0, 5100.0].map(|now| is_far(unlike, now)), [true, false, false, true]);
    }
}
