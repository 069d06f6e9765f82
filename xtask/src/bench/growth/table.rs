//! The table of `cargo xtask bench growth`.

use super::measured::{Measured, Outcome};
use crate::bench::{gigabytes, machine, thousands};

/// The table with what one must know to make it again; `left_out` says what could not be measured.
pub(super) fn markdown(measured: &[Measured], left_out: &[String], command_line: &str) -> String {
    let lines: String = measured.iter().map(line).collect();
    let left_out: String = left_out.iter().map(|why| format!("\n{why}.\n")).collect();
    let memory_gb = gigabytes(machine::memory_bytes());
    format!(
        "| rows | GB | groups | of them counted | threads | wall s | CPU s | peak memory GB | counting s | million rows a second |\n\
         |---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n{lines}{left_out}\n\
         Groups are advertisers × products; four fifths of the advertisers are active, and not each product has an event. \
         Logs of more than half of the memory ({memory_gb:.0} GB) come from the disk.\n\n\
         {}.\n\n```\n{command_line}\n```\n",
        machine::description(),
    )
}

fn line(measured: &Measured) -> String {
    let Measured { rows, groups, threads, bytes, outcome } = measured;
    let point = |counted: &str| {
        let (rows, groups) = (thousands(*rows), thousands(*groups));
        format!("| {rows} | {:.1} | {groups} | {counted} | {threads} ", gigabytes(*bytes))
    };
    match outcome {
        Outcome::Failed(how) => format!("{}| {how} | | | | |\n", point("")),
        Outcome::Took(took) => {
            #[expect(clippy::cast_precision_loss, reason = "people read three digits of it")]
            let speed = *rows as f64 / 1e6 / took.wall_s;
            format!(
                "{}| {:.2} | {:.1} | {:.2} | {:.2} | {speed:.1} |\n",
                point(&thousands(took.products)),
                took.wall_s,
                took.cpu_s,
                gigabytes(took.memory_bytes),
                took.count_s,
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::growth::{measured::tests::took, points::Point};

    #[test]
    fn a_line_tells_what_a_point_took() {
        let expected = "| 10,000,000 | 0.5 | 1,000 | 500 | 2 | 0.50 | 1.0 | 0.10 | 0.25 | 20.0 |\n";
        assert_eq!(line(&took(10_000_000, 1_000, 2, 0.5)), expected);
    }

    #[test]
    fn a_point_that_failed_says_how() {
        let point = Point { rows: 10_000_000, groups: 1_000, threads: 1 };
        let failed = Measured::failed(&point, 460_000_000, "gave up after 9 s".to_owned());
        assert_eq!(line(&failed), "| 10,000,000 | 0.5 | 1,000 |  | 1 | gave up after 9 s | | | | |\n");
    }

    #[test]
    fn what_is_left_out_is_said() {
        let table = markdown(&[], &["640,000,000 rows are left out".to_owned()], "the command");
        assert!(table.contains("\n640,000,000 rows are left out.\n"), "{table}");
        assert!(table.ends_with("```\nthe command\n```\n"), "{table}");
    }
}
