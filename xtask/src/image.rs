//! `cargo xtask image`: the image of `deploy/docker/Dockerfile` on a machine without Docker, as archives.
//!
//! The program is built here and takes the place of what the Dockerfile's first stages build; the last stage is built
//! from the same lines by buildah, which needs no service. What is written: an OCI archive for registries, and Docker's
//! own kind of archive, which alone can hold a `HEALTHCHECK`. Both are the same from the same commit, but for the host
//! name in the second's configuration.
//!
//! `TOPSHELF_FEATURES=cluster` makes a variant of it, named by the feature.

mod certificates;
mod compose;
pub(crate) mod program;
mod testing;

pub(crate) use testing::{TESTS, install_tools, run_with_tests};

use crate::{
    Failure, debian,
    repository::{program as command, root, stdout, succeed, target, works},
    say, sbom,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Bytes of everything in the image that is handed out, at most, and in one with features that are not.
const SIZE_MAX: u64 = 30_000_000;
const VARIANT_SIZE_MAX: u64 = 80_000_000;

/// What to build.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// The processor it is for, as Rust names it with the system [default: this machine's]
    #[arg(long, value_name = "TARGET")]
    pub(crate) target: Option<String>,
    /// A static program that was built already
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
    /// Certificates of Amazon RDS's authorities, in PEM [default: fetched]
    #[arg(long, value_name = "FILE")]
    pub(crate) rds_certificates: Option<PathBuf>,
    /// Test it too, as `cargo xtask test` does at its end
    #[arg(long)]
    pub(crate) test: bool,
}

/// The archives of an image.
pub(crate) struct Image {
    /// An OCI archive.
    pub(crate) oci: PathBuf,
    /// What `docker save` writes.
    pub(crate) docker: PathBuf,
    /// The folder that is the root of a container.
    pub(crate) root: PathBuf,
    /// Bytes of all files in it.
    pub(crate) size_bytes: u64,
}

/// Builds the image and says where it is.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    if options.test { testing::run(options) } else { build(options) }.map(drop)
}

/// Builds the image.
pub(crate) fn build(options: &Options) -> Result<Image, Failure> {
    let buildah = find_or_install("buildah")?;
    let triple = options.target.clone().map_or_else(program::of_this_machine, Ok)?;
    let architecture = program::architecture(&triple)?;
    let program = match &options.program {
        Some(file) => file.clone(),
        None => program::build(&triple)?,
    };
    program::check(&program, architecture)?;
    let folder = root().join(target()).join("image");
    let certificates = certificates::find(&folder, options.rds_certificates.as_deref())?;
    let notices = folder.join("notices.txt");
    program::write_notices(&triple, &notices)?;
    let layers = folder.join("root");
    // What `COPY --from=build /image/ /` finds.
    let content = layers.join("image");
    remove(&layers)?;
    succeed(command(root().join("deploy/docker/root.sh"), &[]).args([
        &program,
        &certificates.public,
        &certificates.rds,
        &notices,
        &content,
    ]))?;
    let bundles = ["ca-certificates.crt", "rds.pem"].map(|bundle| content.join("etc/ssl/certs").join(bundle));
    let parts = sbom::Subject { target: &triple, program: Some(&program), beside: &bundles };
    let list = folder.join(format!("topshelf-{}-linux-{architecture}.cdx.json", tag()));
    sbom::write(&parts, &list)?;
    let size_bytes = size(&content)?;
    let (oci, docker) = archive(&buildah, &folder, &layers, architecture)?;
    let image = Image { oci, docker, root: content, size_bytes };
    say(&format!("{}: for registries, {}", image.oci.display(), megabytes(bytes(&image.oci)?)));
    say(&format!("{}: for `docker load` and `podman load`", image.docker.display()));
    say(&format!(
        "the image is {} unpacked, {} of it the program",
        megabytes(size_bytes),
        megabytes(bytes(&program)?)
    ));
    if size_bytes > size_max() {
        return Err(format!("the image is larger than {}", megabytes(size_max())).into());
    }
    Ok(image)
}

