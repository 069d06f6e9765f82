//! What is in the image, and what it says of itself.

use crate::{
    compose::prepared,
    engine::{Engine, archive},
    network,
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::Command,
};

/// Each path with its mode and size.
fn files(root: &Path, below: &Path, found: &mut BTreeMap<String, (u32, u64)>) {
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (0, 0), "{} is nobody's to change", path.display());
        let name = format!("/{}", path.strip_prefix(root).unwrap().display());
        let size = if metadata.is_dir() { 0 } else { metadata.len() };
        found.insert(name, (metadata.permissions().mode() & 0o7777, size));
        if metadata.is_dir() {
            files(root, &path, found);
        }
    }
}

#[test]
fn it_holds_the_program_and_certificates_and_nothing_else() {
    let engine = Engine::new();
    let root = engine.succeed(&["image", "mount", engine.image()]);
    let root = Path::new(root.trim());
    let mut found = BTreeMap::new();
    files(root, root, &mut found);
    let modes: Vec<_> = found.iter().map(|(path, (mode, _))| format!("{mode:o} {path}")).collect();
    assert_eq!(
        modes,
        [
            "755 /etc",
            "644 /etc/group",
            "644 /etc/nsswitch.conf",
            "644 /etc/passwd",
            "755 /etc/ssl",
            "755 /etc/ssl/certs",
            "644 /etc/ssl/certs/ca-certificates.crt",
            "644 /etc/ssl/certs/rds.pem",
            "755 /licenses",
            "644 /licenses/LICENSE-APACHE",
            "644 /licenses/LICENSE-MIT",
            "644 /licenses/third-party.txt.gz",
            "1777 /tmp",
            "755 /topshelf",
        ]
    );
    let size: u64 = found.values().map(|(_, size)| size).sum();
    let size_max: u64 = prepared("TOPSHELF_TEST_IMAGE_SIZE_MAX").to_str().unwrap().parse().unwrap();
    assert!(size <= size_max, "{size} bytes");
    assert!(found["/topshelf"].1 > size * 9 / 10, "mostly the program: {found:?}");
}

#[test]
fn the_licences_of_what_is_linked_are_in_it() {
    let engine = Engine::new();
    let root = engine.succeed(&["image", "mount", engine.image()]);
    let file = Path::new(root.trim()).join("licenses/third-party.txt.gz");
    let output = Command::new("gzip").args(["--decompress", "--stdout"]).arg(file).output().unwrap();
    let notices = String::from_utf8(output.stdout).unwrap();
    // A crate of Rust, the C that one carries, and what stands in no list of crates.
    for part in ["\ntokio 1.", "\nzstd-sys 2.", "SQLite", "GNU C library"] {
        assert!(notices.contains(part), "{part}");
    }
    assert!(!notices.contains("\ntopshelf-"), "ours is not another's");
}

#[test]
fn its_authorities_are_the_public_ones_and_amazons_for_rds() {
    let engine = Engine::new();
    let root = engine.succeed(&["image", "mount", engine.image()]);
    let subjects = |file: &str| {
        let bundle = Path::new(root.trim()).join("etc/ssl/certs").join(file);
        let list = "openssl storeutl -noout -certs -text \"$0\" | grep Subject:";
        let output = Command::new("sh").args(["-c", list]).arg(bundle).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let (all, rds) = (subjects("ca-certificates.crt"), subjects("rds.pem"));
    for region in ["us-east-1", "eu-west-1", "sa-east-1", "ap-southeast-1"] {
        let name = format!("Amazon RDS {region} Root CA RSA2048 G1");
        assert!(rds.contains(&name) && all.contains(&name), "{name}");
    }
    assert!(rds.lines().all(|subject| subject.contains("Amazon")), "{rds}");
    for public in ["ISRG Root X1", "Amazon Root CA 1"] {
        assert!(all.contains(public), "{public}");
    }
}

#[test]
fn it_says_what_it_is_and_how_it_is_run() {
    let engine = Engine::new();
    let inspected: Value = serde_json::from_str(&engine.succeed(&["inspect", engine.image()])).unwrap();
    let (image, config) = (&inspected[0], &inspected[0]["Config"]);
    assert_eq!(image["Os"], "linux");
    assert_eq!((&config["User"], &config["WorkingDir"]), (&"65532:65532".into(), &"/tmp".into()));
    assert_eq!(config["Entrypoint"], serde_json::json!(["/topshelf"]));
    assert_eq!(config["Cmd"], serde_json::json!(["up"]));
    assert_eq!(config["Volumes"], serde_json::json!({"/tmp": {}}));
    assert_eq!(config["ExposedPorts"], serde_json::json!({"8080/tcp": {}}));
    assert_eq!(image["Healthcheck"]["Test"], serde_json::json!(["CMD", "/topshelf", "health"]));
    let label = |name: &str| config["Labels"][format!("org.opencontainers.image.{name}")].as_str().unwrap();
    assert_eq!((label("title"), label("version")), ("topshelf", env!("CARGO_PKG_VERSION")));
    assert_eq!(label("licenses"), "MIT OR Apache-2.0");
    assert_eq!(label("revision").len(), 40, "a commit");
}

#[test]
fn it_needs_no_other_file_for_time_zones() {
    network::enter();
    let engine = Engine::new();
    let version = engine.end_well(&[], &["--version"]);
    assert_eq!(version.trim(), concat!("topshelf ", env!("CARGO_PKG_VERSION")));
    let zone = ["--env=TOPSHELF_SCHEDULE__TIMEZONE=America/Argentina/Buenos_Aires"];
    assert!(engine.end_well(&zone, &["config"]).contains("America/Argentina/Buenos_Aires"));
    let unknown = engine.call(&["--env=TOPSHELF_SCHEDULE__TIMEZONE=America/Atlantis"], &["config"]);
    assert_eq!(unknown.status.code(), Some(2));
}

#[test]
fn all_that_it_writes_by_itself_goes_where_it_may() {
    network::enter();
    let engine = Engine::new();
    let settings = ["--volume=shelf:/tmp"];
    engine.end_well(&settings, &["generate", "--out", "data", "--rows", "1000", "--days", "1"]);
    // Lake, database and all else at their defaults, which are relative.
    engine.end_well(&settings, &["run", "--day", "2024-11-20"]);
    assert!(engine.end_well(&settings, &["runs"]).contains("2024-11-20"));
    let elsewhere = engine.call(&settings, &["generate", "--out", "/data", "--rows", "10", "--days", "1"]);
    assert_eq!(elsewhere.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&elsewhere.stderr).contains("Read-only file system"));
}

#[test]
fn the_archive_for_registries_holds_the_same_layer() {
    let layers = |kind: &str, transport: &str| {
        let source = format!("{transport}:{}", archive(kind).display());
        let output = Command::new("skopeo").args(["inspect", "--config", &source]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let config: Value = serde_json::from_slice(&output.stdout).unwrap();
        config["rootfs"]["diff_ids"].clone()
    };
    let oci = layers("oci", "oci-archive");
    assert!(!oci.as_array().unwrap().is_empty());
    assert_eq!(oci, layers("docker", "docker-archive"));
}
