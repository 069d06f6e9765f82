//! What the OpenAPI document says of an operation beside its types: why it may refuse, who may ask, with which headers
//! it answers, and examples.
//!
//! The document comes in as the types and the routes make it and leaves complete. Nothing is said of a refusal at the
//! routes: an operation refuses with the codes of its line in [`OPERATIONS`], so a code more is a word there.

mod examples;

use crate::{
    problem::{Code, ProblemBody},
    routes::rankings::OFFSET_MAX,
};
use Access::{Open, UnderKey};
use Code::{
    BadBody, BadDay, BadParameter, BodyTooLarge, BodyTooSlow, Forbidden, HeldBack, InactiveAdvertiser,
    InsufficientData, Internal, KeysUnavailable, MethodNotAllowed, ModelNotComputed, NoPublicationForDay,
    NoPublicationYet, NotFound, Overloaded, PathTooLong, SnapshotUnavailable, TooManyHeaders,
    TooManyRequests, TookTooLong, Unauthorized, UnknownAdvertiser, UnknownModel,
};
use Keeping::{Never, Tagged};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Components, Content, Header, HeaderBuilder, OpenApi, Ref, RefOr, Required, Response, Schema,
        example::{Example, ExampleBuilder},
        path::{Operation, Parameter, ParameterBuilder, ParameterIn},
        schema::{SchemaType, Type},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

const PROBLEM: &str = "application/problem+json";

/// The two ways to send a key, by their names in the document.
const KEYS: [&str; 2] = ["bearer", "api_key"];

/// What any operation may be refused with.
const ALWAYS: &[Code] = &[PathTooLong, TooManyHeaders, TooManyRequests, Overloaded, TookTooLong, Internal];

/// What an operation that asks for a key may be refused with beside.
const UNDER_KEYS: &[Code] = &[Unauthorized, KeysUnavailable];

/// What is refused before it is known which operation is meant.
const OUTSIDE: &[Code] = &[NotFound, MethodNotAllowed];

/// Every operation but those of HEAD, which are those of GET without a body.
const OPERATIONS: &[Contract] = &[
    Contract {
        id: "get_recommendations",
        refuses: &[
            BadDay,
            BadParameter,
            UnknownAdvertiser,
            InactiveAdvertiser,
            HeldBack,
            UnknownModel,
            ModelNotComputed,
            NoPublicationYet,
            NoPublicationForDay,
            InsufficientData,
            SnapshotUnavailable,
        ],
        access: UnderKey,
        keeping: Tagged,
    },
    Contract {
        id: "post_recommendations",
        refuses: &[BadParameter, BadBody, BodyTooLarge, BodyTooSlow, SnapshotUnavailable],
        access: UnderKey,
        keeping: Never,
    },
    Contract {
        id: "get_history",
        refuses: &[
            BadParameter,
            UnknownAdvertiser,
            InactiveAdvertiser,
            HeldBack,
            UnknownModel,
            ModelNotComputed,
            NoPublicationYet,
            InsufficientData,
            SnapshotUnavailable,
        ],
        access: UnderKey,
        keeping: Tagged,
    },
    Contract {
        id: "get_stats",
        refuses: &[BadParameter, Forbidden, NoPublicationYet, SnapshotUnavailable],
        access: UnderKey,
        keeping: Tagged,
    },
    Contract { id: "get_health", refuses: &[Forbidden], access: UnderKey, keeping: Never },
    Contract { id: "get_liveness", refuses: &[], access: Open, keeping: Never },
    Contract { id: "get_readiness", refuses: &[], access: Open, keeping: Never },
    Contract { id: "get_metrics", refuses: &[Forbidden], access: UnderKey, keeping: Never },
    Contract { id: "get_openapi", refuses: &[], access: Open, keeping: Keeping::Unsaid },
    Contract { id: "get_home", refuses: &[], access: Open, keeping: Never },
    Contract { id: "get_docs", refuses: &[], access: Open, keeping: Keeping::Unsaid },
];

/// What is said of one operation.
struct Contract {
    id: &'static str,
    /// Beside what any may be refused with.
    refuses: &'static [Code],
    access: Access,
    keeping: Keeping,
}

