//! Requests, and the files that load generators read them from.

use crate::Failure;
use std::{fs, path::Path};

/// A request of HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bench) struct Request {
    pub(super) method: &'static str,
    pub(super) path: String,
    /// As it is written: `Name: value`.
    pub(super) header: Option<String>,
    pub(super) body: Option<String>,
}

impl Request {
    pub(in crate::bench) fn get(path: impl Into<String>) -> Self {
        Self { method: "GET", path: path.into(), header: None, body: None }
    }

    /// Of JSON.
    pub(super) fn post(path: &str, body: String) -> Self {
        let header = Some("Content-Type: application/json".to_owned());
        Self { method: "POST", path: path.to_owned(), header, body: Some(body) }
    }

    /// The line that `benches/serve/requests.lua` reads.
    fn line(&self) -> String {
        let [header, body] = [&self.header, &self.body].map(|part| part.as_deref().unwrap_or_default());
        format!("{}\t{}\t{header}\t{body}\n", self.method, self.path)
    }
}

/// Writes the file that wrk's script reads.
pub(super) fn write_for_wrk(file: &Path, requests: &[Request]) -> Result<(), Failure> {
    write(file, requests.iter().map(Request::line).collect())
}

/// Writes the file that the paced client reads.
pub(super) fn write_paths(file: &Path, requests: &[Request]) -> Result<(), Failure> {
    write(file, requests.iter().map(|request| format!("{}\n", request.path)).collect())
}

fn write(file: &Path, lines: String) -> Result<(), Failure> {
    fs::write(file, lines).map_err(|error| format!("could not write {}: {error}", file.display()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_four_parts() {
        assert_eq!(Request::get("/a?b=c").line(), "GET\t/a?b=c\t\t\n");
        let posted = Request::post("/a", "{\"b\": 1}".to_owned());
        assert_eq!(posted.line(), "POST\t/a\tContent-Type: application/json\t{\"b\": 1}\n");
    }
}
