//! A packed day as bytes, to be kept in a file.
//!
//! Numbers are of 4 bytes, lowest first; a text is its length and its bytes. In order: the stamp's text; how many
//! advertisers there are and each, its length in one byte; how many publications there are and each, the run as a text
//! and since when in nanoseconds since 1970 in 16 bytes; of each advertiser, the index of its publication; how many
//! models there are and each, its name, the length of each advertiser's ranking, 0 for none, and the rankings. Whoever
//! keeps the bytes sees to it that they are read back as they were.

use super::{Advertisers, Corrupt, DayStamp, PackedDay, PackedRankings, SeenRun, ranking::Checker};
use domain::ModelName;
use jiff::Timestamp;
use std::io::{self, Write};

const AMID: &str = "the bytes of a day end too early";

impl PackedDay {
    /// Writes it in many small pieces.
    ///
    /// # Errors
    /// When `out` cannot be written to, or a part of the day is past 4 GiB.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        write_text(out, &self.stamp.to_string())?;
        write_length(out, self.advertisers.len())?;
        for id in self.advertisers.iter() {
            out.write_all(&[u8::try_from(id.len()).expect("an id has at most 255 bytes")])?;
            out.write_all(id.as_bytes())?;
        }
        write_length(out, self.publications.len())?;
        for seen in &self.publications {
            write_text(out, seen.run_id.as_str())?;
            out.write_all(&seen.published_at.as_nanosecond().to_le_bytes())?;
        }
        self.publication_indexes.iter().try_for_each(|index| out.write_all(&index.to_le_bytes()))?;
        write_length(out, self.models.len())?;
        for (model, rankings) in &self.models {
            write_text(out, model.as_str())?;
            let rankings = || (0..self.advertisers.len()).map(|place| rankings.ranking(place).bytes());
            rankings().try_for_each(|ranking| write_length(out, ranking.len()))?;
            rankings().try_for_each(|ranking| out.write_all(ranking))?;
        }
        Ok(())
    }

    /// Reads what [`PackedDay::write`] wrote, to the last byte.
    ///
    /// # Errors
    /// When the bytes are anything else.
    pub fn read(bytes: &[u8]) -> Result<Self, Corrupt> {
        let mut rest = bytes;
        let stamp: DayStamp = take_text(&mut rest)?.parse()?;
        let advertisers = read_advertisers(&mut rest)?;
        let publications = read_publications(&mut rest)?;
        let mut publication_indexes = Vec::new();
        for index in take(&mut rest, bytes_of(advertisers.len())?)?.chunks_exact(4) {
            let index = u32::from_le_bytes(index.try_into().expect("chunks are of 4 bytes"));
            if index as usize >= publications.len() {
                return Err("an advertiser points to no publication".into());
            }
            publication_indexes.push(index);
        }
        let mut models: Vec<(ModelName, PackedRankings)> = Vec::new();
        for _ in 0..take_length(&mut rest)? {
            let model = ModelName::new(take_text(&mut rest)?);
            if models.last().is_some_and(|(last, _)| *last >= model) {
                return Err(Corrupt::new(format!("model {model} does not come after the one before")));
            }
            let rankings = read_rankings(&mut rest, &model, &advertisers)?;
            models.push((model, rankings));
        }
        if !rest.is_empty() {
            return Err("more bytes follow those of the day".into());
        }
        let day = stamp.day;
        Ok(Self { stamp, day, advertisers, publications, publication_indexes, models })
    }
}

fn read_advertisers(rest: &mut &[u8]) -> Result<Advertisers, Corrupt> {
    let mut advertisers = Advertisers::default();
    for _ in 0..take_length(rest)? {
        let length = take(rest, 1)?[0];
        advertisers.push(text(take(rest, usize::from(length))?)?)?;
    }
    advertisers.shrink();
    Ok(advertisers)
}

fn read_publications(rest: &mut &[u8]) -> Result<Vec<SeenRun>, Corrupt> {
    let mut publications = Vec::new();
    for _ in 0..take_length(rest)? {
        let run_id = take_text(rest)?;
        let run_id = run_id.parse().map_err(|_| Corrupt::new(format!("{run_id:?} is no run")))?;
        let (nanosecond, tail) = rest.split_first_chunk().ok_or(AMID)?;
        *rest = tail;
        let published_at = Timestamp::from_nanosecond(i128::from_le_bytes(*nanosecond));
        let published_at = published_at.map_err(|_| "a publication is of no time that there is")?;
        publications.push(SeenRun { run_id, published_at });
    }
    Ok(publications)
}

fn read_rankings(
    rest: &mut &[u8],
    model: &ModelName,
    advertisers: &Advertisers,
) -> Result<PackedRankings, Corrupt> {
    let lengths = take(rest, bytes_of(advertisers.len())?)?.chunks_exact(4);
    let lengths =
        lengths.map(|length| u32::from_le_bytes(length.try_into().expect("chunks are of 4 bytes")) as usize);
    let (mut rankings, mut checker) = (PackedRankings::new(advertisers.len()), Checker::default());
    let total =
        lengths.clone().try_fold(0, usize::checked_add).filter(|total| *total <= rest.len()).ok_or(AMID)?;
    rankings.reserve(total);
    for (place, length) in lengths.enumerate().filter(|(_, length)| *length > 0) {
        let ranking = take(rest, length)?;
        let of = || format!("the ranking of {:?} by {model}", advertisers.get(place));
        checker.check(ranking).map_err(|what| Corrupt::new(format!("{} {what}", of())))?;
        rankings.put(place, |bytes| {
            bytes.extend_from_slice(ranking);
            Ok::<_, Corrupt>(())
        })?;
    }
    Ok(rankings)
}