/// Who may ask.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Open,
    /// Whoever has a key, where the server asks for one.
    UnderKey,
}

/// Who may keep an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keeping {
    /// Caches, as long as the answer says, and the client for as long as the tag is right.
    Tagged,
    /// Nobody.
    Never,
    /// Nothing is said of it.
    Unsaid,
}

/// Completes what the types and the routes say; `history_days_max` is the most days that a history reaches back.
pub(super) fn complete(document: &mut OpenApi, history_days_max: usize) {
    for item in document.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
            contract_of(operation).complete(operation);
            restate_parameters(operation, history_days_max);
        }
        item.head = item.get.as_ref().map(without_body);
    }
    let components = document.components.get_or_insert_default();
    components.examples.extend(Code::ALL.map(|code| (code.name().to_owned(), example_of(code).into())));
    components.responses.extend(OUTSIDE.iter().map(|code| {
        let mut response = Response::new("");
        refuse(&mut response, *code);
        let mut response = response.into();
        name(&mut response);
        (code.name().to_owned(), response)
    }));
    add_keys(components);
}

fn contract_of(operation: &Operation) -> &'static Contract {
    let id = operation.operation_id.as_deref();
    OPERATIONS.iter().find(|contract| Some(contract.id) == id).expect("every operation has a contract")
}

impl Contract {
    fn complete(&self, operation: &mut Operation) {
        self.tell_keeping(operation);
        for (status, name, value) in examples::of_answers(self.id) {
            let content = content_of(operation, &status.to_string());
            content.examples.insert(name.to_owned(), ExampleBuilder::new().value(Some(value)).build().into());
        }
        if let Some(RefOr::T(body)) = &mut operation.request_body {
            let content = body.content.values_mut().next().expect("a body has a media type");
            if let RefOr::T(content) = content {
                content.example = examples::of_question(self.id);
            }
        }
        let under_key: &[Code] = if self.access == UnderKey { UNDER_KEYS } else { &[] };
        for code in self.refuses.iter().chain(under_key).chain(ALWAYS) {
            let response = operation.responses.responses.entry(code.status().to_string());
            if let RefOr::T(response) = response.or_insert_with(|| Response::new("").into()) {
                refuse(response, *code);
            }
        }
        operation.responses.responses.values_mut().for_each(name);
        operation.security = Some(self.security());
    }

    /// The ways to be let in; a server that asks for no keys takes none of them too.
    fn security(&self) -> Vec<SecurityRequirement> {
        let ways = KEYS.map(|key| SecurityRequirement::new(key, [""; 0]));
        match self.access {
            Open => Vec::new(),
            UnderKey => [SecurityRequirement::default()].into_iter().chain(ways).collect(),
        }
    }

    fn tell_keeping(&self, operation: &mut Operation) {
        let headers = match self.keeping {
            Tagged => vec![
                (
                    "ETag",
                    "Strong, and another for each `Content-Encoding`",
                    "\"6c62272e07bb014262b821756295c58d\"",
                ),
                (
                    "Cache-Control",
                    "Until the next run is due; `private` in place of `public` where keys are asked for",
                    "public, max-age=3600",
                ),
                (
                    "Vary",
                    "What the answer depends on: the encoding, and the key where one is asked for",
                    "accept-encoding",
                ),
            ],
            Never => vec![("Cache-Control", "Nobody may keep it", "no-store")],
            Keeping::Unsaid => return,
        };
        let headers = headers.into_iter().map(|(name, text, value)| (name.to_owned(), header(text, value)));
        if self.keeping == Tagged {
            let not_modified = Response::new("If-None-Match names this answer: the client has it");
            operation.responses.responses.insert("304".to_owned(), not_modified.into());
            operation.parameters.get_or_insert_default().push(if_none_match().into());
        }
        for response in operation.responses.responses.values_mut() {
            if let RefOr::T(response) = response {
                response.headers.extend(headers.clone());
            }
        }
    }
}

