//! `GET /`: a page that shows the server at a glance and calls functions, in a browser.
//!
//! Four files, as they are: nothing is built, and nothing comes from elsewhere. They hold no data, so they are for everybody; what the
//! page shows comes from `/status.json`, and what it calls goes to `/call/`, with the token that it asks for. Names and errors are
//! those of scripts and callers: the page shows them as text, and its Content-Security-Policy runs nothing but its own file.

use super::failure::failure;
use super::routes::no_name;
use axum::body::Body;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderName, HeaderValue, Response, header};
use madrpc_core::call::{CallError, ErrorKind};

const HTML: &str = include_str!("page.html");

/// Their names below `/page/`, their types, and themselves.
const FILES: [(&str, &str, &str); 3] = [
    (
        "page.css",
        "text/css; charset=utf-8",
        include_str!("page.css"),
    ),
    (
        "page.js",
        "text/javascript; charset=utf-8",
        include_str!("page.js"),
    ),
    ("icon.svg", "image/svg+xml", include_str!("icon.svg")),
];

/// What a browser may do with them.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    // Another version of the server has another page.
    (header::CACHE_CONTROL, "no-cache"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// The page itself.
pub(super) async fn page() -> Response<Body> {
    found("text/html; charset=utf-8", HTML)
}

/// What it is made of.
pub(super) async fn file(name: Result<Path<String>, PathRejection>) -> Response<Body> {
    let name = match name {
        Ok(Path(name)) => name,
        Err(rejection) => return no_name(&rejection),
    };
    match FILES.iter().find(|(known, _, _)| *known == name) {
        Some((_, kind, text)) => found(kind, text),
        None => {
            let error = format!("the page has no file {name}");
            failure(&CallError::not_run(ErrorKind::NoSuchFunction, error))
        }
    }
}

fn found(kind: &'static str, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
