//! Buckets that are not there or not ours, a lake in one, and clocks.

use crate::{
    call::{Said, doctor},
    s3,
    scene::{DAY, Scene},
    servers::{Fault, agreeing, answering, listing_slowly, refused_port, refusing_at, runtime},
};
use std::{
    fs,
    process::{Command, Stdio},
    sync::{Arc, mpsc},
    time::Duration,
};
use tokio::sync::Notify;

/// A scene whose logs lie in the bucket `logs`, beside an empty bucket `lake`.
pub(crate) fn in_buckets() -> Scene {
    let mut scene = Scene::new();
    fs::create_dir_all(scene.path("buckets/logs")).unwrap();
    fs::create_dir_all(scene.path("buckets/lake")).unwrap();
    fs::rename(scene.path("logs"), scene.path("buckets/logs/night")).unwrap();
    let runtime = runtime();
    let environment = runtime.block_on(s3::start(&scene.path("buckets")));
    environment.iter().for_each(|(name, value)| scene.environment(name, value));
    scene.keep(runtime);
    scene
}

#[test]
fn a_bucket_that_is_not_there_is_told() {
    let scene = in_buckets();
    let said = doctor(&scene, &["--input", "s3://lgos/night", "--lake", "s3://lake/top"]);
    said.fails_only("input bucket", &["NoSuchBucket", "misspelt", "check the bucket's name"]);
    said.holds("input ads_views", &["not tried: bucket failed"]);
    assert_eq!(said.step("lake write")["outcome"], "ok");
    let said = doctor(&scene, &["--input", "s3://logs/night", "--lake", "s3://lkae/top"]);
    said.fails_only("lake bucket", &["NoSuchBucket"]);
}

/// A scene whose buckets are those of a server at this port.
fn at_port(mut scene: Scene, port: u16) -> Scene {
    scene.environment("AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{port}"));
    scene.environment("AWS_ACCESS_KEY_ID", "AKID");
    scene.environment("AWS_SECRET_ACCESS_KEY", "hunter2");
    scene
}

#[test]
fn a_bucket_in_another_region_is_told_with_that_region() {
    let mut scene = Scene::new();
    let port = answering(
        &mut scene,
        "HTTP/1.1 301 Moved Permanently\r\nx-amz-bucket-region: eu-west-3\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
    let said = doctor(&at_port(scene, port), &["--input", "s3://logs/night"]);
    said.fails_only("input bucket", &["lies in the region eu-west-3", "set AWS_REGION to eu-west-3"]);
}

#[test]
fn a_log_among_very_many_objects_is_listed_to_the_end() {
    let mut scene = Scene::new();
    let port = listing_slowly(&mut scene);
    let said = doctor(&at_port(scene, port), &["--input", "s3://logs/night"]);
    let step = said.step("input ads_views");
    assert_eq!(step["outcome"], "ok", "{said:#?}");
    assert!(step["elapsed_ms"].as_f64().unwrap() > 8_000., "{step:#?}");
}

#[test]
fn wrong_credentials_are_told_with_their_source() {
    let mut scene = in_buckets();
    scene.environment("AWS_SECRET_ACCESS_KEY", "hunter2");
    let said = doctor(&scene, &["--input", "s3://logs/night"]);
    said.fails_only("input bucket", &["SignatureDoesNotMatch", "mistyped", "AWS_SECRET_ACCESS_KEY"]);
    said.holds(
        "input credentials",
        &["AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the environment", "ends with HELF"],
    );
}

#[test]
fn no_credentials_are_told_with_where_they_were_looked_for() {
    let mut scene = Scene::new();
    let port = refused_port(&mut scene);
    let server = refusing_at(&mut scene, "Wed, 20 Nov 2024 02:30:00 GMT");
    scene.environment("AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{server}"));
    scene.environment("AWS_METADATA_ENDPOINT", &format!("http://127.0.0.1:{port}"));
    let said = doctor(&scene, &["--input", "s3://logs/night"]);
    assert_eq!(said.ended("failed"), ["input clock", "input credentials"]);
    said.holds(
        "input credentials",
        &["the EC2 instance's role", "no AWS credentials were found", "export-credentials"],
    );
}

#[test]
fn settings_that_contradict_each_other_are_told() {
    let mut scene = Scene::new();
    let server = refusing_at(&mut scene, "Wed, 20 Nov 2024 02:30:00 GMT");
    scene.environment("AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{server}"));
    scene.environment("AWS_ACCESS_KEY_ID", "AKID");
    let said = doctor(&scene, &["--input", "s3://logs/night"]);
    said.holds("input credentials", &["set without the other", "set both"]);
}

