use super::*;
use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Read,
};

/// Two days of a small company; the ad log of a day takes more than one chunk.
fn options(out: &Path) -> GenerateOptions {
    GenerateOptions {
        out: out.to_owned(),
        rows: 70_000,
        advertisers: 10,
        products: 30,
        days: 2,
        ..GenerateOptions::default()
    }
}

/// Generates into a new folder below `dir` and gives back the files by name.
fn files(dir: &Path, change: impl FnOnce(&mut GenerateOptions)) -> BTreeMap<String, String> {
    let out = tempfile::tempdir_in(dir).unwrap().keep();
    let mut options = options(&out);
    change(&mut options);
    let done = Cell::new(0);
    let generated = generate(&options, &|rows| done.set(rows)).unwrap();
    assert_eq!(done.get(), options.total_rows());

    let files: BTreeMap<_, _> = generated
        .files
        .iter()
        .map(|path| {
            let name = path.strip_prefix(&out).unwrap().to_str().unwrap().to_owned();
            (name, text_of(path))
        })
        .collect();
    let sizes = generated.files.iter().map(|path| fs::metadata(path).unwrap().len());
    assert_eq!(generated.bytes, sizes.sum::<u64>());
    let headers = u64::from(options.format != Format::Jsonl);
    assert_eq!(generated.rows, files.values().map(|text| text.lines().count() as u64 - headers).sum::<u64>());
    files
}

/// A file as text, decompressed as the end of its name says.
fn text_of(path: &Path) -> String {
    let (mut text, file) = (String::new(), File::open(path).unwrap());
    match path.extension().unwrap().to_str().unwrap() {
        "gz" => flate2::read::GzDecoder::new(file).read_to_string(&mut text),
        "zst" => zstd::Decoder::new(file).unwrap().read_to_string(&mut text),
        _ => { file }.read_to_string(&mut text),
    }
    .unwrap();
    text
}

fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().skip(1).map(|line| line.split(',').collect())
}

#[test]
fn the_bytes_depend_on_the_seed_and_not_on_the_threads() {
    let dir = tempfile::tempdir().unwrap();
    let threads = |count| NonZeroUsize::new(count).unwrap();
    let one = files(dir.path(), |options| options.threads = threads(1));
    let four = files(dir.path(), |options| options.threads = threads(4));
    let other = files(dir.path(), |options| options.seed = 2);
    assert!(one == four);
    for (name, text) in &one {
        assert!(text != &other[name], "{name} is the same for two seeds");
    }
}

#[test]
fn a_seed_means_the_same_logs_in_every_version() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path(), |_| ());
    let last: Vec<_> = files.values().map(|text| (text.lines().last().unwrap(), text.len())).collect();
    assert_eq!(
        last,
        [
            ("9EA4OYJ6MJOHHUBT7D3F,0ee4gb,click,2024-11-21", 6_985_880),
            ("EWZ7QWQNMZMD3CVENZ1Q", 182),
            ("D5VTKR1QIGBENQ6UAPL4,vj99fc,2024-11-21", 2_730_030),
        ]
    );
}

#[test]
fn the_logs_have_their_headers_and_exactly_the_lines_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path(), |options| options.view_rows = Some(5));
    let headers: Vec<_> = files.iter().map(|(name, text)| (&**name, text.lines().next().unwrap())).collect();
    assert_eq!(
        headers,
        [
            ("ads_views.csv", "advertiser_id,product_id,type,date"),
            ("advertiser_ids.csv", "advertiser_id"),
            ("product_views.csv", "advertiser_id,product_id,date"),
        ]
    );
    for (name, rows_per_day) in [("ads_views.csv", 70_000), ("product_views.csv", 5)] {
        let mut by_day = BTreeMap::new();
        for fields in lines(&files[name]) {
            *by_day.entry(fields[fields.len() - 1]).or_insert(0) += 1;
        }
        assert_eq!(by_day, BTreeMap::from([("2024-11-20", rows_per_day), ("2024-11-21", rows_per_day)]));
    }
}

#[test]
fn ids_have_the_shape_of_the_real_ones() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path(), |_| ());
    for fields in lines(&files["ads_views.csv"]).chain(lines(&files["product_views.csv"])) {
        assert_eq!((fields[0].len(), fields[1].len()), (20, 6));
        assert!(fields[0].bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()));
        assert!(fields[1].bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
    }
}

