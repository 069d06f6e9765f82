//! A night on many executors that fail: discrete events, from a seed, the same on every machine.
//!
//! Enters: how many tasks there are and how long each takes. Leaves: how long the night took and what work was thrown away. The
//! rules are those of Ballista 55 as this program sets it up:
//!
//! - An executor has one slot and asks for tasks by itself. Tasks that add up begin when all that count are done.
//! - That an executor is lost is noticed later. Then its tasks are done again by others, those that had counted too, as what
//!   they gave was on its disk. While sums are added up, all adding begins anew, also what was done; the fourth time fails the job.
//!   Tasks of before that are under way are done to their end, for nobody.
//! - Nothing is done twice to be sure: a task that takes long is waited for.
//! - With the scheduler, or an executor whose sums are being fetched, the job is lost. The night tries a new one.

use super::random::Random;
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

/// How often adding up may begin anew: Ballista's `stage_max_failures`.
const ADDING_FAILURES_MAX: u32 = 4;

/// What there is to do; times in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Work {
    pub(super) executors: u32,
    /// Tasks that count, and what one takes.
    pub(super) counting: u32,
    pub(super) counting_s: f64,
    /// Tasks that add up, and what one takes.
    pub(super) adding: u32,
    pub(super) adding_s: f64,
    /// Planning, before the job.
    pub(super) before_s: f64,
    /// Fetching the sums, for which executors are needed.
    pub(super) fetching_s: f64,
    /// What is done where the night runs, once it has them.
    pub(super) after_s: f64,
}

/// What goes wrong, and how long that takes; times in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rates {
    /// Of each executor.
    pub(super) losses_an_hour: f64,
    /// Until the scheduler knows of a loss.
    pub(super) noticed_s: f64,
    /// Until another executor is there instead.
    pub(super) replaced_s: f64,
    /// The share of tasks that take long, and how many times as long.
    pub(super) stragglers: f64,
    pub(super) straggler_times: f64,
    /// Of the scheduler.
    pub(super) scheduler_losses_an_hour: f64,
    /// Until another scheduler is there, and the night tries again.
    pub(super) scheduler_replaced_s: f64,
    /// A job that takes longer is given up.
    pub(super) deadline_s: f64,
    /// Jobs after which the night is given up.
    pub(super) jobs_max: u32,
}

impl Rates {
    /// Nothing goes wrong.
    pub(super) const NONE: Self = Self {
        losses_an_hour: 0.0,
        noticed_s: 24.0,
        replaced_s: 120.0,
        stragglers: 0.0,
        straggler_times: 1.0,
        scheduler_losses_an_hour: 0.0,
        scheduler_replaced_s: 50.0,
        deadline_s: 5_400.0,
        jobs_max: 2,
    };
}

/// How a night went; times in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Outcome {
    /// None when it was given up.
    pub(super) length_s: Option<f64>,
    /// Of all executors together: spent on tasks whose results were used, and on others.
    pub(super) useful_s: f64,
    pub(super) wasted_s: f64,
    pub(super) executors_lost: u32,
    pub(super) jobs: u32,
}

/// One night.
pub(super) fn simulate(work: &Work, rates: &Rates, seed: u64) -> Outcome {
    let mut random = Random::of(seed);
    let [executors, scheduler] =
        [rates.losses_an_hour, rates.scheduler_losses_an_hour].map(|an_hour| an_hour / 3_600.0);
    let mut losses = random.split();
    let mut stragglers = random.split();
    let next_loss = move |who| {
        losses.until(match who {
            Who::Scheduler => scheduler,
            Who::Executor(_) => executors,
        })
    };
    let times = move || if stragglers.share() < rates.stragglers { rates.straggler_times } else { 1.0 };
    Night::new(work, rates, next_loss, times).run()
}

/// Who is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Scheduler,
    Executor(u32),
}

/// Microseconds since the night began: whole, so that their order is the same everywhere.
type Time = u64;

fn micros(seconds: f64) -> Time {
    // What is out of reach is beyond every night.
    (seconds.min(1e12) * 1e6).round() as Time
}

fn to_seconds(time: Time) -> f64 {
    time as f64 / 1e6
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// An executor has done its task; of which of its lives that was.
    Done(u32, u32),
    Lost(u32, u32),
    /// The scheduler learns that a life of an executor has ended.
    Noticed(u32, u32),
    Replaced(u32),
    SchedulerLost,
    SchedulerReplaced,
    /// The job, by its number, has taken too long.
    Deadline(u32),
    /// The job's sums have been fetched.
    Fetched(u32),
    JobBegins,
}