/// Adds a code to the reasons of a refusal.
fn refuse(response: &mut Response, code: Code) {
    let reason = format!("`{}`: {}", code.name(), code.title());
    response.description = match response.description.as_str() {
        "" => reason,
        others => format!("{others}; {reason}"),
    };
    let content = response
        .content
        .entry(PROBLEM.to_owned())
        .or_insert_with(|| Content::new(Some(Ref::from_schema_name(ProblemBody::name()))).into());
    if let RefOr::T(content) = content {
        let example = Ref::new(format!("#/components/examples/{}", code.name()));
        content.examples.insert(code.name().to_owned(), RefOr::Ref(example));
    }
    let headers =
        [("Cache-Control", "Nobody may keep it", "no-store")].into_iter().chain(match code.status() {
            401 => Some(("WWW-Authenticate", "How a key is sent", "Bearer")),
            405 => Some(("Allow", "The methods that are allowed", "GET, HEAD")),
            429 | 503 => Some(("Retry-After", "How many seconds to wait before asking again", "2")),
            _ => None,
        });
    response.headers.extend(headers.map(|(name, text, value)| (name.to_owned(), header(text, value))));
}

/// Adds that an answer carries its request's name.
fn name(response: &mut RefOr<Response>) {
    if let RefOr::T(response) = response {
        let text = "The request's name in the access log: the one it was sent with, else a new one";
        response.headers.insert("X-Request-Id".to_owned(), header(text, "7zk2v9hq4x0c3m8tw1ya"));
    }
}

fn header(text: &str, value: &str) -> RefOr<Header> {
    let header = HeaderBuilder::new().schema(Some(String::schema())).description(Some(text));
    header.example(Some(value.into())).build().into()
}

fn if_none_match() -> Parameter {
    ParameterBuilder::new()
        .name("If-None-Match")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "Tags of answers that the client has: one of them is answered with 304 and no body",
        ))
        .schema(Some(String::schema()))
        .build()
}

fn example_of(code: Code) -> Example {
    let body =
        serde_json::to_value(examples::of_problem(code).body()).expect("a problem is text and a number");
    ExampleBuilder::new().summary(code.title()).value(Some(body)).build()
}

/// What is sent with a status, beside problems.
fn content_of<'a>(operation: &'a mut Operation, status: &str) -> &'a mut Content {
    let response = operation.responses.responses.get_mut(status);
    let Some(RefOr::T(response)) = response else { panic!("an example of {status}, which is not answered") };
    let content = response.content.values_mut().next();
    let Some(RefOr::T(content)) = content else { panic!("an example of {status}, which has no body") };
    content
}

/// A parameter of a path or query is text: it may be absent, and is never null. Its bounds are the server's.
fn restate_parameters(operation: &mut Operation, history_days_max: usize) {
    let id = operation.operation_id.clone();
    let parameters = operation.parameters.iter_mut().flatten();
    for parameter in parameters {
        let RefOr::T(Parameter { name, schema: Some(RefOr::T(Schema::Object(schema))), .. }) = parameter
        else {
            continue;
        };
        if let SchemaType::Array(types) = &schema.schema_type {
            let is_null = |kind: &&Type| **kind != Type::Null;
            schema.schema_type =
                SchemaType::Type(types.iter().find(is_null).expect("a parameter is something").clone());
        }
        match (id.as_deref(), name.as_str()) {
            (Some("get_history"), "days") => schema.maximum = Some(history_days_max.into()),
            (Some("get_stats"), "offset") => schema.maximum = Some(OFFSET_MAX.into()),
            _ => {}
        }
    }
}

/// The operation of HEAD: all but the body.
fn without_body(get: &Operation) -> Operation {
    let mut head = get.clone();
    let rename = |id: String| id.replacen("get_", "head_", 1);
    head.operation_id = head.operation_id.map(rename);
    head.summary = head.summary.map(|summary| format!("{summary} (without the body)"));
    for response in head.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            response.content.clear();
        }
    }
    head
}

fn add_keys(components: &mut Components) {
    let text = "A key of this server, `tsk_…`: `topshelf keys create` makes one. Servers may ask for none.";
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(text)).build();
    let header = ApiKeyValue::with_description("X-Api-Key", text);
    let schemes = [SecurityScheme::Http(bearer), SecurityScheme::ApiKey(ApiKey::Header(header))];
    components.security_schemes.extend(KEYS.map(str::to_owned).into_iter().zip(schemes.map(RefOr::T)));
}
