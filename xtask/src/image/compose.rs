//! What the test of `deploy/compose/compose.yaml` needs: the file as a tool of compose reads it, and moto, both by PyPI.

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
const ENVIRONMENT: Environment = Environment("compose-venv");
const TOOL: &str = "podman-compose==1.6.0";

/// What the file calls the image of moto, before its version.
const MOTO: &str = "image: motoserver/moto:";

/// The file, whole and as JSON, and the Python that has moto.
pub(super) struct Prepared {
    pub(super) file: PathBuf,
    pub(super) python: PathBuf,
}

/// Installs both, has the tool check the file, and leaves what it makes of it in a folder.
pub(super) fn prepare(folder: &Path) -> Result<Prepared, Failure> {
    ENVIRONMENT.make()?;
    let text = read(Path::new(FILE))?;
    let version = moto(&text).ok_or_else(|| format!("{FILE} has no line `{MOTO}VERSION`"))?;
    ENVIRONMENT.install(&[TOOL, &format!("moto[server]=={version}")])?;
    let python = |script: &str| ENVIRONMENT.program("python", &["-c", script]);
    let checked = stdout(&mut ENVIRONMENT.program("podman-compose", &["-f", FILE, "config"]))?;
    let yaml = folder.join("compose.yaml");
    fs::write(&yaml, checked).map_err(|error| format!("could not write {}: {error}", yaml.display()))?;
    let json = stdout(
        python("import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))").arg(&yaml),
    )?;
    let file = folder.join("compose.json");
    fs::write(&file, json).map_err(|error| format!("could not write {}: {error}", file.display()))?;
    Ok(Prepared { file, python: PathBuf::from(python("").get_program()) })
}

/// The version of moto that the file names.
fn moto(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.trim().strip_prefix(MOTO))
}
