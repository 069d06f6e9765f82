//! What the model says of days that nobody has measured, on machines that nobody has tried.

use super::{
    model::{Amounts, Costs, Model},
    pairs::Population,
    prices::Prices,
    simulation::Work,
};

/// Bytes of a line of both logs, as `topshelf generate` writes them: two of the ad log, one of the other.
pub(super) const LINE_BYTES: f64 = 46.3;

/// What an executor gets of the network, assumed: 0.6 Gbit/s, in gigabytes a second.
pub(super) const NETWORK_GB_S: f64 = 0.075;

/// An executor, assumed: a Fargate task of one processor and as much memory, one slot.
pub(super) const EXECUTOR_GIB: f64 = 4.0;

/// Disk that each Fargate task has for nothing.
const DISK_GIB_FREE: f64 = 20.0;

/// The machine where the night runs, assumed; the scheduler's is another such.
pub(super) const NIGHT_VCPU: f64 = 4.0;
pub(super) const NIGHT_GIB: f64 = 16.0;
/// What it gets of the network, in gigabytes a second.
pub(super) const NIGHT_NETWORK_GB_S: f64 = 0.6;

/// A range of an object that one request asks for.
pub(super) const GET_BYTES: f64 = (4_u64 << 20) as f64;

/// One of so many rows begins a segment of the lake; what is before the first and behind the last of a range comes back.
const SEGMENT_ROWS: f64 = (512_u32 << 10) as f64;

/// Of the rows of a range, those that come back, on average.
fn back_of(rows: f64) -> f64 {
    let without = (-rows / SEGMENT_ROWS).exp();
    2.0 * SEGMENT_ROWS * (1.0 - without) - rows * without
}

/// A day that might be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Day {
    pub(super) terabytes: f64,
    pub(super) population: Population,
    pub(super) task_mib: f64,
    /// Tasks that add up, `cluster.adders`.
    pub(super) adders: u32,
    pub(super) executors: u32,
}

/// What it takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Prediction {
    pub(super) amounts: Amounts,
    pub(super) costs: Costs,
    /// Of the executors, until all is counted, and until all is added up; of the night, fetching and writing.
    pub(super) counting_s: f64,
    pub(super) adding_s: f64,
    pub(super) fetching_s: f64,
    pub(super) night_s: f64,
    /// How many processors the scheduler keeps busy.
    pub(super) scheduler_processors: f64,
    /// For the executors as long as the night takes, the scheduler and the night.
    pub(super) dollars: f64,
    pub(super) work: Work,
}

impl Day {
    fn amounts(&self) -> Amounts {
        let bytes = self.terabytes * 1e12;
        let tasks = (bytes / (self.task_mib * f64::from(1_u32 << 20))).ceil();
        let lines = bytes / LINE_BYTES;
        let pairs = self.population.among(lines);
        let back = f64::from(self.adders) * back_of(pairs / f64::from(self.adders));
        Amounts {
            jobs: 1.0,
            gigabytes: bytes / 1e9,
            tasks,
            adders: f64::from(self.adders),
            partial: tasks * self.population.among(lines / tasks) / 1e6,
            kept: (pairs - back) / 1e6,
            back: back / 1e6,
            // Known once it is known how long it takes.
            waiting: 0.0,
        }
    }

    /// As long as all goes well; each executor waits for its network or its processor, whichever takes longer.
    pub(super) fn predict(&self, model: &Model, prices: &Prices) -> Prediction {
        let amounts = self.amounts();
        let costs = model.costs(amounts);
        let [adders, executors] = [self.adders, self.executors].map(f64::from);
        // Partial counts are written by those who count and read by those who add up: half of their cost to each.
        let of_input = model.executors[0] * amounts.gigabytes + model.executors[2] * amounts.tasks;
        let of_partial = model.executors[1] * amounts.partial;
        let counting_cpu_s = (of_input + of_partial / 2.0) / amounts.tasks;
        let counting_network_s = amounts.gigabytes / amounts.tasks / NETWORK_GB_S;
        let a_task_s = counting_cpu_s.max(counting_network_s);
        let of_adding = costs.executors_s - of_input - of_partial / 2.0;
        // An executor sends to the others while it fetches from them.
        let an_adder_s = (of_adding / adders).max(costs.shuffled_gb / adders / NETWORK_GB_S);
        let adding_s = (adders / executors).ceil() * an_adder_s;
        let rounds = (amounts.tasks / executors).ceil();
        let fetched_gb = amounts.back * model.shuffle[0] / 1e3;
        let work = Work {
            executors: self.executors,
            counting: amounts.tasks as u32,
            counting_s: a_task_s,
            adding: self.adders,
            adding_s: an_adder_s,
            before_s: 5.0,
            fetching_s: fetched_gb / NIGHT_NETWORK_GB_S,
            after_s: costs.night_s,
        };
        let counting_s = rounds * a_task_s;
        let night_s = work.before_s + counting_s + adding_s + work.fetching_s + work.after_s;
        // Asking for tasks is done beside them.
        let costs = model.costs(Amounts { waiting: executors * night_s, ..amounts });
        let dollars = self.dollars(prices, &costs, night_s);
        Prediction {
            amounts,
            costs,
            counting_s,
            adding_s,
            fetching_s: work.fetching_s,
            night_s,
            scheduler_processors: costs.scheduler_s / night_s,
            dollars,
            work,
        }
    }