fn write_length(out: &mut impl Write, length: usize) -> io::Result<()> {
    let length = u32::try_from(length).map_err(|_| io::Error::other("a part of the day is past 4 GiB"))?;
    out.write_all(&length.to_le_bytes())
}

fn write_text(out: &mut impl Write, text: &str) -> io::Result<()> {
    write_length(out, text.len())?;
    out.write_all(text.as_bytes())
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Corrupt> {
    rest.split_off(..length).ok_or_else(|| AMID.into())
}

fn take_length(rest: &mut &[u8]) -> Result<usize, Corrupt> {
    let (length, tail) = rest.split_first_chunk().ok_or(AMID)?;
    *rest = tail;
    Ok(u32::from_le_bytes(*length) as usize)
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, Corrupt> {
    let length = take_length(rest)?;
    text(take(rest, length)?)
}

fn text(bytes: &[u8]) -> Result<&str, Corrupt> {
    std::str::from_utf8(bytes).map_err(|_| "a text of the day is not UTF-8".into())
}

/// The length of so many numbers.
fn bytes_of(numbers: usize) -> Result<usize, Corrupt> {
    numbers.checked_mul(size_of::<u32>()).ok_or_else(|| AMID.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PublishedAdvertiser;
    use domain::{AdvertiserId, Counts, ModelRankings, ProductId, RankedProduct, Ranking};
    use proptest::prelude::*;

    fn product(id: &str, score: f64) -> RankedProduct {
        let counts = Counts { impressions: 1000, clicks: 500, views: 7 };
        RankedProduct { product_id: ProductId::new(id).unwrap(), score, counts }
    }

    fn day() -> PackedDay {
        let stamp =
            "2024-11-20 17 20241121T023000Z-3f9a1c2e 2024-11-21T02:31:00.125Z ".to_owned() + &"a7".repeat(32);
        let stamp: DayStamp = stamp.parse().unwrap();
        let advertisers = ["a", "b c", "é"].map(|id| PublishedAdvertiser {
            advertiser_id: AdvertiserId::new(id).unwrap(),
            run_id: format!("20241121T023000Z-{:08x}", id.len() % 2).parse().unwrap(),
            published_at: "2024-11-21T02:31:00.123456789Z".parse().unwrap(),
        });
        let ranking =
            |at: usize, products| Ranking { advertiser_id: advertisers[at].advertiser_id.clone(), products };
        let model =
            |model: &str, rankings| ModelRankings { day: stamp.day, model: ModelName::new(model), rankings };
        let models = [
            model("Nothing", Vec::new()),
            model(
                "TopCTR",
                vec![
                    ranking(0, vec![product("x", 0.5), product("y", 0.25)]),
                    ranking(2, vec![product("x", 0.5)]),
                ],
            ),
            model("TopProduct", vec![ranking(1, vec![product("ü", 7.0)])]),
        ];
        let packed = PackedDay::pack(stamp.day, &advertisers, &models, stamp).unwrap();
        let unpacked = packed.unpack();
        assert_eq!((unpacked.advertisers, unpacked.models), (advertisers.to_vec(), models.to_vec()));
        packed
    }

    fn kept(day: &PackedDay) -> Vec<u8> {
        let mut bytes = Vec::new();
        day.write(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_day_reads_back_as_it_was_written() {
        let day = day();
        assert_eq!(PackedDay::read(&kept(&day)), Ok(day.clone()));
        assert_eq!((day.publications.len(), day.publication_indexes.as_slice()), (2, &[0, 0, 1][..]));
        assert_eq!(day.rankings(&ModelName::new("TopCTR")).unwrap().ranking_count(), 2);
        assert_eq!(day.rankings(&ModelName::new("Other")), None);
    }

    #[test]
    fn bytes_that_end_early_or_go_on_are_refused() {
        let bytes = kept(&day());
        for end in 0..bytes.len() {
            assert!(PackedDay::read(&bytes[..end]).is_err(), "{end}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(PackedDay::read(&longer).unwrap_err().to_string(), "more bytes follow those of the day");
    }

    proptest! {
        /// Whatever the bytes: no panic, no memory that they do not come to, and what is read is as written.
        #[test]
        fn changed_bytes_are_refused_or_are_another_day(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
            let mut bytes = kept(&day());
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            if let Ok(day) = PackedDay::read(&bytes) {
                drop(day.unpack());
                prop_assert_eq!(PackedDay::read(&kept(&day)), Ok(day));
            }
        }

        #[test]
        fn junk_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(PackedDay::read(&bytes).is_err());
        }
    }
}
