//! What the nights read: logs in several layouts, each in several versions.

use crate::logs::{self, Compression, Format, Layout, Line, PLAIN, Style};
use domain::Day;
use rand_xoshiro::{
    Xoshiro256PlusPlus,
    rand_core::{RngCore, SeedableRng},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

pub(crate) const DAYS: [&str; 2] = ["2024-11-20", "2024-11-21"];

/// Each layout has so many: one differs from another in its lines, or by an object that came late.
pub(crate) const VERSIONS: usize = 4;

/// How the logs of a night lie in the bucket.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    pub(crate) name: &'static str,
    style: Style,
    /// Lines of a day.
    lines: usize,
    /// Objects into which `ads_views` is cut, beside what the style says.
    cuts: usize,
}

/// The forms that most nights have, small ones.
pub(crate) fn small_forms() -> Vec<Form> {
    let form = |name, style| Form { name, style, lines: 120, cuts: 1 };
    let (gzip, zstd) = (Compression::Gzip, Compression::Zstd);
    let (json, parquet) = ([Format::JsonLines; 3], [Format::Parquet; 3]);
    vec![
        form("one object", PLAIN),
        form("two parts", Style { layout: Layout::Parts, ..PLAIN }),
        form("gzip by day", Style { layout: Layout::Daily, compression: gzip, ..PLAIN }),
        form(
            "folders of JSON lines",
            Style { layout: Layout::Hive { has_date: false }, formats: json, ..PLAIN },
        ),
        form("a Parquet by template", Style { layout: Layout::Template, formats: parquet, ..PLAIN }),
        form("a Parquet of row groups", Style { has_extras: true, formats: parquet, ..PLAIN }),
        form("zstd in parts", Style { layout: Layout::Parts, compression: zstd, ..PLAIN }),
    ]
}

/// More small objects than are asked for their beginnings.
pub(crate) fn many() -> Form {
    Form { name: "many objects", style: PLAIN, lines: 120, cuts: 70 }
}

/// An object of more than one part.
pub(crate) fn large() -> Form {
    Form { name: "a large object", style: PLAIN, lines: 62_000, cuts: 1 }
}

/// A version of a form's logs, ready to be put into a bucket.
pub(crate) struct Prepared {
    folder: PathBuf,
    /// Of `advertiser_ids`, `ads_views` and `product_views`.
    pub(crate) patterns: [String; 3],
}

impl Prepared {
    /// Writes a version of the logs into a new folder.
    pub(crate) fn new(folder: PathBuf, form: &Form, version: usize) -> Self {
        fs::create_dir_all(&folder).unwrap();
        let Form { style, lines, cuts, .. } = form;
        let days = DAYS.map(str::to_owned);
        let (seed, is_late) = (version as u64 / 2, version % 2 == 1);
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let write = |log: &str, columns: &[&str], lines: &[Line], style: &Style| {
            logs::write(&folder, log, columns, lines, &days, style)
        };
        let actives: Vec<_> = ["acme", "bo", "cy"].map(|id| line(DAYS[0], &[id])).into();
        let ids = write("advertiser_ids", &["advertiser_id"], &actives, &PLAIN);
        let mut ads = events(*lines, &mut random, &["impression", "impression", "click"]);
        let views = events(*lines / 2, &mut random, &[]);
        let late = events(5, &mut random, &["impression"]);
        let has_late_object = is_late && !style.layout.tells_day();
        if is_late && !has_late_object {
            ads.extend(late.iter().cloned());
        }
        let columns = ["advertiser_id", "product_id", "type", "date"];
        let mut pattern = String::new();
        for (number, lines) in ads.chunks(ads.len().div_ceil(*cuts)).enumerate() {
            let log = if *cuts == 1 { "ads_views".to_owned() } else { format!("ads_views-{number:02}") };
            pattern = write(&log, &columns, lines, style);
        }
        if has_late_object {
            write("ads_views-late", &columns, &late, &PLAIN);
        }
        if *cuts > 1 || !style.layout.tells_day() {
            pattern = "ads_views*".to_owned();
        }
        let viewed = write("product_views", &["advertiser_id", "product_id", "date"], &views, style);
        Self { folder, patterns: [ids, pattern, viewed] }
    }

    /// Makes the logs the only content of a folder on the same file system.
    pub(crate) fn put_into(&self, folder: &Path) {
        let (next, before) = (folder.with_extension("next"), folder.with_extension("before"));
        link_all(&self.folder, &next);
        fs::rename(folder, &before).unwrap();
        fs::rename(&next, folder).unwrap();
        fs::remove_dir_all(before).unwrap();
    }
}

fn link_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            link_all(&entry.path(), &to);
        } else {
            fs::hard_link(entry.path(), to).unwrap();
        }
    }
}

fn line(day: &str, fields: &[&str]) -> Line {
    Line { day: day.to_owned(), fields: fields.iter().map(|field| (*field).to_owned()).collect() }
}

/// So many events of each day, of advertisers of whom one is not active.
fn events(count: usize, random: &mut Xoshiro256PlusPlus, kinds: &[&str]) -> Vec<Line> {
    let mut below = |bound: usize| (random.next_u64() % bound as u64) as usize;
    let mut lines = Vec::new();
    for day in DAYS {
        for _ in 0..count {
            let advertiser = ["acme", "bo", "cy", "dee"][below(4)];
            let product = format!("product {}", below(5) * below(5));
            let kind = if kinds.is_empty() { None } else { Some(kinds[below(kinds.len())]) };
            let fields: Vec<_> =
                [Some(advertiser), Some(product.as_str()), kind, Some(day)].into_iter().flatten().collect();
            lines.push(line(day, &fields));
        }
    }
    lines
}

pub(crate) fn days() -> [Day; 2] {
    DAYS.map(|day| day.parse().unwrap())
}
