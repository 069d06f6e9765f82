//! Logs that are not there, cannot be read, or are not what they should be.

use crate::{
    call::doctor,
    scene::{DAY, Scene},
};
use std::{fs, os::unix::fs::PermissionsExt, process::Command};

#[test]
fn a_log_that_is_not_there_is_told_with_what_is() {
    let scene = Scene::new();
    fs::rename(scene.path("logs/ads_views.csv"), scene.path("logs/ads-2024.csv")).unwrap();
    let said = doctor(&scene, &[]);
    let words = [
        "no object of ads_views matches",
        DAY,
        "ads-2024.csv",
        "set input.ads_views",
        "nobody has written the log",
    ];
    said.fails_only("input ads_views", &words);
    assert_eq!(said.step("input product_views")["outcome"], "ok", "other logs are looked for");
    assert_eq!(said.step("input columns")["outcome"], "ok", "what is there is read");
}

#[test]
fn the_day_decides_which_object_is_looked_for() {
    let mut scene = Scene::new();
    scene.environment("TOPSHELF_INPUT__ADS_VIEWS", "ads_views-{day}.csv");
    fs::rename(scene.path("logs/ads_views.csv"), scene.path(&format!("logs/ads_views-{DAY}.csv"))).unwrap();
    let said = doctor(&scene, &[]);
    said.is_well().holds("input ads_views", &["1 object", "ads_views-2024-11-20.csv"]);
    let ended = scene.call(&["doctor", "--json", "--input", "logs"]);
    let said = crate::call::said(ended);
    let yesterday = said.json["day"].as_str().unwrap().to_owned();
    said.fails_only("input ads_views", &[&yesterday, "ads_views-2024-11-20.csv"]);
}

#[test]
fn a_wrong_header_is_told_as_a_night_tells_it() {
    let scene = Scene::new();
    scene.write("logs/ads_views.csv", "advertiser_id,sku,type,date\nacme,shoe,click,2024-11-20\n");
    let said = doctor(&scene, &[]);
    said.fails_only(
        "input columns",
        &["ads_views.csv cannot be read as ads_views", "product_id", "[input.columns]"],
    );
    let night = scene.end();
    assert_eq!(night.exit, 3);
    let told = said.step("input columns")["answer"].as_str().unwrap();
    assert!(night.stderr.contains(told), "{told:?} in {}", night.stderr);
}

#[test]
fn damaged_objects_are_told_before_the_night() {
    let scene = Scene::new();
    scene.write("logs/product_views.csv", b"PAR1 and nothing that follows it");
    doctor(&scene, &[]).fails_only("input columns", &["product_views.csv", "Parquet"]);
    scene.write("logs/product_views.csv", b"");
    doctor(&scene, &[]).fails_only("input columns", &["product_views.csv", "header"]);
}

#[test]
fn a_directory_that_is_not_there_is_told() {
    let scene = Scene::new();
    let said = doctor(&scene, &["--input", "nowhere"]);
    said.fails_only("input directory", &["nowhere", "create the directory, or name another"]);
    let said = doctor(&scene, &["--input", "logs/ads_views.csv"]);
    said.fails_only("input directory", &["it is a file"]);
    let said = doctor(&scene, &["--input", "ftp://host/logs"]);
    said.fails_only("input directory", &["ftp:// is not supported"]);
}

/// Root may read everything: then somebody else calls the doctor.
fn call_as_nobody(scene: &Scene) -> crate::call::Said {
    let args = ["doctor", "--day", DAY, "--json", "--input", "logs"];
    let uid = String::from_utf8(Command::new("id").arg("-u").output().unwrap().stdout).unwrap();
    if uid.trim() != "0" {
        return crate::call::said(scene.call(&args));
    }
    // The program may lie where nobody else looks.
    let program = scene.path("topshelf");
    fs::copy(env!("CARGO_BIN_EXE_topshelf"), &program).unwrap();
    let everyone = |mode| fs::Permissions::from_mode(mode);
    fs::set_permissions(&program, everyone(0o755)).unwrap();
    fs::set_permissions(scene.folder(), everyone(0o777)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(program).args(args);
    let output =
        command.current_dir(scene.folder()).env_clear().env("PATH", "/usr/bin:/bin").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    crate::call::said(crate::scene::Ended {
        exit: output.status.code().unwrap(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    })
}

fn set_mode(scene: &Scene, name: &str, mode: u32) {
    fs::set_permissions(scene.path(name), fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_this_user_may_not_read_is_told() {
    let scene = Scene::new();
    set_mode(&scene, "logs/ads_views.csv", 0o000);
    let said = call_as_nobody(&scene);
    said.fails_only("input read", &["ads_views.csv", "Permission denied", "give this user permission"]);
    set_mode(&scene, "logs/ads_views.csv", 0o644);
    set_mode(&scene, "logs", 0o000);
    let said = call_as_nobody(&scene);
    said.fails_only("input directory", &["Permission denied", "chmod o+rx"]);
    set_mode(&scene, "logs", 0o755);
}

#[test]
fn where_this_user_may_not_write_is_told() {
    let scene = Scene::new();
    fs::create_dir_all(scene.path("topshelf-data/lake")).unwrap();
    set_mode(&scene, "topshelf-data/lake", 0o555);
    let said = call_as_nobody(&scene);
    assert_eq!(said.step("lake directory")["outcome"], "failed", "{said:#?}");
    said.holds("lake directory", &["Permission denied", "chown", "lake.url"]);
    set_mode(&scene, "topshelf-data/lake", 0o755);
}

#[test]
fn the_marker_of_the_day_is_looked_for() {
    let mut scene = Scene::new();
    scene.environment("TOPSHELF_SCHEDULE__INPUT_MARKER", "{day}/_SUCCESS");
    let said = doctor(&scene, &[]);
    said.fails_only("input marker", &["2024-11-20/_SUCCESS is not there", "schedule.input_marker"]);
    scene.write("logs/2024-11-20/_SUCCESS", "");
    doctor(&scene, &[]).is_well().holds("input marker", &["2024-11-20/_SUCCESS is there"]);
}
