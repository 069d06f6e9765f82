//! Results on stdout: a table for people or JSON for programs, which is one line unless a terminal shows it.

use crate::failure::{Exit, Failure};
use comfy_table::{Cell, CellAlignment, ContentArrangement, LineStyle, Table, presets};
use serde::Serialize;
use std::io::{self, ErrorKind, IsTerminal, Write};

/// How results are printed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    is_json: bool,
}

impl Output {
    pub(crate) fn new(is_json: bool) -> Self {
        Self { is_json }
    }

    /// Whether a person reads the result, not a program.
    pub(crate) fn is_for_people(self) -> bool {
        !self.is_json
    }

    /// Prints the value as JSON, or what `text` says.
    pub(crate) fn either(self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
        self.text(&self.chosen(value, text)?)
    }

    /// Prints the same as [`Output::either`] does, of which there is no copy: it is a failure too that nobody reads it.
    pub(crate) fn only_copy(
        self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        written(&self.chosen(value, text)?).map_err(|error| unwritten(&error))
    }

    fn chosen(self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<String, Failure> {
        if self.is_json { json(value) } else { Ok(text()) }
    }

    /// Prints the value when JSON is asked for, and nothing for people.
    pub(crate) fn json_only(self, value: &impl Serialize) -> Result<(), Failure> {
        if self.is_json { self.either(value, String::new) } else { Ok(()) }
    }

    /// Prints a result, and on stderr what is to be known beside it: below what people read, and before JSON, so that
    /// whoever reads both together finds the result in the last line.
    pub(crate) fn with_notices(
        self,
        notices: impl IntoIterator<Item = String>,
        print: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let tell = || notices.into_iter().for_each(|notice| eprintln!("{notice}"));
        if self.is_json {
            tell();
            return print();
        }
        print()?;
        tell();
        Ok(())
    }

    /// Prints the text, ended by a line break.
    pub(crate) fn text(self, text: &str) -> Result<(), Failure> {
        match written(text) {
            // Whoever read has seen enough, as `head` has.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            Err(error) => {
                Err(unwritten(&error)
                    .help("what was to be done is done, only the result could not be printed"))
            }
            Ok(()) => Ok(()),
        }
    }
}

/// The value as JSON: over several lines for a person's eyes, else in one line, which whoever reads a log finds again.
fn json(value: &impl Serialize) -> Result<String, Failure> {
    let json = match io::stdout().is_terminal() {
        true => serde_json::to_string_pretty(value),
        false => serde_json::to_string(value),
    };
    json.map_err(Failure::of)
}

fn written(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", text.trim_end_matches('\n')).and_then(|()| stdout.flush())
}

fn unwritten(error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("could not write to stdout: {error}"))
}

/// So many advertisers, in words.
pub(crate) fn advertisers(number: u64) -> String {
    if number == 1 { "1 advertiser".to_owned() } else { format!("{} advertisers", grouped(number)) }
}

/// A table with a header; columns named in `right` hold numbers.
pub(crate) fn table(header: &[&str], right: &[&str]) -> Table {
    let mut table = Table::new();
    let style = presets::UTF8_HORIZONTAL_ONLY;
    let style =
        style.top_border(LineStyle::none()).row_separator(LineStyle::none()).bottom_border(LineStyle::none());
    table.load_style(style).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().map(|name| {
        let is_right = right.contains(name);
        Cell::new(name).set_alignment(if is_right { CellAlignment::Right } else { CellAlignment::Left })
    }));
    for (column, name) in table.column_iter_mut().zip(header) {
        if right.contains(name) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// 1234567 as 1 234 567, the groups apart by a narrow no-break space.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202F}');
        }
        text.push(digit);
    }
    text
}
