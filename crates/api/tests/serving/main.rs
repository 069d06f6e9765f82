//! A server on a real store, asked over real connections.

#![expect(clippy::unwrap_used, reason = "what a test did not expect ends it")]

mod contract;
mod documents;
mod harness;
mod held;
mod history;
mod ids;
mod kept;
mod keys;
mod limits;
mod operator;
mod protocol;
mod proxies;
mod publications;
mod recommendations;
mod refused;
mod seen;
mod several;
mod stats;
mod tls;
