//! What those who run topshelf watch it with: alarms and dashboard name metrics that there are, and lead to headings of
//! the runbook that are there, which says of each alarm what to do.

use super::Finding;
use std::{collections::BTreeSet, path::Path};

/// Where every metric stands.
pub(super) const METRICS_PAGE: &str = "docs/metrics.md";

/// What alarms lead to.
pub(super) const RUNBOOK: &str = "docs/runbook.md";

/// What is wrong with a file of `deploy/`.
pub(super) fn check(file: &Path, text: &str, metrics_page: &str, runbook: &str) -> Vec<Finding> {
    let (known, headings) = (known(metrics_page), headings(runbook));
    let unknown = named(text).into_iter().filter(|name| !known.contains(name.as_str()));
    let unknown = unknown.map(|name| {
        Finding::new(file, format!("{name} is no metric of {METRICS_PAGE}: mend the name, or add the metric"))
    });
    let leads = text.lines().filter_map(|line| line.trim().strip_prefix("runbook: "));
    let dead = leads.filter(|lead| {
        let heading = lead.strip_prefix(RUNBOOK).and_then(|rest| rest.strip_prefix('#'));
        !heading.is_some_and(|heading| headings.contains(heading))
    });
    let dead = dead.map(|lead| Finding::new(file, format!("{lead} is no heading of {RUNBOOK}")));
    let alarms: Vec<_> = text.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let untold = [" summary: ", " description: ", " runbook: "].into_iter();
    let untold = untold.filter(|told| alarms.len() > text.matches(told).count());
    let untold =
        untold.map(|told| Finding::new(file, format!("an alarm has no{}", told.trim_end_matches(": "))));
    let unnamed = alarms.iter().filter(|alarm| !runbook.contains(&format!("`{alarm}`")));
    let unnamed = unnamed.map(|alarm| {
        Finding::new(file, format!("{RUNBOOK} does not say what to do about {alarm}: name it there"))
    });
    unknown.chain(dead).chain(untold).chain(unnamed).collect()
}

/// The metrics whose rows a page has.
fn known(page: &str) -> BTreeSet<&str> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split_once('`')).map(|(name, _)| name).collect()
}

/// The metrics that a text names; the parts of a histogram are its own.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let names = words.filter(|word| word.starts_with("topshelf_") || word.starts_with("process_"));
    let whole = |name: &str| {
        let end = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| name.strip_suffix(end));
        end.unwrap_or(name).to_owned()
    };
    names.map(whole).collect()
}

/// The headings of a page, as links to them are spelled.
fn headings(page: &str) -> BTreeSet<String> {
    let headings = page
        .lines()
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')));
    let spelled = |heading: &str| {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    headings.map(spelled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str =
        "# Metrics\n| `topshelf_a_total` | counter | | |\n| `topshelf_h_seconds` | histogram | | |\n";
    const BOOK: &str = "# Runbook: what, and how\n## The server\n### Alarms\n| `A` | means | do |\n";

    fn found(text: &str) -> Vec<String> {
        check(Path::new("deploy/x.yaml"), text, PAGE, BOOK).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_metric_that_is_not_there_is_found() {
        assert_eq!(
            found("expr: rate(topshelf_a_total[5m]) > topshelf_h_seconds_bucket{job=\"topshelf\"}"),
            [""; 0]
        );
        assert_eq!(
            found("{\"expr\": \"topshelf_a_totals + process_x\"}"),
            [
                "deploy/x.yaml: process_x is no metric of docs/metrics.md: mend the name, or add the metric",
                "deploy/x.yaml: topshelf_a_totals is no metric of docs/metrics.md: mend the name, or add the metric"
            ]
        );
    }

    #[test]
    fn an_alarm_leads_to_a_heading_and_says_what_it_means() {
        let alarm =
            |runbook: &str| format!("- alert: A\n  summary: S\n  description: D\n  runbook: {runbook}\n");
        for heading in ["the-server", "alarms", "runbook-what-and-how"] {
            assert_eq!(found(&alarm(&format!("docs/runbook.md#{heading}"))), [""; 0]);
        }
        for lead in ["docs/runbook.md#gone", "docs/runbook.md", "docs/other.md#alarms"] {
            assert_eq!(
                found(&alarm(lead)),
                [format!("deploy/x.yaml: {lead} is no heading of docs/runbook.md")]
            );
        }
        assert_eq!(
            found("- alert: A\n  summary: S\n  runbook: docs/runbook.md#alarms\n"),
            ["deploy/x.yaml: an alarm has no description"]
        );
    }

    #[test]
    fn the_runbook_names_every_alarm() {
        let alarm = "- alert: B\n  summary: S\n  description: D\n  runbook: docs/runbook.md#alarms\n";
        assert_eq!(
            found(alarm),
            ["deploy/x.yaml: docs/runbook.md does not say what to do about B: name it there"]
        );
    }
}
