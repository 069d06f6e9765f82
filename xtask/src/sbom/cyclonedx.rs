//! A document of CycloneDX 1.6 in JSON: only the members that we fill.

use super::graph::Crate;
use crate::sbom::hex;
use serde::Serialize;

const VERSION: &str = "1.6";

/// The whole document.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    #[serde(rename = "$schema")]
    schema: String,
    bom_format: &'static str,
    spec_version: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    serial_number: String,
    version: u32,
    metadata: Metadata,
    components: Vec<Component>,
    dependencies: Vec<Dependency>,
}

/// What the document is of, and who wrote it when.
#[derive(Serialize)]
pub(super) struct Metadata {
    timestamp: String,
    tools: Tools,
    component: Component,
    properties: Vec<Property>,
}

#[derive(Serialize)]
struct Tools {
    components: Vec<Component>,
}

#[derive(Serialize)]
struct Property {
    name: &'static str,
    value: String,
}

/// A part of the program, or the program.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Component {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref")]
    pub(super) reference: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<Licence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpe: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) purl: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_references: Vec<Reference>,
}

#[derive(Serialize)]
struct Hash {
    alg: &'static str,
    content: String,
}

#[derive(Serialize)]
struct Licence {
    expression: String,
}

#[derive(Serialize)]
struct Reference {
    #[serde(rename = "type")]
    kind: &'static str,
    url: String,
}

/// What a part needs, by references.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Dependency {
    #[serde(rename = "ref")]
    reference: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    depends_on: Vec<String>,
}

impl Document {
    pub(super) fn new(metadata: Metadata, components: Vec<Component>, dependencies: Vec<Dependency>) -> Self {
        Self {
            schema: format!("http://cyclonedx.org/schema/bom-{VERSION}.schema.json"),
            bom_format: "CycloneDX",
            spec_version: VERSION,
            serial_number: String::new(),
            version: 1,
            metadata,
            components,
            dependencies,
        }
    }

    /// The document as text. Its serial number is made of all else that is in it.
    pub(super) fn into_json(mut self) -> String {
        self.serial_number = serial_number(&hex(self.text().as_bytes()));
        self.text()
    }

    fn text(&self) -> String {
        serde_json::to_string_pretty(self).expect("members have names that are texts") + "\n"
    }
}

/// A UUID of version 8 (RFC 9562), whose bits are a hash's.
fn serial_number(hash: &str) -> String {
    format!(
        "urn:uuid:{}-{}-8{}-8{}-{}",
        &hash[..8],
        &hash[8..12],
        &hash[12..15],
        &hash[15..18],
        &hash[18..30]
    )
}

impl Metadata {
    pub(super) fn new(timestamp: &str, target: &str, component: Component) -> Self {
        let mut tool = Component::new("application", "topshelf-xtask", Some(env!("CARGO_PKG_VERSION")));
        tool.reference = "tool".to_owned();
        Self {
            timestamp: timestamp.to_owned(),
            tools: Tools { components: vec![tool] },
            component,
            properties: vec![Property { name: "topshelf:target", value: target.to_owned() }],
        }
    }
}

impl Component {
    fn new(kind: &'static str, name: &str, version: Option<&str>) -> Self {
        let reference = version.map_or_else(|| name.to_owned(), |version| format!("{name}@{version}"));
        Self {
            kind,
            reference,
            name: name.to_owned(),
            version: version.map(str::to_owned),
            hashes: Vec::new(),
            licenses: Vec::new(),
            cpe: None,
            purl: None,
            external_references: Vec::new(),
        }
    }

    /// A crate of the registry, or one of ours, which no registry has.
    pub(super) fn of_crate(of: &Crate) -> Self {
        let kind = if of.id.name == "topshelf" { "application" } else { "library" };
        let mut component = Self::new(kind, &of.id.name, Some(&of.id.version));
        if let Some(licence) = &of.licence {
            component.licenses.push(Licence { expression: licence.clone() });
        }
        if let Some(sha256) = &of.sha256 {
            component.hash(sha256);
            component.purl(&format!("pkg:cargo/{}@{}", of.id.name, percent_encoded(&of.id.version)));
        }
        if let Some(repository) = &of.repository {
            component.external_references.push(Reference { kind: "vcs", url: repository.clone() });
        }
        component
    }

    /// A library that is no crate.
    pub(super) fn library(name: &str, version: &str, licence: &str) -> Self {
        let mut component = Self::new("library", name, Some(version));
        component.licenses.push(Licence { expression: licence.to_owned() });
        component
    }

    /// A file, by the SHA-256 of what is in it.
    pub(super) fn of_file(name: &str, sha256: &str) -> Self {
        let mut component = Self::new("file", name, None);
        component.hash(sha256);
        component
    }

    pub(super) fn hash(&mut self, sha256: &str) {
        self.hashes.push(Hash { alg: "SHA-256", content: sha256.to_owned() });
    }

    pub(super) fn purl(&mut self, purl: &str) {
        self.purl = Some(purl.to_owned());
    }

    pub(super) fn cpe(&mut self, cpe: &str) {
        self.cpe = Some(cpe.to_owned());
    }
}

impl Dependency {
    pub(super) fn new(reference: String, mut depends_on: Vec<String>) -> Self {
        depends_on.sort();
        Self { reference, depends_on }
    }
}

/// A version as package URLs write it.
pub(super) fn percent_encoded(version: &str) -> String {
    version.replace('%', "%25").replace('+', "%2B").replace(':', "%3A")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_is_a_uuid_of_the_hash() {
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(serial_number(hash), "urn:uuid:ba7816bf-8f01-8cfe-8a41-4140de5dae22");
    }

    #[test]
    fn what_a_url_would_read_otherwise_is_encoded() {
        assert_eq!(percent_encoded("2.1.3+zstd.1.5.7"), "2.1.3%2Bzstd.1.5.7");
    }
}
