//! What every database must do alike, run on PostgreSQL and SQLite.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected fails")]

mod again;
mod connecting;
mod database;
mod holds;
mod keys;
mod lease;
mod ledger;
mod migrating;
mod moves;
mod notation;
mod packed;
mod pins;
mod property;
mod publishing;
mod silence;
mod together;
mod trimming;
mod watching;
