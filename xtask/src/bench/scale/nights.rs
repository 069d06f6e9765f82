//! Nights of a thousand executors that fail: how long they take, and what work is thrown away.

use super::{
    model::Model,
    pairs::Population,
    prediction::Day,
    prices::Prices,
    simulation::{Outcome, Rates, Work, simulate},
};
use std::thread;

const EXECUTORS: u32 = 1_000;
const TERABYTES: f64 = 100.0;
const POPULATION: Population = Population { advertisers: 100_000, products: 10_000 };
const TASK_MIB: f64 = 1_024.0;
const ADDERS: u32 = 1_000;

/// A job may take as long as that here, `cluster.deadline_seconds`.
const DEADLINE_S: f64 = 43_200.0;

/// Of a task that takes long.
const SLOW: Rates = Rates { stragglers: 0.01, straggler_times: 10.0, ..Rates::NONE };

/// What goes wrong in a line of the table.
fn lines() -> Vec<(&'static str, f64, Rates)> {
    let losses = |losses_an_hour| Rates { losses_an_hour, ..Rates::NONE };
    let all = Rates { losses_an_hour: 0.001, scheduler_losses_an_hour: 0.01, ..SLOW };
    vec![
        ("nothing", TASK_MIB, Rates::NONE),
        ("1 % of tasks take 3 times as long", TASK_MIB, Rates { straggler_times: 3.0, ..SLOW }),
        ("1 % of tasks take 10 times as long", TASK_MIB, SLOW),
        ("0.001 losses an hour of each executor", TASK_MIB, losses(0.001)),
        ("0.01 losses", TASK_MIB, losses(0.01)),
        ("0.1 losses", TASK_MIB, losses(0.1)),
        ("0.1 losses, replaced after 20 minutes", TASK_MIB, Rates { replaced_s: 1_200.0, ..losses(0.1) }),
        (
            "0.1 losses of the scheduler an hour",
            TASK_MIB,
            Rates { scheduler_losses_an_hour: 0.1, ..Rates::NONE },
        ),
        ("0.001 losses, 0.01 of the scheduler, 1 % × 10", TASK_MIB, all),
        ("the same, tasks of 256 MiB", 256.0, all),
        ("the same, tasks of 4 GiB", 4_096.0, all),
    ]
}

/// The table, of so many nights for each line.
pub(super) fn table(model: &Model, prices: &Prices, nights: u32) -> String {
    let rows: String = lines()
        .into_iter()
        .map(|(what, task_mib, rates)| {
            let (terabytes, population, adders, executors) = (TERABYTES, POPULATION, ADDERS, EXECUTORS);
            let day = Day { terabytes, population, task_mib, adders, executors };
            let work = day.predict(model, prices).work;
            let outcomes = many(&work, &Rates { deadline_s: DEADLINE_S, ..rates }, nights);
            line(what, &work, &outcomes)
        })
        .collect();
    let Rates { noticed_s, replaced_s, scheduler_replaced_s, jobs_max, .. } = Rates::NONE;
    format!(
        "| what goes wrong | tasks | s of one | median min | p95 | p99 | lost executors | wasted time % | second job % | given up % |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n{rows}\n\
         {TERABYTES:.0} TB on {EXECUTORS} executors of one slot, {} advertisers × {} products, tasks of {TASK_MIB:.0} MiB where nothing else is said, {ADDERS} that add up; \
         {nights} nights each, by seeds from 1. A loss is noticed after {noticed_s:.0} s and replaced after {replaced_s:.0} s, a scheduler after \
         {scheduler_replaced_s:.0} s; a job has {DEADLINE_S:.0} s, a night {jobs_max} jobs. *Wasted* is time of executors on tasks whose results nobody used, as a share \
         of all their work. Times of nights that were given up are not in the median.\n",
        super::super::thousands(POPULATION.advertisers),
        super::super::thousands(POPULATION.products),
    )
}

