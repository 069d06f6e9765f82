//! The bytes of one ranking.
//!
//! One byte tells where the scores come from, for all rows alike: 0, each is the views; 1, each is clicks ÷
//! impressions; 2, each row carries its own; 3, the same, and each is a whole number, written as counts are. Then a row each product, best first: the length of its id in one byte,
//! the id, the score when rows carry it (in form 2 as eight bytes, lowest first), and impressions, clicks and views in seven
//! bits a byte (lowest first, the highest bit says that more follow, as few bytes as the number needs). No ranking has
//! no bytes at all. The same ranking always gives the same bytes.

use domain::{Counts, ID_BYTES_MAX};
use std::collections::HashSet;

const IS_VIEWS: u8 = 0;
const IS_CTR: u8 = 1;
const IS_GIVEN: u8 = 2;
const IS_WHOLE: u8 = 3;

/// Whole numbers below it are told apart by `f64`.
const WHOLE_END: f64 = 9_007_199_254_740_992.0;

/// Products of a ranking that are each compared with all before.
const MANY: usize = 64;

/// One product of a ranking.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row<'a> {
    /// The product.
    pub product_id: &'a str,
    /// What the model orders by.
    pub score: f64,
    /// The counts the score was made of.
    pub counts: Counts,
}

/// The ranking of one advertiser by one model, as the bytes that it is.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct PackedRanking<'a>(&'a [u8]);

impl<'a> PackedRanking<'a> {
    /// Bytes that [`Checker::check`] has found to be one, or none.
    pub(super) fn of_checked(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Its bytes: equal for equal rankings.
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// Its products, best first.
    #[must_use]
    pub fn rows(self) -> Rows<'a> {
        match self.0.split_first() {
            Some((form, rest)) => Rows { form: *form, rest },
            None => Rows { form: IS_VIEWS, rest: &[] },
        }
    }

    /// The ids of the products, best first, for those who only compare them.
    pub fn product_ids(self) -> impl Iterator<Item = &'a [u8]> {
        let Rows { form, mut rest } = self.rows();
        std::iter::from_fn(move || {
            let row = (!rest.is_empty()).then(|| take_row(form, &mut rest));
            row.map(|row| row.expect("a ranking was checked when it was packed").id)
        })
    }
}

impl std::fmt::Debug for PackedRanking<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.rows()).finish()
    }
}

/// The rows of one ranking, best first.
#[derive(Debug, Clone)]
pub struct Rows<'a> {
    form: u8,
    rest: &'a [u8],
}

impl<'a> Iterator for Rows<'a> {
    type Item = Row<'a>;

    fn next(&mut self) -> Option<Row<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let row = take_row(self.form, &mut self.rest).expect("a ranking was checked when it was packed");
        let product_id = std::str::from_utf8(row.id).expect("and so were its ids");
        let score = implied(self.form, row.counts).unwrap_or(row.given_score);
        Some(Row { product_id, score, counts: row.counts })
    }
}

/// Appends the bytes of a ranking. Ids have 1–255 bytes, scores are finite.
pub(super) fn pack<'a>(rows: impl Iterator<Item = Row<'a>> + Clone, bytes: &mut Vec<u8>) {
    let form = form(rows.clone());
    bytes.push(form);
    for row in rows {
        bytes.push(u8::try_from(row.product_id.len()).expect("an id has at most 255 bytes"));
        bytes.extend_from_slice(row.product_id.as_bytes());
        match form {
            IS_GIVEN => bytes.extend_from_slice(&positive(row.score).to_le_bytes()),
            IS_WHOLE => push_count(bytes, whole(row.score).expect("the form says so")),
            _ => (),
        }
        let Counts { impressions, clicks, views } = row.counts;
        [impressions, clicks, views].into_iter().for_each(|count| push_count(bytes, count));
    }
}

/// The first form that gives every score to the bit.
fn form<'a>(rows: impl Iterator<Item = Row<'a>> + Clone) -> u8 {
    let is = |form| {
        let is_row = |row: Row<'_>| {
            implied(form, row.counts).is_some_and(|score| score.to_bits() == positive(row.score).to_bits())
        };
        rows.clone().all(is_row)
    };
    let implied = [IS_VIEWS, IS_CTR].into_iter().find(|form| is(*form));
    implied.unwrap_or_else(|| {
        if rows.clone().all(|row| whole(row.score).is_some()) { IS_WHOLE } else { IS_GIVEN }
    })
}

/// The score without its fraction, when it has none and is not negative.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, and from 0 to 2^53")]
fn whole(score: f64) -> Option<u64> {
    (score.fract() == 0.0 && (0.0..WHOLE_END).contains(&score)).then_some(score as u64)
}

