//! The contract with clients: what the API's document promised at the last release is promised still, or the break is
//! recorded in `docs/api-changes.md`.
//!
//! Two OpenAPI documents come in, and each difference at which a client of the first may fail goes out as one line of
//! text. What is only added is no such difference. A test of the API keeps the document in step with the code.

mod operations;
mod schemas;

use super::Finding;
use crate::{
    Failure,
    repository::{program, read, stdout},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

const CURRENT: &str = "docs/openapi.json";
/// The document of the last release until there is one with a tag.
const BASELINE: &str = "docs/openapi-baseline.json";
const RECORD: &str = "docs/api-changes.md";

/// Compares the repository's document with the one of the last release.
pub(super) fn of_repository() -> Result<Vec<Finding>, Failure> {
    let base = match last_release()? {
        Some(tag) => stdout(&mut program("git", &["show", &format!("{tag}:{CURRENT}")]))?,
        None => read(Path::new(BASELINE))?,
    };
    let current = read(Path::new(CURRENT))?;
    let document = |text: &str| {
        serde_json::from_str::<Value>(text).map_err(|error| format!("{CURRENT} is no JSON: {error}"))
    };
    Ok(check(&document(&base)?, &document(&current)?, &read(Path::new(RECORD))?))
}

/// The newest tag of a release that has the document.
fn last_release() -> Result<Option<String>, Failure> {
    let newest_first = ["tag", "--list", "v*", "--merged", "HEAD", "--sort=-version:refname"];
    let tags = stdout(&mut program("git", &newest_first))?;
    for tag in tags.lines() {
        if !stdout(&mut program("git", &["ls-tree", "--name-only", tag, CURRENT]))?.is_empty() {
            return Ok(Some(tag.to_owned()));
        }
    }
    Ok(None)
}

/// Each break that no line of `record` names.
fn check(base: &Value, current: &Value, record: &str) -> Vec<Finding> {
    let recorded: BTreeSet<_> = record.lines().filter_map(recorded_break).collect();
    let breaks = breaks(base, current).into_iter().filter(|what| !recorded.contains(what.as_str()));
    let tell = |what: String| {
        let text = format!(
            "{what}: this breaks clients. Undo it, or when it is meant add to {RECORD} the line\n- `{what}`: WHY"
        );
        Finding::new(Path::new(CURRENT), text)
    };
    breaks.map(tell).collect()
}

/// The break that a line of the record names: ``- `GET /stats/: removed`: why``.
fn recorded_break(line: &str) -> Option<&str> {
    line.strip_prefix("- `")?.split_once('`').map(|(what, _)| what)
}

/// Everything at which a client of `base` may fail with a server of `current`.
fn breaks(base: &Value, current: &Value) -> BTreeSet<String> {
    let mut comparison = Comparison { base, current, breaks: BTreeSet::new(), seen: BTreeSet::new() };
    comparison.operations();
    comparison.breaks
}

/// Which way what a schema tells of goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// From clients to the server: it must take what it took.
    Asked,
    /// From the server to clients: it must send no more kinds of things than it did.
    Sent,
}

/// Two documents, and what was found so far.
struct Comparison<'a> {
    base: &'a Value,
    current: &'a Value,
    breaks: BTreeSet<String>,
    /// Pairs of named schemas that were compared: each is once, however many operations use it.
    seen: BTreeSet<(Way, &'a str, &'a str)>,
}

impl Comparison<'_> {
    fn broke(&mut self, place: &str, what: impl AsRef<str>) {
        self.breaks.insert(format!("{place}: {}", what.as_ref()));
    }
}

