//! What is measured: rows × groups × threads.

use crate::bench::{logs::Shape, thousands};
use std::fmt;

/// Lines of both logs together.
const ROWS: [u64; 4] = [10_000_000, 40_000_000, 160_000_000, 640_000_000];

/// Advertisers and products of each: 10³ to 10⁸ groups.
const GROUPS: [(u32, u32); 6] =
    [(10, 100), (100, 100), (500, 200), (2_000, 500), (10_000, 1_000), (20_000, 5_000)];

const THREADS: [u32; 2] = [1, 2];

/// Logs that points share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Set {
    pub(super) shape: Shape,
}

/// What one number in the table is measured on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub(super) rows: u64,
    pub(super) groups: u64,
    pub(super) threads: u32,
}

/// Every set up to the limits, small ones first. There are never more groups than rows.
pub(super) fn sets(rows_max: u64, groups_max: u64) -> Vec<Set> {
    let mut sets = Vec::new();
    for rows in ROWS.into_iter().filter(|rows| *rows <= rows_max) {
        for (advertisers, products) in GROUPS {
            let view_rows = rows / 3;
            let (rows, days, extra_columns) = (rows - view_rows, 1, 0);
            let shape = Shape { rows, view_rows, advertisers, products, days, extra_columns };
            let set = Set { shape };
            if set.groups() <= groups_max.min(set.rows()) {
                sets.push(set);
            }
        }
    }
    sets
}

impl Set {
    pub(super) fn rows(&self) -> u64 {
        self.shape.rows + self.shape.view_rows
    }

    pub(super) fn groups(&self) -> u64 {
        u64::from(self.shape.advertisers) * u64::from(self.shape.products)
    }

    pub(super) fn points(&self) -> Vec<Point> {
        let (rows, groups) = (self.rows(), self.groups());
        THREADS.into_iter().map(|threads| Point { rows, groups, threads }).collect()
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rows, groups) = (thousands(self.rows), thousands(self.groups));
        write!(f, "{rows} rows of {groups} groups on {} threads", self.threads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn sets_have_the_rows_and_groups_that_are_asked_for() {
        let sets = sets(640_000_000, 100_000_000);
        let rows: BTreeSet<_> = sets.iter().map(Set::rows).collect();
        let groups: BTreeSet<_> = sets.iter().map(Set::groups).collect();
        assert_eq!(rows, ROWS.into());
        assert_eq!(groups, (3..=8).map(|power| 10_u64.pow(power)).collect());
        // 10⁸ groups are too many for the two smaller ones.
        assert_eq!(sets.len(), ROWS.len() * GROUPS.len() - 2);
    }

    #[test]
    fn limits_leave_out_what_is_larger() {
        let sets = sets(40_000_000, 10_000);
        assert_eq!(sets.len(), 4);
        assert!(sets.iter().all(|set| set.rows() <= 40_000_000 && set.groups() <= 10_000));
    }
}
