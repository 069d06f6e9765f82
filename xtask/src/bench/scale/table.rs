//! The tables of `docs/scale.md`.

use super::{
    measured::{Idle, Measured},
    model::{Amounts, Model},
    others::{Other, OtherTook},
    pairs::Population,
    prediction::{self, Day, Prediction},
    prices::Prices,
};
use crate::bench::{gigabytes, thousands};

/// Days that nobody here can measure: terabytes, advertisers × products, mebibytes of a task, tasks that add up, executors.
const DAYS: [(f64, u64, u64, f64, u32, u32); 9] = [
    (1.0, 10_000, 1_000, 256.0, 32, 10),
    (1.0, 10_000, 1_000, 1_024.0, 32, 10),
    (1.0, 10_000, 1_000, 1_024.0, 100, 100),
    (10.0, 100_000, 1_000, 1_024.0, 32, 100),
    (10.0, 100_000, 1_000, 1_024.0, 100, 100),
    (10.0, 100_000, 1_000, 1_024.0, 1_000, 1_000),
    (100.0, 100_000, 10_000, 1_024.0, 1_000, 1_000),
    (1_000.0, 100_000, 10_000, 4_096.0, 1_000, 1_000),
    (1_000.0, 100_000, 10_000, 4_096.0, 4_000, 4_000),
];

/// Terabytes of the days whose CPU stands beside that of other tools.
const SIZES: [f64; 3] = [1.0, 10.0, 1_000.0];

/// What was measured, point by point.
pub(super) fn measured(measured: &[Measured]) -> String {
    let lines: String = measured.iter().map(measured_line).collect();
    format!(
        "| rows | GB | pairs counted | MiB a task | tasks | adders | executors | wall s | executors' CPU s | scheduler's | night's | one machine's CPU s | its wall s | shuffled MB | rows kept | rows that came back | peak MB: executor | scheduler | night |\n\
         |---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n{lines}"
    )
}

pub(super) fn megabytes(bytes: u64) -> f64 {
    gigabytes(bytes) * 1e3
}

fn measured_line(measured: &Measured) -> String {
    let Measured { point, took, one_machine, .. } = measured;
    format!(
        "| {} | {:.2} | {} | {} | {} | {} | {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.1} | {} | {} | {:.0} | {:.0} | {:.0} |\n",
        thousands(point.rows + point.view_rows),
        gigabytes(measured.bytes),
        thousands(measured.pairs),
        point.task_mib,
        thousands(took.tasks),
        measured.adders(),
        point.executors,
        took.wall_s,
        took.executors.cpu_s,
        took.scheduler.cpu_s,
        took.night.cpu_s,
        one_machine.cpu_s,
        one_machine.wall_s,
        megabytes(took.shuffled_bytes),
        thousands(took.kept),
        thousands(took.rows),
        megabytes(took.executors.memory_bytes),
        megabytes(took.scheduler.memory_bytes),
        megabytes(took.night.memory_bytes),
    )
}

/// The coefficients, and how far they are off where they come from.
pub(super) fn model(model: &Model, measured: &[Measured], idle: Option<&Idle>) -> String {
    let Model { executors, scheduler, night, shuffle } = model;
    let percent =
        |share: Option<f64>| share.map_or("–".to_owned(), |share| format!("{:+.0} %", share * 100.0));
    let lines: String = measured
        .iter()
        .map(|measured| {
            let residuals = model.residuals(measured);
            let Amounts { gigabytes, tasks, adders, partial, kept, back, .. } = measured.amounts();
            format!(
                "| {gigabytes:.2} | {tasks:.0} | {adders:.0} | {partial:.2} | {} | {kept:.2} | {back:.2} | {} | {} | {} | {} | {} |\n",
                percent(Some(measured.reckoned_partial() / measured.partial as f64 - 1.0)),
                measured.point.executors,
                percent(residuals.executors),
                percent(residuals.scheduler),
                percent(residuals.night),
                percent(residuals.shuffle),
            )
        })
        .collect();
    let idle = idle.map(|idle| {
        let each = |cpu_s: f64| cpu_s / idle.amounts().waiting * 1e3;
        format!(
            "\nWithout work, for {:.0} s, each of {} executors took {:.2} ms of CPU a second, and the scheduler {:.2} ms for each of them.\n",
            idle.wall_s,
            idle.executors,
            each(idle.executors_s),
            each(idle.scheduler_s)
        )
    });
    format!(
        "| | for each | |\n|---|---|---:|\n\
         | CPU of executors | GB of input | {:.3} s |\n| | million partial counts | {:.3} s |\n| | task | {:.2} ms |\n| | task × adder | {:.4} ms |\n| | million sums kept | {:.3} s |\n| | second of an executor | {:.2} ms |\n\
         | CPU of the scheduler | job | {:.3} s |\n| | task | {:.3} ms |\n| | task² | {:.4} µs |\n| | second of an executor | {:.2} ms |\n\
         | CPU of the night | job | {:.3} s |\n| | million rows that come back | {:.3} s |\n| | task | {:.3} ms |\n\
         | bytes shuffled | partial count | {:.1} |\n| | task × adder | {:.0} |\n\n\
         The formula less what was measured, as a share of it:\n\n\
         | GB | tasks | adders | million partial counts | by the generator's rule | kept | back | executors | CPU of executors | of the scheduler | of the night | bytes shuffled |\n\
         |---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n{lines}{}",
        executors[0],
        executors[1],
        executors[2] * 1e3,
        executors[3] * 1e3,
        executors[4],
        executors[5] * 1e3,
        scheduler[0],
        scheduler[1] * 1e3,
        scheduler[2] * 1e6,
        scheduler[3] * 1e3,
        night[0],
        night[1],
        night[2] * 1e3,
        shuffle[0],
        shuffle[1] * 1e6,
        idle.unwrap_or_default(),
    )
}

