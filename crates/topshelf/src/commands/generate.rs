//! `generate`: sample logs of any size.

use super::output::{Output, grouped};
use crate::{
    cli::Generate,
    failure::{Exit, Failure},
    generate::{GenerateError, GenerateOptions, generate as generate_logs},
    progress::Progress,
};
use serde_json::json;
use std::time::Instant;

/// Writes the logs and says how many rows, how large and how fast.
pub(super) fn generate(flags: &Generate, output: Output) -> Result<(), Failure> {
    let options = GenerateOptions {
        out: flags.out.clone(),
        rows: flags.rows,
        view_rows: flags.view_rows,
        advertisers: flags.advertisers,
        products: flags.products,
        first_day: flags.first_day,
        days: flags.days,
        active_ratio: flags.active_ratio,
        seed: flags.seed,
        layout: flags.layout.into(),
        format: flags.format.into(),
        compression: flags.compress.into(),
        extra_columns: flags.extra_columns,
        overwrite: flags.overwrite,
        ..GenerateOptions::default()
    };
    let started = Instant::now();
    let bar = Progress::for_terminal().steps("generating", options.total_rows());
    let generated = generate_logs(&options, &|rows| bar.set_position(rows)).map_err(explain)?;
    bar.finish_and_clear();
    let elapsed = started.elapsed();
    let json = json!({
        "files": generated.files, "rows": generated.rows, "bytes": generated.bytes,
        "elapsed_ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
    });
    output.either(&json, || {
        let (rows, megabytes) = (grouped(generated.rows), grouped(generated.bytes / 1_000_000));
        let (files, folder, seconds) = (generated.files.len(), flags.out.display(), elapsed.as_secs_f64());
        format!("{rows} rows, {megabytes} MB, in {files} files below {folder}, {seconds:.1} s")
    })
}

/// A failure to generate.
pub(super) fn explain(error: GenerateError) -> Failure {
    let (exit, help) = match error {
        GenerateError::Options(_) => (Exit::Usage, "`topshelf generate --help` tells what each flag means"),
        GenerateError::Exists(_) => {
            (Exit::Usage, "choose another folder, or replace what is there with --overwrite")
        }
        GenerateError::DiskFull(_) => (Exit::Failed, "free some, or choose another folder or fewer --rows"),
        GenerateError::Write { .. } => (Exit::Failed, "choose a folder that this user may write"),
    };
    Failure::explained(exit, error).help(help)
}