/// A task under way.
#[derive(Debug, Clone, Copy)]
struct Doing {
    kind: Kind,
    since: Time,
    /// Of which job, and of which beginning of adding up.
    job: u32,
    attempt: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counting,
    Adding,
}

#[derive(Debug, Clone, Default)]
struct Executor {
    /// How often there was another in its place.
    life: u32,
    is_there: bool,
    doing: Option<Doing>,
    /// Tasks of the job whose counts are on its disk, and the time that they took.
    counted: u32,
    counted_time: Time,
    /// The same of sums.
    added: u32,
    added_time: Time,
}

/// What is left of a life that has ended, until somebody notices.
#[derive(Debug, Clone, Copy)]
struct Remains {
    executor: u32,
    life: u32,
    job: u32,
    attempt: u32,
    counted: u32,
    counted_time: Time,
    added: u32,
    added_time: Time,
    was_counting: bool,
    was_adding: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// There is no job.
    None,
    Counting,
    Adding,
    Fetching,
}

struct Night<'w, L, T> {
    work: &'w Work,
    rates: &'w Rates,
    /// Seconds until somebody is lost.
    next_loss: L,
    /// How many times as long the next task takes.
    times: T,
    events: BinaryHeap<Reverse<(Time, u64, Event)>>,
    sequence: u64,
    now: Time,
    executors: Vec<Executor>,
    idle: VecDeque<u32>,
    remains: Vec<Remains>,
    stage: Stage,
    has_scheduler: bool,
    job: u32,
    attempt: u32,
    /// Tasks of the stage that nobody does yet, and those that are done.
    pending: u32,
    done: u32,
    /// Time of results that count as long as the job lives.
    counted_time: Time,
    added_time: Time,
    wasted: Time,
    lost: u32,
}

impl<'w, L: FnMut(Who) -> f64, T: FnMut() -> f64> Night<'w, L, T> {
    fn new(work: &'w Work, rates: &'w Rates, next_loss: L, times: T) -> Self {
        let executors = vec![Executor { is_there: true, ..Executor::default() }; work.executors as usize];
        let mut night = Self {
            work,
            rates,
            next_loss,
            times,
            events: BinaryHeap::new(),
            sequence: 0,
            now: 0,
            executors,
            idle: (0..work.executors).collect(),
            remains: Vec::new(),
            stage: Stage::None,
            has_scheduler: true,
            job: 0,
            attempt: 0,
            pending: 0,
            done: 0,
            counted_time: 0,
            added_time: 0,
            wasted: 0,
            lost: 0,
        };
        (0..work.executors).for_each(|executor| night.will_be_lost(Who::Executor(executor)));
        night.will_be_lost(Who::Scheduler);
        night.after(work.before_s, Event::JobBegins);
        night
    }

    fn run(mut self) -> Outcome {
        while let Some(Reverse((time, _, event))) = self.events.pop() {
            self.now = time;
            match event {
                Event::JobBegins => self.begin_job(),
                Event::Done(executor, life) => self.task_done(executor, life),
                Event::Lost(executor, life) => self.executor_lost(executor, life),
                Event::Noticed(executor, life) => self.loss_noticed(executor, life),
                Event::Replaced(executor) => self.executor_replaced(executor),
                Event::SchedulerLost => self.scheduler_lost(),
                Event::SchedulerReplaced => self.scheduler_replaced(),
                Event::Deadline(job) if job == self.job && self.stage != Stage::None => self.job_lost(0.0),
                Event::Fetched(job) if job == self.job && self.stage == Stage::Fetching => {
                    let length_s = to_seconds(self.now) + self.work.after_s;
                    return self.ends(Some(length_s));
                }
                Event::Deadline(_) | Event::Fetched(_) => {}
            }
            if self.job > self.rates.jobs_max {
                return self.ends(None);
            }
        }
        unreachable!("a job ends, or its deadline comes")
    }

    fn ends(self, length_s: Option<f64>) -> Outcome {
        let (counted, added) = if length_s.is_some() { (self.counted_time, self.added_time) } else { (0, 0) };
        let thrown = if length_s.is_some() { 0 } else { self.counted_time + self.added_time };
        Outcome {
            length_s,
            useful_s: to_seconds(counted + added),
            wasted_s: to_seconds(self.wasted + thrown),
            executors_lost: self.lost,
            jobs: self.job.min(self.rates.jobs_max),
        }
    }

