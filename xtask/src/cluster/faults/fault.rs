//! What happens in a trial, and when: all of it decided by a seed.

use super::{chance::Chance, network::Place};
use std::{fmt, time::Duration};

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    /// The scheduler, an executor or the night itself is killed
    Kill,
    /// The scheduler, an executor or the night itself is told to end
    Stop,
    /// Packets are lost
    Loss,
    /// Nothing comes through between some, for a while or for good
    Partition,
    /// An executor's disk is full
    Disk,
    /// The scheduler or an executor stands still, for a while or for good
    Stall,
    /// What an executor's tasks gave is deleted
    Shuffle,
    /// Another night is counted at the same time
    Two,
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    Signal(&'static str, Place),
    /// Starts what has ended, and lets go on what stands still.
    Mend(Place),
    /// Loses that share of what comes to the one from the other, or from all.
    Lose(u64, Place, Option<Place>),
    Heal,
    /// Deletes what was shuffled.
    Delete(Place),
}

/// What happens in a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// What is done how long after the night began, in order.
    pub(super) acts: Vec<(Duration, Act)>,
    /// An executor whose work folder has only so many KiB.
    pub(super) full: Option<(Place, u64)>,
    /// How many nights are counted.
    pub(super) nights: u8,
    text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Fault {
    /// Nothing, to so many nights.
    pub(super) fn none(nights: u8) -> Self {
        let text = if nights == 1 { "nothing" } else { "two nights at once" };
        Self { acts: Vec::new(), full: None, nights, text: text.to_owned() }
    }

    /// A fault of that kind, at a moment between that percentage of `calm` and its end; `calm` is how long a night takes
    /// to which nothing happens.
    pub(super) fn draw(kind: Kind, seed: u64, percent_min: u64, calm: Duration) -> Self {
        let mut chance = Chance::of(seed);
        let percent = chance.number(percent_min.min(98)..=98);
        let moment = calm.mul_f64(percent as f64 / 100.0);
        let mut draw = Draw { chance, moment };
        let (mut text, acts) = match kind {
            Kind::Kill => draw.end(|_| "KILL", "killed"),
            Kind::Stop => {
                draw.end(|at| if matches!(at, Place::Night(_)) { "INT" } else { "TERM" }, "stopped")
            }
            Kind::Loss => draw.loss(),
            Kind::Partition => draw.partition(),
            Kind::Stall => draw.stall(),
            Kind::Shuffle => draw.shuffle(),
            Kind::Disk => return draw.disk(),
            Kind::Two => return Self::none(2),
        };
        text.push_str(&format!(" at {percent} %"));
        Self { acts, text, ..Self::none(1) }
    }
}

/// Draws what happens.
struct Draw {
    chance: Chance,
    /// When it happens.
    moment: Duration,
}

type Drawn = (String, Vec<(Duration, Act)>);

impl Draw {
    fn executor(&mut self) -> Place {
        Place::Executor(self.chance.one(&[1, 2, 3]))
    }

    /// A time after the moment, or none: for good.
    fn later(&mut self, longest_ms: u64) -> Option<Duration> {
        let is_for_good = self.chance.number(1..=3) == 1;
        let after = Duration::from_millis(self.chance.number(200..=longest_ms));
        (!is_for_good).then(|| self.moment + after)
    }

    /// How long something lasts, in words, that ends then.
    fn lasts(&self, until: Option<Duration>) -> String {
        until.map_or("for good".to_owned(), |until| {
            format!("for {:.1} s", (until - self.moment).as_secs_f64())
        })
    }

    fn end(&mut self, signal: impl Fn(Place) -> &'static str, ended: &str) -> Drawn {
        let executor = self.executor();
        let place = self.chance.one(&[Place::Scheduler, executor, executor, Place::Night(1)]);
        let mut acts = vec![(self.moment, Act::Signal(signal(place), place))];
        let back = self.later(4_000).filter(|_| !matches!(place, Place::Night(_)));
        let lasts = match place {
            Place::Night(_) => String::new(),
            _ => format!(", away {}", self.lasts(back)),
        };
        acts.extend(back.map(|back| (back, Act::Mend(place))));
        (format!("{place} {ended}{lasts}"), acts)
    }

