//! What is served, kept on local disk for a start without the database.
//!
//! A directory holds a manifest, a file for each day and one of the valid keys, each with its checksum. Day files are written once and never
//! changed; the manifest takes the place of the one before when all that it names is on the disk. So whatever happens
//! while writing, what is read is one snapshot or none. What cannot be read is told and ignored.

use crate::{
    options::Options,
    sealed::Sealed,
    serving::Serving,
    snapshot::{Kept, Snapshot},
};
use domain::{Day, ModelName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    fs::{self, File, TryLockError},
    io::{self, BufWriter, Write},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use store::{DayStamp, PackedDay, Pin, PublishedHold};
use tokio::{sync::watch, task::JoinHandle};

/// Changes when files of before can no longer be read.
pub(crate) const FORMAT: u32 = 1;

const MANIFEST: &str = "manifest";
pub(crate) const KEYS: &str = "keys";
const LOCK: &str = "lock";
const DAY_PREFIX: &str = "day-";
const UNFINISHED: &str = ".unfinished";

/// A directory in which a server keeps what it serves.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    directory: PathBuf,
    /// The day files that are there, as far as this process knows.
    written: Arc<Mutex<HashMap<DayStamp, DayFile>>>,
}

/// What the files of the directory are.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    program: String,
    /// The database that it was read from.
    database: String,
    version: i64,
    loaded_at: Timestamp,
    days: Vec<DayFile>,
    older: Vec<DayFile>,
    pins: Vec<Pin>,
    holds: Vec<PublishedHold>,
}

impl Sealed for Manifest {
    const FILE: &'static str = MANIFEST;
    const TITLE: &'static str = "topshelf snapshot";

    fn database(&self) -> &str {
        &self.database
    }
}

/// A day's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct DayFile {
    name: String,
    stamp: String,
    bytes: u64,
    crc32: u32,
}

/// Why what was kept is not served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("could not read {}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is of format {format}, and this version of the program reads {FORMAT}", path.display())]
    Format { path: PathBuf, format: String },
    #[error("{} is corrupt: {what}", path.display())]
    Corrupt { path: PathBuf, what: String },
    #[error("{} was kept of {kept}, and {database} is served", path.display())]
    Database { path: PathBuf, kept: String, database: String },
}

impl Disk {
    /// The directory of `options`; none when nothing is to be kept.
    pub(crate) fn of(options: &Options) -> Option<Self> {
        let directory = options.snapshot_dir.clone()?;
        Some(Self { directory, written: Arc::default() })
    }

    /// What was kept of `database`. What there is and cannot be served is told and ignored.
    pub(crate) async fn read(&self, database: &str, models: &[ModelName]) -> Option<Snapshot> {
        let (disk, database, models) = (self.clone(), database.to_owned(), models.to_vec());
        let read =
            move || disk.read_now(&database).map(|kept| kept.map(|kept| Snapshot::of_kept(kept, &models)));
        let read = tokio::task::spawn_blocking(read).await;
        match read {
            Ok(Ok(kept)) => kept,
            Ok(Err(error)) => {
                tracing::warn!(error = crate::refresh::chain(&error), "what was kept on disk is ignored");
                None
            }
            Err(error) => {
                tracing::error!(%error, "could not read what was kept on disk: this is a defect");
                None
            }
        }
    }

    fn read_now(&self, database: &str) -> Result<Option<Kept>, Unreadable> {
        // Held until the end: another server may be about to replace the files. Without it, for example where
        // nothing may be written, the checksums tell.
        let lock = File::options().create(true).append(true).open(self.path(LOCK));
        let _held = lock.ok().filter(|lock| lock.lock_shared().is_ok());
        let Some(manifest) = self.unseal::<Manifest>(database)? else { return Ok(None) };
        let days = manifest.days.iter().map(|file| self.read_day(file)).collect::<Result<_, _>>()?;
        let older = manifest.older.iter().map(|file| self.read_day(file)).collect::<Result<_, _>>()?;
        let Manifest { version, loaded_at, pins, holds, .. } = manifest;
        Ok(Some(Kept { version, loaded_at, days, older, pins, holds }))
    }

