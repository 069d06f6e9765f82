//! Why a command could not do its work, as a person and a calling program see it.

mod explain;

use domain::Day;
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};
use std::{collections::BTreeSet, error::Error, fmt, io::IsTerminal, process::ExitCode};

/// What the exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 1: something failed.
    Failed,
    /// 2: wrong usage or configuration.
    Usage,
    /// 3: the input is refused: a bad file, or too many bad lines.
    Refused,
    /// 4: checks held the publication back.
    Held,
}

impl Exit {
    /// The code for the calling program.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Held => 4,
        }
    }
}

/// A command's failure: what was tried, why it failed (the chain of sources), what to do next.
#[derive(Debug)]
pub struct Failure {
    /// What the exit code says.
    pub exit: Exit,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
    help: Option<String>,
    /// The days that fail by it, when it is not all that were asked for.
    days: Option<BTreeSet<Day>>,
    /// What the run had learned until then, for the ledger.
    report: Option<Box<serde_json::Value>>,
    is_transient: bool,
}

impl Failure {
    /// A failure that `message` says, in lower case and without a full stop.
    #[must_use]
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            source: None,
            help: None,
            days: None,
            report: None,
            is_transient: false,
        }
    }

    /// A failure (exit code 1) that an error explains by itself.
    #[must_use]
    pub fn of(error: impl Error + Send + Sync + 'static) -> Self {
        Self::explained(Exit::Failed, error)
    }

    /// A failure that an error explains by itself, with its chain of sources.
    #[must_use]
    pub fn explained(exit: Exit, error: impl Error + Send + Sync + 'static) -> Self {
        let message = error.to_string();
        let source = Links::behind(&message, &error).map(|links| Box::new(links) as _);
        Self { source, ..Self::new(exit, message) }
    }

    /// The same failure, saying what to do next.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same failure, saying what to do next if nothing is said yet.
    #[must_use]
    pub fn or_help(self, help: impl Into<String>) -> Self {
        if self.help.is_some() { self } else { self.help(help) }
    }

    /// The same failure, which may pass by itself or not.
    #[must_use]
    pub fn transient_if(mut self, is_transient: bool) -> Self {
        self.is_transient = is_transient;
        self
    }

    /// Whether the same command may succeed later without anybody doing anything: what refused was busy, out of
    /// reach, or changed meanwhile.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.is_transient
    }

    /// The same failure with this as its only cause.
    fn because(mut self, cause: String) -> Self {
        self.source = Some(Box::new(Links { message: cause, source: None }));
        self
    }

    /// The failure as the source of `message`.
    #[must_use]
    pub fn within(self, message: impl Into<String>) -> Self {
        let (exit, help) = (self.exit, self.help.clone());
        Self {
            exit,
            message: message.into(),
            source: Some(Box::new(Links::of(&self))),
            help,
            days: self.days,
            report: self.report,
            is_transient: self.is_transient,
        }
    }

    /// The same failure, of these days only.
    #[must_use]
    pub fn of_days(mut self, days: impl IntoIterator<Item = Day>) -> Self {
        self.days = Some(days.into_iter().collect());
        self
    }

    /// The same failure, with what the run had learned until then.
    #[must_use]
    pub fn with_report(mut self, report: serde_json::Value) -> Self {
        self.report = Some(Box::new(report));
        self
    }

    /// What the run had learned until then, for the ledger.
    #[must_use]
    pub fn reported(&self) -> Option<&serde_json::Value> {
        self.report.as_deref()
    }

    /// The days that fail by it; none when it is all that were asked for.
    #[must_use]
    pub fn days(&self) -> Option<&BTreeSet<Day>> {
        self.days.as_ref()
    }

    /// The same failure once more, for another day.
    #[must_use]
    pub fn again(&self) -> Self {
        let Links { message, source } = Links::of(self);
        let source = source.map(|links| links as _);
        let (help, days, report) = (self.help.clone(), self.days.clone(), self.report.clone());
        Self { exit: self.exit, message, source, help, days, report, is_transient: self.is_transient }
    }

    /// What to do next, if it is said.
    #[must_use]
    pub fn help_text(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The message and its chain of sources in one line, for logs and the ledger.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut chain = self.message.clone();
        let mut source = self.source();
        while let Some(error) = source {
            let text = error.to_string();
            if !chain.ends_with(&text) {
                chain = format!("{chain}: {text}");
            }
            source = error.source();
        }
        chain
    }

    /// Prints the whole chain once to stderr, with what to do next, and gives the exit code.
    #[must_use]
    pub fn report(&self) -> ExitCode {
        let is_terminal = std::io::stderr().is_terminal();
        let theme = if is_terminal { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let width = if is_terminal { 110 } else { usize::MAX };
        let mut text = String::new();
        let handler = GraphicalReportHandler::new_themed(theme).with_width(width);
        if handler.render_report(&mut text, self).is_ok() {
            eprintln!("{}", text.trim_end());
        } else {
            eprintln!("error: {}", self.chain());
        }
        ExitCode::from(self.exit.code())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// One failure where there may be several.
impl From<Failure> for Vec<Failure> {
    fn from(failure: Failure) -> Self {
        vec![failure]
    }
}

impl Diagnostic for Failure {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as _)
    }
}

/// A chain of sources as text: errors are kept after what they came from is gone.
#[derive(Debug)]
struct Links {
    message: String,
    source: Option<Box<Links>>,
}

impl Links {
    fn of(error: &dyn Error) -> Self {
        let message = error.to_string();
        let source = Self::behind(&message, error).map(Box::new);
        Self { message, source }
    }

    /// The sources of the error, without those whose words `message` ends with.
    fn behind(message: &str, error: &dyn Error) -> Option<Self> {
        let mut source = error.source();
        while let Some(repeated) = source.filter(|source| message.ends_with(&source.to_string())) {
            source = repeated.source();
        }
        source.map(Self::of)
    }
}

impl fmt::Display for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Links {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