#[test]
fn the_asked_share_of_advertisers_is_active_and_all_have_events() {
    let dir = tempfile::tempdir().unwrap();
    for (active_ratio, expected) in [(0.8, 8), (0.0, 0), (1.0, 10), (0.25, 3)] {
        let files = files(dir.path(), |options| options.active_ratio = active_ratio);
        let active: BTreeSet<_> = files["advertiser_ids.csv"].lines().skip(1).collect();
        let with_events: BTreeSet<_> = lines(&files["ads_views.csv"]).map(|fields| fields[0]).collect();
        assert_eq!((active.len(), with_events.len()), (expected, 10));
        assert!(active.is_subset(&with_events));
    }
}

#[test]
fn every_product_is_seen_some_are_seen_much_and_clicks_follow_impressions() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path(), |_| ());
    let mut products = BTreeMap::<_, (u32, u32)>::new();
    for fields in lines(&files["ads_views.csv"]) {
        let (impressions, clicks) = products.entry((fields[0], fields[1])).or_default();
        match fields[2] {
            "impression" => *impressions += 1,
            "click" => *clicks += 1,
            other => panic!("{other} is no type"),
        }
        assert!(clicks <= impressions, "a click of {fields:?} comes before its impression");
    }
    assert_eq!(products.len(), 300);
    let most = products.values().max().unwrap().0;
    let least = products.values().min().unwrap().0;
    assert!(most > 10 * least, "from {least} to {most} impressions is no skew");

    let mut rates: Vec<_> =
        products.values().map(|(shown, clicked)| f64::from(*clicked) / f64::from(*shown)).collect();
    rates.sort_by(f64::total_cmp);
    let mean = rates.iter().sum::<f64>() / rates.len() as f64;
    assert!((0.015..0.025).contains(&mean), "the mean click rate is {mean}");
    assert!(rates[270] > 2.0 * rates[30], "products are clicked alike: {rates:?}");
}

#[test]
fn days_are_spread_over_files_as_the_layout_says() {
    let dir = tempfile::tempdir().unwrap();
    let single = files(dir.path(), |_| ());
    let names = |layout| {
        let files = files(dir.path(), |options| options.layout = layout);
        for log in ["ads_views", "product_views"] {
            let of_log = files.iter().filter(|(name, _)| name.starts_with(log));
            let together: Vec<_> = of_log.flat_map(|(_, text)| text.lines().skip(1)).collect();
            assert!(
                single[&format!("{log}.csv")].lines().skip(1).eq(together),
                "{log} differs in {layout:?}"
            );
        }
        files.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(
        names(Layout::Daily),
        [
            "ads_views-2024-11-20.csv",
            "ads_views-2024-11-21.csv",
            "advertiser_ids.csv",
            "product_views-2024-11-20.csv",
            "product_views-2024-11-21.csv",
        ]
    );
    assert_eq!(
        names(Layout::Hive),
        [
            "ads_views/date=2024-11-20/part-0.csv",
            "ads_views/date=2024-11-21/part-0.csv",
            "advertiser_ids.csv",
            "product_views/date=2024-11-20/part-0.csv",
            "product_views/date=2024-11-21/part-0.csv",
        ]
    );
}

/// The lines of a file without JSON's names and marks, as CSV would have them.
fn as_csv(name: &str, text: &str) -> Vec<String> {
    if !name.contains(".jsonl") {
        return text.lines().skip(1).map(|line| line.replace('\t', ",")).collect();
    }
    let values = |line: &str| -> String {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        let columns = ["advertiser_id", "product_id", "type", "date"];
        let values = columns.iter().filter_map(|column| object.get(column)?.as_str());
        values.collect::<Vec<_>>().join(",")
    };
    text.lines().map(values).collect()
}

#[test]
fn events_are_the_same_in_every_format_however_compressed() {
    let dir = tempfile::tempdir().unwrap();
    let plain = files(dir.path(), |options| options.rows = 5_000);
    for (format, compression, ending) in [
        (Format::Tsv, Compression::None, "tsv"),
        (Format::Jsonl, Compression::None, "jsonl"),
        (Format::Csv, Compression::Gzip, "csv.gz"),
        (Format::Jsonl, Compression::Zstd, "jsonl.zst"),
    ] {
        let files = files(dir.path(), |options| {
            (options.rows, options.format, options.compression) = (5_000, format, compression);
        });
        assert_eq!(files.len(), 3);
        for (name, text) in &files {
            let log = name.strip_suffix(&format!(".{ending}")).unwrap();
            let expected = &plain[&format!("{log}.csv")];
            assert!(as_csv(name, text).iter().eq(expected.lines().skip(1)), "{name} differs");
        }
    }
}

#[test]
fn compressed_files_are_much_smaller() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = |compression| {
        let out = tempfile::tempdir_in(dir.path()).unwrap();
        generate(&GenerateOptions { compression, ..options(out.path()) }, &|_| ()).unwrap().bytes
    };
    let plain = bytes(Compression::None);
    assert!(bytes(Compression::Gzip) < plain / 3);
    assert!(bytes(Compression::Zstd) < plain / 3);
}

