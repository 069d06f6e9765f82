//! The OpenAPI document, made from the types that are sent, and a page to try it that needs no network.

use super::{health, rankings};
use crate::{
    problem::{Code, Problem},
    response::with_type,
};
use axum::{
    body::Body,
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use std::{
    fmt::Write,
    sync::{Arc, LazyLock},
};
use utoipa::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerFile};

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
    ),
    components(schemas(Code)),
    tags(
        (name = "rankings", description = "What is published"),
        (name = "health", description = "How the server is"),
        (name = "docs", description = "This document"),
    )
)]
struct Document;

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let mut document = Document::openapi();
    document.info.description = Some(description());
    document.to_pretty_json().expect("the document is made of text, numbers and lists")
});

static UI: LazyLock<Arc<Config<'static>>> =
    LazyLock::new(|| Arc::new(Config::new(["../openapi.json"]).try_it_out_enabled(true).use_base_layout()));

/// The OpenAPI 3.1 document of everything served.
#[must_use]
pub fn openapi_json() -> String {
    DOCUMENT.clone()
}

/// This document
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "docs",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json"))
)]
pub(super) async fn openapi() -> Response {
    with_type::<Body>(StatusCode::OK, "application/json", DOCUMENT.as_str())
}

/// The page's files stand beside it, so it needs its slash; a relative one, for proxies with a prefix.
pub(super) async fn to_docs() -> Response {
    (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, "docs/")]).into_response()
}

/// The page, or a file of it.
pub(super) async fn docs(uri: Uri) -> Result<Response, Problem> {
    let file = uri.path().trim_start_matches("/docs/");
    match utoipa_swagger_ui::serve(file, UI.clone()) {
        Ok(Some(file)) => Ok(page_file(file)),
        Ok(None) => Err(Problem::NotFound { path: uri.path().to_owned() }),
        Err(error) => {
            tracing::error!(file, %error, "could not make a file of the page to try the API");
            Err(Problem::Internal)
        }
    }
}

fn page_file(file: SwaggerFile<'static>) -> Response {
    let mut response = ([(header::CONTENT_TYPE, file.content_type)], file.bytes).into_response();
    if file.gzpipped {
        response.headers_mut().insert(header::CONTENT_ENCODING, "gzip".parse().expect("gzip is ASCII"));
    }
    response
}

fn description() -> String {
    let mut text = "Each advertiser's top products, as of the newest published day.\n\n\
        Every route but that of several rankings answers GET and HEAD, each with and without a trailing slash. Ids in paths are percent-encoded \
        once. Answers carry a strong `ETag` and say until when they may be kept; problems are \
        `application/problem+json` (RFC 9457), never to be kept, with one of these codes:\n\n\
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
