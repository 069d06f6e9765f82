//! Objects that are replaced or deleted between the plan and their last byte: at their first read, and at a later
//! one, when a part of the old one was read already.

use crate::{
    asked::{Asked, Deed, Side},
    fate::Fate,
    input::{Form, Prepared, days, large, small_forms},
    proxy::Proxy,
    scene::{LONG, Scene},
    server::S3Server,
};
use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
};

#[derive(Debug, Clone, Copy)]
enum Change {
    Deleted,
    /// One byte of it is another.
    SameSize,
    Longer,
    Shorter,
}

impl Change {
    /// What was opened before is another file.
    fn happen(self, path: &Path) {
        let mut bytes = fs::read(path).unwrap();
        match self {
            Self::Deleted => return fs::remove_file(path).unwrap(),
            Self::SameSize => *bytes.last_mut().unwrap() ^= 1,
            Self::Longer => bytes.push(b'\n'),
            Self::Shorter => drop(bytes.pop()),
        }
        let next = path.with_extension("next");
        fs::write(&next, bytes).unwrap();
        fs::rename(next, path).unwrap();
    }

    /// Of two reads at once one may be answered with the old size and the new ETag.
    fn told(self) -> &'static [&'static str] {
        match self {
            Self::Deleted => &["it is gone"],
            Self::SameSize => &["its ETag was "],
            Self::Longer | Self::Shorter => &["it had ", "its ETag was "],
        }
    }
}

/// What is said when the object changes at a read of it, the first or a later one.
async fn check(form: &Form, name: &'static str, at_read: u32) {
    for change in [Change::Deleted, Change::SameSize, Change::Longer, Change::Shorter] {
        let server = S3Server::start().await;
        let logs = Prepared::new(server.beside().join("logs"), form, 0);
        let mut scene = Scene::new(&server, "bucket");
        scene.take(&logs);
        let (path, reads) = (scene.input().join(name), AtomicU32::new(0));
        let rule = move |asked: &Asked| {
            let is_read = asked.side == Side::Input && asked.deed == Deed::Read && asked.key.ends_with(name);
            if is_read && reads.fetch_add(1, SeqCst) == at_read {
                change.happen(&path);
            }
            Fate::Passes
        };
        let proxy = Proxy::start(server.address(), 1000, rule).await;
        let day = days()[0];
        let ended = scene.run(proxy.address, LONG, &[day]).await.remove(&day).unwrap();
        let failure = ended.expect_err("it is not what was planned");
        let expected = format!("s3://bucket/input/{name} changed after the run began: ");
        let text = failure.chain();
        let told = text.strip_prefix(&expected).unwrap_or_else(|| panic!("{change:?}: {text}"));
        let is_told = change.told().iter().any(|change| told.starts_with(change));
        assert!(is_told, "{}, {change:?}: {text}", form.name);
        assert!(failure.is_transient() && scene.rows(day, true).await.is_empty());
        assert!(!scene.lake().keys().any(|name| name.ends_with("manifest.json")), "nothing is committed");
        // The next night counts what is there by then; here it is as it was.
        scene.take(&logs);
        scene.run_undisturbed(&[day]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_changes_before_it_is_read_is_told() {
    for (form, name) in small_forms().iter().zip([
        "ads_views.csv",
        "ads_views-1.csv",
        "ads_views-2024-11-20.csv",
        "ads_views/date=2024-11-20/part-1.csv",
        "2024/11/20/ads_views-2024-11-20.csv",
        "product_views.csv",
        "product_views-0.csv",
    ]) {
        check(form, name, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_changes_between_two_parts_is_told() {
    check(&large(), "ads_views.csv", 2).await;
}
