//! What became of each check, also of those that found nothing.

use super::{Checks, Finding, Severity};
use serde::Serialize;
use std::collections::BTreeMap;

/// Checks that need published days to compare with.
const COMPARING: [&str; 5] = ["active", "advertiser_volume", "ctr", "ends_early", "volume"];

/// What became of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckVerdict {
    /// It found nothing.
    Passed,
    /// It found something that is told.
    Warned,
    /// It found something that holds publication back.
    Held,
    /// There are too few published days to compare with.
    NotCompared,
    /// It is not looked for.
    Off,
}

/// The verdict of each configured check, by its name, of a day that was compared with so many.
#[must_use]
pub fn verdicts(
    checks: &Checks,
    findings: &[Finding],
    baseline_days: usize,
) -> BTreeMap<String, CheckVerdict> {
    // Every check has a severity, and nothing else has: none can be forgotten here.
    let configured = serde_json::to_value(checks).expect("checks are plain data");
    let named = configured.as_object().into_iter().flatten();
    let severities = named.filter_map(|(name, of)| Some((name, of.get("severity")?)));
    severities
        .map(|(name, severity)| {
            let found = |severity: Severity| {
                findings.iter().any(|finding| finding.check == name && finding.severity == severity)
            };
            let verdict = if found(Severity::Hold) {
                CheckVerdict::Held
            } else if found(Severity::Warn) {
                CheckVerdict::Warned
            } else if severity == "off" {
                CheckVerdict::Off
            } else if COMPARING.contains(&name.as_str()) && baseline_days < checks.min_days {
                CheckVerdict::NotCompared
            } else {
                CheckVerdict::Passed
            };
            (name.clone(), verdict)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_a_verdict() {
        let mut checks = Checks::default();
        checks.ctr.severity = Severity::Off;
        let finding =
            |check, severity| Finding { check, severity, advertiser_id: None, message: String::new() };
        let findings = [
            finding("clicks", Severity::Hold),
            finding("clicks", Severity::Warn),
            finding("rejected", Severity::Warn),
        ];
        let told = |baseline_days| serde_json::to_value(verdicts(&checks, &findings, baseline_days)).unwrap();
        let (first, later) = (told(0), told(3));
        for (check, on_the_first_night, with_a_history) in [
            ("clicks", "held", "held"),
            ("rejected", "warned", "warned"),
            ("ctr", "off", "off"),
            ("volume", "not_compared", "passed"),
            ("lost_rankings", "passed", "passed"),
        ] {
            assert_eq!((&first[check], &later[check]), (&on_the_first_night.into(), &with_a_history.into()));
        }
        let compared =
            later.as_object().unwrap().values().filter(|verdict| *verdict == "not_compared").count();
        assert_eq!(compared, 0);
        assert!(COMPARING.iter().all(|check| later.get(check).is_some()), "{later}");
    }
}
