//! What people call a key: a short line of text.

use std::{fmt, str::FromStr};

/// The longest name, in bytes of UTF-8.
const BYTES_MAX: usize = 100;

/// A key's name: 1–100 bytes in one line, without blanks around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyName(Box<str>);

/// Why a text is no key's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyNameError {
    /// The text has no bytes, or blanks alone.
    #[error("a key's name is not empty")]
    Empty,
    /// The text is longer than a name.
    #[error("a key's name has at most {BYTES_MAX} bytes, this one {0}")]
    TooLong(usize),
    /// The text holds a line break, a tab or the like.
    #[error("a key's name is one line, without control characters")]
    ControlCharacter,
    /// Blanks stand around the text.
    #[error("a key's name has no blanks before or after it")]
    Blanks,
}

impl KeyName {
    /// Takes a name.
    ///
    /// # Errors
    /// [`KeyNameError`] when the text is none.
    pub fn new(name: &str) -> Result<Self, KeyNameError> {
        match name {
            _ if name.trim().is_empty() => Err(KeyNameError::Empty),
            _ if name.len() > BYTES_MAX => Err(KeyNameError::TooLong(name.len())),
            _ if name.contains(char::is_control) => Err(KeyNameError::ControlCharacter),
            _ if name.trim() != name => Err(KeyNameError::Blanks),
            _ => Ok(Self(name.into())),
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = KeyNameError;

    fn from_str(name: &str) -> Result<Self, KeyNameError> {
        Self::new(name)
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_short_line() {
        for name in ["x", "Acme, the shop's partner", "größe 👟", &"n".repeat(BYTES_MAX)] {
            assert_eq!(KeyName::new(name).unwrap().as_str(), name);
        }
        let too_long = "é".repeat(51);
        for (text, error) in [
            ("", KeyNameError::Empty),
            (" \t", KeyNameError::Empty),
            (&too_long, KeyNameError::TooLong(102)),
            ("a\nb", KeyNameError::ControlCharacter),
            ("a\0", KeyNameError::ControlCharacter),
            ("\u{1b}[31mred", KeyNameError::ControlCharacter),
            (" a", KeyNameError::Blanks),
            ("a ", KeyNameError::Blanks),
        ] {
            assert_eq!(KeyName::new(text), Err(error), "{text:?}");
        }
    }
}
