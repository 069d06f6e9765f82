//! A call of the doctor, and what it says of each step.

use crate::scene::{DAY, Ended, Scene};
use serde_json::Value;

/// What a doctor said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) exit: i32,
    pub(crate) json: Value,
}

/// Calls the doctor about the logs of the scene; more arguments replace what they name.
pub(crate) fn doctor(scene: &Scene, more: &[&str]) -> Said {
    let input: &[&str] = if more.contains(&"--input") { &[] } else { &["--input", "logs"] };
    said(scene.call(&[&["doctor", "--day", DAY, "--json"], input, more].concat()))
}

pub(crate) fn said(ended: Ended) -> Said {
    for secret in ["hunter2", "a secret of the tests"] {
        assert!(!ended.stdout.contains(secret) && !ended.stderr.contains(secret), "{ended:#?}");
    }
    Said { exit: ended.exit, json: ended.json() }
}

impl Said {
    /// The step of a section: `database connect`.
    pub(crate) fn step(&self, name: &str) -> &Value {
        let (section, step) = name.split_once(' ').unwrap();
        let sections = self.json["sections"].as_array().unwrap();
        let section = sections.iter().find(|of| of["section"] == section);
        let steps = section.unwrap_or_else(|| panic!("{name} in {self:#?}"))["steps"].as_array().unwrap();
        steps.iter().find(|of| of["step"] == step).unwrap_or_else(|| panic!("{name} in {self:#?}"))
    }

    /// `database connect` of every step that ended so.
    pub(crate) fn ended(&self, outcome: &str) -> Vec<String> {
        let sections = self.json["sections"].as_array().unwrap();
        let steps = sections.iter().flat_map(|section| {
            let steps = section["steps"].as_array().unwrap().iter();
            let ended = steps.filter(|step| step["outcome"] == outcome);
            ended.map(|step| {
                format!("{} {}", section["section"].as_str().unwrap(), step["step"].as_str().unwrap())
            })
        });
        steps.collect()
    }

    /// Nothing failed but this step, and its answer, cause or remedy hold each of the words.
    #[track_caller]
    pub(crate) fn fails_only(&self, step: &str, words: &[&str]) -> &Self {
        assert_eq!((self.exit, self.ended("failed")), (1, vec![step.to_owned()]), "{self:#?}");
        assert_eq!(self.json["ok"], false);
        let told = self.step(step);
        assert!(told["cause"].is_string() && told["remedy"].is_string(), "{told:#?}");
        self.holds(step, words)
    }

    /// Nothing failed, and this step warns with each of the words.
    #[track_caller]
    pub(crate) fn warns(&self, step: &str, words: &[&str]) -> &Self {
        assert_eq!((self.exit, self.ended("failed")), (0, vec![]), "{self:#?}");
        assert_eq!(self.step(step)["outcome"], "warning", "{self:#?}");
        self.holds(step, words)
    }

    #[track_caller]
    pub(crate) fn holds(&self, step: &str, words: &[&str]) -> &Self {
        let told = self.step(step).to_string();
        for word in words {
            assert!(told.contains(word), "{word:?} in {:#?}", self.step(step));
        }
        self
    }

    /// Everything is as it should be.
    #[track_caller]
    pub(crate) fn is_well(&self) -> &Self {
        assert_eq!(
            (self.exit, self.ended("failed"), self.ended("warning")),
            (0, vec![], vec![]),
            "{self:#?}"
        );
        assert_eq!(self.json["ok"], true);
        self
    }
}
