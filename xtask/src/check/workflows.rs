//! Workflows of GitHub Actions, where we know better than actionlint what is right: their commands of xtask are there, their
//! scripts take nothing from outside but by their environment, and the compiler is the image's.

use super::Finding;
use std::path::Path;

/// Where the image's compiler is named.
pub(super) const DOCKERFILE: &str = "deploy/docker/Dockerfile";

/// What a step runs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Script {
    /// The line of the workflow with its first command.
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// What is wrong with a workflow. `parses` says why the words of a command of xtask are none.
pub(super) fn check(
    file: &Path,
    workflow: &str,
    dockerfile: &str,
    parses: &dyn Fn(&[String]) -> Result<(), String>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for script in scripts(workflow) {
        for words in commands_of_xtask(&script.text) {
            if let Err(why) = parses(&words) {
                let text = format!("line {}: `{}` would not run: {why}", script.line, words.join(" "));
                findings.push(Finding::new(file, text));
            }
        }
        if script.text.contains("${{") {
            let text = format!(
                "line {}: an expression stands in the script, which runs what it holds: hand it over in `env`",
                script.line
            );
            findings.push(Finding::new(file, text));
        }
    }
    let compiler = dockerfile.lines().find_map(|line| line.strip_prefix("ARG RUST_VERSION="));
    for named in compilers(workflow) {
        if compiler.is_some_and(|compiler| compiler != named) {
            let text = format!("Rust {named} is not what {DOCKERFILE} has, {}", compiler.unwrap_or_default());
            findings.push(Finding::new(file, text));
        }
    }
    findings
}

/// The scripts of all steps, whether they stand on one line or on several that are indented.
pub(crate) fn scripts(workflow: &str) -> Vec<Script> {
    let mut scripts = Vec::new();
    let mut lines = workflow.lines().enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        let key = line.trim_start().trim_start_matches("- ").trim_start();
        let Some(value) = key.strip_prefix("run:").map(str::trim) else { continue };
        if !value.starts_with(['|', '>']) {
            scripts.push(Script { line: index + 1, text: format!("{value}\n") });
            continue;
        }
        let column = line.len() - key.len();
        let mut text = String::new();
        while let Some((_, line)) =
            lines.next_if(|(_, line)| line.trim().is_empty() || indentation(line) > column)
        {
            text += line.trim_start();
            text.push('\n');
        }
        scripts.push(Script { line: index + 2, text });
    }
    scripts
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The words of each `cargo xtask …` in a script, up to where the shell ends the command.
fn commands_of_xtask(script: &str) -> Vec<Vec<String>> {
    let script = script.replace("\\\n", " ");
    let lines = script.lines().filter(|line| !line.starts_with('#'));
    let commands = lines.flat_map(|line| line.split(['|', ';', '&', '(', ')', '>', '`']));
    let commands = commands.filter_map(|command| {
        let (before, command) = command.split_once("cargo xtask")?;
        let is_run = before.split_whitespace().all(|word| word.contains('=') || word == "exec");
        is_run.then(|| {
            let words = command.split_whitespace().map(|word| word.replace(['"', '\''], ""));
            std::iter::once("cargo xtask".to_owned()).chain(words).collect()
        })
    });
    commands.collect()
}

/// Versions of Rust that are named: of an image, or to rustup.
fn compilers(workflow: &str) -> Vec<&str> {
    let named = ["rust:", "toolchain install ", "rustup default "]
        .into_iter()
        .flat_map(|before| workflow.split(before).skip(1));
    let versions = named.map(|rest| rest.split(|it: char| !it.is_ascii_digit() && it != '.').next());
    versions.flatten().filter(|version| !version.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Arguments;
    use clap::Parser;

    fn texts(workflow: &str) -> Vec<String> {
        let parses = |words: &[String]| {
            let parsed = Arguments::try_parse_from(words);
            parsed.map(|_| ()).map_err(|error| error.kind().to_string())
        };
        let findings = check(Path::new("ci.yml"), workflow, "ARG RUST_VERSION=1.95.0\n", &parses);
        findings.into_iter().map(|finding| finding.text).collect()
    }

    #[test]
    fn scripts_of_one_line_and_of_several_are_found() {
        let workflow = "steps:\n  - run: cargo xtask check\n  - name: two\n    run: |\n      one\n        two\n\n  - uses: it\n";
        let found = scripts(workflow);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], Script { line: 2, text: "cargo xtask check\n".to_owned() });
        assert_eq!(found[1], Script { line: 5, text: "one\ntwo\n\n".to_owned() });
    }

    #[test]
    fn commands_that_are_there_are_well() {
        assert_eq!(texts("- run: cargo xtask check\n"), [""; 0]);
        assert_eq!(
            texts("- run: |\n    A=1 cargo xtask sbom \\\n      --target \"$TARGET\" > file\n"),
            [""; 0]
        );
        assert_eq!(
            texts("- run: |\n    # cargo xtask nothing\n    echo 'see cargo xtask nothing'\n"),
            [""; 0]
        );
    }

    #[test]
    fn a_command_or_a_flag_that_is_not_there_is_told() {
        let told = texts("- run: cargo xtask chekc\n");
        assert!(told[0].starts_with("line 1: `cargo xtask chekc` would not run: "), "{told:?}");
        let told = texts("- run: |\n    true\n    cargo xtask sbom --taget x && true\n");
        assert!(told[0].starts_with("line 2: `cargo xtask sbom --taget x` would not run: "), "{told:?}");
    }

    #[test]
    fn an_expression_in_a_script_is_told() {
        let told = texts("- run: echo ${{ github.ref }}\n  env:\n    REF: ${{ github.ref }}\n");
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("hand it over in `env`"));
    }

    #[test]
    fn another_compiler_than_the_images_is_told() {
        assert_eq!(texts("container: rust:1.95.0-bookworm\n"), [""; 0]);
        let told = texts("- run: rustup toolchain install 1.94.1 --profile minimal\n");
        assert_eq!(told, ["Rust 1.94.1 is not what deploy/docker/Dockerfile has, 1.95.0"]);
    }
}
