//! What a night does to each table, and so what its role must be allowed.

/// Tables and views, each with what is done to it.
pub(crate) type Needs = [(&'static str, &'static [&'static str])];

/// What nights, their scheduler, `rollback` and `pin` do.
pub(crate) const OF_NIGHTS: &Needs = &[
    ("topshelf_migrations", &["SELECT"]),
    ("runs", &["SELECT", "INSERT", "UPDATE"]),
    ("rankings", &["SELECT", "INSERT", "DELETE"]),
    ("packed_rankings", &["SELECT", "INSERT", "DELETE"]),
    ("publications", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("publication_events", &["SELECT", "INSERT"]),
    ("advertiser_totals", &["SELECT", "INSERT", "DELETE"]),
    ("holds", &["SELECT", "INSERT", "DELETE"]),
    ("past_publications", &["SELECT", "INSERT", "DELETE"]),
    ("past_holds", &["SELECT", "INSERT", "DELETE"]),
    ("pins", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("seen_publications", &["SELECT"]),
    ("nights_held", &["SELECT", "INSERT"]),
];

/// What a server does that asks for API keys.
pub(crate) const OF_KEYS: &Needs = &[("api_keys", &["SELECT"]), ("api_keys_version", &["SELECT"])];

/// Something that the role may not do, or cannot because the table is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// The table or view.
    pub table: String,
    /// What it lacks, in SQL's words.
    pub privileges: Vec<String>,
    /// Whether the table is there at all.
    pub is_there: bool,
}

/// Where tables are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// The first schema of the search path that is there and that the role may use; none when there is none.
    pub name: Option<String>,
    /// Whether the role may make tables there.
    pub may_create: bool,
    /// Tables of earlier migrations that belong to others, so that the role cannot alter them.
    pub of_others: Vec<String>,
}

/// The tables with one privilege each, as two lists of the same length.
pub(super) fn asked(needs: &Needs) -> (Vec<String>, Vec<String>) {
    let pairs = needs.iter().flat_map(|(table, privileges)| privileges.iter().map(move |of| (*table, *of)));
    pairs.map(|(table, privilege)| (table.to_owned(), privilege.to_owned())).unzip()
}

/// What is lacking, from the answers: table, privilege, whether the table is there.
pub(super) fn lacking(answers: Vec<(String, String, bool)>) -> Vec<Lacking> {
    let mut lacking: Vec<Lacking> = Vec::new();
    for (table, privilege, is_there) in answers {
        match lacking.last_mut().filter(|last| last.table == table) {
            Some(last) => last.privileges.push(privilege),
            None => lacking.push(Lacking { table, privileges: vec![privilege], is_there }),
        }
    }
    lacking
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrations;

    #[test]
    fn every_table_of_the_migrations_is_asked_about() {
        let migrator = migrations::of_postgres();
        let sql: Vec<_> = migrator.iter().map(|migration| migration.sql.as_str().to_owned()).collect();
        let words: Vec<&str> = sql.iter().flat_map(|sql| sql.split_whitespace()).collect();
        let made = words.windows(3).filter(|words| words[..2] == ["CREATE", "TABLE"]).map(|words| words[2]);
        let made: Vec<_> = made.collect();
        assert!(made.contains(&"runs"), "{made:?}");
        for table in made {
            let is_asked = OF_NIGHTS.iter().chain(OF_KEYS).any(|(needed, _)| *needed == table);
            assert!(is_asked, "{table} is in no list of privileges");
        }
    }
}
