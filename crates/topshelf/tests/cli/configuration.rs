//! Flag beats environment beats file beats default; secrets are not printed.

use crate::scene::Scene;

/// What `config` says of `input.url`, with its origin.
fn input_line(scene: &Scene, args: &[&str]) -> String {
    let printed = scene.end_well(&[&["config"], args].concat()).stdout;
    let (_, section) = printed.split_once("[input]\n").unwrap();
    section.lines().find(|line| line.starts_with("url = ")).unwrap().to_owned()
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let mut scene = Scene::new();
    assert_eq!(input_line(&scene, &[]), "url = \"data\"");
    scene.write("other.toml", "[input]\nurl = \"other\"\n");
    assert_eq!(input_line(&scene, &["--config", "other.toml"]), "url = \"other\"  # other.toml");
    scene.write("topshelf.toml", "[input]\nurl = \"file\"\n");
    assert_eq!(input_line(&scene, &[]), "url = \"file\"  # topshelf.toml");
    assert_eq!(input_line(&scene, &["--config", "other.toml"]), "url = \"other\"  # other.toml");
    scene.environment("TOPSHELF_INPUT__URL", "environment");
    assert_eq!(input_line(&scene, &[]), "url = \"environment\"  # environment");
    assert_eq!(input_line(&scene, &["--input", "flag"]), "url = \"flag\"  # flag");
}

#[test]
fn every_global_flag_is_its_key() {
    let scene = Scene::new();
    let flags = ["--input", "i", "--store", "sqlite:s", "--lake", "l", "--listen", "localhost:1"];
    let config = scene.end_well(&[&["config", "--json"][..], &flags].concat()).json();
    let keys = ["/input/url", "/store/url", "/lake/url", "/serve/listen"];
    assert_eq!(
        keys.map(|key| config.pointer(key).unwrap().as_str().unwrap()),
        ["i", "sqlite:s", "l", "localhost:1"]
    );
}

#[test]
fn database_url_is_the_store_unless_ours_is_set() {
    let mut scene = Scene::new();
    let store = |scene: &Scene| scene.end_well(&["config", "--json"]).json()["store"]["url"].clone();
    scene.environment("DATABASE_URL", "postgres://db/theirs");
    assert_eq!(store(&scene), "postgres://db/theirs");
    scene.environment("TOPSHELF_STORE__URL", "postgres://db/ours");
    assert_eq!(store(&scene), "postgres://db/ours");
}

#[test]
fn passwords_are_never_printed() {
    for url in ["postgres://u:hunter2@db:5432/x", "postgres://u@db/x?password=hunter2&sslmode=require"] {
        for by in ["TOPSHELF_STORE__URL", "DATABASE_URL"] {
            let mut scene = Scene::new();
            scene.environment(by, url);
            for args in [&["config"][..], &["config", "--json"]] {
                let ended = scene.end_well(args);
                assert!(ended.stdout.contains("***") && !ended.stdout.contains("hunter2"), "{by}: {ended:?}");
            }
        }
    }
}

#[test]
fn what_config_prints_is_a_configuration_file() {
    let mut scene = Scene::new();
    scene.environment("TOPSHELF_RANKING__K", "7");
    scene.environment("TOPSHELF_INPUT__COLUMNS__DATE", "fecha \"#\"");
    let printed = scene.end_well(&["config"]).stdout;
    let meant = scene.end_well(&["config", "--json"]).json();
    let other = Scene::new();
    other.write("topshelf.toml", printed);
    assert_eq!(other.end_well(&["config", "--json"]).json(), meant);
}

#[cfg(not(feature = "otel"))]
#[test]
fn a_build_without_traces_says_so_once_when_a_collector_is_told_of() {
    let mut scene = Scene::new();
    assert!(!scene.call(&["config"]).stderr.contains("OpenTelemetry"));
    scene.environment("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:hidden-1@127.0.0.1:4318");
    let ended = scene.end_well(&["config"]);
    let told: Vec<_> = ended.stderr.lines().filter(|line| line.contains("OpenTelemetry")).collect();
    assert_eq!(told.len(), 1, "{ended:?}");
    assert!(
        told[0].contains("no OpenTelemetry (feature `otel`)") && !told[0].contains("hidden-1"),
        "{told:?}"
    );
    scene.environment("OTEL_SDK_DISABLED", "true");
    assert!(!scene.end_well(&["config"]).stderr.contains("OpenTelemetry"));
}

