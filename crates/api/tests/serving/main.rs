//! A server on a real store, asked over real connections.

mod documents;
mod harness;
mod history;
mod ids;
mod protocol;
mod publications;
mod recommendations;
mod stats;
