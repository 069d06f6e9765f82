//! From the scheduler's name to the last of its executors.

use crate::{
    config,
    doctor::{
        network::{self, Peer as Host},
        step::{Answer, Examined, Tried},
    },
    pipeline::cluster as night,
};
use cluster::{Member, Members, PROGRAM, Peer, Transport, Unreachable};
use futures::{StreamExt, stream};
use std::time::Duration;
use tokio::{task::spawn_blocking, time::timeout};

/// How long a scheduler or an executor may take to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(3);

/// Executors that are asked at a time.
const ASKED_AT_A_TIME: usize = 256;

/// Executors that are named.
const NAMED_MAX: usize = 8;

/// Takes the steps, until one fails that others need.
pub(super) async fn examine(
    examined: &mut Examined<'_>,
    cluster: &config::Cluster,
    (host, port): (&str, u16),
) -> Option<()> {
    let transport = transport(examined, cluster).await?;
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let named_by = "cluster.url".to_owned();
    let at = Host { host: bare, port, named_by, what: "the scheduler" };
    let resolve = or_by_night(network::resolve(at.clone()));
    let addresses = examined.step("resolve", format!("look up {}", at.host), resolve).await?;
    let connect = or_by_night(network::connect(at, addresses));
    drop(examined.step("connect", format!("connect to port {port}"), connect).await?);
    let scheduler = Peer::new(format!("{host}:{port}"), transport.clone());
    let tried = "ask who it is";
    let members = examined.step("scheduler", tried, ask(scheduler)).await?;
    let tried = match members.executors.len() {
        0 => "look whether it has any".to_owned(),
        1 => "ask the one that it has".to_owned(),
        count => format!("ask the {count} that it has"),
    };
    let executors = executors(members, transport, cluster.deadline_seconds);
    examined.step("executors", tried, executors).await
}

/// What is tried to reach a scheduler, which may be there for the night alone.
async fn or_by_night<T>(tried: impl Future<Output = Tried<T>>) -> Tried<T> {
    tried.await.map_err(|answer| {
        let remedy = answer.remedy.map(|remedy| {
            format!("{remedy}; a cluster that is there for the night alone, as on AWS, is not there by day")
        });
        Answer { remedy, ..answer }
    })
}

async fn transport(examined: &mut Examined<'_>, cluster: &config::Cluster) -> Option<Transport> {
    if cluster.tls_cert.is_empty() {
        return Some(Transport::default());
    }
    let tried = format!("read {} and its key", cluster.tls_cert);
    let cluster = cluster.clone();
    let load = async move {
        let loaded = spawn_blocking(move || night::transport(&cluster)).await;
        let cause =
            "a path is wrong, this user may not read the file, or key and certificate are not of each other";
        let loaded = loaded.expect("files are read without panic");
        let transport = loaded.map_err(|failure| Answer::of(&failure, cause))?;
        Ok((Answer::ok("both, and the authority, can be used"), transport))
    };
    examined.step("certificate", tried, load).await
}

async fn ask(scheduler: Peer) -> Tried<Members> {
    let members = timeout(ANSWER_TIME_MAX, scheduler.members()).await;
    let members = members.unwrap_or(Err(Unreachable::Silent)).map_err(|unreachable| {
        let cause = match &unreachable {
            Unreachable::NoScheduler | Unreachable::OfAnotherKind => {
                "cluster.url leads to an executor, to another server, or to a scheduler of an older version"
            }
            unreachable if unreachable.is_of_tls() => {
                "what one side shows of itself is not what the other takes"
            }
            _ => "the scheduler stands still, is about to end, or is so busy that it does not answer",
        };
        Answer::of(&night::not_reached(&scheduler, unreachable), cause)
    })?;
    if members.program == PROGRAM {
        return Ok((Answer::ok(format!("{PROGRAM}, as this program")), members));
    }
    Err(Answer::failed(
        format!("it is {}, and this program is {PROGRAM}", members.program),
        "one of the two was updated, and the other was not",
        "scheduler, executors and whoever runs the night must be of one version: start them anew with the same",
    ))
}

/// What executors report, the night fetches from each of them.
async fn executors(members: Members, transport: Transport, deadline_seconds: u64) -> Tried<()> {
    let Members { executors, .. } = members;
    if executors.is_empty() {
        return Answer::warning(
            "there are none",
            "none is started yet, or none reaches the scheduler, or their versions differ: their logs tell",
            format!("start `topshelf cluster executor --scheduler HOST:PORT`; a job waits for them for {deadline_seconds} s (cluster.deadline_seconds)"),
        )
        .alone();
    }
    let hello = |member: Member| {
        let executor = Peer::new(member.address.clone(), transport.clone());
        async move {
            let answered = timeout(ANSWER_TIME_MAX, executor.hello()).await;
            (member, answered.unwrap_or(Err(Unreachable::Silent)).err())
        }
    };
    let asked: Vec<_> = stream::iter(executors).map(hello).buffered(ASKED_AT_A_TIME).collect().await;
    let (reached, not_reached): (Vec<_>, Vec<_>) = asked.into_iter().partition(|(_, why)| why.is_none());
    let not_reached: Vec<_> =
        not_reached.into_iter().filter_map(|(member, why)| Some((member.address, why?))).collect();
    let Some((_, first)) = not_reached.first() else {
        let slots: u32 = reached.iter().map(|(member, _)| member.slots).sum();
        let tasks = if slots == 1 { "one task".to_owned() } else { format!("{slots} tasks") };
        let named = named(reached.iter().map(|(member, _)| member.address.clone()));
        return Answer::ok(format!("{named}: {tasks} at a time")).alone();
    };
    let (cause, remedy) = (cause(first), remedy(first));
    let count = not_reached.len();
    let told = not_reached.into_iter().map(|(address, why)| format!("{address}: {}", why.chain()));
    let text = format!("{count} of {} are not reached: {}", count + reached.len(), named(told));
    Answer::failed(text, cause, remedy).alone()
}

/// Why an executor is not reached that the scheduler knows.
fn cause(unreachable: &Unreachable) -> &'static str {
    match unreachable {
        silent if silent.is_silent() => {
            "it stands still, or a firewall or a security group lets the scheduler be reached and not it"
        }
        refused if refused.is_refused() => {
            "it has just ended, which its scheduler has not noticed yet; or it calls itself by a host that is another machine here"
        }
        Unreachable::Connection(_) => {
            "it calls itself by a host that this machine does not know, or has no way to"
        }
        Unreachable::OfAnotherKind => "another server listens there",
        _ => "what one side shows of itself is not what the other takes",
    }
}

fn remedy(unreachable: &Unreachable) -> String {
    unreachable.remedy_of_tls(night::TLS_KEYS).unwrap_or_else(|| "let this machine reach that port of every executor, by the host that each calls itself (--host, --bind): a night fetches what tasks report from there; one that has ended or stands still is forgotten soon (--executor-timeout of the scheduler)".to_owned())
}

/// The first of them by name, and how many there are besides.
fn named(all: impl ExactSizeIterator<Item = String>) -> String {
    let others = all.len().saturating_sub(NAMED_MAX);
    let named = all.take(NAMED_MAX).collect::<Vec<_>>().join(", ");
    if others == 0 { named } else { format!("{named} and {others} more") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_the_first_are_named() {
        let all =
            |count: u32| named((1..=count).map(|number| number.to_string()).collect::<Vec<_>>().into_iter());
        assert_eq!(all(2), "1, 2");
        assert_eq!(all(10), "1, 2, 3, 4, 5, 6, 7, 8 and 2 more");
    }
}
