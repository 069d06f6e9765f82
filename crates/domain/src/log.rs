//! The three logs, and what became of each of their lines.

use serde::{Deserialize, Serialize};
use std::{fmt, ops::AddAssign};

/// One of the three logs that land in object storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Log {
    /// The active advertisers: a line is an active advertiser.
    AdvertiserIds,
    /// Ads shown and clicked.
    AdsViews,
    /// Product pages visited.
    ProductViews,
}

impl Log {
    /// The log's name in configuration, files and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AdvertiserIds => "advertiser_ids",
            Self::AdsViews => "ads_views",
            Self::ProductViews => "product_views",
        }
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a line is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// The line has another number of fields than the header.
    FieldCount,
    /// An advertiser or product id is empty.
    EmptyId,
    /// An advertiser or product id has more than 255 bytes.
    IdTooLong,
    /// An id holds a NUL character, which databases cannot store.
    NulInId,
    /// `type` is neither `impression` nor `click`.
    UnknownType,
    /// `date` is not a date, or one that does not exist.
    BadDate,
    /// A quote stands inside an unquoted field, is followed by text, or is never closed.
    BadQuoting,
    /// A field that is needed is not UTF-8, or anything of a line of JSON.
    NotUtf8,
    /// The line has more bytes than the reader keeps.
    LineTooLong,
    /// The line of JSON is not one object, whole and valid.
    BadJson,
    /// A member that is needed is not in the object, or null.
    MissingMember,
    /// A member that is needed is in the object more than once.
    RepeatedMember,
    /// A member that is needed is neither text nor a whole number.
    NotText,
}

impl RejectReason {
    /// Every reason, in the order of [`Rejects::iter`].
    pub const ALL: [Self; 13] = [
        Self::FieldCount,
        Self::EmptyId,
        Self::IdTooLong,
        Self::NulInId,
        Self::UnknownType,
        Self::BadDate,
        Self::BadQuoting,
        Self::NotUtf8,
        Self::LineTooLong,
        Self::BadJson,
        Self::MissingMember,
        Self::RepeatedMember,
        Self::NotText,
    ];

    /// The reason in JSON and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FieldCount => "field_count",
            Self::EmptyId => "empty_id",
            Self::IdTooLong => "id_too_long",
            Self::NulInId => "nul_in_id",
            Self::UnknownType => "unknown_type",
            Self::BadDate => "bad_date",
            Self::BadQuoting => "bad_quoting",
            Self::NotUtf8 => "not_utf8",
            Self::LineTooLong => "line_too_long",
            Self::BadJson => "bad_json",
            Self::MissingMember => "missing_member",
            Self::RepeatedMember => "repeated_member",
            Self::NotText => "not_text",
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::FieldCount => "field count",
            Self::EmptyId => "empty id",
            Self::IdTooLong => "id too long",
            Self::NulInId => "NUL in an id",
            Self::UnknownType => "unknown type",
            Self::BadDate => "bad date",
            Self::BadQuoting => "bad quoting",
            Self::NotUtf8 => "not UTF-8",
            Self::LineTooLong => "line too long",
            Self::BadJson => "bad JSON",
            Self::MissingMember => "missing member",
            Self::RepeatedMember => "repeated member",
            Self::NotText => "not text",
        };
        f.write_str(words)
    }
}

/// Rejected lines by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rejects([u64; RejectReason::ALL.len()]);

impl Rejects {
    /// Counts one more line rejected for `reason`.
    pub fn add(&mut self, reason: RejectReason, lines: u64) {
        self.0[reason as usize] += lines;
    }

    /// Lines rejected for `reason`.
    #[must_use]
    pub fn of(&self, reason: RejectReason) -> u64 {
        self.0[reason as usize]
    }

    /// Lines rejected for any reason.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The reasons that rejected at least one line, with how many.
    pub fn iter(&self) -> impl Iterator<Item = (RejectReason, u64)> {
        RejectReason::ALL.into_iter().zip(self.0).filter(|(_, lines)| *lines > 0)
    }
}

impl AddAssign for Rejects {
    fn add_assign(&mut self, other: Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

/// JSON: `{"bad_date": 3}`, only the reasons that occurred.
impl Serialize for Rejects {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(reason, lines)| (reason.name(), lines)))
    }
}

impl<'de> Deserialize<'de> for Rejects {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let by_reason = std::collections::BTreeMap::<RejectReason, u64>::deserialize(deserializer)?;
        let mut rejects = Self::default();
        for (reason, lines) in by_reason {
            rejects.add(reason, lines);
        }
        Ok(rejects)
    }
}

/// What became of the lines read for one day: `read = kept + inactive + other_days + rejected`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Lines that hold a record, good or bad; the header and blank lines are none.
    pub read: u64,
    /// Counted: the day's events of active advertisers.
    pub kept: u64,
    /// The day's events of advertisers that are not active.
    pub inactive: u64,
    /// Events of other days, in objects that hold several.
    pub other_days: u64,
    /// Lines that could not be understood, by reason.
    pub rejected: Rejects,
    /// Lines without any text, which are no records.
    pub blank: u64,
}

impl Tally {
    /// Rejected ÷ read; 0 when nothing was read.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share is compared with a threshold")]
    pub fn rejected_ratio(&self) -> f64 {
        if self.read == 0 { 0.0 } else { self.rejected.total() as f64 / self.read as f64 }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.read += other.read;
        self.kept += other.kept;
        self.inactive += other.inactive;
        self.other_days += other.other_days;
        self.rejected += other.rejected;
        self.blank += other.blank;
    }
}

/// A rejected line, kept as an example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectExample {
    /// The object's name.
    pub object: String,
    /// The physical line on which the record begins; the object's first line is 1.
    pub line: u64,
    /// Why it was rejected.
    pub reason: RejectReason,
    /// The start of the line, with bytes that are not UTF-8 replaced.
    pub text: String,
}
