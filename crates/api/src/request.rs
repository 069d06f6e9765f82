//! What a request asks: path segments, decoded exactly once, and query parameters, each known.
//!
//! Nothing is guessed or skipped: an escape that is none, bytes that are not UTF-8, a parameter that
//! the route does not know or that comes twice are a [`Problem`].

use crate::problem::Problem;
use axum::http::Uri;
use domain::Day;
use std::{borrow::Cow, ops::RangeInclusive};

/// The path's segment at `index`, counted from the first after the leading slash, as it was sent.
///
/// # Panics
/// When the path has fewer segments, which its route rules out.
pub(crate) fn raw_segment(uri: &Uri, index: usize) -> &str {
    uri.path().split('/').nth(index + 1).expect("the route has this segment")
}

/// A segment, decoded.
pub(crate) fn segment(raw: &str) -> Result<Cow<'_, str>, Problem> {
    decoded(raw).map_err(|why| Problem::BadParameter(format!("the path segment {raw:?} {why}")))
}

pub(crate) fn decoded(raw: &str) -> Result<Cow<'_, str>, &'static str> {
    if raw.is_empty() {
        return Err("is empty: an id has at least one byte");
    }
    unescaped(raw)
}

/// The text of which each `%` and the two digits behind it are one byte.
fn unescaped(raw: &str) -> Result<Cow<'_, str>, &'static str> {
    if !raw.as_bytes().contains(&b'%') {
        return Ok(Cow::Borrowed(raw));
    }
    let mut decoded = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let (high, low) = (digit(bytes.next()), digit(bytes.next()));
            let value =
                high.zip(low).ok_or("has a % that two hexadecimal digits do not follow: encode % as %25")?;
            (value.0 * 16 + value.1) as u8
        } else {
            byte
        });
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| "does not decode to UTF-8")
}

/// The query's parameters, each known to the route and there at most once.
#[derive(Debug)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// The parameters of `uri`, of which the route knows `known`.
    pub(crate) fn of(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        let mut parameters = Vec::new();
        for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (of_form(name)?, of_form(value)?);
            if !known.contains(&name.as_str()) {
                return Err(Problem::BadParameter(unknown_parameter(&name, known)));
            }
            if parameters.iter().any(|(earlier, _)| *earlier == name) {
                return Err(Problem::BadParameter(format!("parameter {name} comes twice: send it once")));
            }
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    /// The value of `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The value of `name` as a day.
    pub(crate) fn day(&self, name: &str) -> Result<Option<Day>, Problem> {
        let parse = |text: &str| text.parse().map_err(|_| Problem::BadDay(text.to_owned()));
        self.get(name).map(parse).transpose()
    }

    /// The value of `name` as a number of `range`.
    pub(crate) fn number(&self, name: &str, range: RangeInclusive<usize>) -> Result<Option<usize>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| {
            let (min, max) = range.into_inner();
            Problem::BadParameter(format!(
                "parameter {name} is {text:?}: expected a number from {min} to {max}"
            ))
        })
    }
}

/// A name or a value of a query, as forms write it: `+` is a space too.
fn of_form(raw: &str) -> Result<String, Problem> {
    let spaced = raw.replace('+', " ");
    let text = unescaped(&spaced).map(Cow::into_owned);
    text.map_err(|why| Problem::BadParameter(format!("the query cannot be understood: {raw:?} {why}")))
}

fn unknown_parameter(name: &str, known: &[&str]) -> String {
    match known {
        [] => format!("there is no parameter {name:?} here: this route has none"),
        known => format!("there is no parameter {name:?} here: the parameters are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_decoded_exactly_once() {
        let cases = [
            ("a", Ok("a")),
            ("a+b", Ok("a+b")),
            ("a%20b", Ok("a b")),
            ("%2Fa%2fb", Ok("/a/b")),
            ("%2525", Ok("%25")),
            ("..", Ok("..")),
            ("%22%0A", Ok("\"\n")),
            ("%E5%95%86", Ok("商")),
            ("", Err(())),
            ("%", Err(())),
            ("%4", Err(())),
            ("%zz", Err(())),
            ("%+1", Err(())),
            ("%FF", Err(())),
        ];
        for (raw, expected) in cases {
            assert_eq!(decoded(raw).map_err(drop).as_deref(), expected.as_ref().map(|text| *text), "{raw}");
        }
    }

    #[test]
    fn parameters_are_known_and_come_once() {
        let check = |query: &str| {
            let uri = format!("/x?{query}").parse().unwrap();
            Parameters::of(&uri, &["day", "limit"])
                .and_then(|p| Ok((p.day("day")?.map(|day| day.to_string()), p.number("limit", 1..=1000)?)))
                .map_err(|problem| problem.to_string())
        };
        assert_eq!(check(""), Ok((None, None)));
        assert_eq!(check("limit=1000&day=2024-02-29"), Ok((Some("2024-02-29".to_owned()), Some(1000))));
        assert_eq!(
            check("day=2023-02-29"),
            Err("day \"2023-02-29\" is not a day: expected YYYY-MM-DD, a date that exists".to_owned())
        );
        assert_eq!(
            check("limit=1001"),
            Err("parameter limit is \"1001\": expected a number from 1 to 1000".to_owned())
        );
        assert_eq!(
            check("dya=2024-02-29"),
            Err("there is no parameter \"dya\" here: the parameters are day, limit".to_owned())
        );
        assert_eq!(check("&&limit=1&"), Ok((None, Some(1))));
        assert_eq!(check("d%61y=2024%2D02-29"), Ok((Some("2024-02-29".to_owned()), None)));
        assert_eq!(
            check("day=%FF"),
            Err("the query cannot be understood: \"%FF\" does not decode to UTF-8".to_owned())
        );
        let no_escape = "has a % that two hexadecimal digits do not follow: encode % as %25";
        assert_eq!(check("%zz"), Err(format!("the query cannot be understood: \"%zz\" {no_escape}")));
        assert_eq!(check("limit=1&limit=1"), Err("parameter limit comes twice: send it once".to_owned()));
    }
}
