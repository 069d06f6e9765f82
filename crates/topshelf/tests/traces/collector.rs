//! A collector: takes what is posted to it, and reads it as the protocol has it.

use flate2::read::GzDecoder;
use prost::Message;
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// A post.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// What answers each post.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    Taken,
    Refused,
    /// None: the post is read, and nothing comes back.
    Nothing,
}

/// A collector on a port of its own, until the test ends.
pub(crate) struct Collector {
    address: String,
    posts: Arc<Mutex<Vec<Post>>>,
}

impl Collector {
    pub(crate) fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let posts = Arc::new(Mutex::new(Vec::new()));
        let kept = posts.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let kept = kept.clone();
                thread::spawn(move || take(stream.unwrap(), answer, &kept));
            }
        });
        Self { address, posts }
    }

    /// Its URL, as `OTEL_EXPORTER_OTLP_ENDPOINT` has it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn posts(&self) -> Vec<Post> {
        self.posts.lock().unwrap().clone()
    }

    /// All spans, by the time at which they began.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let mut spans: Vec<_> = self.posts().iter().flat_map(|post| post.spans()).collect();
        spans.sort_by_key(|span| span.began);
        spans
    }
}

fn take(stream: TcpStream, answer: Answer, posts: &Mutex<Vec<Post>>) {
    let mut from = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    while from.read_line(&mut line).unwrap_or(0) > 0 {
        let path = line.split(' ').nth(1).unwrap().to_owned();
        let mut headers = BTreeMap::new();
        loop {
            line.clear();
            from.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let mut body = vec![0; headers["content-length"].parse().unwrap()];
        from.read_exact(&mut body).unwrap();
        posts.lock().unwrap().push(Post { path, headers, body });
        let status = match answer {
            Answer::Taken => "200 OK",
            Answer::Refused => "403 Forbidden",
            Answer::Nothing => loop {
                thread::park();
            },
        };
        write!(&stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").unwrap();
        line.clear();
    }
}

/// A span, with the attributes of what it is of.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub name: String,
    pub trace: String,
    pub id: String,
    /// Empty for a root.
    pub parent: String,
    pub is_server: bool,
    pub is_error: bool,
    /// What is said of an error.
    pub message: String,
    pub began: u64,
    pub ended: u64,
    pub attributes: BTreeMap<String, String>,
    pub resource: BTreeMap<String, String>,
}

impl Post {
    fn spans(&self) -> Vec<Span> {
        let mut body = Vec::new();
        match self.headers.get("content-encoding") {
            Some(_) => GzDecoder::new(&*self.body).read_to_end(&mut body).unwrap(),
            None => (&*self.body).read_to_end(&mut body).unwrap(),
        };
        let decoded = ExportTraceServiceRequest::decode(&*body).unwrap();
        let mut spans = Vec::new();
        for of_resource in decoded.resource_spans {
            let resource = texts(of_resource.resource.unwrap().attributes);
            for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                let status = span.status.unwrap_or_default();
                spans.push(Span {
                    name: span.name,
                    trace: hex(&span.trace_id),
                    id: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    is_server: span.kind == 2,
                    is_error: status.code == 2,
                    message: status.message,
                    began: span.start_time_unix_nano,
                    ended: span.end_time_unix_nano,
                    attributes: texts(span.attributes),
                    resource: resource.clone(),
                });
            }
        }
        spans
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: AnyValue| match value.value.unwrap() {
        Value::String(text) => text,
        Value::Bool(bool) => bool.to_string(),
        Value::Int(int) => int.to_string(),
    };
    attributes.into_iter().map(|KeyValue { key, value }| (key, text(value.unwrap()))).collect()
}

// What the test reads of the messages of opentelemetry-proto 1.x; unknown fields are skipped.

#[derive(Clone, PartialEq, Message)]
struct ExportTraceServiceRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<SentSpan>,
}

#[derive(Clone, PartialEq, Message)]
struct SentSpan {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Value", tags = "1, 2, 3")]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Value {
    #[prost(string, tag = "1")]
    String(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
}
