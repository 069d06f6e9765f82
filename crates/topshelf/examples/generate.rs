//! Generates sample logs: `generate OUT ROWS VIEW_ROWS ADVERTISERS PRODUCTS [DAYS]`.

use std::env::args;
use topshelf::generate::{GenerateOptions, generate};

fn main() {
    let number = |at| args().nth(at).map(|text: String| text.parse::<u64>().expect("a number"));
    let defaults = GenerateOptions::default();
    let options = GenerateOptions {
        out: args().nth(1).expect("a folder").into(),
        rows: number(2).expect("rows"),
        view_rows: number(3),
        advertisers: number(4).expect("advertisers") as u32,
        products: number(5).expect("products") as u32,
        days: number(6).unwrap_or(1) as u32,
        ..defaults
    };
    let started = std::time::Instant::now();
    match generate(&options, &|_| ()) {
        Ok(generated) => {
            println!("{} rows, {} bytes, {:?}", generated.rows, generated.bytes, started.elapsed())
        }
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    }
}
