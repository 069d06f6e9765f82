//! What the tests of `deploy/compose` need: the files as a tool of compose reads them, and moto, both by PyPI.

use crate::{
    Failure,
    python::Environment,
    repository::{read, stdout},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

const FILE: &str = "deploy/compose/compose.yaml";
const CLUSTER: &str = "deploy/compose/compose.cluster.yaml";
const ENVIRONMENT: Environment = Environment("compose-venv");
const TOOL: &str = "podman-compose==1.6.0";

/// What the file calls the image of moto, before its version.
const MOTO: &str = "image: motoserver/moto:";

/// The files, whole and as JSON, and the Python that has moto.
pub(super) struct Prepared {
    pub(super) file: PathBuf,
    pub(super) cluster: PathBuf,
    pub(super) python: PathBuf,
}

/// Installs both, has the tool check the files, and leaves what it makes of them in a folder.
pub(super) fn prepare(folder: &Path) -> Result<Prepared, Failure> {
    ENVIRONMENT.make()?;
    let text = read(Path::new(FILE))?;
    let version = moto(&text).ok_or_else(|| format!("{FILE} has no line `{MOTO}VERSION`"))?;
    ENVIRONMENT.install(&[TOOL, &format!("moto[server]=={version}")])?;
    let file = as_json(FILE, &folder.join("compose"))?;
    let cluster = as_json(CLUSTER, &folder.join("compose.cluster"))?;
    Ok(Prepared { file, cluster, python: PathBuf::from(ENVIRONMENT.program("python", &[]).get_program()) })
}

/// What the tool makes of a file, beside it as the tool writes it.
fn as_json(file: &str, to: &Path) -> Result<PathBuf, Failure> {
    let write = |path: &Path, content: &str| {
        fs::write(path, content).map_err(|error| format!("could not write {}: {error}", path.display()))
    };
    let [yaml, json] = ["yaml", "json"].map(|kind| to.with_added_extension(kind));
    write(
        &yaml,
        &stdout(&mut ENVIRONMENT.program("podman-compose", &["--profile", "by-hand", "-f", file, "config"]))?,
    )?;
    let script = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    write(&json, &stdout(ENVIRONMENT.program("python", &["-c", script]).arg(&yaml))?)?;
    Ok(json)
}

/// The version of moto that the file names.
fn moto(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.trim().strip_prefix(MOTO))
}
