//! The configured name of a log's objects: a name, a glob, or a template of a day.
//!
//! Text enters once and is checked; what leaves says of an object's name whether it is meant. No
//! object is looked at here.

use domain::Day;
use globset::{GlobBuilder, GlobMatcher};

const PLACEHOLDERS: [&str; 4] = ["{day}", "{yyyy}", "{mm}", "{dd}"];

/// Which objects of a location hold a log.
///
/// Matched against names relative to the location. `*` and `?` do not cross a `/`, `**` does,
/// `[…]` is one of some characters. A pattern that matches a folder takes everything below it.
/// `{day}` (YYYY-MM-DD), `{yyyy}`, `{mm}` and `{dd}` stand for the day asked for. Names with a part
/// that begins with `_` or `.` are taken only when the pattern spells that part's beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPattern {
    text: String,
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The text is empty.
    #[error(
        "the pattern is empty: expected an object's name, a glob like ads_views*, or a template with {{day}}"
    )]
    Empty,
    /// A placeholder is not known.
    #[error("{pattern:?} has the unknown placeholder {placeholder}: known are {}", PLACEHOLDERS.join(", "))]
    UnknownPlaceholder {
        /// The pattern.
        pattern: String,
        /// The placeholder, braces included.
        placeholder: String,
    },
    /// The pattern points outside the location.
    #[error(
        "{pattern:?} is not a name inside the input location: it may not begin with /, hold //, or have . or .. as a folder"
    )]
    NotInside {
        /// The pattern.
        pattern: String,
    },
    /// The glob is malformed.
    #[error("{pattern:?} is not a glob: {reason}")]
    BadGlob {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        reason: String,
    },
}

impl LogPattern {
    /// Checks a configured pattern.
    ///
    /// # Errors
    /// [`PatternError`] when it is empty, points outside the location, or is malformed.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let text = text.strip_prefix("./").unwrap_or(text);
        let text = text.strip_suffix('/').unwrap_or(text);
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        let pattern = text.to_owned();
        if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(PatternError::NotInside { pattern });
        }
        if let Some(placeholder) = unknown_placeholder(text) {
            return Err(PatternError::UnknownPlaceholder { pattern, placeholder: placeholder.to_owned() });
        }
        // A day is digits and hyphens, so any text of that kind shows whether the filled glob is one.
        match NamePattern::new(
            &PLACEHOLDERS.iter().fold(pattern.clone(), |text, name| text.replace(name, "2024")),
        ) {
            Ok(_) => Ok(Self { text: pattern }),
            Err(error) => Err(PatternError::BadGlob { pattern, reason: error.kind().to_string() }),
        }
    }

    /// The pattern as configured.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The pattern with the placeholders replaced.
    #[must_use]
    pub fn filled(&self, day: Day) -> String {
        let text = day.to_string();
        let values = [text.as_str(), &text[..4], &text[5..7], &text[8..]];
        PLACEHOLDERS
            .iter()
            .zip(values)
            .fold(self.text.clone(), |text, (name, value)| text.replace(name, value))
    }

    /// Whether filling in a day makes a pattern that means no other day.
    #[must_use]
    pub fn names_a_day(&self) -> bool {
        let has = |name: &str| self.text.contains(name);
        has("{day}") || (has("{yyyy}") && has("{mm}") && has("{dd}"))
    }

    pub(crate) fn names(&self, day: Day) -> NamePattern {
        NamePattern::new(&self.filled(day)).expect("a parsed pattern is a glob whatever the day")
    }
}

impl std::fmt::Display for LogPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// The first `{…}` that is none of ours; the braces would mean alternatives to the glob.
fn unknown_placeholder(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(start) = rest.find(['{', '}']) {
        rest = &rest[start..];
        match PLACEHOLDERS.iter().find_map(|name| rest.strip_prefix(name)) {
            Some(after) => rest = after,
            None => return Some(rest.find('}').map_or(rest, |end| &rest[..=end])),
        }
    }
    None
}

/// A pattern without placeholders, ready to match.
#[derive(Debug)]
pub(crate) struct NamePattern {
    text: String,
    glob: GlobMatcher,
    /// The pattern's parts that begin with `_` or `.`.
    hidden_parts: Vec<(char, GlobMatcher)>,
}

