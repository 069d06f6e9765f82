//! topshelf: the commands, the configuration and the night's plan, built from the crates below it.

pub mod generate;