/// The score that counts give; none in the form that gives it in each row.
#[expect(clippy::cast_precision_loss, reason = "scores are made so")]
fn implied(form: u8, counts: Counts) -> Option<f64> {
    match form {
        IS_VIEWS => Some(counts.views as f64),
        IS_CTR => Some(counts.clicks as f64 / counts.impressions as f64),
        _ => None,
    }
}

/// The score without a negative zero, which equals zero and which SQLite does not keep.
fn positive(score: f64) -> f64 {
    score + 0.0
}

/// Finds out whether bytes are one ranking.
#[derive(Debug, Default)]
pub(super) struct Checker {
    hashes: Vec<u64>,
}

impl Checker {
    /// Looks at every byte; says what is wrong in words that follow "the ranking".
    pub(super) fn check(&mut self, bytes: &[u8]) -> Result<(), String> {
        let (form, mut rest) = match bytes.split_first() {
            Some((form @ IS_VIEWS..=IS_WHOLE, rest)) if !rest.is_empty() => (*form, rest),
            Some((_, [])) | None => return Err("has no product".into()),
            Some((form, _)) => return Err(format!("is of the unknown form {form}")),
        };
        self.hashes.clear();
        let mut may_repeat = false;
        while !rest.is_empty() {
            let row = take_row(form, &mut rest)?;
            let (hash, is_ascii) = hash(row.id);
            if !is_ascii {
                std::str::from_utf8(row.id).map_err(|_| "has a product id that is not UTF-8")?;
            }
            row.check_score(form)?;
            if self.hashes.len() < MANY {
                may_repeat |= self.hashes.contains(&hash);
            }
            self.hashes.push(hash);
        }
        if self.hashes.len() > MANY {
            self.hashes.sort_unstable();
            may_repeat = self.hashes.windows(2).any(|two| two[0] == two[1]);
        }
        if may_repeat && let Some(twice) = first_twice(PackedRanking(bytes).rows().map(|row| row.product_id))
        {
            return Err(format!("has product {twice:?} twice"));
        }
        Ok(())
    }
}

/// The first id that came before.
pub(crate) fn first_twice<'a>(ids: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = HashSet::new();
    ids.into_iter().find(|id| !seen.insert(*id))
}

/// A number that ids which differ seldom share, and whether the id is ASCII.
fn hash(id: &[u8]) -> (u64, bool) {
    const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
    let (words, _) = id.as_chunks::<8>();
    // The last word of a long id overlaps the one before it.
    let last = match id {
        [.., a, b, c, d, e, f, g, h] => u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
        short => short.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let first = (mix(id.len() as u64, last), last);
    let (hash, bits) = words.iter().fold(first, |(hash, bits), word| {
        let word = u64::from_le_bytes(*word);
        (mix(hash, word), bits | word)
    });
    (hash, bits & HIGH_BITS == 0)
}

struct RawRow<'a> {
    id: &'a [u8],
    /// Zero in forms that do not give it.
    given_score: f64,
    counts: Counts,
}

impl RawRow<'_> {
    /// Whether there is a score, and whether it is written as it should be.
    fn check_score(&self, form: u8) -> Result<(), String> {
        let is_right = match form {
            IS_VIEWS => true,
            IS_CTR => self.counts.impressions > 0,
            IS_WHOLE => self.given_score < WHOLE_END,
            // A negative zero would be another score that is the same.
            _ => self.given_score.is_finite() && self.given_score.to_bits() != (-0.0_f64).to_bits(),
        };
        if is_right {
            return Ok(());
        }
        let score = implied(form, self.counts).unwrap_or(self.given_score);
        Err(format!("scores product {:?} {score:?}", String::from_utf8_lossy(self.id)))
    }
}

fn take_row<'a>(form: u8, rest: &mut &'a [u8]) -> Result<RawRow<'a>, &'static str> {
    const AMID: &str = "ends amid a product";
    let (length, tail) = rest.split_first().ok_or(AMID)?;
    if *length == 0 {
        return Err("has an empty product id");
    }
    let (id, tail) = tail.split_at_checked(usize::from(*length)).ok_or(AMID)?;
    *rest = tail;
    let given_score = match form {
        IS_GIVEN => {
            let (score, tail) = rest.split_first_chunk().ok_or(AMID)?;
            *rest = tail;
            f64::from_le_bytes(*score)
        }
        #[expect(clippy::cast_precision_loss, reason = "what is past 2^53 is refused")]
        IS_WHOLE => take_count(rest)? as f64,
        _ => 0.0,
    };
    let counts =
        Counts { impressions: take_count(rest)?, clicks: take_count(rest)?, views: take_count(rest)? };
    Ok(RawRow { id, given_score, counts })
}