    fn read_day(&self, file: &DayFile) -> Result<PackedDay, Unreadable> {
        let path = self.path(&file.name);
        let corrupt = |what: String| Unreadable::Corrupt { path: path.clone(), what };
        let bytes = fs::read(&path).map_err(|source| Unreadable::Io { path: path.clone(), source })?;
        if bytes.len() as u64 != file.bytes {
            return Err(corrupt(format!("it has {} bytes, not {}", bytes.len(), file.bytes)));
        }
        if crc32fast::hash(&bytes) != file.crc32 {
            return Err(corrupt("its checksum is another".into()));
        }
        let day = PackedDay::read(&bytes).map_err(|error| corrupt(error.to_string()))?;
        if day.stamp.to_string() != file.stamp {
            return Err(corrupt(format!("it holds {}", day.stamp)));
        }
        self.written().insert(day.stamp.clone(), file.clone());
        Ok(day)
    }

    /// Keeps `snapshot` of `database`; whether it could, as another server may be keeping its own here.
    fn write(&self, snapshot: &Snapshot, database: &str) -> io::Result<bool> {
        let Some(_held) = self.lock()? else { return Ok(false) };
        let days = |days: &[Arc<crate::served_day::ServedDay>]| {
            days.iter().map(|day| self.write_day(day.packed())).collect::<io::Result<Vec<_>>>()
        };
        let manifest = Manifest {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            database: database.to_owned(),
            version: snapshot.version(),
            loaded_at: snapshot.loaded_at(),
            days: days(snapshot.served_days())?,
            older: days(snapshot.older_days())?,
            pins: snapshot.pins().to_vec(),
            holds: snapshot.holds().to_vec(),
        };
        self.seal(&manifest)?;
        self.sweep(&manifest)?;
        Ok(true)
    }

