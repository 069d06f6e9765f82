//! What lies in a folder, to compare before and after.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::SystemTime,
};

/// What lay in a folder.
pub(crate) type Listing = BTreeMap<String, (Vec<u8>, SystemTime)>;

/// Nothing came, went or changed.
#[track_caller]
pub(crate) fn assert_unchanged(folder: &Path, before: &Listing) {
    let now = listing(folder);
    let names = before.keys().chain(now.keys()).collect::<BTreeSet<_>>();
    let changed: Vec<_> = names.into_iter().filter(|name| before.get(*name) != now.get(*name)).collect();
    assert!(changed.is_empty(), "changed: {changed:?}");
}

/// Each file and folder below a folder: what is in it and when it was last changed.
pub(crate) fn listing(folder: &Path) -> Listing {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(inside) = folders.pop() {
        for entry in fs::read_dir(inside).unwrap().map(Result::unwrap) {
            let (path, metadata) = (entry.path(), entry.metadata().unwrap());
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            if metadata.is_dir() {
                // A lake's folder is written to and left as it was; what is in it is compared.
                found.insert(name + "/", (Vec::new(), SystemTime::UNIX_EPOCH));
                folders.push(path);
            } else {
                found.insert(name, (fs::read(&path).unwrap(), metadata.modified().unwrap()));
            }
        }
    }
    found
}
