//! The tests of the image, which run it as a user would.

use super::{Image, Options, build, compose, program, size_max};
use crate::{
    Failure, archive, debian,
    repository::{root, succeed, target, words},
    say, test,
};

/// What the tests call, and Debian's package that has it.
const TOOLS: [(&str, &str); 7] = [
    ("podman", "podman"),
    ("runc", "runc"),
    ("skopeo", "skopeo"),
    ("docker-registry", "docker-registry"),
    ("htpasswd", "apache2-utils"),
    ("ip", "iproute2"),
    ("openssl", "openssl"),
];

/// What is tested beside the workspace's other tests, once there is an image.
pub(crate) const TESTS: [&str; 4] = ["--package", "topshelf", "--test", "image"];

/// Builds the image and tests it, where that can be done.
pub(crate) fn run_with_tests() -> Result<Option<Image>, Failure> {
    if !cfg!(target_os = "linux") || !debian::is_root()? {
        say("the image is not tested: its tests need Linux, and root for networks of their own");
        return Ok(None);
    }
    run(&Options::default()).map(Some)
}

/// Builds the image and tests it; the archive of its program too.
pub(super) fn run(options: &Options) -> Result<Image, Failure> {
    install_tools()?;
    let image = build(options)?;
    archive::run(&archive::Options {
        target: options.target.clone(),
        program: Some(image.root.join("topshelf")),
    })?;
    let compose = compose::prepare(&root().join(target()).join("image"))?;
    let mut tests = test::runner(&["test"]);
    tests.args(TESTS);
    tests.env("TOPSHELF_TEST_IMAGE_OCI", &image.oci).env("TOPSHELF_TEST_IMAGE_DOCKER", &image.docker);
    tests.env("TOPSHELF_TEST_COMPOSE", compose.file).env("TOPSHELF_TEST_PYTHON", compose.python);
    tests.env("TOPSHELF_TEST_COMPOSE_CLUSTER", compose.cluster);
    tests.env("TOPSHELF_TEST_IMAGE_SIZE_MAX", size_max().to_string());
    if program::features().is_some_and(|features| features.split([',', ' ']).any(|of| of == "cluster")) {
        test::take_ignored(&mut tests);
    }
    say(&format!("running `{}`", words(&tests)));
    succeed(&mut tests)?;
    Ok(image)
}

/// Installs what runs containers.
pub(crate) fn install_tools() -> Result<(), Failure> {
    debian::install_missing(&TOOLS, "the tests of the image")
}
