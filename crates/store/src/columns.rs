//! Rows of either database as structs, column by column.

/// Reads the struct's fields from the columns of the same names, from a row of either database. What
/// `sqlx::FromRow` derives, without the procedural macro, which would have both databases' drivers
/// compiled a second time for the build itself.
macro_rules! from_columns {
    ($row:ident { $($column:ident),+ $(,)? }) => {
        impl<'r, R: sqlx::Row> sqlx::FromRow<'r, R> for $row
        where
            &'static str: sqlx::ColumnIndex<R>,
            String: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
            i64: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
        {
            fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
                Ok(Self { $($column: row.try_get(stringify!($column))?),+ })
            }
        }
    };
}

pub(crate) use from_columns;
