//! `COPY … FROM STDIN` in PostgreSQL's text format.
//!
//! Fields go in one by one; blocks of escaped rows leave. Nothing is sent as NULL.

use sqlx::{PgConnection, postgres::PgCopyIn};
use std::{fmt::Display, io::Write};

/// Bytes gathered before they are sent.
const BLOCK_BYTES: usize = 256 * 1024;

/// A COPY under way. Dropped before [`CopyIn::finish`], it fails, and the transaction with it.
pub(super) struct CopyIn<'c> {
    copy: PgCopyIn<&'c mut PgConnection>,
    block: Block,
}

impl<'c> CopyIn<'c> {
    pub(super) async fn begin(
        connection: &'c mut PgConnection,
        statement: &str,
    ) -> Result<Self, sqlx::Error> {
        Ok(Self { copy: connection.copy_in_raw(statement).await?, block: Block::default() })
    }

    /// Adds a field of text.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.block.text(text);
        self
    }

    /// Adds a field that needs no escaping.
    pub(super) fn value(&mut self, value: impl Display) -> &mut Self {
        self.block.value(format_args!("{value}"));
        self
    }

    /// Adds a field in the shortest form that reads back as the same number.
    pub(super) fn number(&mut self, number: f64) -> &mut Self {
        self.block.value(format_args!("{number:?}"));
        self
    }

    pub(super) async fn end_row(&mut self) -> Result<(), sqlx::Error> {
        self.block.end_row();
        if self.block.0.len() >= BLOCK_BYTES {
            self.copy.send(self.block.0.as_slice()).await?;
            self.block.0.clear();
        }
        Ok(())
    }

    pub(super) async fn finish(mut self) -> Result<(), sqlx::Error> {
        self.copy.send(self.block.0.as_slice()).await?;
        self.copy.finish().await?;
        Ok(())
    }
}

/// Rows in the text format: fields end in a tab, the last one in a line feed.
#[derive(Debug, Default)]
struct Block(Vec<u8>);

impl Block {
    fn text(&mut self, text: &str) {
        let mut rest = text.as_bytes();
        while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\\' | b'\n' | b'\r' | b'\t')) {
            self.0.extend_from_slice(&rest[..at]);
            let letter = match rest[at] {
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                backslash => backslash,
            };
            self.0.extend_from_slice(&[b'\\', letter]);
            rest = &rest[at + 1..];
        }
        self.0.extend_from_slice(rest);
        self.0.push(b'\t');
    }

    fn value(&mut self, value: std::fmt::Arguments<'_>) {
        self.0.write_fmt(value).expect("writing to memory does not fail");
        self.0.push(b'\t');
    }

    fn end_row(&mut self) {
        let last = self.0.last_mut().expect("a row has fields");
        *last = b'\n';
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(field: &str, expected: &str) {
        let mut block = Block::default();
        block.text(field);
        block.value(format_args!("{}", 7));
        block.end_row();
        assert_eq!(String::from_utf8(block.0).unwrap(), format!("{expected}\t7\n"));
    }

    #[test]
    fn what_would_end_a_field_or_a_row_is_escaped() {
        check("plain ü", "plain ü");
        check("a\tb\nc\rd\\e", r"a\tb\nc\rd\\e");
        check(r"\.", r"\\.");
        check(r"\N", r"\\N");
        check("\\\t", r"\\\t");
    }
}
