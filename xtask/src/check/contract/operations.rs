//! Operations: what may be asked, and which answers there are.

use super::{Comparison, Way, members};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const PROBLEM: &str = "application/problem+json";

impl<'a> Comparison<'a> {
    pub(super) fn operations(&mut self) {
        let (base, current) = (operations(self.base), operations(self.current));
        for ((path, method), operation) in &base {
            let name = format!("{} {path}", method.to_uppercase());
            match current.get(&(*path, *method)) {
                None => self.broke(&name, "removed"),
                // What is true of GET is true of it.
                Some(_) if *method == "head" && base.contains_key(&(*path, "get")) => {}
                Some(now) => self.operation(&name, operation, now),
            }
        }
    }

    fn operation(&mut self, name: &str, base: &'a Value, current: &'a Value) {
        let [was, is] =
            [base, current].map(|operation| operation["operationId"].as_str().unwrap_or_default());
        if was != is {
            self.broke(name, format!("{was} is called {is}"));
        }
        if needs_no_key(base) && !needs_no_key(current) {
            self.broke(name, "a key is needed");
        }
        self.parameters(name, base, current);
        self.body(name, &base["requestBody"], &current["requestBody"]);
        let now = members(&current["responses"]);
        for (status, response) in members(&base["responses"]) {
            match now.get(status) {
                None => self.broke(name, format!("status {status} removed")),
                Some(now) => self.response(&format!("{name} {status}"), response, now),
            }
        }
    }

    fn parameters(&mut self, name: &str, base: &'a Value, current: &'a Value) {
        let (base, current) = (parameters(base), parameters(current));
        for ((place, parameter), was) in &base {
            match current.get(&(*place, *parameter)) {
                None => self.broke(name, format!("{place} parameter {parameter} removed")),
                Some(is) => {
                    self.schemas(Way::Asked, &format!("{name} {parameter}"), &was["schema"], &is["schema"])
                }
            }
        }
        for (key, parameter) in &current {
            if is_required(parameter) && !base.get(key).is_some_and(|was| is_required(was)) {
                self.broke(name, format!("{} parameter {} must be sent", key.0, key.1));
            }
        }
    }

    fn body(&mut self, name: &str, base: &'a Value, current: &'a Value) {
        if current.is_null() && !base.is_null() {
            return self.broke(name, "the body removed");
        }
        if is_required(current) && !is_required(base) {
            self.broke(name, "a body must be sent");
        }
        self.contents(Way::Asked, name, base, current);
    }

    fn response(&mut self, name: &str, base: &'a Value, current: &'a Value) {
        self.removed(name, "header ", &base["headers"], &current["headers"]);
        self.contents(Way::Sent, name, base, current);
        let [was, is] = [base, current].map(|response| &response["content"][PROBLEM]["examples"]);
        if !current["content"][PROBLEM].is_null() {
            self.removed(name, "code ", was, is);
        }
    }

    fn contents(&mut self, way: Way, name: &str, base: &'a Value, current: &'a Value) {
        self.removed(name, "", &base["content"], &current["content"]);
        for (media_type, was) in members(&base["content"]) {
            if let Some(is) = current["content"].get(media_type) {
                self.schemas(way, name, &was["schema"], &is["schema"]);
            }
        }
    }

    /// What is a member of one and of the other no more.
    fn removed(&mut self, name: &str, kind: &str, base: &Value, current: &Value) {
        let now: BTreeSet<_> = members(current).into_keys().collect();
        for member in members(base).into_keys().filter(|member| !now.contains(member)) {
            self.broke(name, format!("{kind}{member} removed"));
        }
    }
}

/// Each operation by path and method.
fn operations(document: &Value) -> BTreeMap<(&str, &str), &Value> {
    let paths = members(&document["paths"]).into_iter();
    let operations = paths.flat_map(|(path, item)| {
        members(item).into_iter().map(move |(method, operation)| ((path, method), operation))
    });
    operations.filter(|(_, operation)| operation.get("responses").is_some()).collect()
}

/// Each parameter by place and name.
fn parameters(operation: &Value) -> BTreeMap<(&str, &str), &Value> {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    parameters
        .map(|parameter| {
            let [place, name] = ["in", "name"].map(|key| parameter[key].as_str().unwrap_or_default());
            ((place, name), parameter)
        })
        .collect()
}

fn is_required(value: &Value) -> bool {
    value["required"] == true
}

/// Whether one way to be let in asks for nothing.
fn needs_no_key(operation: &Value) -> bool {
    let ways = operation["security"].as_array().map_or(&[][..], Vec::as_slice);
    ways.is_empty() || ways.iter().any(|way| members(way).is_empty())
}
