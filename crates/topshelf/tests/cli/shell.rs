//! What shells and `man` are told of the command line: made anew from it, and tried with the shell itself.

use crate::scene::Scene;
use std::{fs, process::Command};

#[test]
fn bash_completes_commands_and_their_flags() {
    let scene = Scene::new();
    let script = scene.call(&["completions", "bash"]);
    assert_eq!((script.exit, script.stderr.as_str()), (0, ""));
    scene.write("topshelf.bash", &script.stdout);
    let complete = |line: &[&str]| {
        let words = line.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
        let (last, before) = (line[line.len() - 1], line[line.len() - 2]);
        let call = format!(
            ". ./topshelf.bash; COMP_WORDS=({words}); COMP_CWORD={}; _topshelf topshelf '{last}' '{before}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            line.len() - 1
        );
        let output = Command::new("bash").args(["--norc", "-c", &call]).current_dir(scene.folder()).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    assert_eq!(complete(&["topshelf", "roll"]), "rollback\n");
    assert!(complete(&["topshelf", "run", "--d"]).lines().any(|word| word == "--day"));
    assert!(complete(&["topshelf", "keys", ""]).lines().any(|word| word == "revoke"));
}

#[test]
fn other_shells_have_a_script_of_their_own() {
    let scene = Scene::new();
    for (shell, mark) in
        [("zsh", "#compdef topshelf"), ("fish", "complete -c topshelf"), ("elvish", "topshelf")]
    {
        let script = scene.call(&["completions", shell]);
        assert_eq!((script.exit, script.stderr.as_str()), (0, ""));
        assert!(script.stdout.contains(mark) && script.stdout.contains("backfill"), "{shell}");
    }
    assert_eq!(scene.call(&["completions", "csh"]).exit, 2);
}

#[test]
fn each_command_has_a_manual_page() {
    let scene = Scene::new();
    let whole = scene.call(&["man"]).stdout;
    assert!(whole.contains(".TH topshelf 1") && whole.contains("topshelf\\-run(1)"), "{whole}");
    let ended = scene.call(&["man", "--out", "pages/man1"]);
    assert_eq!((ended.exit, ended.stdout.as_str(), ended.stderr.as_str()), (0, "", ""));
    let page = |name: &str| fs::read_to_string(scene.path(&format!("pages/man1/{name}.1"))).unwrap();
    assert_eq!(page("topshelf").trim(), whole.trim());
    assert!(page("topshelf-run").contains("\\-\\-day"));
    assert!(page("topshelf-keys-revoke").contains("Take a key out of force"));
    // A folder cannot be made where a file is.
    scene.write("file", "");
    let ended = scene.call(&["man", "--out", "file"]);
    assert_eq!(ended.exit, 1);
    assert!(ended.stderr.contains("could not write manual pages into file"), "{}", ended.stderr);
}
