//! What lies in a folder, to compare before and after.

use std::{collections::BTreeMap, fs, path::Path, time::SystemTime};

/// Each file and folder below a folder: what is in it and when it was last changed.
pub(crate) fn listing(folder: &Path) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
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
