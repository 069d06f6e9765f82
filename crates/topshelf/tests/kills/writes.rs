//! Kills at each write to the lake: the server of its bucket does not carry it out, or does not answer.

use crate::{database::Kind, night::Night, s3, scene::Scene};
use std::{
    fs,
    future::pending,
    pin::Pin,
    sync::{Arc, Mutex},
};
use tokio::runtime;

/// When a run is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Before,
    After,
}

/// What the server of the bucket is asked to write, and at what it waits for ever.
#[derive(Debug, Clone, Default)]
struct Gate(Arc<Mutex<Writes>>);

#[derive(Debug, Default)]
struct Writes {
    asked: Vec<String>,
    closed: Option<(usize, Moment)>,
    has_arrived: bool,
}

type Wait = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Gate {
    fn pass(&self, method: &str, path: &str) -> (Wait, Wait) {
        if ["GET", "HEAD"].contains(&method) {
            return (Box::pin(async {}), Box::pin(async {}));
        }
        let mut writes = self.0.lock().unwrap();
        let number = writes.asked.len();
        writes.asked.push(format!("{method} {path}"));
        (self.clone().wait(number, Moment::Before), self.clone().wait(number, Moment::After))
    }

    fn wait(self, number: usize, moment: Moment) -> Wait {
        Box::pin(async move {
            let is_closed = {
                let mut writes = self.0.lock().unwrap();
                let is_closed = writes.closed == Some((number, moment));
                writes.has_arrived |= is_closed;
                is_closed
            };
            if is_closed {
                pending().await
            }
        })
    }

    /// Counts from here, and waits at one of the writes.
    fn close(&self, closed: Option<(usize, Moment)>) {
        *self.0.lock().unwrap() = Writes { closed, ..Writes::default() };
    }

    fn has_arrived(&self) -> bool {
        self.0.lock().unwrap().has_arrived
    }

    fn asked(&self) -> Vec<String> {
        self.0.lock().unwrap().asked.clone()
    }
}

/// A scene whose lake lies in a bucket behind the gate.
fn scene_behind(gate: &Gate) -> Scene {
    let mut scene = Scene::new();
    fs::create_dir_all(scene.path("buckets/bucket")).unwrap();
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (root, gate) = (scene.path("buckets"), gate.clone());
    let server = s3::start_behind(&root, move |method: &str, path: &str| gate.pass(method, path));
    runtime.block_on(server).iter().for_each(|(name, value)| scene.environment(name, value));
    scene.environment("TOPSHELF_LAKE__URL", "s3://bucket/lake");
    scene.keep(runtime);
    scene
}

#[test]
fn a_run_killed_at_a_write_leaves_the_lake_whole() {
    let gate = Gate::default();
    let mut night = Night::in_scene(scene_behind(&gate), Kind::Sqlite, "buckets/bucket/lake");
    gate.close(None);
    night.run_undisturbed();
    let writes = gate.asked();
    let manifests = writes.iter().filter(|write| write.ends_with("manifest.json")).count();
    assert_eq!(manifests, 3, "of the counts and of two rankings: {writes:#?}");
    for (number, write) in writes.iter().enumerate() {
        for moment in [Moment::Before, Moment::After] {
            println!("killed {moment:?} a write like {write}");
            let before = night.version;
            night.change_logs();
            gate.close(Some((number, moment)));
            let mut run = night.start();
            run.wait_until(|_| gate.has_arrived());
            assert!(run.kill(), "it waits to be killed");
            assert!(!night.is_published(before));
            gate.close(None);
            night.recover();
        }
    }
    night.is_as_undisturbed();
}
