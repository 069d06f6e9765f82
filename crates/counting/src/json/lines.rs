//! Usual lines, one after the other, into batches.

use super::{
    scan::{Look, Portable},
    template::Template,
};
use crate::{
    event::Rules,
    header::Columns,
    instructions::Instructions,
    rows::{BATCH, Batch, Row, Target},
    wanted::NOT_WANTED,
};
use std::io;

/// Shapes of lines that are remembered at a time.
const TEMPLATES_MAX: usize = 4;

/// The shapes of the lines seen lately.
#[derive(Debug, Default)]
pub(crate) struct Templates {
    all: Vec<Template>,
    /// The one that the last line had.
    last: usize,
}

/// Lines in a buffer, and a place between two of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lines<'b> {
    pub(crate) buffer: &'b [u8],
    /// What lies behind is no text.
    pub(crate) filled: usize,
    pub(crate) at: usize,
}

/// Counts the usual lines at the place that begin before `limit`; returns how many.
///
/// # Errors
/// When the system gives no memory.
pub(crate) fn count_lines<'b>(
    lines: (&mut Lines<'b>, usize),
    (templates, instructions): (&mut Templates, Instructions),
    rules: &mut Rules<'_, '_>,
    batch: &mut Batch<'b>,
    target: &mut Target<'_>,
) -> io::Result<u64> {
    #[cfg(target_arch = "x86_64")]
    if let Some(look) = super::scan::x86::Avx2::of(instructions) {
        // SAFETY: the processor was just found to have the instructions.
        return unsafe { x86::count_lines(look, lines, templates, rules, batch, target) };
    }
    let _ = instructions;
    count_lines_by(Portable, lines, templates, rules, batch, target)
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{super::scan::x86::Avx2, Batch, Lines, Rules, Target, Templates, count_lines_by, io};

    /// The loop of `count_lines_by`, compiled so that the look is inlined into it.
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt,lzcnt")]
    pub(super) fn count_lines<'b>(
        look: Avx2,
        lines: (&mut Lines<'b>, usize),
        templates: &mut Templates,
        rules: &mut Rules<'_, '_>,
        batch: &mut Batch<'b>,
        target: &mut Target<'_>,
    ) -> io::Result<u64> {
        count_lines_by(look, lines, templates, rules, batch, target)
    }
}

#[inline(always)]
fn count_lines_by<'b>(
    look: impl Look,
    (lines, limit): (&mut Lines<'b>, usize),
    templates: &mut Templates,
    rules: &mut Rules<'_, '_>,
    batch: &mut Batch<'b>,
    target: &mut Target<'_>,
) -> io::Result<u64> {
    let mut rows = 0;
    loop {
        let mut waiting = 0;
        while waiting < BATCH && lines.at < limit {
            let row = &mut batch.rows[waiting];
            let Some(end) = templates.row(look, lines, rules, row) else { break };
            lines.at = end;
            rows += 1;
            waiting += usize::from(row.event.day_slot != NOT_WANTED);
        }
        batch.count(waiting, target)?;
        if waiting < BATCH {
            return Ok(rows);
        }
    }
}

impl Templates {
    /// Reads the line at the place into `row`; one past its end, or none when it is not usual.
    #[inline(always)]
    fn row<'b>(
        &mut self,
        look: impl Look,
        lines: &Lines<'b>,
        rules: &mut Rules<'_, '_>,
        row: &mut Row<'b>,
    ) -> Option<usize> {
        for _ in 0..self.all.len() {
            let end = self.all[self.last].row(look, lines, rules, row);
            if end.is_some() {
                return end;
            }
            self.last = (self.last + 1) % self.all.len();
        }
        None
    }

    /// Remembers the shape of a good line that was not usual, and forgets the one learnt longest ago when there
    /// are too many. A shape that is known is not learnt again: the line has an escape, or a rare date.
    pub(crate) fn learn(&mut self, line: &[u8], members: &Columns) {
        // Without a line ending it is the last one.
        if !line.ends_with(b"\n") || self.all.iter().any(|template| template.is_of(line)) {
            return;
        }
        if self.all.len() == TEMPLATES_MAX {
            self.all.remove(0);
        }
        self.all.push(Template::of(line, members));
        self.last = self.all.len() - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Columns {
        Columns {
            advertiser_id: "advertiser_id".into(),
            product_id: Some("product_id".into()),
            kind: Some("type".into()),
            date: Some("date".into()),
            date_is_optional: false,
        }
    }

    #[test]
    fn a_known_shape_is_not_learnt_again() {
        let first = r#"{"advertiser_id":"a","product_id":1,"type":"click","x":1,"date":"2024-11-20"}"#;
        let alike = [
            r#"{"advertiser_id":"\u0061","product_id":-23,"type":"impression","x":[{}],"date":""}"#,
            r#"{"advertiser_id":"é","product_id":1,"type":"\u0063lick","x":"\"","date":"2024-11-20T10:00Z"}"#,
        ];
        let other = [
            r#"{"advertiser_id":"a","product_id":"1","type":"click","x":1,"date":"2024-11-20"}"#,
            r#"{"advertiser_id":"a","product_id":1,"type":"click","x":1,"date":"2024-11-20"} "#,
            r#"{"advertiser_id":"a","product_id":1,"type":"click","x":1,"date":"2024-11-20","y":2}"#,
            r#"{"advertiser_id":"a","product_id":1,"type":"click","date":"2024-11-20"}"#,
        ];
        let mut templates = Templates::default();
        let mut learn = |line: &str| {
            templates.learn(format!("{line}\n").as_bytes(), &columns());
            templates.all.len()
        };
        assert_eq!([first, first, alike[0], alike[1]].map(&mut learn), [1; 4]);
        assert_eq!(other.map(&mut learn), [2, 3, 4, TEMPLATES_MAX]);
    }
}
