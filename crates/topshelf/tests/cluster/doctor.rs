//! What the doctor says of a cluster, from no scheduler to executors that are gone.

use crate::{
    authority::Authority,
    call::doctor,
    group::Group,
    tls::{GOOD, flags, night_shows, write},
};

const STEPS: [&str; 5] =
    ["cluster program", "cluster resolve", "cluster connect", "cluster scheduler", "cluster executors"];

#[test]
fn a_cluster_that_is_well_is_told_with_its_executors() {
    let group = Group::of(2);
    let said = doctor(&group.scene, &["--cluster", &group.url()]);
    said.is_well();
    for step in STEPS {
        assert_eq!(said.step(step)["outcome"], "ok", "{said:#?}");
    }
    let program = concat!("topshelf ", env!("CARGO_PKG_VERSION"));
    said.holds("cluster scheduler", &[program, "as this program"]);
    let executors = [group.executor_address(0), group.executor_address(1)];
    said.holds("cluster executors", &[&executors[0], &executors[1], "2 tasks at a time"]);
    let here = doctor(&group.scene, &[]);
    assert!(!here.json.to_string().contains("\"cluster\""), "this machine counts: {here:#?}");
}

#[test]
fn a_scheduler_that_is_not_there_is_told_by_the_step_that_fails() {
    let group = Group::new();
    let said = doctor(&group.scene, &["--cluster", &group.url()]);
    let remedy = "check the port in cluster.url, and that the scheduler runs";
    said.fails_only("cluster connect", &["refused", remedy]);
    said.holds("cluster executors", &["not tried: connect failed"]);
    let said = doctor(&group.scene, &["--cluster", "df://no-such-host.invalid:50050"]);
    said.fails_only("cluster resolve", &["check the host", "cluster.url"]);
}

#[test]
fn who_is_no_scheduler_is_told() {
    let group = Group::of(1);
    let said = doctor(&group.scene, &["--cluster", &group.executor_address(0)]);
    said.fails_only("cluster scheduler", &["it is no scheduler", "cluster.url leads to an executor"]);
}

#[test]
fn a_scheduler_that_stands_still_is_told() {
    let mut group = Group::of(0);
    group.scheduler_stands_still();
    let said = doctor(&group.scene, &["--cluster", &group.url()]);
    said.fails_only("cluster scheduler", &["it does not answer", "the scheduler stands still"]);
}

#[test]
fn a_cluster_without_executors_is_a_warning() {
    let group = Group::of(0);
    let said = doctor(&group.scene, &["--cluster", &group.url()]);
    said.warns("cluster executors", &["there are none", "topshelf cluster executor", "5400 s"]);
}

#[test]
fn executors_that_do_not_answer_are_named() {
    let mut group = Group::new();
    group.start_scheduler_of("60s");
    (0..3).for_each(|_| group.start_executor());
    group.kill_executor(1);
    group.executor_stands_still(2);
    let said = doctor(&group.scene, &["--cluster", &group.url()]);
    let (killed, still) = (group.executor_address(1), group.executor_address(2));
    said.fails_only(
        "cluster executors",
        &[
            "2 of 3 are not reached",
            &format!("{killed}: no connection to it could be made: Connection refused"),
            &format!("{still}: it does not answer"),
            "it has just ended",
        ],
    );
}

#[test]
fn certificates_are_looked_at_and_shown() {
    let (authority, other) = (Authority::new(), Authority::new());
    let mut group = Group::new();
    write(&group, GOOD, &authority.sign(&group.address, 2100), &authority);
    group.flags(&flags(GOOD));
    group.start_scheduler();
    group.start_executor();
    let url = group.url();
    let said = doctor(&group.scene, &["--cluster", &url]);
    said.fails_only("cluster scheduler", &["it speaks TLS, and this side does not", "cluster.tls_cert"]);

    night_shows(&mut group, GOOD);
    doctor(&group.scene, &["--cluster", &url])
        .is_well()
        .holds("cluster certificate", &["good.pem"])
        .holds("cluster executors", &[&group.executor_address(0), "one task at a time"]);

    let files = ["bad.pem", "bad.key", "bad-ca.pem"];
    write(&group, files, &other.sign(&group.address, 2100), &authority);
    night_shows(&mut group, files);
    doctor(&group.scene, &["--cluster", &url]).fails_only(
        "cluster scheduler",
        &["it does not take our certificate", "is not what the other takes"],
    );

    group.scene.write("bad.key", "no key");
    doctor(&group.scene, &["--cluster", &url])
        .fails_only("cluster certificate", &["bad.key", "cluster.tls_key"])
        .holds("cluster connect", &["not tried: certificate failed"]);
}
