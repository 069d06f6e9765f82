//! The target of a request, read as the server reads it and naively, for any bytes: what the fuzz target `target` runs.

use crate::{
    front::ids_of_one_ranking,
    request::{Parameters, decoded, raw_segment},
    telemetry::RECOMMENDATIONS,
};
use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, Uri},
    routing::get,
};
use futures::FutureExt;
use std::sync::LazyLock;
use tower::ServiceExt;

/// Parameters that a route may know.
const KNOWN: [&str; 3] = ["day", "limit", "a b"];

/// A router that knows one ranking, with and without a slash at the end, as the server's does.
static ROUTER: LazyLock<Router> = LazyLock::new(|| {
    let found = get(|| async {});
    Router::new().route(RECOMMENDATIONS, found.clone()).route(&format!("{RECOMMENDATIONS}/"), found)
});

/// Reads the bytes as a request's target.
///
/// # Panics
/// When a segment or parameter is another than a naive reading has, or what goes past the router is not what it would
/// have taken.
pub fn check_target(bytes: &[u8]) {
    let Ok(uri) = Uri::try_from(bytes) else { return };
    for raw in uri.path().split('/') {
        let expected = Some(raw).filter(|raw| !raw.is_empty()).and_then(unescaped);
        assert_eq!(decoded(raw).ok().as_deref(), expected.as_deref(), "{raw:?}");
    }
    let read = Parameters::of(&uri, &KNOWN).ok();
    let read = read.map(|parameters| KNOWN.map(|name| parameters.get(name).map(str::to_owned)));
    assert_eq!(read, parameters(uri.query().unwrap_or_default()), "{uri}");
    // The router takes empty ids too, which are then refused: that is left to it.
    let has_ids = uri.path().split('/').skip(2).take(2).all(|id| !id.is_empty());
    let ids = ids_of_one_ranking(&uri);
    assert_eq!(ids.is_some(), is_routed(&uri) && has_ids, "{uri}");
    if let Some(ids) = ids {
        assert_eq!(ids, [1, 2].map(|index| raw_segment(&uri, index)), "what the route would have taken");
    }
}

/// The text of which every `%` and the two digits behind it are one byte.
fn unescaped(raw: &str) -> Option<String> {
    let mut parts = raw.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).expect("they are digits"));
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

/// The value of each parameter that is known; nothing when there is another, or one twice.
fn parameters(query: &str) -> Option<[Option<String>; 3]> {
    let mut values = [const { None }; 3];
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let mut ends = pair.splitn(2, '=').map(|end| unescaped(&end.replace('+', " ")));
        let (name, value) = (ends.next()??, ends.next().unwrap_or(Some(String::new()))?);
        let index = KNOWN.iter().position(|known| *known == name)?;
        if values[index].replace(value).is_some() {
            return None;
        }
    }
    Some(values)
}

fn is_routed(uri: &Uri) -> bool {
    let request = Request::builder().uri(uri.clone()).body(Body::empty()).expect("it is a target");
    let answered = ROUTER.clone().oneshot(request).now_or_never().expect("nothing waits");
    answered.is_ok_and(|answer| answer.status() == StatusCode::OK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::segment;
    use proptest::prelude::*;
    use std::{fs, path::Path};

    /// What targets are made of where they are hard to read.
    fn part() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z]{1,3}",
            "(/|//|%2F|%2f|%|%%|%4|%zz|%25|%00|%FF|%C3|%BC|%E5%95%86|\\+|\\.\\.|~|:|@|é|商)",
            "(/recommendations/|/recommendations|/acme/TopCTR|\\?|&|=|&&|#|\\*)",
            "(day=|limit=|a%20b=|a\\+b=|d%61y=|other=)",
            "%[0-9a-fA-F]{2}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn targets_are_read_as_a_naive_reading_reads_them(parts in prop::collection::vec(part(), 0..12)) {
            for start in ["/", "/recommendations/", "/stats/?", "http://a/recommendations/", ""] {
                check_target(format!("{start}{}", parts.concat()).as_bytes());
            }
        }

        #[test]
        fn any_id_comes_back_from_its_escapes(id in "\\PC{1,12}") {
            let escaped: String = id.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let uri: Uri = format!("/recommendations/{escaped}/TopCTR?day={escaped}").parse().unwrap();
            prop_assert!(ids_of_one_ranking(&uri).is_some());
            prop_assert_eq!(segment(raw_segment(&uri, 1)).unwrap(), id.as_str());
            let parameters = Parameters::of(&uri, &KNOWN).unwrap();
            prop_assert_eq!(parameters.get("day"), Some(id.as_str()));
        }
    }

    #[test]
    fn the_kept_corpus_is_read_as_a_naive_reading_reads_it() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/target");
        let inputs: Vec<_> = fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!inputs.is_empty());
        inputs.iter().for_each(|input| check_target(&fs::read(input).unwrap()));
    }
}