/// The other tools beside ours, on the logs that they counted.
pub(super) fn others(others: &[OtherTook], measured: &[Measured]) -> String {
    let line = |name: &str, bytes: u64, (wall_s, cpu_s, memory_bytes): (f64, f64, u64)| {
        format!(
            "| {name} | {:.2} | {wall_s:.2} | {cpu_s:.1} | {:.2} | {:.2} |\n",
            gigabytes(bytes),
            cpu_s / gigabytes(bytes),
            gigabytes(memory_bytes)
        )
    };
    let is_theirs = |measured: &&Measured| {
        others.is_empty()
            || others.iter().any(|other| (measured.bytes, measured.pairs) == (other.bytes, other.pairs))
    };
    let ours: Vec<&Measured> = measured.iter().filter(is_theirs).collect();
    let here = ours.first().map(|measured| {
        let one = measured.one_machine;
        line("topshelf, one machine", measured.bytes, (one.wall_s, one.cpu_s, one.memory_bytes))
    });
    let there = ours.iter().filter(|measured| measured.point.executors == 2).map(|measured| {
        let took = measured.took;
        let cpu_s = took.executors.cpu_s + took.scheduler.cpu_s + took.night.cpu_s;
        let executors = u64::from(measured.point.executors) * took.executors.memory_bytes;
        let memory_bytes = executors + took.scheduler.memory_bytes + took.night.memory_bytes;
        let name = format!("topshelf, two executors, tasks of {} MiB", measured.point.task_mib);
        line(&name, measured.bytes, (took.wall_s, cpu_s, memory_bytes))
    });
    let theirs = others.iter().rev().map(|other| {
        let name = match other.other {
            Other::Spark => "Spark, two executors",
            Other::DuckDb => "DuckDB, two threads",
        };
        line(name, other.bytes, (other.took.wall_s, other.took.cpu_s, other.took.memory_bytes))
    });
    let lines: String = here.into_iter().chain(there).chain(theirs).collect();
    let growth: String = [Other::Spark, Other::DuckDb]
        .into_iter()
        .filter_map(|other| {
            let (start_s, a_gb) = start_and_a_gb(other, others)?;
            Some(format!(
                "{other}: {start_s:.1} s of CPU to start and {a_gb:.2} s for each GB, by the two sizes.\n"
            ))
        })
        .collect();
    format!(
        "| | GB | wall s | CPU s | CPU s a GB | peak memory GB |\n|---|---:|---:|---:|---:|---:|\n{lines}\n{growth}\n\
         CSV with {} pairs counted in the larger; the same sums from all. CPU and memory are those of all processes of each together; of two executors \
         of topshelf, the peaks of its processes are added up, whenever they were.\n",
        thousands(ours.first().map_or(0, |measured| measured.pairs))
    )
}

