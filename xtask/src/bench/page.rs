//! `docs/performance.md` and its likes: what benchmarks write stands between markers, the rest is people's.

use crate::{
    Failure,
    repository::{read, root},
    say,
};
use std::{fs, path::Path};

const PAGE: &str = "docs/performance.md";

/// Replaces what stands between the markers of `part` on the page of most benchmarks.
pub(super) fn write(part: &str, text: &str) -> Result<(), Failure> {
    write_into(PAGE, part, text)
}

/// Replaces what stands between the markers of `part` on a page.
pub(super) fn write_into(file: &str, part: &str, text: &str) -> Result<(), Failure> {
    let page = replaced(&read(Path::new(file))?, part, text).ok_or_else(|| {
        let [begin, end] = markers(part);
        format!("{file} has no lines `{begin}` and `{end}`: add them where the text belongs")
    })?;
    fs::write(root().join(file), page).map_err(|error| format!("could not write {file}: {error}"))?;
    say(&format!("wrote {part} into {file}"));
    Ok(())
}

fn markers(part: &str) -> [String; 2] {
    ["begin", "end"].map(|side| format!("<!-- {part}: {side} -->"))
}

fn replaced(page: &str, part: &str, text: &str) -> Option<String> {
    let [begin, end] = markers(part);
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{text}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{count, floor, growth, image, s3, scale, serve, serve_size};

    #[test]
    fn only_what_is_between_the_markers_is_replaced() {
        let page =
            "# Before\n<!-- a: begin -->\nold\n<!-- a: end -->\n<!-- b: begin -->\n<!-- b: end -->\nafter\n";
        let replaced_a =
            "# Before\n<!-- a: begin -->\nnew\n<!-- a: end -->\n<!-- b: begin -->\n<!-- b: end -->\nafter\n";
        assert_eq!(replaced(page, "a", "new\n").unwrap(), replaced_a);
        assert_eq!(replaced(page, "c", "new\n"), None);
    }

    #[test]
    fn the_page_has_the_markers_of_every_benchmark() {
        let page = read(Path::new(PAGE)).unwrap();
        let parts =
            [count::PART, floor::PART, growth::PART, image::PART, s3::PART, serve::PART, serve_size::PART];
        for part in parts {
            assert!(replaced(&page, part, "").is_some(), "{part}");
        }
        let page = read(Path::new(scale::PAGE)).unwrap();
        for part in scale::PARTS {
            assert!(replaced(&page, part, "").is_some(), "{part}");
        }
    }
}