    fn after(&mut self, seconds: f64, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((self.now + micros(seconds), self.sequence, event)));
    }

    fn will_be_lost(&mut self, who: Who) {
        let seconds = (self.next_loss)(who);
        if seconds.is_finite() {
            let event = match who {
                Who::Scheduler => Event::SchedulerLost,
                Who::Executor(executor) => Event::Lost(executor, self.executors[executor as usize].life),
            };
            self.after(seconds, event);
        }
    }

    fn begin_job(&mut self) {
        self.job += 1;
        if self.job > self.rates.jobs_max {
            return;
        }
        self.attempt = 0;
        self.stage = Stage::Counting;
        (self.pending, self.done) = (self.work.counting, 0);
        self.after(self.rates.deadline_s, Event::Deadline(self.job));
        self.hand_out();
    }

    /// Gives tasks to whoever has none.
    fn hand_out(&mut self) {
        let (kind, seconds) = match self.stage {
            Stage::Counting => (Kind::Counting, self.work.counting_s),
            Stage::Adding => (Kind::Adding, self.work.adding_s),
            Stage::None | Stage::Fetching => return,
        };
        while self.pending > 0 && self.has_scheduler {
            let Some(executor) = self.idle.pop_front() else { return };
            self.pending -= 1;
            let (job, attempt, since) = (self.job, self.attempt, self.now);
            let state = &mut self.executors[executor as usize];
            state.doing = Some(Doing { kind, since, job, attempt });
            let life = state.life;
            let times = (self.times)();
            self.after(seconds * times, Event::Done(executor, life));
        }
    }

    fn task_done(&mut self, executor: u32, life: u32) {
        let state = &mut self.executors[executor as usize];
        if state.life != life || !state.is_there {
            return;
        }
        let doing = state.doing.take().expect("it does what it has done");
        let took = self.now - doing.since;
        self.idle.push_back(executor);
        let is_awaited = doing.job == self.job
            && match (doing.kind, self.stage) {
                (Kind::Counting, Stage::Counting) => true,
                (Kind::Adding, Stage::Adding) => doing.attempt == self.attempt,
                _ => false,
            };
        if !is_awaited {
            self.wasted += took;
            return self.hand_out();
        }
        self.done += 1;
        match doing.kind {
            Kind::Counting => {
                state.counted += 1;
                state.counted_time += took;
                self.counted_time += took;
            }
            Kind::Adding => {
                state.added += 1;
                state.added_time += took;
                self.added_time += took;
            }
        }
        self.next_stage();
        self.hand_out();
    }

    fn next_stage(&mut self) {
        match self.stage {
            Stage::Counting if self.done == self.work.counting => {
                self.stage = Stage::Adding;
                (self.pending, self.done) = (self.work.adding, 0);
            }
            Stage::Adding if self.done == self.work.adding => {
                self.stage = Stage::Fetching;
                self.after(self.work.fetching_s, Event::Fetched(self.job));
                // Who is dead already cannot be asked.
                let (job, attempt) = (self.job, self.attempt);
                if self
                    .remains
                    .iter()
                    .any(|left| left.added > 0 && left.job == job && left.attempt == attempt)
                {
                    self.job_lost(0.0);
                }
            }
            _ => {}
        }
    }

    fn executor_lost(&mut self, executor: u32, life: u32) {
        let (job, attempt) = (self.job, self.attempt);
        let state = &mut self.executors[executor as usize];
        if state.life != life || !state.is_there {
            return;
        }
        self.lost += 1;
        state.is_there = false;
        let doing = state.doing.take();
        let of_job = |kind| {
            doing.is_some_and(|doing| doing.kind == kind && doing.job == job && doing.attempt == attempt)
        };
        let remains = Remains {
            executor,
            life,
            job,
            attempt,
            counted: std::mem::take(&mut state.counted),
            counted_time: std::mem::take(&mut state.counted_time),
            was_counting: doing.is_some_and(|doing| doing.kind == Kind::Counting && doing.job == job),
            was_adding: of_job(Kind::Adding),
            added: std::mem::take(&mut state.added),
            added_time: std::mem::take(&mut state.added_time),
        };
        self.wasted += doing.map_or(0, |doing| self.now - doing.since);
        self.idle.retain(|idle| *idle != executor);
        self.remains.push(remains);
        if self.stage == Stage::Fetching && remains.added > 0 {
            self.job_lost(0.0);
        }
        self.after(self.rates.noticed_s, Event::Noticed(executor, life));
        self.after(self.rates.replaced_s, Event::Replaced(executor));
    }

    fn loss_noticed(&mut self, executor: u32, life: u32) {
        let found = self.remains.iter().position(|left| left.executor == executor && left.life == life);
        let left = self.remains.swap_remove(found.expect("what is lost is noticed once"));
        if left.job != self.job {
            return;
        }
        match self.stage {
            Stage::Counting => {
                self.pending += left.counted + u32::from(left.was_counting);
                self.done -= left.counted;
                self.throw_counts_away(left.counted_time);
            }
            Stage::Adding if left.counted > 0 => {
                // All adding begins anew, once the counts are there again.
                self.attempt += 1;
                self.wasted += std::mem::take(&mut self.added_time);
                self.executors.iter_mut().for_each(|executor| (executor.added, executor.added_time) = (0, 0));
                self.throw_counts_away(left.counted_time);
                if self.attempt >= ADDING_FAILURES_MAX {
                    return self.job_lost(0.0);
                }
                self.stage = Stage::Counting;
                self.pending = left.counted;
                self.done = self.work.counting - left.counted;
            }
            Stage::Adding if left.attempt == self.attempt => {
                self.pending += left.added + u32::from(left.was_adding);
                self.done -= left.added;
                self.added_time -= left.added_time;
                self.wasted += left.added_time;
            }
            Stage::None | Stage::Adding | Stage::Fetching => {}
        }
        self.hand_out();
    }

    fn throw_counts_away(&mut self, time: Time) {
        self.counted_time -= time;
        self.wasted += time;
    }

    fn executor_replaced(&mut self, executor: u32) {
        let state = &mut self.executors[executor as usize];
        state.life += 1;
        state.is_there = true;
        self.idle.push_back(executor);
        self.will_be_lost(Who::Executor(executor));
        self.hand_out();
    }

    fn scheduler_lost(&mut self) {
        self.has_scheduler = false;
        self.after(self.rates.scheduler_replaced_s, Event::SchedulerReplaced);
        if self.stage != Stage::None {
            self.job_lost(self.rates.scheduler_replaced_s);
        }
    }

    fn scheduler_replaced(&mut self) {
        self.has_scheduler = true;
        self.will_be_lost(Who::Scheduler);
        self.hand_out();
    }

    /// All that was done for the job is of no use; the next begins after so many seconds.
    fn job_lost(&mut self, next_s: f64) {
        self.stage = Stage::None;
        self.wasted += std::mem::take(&mut self.counted_time) + std::mem::take(&mut self.added_time);
        for executor in &mut self.executors {
            let (life, is_there, doing) = (executor.life, executor.is_there, executor.doing);
            *executor = Executor { life, is_there, doing, ..Executor::default() };
        }
        self.after(next_s, Event::JobBegins);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Work = Work {
        executors: 2,
        counting: 4,
        counting_s: 10.0,
        adding: 2,
        adding_s: 5.0,
        before_s: 1.0,
        fetching_s: 0.5,
        after_s: 1.5,
    };

    const RATES: Rates = Rates { noticed_s: 3.0, replaced_s: 1e9, ..Rates::NONE };

    /// The night in which these, and nobody else, are lost at these times; each once.
    fn with_losses(work: &Work, rates: &Rates, losses: &[(Who, f64)]) -> Outcome {
        let mut losses = losses.to_vec();
        let next_loss = |who| {
            let found = losses.iter().position(|(lost, _)| *lost == who);
            found.map_or(f64::INFINITY, |found| losses.remove(found).1)
        };
        Night::new(work, rates, next_loss, || 1.0).run()
    }

    /// Rounds of tasks, one after the other.
    fn closed_formula(work: &Work, times: f64) -> f64 {
        let rounds = |tasks: u32| f64::from(tasks.div_ceil(work.executors));
        let tasks = rounds(work.counting) * work.counting_s + rounds(work.adding) * work.adding_s;
        work.before_s + times * tasks + work.fetching_s + work.after_s
    }

    #[test]
    fn without_failures_a_night_takes_its_rounds() {
        for (executors, counting, adding) in [(2, 4, 2), (3, 10, 4), (1_000, 37_253, 1_000), (7, 1, 1)] {
            let work = Work { executors, counting, adding, ..WORK };
            let outcome = simulate(&work, &Rates::NONE, 7);
            let wanted = closed_formula(&work, 1.0);
            assert!((outcome.length_s.unwrap() - wanted).abs() < 1e-3, "{outcome:?} instead of {wanted}");
            let useful = f64::from(counting) * work.counting_s + f64::from(adding) * work.adding_s;
            assert!((outcome.useful_s - useful).abs() < 1e-3, "{outcome:?} instead of {useful}");
            assert_eq!((outcome.wasted_s, outcome.executors_lost, outcome.jobs), (0.0, 0, 1));
        }
    }

    #[test]
    fn when_all_tasks_are_stragglers_it_takes_as_many_times_as_long() {
        let rates = Rates { stragglers: 1.0, straggler_times: 3.0, ..Rates::NONE };
        let length_s = simulate(&WORK, &rates, 1).length_s.unwrap();
        assert!((length_s - closed_formula(&WORK, 3.0)).abs() < 1e-3, "{length_s}");
    }

    #[test]
    fn what_a_lost_executor_counted_is_counted_again() {
        // Tasks 1 and 2 until 11. One is lost at 12, in task 3, which is noticed at 15. The other: 4 until 21, then 3 and what was
        // lost until 41, then both sums until 51.
        let outcome = with_losses(&WORK, &RATES, &[(Who::Executor(0), 12.0)]);
        assert_eq!(
            outcome,
            Outcome { length_s: Some(53.0), useful_s: 50.0, wasted_s: 11.0, executors_lost: 1, jobs: 1 }
        );
    }

    #[test]
    fn a_loss_while_adding_begins_all_adding_anew() {
        // Counted until 21. One is lost at 23; the other has added by 26, which is forgotten with the notice at 26.5: after 26 it has
        // begun nothing. Two tasks are counted again until 46.5, two sums added until 56.5.
        let rates = Rates { noticed_s: 3.5, ..RATES };
        let outcome = with_losses(&WORK, &rates, &[(Who::Executor(1), 23.0)]);
        let wasted_s = 2.0 + 5.0 + 20.0;
        assert_eq!(
            outcome,
            Outcome { length_s: Some(58.5), useful_s: 50.0, wasted_s, executors_lost: 1, jobs: 1 }
        );
    }

    #[test]
    fn another_executor_takes_the_place_of_a_lost_one() {
        // As above, but another is there from 17 on and counts what was lost: 17 to 27 and 21 to 31, sums until 36.
        let rates = Rates { replaced_s: 5.0, ..RATES };
        let outcome = with_losses(&WORK, &rates, &[(Who::Executor(0), 12.0)]);
        assert_eq!(
            outcome,
            Outcome { length_s: Some(38.0), useful_s: 50.0, wasted_s: 11.0, executors_lost: 1, jobs: 1 }
        );
    }

    #[test]
    fn with_the_scheduler_all_is_lost_and_a_new_job_begins() {
        // At 12 both are in their second task, which they end at 21 for nobody. The new job begins at 20 and gets them then.
        let rates = Rates { scheduler_replaced_s: 8.0, ..RATES };
        let outcome = with_losses(&WORK, &rates, &[(Who::Scheduler, 12.0)]);
        assert_eq!(
            outcome,
            Outcome { length_s: Some(48.0), useful_s: 50.0, wasted_s: 40.0, executors_lost: 0, jobs: 2 }
        );
    }

    #[test]
    fn a_night_is_given_up_after_its_jobs() {
        let rates = Rates { deadline_s: 15.0, ..RATES };
        let outcome = with_losses(&WORK, &rates, &[]);
        assert_eq!((outcome.length_s, outcome.useful_s, outcome.jobs), (None, 0.0, 2));
    }

    #[test]
    fn who_is_lost_while_sums_are_fetched_takes_the_job_along() {
        // Sums are there at 26 and fetched until 26.5.
        let rates = Rates { replaced_s: 0.0, ..RATES };
        let outcome = with_losses(&WORK, &rates, &[(Who::Executor(0), 26.25)]);
        assert_eq!((outcome.length_s, outcome.jobs), (Some(26.25 + 25.0 + 2.0), 2));
        assert_eq!(outcome.wasted_s, 50.0);
    }

    #[test]
    fn a_seed_is_a_night_and_another_seed_another() {
        let work = Work { executors: 50, counting: 2_000, adding: 50, ..WORK };
        let rates = Rates { losses_an_hour: 0.5, stragglers: 0.02, straggler_times: 4.0, ..Rates::NONE };
        let nights: Vec<_> = [1, 1, 2].map(|seed| simulate(&work, &rates, seed)).to_vec();
        assert_eq!(nights[0], nights[1]);
        assert_ne!(nights[0], nights[2]);
        assert!(nights[0].executors_lost > 0 && nights[0].wasted_s > 0.0, "{nights:?}");
        // All that is used was done once, stragglers longer.
        assert!(nights[0].useful_s >= 2_000.0 * 10.0 + 50.0 * 5.0, "{nights:?}");
    }
}
