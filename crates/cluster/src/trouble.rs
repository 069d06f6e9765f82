//! What went wrong on an executor, in words that survive the way to whoever runs the night.
//!
//! The engine carries an error as the debug text of whatever it wrapped around it. So these words stand in that text
//! between marks, and without any character that a debug text would write otherwise.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use std::{error::Error, fmt};

/// Stand around a trouble, and between its message and its remedy.
const BEGIN: char = '⟦';
const REMEDY: char = '¦';
const END: char = '⟧';

/// What a debug text escapes, and `%` itself; all that is not ASCII is encoded too, and so are the marks.
const ENCODED: &AsciiSet = &CONTROLS.add(b'"').add(b'\\').add(b'%');

/// What went wrong on an executor, and what to do about it.
#[derive(Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What, and on which executor.
    pub message: String,
    /// What to do.
    pub remedy: Option<String>,
}

impl Trouble {
    /// The first that is told in a text.
    pub(crate) fn told_in(text: &str) -> Option<Self> {
        let told = text.split_once(BEGIN)?.1.split_once(END)?.0;
        let (message, remedy) = match told.split_once(REMEDY) {
            Some((message, remedy)) => (message, Some(remedy)),
            None => (told, None),
        };
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        Some(Self { message: decoded(message), remedy: remedy.map(decoded) })
    }
}

/// The text that is understood where it arrives.
impl fmt::Debug for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = |text| utf8_percent_encode(text, ENCODED);
        write!(f, "{BEGIN}{}", encoded(&self.message))?;
        if let Some(remedy) = &self.remedy {
            write!(f, "{REMEDY}{}", encoded(remedy))?;
        }
        write!(f, "{END}")
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Trouble {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn words_come_through_whatever_is_wrapped_around_them() {
        for (message, remedy) in [
            ("could not read s3://logs/ads \"1\".csv", Some("let \\ be, or %22")),
            ("⟦a¦b⟧ and é\nin the next line", None),
            ("", Some("")),
        ] {
            let trouble = Trouble { message: message.to_owned(), remedy: remedy.map(str::to_owned) };
            let once = format!("Task failed: {:?} of it", io::Error::other(trouble.clone()));
            let twice = format!("Job failed: {once:?}");
            for text in [once, twice] {
                assert_eq!(Trouble::told_in(&text).as_ref(), Some(&trouble), "{text}");
            }
        }
        assert_eq!(Trouble::told_in("a ⟦ that is not one"), None);
    }
}
