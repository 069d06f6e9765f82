//! What a footer claims to hold, seen before the library decodes it: it takes memory for what is claimed
//! without having seen it, and goes as deep as columns lie in columns.

use super::{
    Broken,
    thrift::{Compact, Kind, Problem, Step},
};

/// Columns in columns at most.
const COLUMN_DEPTH_MAX: usize = 100;

/// What is known of a footer whose claims can be true.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outline {
    pub(super) row_groups: usize,
    /// Whether some of its columns are encrypted, though it is not.
    pub(super) is_encrypted: bool,
}

/// Walks through a footer, field by field as `parquet.thrift` numbers them.
pub(super) fn outline(footer: &[u8]) -> Result<Outline, Broken> {
    let mut outline = Outline::default();
    // For each column of columns around the next one, how many of its columns are still to come.
    let mut around: Vec<u64> = Vec::new();
    let walked = Compact::new(footer).structure(0, &mut |reader, field, kind| match (field, kind) {
        // The schema, a list.
        (2, Kind::List) => {
            let schema = reader.list(1, &mut |reader, kind| schema_element(reader, kind, &mut around));
            schema.map(drop)
        }
        // The row groups.
        (4, Kind::List) => {
            outline.row_groups = reader.list(1, &mut |reader, kind| reader.skip(kind, 2))?;
            Ok(())
        }
        // The encryption of columns.
        (8, kind) => {
            outline.is_encrypted = true;
            reader.skip(kind, 1)
        }
        (_, kind) => reader.skip(kind, 1),
    });
    match walked {
        Ok(()) if around.is_empty() => Ok(outline),
        Ok(()) | Err(Problem::TooShort) => Err(Broken("it claims more than it holds".to_owned())),
        Err(Problem::Broken(broken)) => Err(broken),
    }
}

fn schema_element(reader: &mut Compact<'_>, kind: Kind, around: &mut Vec<u64>) -> Step {
    if kind != Kind::Structure {
        return reader.skip(kind, 2);
    }
    let mut columns = 0;
    reader.structure(2, &mut |reader, field, kind| match (field, kind) {
        // How many columns lie in it.
        (5, Kind::Integer) => {
            columns = u64::try_from(reader.integer()?).unwrap_or_default();
            Ok(())
        }
        (_, kind) => reader.skip(kind, 3),
    })?;
    if let Some(left) = around.last_mut() {
        *left -= 1;
    }
    if columns > 0 {
        around.push(columns);
    }
    while around.last() == Some(&0) {
        around.pop();
    }
    if around.len() > COLUMN_DEPTH_MAX {
        return Err(Problem::Broken(Broken(format!("more than {COLUMN_DEPTH_MAX} columns in columns"))));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A footer whose only schema element has so many columns, and that claims so many row groups.
    fn footer(columns: u8, row_groups: u8) -> Vec<u8> {
        // Version 1; a schema of one structure named `s`; no rows; a list of structures.
        let start = [0x15, 2, 0x19, 0x1C, 0x48, 1, b's', 0x15, 2 * columns, 0, 0x16, 0, 0x19];
        [&start[..], &[0xFC, row_groups], &[0; 3], &[0]].concat()
    }

    #[test]
    fn what_is_claimed_must_be_there() {
        assert_eq!(outline(&footer(0, 3)), Ok(Outline { row_groups: 3, is_encrypted: false }));
        let claims_too_much = Err(Broken("it claims more than it holds".to_owned()));
        assert_eq!(outline(&footer(0, 100)), claims_too_much);
        assert_eq!(outline(&footer(1, 3)), claims_too_much);
        assert_eq!(outline(&[]), claims_too_much);
    }

    #[test]
    fn columns_lie_only_so_deep_in_columns() {
        // Each element has one column but the last.
        let element = [0x48, 1, b's', 0x15, 2, 0];
        let schema = |depth: u8| {
            let inner = element.repeat(usize::from(depth));
            [&[0x15, 2, 0x19, 0xFC, depth + 1][..], &inner, &[0x48, 1, b'x', 0], &[0]].concat()
        };
        assert_eq!(outline(&schema(100)), Ok(Outline::default()));
        assert_eq!(outline(&schema(101)), Err(Broken("more than 100 columns in columns".to_owned())));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let footer = footer(1, 3);
        for at in 0..footer.len() {
            for byte in 0..=255 {
                let mut footer = footer.clone();
                footer[at] = byte;
                let _ = outline(&footer);
            }
        }
    }
}
