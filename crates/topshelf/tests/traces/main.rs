//! What an OpenTelemetry collector hears of nights and requests: a real one's protocol, the real program.

#![expect(clippy::unwrap_used, reason = "what a test did not expect ends it")]

mod collector;
mod nights;
mod requests;
#[expect(dead_code, reason = "it is made for other tests too")]
#[path = "../cli/scene.rs"]
mod scene;
#[expect(dead_code, reason = "it is made for other tests too")]
#[path = "../cli/service.rs"]
mod service;
