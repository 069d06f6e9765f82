//! The name of a run.

use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Names one attempt to produce a day: `20241121T023000Z-3f9a1c2e`, when it started (UTC) and a
/// random part. Ids sort by start.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(Box<str>);

/// A text is not a run id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a run id: expected one like 20241121T023000Z-3f9a1c2e")]
pub struct RunIdError(pub String);

impl RunId {
    /// The id of a run that starts at `started_at`; `random` tells apart runs of the same second.
    #[must_use]
    pub fn new(started_at: Timestamp, random: u32) -> Self {
        let start = started_at.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ");
        Self(format!("{start}-{random:08x}").into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RunId {
    type Err = RunIdError;
    fn from_str(text: &str) -> Result<Self, RunIdError> {
        let shape = text.len() == 25
            && text.bytes().enumerate().all(|(i, byte)| match i {
                8 => byte == b'T',
                15 => byte == b'Z',
                16 => byte == b'-',
                17.. => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
                _ => byte.is_ascii_digit(),
            });
        if shape { Ok(Self(text.into())) } else { Err(RunIdError(text.to_owned())) }
    }
}

impl TryFrom<String> for RunId {
    type Error = RunIdError;
    fn try_from(text: String) -> Result<Self, RunIdError> {
        text.parse()
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> String {
        id.0.into()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_as_its_start_and_parses_back() {
        let id = RunId::new("2024-11-21T02:30:00Z".parse().unwrap(), 0x3f9a_1c2e);
        assert_eq!(id.as_str(), "20241121T023000Z-3f9a1c2e");
        assert_eq!(id.as_str().parse(), Ok(id));
        assert!("20241121T023000Z".parse::<RunId>().is_err());
    }
}
