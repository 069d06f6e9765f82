//! Products that begin an object of the lake, as one of half a million does: what its checksum with its advertiser's
//! is mixed to decides (`crates/lake/src/counts/cut.rs`).

use std::collections::HashMap;

const TABLE: [u32; 256] = table();

/// By what the multiplications of the mix are undone.
const INVERSES: [u32; 2] = [0x7ED1_B41D, 0xA5CB_9243];

/// What it must be less than.
const BELOW: u32 = u32::MAX / (512 << 10);

/// Such products of an advertiser, called as `topshelf generate` calls them, anywhere among its others.
///
/// A checksum is linear: what three letters add to it is the same behind whatever stands before, so that the last three
/// are looked up.
pub(super) fn products(advertiser: &str) -> impl Iterator<Item = String> {
    let ends: HashMap<u32, [u8; 3]> = (0..LETTERS).map(letters).map(|end| (add(0, &end), end)).collect();
    let wanted: Vec<u32> = (0..BELOW).map(|mixed| !unmixed(mixed)).collect();
    let advertiser = add(add(!0, advertiser.as_bytes()), &[0xFF]);
    let product = move |number| {
        let beginning = letters(number * 7919 % LETTERS);
        let before = add(add(advertiser, &beginning), &[0; 3]);
        let end = wanted.iter().find_map(|wanted| ends.get(&(before ^ wanted)))?;
        Some(String::from_utf8_lossy(&[beginning, *end].concat()).into_owned())
    };
    (0..LETTERS).filter_map(product)
}

/// What is mixed to this by the last step of `MurmurHash3`.
fn unmixed(mixed: u32) -> u32 {
    let mixed = (mixed ^ (mixed >> 16)).wrapping_mul(INVERSES[0]);
    let mixed = (mixed ^ (mixed >> 13) ^ (mixed >> 26)).wrapping_mul(INVERSES[1]);
    mixed ^ (mixed >> 16)
}

/// How many there are of three letters and digits.
const LETTERS: u32 = 36 * 36 * 36;

fn letters(number: u32) -> [u8; 3] {
    let letter = |rest: u32| b"0123456789abcdefghijklmnopqrstuvwxyz"[(rest % 36) as usize];
    [letter(number / 36 / 36), letter(number / 36), letter(number)]
}

/// The state of a CRC-32 after more bytes.
fn add(state: u32, bytes: &[u8]) -> u32 {
    let step = |state: u32, byte: &u8| TABLE[((state ^ u32::from(*byte)) & 0xFF) as usize] ^ (state >> 8);
    bytes.iter().fold(state, step)
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut state, mut bit) = (byte as u32, 0);
        while bit < 8 {
            state = if state & 1 == 1 { (state >> 1) ^ 0xEDB8_8320 } else { state >> 1 };
            bit += 1;
        }
        table[byte] = state;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(!add(!0, b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn products_that_begin_an_object_are_found() {
        let mixed = |checksum: u32| {
            let mixed = (checksum ^ (checksum >> 16)).wrapping_mul(0x85EB_CA6B);
            let mixed = (mixed ^ (mixed >> 13)).wrapping_mul(0xC2B2_AE35);
            mixed ^ (mixed >> 16)
        };
        for product in products("acme").take(3) {
            let key = [b"acme".as_slice(), &[0xFF], product.as_bytes()].concat();
            assert!(mixed(!add(!0, &key)) < BELOW, "{product}");
        }
    }
}
