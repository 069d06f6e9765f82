//! Schemas: what is taken must stay taken, what is sent must stay what it was.

use super::{Comparison, Way, members};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const NAMED: &str = "#/components/schemas/";

impl<'a> Comparison<'a> {
    /// Compares what is sent or asked at `place`. Named schemas are compared once, at a place of their own.
    pub(super) fn schemas(&mut self, way: Way, place: &str, base: &'a Value, current: &'a Value) {
        let (was, is) = (name(base), name(current));
        let Some((was, is)) = was.zip(is) else {
            let (base, current) = (followed(self.base, base), followed(self.current, current));
            return self.alternatives(way, place, base, current);
        };
        if self.seen.insert((way, was, is)) {
            let (base, current) = (followed(self.base, base), followed(self.current, current));
            let own = format!("{} {was}", if way == Way::Sent { "sent" } else { "asked" });
            self.alternatives(way, if was == is { &own } else { place }, base, current);
        }
    }

    fn alternatives(&mut self, way: Way, place: &str, base: &'a Value, current: &'a Value) {
        let (was, is) = (alternatives(base), alternatives(current));
        if let ([base], [current]) = (&was[..], &is[..]) {
            return if name(base).is_some() || name(current).is_some() {
                self.schemas(way, place, base, current);
            } else {
                self.same_kind(way, place, base, current);
            };
        }
        for base in &was {
            match is.iter().find(|current| label(current) == label(base)) {
                Some(current) => self.schemas(way, place, base, current),
                None if way == Way::Asked => self.broke(place, format!("may not be {}", label(base))),
                None => {}
            }
        }
        for current in is.iter().filter(|current| !was.iter().any(|base| label(base) == label(current))) {
            if way == Way::Sent {
                self.broke(place, format!("may be {}", label(current)));
            }
        }
    }

    fn same_kind(&mut self, way: Way, place: &str, base: &'a Value, current: &'a Value) {
        let (was, is) = (types(base), types(current));
        let is_kept = match way {
            Way::Sent => covers(&was, &is),
            Way::Asked => covers(&is, &was),
        };
        if !is_kept {
            return self.broke(place, format!("is {}, was {}", or(&is), or(&was)));
        }
        self.format(way, place, base, current);
        self.values(way, place, base, current);
        if way == Way::Asked {
            self.bounds(place, base, current);
        }
        self.properties(way, place, base, current);
        for (key, suffix) in [("items", "[]"), ("additionalProperties", "{}")] {
            if base[key].is_object() && current[key].is_object() {
                self.schemas(way, &format!("{place}{suffix}"), &base[key], &current[key]);
            }
        }
    }

    fn format(&mut self, way: Way, place: &str, base: &Value, current: &Value) {
        for key in ["format", "pattern"] {
            let (was, is) = (&base[key], &current[key]);
            let is_looser = match way {
                Way::Sent => was.is_null(),
                Way::Asked => is.is_null(),
            };
            if was != is && !is_looser {
                self.broke(place, format!("{key} is {}, was {}", text(is), text(was)));
            }
        }
    }

    fn values(&mut self, way: Way, place: &str, base: &Value, current: &Value) {
        let (was, is) = (&base["enum"], &current["enum"]);
        if way == Way::Asked && was.is_null() && !is.is_null() {
            return self.broke(place, "takes only some values");
        }
        let now = is.as_array();
        let removed =
            was.as_array().into_iter().flatten().filter(|value| now.is_some_and(|now| !now.contains(value)));
        for value in removed {
            self.broke(place, format!("value {} removed", text(value)));
        }
    }

    fn bounds(&mut self, place: &str, base: &Value, current: &Value) {
        let mut compare = |key: &str, is_narrower: fn(f64, f64) -> bool| {
            let (was, is) = (&base[key], &current[key]);
            let narrower = match (was.as_f64(), is.as_f64()) {
                (_, None) => false,
                (None, Some(_)) => true,
                (Some(was), Some(is)) => is_narrower(is, was),
            };
            if narrower {
                self.broke(place, format!("{key} is {}, was {}", text(is), text(was)));
            }
        };
        for key in ["maximum", "maxLength", "maxItems"] {
            compare(key, |is, was| is < was);
        }
        for key in ["minimum", "minLength", "minItems"] {
            compare(key, |is, was| is > was);
        }
    }

    fn properties(&mut self, way: Way, place: &str, base: &'a Value, current: &'a Value) {
        let (was, is) = (Members::of(self.base, base), Members::of(self.current, current));
        for (name, schema) in &was.properties {
            let place = format!("{place}.{name}");
            match is.properties.get(name) {
                None => self.broke(&place, "removed"),
                Some(now) => self.schemas(way, &place, schema, now),
            }
            let is_absent = is.properties.contains_key(name) && !is.required.contains(name);
            if way == Way::Sent && was.required.contains(name) && is_absent {
                self.broke(&place, "may be absent");
            }
        }
        if way == Way::Asked {
            for name in is.required.difference(&was.required) {
                self.broke(&format!("{place}.{name}"), "must be sent");
            }
            if is.is_closed && !was.is_closed {
                self.broke(place, "takes no other members");
            }
        }
    }
}

/// The members of an object, those of all its parts together.
#[derive(Default)]
struct Members<'a> {
    properties: BTreeMap<&'a str, &'a Value>,
    required: BTreeSet<&'a str>,
    is_closed: bool,
}

impl<'a> Members<'a> {
    fn of(document: &'a Value, schema: &'a Value) -> Self {
        let mut all = Self::default();
        all.add(document, schema);
        all
    }

    fn add(&mut self, document: &'a Value, schema: &'a Value) {
        let schema = followed(document, schema);
        self.properties.extend(members(&schema["properties"]));
        self.required.extend(schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str));
        self.is_closed |= schema["additionalProperties"] == false;
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.add(document, part);
        }
    }
}

/// The name of the schema that is referred to.
fn name(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix(NAMED)
}

fn followed<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    name(schema).map_or(schema, |name| &document["components"]["schemas"][name])
}

/// What something may be: one of several, or itself.
fn alternatives(schema: &Value) -> Vec<&Value> {
    let several = ["oneOf", "anyOf"].iter().find_map(|key| schema[key].as_array());
    several.map_or_else(|| vec![schema], |several| several.iter().collect())
}

/// Tells alternatives from each other.
fn label(schema: &Value) -> String {
    name(schema).map_or_else(|| or(&types(schema)), str::to_owned)
}

/// The types of JSON that it may have; all when it says none.
fn types(schema: &Value) -> BTreeSet<&str> {
    match &schema["type"] {
        Value::String(kind) => [kind.as_str()].into(),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ if !members(&schema["properties"]).is_empty() || schema["allOf"].is_array() => ["object"].into(),
        _ => BTreeSet::new(),
    }
}

/// Whether whoever takes one takes the other.
fn covers(wide: &BTreeSet<&str>, narrow: &BTreeSet<&str>) -> bool {
    let is_covered = |kind: &&str| wide.contains(kind) || (*kind == "integer" && wide.contains("number"));
    wide.is_empty() || (!narrow.is_empty() && narrow.iter().all(is_covered))
}

fn or(kinds: &BTreeSet<&str>) -> String {
    match kinds.len() {
        0 => "anything".to_owned(),
        _ => kinds.iter().copied().collect::<Vec<_>>().join(" or "),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
