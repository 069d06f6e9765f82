//! A file that is compressed while it is written, at the level that the tools take by themselves.

use flate2::write::GzEncoder;
use source::Compression;
use std::{
    fmt,
    fs::File,
    io::{self, Write},
    path::Path,
};

/// Zstandard's own default level.
const ZSTD_LEVEL: i32 = 3;

/// A new file, compressed or not: one gzip member or one zstd frame.
pub(super) enum CompressedFile {
    Plain(File),
    Gzip(GzEncoder<File>),
    Zstd(zstd::Encoder<'static, File>),
}

impl CompressedFile {
    /// Makes the file; one that is there is replaced.
    pub(super) fn create(path: &Path, compression: Compression) -> io::Result<Self> {
        let file = File::create(path)?;
        Ok(match compression {
            Compression::None => Self::Plain(file),
            Compression::Gzip => Self::Gzip(GzEncoder::new(file, flate2::Compression::default())),
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(file, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                Self::Zstd(encoder)
            }
        })
    }

    /// Writes what is still held back; the file's size in bytes.
    pub(super) fn finish(self) -> io::Result<u64> {
        let file = match self {
            Self::Plain(file) => file,
            Self::Gzip(encoder) => encoder.finish()?,
            Self::Zstd(encoder) => encoder.finish()?,
        };
        Ok(file.metadata()?.len())
    }
}

impl Write for CompressedFile {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.write(content),
            Self::Gzip(encoder) => encoder.write(content),
            Self::Zstd(encoder) => encoder.write(content),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}

impl fmt::Debug for CompressedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CompressedFile")
    }
}
