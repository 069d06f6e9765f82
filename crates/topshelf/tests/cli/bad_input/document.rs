//! `docs/bad-input.md` from what the program did with each case.

use super::{Case, Section};
use crate::scene::{Ended, Scene};
use serde_json::Value;

const INTRODUCTION: &str = "\
# Bad input: what you see, and the exit code

What topshelf says of every kind of bad input that we tried. The tests run each row against the real
program and fail when this page says anything else (`crates/topshelf/tests/cli/bad_input.rs`); after a change of a message,
`UPDATE_DOCS=1 cargo xtask test --no-check -- -p topshelf -E 'test(the_page_tells)'` writes the page anew.

Unless a row says otherwise, the command is `topshelf run --day 2024-11-20 --input logs` on good logs
(`advertiser_ids.csv`, `ads_views.csv` and `product_views.csv`, the latter two of 100 rows) in which only the one thing is
wrong. `$PWD` stands for the folder it was run in, `PORT` for a port. Messages go to stderr, each preceded by nothing but what
the row shows; in *italics* is what became of the lines of a run that succeeded, as its `--json` and the ledger have it.

Exit codes: 0 done · 1 failed · 2 usage or configuration · 3 input refused. Whatever the code, when it is not 0
nothing was published, and readers keep what they had; the tests check that too.
";

/// The whole page.
pub(crate) fn page(sections: &[(Section, Vec<String>)]) -> String {
    let mut page = INTRODUCTION.to_owned();
    for (section, rows) in sections {
        page += &format!("\n## {}\n\n{}\n\n", section.title, section.says);
        page += "| input | what topshelf says | exit |\n|---|---|---|\n";
        page += &rows.concat();
    }
    page
}

/// The case's row.
pub(crate) fn row(case: &Case, scene: &Scene, ended: &Ended) -> String {
    let mut says: Vec<_> = shortened(scene, &ended.stderr).lines().filter_map(code).collect();
    if ended.exit == 0 && scene.is("run") {
        says.insert(0, format!("*{}*", fate(&ended.json())));
    }
    format!("| {} | {} | {} |\n", case.what, says.join("<br>"), ended.exit)
}

/// A line of a message as a code span in a table's cell.
fn code(line: &str) -> Option<String> {
    let line = line.trim_end();
    let fence = if line.contains('`') { "``" } else { "`" };
    let pad = if line.contains('`') { " " } else { "" };
    let text = line.trim_start().replace('|', "\\|");
    (!text.is_empty()).then(|| format!("{fence}{pad}{text}{pad}{fence}"))
}

/// What differs from one run to the next, replaced.
fn shortened(scene: &Scene, text: &str) -> String {
    let real = scene.folder().canonicalize().unwrap();
    let mut text = text.replace(&*real.to_string_lossy(), "$PWD");
    text = text.replace(&*scene.folder().to_string_lossy(), "$PWD");
    for (from, to) in scene.replacements() {
        text = text.replace(from, to);
    }
    text
}

/// What became of the lines of a run that succeeded, log by log.
fn fate(json: &Value) -> String {
    let report = &json["runs"][0]["report"];
    let mut fates = Vec::new();
    for (log, input) in report["logs"].as_object().unwrap() {
        let tally = &input["tally"];
        let mut fate = format!("{log}: {} read", tally["read"]);
        let of = |name: &str| tally[name].as_u64().unwrap();
        for (name, word) in
            [("kept", "kept"), ("inactive", "inactive"), ("other_days", "of other days"), ("blank", "blank")]
        {
            if of(name) > 0 {
                fate += &format!(", {} {word}", of(name));
            }
        }
        for (reason, lines) in tally["rejected"].as_object().unwrap() {
            fate += &format!(", {lines} {reason}");
        }
        fates.push(fate);
    }
    format!("{} · {}", json["runs"][0]["outcome"].as_str().unwrap(), fates.join(" · "))
}