#[test]
fn a_variable_may_name_a_file_that_has_the_value() {
    let mut scene = Scene::new();
    scene.write("secrets/url", "postgres://u:hunter2@db/by_file\n");
    scene.write("topshelf.toml", "[store]\nurl = \"sqlite:file\"\n");
    scene.environment("DATABASE_URL_FILE", "secrets/url");
    let store = |scene: &Scene| scene.end_well(&["config", "--json"]).json()["store"]["url"].clone();
    assert_eq!(store(&scene), "postgres://u:***@db/by_file");
    let mut scene = Scene::new();
    scene.write("secrets/url", "postgres://u:hunter2@db/by_file\n");
    scene.write("secrets/k", "7\r\n");
    scene.write("secrets/proxies", "[\"10.0.0.0/8\"]");
    scene.environment("DATABASE_URL", "postgres://db/theirs");
    scene.environment("TOPSHELF_STORE__URL_FILE", "secrets/url");
    scene.environment("TOPSHELF_RANKING__K_FILE", "secrets/k");
    scene.environment("TOPSHELF_SERVE__TRUSTED_PROXIES_FILE", "secrets/proxies");
    let config = scene.end_well(&["config", "--json"]).json();
    assert_eq!(config["store"]["url"], "postgres://u:***@db/by_file", "ours beats theirs");
    assert_eq!(config["ranking"]["k"], 7);
    assert_eq!(config["serve"]["trusted_proxies"][0], "10.0.0.0/8");
    let printed = scene.end_well(&["config"]).stdout;
    assert!(printed.contains("k = 7  # environment, by file") && !printed.contains("hunter2"), "{printed}");
    assert_eq!(
        scene.end_well(&["config", "--json", "--store", "sqlite:flag"]).json()["store"]["url"],
        "sqlite:flag"
    );
}

#[test]
fn a_file_that_cannot_be_a_value_is_refused_by_the_name_of_its_variable() {
    let check = |variables: &[(&str, &str)], expected: &[&str]| {
        let mut scene = Scene::new();
        scene.write("empty", "\n");
        scene.write("url", "postgres://u:hunter2@db/x");
        scene.write("bytes", [0xFF, 0xFE]);
        variables.iter().for_each(|(name, value)| scene.environment(name, value));
        let ended = scene.call(&["config"]);
        assert_eq!(ended.exit, 2, "{ended:?}");
        for text in expected {
            assert!(ended.stderr.contains(text) && !ended.stderr.contains("hunter2"), "{text}: {ended:?}");
        }
    };
    let url = "TOPSHELF_STORE__URL_FILE";
    check(&[(url, "nowhere")], &[url, "\"nowhere\", which is not there", "mount the secret there"]);
    check(&[(url, "")], &[url, "is not there"]);
    check(&[(url, "empty")], &[url, "which is empty", "write the value into it"]);
    check(&[(url, "logs")], &[url, "cannot be read: is a directory", "this user may read"]);
    check(&[(url, "bytes")], &[url, "cannot be read", "a file of text"]);
    let both = ["TOPSHELF_STORE__URL and TOPSHELF_STORE__URL_FILE are both set", "take one of them away"];
    check(&[(url, "url"), ("TOPSHELF_STORE__URL", "sqlite:x")], &both);
    let both = ["DATABASE_URL and DATABASE_URL_FILE are both set"];
    check(&[("DATABASE_URL_FILE", "url"), ("DATABASE_URL", "sqlite:x")], &both);
    check(&[("DATABASE_URL_FILE", "nowhere")], &["DATABASE_URL_FILE", "which is not there"]);
    check(
        &[("TOPSHELF_STORE__URI_FILE", "url")],
        &["TOPSHELF_STORE__URI_FILE", "`store.uri`", "did you mean TOPSHELF_STORE__URL_FILE?"],
    );
    check(&[("TOPSHELF_STORE_URL_FILE", "url")], &["TOPSHELF_STORE_URL_FILE", "no configuration key"]);
    check(&[("TOPSHELF_STORE_FILE", "url")], &["TOPSHELF_STORE_FILE", "no configuration key"]);
    check(
        &[("TOPSHELF_RANKING__K_FILE", "url")],
        &["`ranking.k` (from the environment)", "invalid content of its file"],
    );
}

#[test]
fn what_no_cluster_could_be_asked_with_is_refused_in_any_build() {
    let scene = Scene::new();
    for url in ["df://nowhere", "http://127.0.0.1:7050", "df://127.0.0.1:0", "df://me:hunter2@a:1"] {
        for command in ["config", "up", "serve", "run"] {
            let ended = scene.call(&[command, "--cluster", url]);
            assert!(ended.exit == 2 && ended.stderr.contains("df://HOST:PORT"), "{ended:#?}");
            assert!(!ended.stderr.contains("hunter2"), "{ended:#?}");
        }
    }
    let bounds = [
        ("TASK_MIB", "0", "1 and 1048576"),
        ("ADDERS", "1000000", "0 and 10000"),
        ("DEADLINE_SECONDS", "0", "1 and 604800"),
        ("RETRIES", "101", "0 and 100"),
    ];
    let mut scene = Scene::new();
    scene.environment("TOPSHELF_CLUSTER__TASK_MIB", "1MiB");
    let ended = scene.call(&["config"]);
    assert!(ended.exit == 2 && ended.stderr.contains("expected a whole number, 0 or more"), "{ended:#?}");
    for (key, value, bound) in bounds {
        let mut scene = Scene::new();
        scene.environment(&format!("TOPSHELF_CLUSTER__{key}"), value);
        let ended = scene.call(&["config"]);
        let told = format!("cluster.{} is {value}, which is not between {bound}", key.to_lowercase());
        assert!(ended.exit == 2 && ended.stderr.contains(&told), "{ended:#?}");
    }
}
