//! Nights of the real program whose connections are cut at random moments, while readers of the API and of the views
//! look on: they see the old or the new, never a mixture.

use crate::{database::Kind, night::Night, proxy::Proxy};
use rand_xoshiro::{
    Xoshiro256PlusPlus,
    rand_core::{RngCore, SeedableRng},
};
use std::{thread, time::Duration};

/// Nights that are cut.
const NIGHTS: u32 = 15;

/// Cuts of each.
const CUTS: u32 = 3;

const SEED: u64 = 11;

#[test]
fn readers_see_the_old_or_the_new_while_connections_are_cut() {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
    let mut night = Night::new(Kind::Postgres);
    let duration = (0..2).map(|_| night.run_undisturbed()).max().unwrap();
    let proxy = Proxy::before(&night.database.url);
    night.scene.environment("TOPSHELF_STORE__URL", &proxy.url(&night.database.url));
    for _ in 0..NIGHTS {
        night.change_logs();
        let run = night.start();
        for _ in 0..CUTS {
            let moment: Duration = duration.mul_f64(random.next_u64() as f64 / u64::MAX as f64);
            thread::sleep(moment / CUTS);
            proxy.cut();
        }
        run.ends_well();
        night.has_recovered();
    }
    night.is_as_undisturbed();
    println!("{} answers", night.answers());
}
