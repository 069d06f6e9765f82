//! The effective configuration as a file, with where each value came from and no secret.

use super::{
    Config,
    load::{BY_FILE, BY_VARIABLE},
};
use figment::{Figment, Source};
use serde_json::Value;
use std::fmt::Write;

/// A URL with its password, if it has one, replaced.
#[must_use]
pub fn without_password(url: &str) -> String {
    // The user part ends at the last @ before the path; a password may hold any character.
    let Some((scheme, rest)) = url.split_once("://") else {
        // What is misspelt may have a password anywhere.
        let is_database = url.starts_with("postgres") || url.contains('@');
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        return if is_database { format!("{scheme}:***") } else { url.to_owned() };
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let authority = match authority.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((user, _)) => format!("{user}:***@{host}"),
            None => authority.to_owned(),
        },
        None => authority.to_owned(),
    };
    let path = path
        .split_inclusive(['?', '&'])
        .map(|part| match part.split_once('=') {
            Some((key, value)) if is_secret(key) => {
                format!("{key}=***{}", if value.ends_with('&') { "&" } else { "" })
            }
            _ => part.to_owned(),
        })
        .collect::<String>();
    format!("{scheme}://{authority}{path}")
}

/// Whether the parameter of a URL is one: a key may stand there itself, instead of its file's name.
fn is_secret(parameter: &str) -> bool {
    parameter.ends_with("password") || parameter == "sslkey"
}

/// A URL with its path replaced.
#[must_use]
pub(super) fn without_path(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.chars().map(|_| '*').collect() };
    let host = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}/***")
}

/// The configuration as TOML; each value is followed by where it came from when not a default.
#[must_use]
pub fn as_toml(config: &Config, figment: &Figment) -> String {
    let mut text = String::new();
    let value = serde_json::to_value(config.without_secrets()).expect("the configuration is plain data");
    if let Value::Object(sections) = value {
        for (section, keys) in &sections {
            table(&mut text, section, keys, figment);
        }
    }
    text
}

fn table(text: &mut String, path: &str, keys: &Value, figment: &Figment) {
    let Value::Object(keys) = keys else { return };
    let (tables, values): (Vec<_>, Vec<_>) = keys.iter().partition(|(_, value)| value.is_object());
    if !values.is_empty() || keys.is_empty() {
        let gap = if text.is_empty() { "" } else { "\n" };
        writeln!(text, "{gap}[{path}]").expect("a string takes any text");
    }
    for (key, value) in values {
        let shown = match value {
            Value::String(value) => Value::String(without_password(value)),
            other => other.clone(),
        };
        // JSON's spelling of strings, numbers, booleans and arrays is TOML's too.
        let origin = origin(figment, &format!("{path}.{key}"));
        writeln!(text, "{key} = {shown}{origin}").expect("a string takes any text");
    }
    for (key, value) in tables {
        table(text, &format!("{path}.{key}"), value, figment);
    }
}

fn origin(figment: &Figment, key: &str) -> String {
    match figment.find_metadata(key) {
        Some(metadata) => match &metadata.source {
            Some(Source::File(file)) => format!("  # {}", file.display()),
            _ if [BY_VARIABLE, BY_FILE].contains(&&*metadata.name) => format!("  # {}", metadata.name),
            _ if metadata.name == "flag" => "  # flag".to_owned(),
            _ => String::new(),
        },
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        for (url, shown) in [
            ("postgres://u:p@ss:w@h:5432/d?sslmode=require", "postgres://u:***@h:5432/d?sslmode=require"),
            ("postgres://u@h/d?password=x&user=y", "postgres://u@h/d?password=***&user=y"),
            (
                "postgres://u@h/d?sslkey=-----BEGIN&sslmode=prefer",
                "postgres://u@h/d?sslkey=***&sslmode=prefer",
            ),
            ("postgres:secret@h/d", "postgres:***"),
            ("sqlite:topshelf-data/topshelf.db", "sqlite:topshelf-data/topshelf.db"),
            ("s3://bucket/prefix", "s3://bucket/prefix"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }

    #[test]
    fn the_shown_configuration_is_a_file_that_can_be_read() {
        let figment = Figment::new();
        let text = as_toml(&Config::default(), &figment);
        let read: Config =
            Figment::from(<figment::providers::Toml as figment::providers::Format>::string(&text))
                .extract()
                .unwrap();
        assert_eq!(read, Config::default());
    }
}
