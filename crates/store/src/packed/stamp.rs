//! What a published day was made of.

use super::Corrupt;
use crate::{Pin, PublishedAdvertiser};
use domain::{Day, RunId};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};

/// What a published day was made of: equal stamps, equal content, as far as nobody changes tables by hand.
///
/// Its text, `2024-11-20 17 20241121T023000Z-3f9a1c2e 2024-11-21T02:31:00Z` and 64 digits, reads back as the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DayStamp {
    /// The day.
    pub day: Day,
    /// The number of the last event that moved readers of it.
    pub seq: i64,
    /// The run of that event.
    pub run_id: RunId,
    /// When it was.
    pub published_at: Timestamp,
    /// SHA-256 of the pins that bear on the day.
    pub pins_digest: [u8; 32],
}

impl DayStamp {
    /// Names the pins of `pins` that bear on the day: what those of the day itself show, and whom others hide.
    #[must_use]
    pub(crate) fn with_pins(mut self, pins: &[Pin]) -> Self {
        let mut digest = Sha256::new();
        for pin in pins.iter().filter(|pin| pin.day <= self.day) {
            let of_day = (pin.day == self.day).then(|| (pin.run_id.as_str(), pin.pinned_at));
            digest.update(format!("{:?} {of_day:?}\n", pin.advertiser_id.as_str()));
        }
        self.pins_digest = digest.finalize().into();
        self
    }

    /// The stamp of a day without what it was made of.
    pub(crate) fn of_run(day: Day, run_id: RunId) -> Self {
        Self { day, seq: 0, run_id, published_at: Timestamp::UNIX_EPOCH, pins_digest: [0; 32] }
    }

    /// The stamp of what some advertisers, one at least, still have of a day: never that of a whole day.
    pub(crate) fn of_rest(day: Day, advertisers: &[PublishedAdvertiser]) -> Self {
        let pins_digest = Sha256::digest(format!("{advertisers:?}")).into();
        Self { pins_digest, ..Self::of_run(day, advertisers[0].run_id.clone()) }
    }
}

impl fmt::Display for DayStamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {} ", self.day, self.seq, self.run_id, self.published_at)?;
        self.pins_digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for DayStamp {
    type Err = Corrupt;

    fn from_str(text: &str) -> Result<Self, Corrupt> {
        let fields: Vec<_> = text.split(' ').collect();
        let parsed = match fields[..] {
            [day, seq, run_id, published_at, pins] => (|| {
                Some(Self {
                    day: day.parse().ok()?,
                    seq: seq.parse().ok()?,
                    run_id: run_id.parse().ok()?,
                    published_at: published_at.parse().ok()?,
                    pins_digest: digest(pins)?,
                })
            })(),
            _ => None,
        };
        parsed.ok_or_else(|| Corrupt::new(format!("{text:?} is no stamp of a day")))
    }
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::AdvertiserId;

    fn stamp() -> DayStamp {
        DayStamp {
            day: "2024-11-20".parse().unwrap(),
            seq: 17,
            run_id: "20241121T023000Z-3f9a1c2e".parse().unwrap(),
            published_at: "2024-11-21T02:31:00.125Z".parse().unwrap(),
            pins_digest: [0xa7; 32],
        }
    }

    fn pin(advertiser: &str, day: &str, run: u32) -> Pin {
        let pinned_at = "2024-11-21T02:30:00Z".parse().unwrap();
        Pin {
            advertiser_id: AdvertiserId::new(advertiser).unwrap(),
            day: day.parse().unwrap(),
            run_id: RunId::new(pinned_at, run),
            reason: String::new(),
            pinned_at,
        }
    }

    #[test]
    fn a_stamp_reads_back_from_its_text() {
        let text = stamp().to_string();
        assert_eq!(
            text,
            format!("2024-11-20 17 20241121T023000Z-3f9a1c2e 2024-11-21T02:31:00.125Z {}", "a7".repeat(32))
        );
        assert_eq!(text.parse(), Ok(stamp()));
        for wrong in
            ["", &text[1..], &text[..text.len() - 1], &text.replace("a7a", "é"), &text.replace("-20", "-31")]
        {
            assert!(wrong.parse::<DayStamp>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_stamp_tells_apart_the_pins_that_bear_on_its_day() {
        let with = |pins: &[Pin]| stamp().with_pins(pins);
        let (none, of_day, earlier) =
            (with(&[]), with(&[pin("a", "2024-11-20", 1)]), with(&[pin("a", "2024-11-19", 1)]));
        assert_ne!(none, of_day);
        assert_ne!(none, earlier);
        assert_ne!(of_day, earlier);
        assert_ne!(of_day, with(&[pin("a", "2024-11-20", 2)]));
        assert_eq!(earlier, with(&[pin("a", "2024-11-18", 2)]), "it hides the same");
        assert_eq!(none, with(&[pin("a", "2024-11-21", 1)]));
    }
}
