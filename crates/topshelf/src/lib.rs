//! topshelf
