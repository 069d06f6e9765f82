//! Content codings (RFC 9110, 8.4.1): answers as they are, or compressed with gzip for those who ask so.

use axum::http::{HeaderMap, header};
use flate2::{
    Compression,
    write::{GzDecoder, GzEncoder},
};
use std::io::Write;

/// Shorter answers fit into a packet anyway, and are sent as they are.
const GZIP_BYTES_MIN: usize = 1000;

/// How an answer is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
}

impl Coding {
    /// The one that the client prefers: gzip when it accepts it.
    pub(crate) fn of(request: &HeaderMap) -> Self {
        let values = request.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let mut offers = values.flat_map(|value| value.split(',')).map(|offer| {
            let mut parts = offer.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let quality = parts
                .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
                .map_or(Ok(1.0), str::parse::<f32>);
            (name, quality.is_ok_and(|quality| quality > 0.0))
        });
        let accepts = offers.any(|(name, is_accepted)| is_accepted && name.eq_ignore_ascii_case("gzip"));
        if accepts { Self::Gzip } else { Self::Identity }
    }

    /// `answer` in this coding; none when it is to be sent as it is.
    pub(crate) fn encode(self, answer: &[u8]) -> Option<Vec<u8>> {
        if self == Self::Identity || answer.len() < GZIP_BYTES_MIN {
            return None;
        }
        // The same for all, kept or not: a tag names the same bytes on every server.
        let mut encoder = GzEncoder::new(Vec::with_capacity(answer.len() / 4), Compression::fast());
        encoder.write_all(answer).expect("a Vec takes any bytes");
        Some(encoder.finish().expect("a Vec takes any bytes"))
    }
}

/// What was compressed with gzip by ourselves, as it was before.
pub(crate) fn decompressed(gzip: &[u8]) -> Vec<u8> {
    let mut decoder = GzDecoder::new(Vec::with_capacity(gzip.len() * 4));
    decoder.write_all(gzip).and_then(|()| decoder.finish()).expect("what was compressed comes back")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_taken_where_it_is_accepted() {
        let coding = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::ACCEPT_ENCODING, value.parse().unwrap());
            }
            Coding::of(&headers)
        };
        for accepts in
            [&["gzip"][..], &["br, GZIP;q=0.5"], &["deflate", "gzip ; q=1"], &["identity, gzip;q=0.001"]]
        {
            assert_eq!(coding(accepts), Coding::Gzip, "{accepts:?}");
        }
        for refuses in [
            &[][..],
            &[""],
            &["br"],
            &["gzip;q=0"],
            &["gzip;Q=0"],
            &["gzip; q=0.0, br"],
            &["gzip;q=x"],
            &["xgzip"],
        ] {
            assert_eq!(coding(refuses), Coding::Identity, "{refuses:?}");
        }
    }
}
