//! Small files on the local disk, as JSON behind a line with a title, the format and a checksum.
//!
//! What is kept goes in and comes out unchanged, or not at all: a file that was damaged, is of another format or was
//! read from another database says so.

use crate::disk::{Disk, FORMAT, Unreadable};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs,
    io::{self, Write},
};

/// What is kept in a file of its own.
pub(crate) trait Sealed: Serialize + DeserializeOwned {
    /// The file's name.
    const FILE: &'static str;
    /// How its first line begins.
    const TITLE: &'static str;

    /// The database that it was read from.
    fn database(&self) -> &str;
}

impl Disk {
    /// Keeps `content`, in the place of what was kept before.
    pub(crate) fn seal<S: Sealed>(&self, content: &S) -> io::Result<()> {
        let json = serde_json::to_vec_pretty(content).expect("it is made of text, numbers and lists");
        let (title, crc32) = (S::TITLE, crc32fast::hash(&json));
        self.replace(S::FILE, |file| {
            writeln!(file, "{title}, format {FORMAT}, crc32 {crc32:08x}")?;
            file.write_all(&json)
        })
    }

    /// What was kept of `database`, when nothing of it has changed; none when there is none.
    pub(crate) fn unseal<S: Sealed>(&self, database: &str) -> Result<Option<S>, Unreadable> {
        let path = self.path(S::FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Unreadable::Io { path, source }),
        };
        let corrupt = |what: &str| Unreadable::Corrupt { path: path.clone(), what: what.to_owned() };
        let end =
            text.iter().position(|byte| *byte == b'\n').ok_or_else(|| corrupt("it has no first line"))?;
        let first = std::str::from_utf8(&text[..end]).map_err(|_| corrupt("its first line is no text"))?;
        let rest = first.strip_prefix(S::TITLE).and_then(|rest| rest.strip_prefix(", format "));
        let rest = rest.ok_or_else(|| corrupt("its first line is another"))?;
        let (format, crc32) = rest.split_once(", crc32 ").unwrap_or((rest, ""));
        if format != FORMAT.to_string() {
            return Err(Unreadable::Format { path, format: format.to_owned() });
        }
        let json = &text[end + 1..];
        if format!("{:08x}", crc32fast::hash(json)) != crc32 {
            return Err(corrupt("its checksum is another"));
        }
        let content: S = serde_json::from_slice(json).map_err(|error| corrupt(&error.to_string()))?;
        if content.database() != database {
            let (kept, database) = (content.database().to_owned(), database.to_owned());
            return Err(Unreadable::Database { path, kept, database });
        }
        Ok(Some(content))
    }
}
