//! Values that a variable of the environment names by a file: `TOPSHELF_STORE__URL_FILE=/run/secrets/store-url`.
//!
//! Names of keys and what the variables hold enter; keys with the content of their files leave, or what is wrong with one. No
//! message has a word of a content.

use crate::failure::{Exit, Failure};
use figment::value::Value;
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// What a key's name ends with when its variable names a file.
const SUFFIX: &str = "_file";

/// No value is longer; what is, is no file of one.
const BYTES_MAX: u64 = 64 << 10;

/// Of variables, as keys and values, those that hold values, and those that name a file, read.
///
/// # Errors
/// Exit code 2, with the name of the variable: when the key has its value in another variable too, or is none, and when the
/// file cannot be read or is empty.
pub(super) fn read(
    variables: Vec<(String, String)>,
    defaults: &Value,
) -> Result<[Vec<(String, String)>; 2], Failure> {
    let (named, plain): (Vec<_>, Vec<_>) = variables
        .into_iter()
        .partition(|(key, _)| key.ends_with(SUFFIX) && defaults.find_ref(key.as_str()).is_none());
    let mut read = Vec::new();
    for (named, file) in named {
        let key = named.strip_suffix(SUFFIX).expect("it ends so");
        let (variable, other) = (variable(&named), variable(key));
        if defaults.find_ref(key).is_none_or(|value| value.as_dict().is_some()) {
            return Err(unknown(&variable, key, defaults));
        }
        if plain.iter().any(|(of, _)| of == key) {
            return Err(both(&other, &variable));
        }
        read.push((key.to_owned(), content(&variable, &file)?));
    }
    Ok([plain, read])
}

/// What `DATABASE_URL` is, itself or in the file that `DATABASE_URL_FILE` names.
///
/// # Errors
/// As those of [`read`].
pub(super) fn database_url(url: Option<String>, file: Option<String>) -> Result<Option<String>, Failure> {
    match (url, file) {
        (Some(_), Some(_)) => Err(both("DATABASE_URL", "DATABASE_URL_FILE")),
        (None, Some(file)) => content("DATABASE_URL_FILE", &file).map(Some),
        (url, None) => Ok(url),
    }
}

/// `TOPSHELF_STORE__URL` of `store.url`.
fn variable(key: &str) -> String {
    format!("TOPSHELF_{}", key.replace('.', "__").to_uppercase())
}

fn unknown(named_by: &str, key: &str, defaults: &Value) -> Failure {
    let nearest = keys(defaults, "")
        .into_iter()
        .map(|known| (strsim::jaro_winkler(&known, key), known))
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, known)| format!("did you mean {}_FILE? ", variable(&known)));
    let message = format!("{named_by} names a file for `{key}`, which is no configuration key");
    Failure::new(Exit::Usage, message).help(format!(
        "{}a variable is spelled like TOPSHELF_STORE__URL_FILE, two underscores between section and key; `topshelf config` prints every key where nothing is broken",
        nearest.unwrap_or_default()
    ))
}

fn keys(of: &Value, path: &str) -> Vec<String> {
    let Some(table) = of.as_dict() else { return vec![path.to_owned()] };
    let below = |(name, value)| {
        let dot = if path.is_empty() { "" } else { "." };
        keys(value, &format!("{path}{dot}{name}"))
    };
    table.iter().flat_map(below).collect()
}

fn both(value: &str, file: &str) -> Failure {
    Failure::new(Exit::Usage, format!("{value} and {file} are both set"))
        .help(format!("take one of them away: {value} holds the value itself, {file} names a file that does"))
}

/// A file's content without the line's end that editors leave.
fn content(variable: &str, file: &str) -> Result<String, Failure> {
    let refused = |says: String, help: &str| {
        Err(Failure::new(Exit::Usage, format!("{variable} names the file {file:?}, which {says}")).help(help))
    };
    let of_value = "write the value into it, and nothing else";
    match text(Path::new(file)) {
        Ok(text) if text.is_empty() => refused("is empty".to_owned(), of_value),
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => refused(
            "is not there".to_owned(),
            "name the file that has the value; in a container, mount the secret there",
        ),
        Err(error) => refused(
            format!("cannot be read: {error}"),
            &format!("it must be a file of text that this user may read, of {} KiB at most", BYTES_MAX >> 10),
        ),
    }
}

fn text(file: &Path) -> io::Result<String> {
    let file = File::open(file)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut text = String::new();
    file.take(BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}
