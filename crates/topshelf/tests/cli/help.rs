//! Every command tells what it does, with an example; what is no command ends with 2.

use crate::scene::{Ended, Scene};

const COMMANDS: [&str; 28] = [
    "demo",
    "run",
    "backfill",
    "input",
    "count",
    "rank",
    "publish",
    "serve",
    "schedule",
    "up",
    "show",
    "runs",
    "moves",
    "diff",
    "rollback",
    "pin",
    "unpin",
    "trim",
    "keys",
    "generate",
    "doctor",
    "migrate",
    "grant",
    "config",
    "health",
    "openapi",
    "completions",
    "man",
];

/// Commands of a command.
const BELOW: [&str; 3] = ["keys create", "keys list", "keys revoke"];

/// What a command says of itself.
fn help(scene: &Scene, command: &str) -> Ended {
    scene.call(&command.split(' ').chain(["--help"]).collect::<Vec<_>>())
}

#[test]
fn every_command_has_help_with_an_example_of_itself() {
    let scene = Scene::new();
    for command in COMMANDS.into_iter().chain(BELOW) {
        let ended = help(&scene, command);
        assert_eq!((ended.exit, ended.stderr.as_str()), (0, ""), "{command}");
        let (_, examples) =
            ended.stdout.split_once("Example").unwrap_or_else(|| panic!("{command} has no example"));
        assert!(examples.contains(&format!("topshelf {command}")), "{command}: {examples}");
        for flag in
            ["--config <FILE>", "--input <URL>", "--store <URL>", "--lake <URL>", "--listen <ADDR>", "--json"]
        {
            assert!(ended.stdout.contains(flag), "{command} --help does not tell of {flag}");
        }
    }
}

#[test]
fn the_program_lists_its_commands_its_exit_codes_and_where_to_start() {
    let help = Scene::new().call(&["--help"]).stdout;
    for command in COMMANDS {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is not in {help}");
    }
    assert!(help.contains("0 done · 1 failed · 2 usage or configuration · 3 input refused"), "{help}");
    assert!(help.contains("Start here:  topshelf demo"), "{help}");
}

/// An example that cannot be copied would be worse than none.
#[test]
fn every_flag_of_the_examples_is_known() {
    let scene = Scene::new();
    for command in COMMANDS.into_iter().chain(BELOW) {
        let help = help(&scene, command).stdout;
        let (_, examples) = help.split_once("Example").unwrap();
        let calls = examples.lines().filter_map(|line| line.split_once("topshelf ")).map(|(_, call)| call);
        for call in calls {
            let call = call.split(" #").next().unwrap().split(" > ").next().unwrap();
            let flags = call.split_whitespace().filter(|word| word.starts_with("--"));
            for flag in flags {
                assert!(
                    help.contains(&format!("{flag} ")) || help.contains(&format!("{flag}\n")),
                    "{command}: {flag}"
                );
            }
        }
    }
}

#[test]
fn what_is_no_command_ends_with_2_and_nothing_on_stdout() {
    let scene = Scene::new();
    // Commands of later releases are not there yet, not even hidden.
    for args in [&[][..], &["diff"], &["rollback"], &["completions"], &["run", "today"], &["show"], &["keys"]]
    {
        let ended = scene.call(args);
        assert_eq!((ended.exit, ended.stdout.as_str()), (2, ""), "{args:?}");
        assert!(ended.stderr.contains("Usage: topshelf"), "{args:?}: {}", ended.stderr);
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    let ended = Scene::new().call(&["--version"]);
    assert_eq!(ended.stdout, format!("topshelf {}\n", env!("CARGO_PKG_VERSION")));
}
