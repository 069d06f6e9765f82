//! What every database must do alike, run on PostgreSQL and SQLite.

mod connecting;
mod database;
mod ledger;
mod migrating;
mod notation;
mod property;
mod publishing;
mod together;
mod watching;
