//! The document as others read it: by the schema of CycloneDX, which its own library for Python carries.

use super::{Subject, write};
use crate::{
    Failure,
    python::Environment,
    repository::{root, succeed, target},
    say,
};
use std::env;

const ENVIRONMENT: Environment = Environment("sbom-venv");
const LIBRARY: &str = "cyclonedx-python-lib[json-validation]==11.12.0";

/// What is shipped.
const TARGETS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

/// Strictly: a member that the schema does not have is an error.
const SCRIPT: &str = "
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())
sys.exit(f'{sys.argv[1]}: {error}' if error else 0)
";

/// Has the schema judge what is written for both kinds of processor.
pub(crate) fn run_with_tests() -> Result<(), Failure> {
    ENVIRONMENT.make()?;
    ENVIRONMENT.install(&[LIBRARY])?;
    let folder = root().join(target()).join("sbom");
    // Our own program stands in for the one that is shipped; it tells its compiler too.
    let ours = env::current_exe().map_err(|error| format!("could not find xtask itself: {error}"))?;
    for target in TARGETS {
        say(&format!("judging the list of parts for {target} by CycloneDX' schema"));
        let subject = Subject { target, program: Some(&ours), beside: &["Cargo.lock".into()] };
        let file = folder.join(format!("{target}.cdx.json"));
        write(&subject, &file)?;
        succeed(ENVIRONMENT.program("python", &["-c", SCRIPT]).arg(&file))?;
    }
    Ok(())
}