pub(super) fn push_count(bytes: &mut Vec<u8>, mut count: u64) {
    while count >= 0x80 {
        bytes.push((count & 0x7f) as u8 | 0x80);
        count >>= 7;
    }
    bytes.push(count as u8);
}

pub(super) fn take_count(rest: &mut &[u8]) -> Result<u64, &'static str> {
    let (mut count, mut shift) = (0, 0);
    loop {
        let (byte, tail) = rest.split_first().ok_or("ends amid a number")?;
        *rest = tail;
        // The tenth byte has room for one bit, and no number ends in a byte that adds nothing.
        if (shift == 63 && *byte > 1) || (shift > 0 && *byte == 0) {
            return Err("has a number that is too long");
        }
        count |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(count);
        }
        shift += 7;
    }
}

/// Rows of one ranking that come one by one.
#[derive(Debug, Default)]
pub(super) struct RankingBuffer {
    text: String,
    rows: Vec<(usize, f64, Counts)>,
}

impl RankingBuffer {
    /// Takes the row of the next rank; says what is wrong in words that follow "the ranking".
    pub(super) fn push(&mut self, rank: i64, row: Row<'_>) -> Result<(), String> {
        let expected = self.rows.len() + 1;
        if usize::try_from(rank) != Ok(expected) {
            return Err(format!("has rank {rank} where rank {expected} should be"));
        }
        let Row { product_id, score, counts } = row;
        if !(1..=ID_BYTES_MAX).contains(&product_id.len()) {
            return Err(format!("has the product id {product_id:?} of {} bytes", product_id.len()));
        }
        if !score.is_finite() {
            return Err(format!("scores product {product_id:?} {score}"));
        }
        self.text.push_str(product_id);
        self.rows.push((self.text.len(), score, counts));
        Ok(())
    }

