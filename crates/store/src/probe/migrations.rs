//! Which migrations a database has had, compared with those that this program carries.

use sqlx::migrate::Migrator;

/// The migrations by number, each list in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Migrations {
    /// Applied, as this program carries them.
    pub applied: Vec<i64>,
    /// Carried by this program and not applied.
    pub pending: Vec<i64>,
    /// Applied by a newer version, which this program leaves as they are.
    pub newer: Vec<i64>,
    /// Applied with other content than this program's.
    pub altered: Vec<i64>,
    /// Begun and not ended.
    pub unfinished: Vec<i64>,
}

/// A row of the table of migrations: number, checksum, whether it ended well.
pub(super) type Row = (i64, Vec<u8>, bool);

impl Migrations {
    pub(super) fn compare(ours: &Migrator, theirs: &[Row]) -> Self {
        let mut compared = Self::default();
        for migration in ours.iter() {
            let version = migration.version;
            let list = match theirs.iter().find(|row| row.0 == version) {
                None => &mut compared.pending,
                Some((_, _, false)) => &mut compared.unfinished,
                Some((_, checksum, true)) if checksum[..] == migration.checksum[..] => &mut compared.applied,
                Some(_) => &mut compared.altered,
            };
            list.push(version);
        }
        let is_ours = |version: &i64| ours.iter().any(|migration| migration.version == *version);
        compared.newer = theirs.iter().map(|row| row.0).filter(|version| !is_ours(version)).collect();
        compared
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrations;

    #[test]
    fn each_migration_is_in_one_list() {
        let ours = migrations::of_sqlite();
        let checksum = |version: i64| {
            ours.iter().find(|migration| migration.version == version).unwrap().checksum.to_vec()
        };
        let theirs =
            [(1, checksum(1), true), (2, checksum(1), true), (3, checksum(3), false), (99, vec![], true)];
        let compared = Migrations::compare(&ours, &theirs);
        assert_eq!((compared.applied, compared.altered, compared.unfinished), (vec![1], vec![2], vec![3]));
        assert_eq!((compared.pending.first(), compared.newer), (Some(&4), vec![99]));
    }
}