impl NamePattern {
    fn new(text: &str) -> Result<Self, globset::Error> {
        let parts = text.split('/').filter_map(|part| Some((hidden_mark(part)?, part)));
        let hidden_parts = parts.map(|(mark, part)| Ok((mark, glob(part)?))).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), glob: glob(text)?, hidden_parts })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// What every name that matches begins with.
    pub(crate) fn literal_prefix(&self) -> &str {
        let end = self.text.find(['*', '?', '[', ']', '\\']).unwrap_or(self.text.len());
        &self.text[..end]
    }

    /// Whether the object of this name is meant.
    pub(crate) fn takes(&self, name: &str) -> bool {
        let mut folders = name.match_indices('/').map(|(end, _)| &name[..end]);
        let matches = self.glob.is_match(name) || folders.any(|folder| self.glob.is_match(folder));
        matches && name.split('/').all(|part| self.may_take_part(part))
    }

    fn may_take_part(&self, part: &str) -> bool {
        hidden_mark(part).is_none_or(|mark| {
            self.hidden_parts.iter().any(|(known, glob)| *known == mark && glob.is_match(part))
        })
    }
}

fn glob(text: &str) -> Result<GlobMatcher, globset::Error> {
    let glob = GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build()?;
    Ok(glob.compile_matcher())
}

/// The character that marks a name as not being data: Spark's `_SUCCESS`, a `.crc`.
fn hidden_mark(part: &str) -> Option<char> {
    part.chars().next().filter(|first| matches!(first, '_' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names, separated by spaces, that the pattern takes on 2024-11-20.
    fn taken(pattern: &str, names: &str) -> String {
        let names_meant = LogPattern::parse(pattern).unwrap().names("2024-11-20".parse().unwrap());
        let meant = names.split(' ').filter(|name| names_meant.takes(name));
        for name in meant.clone() {
            assert!(name.starts_with(names_meant.literal_prefix()));
        }
        meant.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_pattern_takes_names_and_what_lies_below_folders() {
        let all = "ads_views.csv ads_views-2024-11-20.csv ads_views/date=2024-11-20/part-0.csv \
                   old/ads_views.csv product_views.csv";
        assert_eq!(
            taken("ads_views*", all),
            "ads_views.csv ads_views-2024-11-20.csv ads_views/date=2024-11-20/part-0.csv"
        );
        assert_eq!(taken("ads_views", all), "ads_views/date=2024-11-20/part-0.csv");
        assert_eq!(taken("./ads_views/", all), "ads_views/date=2024-11-20/part-0.csv");
        assert_eq!(taken("ads_views.csv", all), "ads_views.csv");
        assert_eq!(taken("*/*.csv", all), "old/ads_views.csv");
        assert_eq!(taken("**/ads_views.csv", all), "ads_views.csv old/ads_views.csv");
        assert_eq!(taken("ads_views-{day}.csv", all), "ads_views-2024-11-20.csv");
        assert_eq!(taken("ads_views/date={yyyy}-{mm}-{dd}", all), "ads_views/date=2024-11-20/part-0.csv");
    }

    #[test]
    fn globs_have_classes_and_escapes() {
        assert_eq!(taken("part-[0-2].csv", "part-1.csv part-3.csv"), "part-1.csv");
        assert_eq!(taken("part-[!0-2].csv", "part-1.csv part-3.csv"), "part-3.csv");
        assert_eq!(taken("part-?.csv", "part-1.csv part-12.csv"), "part-1.csv");
        assert_eq!(taken("a[*].csv", "a*.csv ab.csv"), "a*.csv");
        assert_eq!(taken(r"a\*.csv", "a*.csv ab.csv"), "a*.csv");
    }

    #[test]
    fn names_that_are_no_data_are_left_unless_spelled() {
        let all = "v/_SUCCESS v/.part-0.csv.crc v/part-0.csv v/_temporary/0/part-0.csv _x/part-0.csv";
        assert_eq!(taken("v", all), "v/part-0.csv");
        assert_eq!(taken("**", all), "v/part-0.csv");
        assert_eq!(taken("*/part-0.csv", all), "v/part-0.csv");
        assert_eq!(taken("v/_SUCCESS", all), "v/_SUCCESS");
        assert_eq!(taken("v/.part*", all), "v/.part-0.csv.crc");
        assert_eq!(taken("_*", all), "_x/part-0.csv");
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        let error = |text| LogPattern::parse(text).unwrap_err().to_string();
        assert_eq!(
            error("ads-{date}.csv"),
            r#""ads-{date}.csv" has the unknown placeholder {date}: known are {day}, {yyyy}, {mm}, {dd}"#
        );
        assert_eq!(LogPattern::parse(""), Err(PatternError::Empty));
        for outside in ["/data/x.csv", "../x.csv", "a/../b", "a//b", "s3://bucket/x", "."] {
            let pattern = outside.to_owned();
            assert_eq!(LogPattern::parse(outside), Err(PatternError::NotInside { pattern }), "{outside}");
        }
        assert!(error("ads[").starts_with(r#""ads[" is not a glob: "#));
        assert!(LogPattern::parse("{a,b}").is_err() && LogPattern::parse("a}").is_err());
    }
}