    /// The rows since the last call, packed behind the bytes.
    pub(super) fn pack(&mut self, bytes: &mut Vec<u8>) -> Result<(), String> {
        let start = |at: usize| at.checked_sub(1).map_or(0, |before| self.rows[before].0);
        let rows = self.rows.iter().enumerate().map(|(at, (end, score, counts))| Row {
            product_id: &self.text[start(at)..*end],
            score: *score,
            counts: *counts,
        });
        if let Some(twice) = first_twice(rows.clone().map(|row| row.product_id)) {
            return Err(format!("has product {twice:?} twice"));
        }
        pack(rows, bytes);
        self.text.clear();
        self.rows.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counts(impressions: u64, clicks: u64, views: u64) -> Counts {
        Counts { impressions, clicks, views }
    }

    fn packed(rows: &[(&str, f64, Counts)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        pack(
            rows.iter().map(|(id, score, counts)| Row { product_id: id, score: *score, counts: *counts }),
            &mut bytes,
        );
        bytes
    }

    #[track_caller]
    fn check(rows: &[(&str, f64, Counts)], form: u8, length: usize) {
        let bytes = packed(rows);
        assert_eq!((bytes[0], bytes.len()), (form, length));
        Checker::default().check(&bytes).unwrap();
        let back: Vec<_> =
            PackedRanking(&bytes).rows().map(|row| (row.product_id, row.score, row.counts)).collect();
        assert_eq!(back, rows);
    }

    #[test]
    fn a_score_takes_bytes_only_when_counts_do_not_give_it() {
        check(&[("x", 7.0, counts(0, 0, 7)), ("y", 1.0, counts(300, 200, 1))], IS_VIEWS, 1 + 5 + 7);
        check(&[("x", 0.5, counts(2, 1, 0)), ("y", 1.0 / 3.0, counts(3, 1, 9))], IS_CTR, 1 + 5 + 5);
        check(&[("x", 0.5, counts(2, 1, 0)), ("y", 0.25, counts(0, 1, 9))], IS_GIVEN, 1 + 13 + 13);
        check(&[("x", 0.0, counts(0, 0, 0))], IS_VIEWS, 6);
        check(&[("x", 300.0, counts(300, 1, 0)), ("y", 0.0, counts(0, 1, 9))], IS_WHOLE, 1 + 8 + 6);
        check(&[("x", WHOLE_END - 1.0, counts(1, 1, 1))], IS_WHOLE, 1 + 5 + 8);
        check(&[("x", WHOLE_END, counts(1, 1, 1))], IS_GIVEN, 1 + 5 + 8);
        check(&[("x", -1.0, counts(1, 1, 1))], IS_GIVEN, 1 + 5 + 8);
        let longest = "é".repeat(127) + "x";
        check(
            &[(&longest, f64::MAX, counts(u64::MAX, 1 << 63, 1 << 62))],
            IS_GIVEN,
            1 + 256 + 8 + 10 + 10 + 9,
        );
    }

    #[test]
    fn a_negative_zero_is_zero() {
        assert_eq!(packed(&[("x", -0.0, counts(2, 0, 7))]), packed(&[("x", 0.0, counts(2, 0, 7))]));
        assert_eq!(packed(&[("x", -0.0, counts(0, 0, 7))]), packed(&[("x", 0.0, counts(0, 0, 7))]));
    }

    #[test]
    fn what_is_no_ranking_is_told() {
        let refused = |bytes: &[u8]| Checker::default().check(bytes).unwrap_err();
        assert_eq!(refused(&[]), "has no product");
        assert_eq!(refused(&[0]), "has no product");
        assert_eq!(refused(&[4, 1, b'x', 0, 0, 0]), "is of the unknown form 4");
        let past = [&[3, 1, b'x'][..], &[0x80; 7], &[0x10, 0, 0, 0]].concat();
        assert_eq!(refused(&past), "scores product \"x\" 9007199254740992.0");
        assert_eq!(refused(&[0, 0, 0, 0, 0]), "has an empty product id");
        assert_eq!(refused(&[0, 9, b'x', 0, 0, 0]), "ends amid a product");
        assert_eq!(refused(&[2, 1, b'x', 0, 0, 0]), "ends amid a product");
        assert_eq!(refused(&[0, 1, b'x', 0, 0]), "ends amid a number");
        assert_eq!(refused(&[0, 1, b'x', 0x80, 0, 0, 0]), "has a number that is too long");
        assert_eq!(refused(&[0, 1, 0xff, 0, 0, 0]), "has a product id that is not UTF-8");
        assert_eq!(refused(&[1, 1, b'x', 0, 0, 0]), "scores product \"x\" NaN");
        assert_eq!(refused(&[0, 1, b'x', 0, 0, 9, 1, b'x', 0, 0, 8]), "has product \"x\" twice");
        let mut many: Vec<u8> = vec![0];
        (0..100_u8).for_each(|id| many.extend([1, id, 0, 0, 0]));
        Checker::default().check(&many).unwrap();
        many.extend([1, 7, 0, 0, 0]);
        assert_eq!(refused(&many), "has product \"\\u{7}\" twice");
        let minus = [&[2, 1, b'x'][..], &(-0.0_f64).to_le_bytes(), &[0, 0, 0]].concat();
        assert_eq!(refused(&minus), "scores product \"x\" -0.0");
    }

    #[test]
    fn rows_that_come_one_by_one_are_checked() {
        let row = |product_id, score| Row { product_id, score, counts: counts(2, 1, 0) };
        let mut buffer = RankingBuffer::default();
        assert_eq!(buffer.push(2, row("x", 0.5)).unwrap_err(), "has rank 2 where rank 1 should be");
        buffer.push(1, row("x", 0.5)).unwrap();
        assert_eq!(buffer.push(1, row("y", 0.5)).unwrap_err(), "has rank 1 where rank 2 should be");
        assert_eq!(buffer.push(2, row("", 0.5)).unwrap_err(), "has the product id \"\" of 0 bytes");
        assert_eq!(buffer.push(2, row("y", f64::INFINITY)).unwrap_err(), "scores product \"y\" inf");
        buffer.push(2, row("y", 0.25)).unwrap();
        let mut bytes = Vec::new();
        buffer.pack(&mut bytes).unwrap();
        assert_eq!(bytes, packed(&[("x", 0.5, counts(2, 1, 0)), ("y", 0.25, counts(2, 1, 0))]));
        buffer.push(1, row("x", 0.5)).unwrap();
        buffer.push(2, row("x", 0.5)).unwrap();
        assert_eq!(buffer.pack(&mut bytes).unwrap_err(), "has product \"x\" twice");
    }

    proptest! {
        #[test]
        fn junk_is_refused_or_is_the_bytes_of_what_it_says(
            form in 0..5_u8, tail in proptest::collection::vec(prop_oneof![0..4_u8, any::<u8>()], 0..40),
        ) {
            let bytes = [&[form][..], &tail].concat();
            if Checker::default().check(&bytes).is_ok() {
                let rows: Vec<_> = PackedRanking(&bytes).rows().map(|row| (row.product_id, row.score, row.counts)).collect();
                let again = packed(&rows);
                // A form may be spelled out where a shorter one would do.
                prop_assert!(again == bytes || again[0] != form);
            }
        }
    }
}
