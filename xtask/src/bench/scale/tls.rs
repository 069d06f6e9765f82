//! What TLS takes: the same day counted plainly and by mutual TLS, by turns.

use super::{
    Measuring, Options,
    measured::{Point, Took},
    table::megabytes,
};
use crate::{Failure, bench::thousands, repository::succeed, say};
use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The part of `docs/scale.md` that the table is written into.
pub(super) const PART: &str = "cargo xtask bench scale --tls";

/// Files in PEM: a certificate, its key, and the authority that has signed it.
pub(super) struct Certificates([PathBuf; 3]);

impl Certificates {
    /// Makes an authority, and one certificate that all processes of a host show.
    fn make(folder: &Path, host: &str) -> Result<Self, Failure> {
        let file = |name: &str| folder.join(name);
        let openssl = |args: &[&str]| {
            let mut openssl = Command::new("openssl");
            succeed(openssl.args(args).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null()))
        };
        fs::create_dir_all(folder)
            .map_err(|error| format!("could not make {}: {error}", folder.display()))?;
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let authority =
            ["req", "-x509", "-days", "2", "-subj", "/CN=a bench", "-keyout", "ca.key", "-out", "ca.pem"];
        openssl(&[&authority[..], &key].concat())?;
        let name = format!("subjectAltName=IP:{host}");
        let request =
            ["req", "-subj", "/CN=a host", "-addext", &name, "-keyout", "host.key", "-out", "host.csr"];
        openssl(&[&request[..], &key].concat())?;
        let sign = ["x509", "-req", "-in", "host.csr", "-copy_extensions", "copy", "-days", "2"];
        let by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "host.pem"];
        openssl(&[&sign[..], &by].concat())?;
        Ok(Self([file("host.pem"), file("host.key"), file("ca.pem")]))
    }

    /// For the processes of a cluster.
    pub(super) fn flags(&self) -> Vec<OsString> {
        let flags = ["--tls-cert", "--tls-key", "--tls-ca"].iter().zip(&self.0);
        flags.flat_map(|(flag, file)| [OsString::from(flag), file.into()]).collect()
    }

    /// For whoever counts on it.
    pub(super) fn variables(&self) -> impl Iterator<Item = (String, &OsStr)> {
        let keys = ["CERT", "KEY", "CA"].iter().zip(&self.0);
        keys.map(|(key, file)| (format!("TOPSHELF_CLUSTER__TLS_{key}"), file.as_os_str()))
    }
}

/// Counts by turns, and tells what both took.
pub(super) fn measure(measuring: Measuring<'_>, point: Point, options: &Options) -> Result<String, Failure> {
    let (here, _, _) = Measuring { runs: 1, ..measuring }.one_machine()?;
    let certificates = Certificates::make(&measuring.folder.join("certificates"), &super::group::host())?;
    let (mut plain, mut encrypted) = (Vec::new(), Vec::new());
    for _ in 0..options.runs {
        for (certificates, took) in [(None, &mut plain), (Some(&certificates), &mut encrypted)] {
            let run = Measuring { certificates, ..measuring }.on_a_cluster(&point, &here)?;
            let by = if certificates.is_some() { "by TLS" } else { "plainly" };
            say(&format!("{by}: {:.2} s, {:.2} s of CPU", run.wall_s, cpu_s(&run)));
            took.push(run);
        }
    }
    let median = |runs: &[Took]| Took::median(runs).ok_or("nothing was measured");
    let (plain, encrypted) = (median(&plain)?, median(&encrypted)?);
    let line = |by: &str, took: &Took| {
        format!(
            "| {by} | {:.2} | {:.2} | {:.2} | {:.2} | {:.1} | {:.1} |\n",
            took.wall_s,
            took.executors.cpu_s,
            took.scheduler.cpu_s,
            took.night.cpu_s,
            megabytes(took.shuffled_bytes),
            megabytes(took.returned_bytes),
        )
    };
    Ok(format!(
        "| | wall s | executors' CPU s | scheduler's | night's | shuffled MB | MB that came back |\n|---|---:|---:|---:|---:|---:|---:|\n{}{}\n{} lines of {} advertisers × {} products, tasks of {} MiB, {} executors. CPU of all by TLS to plainly: {:.2}; wall time: {:.2}.\n",
        line("plainly", &plain),
        line("by TLS", &encrypted),
        thousands(point.rows + point.view_rows),
        thousands(point.advertisers.into()),
        thousands(point.products.into()),
        point.task_mib,
        point.executors,
        cpu_s(&encrypted) / cpu_s(&plain),
        encrypted.wall_s / plain.wall_s,
    ))
}

fn cpu_s(took: &Took) -> f64 {
    took.executors.cpu_s + took.scheduler.cpu_s + took.night.cpu_s
}
