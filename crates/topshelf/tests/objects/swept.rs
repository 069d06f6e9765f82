//! Sweeping a day of the lake when its manifests cannot be told: nothing that they name goes.

use crate::{
    asked::{Asked, Deed},
    fate::Fate,
    input::{Prepared, days, small_forms},
    proxy::Proxy,
    scene::{LONG, Scene, settings},
    server::S3Server,
};
use std::time::{Duration, SystemTime};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_manifest_names_stays_when_it_cannot_be_told() {
    let server = S3Server::start().await;
    let logs = Prepared::new(server.beside().join("logs"), &small_forms()[0], 0);
    let mut scene = Scene::new(&server, "bucket");
    scene.take(&logs);
    let day = days()[0];
    scene.run_undisturbed(&[day]).await;
    let committed = scene.lake();
    for fate in [
        Fate::Refused("404 NoSuchKey"),
        Fate::Refused("403 AccessDenied"),
        Fate::Shorter,
        Fate::Longer,
        Fate::Elsewhere,
        Fate::Passes,
    ] {
        let rule = move |asked: &Asked| if asked.deed == Deed::Read { fate } else { Fate::Passes };
        let proxy = Proxy::start(server.address(), 1000, rule).await;
        let lake = scene.night(settings(proxy.address, LONG)).lake().unwrap();
        // All of it was written long before then.
        let swept = lake.sweep(day, SystemTime::now() + Duration::from_secs(60)).await;
        assert_eq!(swept.is_err(), fate == Fate::Refused("403 AccessDenied"), "{fate:?}: {swept:?}");
        assert!(scene.lake() == committed, "{fate:?}: {:?}", scene.lake().keys());
        let reads = proxy.asked().iter().filter(|(asked, _)| asked.deed == Deed::Read).count();
        assert!(reads > 0, "{fate:?}");
    }
}
