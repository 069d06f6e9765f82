//! JSON lines: one object a line, whose needed members are found by name.
//!
//! What is valid is what RFC 8259 says, and no more: no comments, no trailing commas, no lone surrogates in
//! any text; at most 127 objects and arrays inside one another. White space may stand wherever the
//! grammar allows it. As a line ending inside a text must be escaped, **a line is a record**, and a bad line
//! costs nobody but itself.
//!
//! `object` is the exact reader of one line. `lines` is the path of nearly every line, which has the same
//! members in the same order, with the same bytes between their values, as one before it: `template`. `head`
//! tells from an object's first lines whether it can be the log.

mod field;
mod head;
mod lines;
mod object;
mod scan;
mod template;
mod text;
mod value;

pub(crate) use head::{is_blank, is_json, is_name, layout};
pub(crate) use lines::{Lines, Templates, count_lines};
pub(crate) use object::{next_line, read};
