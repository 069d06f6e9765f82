//! How pages are compressed, and what unpacks them.

use super::{Broken, PADDING_BYTES};
use flate2::read::MultiGzDecoder;
use parquet::basic::Compression;
use std::io::Read;

/// A compression that can be unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    None,
    Snappy,
    Gzip,
    Zstd,
    /// Blocks behind their lengths, as Hadoop writes them, or one block.
    Lz4,
    Lz4Raw,
}

impl Codec {
    pub(super) fn of(compression: Compression) -> Option<Self> {
        match compression {
            Compression::UNCOMPRESSED => Some(Self::None),
            Compression::SNAPPY => Some(Self::Snappy),
            Compression::GZIP(_) => Some(Self::Gzip),
            Compression::ZSTD(_) => Some(Self::Zstd),
            Compression::LZ4 => Some(Self::Lz4),
            Compression::LZ4_RAW => Some(Self::Lz4Raw),
            Compression::LZO | Compression::BROTLI(_) => None,
        }
    }
}

/// Unpacks pages; kept from page to page for its memory.
#[derive(Default)]
pub(super) struct Unpacker {
    zstd: zstd::bulk::Decompressor<'static>,
    snappy: snap::raw::Decoder,
}

impl Unpacker {
    /// Unpacks `stored` behind the first `start` bytes of `buffer`, where it must fill `length` bytes.
    /// Padding follows.
    pub(super) fn unpack(
        &mut self,
        codec: Codec,
        stored: &[u8],
        buffer: &mut Vec<u8>,
        start: usize,
        length: usize,
    ) -> Result<(), Broken> {
        if length > most_bytes(codec, stored)? {
            return Err(Broken("a page claims more bytes than it can hold".to_owned()));
        }
        if buffer.len() < start + length + PADDING_BYTES {
            buffer.resize(start + length + PADDING_BYTES, 0);
        }
        let out = &mut buffer[start..start + length];
        // Nothing at all need not be compressed.
        if length == 0 {
            return Ok(());
        }
        let unpacked = match codec {
            Codec::None => {
                if stored.len() == length {
                    out.copy_from_slice(stored);
                }
                Ok(stored.len())
            }
            Codec::Zstd => self.zstd.decompress_to_buffer(stored, out).map_err(|error| error.to_string()),
            Codec::Snappy => self.snappy.decompress(stored, out).map_err(|error| error.to_string()),
            Codec::Gzip => gunzip(stored, out).map_err(|error| error.to_string()),
            Codec::Lz4Raw => lz4_flex::block::decompress_into(stored, out).map_err(|error| error.to_string()),
            Codec::Lz4 => match hadoop_blocks(stored, out) {
                Some(unpacked) => Ok(unpacked),
                None => lz4_flex::block::decompress_into(stored, out).map_err(|error| error.to_string()),
            },
        };
        match unpacked {
            Ok(unpacked) if unpacked == length => Ok(()),
            Ok(unpacked) => Err(Broken(format!("a page of {unpacked} bytes claims {length}"))),
            Err(reason) => Err(Broken(format!("a page cannot be unpacked: {reason}"))),
        }
    }
}

/// The most that can be unpacked, so that a few bytes do not make us take much memory.
fn most_bytes(codec: Codec, stored: &[u8]) -> Result<usize, Broken> {
    let times = |most: usize| stored.len().saturating_mul(most);
    Ok(match codec {
        Codec::None => stored.len(),
        Codec::Snappy => {
            // Three bytes are copies of 64 at most.
            let claimed = snap::raw::decompress_len(stored).map_err(|error| Broken(error.to_string()))?;
            claimed.min(times(32))
        }
        Codec::Gzip => times(1032),
        Codec::Lz4 | Codec::Lz4Raw => times(256),
        Codec::Zstd => {
            let is_one_frame = zstd::zstd_safe::find_frame_compressed_size(stored) == Ok(stored.len());
            let length = zstd::zstd_safe::get_frame_content_size(stored).ok().flatten();
            let length = length.filter(|_| is_one_frame).and_then(|length| usize::try_from(length).ok());
            // A block of 128 KiB takes three bytes at least.
            length.unwrap_or(usize::MAX).min(times(1 << 17))
        }
    })
}

fn gunzip(stored: &[u8], out: &mut [u8]) -> std::io::Result<usize> {
    let mut decoder = MultiGzDecoder::new(stored);
    decoder.read_exact(out)?;
    // One byte more tells that there are more; how many does not matter.
    Ok(out.len() + decoder.read(&mut [0])?)
}

/// Blocks that each follow their length unpacked and as they are stored.
fn hadoop_blocks(mut stored: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut filled = 0;
    while !stored.is_empty() {
        let (lengths, rest) = stored.split_first_chunk::<8>()?;
        let [unpacked, packed] = [&lengths[..4], &lengths[4..]]
            .map(|bytes| u32::from_be_bytes(bytes.try_into().expect("four bytes")) as usize);
        let (block, rest) = rest.split_at_checked(packed)?;
        let into = out.get_mut(filled..)?.get_mut(..unpacked)?;
        if lz4_flex::block::decompress_into(block, into).ok()? != unpacked {
            return None;
        }
        (stored, filled) = (rest, filled + unpacked);
    }
    Some(filled)
}
