//! The objects that are read: pieces of one generated log, made once below `target/`.

use crate::{
    Failure,
    repository::{program, succeed, target},
    say,
};
use std::{
    fmt,
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

/// The one day of the log.
pub(super) const DAY: &str = "2024-11-20";
/// The log that pieces are cut from, again and again when they are more.
const ROWS: u64 = 10_000_000;
const LIST: &str = "advertiser_ids.csv";

/// What objects there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Objects {
    pub(super) count: u64,
    /// Of each, before it is compressed.
    pub(super) bytes: u64,
    pub(super) is_gzip: bool,
}

impl fmt::Display for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = match self.bytes {
            bytes if bytes >= 1 << 20 => format!("{} MiB", bytes >> 20),
            bytes => format!("{} kB", bytes / 1000),
        };
        let gzip = if self.is_gzip { ", gzip" } else { "" };
        write!(f, "{} × {size}{gzip}", self.count)
    }
}

impl Objects {
    /// The folder with the objects and the list of advertisers, made when it is not there.
    pub(super) fn find_or_make(self) -> Result<PathBuf, Failure> {
        let gzip = if self.is_gzip { "-gzip" } else { "" };
        let data = target().join("bench-data");
        let folder = data.join(format!("s3-{}-{}{gzip}", self.count, self.bytes));
        // The list is the last file to come.
        if !folder.join(LIST).is_file() {
            let log = find_or_generate_log(&data.join("s3-log"))?;
            say(&format!("cutting {self} into {}", folder.display()));
            let cut = self.cut(&log.join("ads_views.csv"), &folder);
            cut.map_err(|error| format!("could not write into {}: {error}", folder.display()))?;
            self.compress(&folder)?;
            let copied = fs::copy(log.join(LIST), folder.join(LIST));
            copied.map_err(|error| format!("could not write into {}: {error}", folder.display()))?;
        }
        Ok(folder)
    }

    fn cut(self, log: &Path, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut lines = Lines::open(log)?;
        for number in 0..self.count {
            let mut object = BufWriter::new(File::create(folder.join(format!("ads_views-{number:06}.csv")))?);
            object.write_all(&lines.header)?;
            let mut left = self.bytes.saturating_sub(lines.header.len() as u64);
            while let Some(line) = lines.next_within(left)? {
                object.write_all(line)?;
                left -= line.len() as u64;
            }
            object.flush()?;
        }
        Ok(())
    }

    fn compress(self, folder: &Path) -> Result<(), Failure> {
        if !self.is_gzip {
            return Ok(());
        }
        for number in 0..self.count {
            let object = folder.join(format!("ads_views-{number:06}.csv"));
            succeed(program("gzip", &["-1", "--force"]).arg(object))?;
        }
        Ok(())
    }
}

/// The names and sizes of the files in a folder.
pub(super) fn sizes(folder: &Path) -> Result<Vec<(String, u64)>, Failure> {
    let unread = |error: io::Error| format!("could not list {}: {error}", folder.display());
    let mut sizes = Vec::new();
    for entry in fs::read_dir(folder).map_err(unread)? {
        let entry = entry.map_err(unread)?;
        let size = entry.metadata().map_err(unread)?.len();
        sizes.push((entry.file_name().to_string_lossy().into_owned(), size));
    }
    sizes.sort();
    Ok(sizes)
}

/// Reads all files once, so that nobody pays for the first look at the disk.
pub(super) fn warm(folder: &Path) -> Result<(), Failure> {
    for (name, _) in sizes(folder)? {
        let read = File::open(folder.join(&name)).and_then(|mut file| io::copy(&mut file, &mut io::sink()));
        read.map_err(|error| format!("could not read {name}: {error}"))?;
    }
    Ok(())
}

fn find_or_generate_log(folder: &Path) -> Result<PathBuf, Failure> {
    if !folder.join("product_views.csv").is_file() {
        say(&format!("generating a log of {ROWS} lines in {}", folder.display()));
        let mut generate = program(target().join("release/topshelf"), &["generate", "--overwrite", "--out"]);
        generate.arg(folder).args(["--days", "1", "--first-day", DAY, "--seed", "1", "--view-rows", "1"]);
        generate.args(["--rows", &ROWS.to_string(), "--advertisers", "2000", "--products", "500"]);
        succeed(&mut generate)?;
    }
    Ok(folder.to_owned())
}

/// The lines of a log, over and over.
struct Lines {
    header: Vec<u8>,
    path: PathBuf,
    reader: BufReader<File>,
    line: Vec<u8>,
    is_taken: bool,
}

impl Lines {
    fn open(path: &Path) -> io::Result<Self> {
        let (header, reader) = Self::begin(path)?;
        Ok(Self { header, path: path.to_owned(), reader, line: Vec::new(), is_taken: true })
    }

    fn begin(path: &Path) -> io::Result<(Vec<u8>, BufReader<File>)> {
        let mut reader = BufReader::with_capacity(1 << 20, File::open(path)?);
        let mut header = Vec::new();
        reader.read_until(b'\n', &mut header)?;
        Ok((header, reader))
    }

    /// The next line when it has at most `bytes`; it is the next one of the next call too if not.
    fn next_within(&mut self, bytes: u64) -> io::Result<Option<&[u8]>> {
        if self.is_taken {
            self.line.clear();
            if self.reader.read_until(b'\n', &mut self.line)? == 0 {
                (_, self.reader) = Self::begin(&self.path)?;
                self.reader.by_ref().read_until(b'\n', &mut self.line)?;
            }
        }
        self.is_taken = self.line.len() as u64 <= bytes;
        Ok(self.is_taken.then_some(&self.line[..]))
    }
}