fn size_max() -> u64 {
    if program::features().is_some() { VARIANT_SIZE_MAX } else { SIZE_MAX }
}

/// The version, with the names of features that the image is a variant by.
pub(crate) fn tag() -> String {
    let version = env!("CARGO_PKG_VERSION");
    match program::features() {
        Some(features) => format!("{version}-{}", features.replace([',', ' '], "-")),
        None => version.to_owned(),
    }
}

/// Builds the last stage of the Dockerfile and writes it as archives.
fn archive(
    buildah: &Path,
    folder: &Path,
    layers: &Path,
    architecture: &str,
) -> Result<(PathBuf, PathBuf), Failure> {
    let (storage, context) = (folder.join("storage"), folder.join("context"));
    remove(&storage)?;
    fs::create_dir_all(&context).map_err(|error| format!("could not make {}: {error}", context.display()))?;
    let version = env!("CARGO_PKG_VERSION");
    let git = |arguments: &[&str]| stdout(&mut command("git", arguments)).map(|text| text.trim().to_owned());
    let (revision, committed_at) =
        (git(&["rev-parse", "HEAD"])?, git(&["show", "-s", "--format=%ct", "HEAD"])?);
    let tag = tag();
    let name = format!("topshelf:{tag}");
    let in_storage = |arguments: &[&str]| {
        let mut call = command(buildah, &[]);
        call.arg("--root").arg(storage.join("root")).arg("--runroot").arg(storage.join("run"));
        call.args(["--storage-driver", "vfs"]).args(arguments);
        call
    };
    let mut build = in_storage(&["build", "--isolation", "chroot", "--format", "docker", "--quiet"]);
    build.args([
        "--target",
        "image",
        "--timestamp",
        &committed_at,
        "--platform",
        &format!("linux/{architecture}"),
    ]);
    build.arg(format!("--build-context=build={}", layers.display()));
    build.args([format!("--build-arg=VERSION={version}"), format!("--build-arg=REVISION={revision}")]);
    build.args(["--tag", &name, "--file", "deploy/docker/Dockerfile"]).arg(&context);
    succeed(build.stdout(std::process::Stdio::null()))?;
    let file = |kind: &str| folder.join(format!("topshelf-{tag}-linux-{architecture}.{kind}.tar"));
    let (oci, docker) = (file("oci"), file("docker"));
    for (kind, format, file) in [("oci-archive", "oci", &oci), ("docker-archive", "v2s2", &docker)] {
        remove(file)?;
        let to = format!("{kind}:{}:{name}", file.display());
        succeed(&mut in_storage(&[
            "push",
            "--quiet",
            "--format",
            format,
            &format!("localhost/{name}"),
            &to,
        ]))?;
    }
    remove(&storage)?;
    Ok((oci, docker))
}

/// A program of Debian's package of the same name, installed if it is not there.
fn find_or_install(name: &str) -> Result<PathBuf, Failure> {
    let is_there = || works(&mut command(name, &["--version"]));
    if !is_there() && debian::can_install()? {
        debian::install(&[name])?;
    }
    if is_there() { Ok(name.into()) } else { Err(format!("{name} is not here: install it").into()) }
}

/// Removes a file or folder, if it is there.
fn remove(path: &Path) -> Result<(), Failure> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    };
    removed.map_err(|error| format!("could not remove {}: {error}", path.display()).into())
}

/// Bytes of all files below a folder.
fn size(folder: &Path) -> Result<u64, Failure> {
    let unread = |error| Failure::from(format!("could not read {}: {error}", folder.display()));
    let mut size = 0;
    for entry in fs::read_dir(folder).map_err(unread)? {
        let path = entry.map_err(unread)?.path();
        size += if path.is_dir() { self::size(&path)? } else { bytes(&path)? };
    }
    Ok(size)
}

fn bytes(file: &Path) -> Result<u64, Failure> {
    let metadata = fs::metadata(file);
    metadata
        .map(|metadata| metadata.len())
        .map_err(|error| format!("could not read {}: {error}", file.display()).into())
}

/// Bytes in units of 10⁶, as people read them.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
