//! Opaque ids: 1–255 bytes of UTF-8, compared byte by byte.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest id, in bytes of UTF-8.
pub const ID_BYTES_MAX: usize = 255;

/// Why a text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text has no bytes.
    #[error("the id is empty")]
    Empty,
    /// The text has more than [`ID_BYTES_MAX`] bytes.
    #[error("the id has {0} bytes, more than {ID_BYTES_MAX}")]
    TooLong(usize),
}

fn checked(id: Box<str>) -> Result<Box<str>, IdError> {
    match id.len() {
        0 => Err(IdError::Empty),
        1..=ID_BYTES_MAX => Ok(id),
        length => Err(IdError::TooLong(length)),
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// Takes an id of 1–255 bytes.
            ///
            /// # Errors
            /// [`IdError`] when the text is empty or too long.
            pub fn new(id: impl Into<Box<str>>) -> Result<Self, IdError> {
                checked(id.into()).map(Self)
            }

            /// The id as it stands in the logs.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(id: String) -> Result<Self, IdError> {
                Self::new(id)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.into()
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

id! {
    /// An advertiser: a client of the ad-tech company.
    AdvertiserId
}
id! {
    /// A product of one advertiser. The same text under two advertisers is two products.
    ProductId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_hold_any_text_of_1_to_255_bytes() {
        assert_eq!(AdvertiserId::new(""), Err(IdError::Empty));
        assert!(AdvertiserId::new("a/b \"ü\"\n").is_ok());
        assert!(ProductId::new("x".repeat(255)).is_ok());
        assert_eq!(ProductId::new("é".repeat(128)), Err(IdError::TooLong(256)));
    }
}