    fn loss(&mut self) -> Drawn {
        let percent = self.chance.one(&[1, 5, 10, 20, 30]);
        let is_among_executors = self.chance.one(&[true, false]);
        let lose = |at, from| (self.moment, Act::Lose(percent, at, from));
        let acts = if is_among_executors {
            let pairs = Place::executors().flat_map(|at| Place::executors().map(move |from| (at, from)));
            pairs.filter(|(at, from)| at != from).map(|(at, from)| lose(at, Some(from))).collect()
        } else {
            Place::all().map(|at| lose(at, None)).collect()
        };
        let among = if is_among_executors { "among executors" } else { "among all" };
        (format!("{percent} % of packets {among} lost"), acts)
    }

    fn partition(&mut self) -> Drawn {
        let executor = self.executor();
        let others: Vec<_> = Place::executors().filter(|other| *other != executor).collect();
        let night = Place::Night(1);
        let everyone: Vec<_> = Place::all().filter(|other| *other != executor).collect();
        let (at, from, name) = self.chance.one(&[
            (executor, vec![Place::Scheduler], "scheduler"),
            (executor, others, "other executors"),
            (executor, everyone, "everyone"),
            (executor, vec![night], "night"),
            (night, vec![Place::Scheduler], "scheduler"),
        ]);
        let lose = |(at, from)| (self.moment, Act::Lose(100, at, Some(from)));
        let mut acts: Vec<_> = from.into_iter().flat_map(|from| [(at, from), (from, at)]).map(lose).collect();
        let until = self.later(12_000);
        acts.extend(until.map(|until| (until, Act::Heal)));
        (format!("{at} cut off from {name} {}", self.lasts(until)), acts)
    }

    fn stall(&mut self) -> Drawn {
        let executor = self.executor();
        let place = self.chance.one(&[executor, executor, Place::Scheduler]);
        let until = self.later(12_000);
        let mut acts = vec![(self.moment, Act::Signal("STOP", place))];
        acts.extend(until.map(|until| (until, Act::Mend(place))));
        (format!("{place} stands still {}", self.lasts(until)), acts)
    }

    fn shuffle(&mut self) -> Drawn {
        let executor = self.executor();
        (format!("shuffled rows of {executor} deleted"), vec![(self.moment, Act::Delete(executor))])
    }

    fn disk(&mut self) -> Fault {
        let (executor, kib) = (self.executor(), self.chance.one(&[64, 256, 1024, 2048, 4096]));
        let text = format!("{executor} has {kib} KiB of disk");
        Fault { full: Some((executor, kib)), text, ..Fault::none(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;

    const CALM: Duration = Duration::from_secs(10);

    #[test]
    fn a_seed_decides_what_happens_and_all_of_it_comes() {
        for kind in Kind::value_variants() {
            let drawn = |seed| Fault::draw(*kind, seed, 2, CALM);
            assert_eq!(drawn(7), drawn(7));
            for (moment, _) in (0..100).flat_map(|seed| drawn(seed).acts) {
                assert!(moment >= Duration::from_millis(200), "{moment:?}");
            }
        }
        let killed: Vec<_> =
            (0..50).map(|seed| Fault::draw(Kind::Kill, seed, 2, CALM).acts[0].1.clone()).collect();
        for place in [Place::Scheduler, Place::Executor(1), Place::Executor(3), Place::Night(1)] {
            assert!(killed.contains(&Act::Signal("KILL", place)), "{place}");
        }
    }

    #[test]
    fn a_percentage_bounds_the_moment() {
        for seed in 0..100 {
            let fault = Fault::draw(Kind::Kill, seed, 80, CALM);
            assert!(fault.acts[0].0 >= Duration::from_secs(8), "{fault}");
        }
    }
}
