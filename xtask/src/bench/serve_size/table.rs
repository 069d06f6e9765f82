//! The table of `cargo xtask bench serve-size`, for the terminal and for `docs/performance.md`.

use super::{Options, Size, filled::Kind};
use crate::{
    Failure,
    bench::{
        gigabytes, machine, seconds,
        serve::{Figures, megabytes, whole},
        thousands,
    },
};
use std::{fmt, time::Duration};

/// What one store came to.
pub(super) struct Row {
    pub(super) size: Size,
    pub(super) kind: Kind,
    /// With the day that was published in the end.
    pub(super) database_bytes: u64,
    /// From the server's start until it was ready.
    pub(super) load: Duration,
    /// The resident set then.
    pub(super) memory_bytes: u64,
    /// The largest until then.
    pub(super) load_peak_bytes: u64,
    pub(super) figures: Figures,
    /// From a new day's publication until it was served.
    pub(super) swap: Duration,
    /// The largest resident set meanwhile.
    pub(super) swap_peak_bytes: u64,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size, kind, database_bytes, load, memory_bytes, load_peak_bytes, figures, .. } = self;
        let rankings = size.rankings();
        write!(
            f,
            "| {} | {} | {} | {kind} | {:.2} | {:.2} | {} | {} | {} | {} | {:.2} | {} |",
            thousands(size.advertisers),
            size.days,
            thousands(rankings),
            gigabytes(*database_bytes),
            seconds(*load),
            megabytes(*memory_bytes),
            thousands(memory_bytes / rankings),
            megabytes(*load_peak_bytes),
            whole(figures.rate()),
            seconds(self.swap),
            megabytes(self.swap_peak_bytes),
        )
    }
}

/// The table with what one must know to make it again.
pub(super) fn markdown(options: &Options, rows: &[Row], left_out: &[String]) -> Result<String, Failure> {
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let left_out: String = left_out.iter().map(|why| format!("{why}.\n\n")).collect();
    Ok(format!(
        "| advertisers | days | rankings | from | database GB | load s | memory MB | bytes a ranking | peak MB while loading | \
         requests/s | new day served after s | peak MB meanwhile |\n\
         |---:|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|\n{lines}\n\
         The aim for 100,000 advertisers of 7 days: loaded in less than 5 s, peaks of less than 1,500 MB.\n\n{left_out}\
         4 models of 20 products each; a ranking is that of one advertiser, model and day. *load s* is from the start of \
         the process until `/health/ready` says so, the median of {} starts (of one, when that took more than 10 s); *bytes a \
         ranking* are all memory ÷ rankings; requests go to all models of up to 5,000 advertisers. In the end one more \
         day is published while the server runs. {}; {}.\n\n```\n{}\n```\n",
        options.starts,
        machine::description(),
        machine::date()?,
        options.command_line(),
    ))
}
