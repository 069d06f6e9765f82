//! Whether another machine's clock and ours tell the same time.

use super::step::Answer;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// From here on somebody should know: times of runs and of what was published are compared across machines.
const WARN_SECONDS: f64 = 5.;
/// From here on nights begin at a wrong time, and S3, which refuses requests 15 minutes off, is near its limit.
const FAIL_SECONDS: f64 = 5. * 60.;

/// A time that another clock told, and when ours said that it was asked and had answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// Seconds since 1970, at some time between the two.
    pub(super) theirs: f64,
    /// How much later it may have been: a clock that tells whole seconds rounds down.
    pub(super) coarseness: f64,
    pub(super) asked: SystemTime,
    pub(super) took: Duration,
}

/// How many seconds the other clock is ahead for certain; negative when it is behind.
fn ahead(reading: Reading) -> f64 {
    let asked = reading.asked.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let (earliest, latest) = (asked, asked + reading.took.as_secs_f64());
    if reading.theirs > latest {
        reading.theirs - latest
    } else {
        (reading.theirs + reading.coarseness - earliest).min(0.)
    }
}

/// Judges the clock of `whom`.
pub(super) fn judge(whom: &str, reading: Reading) -> Answer {
    let ahead = ahead(reading);
    let (size, told) = (ahead.abs(), in_words(ahead));
    if size < WARN_SECONDS {
        return Answer::ok(told);
    }
    let text = format!("{whom}'s clock is {told}");
    let cause = "one of the two machines does not synchronise its clock";
    let remedy = "let both follow a time server (`timedatectl` tells whether this one does; on AWS: chrony with 169.254.169.123)";
    if size < FAIL_SECONDS {
        Answer::warning(text, cause, remedy)
    } else {
        Answer::failed(text, cause, remedy)
    }
}

fn in_words(ahead: f64) -> String {
    let side = if ahead < 0. { "behind this machine's" } else { "ahead of this machine's" };
    match ahead.abs() {
        size if size < 1. => "the same time, to within a second".to_owned(),
        size if size < 120. => format!("{size:.0} s {side}"),
        size if size < 7200. => format!("{:.0} min {side}", size / 60.),
        size => format!("{:.1} h {side}", size / 3600.),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::step::Outcome, *};

    fn judged(theirs_minus_ours: f64, took: f64, coarseness: f64) -> (Outcome, String) {
        let asked = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let theirs = 1_700_000_000. + theirs_minus_ours;
        let answer = judge("S3", Reading { theirs, coarseness, asked, took: Duration::from_secs_f64(took) });
        (answer.outcome, answer.text)
    }

    #[test]
    fn seconds_are_told_and_minutes_fail() {
        assert_eq!(judged(0.2, 0.5, 0.).0, Outcome::Ok);
        assert_eq!(judged(4.9, 0., 0.), (Outcome::Ok, "5 s ahead of this machine's".into()));
        assert_eq!(
            judged(-6., 0.1, 0.),
            (Outcome::Warning, "S3's clock is 6 s behind this machine's".into())
        );
        assert_eq!(judged(299., 0., 0.).0, Outcome::Warning);
        assert_eq!(judged(301., 0., 0.).0, Outcome::Failed);
        assert_eq!(
            judged(-7200., 0., 0.),
            (Outcome::Failed, "S3's clock is 2.0 h behind this machine's".into())
        );
    }

    #[test]
    fn what_waiting_and_rounding_explain_is_no_skew() {
        assert_eq!(judged(9., 10., 0.).0, Outcome::Ok);
        assert_eq!(judged(-5.5, 0., 1.).0, Outcome::Ok);
    }
}
