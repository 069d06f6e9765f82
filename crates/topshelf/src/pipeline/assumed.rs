//! Objects whose beginning is read when they are counted, not before: small ones, of which a bucket has many.
//!
//! To ask for the header of each first would cost as many requests as to fetch them whole. Each of them is
//! assumed to begin as the first one of its log does, and compared when it is opened. Where one begins
//! otherwise, [`NotAsAssumed`] says so; then all beginnings must be read before counting, which also finds
//! all that is wrong with them. Nothing is ever counted by a wrong assumption.

use super::input::{HEADER_BYTES, HEADER_BYTES_READ_MAX, recognise};
use counting::{Columns, Layout};
use source::{Compression, ObjectInfo, PlannedObject};
use std::{
    fmt,
    io::{self, Cursor, Read},
};

/// Objects of this size are fetched whole by one request.
pub(super) const SMALL_BYTES_MAX: u64 = 4 << 20;

/// So many beginnings can be asked for at once, so that reading them first costs little time.
pub(super) const ASKED_AT_ONCE: usize = 64;

/// How an object begins, and how that is told from its bytes.
#[derive(Debug)]
pub(super) struct Assumption {
    pub(super) layout: Layout,
    pub(super) compression: Compression,
    pub(super) columns: Columns,
    pub(super) delimiter: Option<u8>,
}

/// An object begins otherwise than it was assumed to.
#[derive(Debug)]
pub(super) struct NotAsAssumed;

impl fmt::Display for NotAsAssumed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the object does not begin as another one of its log")
    }
}

impl std::error::Error for NotAsAssumed {}

impl NotAsAssumed {
    pub(super) fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

impl Assumption {
    /// Whether counting will open the object: one with nothing behind the assumed header has nothing to
    /// count, whatever it begins with.
    pub(super) fn will_be_checked(&self, planned: &PlannedObject) -> bool {
        self.compression != Compression::None || planned.object.size > self.layout.data_start()
    }

    /// The same bytes of `object` that `stored` gives from its start, once they are known to begin as assumed.
    ///
    /// # Errors
    /// [`NotAsAssumed`]; others when it cannot be read.
    pub(super) fn check<R: Read>(
        &self,
        object: &ObjectInfo,
        mut stored: R,
    ) -> io::Result<io::Chain<Cursor<Vec<u8>>, R>> {
        let mut beginning = Vec::new();
        let mut wanted = HEADER_BYTES;
        loop {
            let missing = wanted - beginning.len();
            stored.by_ref().take(missing as u64).read_to_end(&mut beginning)?;
            let is_whole = beginning.len() as u64 >= object.size;
            match recognise(&object.name, &beginning, is_whole, &self.columns, self.delimiter) {
                Ok(Some((layout, compression)))
                    if layout == self.layout && compression == self.compression =>
                {
                    return Ok(Cursor::new(beginning).chain(stored));
                }
                Ok(None) if !is_whole && wanted < HEADER_BYTES_READ_MAX => wanted *= 4,
                _ => return Err(io::Error::other(NotAsAssumed)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn columns() -> Columns {
        Columns {
            advertiser_id: "advertiser_id".into(),
            product_id: Some("product_id".into()),
            kind: None,
            date: Some("date".into()),
            date_is_optional: false,
        }
    }

    /// What is read of an object when its log's first one begins with `model`.
    fn check(model: &str, object: &str) -> Result<String, String> {
        let (layout, compression) =
            recognise("log", model.as_bytes(), true, &columns(), None).unwrap().unwrap();
        let assumption = Assumption { layout, compression, columns: columns(), delimiter: None };
        let info = ObjectInfo {
            name: "log".into(),
            size: object.len() as u64,
            etag: None,
            modified: SystemTime::UNIX_EPOCH,
        };
        let mut text = String::new();
        let checked = assumption.check(&info, object.as_bytes());
        let read = checked.and_then(|mut checked| checked.read_to_string(&mut text));
        read.map(|_| text).map_err(|error| {
            assert!(NotAsAssumed::is(&error), "{error}");
            error.to_string()
        })
    }

    const MODEL: &str = "advertiser_id,product_id,date\nacme,shoe,2024-11-20\n";

    #[test]
    fn an_object_that_begins_alike_is_read_whole() {
        for rows in ["", "acme,hat,2024-11-20\n", &"acme,hat,2024-11-20\n".repeat(5_000)] {
            let object = format!("advertiser_id,product_id,date\n{rows}");
            assert_eq!(check(MODEL, &object).unwrap(), object);
        }
    }

    #[test]
    fn an_object_that_begins_otherwise_is_refused() {
        for object in [
            "",
            "advertiser_id,date,product_id\nacme,2024-11-20,shoe\n",
            "advertiser_id;product_id;date\nacme;shoe;2024-11-20\n",
            "advertiser_id,product_id,date,more\nacme,shoe,2024-11-20,1\n",
            "advertiser_id,product_id,date\r\nacme,shoe,2024-11-20\r\n",
            "acme,shoe,2024-11-20\n",
            "{\"advertiser_id\":\"acme\"}\n",
            &"a".repeat(1 << 20),
        ] {
            check(MODEL, object).unwrap_err();
        }
    }
}
