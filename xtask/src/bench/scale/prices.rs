//! What machines cost: the list prices of `deploy/aws/costs.py`, which says of when and where they are.

use crate::{Failure, repository::read};
use std::path::Path;

const PAGE: &str = "deploy/aws/costs.py";

/// Dollars.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Prices {
    pub(super) vcpu_hour: f64,
    pub(super) gib_hour: f64,
    pub(super) disk_gib_hour: f64,
    pub(super) thousand_gets: f64,
}

impl Prices {
    pub(super) fn read() -> Result<Self, Failure> {
        let text = read(Path::new(PAGE))?;
        let price = |name| price(&text, name).ok_or_else(|| format!("{PAGE} has no price {name}"));
        Ok(Self {
            vcpu_hour: price("VCPU_HOUR")?,
            gib_hour: price("GIB_HOUR")?,
            disk_gib_hour: price("DISK_GIB_HOUR")?,
            thousand_gets: price("S3_1000_GETS")?,
        })
    }
}

/// The value of a name in a line such as `A, B = 1.0, 2.0`.
fn price(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| {
        let (names, values) = line.split_once(" = ")?;
        let place = names.split(", ").position(|of| of == name)?;
        values.split(", ").nth(place)?.trim().parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_stands_where_its_name_does() {
        let text = "HOURS = 7\nVCPU_HOUR, GIB_HOUR = 0.04, 0.005\n";
        assert_eq!([price(text, "VCPU_HOUR"), price(text, "GIB_HOUR")], [Some(0.04), Some(0.005)]);
        assert_eq!(price(text, "VCPU"), None);
    }

    #[test]
    fn the_page_has_all_of_them() {
        let Prices { vcpu_hour, gib_hour, disk_gib_hour, thousand_gets } = Prices::read().unwrap();
        assert!([vcpu_hour, gib_hour, disk_gib_hour, thousand_gets].iter().all(|price| *price > 0.0));
    }
}
