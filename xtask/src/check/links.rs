//! Links between the repository's own pages that lead nowhere.

use super::Finding;
use std::path::{Component, Path, PathBuf};

/// `exists` says whether a path relative to the root is there.
pub(super) fn check(page: &Path, text: &str, exists: &dyn Fn(&Path) -> bool) -> Vec<Finding> {
    let folder = page.parent().unwrap_or(Path::new(""));
    let mut findings = Vec::new();
    for (line, target) in links(text) {
        let file = target.split(['#', '?']).next().unwrap_or_default();
        let is_elsewhere = target.contains("://") || target.starts_with("mailto:");
        if file.is_empty() || is_elsewhere {
            continue;
        }
        if !resolve(folder, file).is_some_and(|path| exists(&path)) {
            let text = format!("line {line} links to {target}, which is not there: mend or remove the link");
            findings.push(Finding::new(page, text));
        }
    }
    findings
}

/// Targets of `[text](target)`, `[name]: target` and the attributes `href` and `src`, with their lines.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    let mut is_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            let prose = without_code(line);
            let targets = [("](", ')'), ("href=\"", '"'), ("src=\"", '"')]
                .into_iter()
                .flat_map(|(start, end)| between(&prose, start, end))
                .chain(definition(&prose));
            links.extend(targets.map(|target| (index + 1, target)));
        }
    }
    links
}

/// The line without what stands between backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

fn between(line: &str, start: &str, end: char) -> Vec<String> {
    let rests = line.split(start).skip(1);
    let targets = rests.filter_map(|rest| rest.split_once(end).map(|(target, _)| target));
    // A title may follow: [text](target "title").
    targets.filter_map(|target| target.split_whitespace().next()).map(str::to_owned).collect()
}

fn definition(line: &str) -> Option<String> {
    let (name, target) = line.strip_prefix('[')?.split_once("]: ")?;
    (!name.contains(']')).then(|| target.split_whitespace().next().unwrap_or_default().to_owned())
}

/// The path relative to the root; none when it leads out of the repository.
fn resolve(folder: &Path, target: &str) -> Option<PathBuf> {
    let mut path = folder.to_owned();
    for component in Path::new(target).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !path.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found on `docs/page.md` when only `docs/other.md` and `README.md` are there.
    fn found(text: &str) -> Vec<String> {
        let exists =
            |path: &Path| ["docs/other.md", "README.md", "docs"].iter().any(|there| path == Path::new(there));
        check(Path::new("docs/page.md"), text, &exists).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_link_to_a_page_that_is_not_there_is_found() {
        assert_eq!(
            found("# Title\n\nSee [this](gone.md#part), [that](other.md)."),
            ["docs/page.md: line 3 links to gone.md#part, which is not there: mend or remove the link"]
        );
        for text in [
            "![picture](a.svg \"title\")",
            "[name]: ../gone.md",
            "<img src=\"a.png\">",
            "[up](../../x)",
            "[a](/docs)",
        ] {
            assert_eq!(found(text).len(), 1, "{text}");
        }
    }

    #[test]
    fn links_that_lead_somewhere_or_elsewhere_are_fine() {
        for text in [
            "[a](other.md) [b](../README.md#title) [c](.)",
            "[a](https://example.org/x) [b](mailto:a@example.org) [c](#here)",
            "`[a](gone.md)` and\n```\n[b](gone.md)\n```\n",
            "[name]: other.md",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }
}
