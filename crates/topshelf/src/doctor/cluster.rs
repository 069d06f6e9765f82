//! The cluster that counts: can its scheduler be asked, is it of this program, and may its executors be reached.
//!
//! No job is begun. Whether executors may read the logs and write the lake, only a job tells.

#[cfg(feature = "cluster")]
mod reached;

use super::step::{Answer, Examined, Section, Tell};
use crate::config;

/// Looks at the cluster; none when this machine counts.
pub(super) async fn examine(cluster: &config::Cluster, tell: Tell<'_>) -> Option<(Section, bool)> {
    let (host, port) = cluster.scheduler().ok()??;
    let about = format!("df://{host}:{port}");
    let mut planned = vec!["resolve", "connect", "scheduler", "executors"];
    if !cluster.tls_cert.is_empty() {
        planned.insert(0, "certificate");
    }
    planned.insert(0, "program");
    let mut examined = Examined::begin("cluster", about, planned, tell);
    let tried = "look whether it can ask a cluster";
    if examined.step("program", tried, async { program().alone() }).await.is_some() {
        #[cfg(feature = "cluster")]
        reached::examine(&mut examined, cluster, (host, port)).await;
    }
    Some(examined.end())
}

fn program() -> Answer {
    if cfg!(feature = "cluster") {
        return Answer::ok("it was built with the feature `cluster`");
    }
    Answer::failed(
        "it was built without the feature `cluster`",
        "this is the program, or the image, that most use: its tag does not end with -cluster",
        config::Cluster::WITH_FEATURE,
    )
}
