//! Progress on stderr while work is long, and only for people.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{io::IsTerminal, time::Duration};

/// A bar of bytes or steps; nothing when stderr is no terminal.
#[derive(Debug, Clone)]
pub struct Progress {
    is_shown: bool,
}

impl Progress {
    /// Shows progress when stderr is a terminal.
    #[must_use]
    pub fn for_terminal() -> Self {
        Self { is_shown: std::io::stderr().is_terminal() }
    }

    /// Shows nothing.
    #[must_use]
    pub fn none() -> Self {
        Self { is_shown: false }
    }

    /// A bar over `bytes`.
    #[must_use]
    pub fn bytes(&self, what: &'static str, bytes: u64) -> ProgressBar {
        self.bar(
            bytes,
            what,
            "{msg:10} {bar:32.cyan/dim} {bytes:>10} of {total_bytes} {binary_bytes_per_sec:>12} {eta} left",
        )
    }

    /// A bar over `steps`, such as days.
    #[must_use]
    pub fn steps(&self, what: &'static str, steps: u64) -> ProgressBar {
        self.bar(
            steps,
            what,
            "{msg:10} {bar:32.cyan/dim} {human_pos:>10} of {human_len} {per_sec:>12} {eta} left",
        )
    }

    /// A bar over `tasks`, which others do.
    #[must_use]
    pub fn tasks(&self, what: &'static str, tasks: u64) -> ProgressBar {
        self.bar(tasks, what, "{msg:10} {bar:32.cyan/dim} {human_pos:>10} of {human_len} tasks, {eta} left")
    }

    fn bar(&self, length: u64, what: &'static str, template: &str) -> ProgressBar {
        if !self.is_shown {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr_with_hz(10));
        bar.set_style(
            ProgressStyle::with_template(template).expect("the template is right").progress_chars("━╸─"),
        );
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}
