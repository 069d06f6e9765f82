//! Compressed objects: told by their first bytes, read as what was compressed.

use crate::{Location, ObjectInfo, SourceError};
use flate2::read::MultiGzDecoder;
use std::io::{self, Read};

/// How an object's bytes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// Gzip, of one member or several.
    Gzip,
    /// Zstandard, of one frame or several.
    Zstd,
}

/// The start of what was compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its first bytes.
    pub bytes: Vec<u8>,
    /// Whether there are no more.
    pub is_whole: bool,
}

impl Compression {
    /// How an object is compressed whose first bytes these are; its name does not matter.
    #[must_use]
    pub fn of(head: &[u8]) -> Self {
        if head.starts_with(b"\x1F\x8B") {
            Self::Gzip
        } else if matches!(head, [0x28, 0xB5, 0x2F, 0xFD, ..] | [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..]) {
            // A frame, or one to be skipped, as parallel compressors write them.
            Self::Zstd
        } else {
            Self::None
        }
    }

    /// What the first bytes of an object, `is_whole` when they are all, were compressed from, at most
    /// `most` bytes of it.
    #[must_use]
    pub fn head(self, compressed: &[u8], is_whole: bool, most: usize) -> Head {
        let mut bytes = Vec::new();
        // Where the head is cut off, so is what it was compressed from: that is no error yet.
        let read =
            self.reader(compressed).and_then(|reader| reader.take(most as u64).read_to_end(&mut bytes));
        let is_whole = is_whole && read.is_ok() && bytes.len() < most;
        Head { bytes, is_whole }
    }

    fn reader<'r>(self, compressed: impl Read + Send + 'r) -> io::Result<Box<dyn Read + Send + 'r>> {
        Ok(match self {
            Self::None => Box::new(compressed),
            Self::Gzip => Box::new(MultiGzDecoder::new(compressed)),
            Self::Zstd => Box::new(zstd::Decoder::new(compressed)?),
        })
    }

    /// `gzip` or `zstd`; empty when it is none.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

impl Location {
    /// What the bytes of `object`, which `compressed` gives from its start, were compressed from. What
    /// it reports as [`io::Error`] holds a [`SourceError`] if what `compressed` reports does so.
    ///
    /// # Errors
    /// [`SourceError::Damaged`] when there is no memory for it.
    pub fn decompressed<'r>(
        &self,
        object: &ObjectInfo,
        compression: Compression,
        compressed: impl Read + Send + 'r,
    ) -> Result<Box<dyn Read + Send + 'r>, SourceError> {
        let (url, compression_name) = (self.object_url(&object.name), compression.name());
        let damaged = move |error: &io::Error| SourceError::damaged(url.clone(), compression_name, error);
        if compression == Compression::None {
            return Ok(Box::new(compressed));
        }
        let inner = compression.reader(compressed).map_err(|error| damaged(&error))?;
        Ok(Box::new(Decompressed { inner, damaged }))
    }
}

/// Says which object it is that cannot be decompressed.
struct Decompressed<R, D> {
    inner: R,
    damaged: D,
}

impl<R: Read, D: Fn(&io::Error) -> SourceError> Read for Decompressed<R, D> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.inner.read(out).map_err(|error| match SourceError::of_read(&error) {
            Some(_) => error,
            None if error.kind() == io::ErrorKind::Interrupted => error,
            None => (self.damaged)(&error).into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn read(compressed: &[u8]) -> Result<Vec<u8>, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("log"), compressed).unwrap();
        let location = Location::open(folder.path().to_str().unwrap()).unwrap();
        let object = ObjectInfo {
            name: "log".into(),
            size: compressed.len() as u64,
            etag: None,
            modified: std::time::SystemTime::UNIX_EPOCH,
        };
        let mut text = Vec::new();
        let compression = Compression::of(compressed);
        let mut reader = location.decompressed(&object, compression, compressed).unwrap();
        let read = reader.read_to_end(&mut text);
        read.map(|_| text).map_err(|error| error.to_string().replace(folder.path().to_str().unwrap(), "…"))
    }

    #[test]
    fn several_members_or_frames_are_one_text() {
        for compress in [gzip, zstd, <[u8]>::to_vec] {
            let parts = [compress(b"one,"), compress(b""), compress(b"two")].concat();
            assert_eq!(read(&parts).unwrap(), b"one,two");
        }
        let skipped = b"\x50\x2A\x4D\x18\x04\0\0\0size";
        assert_eq!(read(&[&skipped[..], &zstd(b"one")].concat()).unwrap(), b"one");
    }

    #[test]
    fn what_is_damaged_is_named() {
        let text = "advertiser_id,product_id\n".repeat(2000);
        for (name, whole) in [("gzip", gzip(text.as_bytes())), ("zstd", zstd(text.as_bytes()))] {
            let cut = read(&whole[..whole.len() - 3]).unwrap_err();
            assert_eq!(
                cut,
                format!("…/log cannot be read as {name}: it ends too early, or something else follows it")
            );
            let mut spoilt = whole.clone();
            spoilt[whole.len() / 2] ^= 0x55;
            let spoilt = read(&spoilt).unwrap_err();
            assert!(spoilt.starts_with(&format!("…/log cannot be read as {name}: ")), "{spoilt}");
            let more = read(&[&whole[..], b"more"].concat()).unwrap_err();
            assert!(more.starts_with(&format!("…/log cannot be read as {name}: ")), "{more}");
        }
    }

    #[test]
    fn a_head_is_whole_when_all_was_there() {
        for compress in [gzip, zstd, <[u8]>::to_vec] {
            let compressed = compress(b"advertiser_id\n");
            let of = |length: usize, most| {
                let head = &compressed[..length];
                Compression::of(&compressed).head(head, length == compressed.len(), most)
            };
            assert_eq!(of(compressed.len(), 99), Head { bytes: b"advertiser_id\n".to_vec(), is_whole: true });
            assert_eq!(of(compressed.len(), 4), Head { bytes: b"adve".to_vec(), is_whole: false });
            assert!(!of(compressed.len() - 1, 99).is_whole);
        }
    }
}
