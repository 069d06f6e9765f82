//! JSON lines: one object a line, whose needed members are found by name.
//!
//! What is valid is what RFC 8259 says, and no more: no comments, no trailing commas, no lone surrogates in
//! any text; at most 127 objects and arrays inside one another. White space may stand wherever the
//! grammar allows it. As a line ending inside a text must be escaped, **a line is a record**, and a bad line
//! costs nobody but itself.
//!
//! `object` is the exact reader of one line. `template` is the path of nearly every line: it has the
//! same members in the same order, with the same bytes between their values, as one before it. `head` tells
//! from an object's first lines whether it can be the log.

mod head;
mod object;
mod scan;
mod template;
mod text;
mod value;

pub(crate) use head::{is_json, is_name, layout};
pub(crate) use object::{next_line, read};
pub(crate) use template::{Lines, Templates, count_lines};