    fn dollars(&self, prices: &Prices, costs: &Costs, night_s: f64) -> f64 {
        let executors = f64::from(self.executors);
        let disk_gib = (2.0 * costs.shuffled_gb / executors - DISK_GIB_FREE).max(0.0);
        let executor = prices.vcpu_hour + EXECUTOR_GIB * prices.gib_hour + disk_gib * prices.disk_gib_hour;
        let others = 2.0 * (NIGHT_VCPU * prices.vcpu_hour + NIGHT_GIB * prices.gib_hour);
        let gets = self.terabytes * 1e12 / GET_BYTES / 1e3 * prices.thousand_gets;
        night_s / 3_600.0 * (executors * executor + others) + gets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRICES: Prices =
        Prices { vcpu_hour: 0.04, gib_hour: 0.005, disk_gib_hour: 0.0001, thousand_gets: 0.0004 };

    fn day(executors: u32) -> Day {
        let population = Population { advertisers: 10_000, products: 1_000 };
        Day { terabytes: 1.0, population, task_mib: 1_024.0, adders: 40, executors }
    }

    fn model(per_gb: f64) -> Model {
        Model {
            executors: vec![per_gb, 0.5, 0.01, 0.0, 0.3, 1e-3],
            scheduler: vec![0.1, 1e-3, 0.0, 2e-3],
            night: vec![0.2, 0.5, 0.0],
            shuffle: vec![20.0, 0.0],
        }
    }

    #[test]
    fn with_twice_the_executors_counting_takes_half() {
        let [one, two] = [50, 100].map(|executors| day(executors).predict(&model(1.0), &PRICES));
        let ratio = one.counting_s / two.counting_s;
        assert!((1.8..2.2).contains(&ratio), "{ratio}");
        // What the night does by itself stays.
        assert_eq!(one.costs.night_s, two.costs.night_s);
        assert!(one.night_s > one.counting_s + one.costs.night_s);
    }

    #[test]
    fn the_slower_of_processor_and_network_is_waited_for() {
        let [fast, faster, slow] = [1.0, 0.5, 100.0].map(|per_gb| day(100).predict(&model(per_gb), &PRICES));
        // 1 TB on 100 executors of 0.075 GB/s: 133 s and a little, as tasks do not divide evenly.
        assert!((133.0..150.0).contains(&fast.counting_s), "{}", fast.counting_s);
        assert_eq!(fast.counting_s, faster.counting_s);
        assert!(slow.counting_s > 900.0, "{}", slow.counting_s);
    }

    #[test]
    fn small_ranges_come_back_whole_and_large_ones_but_for_their_ends() {
        assert!((back_of(1_000.0) / 1_000.0 - 1.0).abs() < 0.01, "{}", back_of(1_000.0));
        assert!((back_of(1e9) / (2.0 * SEGMENT_ROWS) - 1.0).abs() < 1e-6, "{}", back_of(1e9));
    }

    #[test]
    fn a_scheduler_is_asked_by_all_executors_all_the_time() {
        // 2 ms for each second of each of them: with 100, a fifth of a processor, and a little for the job and its tasks.
        let processors = day(100).predict(&model(1.0), &PRICES).scheduler_processors;
        assert!((0.2..0.22).contains(&processors), "{processors}");
    }

    #[test]
    fn what_is_asked_of_the_bucket_is_paid_for() {
        let free = Prices { vcpu_hour: 0.0, gib_hour: 0.0, disk_gib_hour: 0.0, ..PRICES };
        let dollars = day(100).predict(&model(1.0), &free).dollars;
        assert!((dollars - 0.0954).abs() < 0.001, "{dollars}");
    }
}