/// What CPU a tool takes to start, and for each gigabyte, by two sizes that it counted.
fn start_and_a_gb(other: Other, others: &[OtherTook]) -> Option<(f64, f64)> {
    let of = |other: &OtherTook| (gigabytes(other.bytes), other.took.cpu_s);
    let mut sizes = others.iter().filter(|took| took.other == other).map(of);
    let ((less_gb, less_s), (gb, s)) = (sizes.next()?, sizes.next()?);
    let a_gb = (s - less_s) / (gb - less_gb);
    a_gb.is_finite().then_some((less_s - a_gb * less_gb, a_gb))
}

/// What the model says of larger days, and what a linear rule says of the others.
pub(super) fn larger_days(
    model: &Model,
    prices: &Prices,
    others: &[OtherTook],
    measured: &[Measured],
) -> String {
    let days = DAYS.map(|(terabytes, advertisers, products, task_mib, adders, executors)| Day {
        terabytes,
        population: Population { advertisers, products },
        task_mib,
        adders,
        executors,
    });
    let predicted = days.map(|day| (day, day.predict(model, prices)));
    let lines: String = predicted.iter().map(|(day, predicted)| day_line(day, predicted)).collect();
    let an_executor = prices.vcpu_hour + prediction::EXECUTOR_GIB * prices.gib_hour;
    let of_machine = |measured: &Measured| measured.one_machine.cpu_s / gigabytes(measured.bytes);
    let one_machine =
        measured.first().map(|measured| ("topshelf, one machine".to_owned(), of_machine(measured)));
    let of_other = |other: Other| Some((other.to_string(), start_and_a_gb(other, others)?.1));
    let linear =
        one_machine.into_iter().chain([Other::Spark, Other::DuckDb].into_iter().filter_map(of_other));
    let cpu_alone: String = linear
        .map(|(name, a_gb)| {
            (name, format!("{a_gb:.2}"), SIZES.map(|terabytes| a_gb * terabytes * 1e3 / 3_600.0))
        })
        .chain([on_clusters(&predicted)])
        .map(|(name, a_gb, hours)| cpu_line(&name, &a_gb, hours, an_executor))
        .collect();
    format!(
        "| TB a day | advertisers × products | MiB a task | tasks | adders | executors | million pairs | of them back | shuffled TB | CPU hours of executors | counting min | adding min | fetching min | the night's own min | scheduler's processors | all min | dollars a night |\n\
         |---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n{lines}\n\
         Executors are Fargate tasks of 1 vCPU and {:.0} GiB with {:.3} GB/s of network each, scheduler and night have {:.0} vCPU, {:.0} GiB and {:.1} GB/s; list prices of `deploy/aws/costs.py`: \
         {} dollars a vCPU-hour, {} a GiB-hour, {} a thousand GETs of 4 MiB.\n\n\
         CPU alone; but for the cluster's, which are those of the table above, taken to grow with the bytes and without what it takes to start:\n\n\
         | | CPU s a GB | hours for 1 TB | 10 TB | 1 PB | dollars for 1 TB | 10 TB | 1 PB |\n|---|---:|---:|---:|---:|---:|---:|---:|\n{cpu_alone}",
        prediction::EXECUTOR_GIB,
        prediction::NETWORK_GB_S,
        prediction::NIGHT_VCPU,
        prediction::NIGHT_GIB,
        prediction::NIGHT_NETWORK_GB_S,
        prices.vcpu_hour,
        prices.gib_hour,
        prices.thousand_gets,
    )
}

/// CPU of executors on the cheapest cluster for each of the sizes: its name, seconds a gigabyte, hours.
fn on_clusters(predicted: &[(Day, Prediction)]) -> (String, String, [f64; 3]) {
    let cheapest = SIZES.map(|terabytes| {
        let of_size = predicted.iter().filter(|(day, _)| day.terabytes == terabytes);
        of_size.min_by(|a, b| a.1.dollars.total_cmp(&b.1.dollars)).expect("each size is among the days")
    });
    let [one, ten, thousand] = cheapest.map(|(day, _)| thousands(day.executors.into()));
    let hours = cheapest.map(|(_, predicted)| predicted.costs.executors_s / 3_600.0);
    let [less, .., more] = cheapest.map(|(day, predicted)| predicted.costs.executors_s / day.terabytes / 1e3);
    (format!("topshelf, {one}, {ten} and {thousand} executors"), format!("{less:.2} to {more:.2}"), hours)
}