    /// The right to write here, until dropped; none when another server has it.
    pub(crate) fn lock(&self) -> io::Result<Option<File>> {
        fs::create_dir_all(&self.directory)?;
        let lock = File::options().create(true).append(true).open(self.path(LOCK))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(lock)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn write_day(&self, day: &PackedDay) -> io::Result<DayFile> {
        let known = self.written().get(&day.stamp).cloned();
        if let Some(known) = known.filter(|known| self.is_there(known)) {
            return Ok(known);
        }
        let stamp = day.stamp.to_string();
        // The name tells people the day; two stamps of it differ in the rest.
        let name = format!("{DAY_PREFIX}{}-{:08x}", day.day, crc32fast::hash(stamp.as_bytes()));
        let mut summed = Summed { hasher: crc32fast::Hasher::new(), bytes: 0 };
        self.replace(&name, |file| {
            let mut tee = Tee { file, summed: &mut summed };
            day.write(&mut tee)
        })?;
        let file = DayFile { name, stamp, bytes: summed.bytes, crc32: summed.hasher.finalize() };
        self.written().insert(day.stamp.clone(), file.clone());
        Ok(file)
    }

    fn is_there(&self, file: &DayFile) -> bool {
        fs::metadata(self.path(&file.name)).is_ok_and(|there| there.len() == file.bytes)
    }

    /// Puts a file in the place of another of that name, when all of it is on the disk.
    pub(crate) fn replace(
        &self,
        name: &str,
        write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> io::Result<()> {
        let unfinished = self.path(&format!("{name}{UNFINISHED}"));
        let written = (|| {
            let mut file = BufWriter::with_capacity(1 << 20, File::create(&unfinished)?);
            write(&mut file)?;
            file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
            fs::rename(&unfinished, self.path(name))?;
            File::open(&self.directory)?.sync_all()
        })();
        if written.is_err() {
            let _ = fs::remove_file(&unfinished); // what failed is told
        }
        written
    }

    /// Deletes the files of days that are not served any more, and what was left unfinished.
    fn sweep(&self, manifest: &Manifest) -> io::Result<()> {
        let served = || manifest.days.iter().chain(&manifest.older);
        self.written().retain(|stamp, _| served().any(|file| file.stamp == stamp.to_string()));
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str() else { continue };
            if is_ours(name) && !served().any(|file| file.name == name) {
                fs::remove_file(self.path(name))?;
            }
        }
        Ok(())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn written(&self) -> std::sync::MutexGuard<'_, HashMap<DayStamp, DayFile>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a file of that name is one that a server writes: others are nobody's to delete.
fn is_ours(name: &str) -> bool {
    let finished = name.strip_suffix(UNFINISHED).unwrap_or(name);
    let is_day = finished.strip_prefix(DAY_PREFIX).and_then(|rest| rest.split_at_checked(10)).is_some_and(
        |(day, sum)| {
            let is_digit = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
            let sum = sum.strip_prefix('-').map(str::as_bytes);
            day.parse::<Day>().is_ok() && sum.is_some_and(|sum| sum.len() == 8 && sum.iter().all(is_digit))
        },
    );
    is_day || ([MANIFEST, KEYS].contains(&finished) && finished != name)
}

/// The pause before the directory is asked for again that another server writes in.
const LOCKED_PAUSE: Duration = Duration::from_secs(2);

struct Summed {
    hasher: crc32fast::Hasher,
    bytes: u64,
}

/// Writes to a file, and sums up what was written.
struct Tee<'a, W> {
    file: &'a mut W,
    summed: &'a mut Summed,
}

impl<W: Write> Write for Tee<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.summed.hasher.update(&bytes[..written]);
        self.summed.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A snapshot to keep, and the database that it is of.
type ToKeep = Option<(Arc<Snapshot>, String)>;

/// A task that keeps the last snapshot it is given; those that come while it writes give way to the last.
pub(crate) struct Keeper {
    last: Option<watch::Sender<ToKeep>>,
    task: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Keeps in `disk`; nothing without.
    pub(crate) fn start(disk: Option<Disk>, serving: Arc<Serving>) -> Self {
        let Some(disk) = disk else { return Self { last: None, task: None } };
        let (last, given) = watch::channel(None);
        Self { last: Some(last), task: Some(tokio::spawn(keep(disk, given, serving))) }
    }

    /// Keeps `snapshot` of `database`, unless another comes before its turn.
    pub(crate) fn keep(&self, snapshot: Arc<Snapshot>, database: &str) {
        if let Some(last) = &self.last {
            last.send_replace(Some((snapshot, database.to_owned())));
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.iter().for_each(JoinHandle::abort);
    }
}

async fn keep(disk: Disk, mut given: watch::Receiver<ToKeep>, serving: Arc<Serving>) {
    let mut is_in_trouble = false;
    while given.changed().await.is_ok() {
        let Some((snapshot, database)) = given.borrow_and_update().clone() else { continue };
        let write = {
            let disk = disk.clone();
            move || disk.write(&snapshot, &database)
        };
        let written = match tokio::task::spawn_blocking(write).await {
            Ok(written) => written,
            Err(error) => Err(io::Error::other(error)),
        };
        let directory = disk.directory.display();
        match &written {
            Ok(true) => (),
            Ok(false) => {
                tracing::debug!(%directory, "another server keeps what it serves here; trying again");
                tokio::time::sleep(LOCKED_PAUSE).await;
                given.mark_changed();
            }
            Err(error) if !is_in_trouble => tracing::warn!(
                %error,
                %directory,
                "could not keep what is served on disk: without the database, the next start serves what was kept before"
            ),
            Err(_) => (),
        }
        is_in_trouble = written.is_err();
        if let Some(is_kept) = written.map_or(Some(false), |is_ours| is_ours.then_some(true)) {
            serving.telemetry.kept(is_kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_that_a_server_writes_are_its_own() {
        for name in [
            "day-2024-11-20-0a1b2c3d",
            "day-2024-11-20-0a1b2c3d.unfinished",
            "manifest.unfinished",
            "keys.unfinished",
        ] {
            assert!(is_ours(name), "{name}");
        }
        for name in [
            "day-2024-11-20.csv",
            "day-2024-11-20",
            "day-2024-13-20-0a1b2c3d",
            "day-2024-11-20-0a1b2c3",
            "day-2024-11-20-0A1B2C3D",
            "day-2024-11-20-0a1b2c3d.csv",
            "day-ünicode-0a1b2c3d",
            "logs.unfinished",
            "manifest",
            "keys",
            "lock",
        ] {
            assert!(!is_ours(name), "{name}");
        }
    }
}
