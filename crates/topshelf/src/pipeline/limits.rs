//! What counting may take: threads, memory, and a folder on disk for what does not fit in that.

use super::Night;
use crate::{
    failure::{Exit, Failure},
    spill::SpillFolder,
};
use counting::{Instructions, Limits, Memory, table_bytes_min};
use source::{ReadLimits, Reading};
use std::{io, path::PathBuf, sync::Arc};

/// The spill folder's name, below the lake's directory or among the system's temporary files.
const FOLDER: &str = "topshelf-spill";

/// What may be read ahead of the threads that count, when the input is a bucket.
pub(super) fn read_limits(night: &Night) -> ReadLimits {
    let counting = &night.config.counting;
    let of_use = ReadLimits::for_threads(counting.threads());
    of_use.within(counting.memory_limit.read_ahead_bytes(of_use.memory_bytes()))
}

/// What counting so many groups may take, beside what is read ahead.
///
/// # Errors
/// When the configured memory is too little.
pub(super) fn limits(night: &Night, groups: usize, reading: &Reading) -> Result<Limits, Failure> {
    let counting = &night.config.counting;
    let threads = counting.threads();
    let ahead_max = if reading.is_remote() { ReadLimits::for_threads(threads).memory_bytes() } else { 0 };
    let tables = counting.memory_limit.table_bytes(threads, table_bytes_min(threads, groups), ahead_max);
    let table_bytes = tables.map_err(|error| {
        Failure::explained(Exit::Usage, error)
            .help("allow more, count on fewer threads (counting.threads), or leave both to the program: memory_limit = \"auto\"")
    })?;
    let spill = Arc::new(SpillFolder::clean(spill_folder(night)?));
    let memory = Some(Memory { table_bytes, spill });
    let slice_bytes = counting.slice_mib << 20;
    Ok(Limits { threads, slice_bytes, instructions: Instructions::Best, memory })
}

/// Temporary files are in memory on many systems: they are taken only when no directory is named.
fn spill_folder(night: &Night) -> Result<PathBuf, Failure> {
    match night.config.counting.spill_dir.as_str() {
        "auto" => {
            let lake = night.lake_location()?;
            Ok(lake.directory().map_or_else(std::env::temp_dir, PathBuf::from).join(FOLDER))
        }
        path => Ok(path.into()),
    }
}

/// Partial counts could not be written to disk, or be read back.
pub(super) fn explain_spill(night: &Night, error: io::Error) -> Failure {
    let folder = match spill_folder(night) {
        Ok(folder) => folder,
        Err(failure) => return failure,
    };
    Failure::of(error).within(format!("could not keep partial counts in {}", folder.display())).help(
        "free some space there, name a folder on another disk with counting.spill_dir, or allow more memory with counting.memory_limit",
    )
}
