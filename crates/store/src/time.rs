//! Moments as both databases keep them: UTC, to the millisecond, in one text form.

use crate::error::Failure;
use jiff::Timestamp;

/// `timestamp` without what is finer than a millisecond, which no database keeps.
pub(crate) fn to_millisecond(timestamp: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(timestamp.as_millisecond()).expect("a coarser timestamp is in range")
}

/// `2024-11-21T02:30:00.000Z`: of one width, so that it sorts as text.
pub(crate) fn to_text(timestamp: Timestamp) -> String {
    format!("{:.3}", to_millisecond(timestamp))
}

/// Reads back [`to_text`].
pub(crate) fn from_text(text: &str) -> Result<Timestamp, Failure> {
    text.parse().map_err(|_| Failure::corrupt("a timestamp", text))
}

/// The time in milliseconds since 1970.
pub(crate) fn from_millisecond(millisecond: i64) -> Result<Timestamp, Failure> {
    let timestamp = Timestamp::from_millisecond(millisecond);
    timestamp.map_err(|_| Failure::corrupt("a timestamp", &millisecond.to_string()))
}
