//! The tables of `cargo xtask bench serve`, for the terminal and for `docs/performance.md`.

use super::{
    Options,
    contenders::Contender,
    kinds::Kind,
    pace::Latencies,
    turns::{Turns, ms},
};
use crate::{
    Failure,
    bench::{machine, peers, thousands},
};
use std::fmt;

/// p99 at half of saturation is to be below it.
const PACED_P99_GOAL_US: f64 = 1_000.0;

/// Everything that was measured.
pub(super) struct Report<'a> {
    pub(super) options: &'a Options,
    pub(super) pairs: usize,
    /// The size of the constant answer.
    pub(super) body_bytes: usize,
    /// In the order of [`Contender::ALL`].
    pub(super) contenders: Vec<Compared>,
    pub(super) pace: f64,
    pub(super) paced: Vec<(Contender, Latencies)>,
    /// What the machine alone comes to at that pace.
    pub(super) clock: Latencies,
    pub(super) kinds: Vec<(Kind, Measured)>,
}

/// A contender's turns.
pub(super) struct Compared {
    pub(super) contender: Contender,
    pub(super) turns: Turns,
    pub(super) memory_bytes: u64,
}

/// What came of a kind of request.
pub(super) enum Measured {
    Turns(Turns),
    /// It is not answered as it should be, which says how.
    Problem(String),
}

impl Report<'_> {
    /// What makes the benchmark fail.
    pub(super) fn problems(&self) -> Vec<String> {
        let problem = |(kind, measured): &(Kind, Measured)| match measured {
            Measured::Turns(_) => None,
            Measured::Problem(problem) => Some(format!("{kind}: {problem}")),
        };
        self.kinds.iter().filter_map(problem).collect()
    }

    /// The tables with what one must know to make them again.
    pub(super) fn markdown(&self) -> Result<String, Failure> {
        let Options { rounds, seconds, connections, .. } = self.options;
        let pinned = peers::pinned(peers::SERVE)?;
        let named = |name: &&str| pinned.iter().find(|(pinned, _)| pinned == name);
        let versions: Vec<_> = ["fastapi", "uvicorn", "uvloop", "psycopg2-binary"]
            .iter()
            .filter_map(|name| named(name).map(|(name, version)| format!("{name} {version}")))
            .collect();
        Ok(format!(
            "As many requests as each server bears, for {} (advertiser, model) in turn; {} bytes an answer:\n\n{}\n\
             {} requests a second, half of topshelf's, each counted from when it was due, from a client with a core \
             of its own to a server on the others:\n\n{}\n\
             Each kind of request to topshelf by itself:\n\n{}\n\
             Load by wrk on the same machine, over {connections} connections that stay open. In turn, {rounds} rounds \
             of {seconds} s each: medians, of each figure and of the ratio to topshelf in the same round. CPU is the \
             servers' alone. {}; {}; {}.\n\n```\n{}\n```\n",
            thousands(self.pairs as u64),
            thousands(self.body_bytes as u64),
            self.contenders(),
            whole(self.pace),
            self.paced(),
            self.kinds(),
            machine::description(),
            versions.join(", "),
            machine::date()?,
            self.options.command_line(),
        ))
    }

    fn contenders(&self) -> String {
        let ours = &self.contenders[0].turns;
        let line = |compared: &Compared| {
            let Compared { contender, turns, memory_bytes } = compared;
            let (ratio, lowest) = turns.ratios(ours);
            let compared = contender.goal().map_or_else(
                || "1.0 | | |".to_owned(),
                |goal| format!("{} | {} | {goal} |", ratio_text(ratio), ratio_text(lowest)),
            );
            format!(
                "| {contender} | {} | {} | {:.1} | {:.1} | {} | {compared}\n",
                whole(turns.rate()),
                latencies(turns),
                turns.median(|turn| turn.cpu_us),
                turns.median(|turn| turn.database_cpu_us),
                megabytes(*memory_bytes),
            )
        };
        let lines: String = self.contenders.iter().map(line).collect();
        format!(
            "| | requests/s | p50 ms | p99 ms | p99.9 ms | CPU µs a request | PostgreSQL's | memory MB | topshelf ÷ it | \
             lowest | goal |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n{lines}"
        )
    }

    fn paced(&self) -> String {
        let line = |name: &dyn fmt::Display, latencies: &Latencies, goal: &str| {
            let Latencies { p50_us, p99_us, p999_us } = latencies;
            format!("| {name} | {p50_us:.0} | {p99_us:.0} | {p999_us:.0} | {goal} |\n")
        };
        let goal = format!("< {PACED_P99_GOAL_US:.0}");
        let goal_of = |contender| if contender == Contender::Topshelf { goal.as_str() } else { "" };
        let servers = self.paced.iter().map(|(contender, paced)| line(contender, paced, goal_of(*contender)));
        let clock = line(&"nobody asked: the clock read on the servers' cores", &self.clock, "");
        let lines: String = servers.chain([clock]).collect();
        format!("| | p50 µs | p99 µs | p99.9 µs | goal for p99 |\n|---|---:|---:|---:|---:|\n{lines}")
    }

    fn kinds(&self) -> String {
        let lines: String =
            self.kinds.iter().map(|(kind, measured)| format!("| {kind} | {measured} |\n")).collect();
        format!(
            "| | requests/s | MB/s | bytes an answer | CPU µs a request | CPU ns a byte | p50 ms | p99 ms | p99.9 ms |\n\
             |---|---:|---:|---:|---:|---:|---:|---:|---:|\n{lines}"
        )
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let turns = match self {
            Self::Turns(turns) => turns,
            Self::Problem(problem) => return write!(f, "{problem} | | | | | | |"),
        };
        let bytes = turns.median(|turn| turn.figures.answer_bytes());
        write!(
            f,
            "{} | {} | {} | {:.1} | {:.2} | {}",
            whole(turns.rate()),
            whole(turns.median(|turn| turn.figures.megabytes_per_s())),
            whole(bytes),
            turns.median(|turn| turn.cpu_us),
            turns.median(|turn| turn.cpu_us * 1e3 / turn.figures.answer_bytes()),
            latencies(turns),
        )
    }
}

