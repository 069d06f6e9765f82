//! Chunks of events as the bytes of their lines, made by threads and handed over in order.

use super::{
    GenerateError, GenerateOptions,
    layout::{Chunk, EventLog},
    lines::LineForm,
    popularity::{Stream, below, stream},
    population::Population,
    unused::Unused,
};
use rand_xoshiro::rand_core::RngCore;
use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

/// Marks the random streams of unused columns; those of events have the log alone.
const STREAMS_OF_UNUSED: u64 = 1 << 32;
/// A click comes at most this many lines after its impression; a power of two.
const CLICK_DELAY_MAX: usize = 256;

/// Makes every chunk's lines on the threads of the options and gives them to `write` in the order of `chunks`.
///
/// A fixed number of buffers goes round, so memory does not grow when `write` is slow. A thread takes a
/// buffer before it takes a chunk: whoever has the next chunk to be written therefore never waits.
pub(super) fn in_order(
    options: &GenerateOptions,
    population: &Population,
    chunks: &[Chunk],
    mut write: impl FnMut(&Chunk, &[u8]) -> Result<(), GenerateError>,
) -> Result<(), GenerateError> {
    let threads = options.threads;
    let next_chunk = AtomicUsize::new(0);
    let (give_back, empty_buffers) = mpsc::channel::<Vec<u8>>();
    for _ in 0..2 * threads.get() + 1 {
        give_back.send(Vec::new()).expect("the receiver lives until the end of this function");
    }
    let empty_buffers = Mutex::new(empty_buffers);
    let take_buffer = || empty_buffers.lock().expect("no holder of the lock panics").recv();

    thread::scope(|scope| {
        let (hand_over, made) = mpsc::channel();
        for _ in 0..threads.get() {
            let hand_over = hand_over.clone();
            let (next_chunk, take_buffer) = (&next_chunk, &take_buffer);
            scope.spawn(move || {
                while let Ok(mut lines) = take_buffer() {
                    let number = next_chunk.fetch_add(1, Ordering::Relaxed);
                    let Some(chunk) = chunks.get(number) else { break };
                    write_lines(options, population, chunk, &mut lines);
                    if hand_over.send((number, lines)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(hand_over);

        // Owned here, so that threads waiting for a buffer end when writing ends early.
        let give_back = give_back;
        let mut waiting = BTreeMap::new();
        let mut next_written = 0;
        for (number, lines) in made {
            waiting.insert(number, lines);
            while let Some(lines) = waiting.remove(&next_written) {
                write(&chunks[next_written], &lines)?;
                next_written += 1;
                // When no thread is left to use it, the buffer is simply dropped.
                let _ = give_back.send(lines);
            }
        }
        Ok(())
    })
}

/// Replaces what is in `lines` by the chunk's lines.
fn write_lines(options: &GenerateOptions, population: &Population, chunk: &Chunk, lines: &mut Vec<u8>) {
    let key = |log| [options.seed, log, chunk.day.epoch_days() as u64, chunk.number];
    let log = chunk.log as u64;
    let form = LineForm::new(options.format, chunk.log, chunk.day, options.extra_columns);
    lines.clear();
    lines.reserve(chunk.rows as usize * form.line_bytes_max());
    let unused = population.unused(key(log | STREAMS_OF_UNUSED));
    let mut lines = Lines { population, form: &form, unused, lines };
    let mut stream = stream(key(log));
    match chunk.log {
        EventLog::AdsViews => write_ads(&mut lines, chunk, &mut stream),
        EventLog::ProductViews => write_views(&mut lines, chunk, &mut stream),
    }
}

/// The lines of a chunk, being written.
struct Lines<'a> {
    population: &'a Population,
    form: &'a LineForm,
    unused: Unused<'a>,
    lines: &'a mut Vec<u8>,
}

impl Lines<'_> {
    /// Writes an event of the product, of the log's kind with that index.
    fn write(&mut self, product: u32, kind: usize) {
        let (advertiser, product) = self.population.at(product);
        self.form.write((advertiser, &product.text), kind, &mut self.unused, self.lines);
    }
}

fn write_views(lines: &mut Lines<'_>, chunk: &Chunk, stream: &mut Stream) {
    let mut coins = 0;
    for row in 0..chunk.rows {
        if row % 64 == 0 {
            coins = stream.next_u64();
        }
        let product = lines.population.draw(coins & 1 == 1, stream);
        coins >>= 1;
        lines.write(product, 0);
    }
}

/// A click is a line of its own, some lines after the impression it follows: a chunk never holds more
/// clicks than impressions of a product, and no click comes first.
fn write_ads(lines: &mut Lines<'_>, chunk: &Chunk, stream: &mut Stream) {
    let [impression, click] = [0, 1];
    let mut clicks_due = [None; CLICK_DELAY_MAX];
    let rows = chunk.rows as usize;
    for row in 0..rows {
        if let Some(product) = clicks_due[row % CLICK_DELAY_MAX].take() {
            lines.write(product, click);
            continue;
        }
        let bits = stream.next_u64();
        let product = lines.population.draw(bits & 1 == 1, stream);
        lines.write(product, impression);
        if lines.population.at(product).1.is_clicked((bits >> 48) as u16) {
            let delay_max = (rows - 1 - row).min(CLICK_DELAY_MAX - 1);
            let delay_min = 1 + below(delay_max as u32, (bits >> 8) as u32) as usize;
            let free =
                (delay_min..=delay_max).find(|delay| clicks_due[(row + delay) % CLICK_DELAY_MAX].is_none());
            if let Some(delay) = free {
                clicks_due[(row + delay) % CLICK_DELAY_MAX] = Some(product);
            }
        }
    }
}