/// The members of an object; none of anything else.
fn members(value: &Value) -> BTreeMap<&str, &Value> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A document of one operation that takes and sends a little of everything.
    fn document() -> Value {
        json!({
            "paths": {
                "/things/{id}": {
                    "get": {
                        "operationId": "get_things",
                        "security": [{}, {"bearer": []}],
                        "parameters": [
                            {"in": "path", "name": "id", "required": true, "schema": {"type": "string"}},
                            {"in": "query", "name": "limit", "schema": {"type": "integer", "minimum": 1, "maximum": 9}},
                            {"in": "query", "name": "order", "schema": {"type": "string", "enum": ["up", "down"]}},
                        ],
                        "responses": {
                            "200": {
                                "headers": {"ETag": {"schema": {"type": "string"}}},
                                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}},
                            },
                            "404": {"content": {"application/problem+json": {"examples": {"unknown": {}, "gone": {}}}}},
                        },
                    },
                    "post": {
                        "operationId": "post_things",
                        "requestBody": {
                            "required": true,
                            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Question"}}},
                        },
                        "responses": {"200": {}},
                    },
                },
                "/others": {"get": {"operationId": "get_others", "responses": {"200": {}}}},
            },
            "components": {"schemas": {
                "Thing": {
                    "type": "object",
                    "required": ["name", "parts"],
                    "properties": {
                        "name": {"type": "string"},
                        "size": {"type": ["integer", "null"]},
                        "made_on": {"type": "string", "format": "date"},
                        "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Thing"}},
                        "kind": {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/Code"}]},
                    },
                },
                "Code": {"type": "string", "enum": ["unknown", "gone"]},
                "Question": {
                    "type": "object",
                    "required": ["text"],
                    "properties": {"text": {"type": "string"}, "limit": {"type": "integer"}},
                },
            }},
        })
    }

    /// What is found when the value at `pointer` becomes another; `null` removes it.
    fn found(pointer: &str, becomes: &Value) -> Vec<String> {
        let base = document();
        let mut current = document();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let name = name.replace("~1", "/");
        match current.pointer_mut(parent).unwrap() {
            Value::Object(members) if becomes.is_null() => drop(members.remove(&name).unwrap()),
            Value::Object(members) => drop(members.insert(name, becomes.clone())),
            Value::Array(items) if becomes.is_null() => drop(items.remove(name.parse().unwrap())),
            Value::Array(items) => items.insert(name.parse().unwrap(), becomes.clone()),
            other => panic!("{other}"),
        }
        breaks(&base, &current).into_iter().collect()
    }

    fn check_break(pointer: &str, becomes: Value, expected: &str) {
        assert_eq!(found(pointer, &becomes), [expected], "{pointer}");
    }

    #[test]
    fn what_is_removed_breaks() {
        let get = "/paths/~1things~1{id}/get";
        check_break("/paths/~1others", json!(null), "GET /others: removed");
        check_break("/paths/~1things~1{id}/post", json!(null), "POST /things/{id}: removed");
        check_break(
            &format!("{get}/parameters/1"),
            json!(null),
            "GET /things/{id}: query parameter limit removed",
        );
        check_break(&format!("{get}/responses/404"), json!(null), "GET /things/{id}: status 404 removed");
        check_break(
            &format!("{get}/responses/200/headers/ETag"),
            json!(null),
            "GET /things/{id} 200: header ETag removed",
        );
        check_break(
            &format!("{get}/responses/200/content/application~1json"),
            json!(null),
            "GET /things/{id} 200: application/json removed",
        );
        check_break(
            &format!("{get}/responses/404/content/application~1problem+json/examples/gone"),
            json!(null),
            "GET /things/{id} 404: code gone removed",
        );
        check_break("/components/schemas/Code/enum/1", json!(null), "sent Code: value gone removed");
        check_break("/components/schemas/Thing/properties/size", json!(null), "sent Thing.size: removed");
        check_break(
            &format!("{get}/parameters/2/schema/enum/0"),
            json!(null),
            "GET /things/{id} order: value up removed",
        );
        check_break(
            "/components/schemas/Question/properties/limit",
            json!(null),
            "asked Question.limit: removed",
        );
        check_break(
            "/paths/~1things~1{id}/post/requestBody",
            json!(null),
            "POST /things/{id}: the body removed",
        );
    }

    #[test]
    fn what_is_sent_otherwise_breaks() {
        let thing = "/components/schemas/Thing";
        check_break(
            &format!("{thing}/properties/name/type"),
            json!("integer"),
            "sent Thing.name: is integer, was string",
        );
        check_break(
            &format!("{thing}/properties/name/type"),
            json!(["string", "null"]),
            "sent Thing.name: is null or string, was string",
        );
        check_break(
            &format!("{thing}/properties/made_on/format"),
            json!(null),
            "sent Thing.made_on: format is none, was date",
        );
        check_break(&format!("{thing}/required/0"), json!(null), "sent Thing.name: may be absent");
        check_break(
            &format!("{thing}/properties/parts/items"),
            json!({"type": "string"}),
            "sent Thing.parts[]: is string, was object",
        );
        check_break(
            &format!("{thing}/properties/kind/oneOf/0"),
            json!({"$ref": "#/components/schemas/Question"}),
            "sent Thing.kind: may be Question",
        );
    }

    #[test]
    fn what_is_asked_for_more_strictly_breaks() {
        let get = "/paths/~1things~1{id}/get";
        let added = json!({"in": "query", "name": "day", "required": true, "schema": {}});
        check_break(
            &format!("{get}/parameters/3"),
            added,
            "GET /things/{id}: query parameter day must be sent",
        );
        check_break(
            &format!("{get}/parameters/1/required"),
            json!(true),
            "GET /things/{id}: query parameter limit must be sent",
        );
        check_break(
            &format!("{get}/parameters/1/schema/maximum"),
            json!(8),
            "GET /things/{id} limit: maximum is 8, was 9",
        );
        check_break(
            &format!("{get}/parameters/1/schema/minimum"),
            json!(2),
            "GET /things/{id} limit: minimum is 2, was 1",
        );
        check_break(
            &format!("{get}/parameters/0/schema/maxLength"),
            json!(99),
            "GET /things/{id} id: maxLength is 99, was none",
        );
        check_break(
            &format!("{get}/parameters/0/schema/format"),
            json!("date"),
            "GET /things/{id} id: format is date, was none",
        );
        check_break(&format!("{get}/security"), json!([{"bearer": []}]), "GET /things/{id}: a key is needed");
        check_break(
            &format!("{get}/operationId"),
            json!("things"),
            "GET /things/{id}: get_things is called things",
        );
        check_break(
            "/components/schemas/Question/required/1",
            json!("limit"),
            "asked Question.limit: must be sent",
        );
        check_break(
            "/components/schemas/Question/properties/text/type",
            json!("integer"),
            "asked Question.text: is integer, was string",
        );
        check_break(
            "/components/schemas/Question/additionalProperties",
            json!(false),
            "asked Question: takes no other members",
        );
        let body = json!({"required": true, "content": {}});
        check_break("/paths/~1others/get/requestBody", body, "GET /others: a body must be sent");
    }

    #[test]
    fn what_is_added_or_loosened_breaks_nothing() {
        let get = "/paths/~1things~1{id}/get";
        for (pointer, becomes) in [
            ("/paths/~1more".to_owned(), json!({"get": {"responses": {}}})),
            ("/paths/~1others/head".to_owned(), json!({"responses": {}})),
            (format!("{get}/parameters/3"), json!({"in": "query", "name": "day", "schema": {}})),
            (format!("{get}/parameters/1/schema/maximum"), json!(10)),
            (format!("{get}/parameters/1/schema/maximum"), json!(null)),
            (format!("{get}/parameters/2/schema/enum/2"), json!("sideways")),
            (format!("{get}/responses/429"), json!({})),
            (format!("{get}/responses/404/content/application~1problem+json/examples/held"), json!({})),
            (format!("{get}/description"), json!("told better")),
            ("/components/schemas/Code/enum/2".to_owned(), json!("held")),
            ("/components/schemas/Thing/properties/colour".to_owned(), json!({"type": "string"})),
            ("/components/schemas/Thing/properties/size/type".to_owned(), json!("integer")),
            ("/components/schemas/Thing/required/2".to_owned(), json!("size")),
            ("/components/schemas/Thing/properties/kind/oneOf/0".to_owned(), json!(null)),
            ("/components/schemas/Question/properties/limit/type".to_owned(), json!(["integer", "null"])),
            ("/components/schemas/Question/properties/day".to_owned(), json!({"type": "string"})),
            ("/components/schemas/Question/required/0".to_owned(), json!(null)),
        ] {
            assert_eq!(found(&pointer, &becomes), [""; 0], "{pointer}");
        }
    }

    #[test]
    fn a_break_is_told_with_the_line_that_records_it() {
        let (base, mut current) = (document(), document());
        current["paths"].as_object_mut().unwrap().remove("/others");
        let findings = check(&base, &current, "# Changes\n\n- `GET /more: removed`: nobody asked\n");
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(
            finding.to_string(),
            "docs/openapi.json: GET /others: removed: this breaks clients. Undo it, or when it is meant add to \
             docs/api-changes.md the line\n- `GET /others: removed`: WHY"
        );
        let line = finding.text.lines().last().unwrap().replace("WHY", "it never answered");
        assert_eq!(check(&base, &current, &line), []);
    }

    #[test]
    fn head_is_compared_with_get() {
        let with_head = |mut document: Value| {
            let get = document["paths"]["/things/{id}"]["get"].clone();
            document["paths"]["/things/{id}"]["head"] = get;
            document
        };
        let base = with_head(document());
        assert_eq!(breaks(&base, &document()), ["HEAD /things/{id}: removed".to_owned()].into());
        let mut fewer = document();
        fewer["paths"]["/things/{id}"]["get"]["parameters"].as_array_mut().unwrap().remove(1);
        let expected = "GET /things/{id}: query parameter limit removed".to_owned();
        assert_eq!(breaks(&base, &with_head(fewer)), [expected].into());
    }

    #[test]
    fn the_repositorys_breaks_are_recorded() {
        assert_eq!(of_repository().unwrap(), []);
    }
}
