//! The image on its way through a registry that asks for a password, as Amazon's does.

use crate::{
    engine::{Engine, PATIENCE, archive},
    network,
};
use std::{
    net::TcpStream,
    process::{Child, Command, Output, Stdio},
    thread,
    time::Instant,
};

const ADDRESS: &str = "127.0.0.1:5000";

/// A registry; dropped, it is killed.
struct Registry(Child);

impl Registry {
    fn start(engine: &Engine) -> Self {
        // The name that Amazon's registry has for everybody who has a token.
        let htpasswd = Command::new("htpasswd").args(["-Bbn", "AWS", "token"]).output().unwrap();
        let passwords = engine.write("htpasswd", &String::from_utf8(htpasswd.stdout).unwrap());
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{ADDRESS}'}}\nauth: {{htpasswd: {{realm: shelf, path: {}}}}}\n",
            engine.path("registry").display(),
            passwords.display()
        );
        let config = engine.write("registry.yml", &config);
        let mut server = Command::new("docker-registry");
        server.arg("serve").arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let registry = Self(server.spawn().unwrap());
        let began = Instant::now();
        while TcpStream::connect(ADDRESS).is_err() {
            assert!(began.elapsed() < PATIENCE, "the registry does not listen");
            thread::sleep(std::time::Duration::from_millis(20));
        }
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Copies an image from an archive into the registry.
fn push(from: &str, tag: &str, credentials: &str) -> Output {
    let to = format!("docker://{ADDRESS}/topshelf:{tag}");
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["copy", "--insecure-policy", "--dest-tls-verify=false", "--dest-creds", credentials]);
    skopeo.args([from, &to]).output().unwrap()
}

#[test]
fn it_is_pushed_and_pulled_with_a_password_and_not_without() {
    network::enter();
    let mut engine = Engine::empty();
    let _registry = Registry::start(&engine);
    let docker = format!("docker-archive:{}", archive("docker").display());
    let oci = format!("oci-archive:{}", archive("oci").display());
    let refused = push(&docker, "refused", "AWS:wrong");
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("authentication required"));
    for (from, tag) in [(&docker, "docker"), (&oci, "oci")] {
        let pushed = push(from, tag, "AWS:token");
        assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
        let name = format!("{ADDRESS}/topshelf:{tag}");
        let pull = |credentials: &str| {
            let pull = ["pull", "--quiet", "--tls-verify=false", "--creds", credentials, &name];
            engine.podman(&pull).output().unwrap().status.success()
        };
        assert!(!pull("AWS:wrong"));
        let nobody = engine.podman(&["pull", "--quiet", "--tls-verify=false", &name]).output().unwrap();
        assert!(!nobody.status.success());
        assert!(pull("AWS:token"));
        engine.take(&name);
        assert!(engine.end_well(&[], &["--version"]).starts_with("topshelf "));
        let test = engine.succeed(&["inspect", "--format", "{{.HealthCheck}}", &name]);
        // OCI's own format knows no health check: orchestrators that take it ask for one of their own.
        assert_eq!(test.contains("/topshelf health"), tag == "docker", "{tag}: {test}");
    }
}
