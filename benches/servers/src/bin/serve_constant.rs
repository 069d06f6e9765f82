//! A route of axum that answers every request with the same bytes: no server of this kind does less.

use axum::{Router, body::Bytes, http::header::CONTENT_TYPE, routing::get};
use bench_servers::listening::serve;
use clap::Parser;
use std::{error::Error, fs, path::PathBuf};

/// Answers /recommendations/{advertiser}/{model} with the bytes of a file.
#[derive(Parser)]
struct Arguments {
    /// Host and port to listen on
    #[arg(long)]
    listen: String,
    /// The file that holds the answer
    #[arg(long)]
    body: PathBuf,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { listen, body } = Arguments::parse();
    let body = Bytes::from(fs::read(body)?);
    let answer = move || async move { ([(CONTENT_TYPE, "application/json")], body) };
    let router = Router::new().route("/recommendations/{advertiser}/{model}", get(answer));
    Ok(serve(&listen, router).await?)
}