/// So many nights, by seeds from 1; halves of them at the same time.
fn many(work: &Work, rates: &Rates, nights: u32) -> Vec<Outcome> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let of_thread = |first: usize| {
            scope.spawn(move || {
                let seeds = (first..nights as usize).step_by(threads);
                seeds.map(|seed| simulate(work, rates, seed as u64 + 1)).collect::<Vec<_>>()
            })
        };
        let running: Vec<_> = (0..threads).map(of_thread).collect();
        running.into_iter().flat_map(|thread| thread.join().expect("a simulation does not panic")).collect()
    })
}

#[expect(clippy::cast_precision_loss, reason = "people read three digits of it")]
fn line(what: &str, work: &Work, outcomes: &[Outcome]) -> String {
    let count = outcomes.len().max(1) as f64;
    let mut lengths: Vec<f64> = outcomes.iter().filter_map(|outcome| outcome.length_s).collect();
    lengths.sort_by(f64::total_cmp);
    let minutes =
        |share| quantile(&lengths, share).map_or("–".to_owned(), |length| format!("{:.1}", length / 60.0));
    let mean = |of: fn(&Outcome) -> f64| outcomes.iter().map(of).sum::<f64>() / count;
    let wasted = mean(|outcome| outcome.wasted_s);
    let wasted = wasted / (wasted + mean(|outcome| outcome.useful_s)).max(1e-9);
    let again = mean(|outcome| f64::from(u8::from(outcome.jobs > 1)));
    format!(
        "| {what} | {} | {:.1} | {} | {} | {} | {:.1} | {:.1} | {:.1} | {:.1} |\n",
        super::super::thousands(work.counting.into()),
        work.counting_s,
        minutes(0.5),
        minutes(0.95),
        minutes(0.99),
        mean(|outcome| outcome.executors_lost.into()),
        wasted * 100.0,
        again * 100.0,
        (1.0 - lengths.len() as f64 / count) * 100.0,
    )
}

/// The value that so large a share is not above, of values in order: of ten, nine tenths are up to the ninth.
#[expect(clippy::cast_precision_loss, reason = "there are few")]
fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let place = (values.len() as f64 * share).ceil() as usize;
    values.get(place.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_a_value_that_there_is() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!(
            [0.5, 0.95, 0.99, 1.0].map(|share| quantile(&values, share)),
            [100.0, 190.0, 198.0, 200.0].map(Some)
        );
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[3.0], 0.01), Some(3.0));
    }

    #[test]
    fn nights_are_told_by_their_lengths_and_what_was_thrown_away() {
        let night = |length_s, wasted_s, jobs| Outcome {
            length_s,
            useful_s: 100.0,
            wasted_s,
            executors_lost: 2,
            jobs,
        };
        let work = Work {
            executors: 2,
            counting: 3_000,
            counting_s: 1.25,
            adding: 2,
            adding_s: 1.0,
            before_s: 1.0,
            fetching_s: 1.0,
            after_s: 1.0,
        };
        let outcomes = [night(Some(60.0), 0.0, 1), night(Some(120.0), 20.0, 2), night(None, 40.0, 2)];
        assert_eq!(
            line("all", &work, &outcomes),
            "| all | 3,000 | 1.2 | 1.0 | 2.0 | 2.0 | 2.0 | 16.7 | 66.7 | 33.3 |\n"
        );
    }

    #[test]
    fn as_many_nights_as_are_asked_for() {
        let work = Work {
            executors: 4,
            counting: 20,
            counting_s: 10.0,
            adding: 4,
            adding_s: 1.0,
            before_s: 0.0,
            fetching_s: 0.0,
            after_s: 0.0,
        };
        let outcomes = many(&work, &Rates { losses_an_hour: 20.0, ..Rates::NONE }, 7);
        assert_eq!(outcomes.len(), 7);
        assert!(outcomes.iter().any(|outcome| *outcome != outcomes[0]), "{outcomes:?}");
    }
}