fn cpu_line(name: &str, a_gb: &str, hours: [f64; 3], an_executor: f64) -> String {
    let [one, ten, thousand] = hours;
    let [one_costs, ten_costs, thousand_costs] = hours.map(|hours| hours * an_executor);
    format!(
        "| {name} | {a_gb} | {one:.1} | {ten:.0} | {thousand:.0} | {one_costs:.2} | {ten_costs:.2} | {thousand_costs:.0} |\n"
    )
}

fn day_line(day: &Day, predicted: &Prediction) -> String {
    let Population { advertisers, products } = day.population;
    let minutes = |seconds: f64| format!("{:.1}", seconds / 60.0);
    format!(
        "| {} | {} × {} | {} | {} | {} | {} | {:.0} | {:.0} | {:.2} | {:.1} | {} | {} | {} | {} | {:.2} | {} | {:.2} |\n",
        day.terabytes,
        thousands(advertisers),
        thousands(products),
        thousands(day.task_mib as u64),
        thousands(predicted.work.counting.into()),
        thousands(day.adders.into()),
        thousands(day.executors.into()),
        predicted.amounts.kept + predicted.amounts.back,
        predicted.amounts.back,
        predicted.costs.shuffled_gb / 1e3,
        predicted.costs.executors_s / 3_600.0,
        minutes(predicted.counting_s),
        minutes(predicted.adding_s),
        minutes(predicted.fetching_s),
        minutes(predicted.costs.night_s),
        predicted.scheduler_processors,
        minutes(predicted.night_s),
        predicted.dollars,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::scale::measured::{OneMachine, tests::measured as sample};

    fn a_model() -> Model {
        Model {
            executors: vec![1.0, 0.5, 0.01, 0.0, 0.3, 1e-3],
            scheduler: vec![0.1, 1e-3, 0.0, 1e-3],
            night: vec![0.2, 0.5, 0.0],
            shuffle: vec![20.0, 0.0],
        }
    }

    fn a_point() -> Measured {
        let amounts = Amounts {
            jobs: 1.0,
            gigabytes: 1.0,
            tasks: 30.0,
            adders: 30.0,
            back: 0.08,
            waiting: 2.0,
            ..Amounts::default()
        };
        sample(amounts, &a_model())
    }

    fn spark() -> OtherTook {
        let took = OneMachine { wall_s: 9.0, cpu_s: 16.0, memory_bytes: 3_000_000_000 };
        OtherTook { other: Other::Spark, bytes: 1_000_000_000, pairs: 80_000, runs: 3, took }
    }

    #[test]
    fn every_line_has_all_columns() {
        let prices = Prices { vcpu_hour: 0.04, gib_hour: 0.004, disk_gib_hour: 1e-4, thousand_gets: 4e-4 };
        let (model_of, points, others_of) = (a_model(), [a_point()], [spark()]);
        let texts = [
            measured(&points),
            model(&model_of, &points, None),
            others(&others_of, &points),
            larger_days(&model_of, &prices, &others_of, &points),
        ];
        for text in texts {
            let mut columns = None;
            for line in text.lines() {
                if !line.starts_with('|') {
                    columns = None;
                    continue;
                }
                let found = line.matches('|').count();
                assert_eq!(found, *columns.get_or_insert(found), "{line}");
                assert!(!line.contains("NaN") && !line.contains("inf"), "{line}");
            }
        }
    }

    #[test]
    fn a_start_is_told_from_what_a_gigabyte_takes() {
        let took = |bytes, cpu_s| OtherTook { bytes, took: OneMachine { cpu_s, ..spark().took }, ..spark() };
        let (start_s, a_gb) =
            start_and_a_gb(Other::Spark, &[took(250_000_000, 12.0), took(1_000_000_000, 18.0)]).unwrap();
        assert!((start_s - 10.0).abs() < 1e-9 && (a_gb - 8.0).abs() < 1e-9, "{start_s} {a_gb}");
        assert_eq!(start_and_a_gb(Other::Spark, &[spark()]), None);
        assert_eq!(start_and_a_gb(Other::DuckDb, &[spark(), spark()]), None);
    }

    #[test]
    fn others_stand_beside_ours_on_the_same_logs() {
        let table = others(&[spark()], &[a_point()]);
        assert!(table.contains("| topshelf, one machine | 1.00 | 1.00 | 2.0 | 2.00 | 0.27 |\n"), "{table}");
        assert!(table.contains("| Spark, two executors | 1.00 | 9.00 | 16.0 | 16.00 | 3.00 |\n"), "{table}");
        assert!(table.contains("topshelf, two executors"), "{table}");
    }
}
