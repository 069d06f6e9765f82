//! The page at `/`: what runs here and where to look. It needs nothing from anywhere else.

use super::Shared;
use crate::{
    access::Asker,
    response::{no_store, with_type},
    serving::Serving,
    wire::{Readiness, ReadinessStatus, SnapshotSource},
};
use axum::{Extension, extract::State, http::StatusCode, response::Response};
use std::fmt::Write;

const PAGE: &str = include_str!("home.html");

/// What runs here, for people
#[utoipa::path(
    get,
    path = "/",
    operation_id = "get_home",
    tag = "docs",
    responses((status = 200, description = "A page", body = String, content_type = "text/html"))
)]
pub(super) async fn home(State(serving): State<Shared>, Extension(asker): Extension<Asker>) -> Response {
    no_store(with_type(StatusCode::OK, "text/html; charset=utf-8", page(&serving, asker.sees_all().is_ok())))
}

/// The page; who may not see all is told what runs here, and nothing of what is published.
fn page(serving: &Serving, is_told_all: bool) -> String {
    let readiness = serving.readiness();
    let (advertiser, model) = example(serving, is_told_all);
    let facts = match is_told_all {
        true => facts(&readiness, serving.store_description()),
        false => {
            "<dt>Keys</dt><dd>asked for: send yours as <code>Authorization: Bearer KEY</code></dd>".to_owned()
        }
    };
    let values = [
        ("{{version}}", env!("CARGO_PKG_VERSION").to_owned()),
        ("{{state}}", state(&readiness, is_told_all)),
        ("{{facts}}", facts),
        ("{{recommendations}}", link(&format!("recommendations/{advertiser}/{model}"))),
        ("{{history}}", link(&format!("history/{advertiser}/"))),
        ("{{of_operators}}", of_operators(serving).to_owned()),
    ];
    // The page is cut where values go, so a value that looks like a place for another stays itself.
    let mut page = String::new();
    let mut rest = PAGE;
    while let Some((start, (place, value))) =
        values.iter().filter_map(|value| Some((rest.find(value.0)?, value))).min_by_key(|(start, _)| *start)
    {
        page.push_str(&rest[..start]);
        page.push_str(value);
        rest = &rest[start + place.len()..];
    }
    page + rest
}

/// What operators ask, unless they do so elsewhere.
fn of_operators(serving: &Serving) -> &'static str {
    match serving.options.operator_listen {
        Some(_) => "",
        None => {
            "<tr><td><a href=\"health\">/health</a></td><td>the same, and how the nights go</td></tr>\n\
            <tr><td><a href=\"metrics\">/metrics</a></td><td>for Prometheus</td></tr>"
        }
    }
}

/// The path segments of an advertiser and a model to try; made up when there are none to tell.
fn example(serving: &Serving, is_told_all: bool) -> (String, String) {
    let view = serving.view().ok().filter(|_| is_told_all);
    let example = view.as_ref().and_then(|view| view.snapshot.example());
    match example {
        Some((advertiser, model)) => (encoded(advertiser), encoded(model.as_str())),
        None => ("ADVERTISER".to_owned(), "TopCTR".to_owned()),
    }
}

fn state(readiness: &Readiness, is_told_all: bool) -> String {
    let newest_day = readiness.newest_day.filter(|_| is_told_all);
    let (class, text) = match (readiness.status, newest_day) {
        (ReadinessStatus::Ready, None) => ("good", "serving".to_owned()),
        (ReadinessStatus::Ready, Some(day)) if readiness.source == Some(SnapshotSource::Disk) => (
            "late",
            format!("serving {day} as it was kept on disk, until the database tells what is published"),
        ),
        (ReadinessStatus::Ready, Some(day)) if readiness.stale => {
            ("late", format!("serving {day}, which is late"))
        }
        (ReadinessStatus::Ready, Some(day)) => ("good", format!("serving {day}")),
        (ReadinessStatus::ShuttingDown, _) => ("late", "shutting down".to_owned()),
        (ReadinessStatus::SnapshotUnavailable, _) => {
            ("bad", "has not loaded what is published yet, and keeps trying".to_owned())
        }
        _ => ("late", "nothing is published yet".to_owned()),
    };
    format!(r#"<span class="state {class}">{text}</span>"#)
}

fn facts(readiness: &Readiness, store_description: Option<&str>) -> String {
    let newest_day = readiness.newest_day.map_or("none".to_owned(), |day| day.to_string());
    let loaded_at = readiness.loaded_at.map_or("not yet".to_owned(), |at| format!("{at:.0}"));
    let facts = [
        ("Newest day", newest_day),
        ("Active advertisers", readiness.advertisers.to_string()),
        ("Snapshot loaded", loaded_at),
        ("Store", store_description.unwrap_or("not opened yet").to_owned()),
    ];
    facts.iter().fold(String::new(), |mut html, (name, value)| {
        let _ = write!(html, "<dt>{name}</dt><dd>{}</dd>", escaped(value)); // a String takes any text
        html
    })
}

/// A link to a path whose segments are encoded already.
fn link(path: &str) -> String {
    format!(r#"<a href="{path}">/{path}</a>"#)
}

/// `id` as one path segment: everything but what RFC 3986 calls unreserved is escaped.
fn encoded(id: &str) -> String {
    let mut segment = String::new();
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            let _ = write!(segment, "%{byte:02X}"); // a String takes any text
        }
    }
    segment
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_id_is_one_harmless_segment() {
        assert_eq!(encoded("a/b \"<ü>\"."), "a%2Fb%20%22%3C%C3%BC%3E%22.");
        assert_eq!(escaped("<&\">"), "&lt;&amp;&quot;&gt;");
    }
}