#[test]
fn extra_columns_leave_the_events_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let (plain, wide) = (files(dir.path(), |_| ()), files(dir.path(), |options| options.extra_columns = 5));
    assert_eq!(plain["advertiser_ids.csv"], wide["advertiser_ids.csv"]);
    for log in ["ads_views.csv", "product_views.csv"] {
        let needed = wide[log].lines().next().unwrap().split(',').count() - 5;
        let events = lines(&wide[log]).map(|fields| fields[2..2 + needed].join(","));
        assert!(events.eq(plain[log].lines().skip(1)), "{log} differs");
        let extra: BTreeSet<_> = lines(&wide[log]).map(|fields| fields[0].to_owned()).collect();
        assert!(extra.len() > 100, "{log} has only {} texts", extra.len());
    }
}

#[test]
fn a_later_day_is_the_same_whichever_day_came_first() {
    let dir = tempfile::tempdir().unwrap();
    let daily = |options: &mut GenerateOptions| options.layout = Layout::Daily;
    let both = files(dir.path(), daily);
    let second = files(dir.path(), |options| {
        daily(options);
        (options.first_day, options.days) = (options.first_day.tomorrow(), 1);
    });
    let name = "ads_views-2024-11-21.csv";
    assert!(both[name] == second[name]);
}

#[test]
fn a_day_without_events_has_files_with_only_a_header() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path(), |options| options.rows = 0);
    assert_eq!(files["ads_views.csv"], "advertiser_id,product_id,type,date\n");
    assert_eq!(files["product_views.csv"], "advertiser_id,product_id,date\n");
}

#[test]
fn files_that_are_there_stay_unless_overwriting_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("product_views.csv");
    fs::write(&path, "mine").unwrap();
    let mut options = options(dir.path());
    let refused = generate(&options, &|_| ()).unwrap_err();
    assert!(matches!(&refused, GenerateError::Exists(there) if *there == path), "{refused}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");

    options.overwrite = true;
    generate(&options, &|_| ()).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    assert!(fs::read_to_string(&path).unwrap().starts_with("advertiser_id,"));
}

#[test]
fn a_set_that_fails_half_way_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    // A folder where the temporary file of the second log should be.
    let in_the_way = dir.path().join(".product_views.csv.partial");
    fs::create_dir(&in_the_way).unwrap();
    let failed = generate(&options(dir.path()), &|_| ()).unwrap_err();
    assert!(matches!(&failed, GenerateError::Write { path, .. } if *path == in_the_way), "{failed}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let check = |change: fn(&mut GenerateOptions), message: &str| {
        let mut options = options(Path::new("nowhere"));
        change(&mut options);
        assert_eq!(generate(&options, &|_| ()).unwrap_err().to_string(), message);
    };
    check(|options| options.advertisers = 0, "advertisers must be at least 1");
    check(|options| options.days = 0, "days must be at least 1");
    check(|options| options.products = 0, "products must be from 1 to 1000000 for each advertiser");
    check(|options| options.active_ratio = 1.5, "active ratio 1.5 is not between 0 and 1");
    check(|options| options.extra_columns = 1_001, "extra columns must be at most 1000");
    check(|options| options.active_ratio = f64::NAN, "active ratio NaN is not between 0 and 1");
    check(
        |options| (options.advertisers, options.products) = (100_000, 100_000),
        "advertisers × products is 10000000000: at most 200000000 fit",
    );
}

#[test]
fn a_full_disk_is_told_as_one() {
    let full = io::Error::from(io::ErrorKind::StorageFull);
    let told = GenerateError::write(Path::new("data/ads_views.csv"), full).to_string();
    assert_eq!(told, "no space is left on the disk for data/ads_views.csv");
}
