//! topshelf.
fn main() {}
