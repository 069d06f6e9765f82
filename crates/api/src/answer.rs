//! Answers of rankings, written as JSON straight from packed rows.
//!
//! What was found goes in, bytes come out: the same as serialising the types of [`crate::wire`] gives, at a fraction of
//! the time.

use crate::{
    entity_tag::EntityTag,
    prepared::Slot,
    served_day::{Seen, ServedDay},
    wire::Held,
};
use domain::ModelName;
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter};
use store::{PackedRanking, Row};

/// An answer to a question about one ranking, not written yet.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    pub(crate) advertiser_id: &'a str,
    pub(crate) model: &'a ModelName,
    pub(crate) seen: &'a Seen,
    pub(crate) day: &'a ServedDay,
    pub(crate) is_stale: bool,
    pub(crate) held: Option<Held<'a>>,
    /// Not empty.
    pub(crate) ranking: PackedRanking<'a>,
    /// Where the whole answer is kept ready; nowhere when it is not one of those asked most.
    pub(crate) slot: Option<Slot>,
}

impl Found<'_> {
    /// The tag of the answer with at most `limit` products.
    pub(crate) fn tag(&self, limit: Option<usize>) -> EntityTag {
        let held = self.held.as_ref().map(json).unwrap_or_default();
        let limit = limit.map_or([0; 8], |limit| (limit as u64).to_le_bytes());
        EntityTag::of([
            &self.seen.digest[..],
            self.advertiser_id.as_bytes(),
            self.model.as_str().as_bytes(),
            &[u8::from(self.is_stale)],
            &held,
            &limit,
        ])
    }

    /// Writes the answer, with at most `limit` products.
    pub(crate) fn write(&self, out: &mut Vec<u8>, limit: usize) {
        out.extend_from_slice(br#"{"advertiser_id":"#);
        push_text(out, self.advertiser_id);
        out.extend_from_slice(br#","model":"#);
        push_text(out, self.model.as_str());
        out.extend_from_slice(self.seen.middle.as_bytes());
        out.extend_from_slice(if self.is_stale { b"true" } else { b"false" });
        if let Some(held) = &self.held {
            out.extend_from_slice(br#","held":"#);
            out.extend_from_slice(&json(held));
        }
        out.extend_from_slice(br#","recommendations":"#);
        push_ranking(out, self.ranking, limit);
        out.push(b'}');
    }

    /// The answer, with at most `limit` products.
    pub(crate) fn to_bytes(&self, limit: usize) -> Vec<u8> {
        let mut answer = Vec::with_capacity(self.length());
        self.write(&mut answer, limit);
        answer
    }

    /// About how many bytes the answer comes to, rather more than fewer.
    pub(crate) fn length(&self) -> usize {
        // The id may be escaped.
        Self::length_of(self.ranking) + 6 * self.advertiser_id.len()
    }

    /// About how many bytes an answer with the ranking comes to, rather more than fewer.
    pub(crate) fn length_of(ranking: PackedRanking<'_>) -> usize {
        // A row of some 15 bytes comes to some 100.
        256 + ranking.bytes().len() * 8
    }
}

/// What the models ranked of one advertiser on some days, newest first; at least one day.
#[derive(Debug)]
pub(crate) struct FoundHistory<'a> {
    pub(crate) advertiser_id: &'a str,
    /// Each day with the advertiser's place on it.
    pub(crate) days: Vec<(&'a ServedDay, usize)>,
    pub(crate) model: Option<&'a ModelName>,
}

impl FoundHistory<'_> {
    /// The tag of the answer.
    pub(crate) fn tag(&self) -> EntityTag {
        let asked = [self.advertiser_id, self.model.map_or("", ModelName::as_str)].map(str::as_bytes);
        let seen = self.days.iter().map(|(day, place)| &day.seen(*place).digest[..]);
        EntityTag::of(asked.into_iter().chain(seen))
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"advertiser_id":"#);
        push_text(out, self.advertiser_id);
        let ends = [self.days.last(), self.days.first()].map(|end| end.expect("at least one day").0.day());
        out.extend_from_slice(format!(r#","from":"{}","to":"{}","days":["#, ends[0], ends[1]).as_bytes());
        for (index, (day, place)) in self.days.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            out.extend_from_slice(format!(r#"{comma}{{"day":"{}","models":{{"#, day.day()).as_bytes());
            for (index, (model, ranking)) in day.rankings_of(*place, self.model).enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_text(out, model.as_str());
                out.push(b':');
                push_ranking(out, ranking, usize::MAX);
            }
            out.extend_from_slice(b"}}");
        }
        out.extend_from_slice(b"]}");
    }

    /// About how many bytes the answer comes to, rather more than fewer.
    pub(crate) fn length(&self) -> usize {
        let rankings = self.days.iter().flat_map(|(day, place)| day.rankings_of(*place, self.model));
        256 + rankings.map(|(_, ranking)| 32 + ranking.bytes().len() * 8).sum::<usize>()
    }
}

pub(crate) fn json(answer: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(answer).expect("answers are made of text, numbers and lists")
}

fn push_ranking(out: &mut Vec<u8>, ranking: PackedRanking<'_>, limit: usize) {
    out.push(b'[');
    for (rank, row) in (1u32..).zip(ranking.rows().take(limit)) {
        if rank > 1 {
            out.push(b',');
        }
        push_row(out, rank, &row);
    }
    out.push(b']');
}

fn push_row(out: &mut Vec<u8>, rank: u32, row: &Row<'_>) {
    let mut integer = itoa::Buffer::new();
    out.extend_from_slice(br#"{"rank":"#);
    out.extend_from_slice(integer.format(rank).as_bytes());
    out.extend_from_slice(br#","product_id":"#);
    push_text(out, row.product_id);
    out.extend_from_slice(br#","score":"#);
    push_score(out, row.score);
    out.extend_from_slice(br#","impressions":"#);
    out.extend_from_slice(integer.format(row.counts.impressions).as_bytes());
    out.extend_from_slice(br#","clicks":"#);
    out.extend_from_slice(integer.format(row.counts.clicks).as_bytes());
    out.extend_from_slice(br#","views":"#);
    out.extend_from_slice(integer.format(row.counts.views).as_bytes());
    out.push(b'}');
}

/// A whole number is written without a fraction: 12, not 12.0.
fn push_score(out: &mut Vec<u8>, score: f64) {
    match crate::wire::whole(score) {
        Some(whole) => out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes()),
        None => CompactFormatter.write_f64(out, score).expect("a Vec takes any bytes"),
    }
}

pub(crate) fn push_text(out: &mut Vec<u8>, text: &str) {
    let is_plain = |byte: &u8| *byte >= b' ' && *byte != b'"' && *byte != b'\\';
    if text.as_bytes().iter().all(is_plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(out, text).expect("a Vec takes any text");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Snapshot;
    use domain::{AdvertiserId, Counts, Day, ModelRankings, ProductId, RankedProduct, Ranking, RunId};
    use jiff::Timestamp;
    use store::{DayStamp, Hold, PackedDay, Published, PublishedAdvertiser, PublishedDay, PublishedHold};

    const ADVERTISERS: [&str; 4] = ["plain", "a/\"ü\"\\\n\u{1}", "\u{7f}\u{2028}商", "held"];

    /// What a model makes of the product of a number.
    type Score = fn(u64) -> f64;

    fn products(names: &[&str], score: Score) -> Vec<RankedProduct> {
        let product = |(number, name): (u64, &&str)| RankedProduct {
            product_id: ProductId::new(*name).unwrap(),
            score: score(number),
            counts: Counts { impressions: number * 300 + 7, clicks: number, views: u64::MAX >> (number * 9) },
        };
        (0..).zip(names).map(product).collect()
    }

    fn day(text: &str) -> PackedDay {
        let day: Day = text.parse().unwrap();
        let (run_id, published_at) =
            (RunId::new(Timestamp::UNIX_EPOCH, 7), "2024-11-21T02:31:00.5Z".parse().unwrap());
        let mut ids = ADVERTISERS.map(|id| AdvertiserId::new(id).unwrap());
        ids.sort();
        let advertisers = ids.clone().map(|advertiser_id| PublishedAdvertiser {
            advertiser_id,
            run_id: run_id.clone(),
            published_at,
        });
        let names = ["p", "\"quoted\"", "back\\slash", "tab\t", "日本語", "x/y?z=%20"];
        let scores: [(&str, Score); 3] = [
            ("Odd \"model\"", |number| [1e-7, 1e300, 0.1 + 0.2, 1.0, 2f64.powi(53), 0.0][number as usize]),
            ("TopCTR", |number| number as f64 / (number * 300 + 7) as f64),
            ("TopProduct", |number| (u64::MAX >> (number * 9)) as f64),
        ];
        let models = scores.map(|(model, score)| ModelRankings {
            day,
            model: ModelName::new(model),
            rankings: ids
                .iter()
                .map(|id| Ranking { advertiser_id: id.clone(), products: products(&names, score) })
                .collect(),
        });
        let stamp = DayStamp { day, seq: 1, run_id, published_at, pins_digest: [0; 32] };
        PackedDay::pack(day, &advertisers, &models, stamp).unwrap()
    }

    fn snapshot() -> Snapshot {
        let hold = PublishedHold {
            day: "2024-11-22".parse().unwrap(),
            advertiser_id: Some(AdvertiserId::new("held").unwrap()),
            run_id: RunId::new(Timestamp::UNIX_EPOCH, 8),
            hold: Hold { check: "advertiser_volume".to_owned(), message: "fell \"by\" 90 %".to_owned() },
        };
        let days = ["2024-11-21", "2024-11-20"].map(|text| PublishedDay::Read(day(text))).into();
        let published = Published { version: 1, days, holds: vec![hold], ..Published::default() };
        Snapshot::build(published, None, &[], Timestamp::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn what_is_written_is_what_serialising_the_types_gives() {
        let snapshot = snapshot();
        for promised_day in ["2024-11-21", "2024-11-22"].map(|day| day.parse().unwrap()) {
            for advertiser in ADVERTISERS {
                for model in ["odd \"MODEL\"", "TopCTR", "topproduct"] {
                    let found =
                        snapshot.find(advertiser, model, None, snapshot.is_stale(promised_day)).unwrap();
                    let mut written = Vec::new();
                    found.write(&mut written, usize::MAX);
                    let wire = snapshot.recommendations(advertiser, model, None, promised_day).unwrap();
                    assert_eq!(String::from_utf8(written).unwrap(), serde_json::to_string(&wire).unwrap());
                    let history = snapshot.find_history(advertiser, Some(model), 7).unwrap();
                    let mut written = Vec::new();
                    history.write(&mut written);
                    let wire = snapshot.history(advertiser, Some(model), 7).unwrap();
                    assert_eq!(String::from_utf8(written).unwrap(), serde_json::to_string(&wire).unwrap());
                }
                let mut written = Vec::new();
                snapshot.find_history(advertiser, None, 7).unwrap().write(&mut written);
                let wire = snapshot.history(advertiser, None, 7).unwrap();
                assert_eq!(String::from_utf8(written).unwrap(), serde_json::to_string(&wire).unwrap());
            }
        }
    }

    #[test]
    fn answers_that_differ_have_tags_that_differ() {
        let snapshot = snapshot();
        let tag = |advertiser, day: Option<&str>, is_stale, limit| {
            let day = day.map(|day| day.parse().unwrap());
            snapshot.find(advertiser, "TopCTR", day, is_stale).unwrap().tag(limit)
        };
        let tags = [
            tag("plain", None, false, None),
            tag("plain", None, true, None),
            tag("plain", None, false, Some(1)),
            tag("plain", Some("2024-11-20"), false, None),
            tag("held", None, false, None),
            tag(ADVERTISERS[1], None, false, None),
        ];
        for (index, one) in tags.iter().enumerate() {
            assert!(tags[..index].iter().all(|other| other != one), "{index}");
        }
        assert_eq!(tag("held", None, true, None), tag("held", None, false, None), "what is held is stale");
    }
}
