//! The floor that counting is measured against: a bare newline count of whole files.
//!
//! Takes the number of threads and the files; prints how many bytes and newlines they have and how long
//! it took, as JSON. Files are cut and read as counting does, in slices that threads take in any order,
//! each read in blocks of the same size, and nothing is done with a byte but to compare it.

use counting::stages::BLOCK_BYTES;
use std::{
    env,
    error::Error,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

/// Bytes of a file that a thread takes at a time: the default of `counting.slice_mib`.
const SLICE_BYTES: u64 = 16 << 20;

type Slice<'f> = (&'f Path, Range<u64>);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1);
    let threads = arguments.next().and_then(|threads| threads.to_str()?.parse().ok());
    let threads: usize = threads.ok_or("usage: count_newlines THREADS FILE…")?;
    let files: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
    let started = Instant::now();
    let slices = slices(&files)?;
    let newlines = count_all(&slices, threads)?;
    let bytes: u64 = slices.iter().map(|(_, range)| range.end - range.start).sum();
    let elapsed_us = started.elapsed().as_micros();
    println!("{{\"bytes\":{bytes},\"newlines\":{newlines},\"elapsed_us\":{elapsed_us}}}");
    Ok(())
}

fn slices(files: &[PathBuf]) -> io::Result<Vec<Slice<'_>>> {
    let mut slices = Vec::new();
    for file in files {
        let size = file.metadata()?.len();
        let starts = (0..size).step_by(usize::try_from(SLICE_BYTES).expect("a slice fits in memory"));
        slices.extend(starts.map(|start| (&**file, start..size.min(start + SLICE_BYTES))));
    }
    Ok(slices)
}

fn count_all(slices: &[Slice<'_>], threads: usize) -> io::Result<usize> {
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut newlines, mut block) = (0, vec![0; BLOCK_BYTES]);
        while let Some((file, range)) = slices.get(next.fetch_add(1, Ordering::Relaxed)) {
            newlines += count(file, range, &mut block)?;
        }
        Ok(newlines)
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().expect("a thread that counts does not panic")).sum()
    })
}

fn count(file: &Path, range: &Range<u64>, block: &mut [u8]) -> io::Result<usize> {
    let mut file = File::open(file)?;
    file.seek(SeekFrom::Start(range.start))?;
    let mut slice = file.take(range.end - range.start);
    let mut newlines = 0;
    loop {
        let read = slice.read(block)?;
        if read == 0 {
            return Ok(newlines);
        }
        newlines += memchr::memchr_iter(b'\n', &block[..read]).count();
    }
}