#[test]
fn a_clock_that_is_years_off_is_told_and_what_comes_of_it() {
    let mut scene = Scene::new();
    let port = refusing_at(&mut scene, "Wed, 20 Nov 2024 02:30:00 GMT");
    scene.environment("AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{port}"));
    scene.environment("AWS_ACCESS_KEY_ID", "AKID");
    scene.environment("AWS_SECRET_ACCESS_KEY", "hunter2");
    let said = doctor(&scene, &["--input", "s3://logs/night"]);
    assert_eq!((said.exit, said.ended("failed")), (1, vec!["input clock".into(), "input bucket".into()]));
    said.holds("input clock", &["S3's clock is", "behind this machine's", "time server"]);
    said.holds("input bucket", &["access denied", "s3:ListBucket"]);
}

#[test]
fn what_an_interrupted_doctor_wrote_is_deleted() {
    let mut scene = Scene::new();
    fs::create_dir_all(scene.path("buckets/lake")).unwrap();
    let (told, written) = mpsc::channel();
    let answered = Arc::new(Notify::new());
    let gate = {
        let answered = Arc::clone(&answered);
        move |method: &str, path: &str| {
            let is_trial = method == "PUT" && path.contains("topshelf-doctor-");
            let (told, answered) = (told.clone(), Arc::clone(&answered));
            let wait = move |is_after: bool| async move {
                if is_trial && is_after {
                    let _ = told.send(());
                    answered.notified().await;
                }
            };
            (wait.clone()(false), wait(true))
        }
    };
    let runtime = runtime();
    let environment = runtime.block_on(s3::start_behind(&scene.path("buckets"), gate));
    environment.iter().for_each(|(name, value)| scene.environment(name, value));
    let mut command =
        scene.command(&["doctor", "--day", DAY, "--json", "--input", "logs", "--lake", "s3://lake/top"]);
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    written.recv_timeout(Duration::from_secs(60)).expect("the doctor puts an object");
    assert_eq!(trials(&scene), 1, "it was put, and is not answered yet");
    let kill = format!("kill -TERM {}", process.id());
    assert!(Command::new("/bin/sh").args(["-c", &kill]).status().unwrap().success());
    // The second put is on its way when the first is answered.
    answered.notify_one();
    answered.notify_one();
    if written.recv_timeout(Duration::from_secs(60)).is_ok() {
        answered.notify_one();
    }
    assert_eq!(process.wait().unwrap().code(), Some(1));
    assert_eq!(trials(&scene), 0, "it was deleted");
}

/// How many trial objects there are in the lake's bucket.
fn trials(scene: &Scene) -> usize {
    let entries = fs::read_dir(scene.path("buckets/lake/top")).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("topshelf-doctor-")).count()
}

#[test]
fn what_a_killed_doctor_left_is_deleted_by_the_next() {
    let scene = Scene::new();
    for (name, age) in [("topshelf-doctor-old", 3600), ("topshelf-doctor-young", 5), ("theirs", 3600)] {
        scene.write(&format!("lake/{name}"), "x");
        let file = fs::File::options().write(true).open(scene.path(&format!("lake/{name}"))).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(age)).unwrap();
    }
    doctor(&scene, &["--lake", "lake"]).is_well();
    let names: std::collections::BTreeSet<_> = fs::read_dir(scene.path("lake"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["theirs", "topshelf-doctor-young"]);
}

#[test]
fn a_bucket_with_nothing_below_the_prefix_is_told_by_its_logs() {
    let scene = in_buckets();
    let said = doctor(&scene, &["--input", "s3://logs/nights", "--lake", "s3://lake/top"]);
    assert_eq!(said.ended("failed"), ["input advertiser_ids", "input ads_views", "input product_views"]);
    said.holds("input bucket", &["nothing is in it below the prefix"]);
    said.holds("input read", &["not tried: product_views failed"]);
}

/// What the doctor says of a lake in a bucket of a server with that fault.
fn lake_with(fault: Fault) -> Said {
    let mut scene = Scene::new();
    let port = agreeing(&mut scene, fault);
    scene.environment("AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{port}"));
    scene.environment("AWS_ACCESS_KEY_ID", "AKID");
    scene.environment("AWS_SECRET_ACCESS_KEY", "hunter2");
    doctor(&scene, &["--lake", "s3://lake/top"])
}

#[test]
fn a_lake_that_knows_no_conditions_will_do_and_is_told() {
    let said = lake_with(Fault::ConditionsIgnored);
    said.warns(
        "lake write",
        &["the second put replaced the first", "ignores the condition", "only one process"],
    );
    let said = lake_with(Fault::ConditionsUnknown);
    said.warns("lake write", &["not on the condition", "does not know If-None-Match", "only one process"]);
}

#[test]
fn a_lake_that_may_not_be_written_is_told_with_the_right_to_allow() {
    let said = lake_with(Fault::PutsDenied);
    said.fails_only("lake write", &["AccessDenied", "lacks s3:PutObject", "allow s3:ListBucket"]);
    let said = lake_with(Fault::DeletesDenied);
    said.fails_only(
        "lake write",
        &["access denied", "lacks s3:DeleteObject", "s3://lake/top/topshelf-doctor-"],
    );
}
