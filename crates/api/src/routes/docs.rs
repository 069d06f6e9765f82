//! The OpenAPI document, made from the types that are sent, and a page to try it that needs no network.

use super::{contract, health, home, rankings};
use crate::{
    body::RoomSeenTo,
    coding::{Coding, decompressed},
    problem::{Code, Problem, ProblemBody},
    response::with_type,
};
use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use std::{
    fmt::Write,
    sync::{Arc, LazyLock},
};
use utoipa::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerFile};

/// Where the server is, as seen from the document, and from one a slash below: a proxy may have a prefix for it.
const HERE: &str = "./";
const ABOVE: &str = "../";

#[derive(OpenApi)]
#[openapi(
    info(title = "topshelf", license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")),
    paths(
        rankings::recommendations,
        rankings::recommend_several,
        rankings::history,
        rankings::stats,
        health::health,
        health::live,
        health::ready,
        health::metrics,
        openapi,
        docs_page,
        home::home,
    ),
    components(schemas(Code, ProblemBody)),
    servers((url = HERE, description = "The server that sent this document, relative to it")),
    tags(
        (name = "rankings", description = "What is published"),
        (name = "health", description = "How the server is"),
        (name = "docs", description = "This document, and pages for people"),
    )
)]
struct Document;

static UI: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    // Whether the document is sound is asked nobody: the page works where there is no internet.
    let config = Config::new(["../openapi.json"]).validator_url("none").persist_authorization(false);
    Arc::new(config.try_it_out_enabled(true).use_base_layout())
});

/// The document as it is sent without a slash behind its name, and with one.
pub(super) fn documents(history_days_kept: usize) -> [Bytes; 2] {
    [HERE, ABOVE].map(|server| document(history_days_kept, server).into())
}

/// The OpenAPI 3.1 document of everything served by a server that keeps so many published days.
#[must_use]
pub fn openapi_json(history_days_kept: usize) -> String {
    document(history_days_kept, HERE)
}

fn document(history_days_kept: usize, server: &str) -> String {
    let mut document = Document::openapi();
    document.servers.iter_mut().flatten().for_each(|here| server.clone_into(&mut here.url));
    document.info.description = Some(description());
    contract::complete(&mut document, history_days_kept);
    document.to_pretty_json().expect("the document is made of text, numbers and lists")
}

/// This document
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "get_openapi",
    tag = "docs",
    responses((status = 200, description = "OpenAPI 3.1", body = Object, content_type = "application/json"))
)]
pub(super) async fn openapi(document: Bytes) -> Response {
    RoomSeenTo::mark(with_type::<Body>(StatusCode::OK, "application/json", document))
}

/// A page to read this document and try the API
///
/// It and its files come from this server alone.
#[utoipa::path(
    get,
    path = "/docs/",
    operation_id = "get_docs",
    tag = "docs",
    responses((status = 200, description = "The page", body = String, content_type = "text/html"))
)]
pub(super) async fn docs_page(uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    docs(uri, headers).await
}

/// The page's files stand beside it, so it needs its slash; a relative one, for proxies with a prefix.
pub(super) async fn to_docs() -> Response {
    (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, "docs/")]).into_response()
}

/// The page, or a file of it.
pub(super) async fn docs(uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let file = uri.path().trim_start_matches("/docs/");
    match utoipa_swagger_ui::serve(file, UI.clone()) {
        Ok(Some(file)) => Ok(page_file(file, Coding::of(&headers))),
        Ok(None) => Err(Problem::NotFound { path: uri.path().to_owned() }),
        Err(error) => {
            tracing::error!(file, %error, "could not make a file of the page to try the API");
            Err(Problem::Internal)
        }
    }
}

/// The file as the client takes it: nearly all lie compressed in the program, which they would double otherwise.
fn page_file(file: SwaggerFile<'static>, coding: Coding) -> Response {
    let is_compressed = file.gzpipped && coding == Coding::Gzip;
    let bytes = if file.gzpipped && !is_compressed { decompressed(&file.bytes).into() } else { file.bytes };
    let mut response = ([(header::CONTENT_TYPE, file.content_type)], bytes).into_response();
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if is_compressed {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    RoomSeenTo::mark(response)
}

fn description() -> String {
    let mut text = "Each advertiser's top products, as of the newest published day.\n\n\
        Every operation of GET is one of HEAD too, and answers with and without a trailing slash. Ids in paths are \
        percent-encoded once. Answers carry a strong `ETag` and say until when they may be kept, and are compressed \
        for those who accept gzip. Fields may be added to answers, and codes to problems: pass over those you do not know.\n\n\
        Where the server asks for a key, it is sent as `Authorization: Bearer …` or `X-Api-Key: …`. Advertisers that a \
        key is not for are answered as those that are unknown.\n\n\
        An answer's `X-Request-Id` is the request's, when that is 1 to 128 visible ASCII characters, else a new one: it finds \
        the request in the server's access log.\n\n\
        Problems are `application/problem+json` (RFC 9457), never to be kept, with one of these codes. A request that is \
        no HTTP is refused with 400, and one whose head is too long with 431, without a body and without `X-Request-Id`.\n\n\
        | code | status | meaning |\n|---|---|---|\n"
        .to_owned();
    for code in Code::ALL {
        writeln!(text, "| `{}` | {} | {} |", code.name(), code.status(), code.title())
            .expect("a String takes any text");
    }
    text.push_str(
        "\nA bidder may treat every 404 as «no product to show, and asking again at once will not \
        change that» (`no_publication_yet` among them), and 503 as «ask another server».\n",
    );
    text
}
