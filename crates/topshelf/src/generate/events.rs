//! Chunks of events as the bytes of their lines, made by threads and handed over in order.

use super::{
    GenerateError,
    layout::{Chunk, EventLog},
    popularity::{Stream, below, stream},
    population::Population,
};
use domain::Day;
use rand_xoshiro::rand_core::RngCore;
use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

/// The longest line: 20 + 6 + 10 + 10 characters, three commas and the line's end.
const LINE_BYTES_MAX: usize = 50;
/// A click comes at most this many lines after its impression; a power of two.
const CLICK_DELAY_MAX: usize = 256;

/// Makes every chunk's lines on `threads` threads and gives them to `write` in the order of `chunks`.
///
/// A fixed number of buffers goes round, so memory does not grow when `write` is slow. A thread takes a
/// buffer before it takes a chunk: whoever has the next chunk to be written therefore never waits.
pub(super) fn in_order(
    seed: u64,
    population: &Population,
    chunks: &[Chunk],
    threads: NonZeroUsize,
    mut write: impl FnMut(&Chunk, &[u8]) -> Result<(), GenerateError>,
) -> Result<(), GenerateError> {
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
                    write_lines(seed, population, chunk, &mut lines);
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
fn write_lines(seed: u64, population: &Population, chunk: &Chunk, lines: &mut Vec<u8>) {
    let key = [seed, chunk.log as u64, chunk.day.epoch_days() as u64, chunk.number];
    let mut stream = stream(key);
    lines.clear();
    lines.reserve(chunk.rows as usize * LINE_BYTES_MAX);
    match chunk.log {
        EventLog::AdsViews => write_ads(population, chunk, &mut stream, lines),
        EventLog::ProductViews => write_views(population, chunk, &mut stream, lines),
    }
}

fn write_views(population: &Population, chunk: &Chunk, stream: &mut Stream, lines: &mut Vec<u8>) {
    let end: [u8; 11] = line_end("", chunk.day);
    let mut coins = 0;
    for row in 0..chunk.rows {
        if row % 64 == 0 {
            coins = stream.next_u64();
        }
        let product = population.draw(coins & 1 == 1, stream);
        coins >>= 1;
        write_line(population, product, &end, lines);
    }
}

/// A click is a line of its own, some lines after the impression it follows: a chunk never holds more
/// clicks than impressions of a product, and no click comes first.
fn write_ads(population: &Population, chunk: &Chunk, stream: &mut Stream, lines: &mut Vec<u8>) {
    let impression_end: [u8; 22] = line_end("impression,", chunk.day);
    let click_end: [u8; 17] = line_end("click,", chunk.day);
    let mut clicks_due = [None; CLICK_DELAY_MAX];
    let rows = chunk.rows as usize;
    for row in 0..rows {
        if let Some(product) = clicks_due[row % CLICK_DELAY_MAX].take() {
            write_line(population, product, &click_end, lines);
            continue;
        }
        let bits = stream.next_u64();
        let product = population.draw(bits & 1 == 1, stream);
        write_line(population, product, &impression_end, lines);
        if population.at(product).1.is_clicked((bits >> 48) as u16) {
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

fn write_line(population: &Population, product: u32, end: &[u8], lines: &mut Vec<u8>) {
    let (advertiser, product) = population.at(product);
    lines.extend_from_slice(advertiser);
    lines.extend_from_slice(&product.field);
    lines.extend_from_slice(end);
}

/// What follows the product in every line of a kind.
fn line_end<const N: usize>(kind: &str, day: Day) -> [u8; N] {
    let end = format!("{kind}{day}\n").into_bytes();
    end.try_into().expect("a day is written in ten characters")
}