/// p50, p99 and p99.9.
fn latencies(turns: &Turns) -> String {
    let p50 = turns.median(|turn| ms(turn.figures.p50_us));
    let p99 = turns.median(|turn| ms(turn.figures.p99_us));
    let p999 = turns.median(|turn| ms(turn.figures.p999_us));
    format!("{p50:.2} | {p99:.2} | {p999:.2}")
}

/// Two digits behind the point of a small ratio, one of a large.
fn ratio_text(ratio: f64) -> String {
    if ratio < 10.0 { format!("{ratio:.2}") } else { format!("{ratio:.1}") }
}

/// A number without a fraction, as people read it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates and sizes are small and not negative"
)]
pub(in crate::bench) fn whole(number: f64) -> String {
    thousands(number.round() as u64)
}

/// Bytes in units of 10⁶, as people read them.
pub(in crate::bench) fn megabytes(bytes: u64) -> String {
    thousands((bytes + 500_000) / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::{super::turns::tests::turns, *};

    fn report(options: &Options) -> Report<'_> {
        let compared =
            |contender, rates: &[u64]| Compared { contender, turns: turns(rates), memory_bytes: 12_600_000 };
        Report {
            options,
            pairs: 2_000,
            body_bytes: 1_900,
            contenders: vec![
                compared(Contender::Topshelf, &[99_000, 100_000, 98_000]),
                compared(Contender::FastApi, &[3_300, 2_500, 4_900]),
            ],
            pace: 49_500.0,
            paced: vec![(Contender::Topshelf, Latencies { p50_us: 60.4, p99_us: 410.0, p999_us: 900.0 })],
            clock: Latencies { p50_us: 0.1, p99_us: 20.0, p999_us: 300.0 },
            kinds: vec![
                (Kind::Stats, Measured::Turns(turns(&[5_000]))),
                (Kind::Many(1), Measured::Problem("answers 405".to_owned())),
            ],
        }
    }

    #[test]
    fn tables_hold_medians_ratios_and_goals() {
        let options = Options::of_line("");
        let report = report(&options);
        let row =
            |table: &str, start: &str| table.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
        assert_eq!(
            row(&report.contenders(), "| FastAPI"),
            "| FastAPI, PostgreSQL on each request | 3,300 | 0.40 | 1.30 | 2.60 | 12.3 | 0.0 | 13 | 30.0 | 20.0 | ≥ 30 |"
        );
        assert_eq!(
            row(&report.contenders(), "| topshelf"),
            "| topshelf | 99,000 | 0.40 | 1.30 | 2.60 | 12.3 | 0.0 | 13 | 1.0 | | |"
        );
        assert_eq!(row(&report.paced(), "| topshelf"), "| topshelf | 60 | 410 | 900 | < 1000 |");
        assert_eq!(
            row(&report.paced(), "| nobody"),
            "| nobody asked: the clock read on the servers' cores | 0 | 20 | 300 |  |"
        );
        let kinds = report.kinds();
        assert_eq!(
            row(&kinds, "| `GET /stats"),
            "| `GET /stats/` | 5,000 | 10 | 2,000 | 12.3 | 6.17 | 0.40 | 1.30 | 2.60 |"
        );
        assert_eq!(row(&kinds, "| `POST"), "| `POST /recommendations`, 1 pair | answers 405 | | | | | | | |");
        assert_eq!(report.problems(), ["`POST /recommendations`, 1 pair: answers 405"]);
    }

    #[test]
    fn every_line_of_a_table_has_as_many_columns_as_its_head() {
        let options = Options::of_line("");
        let report = report(&options);
        for table in [report.contenders(), report.paced(), report.kinds()] {
            let columns: Vec<_> = table.lines().map(|line| line.matches('|').count()).collect();
            assert!(columns.iter().all(|count| *count == columns[0]), "{table}");
        }
    }
}
