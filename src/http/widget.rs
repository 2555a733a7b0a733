//! The widget and its demo page, out of the binary. It knows no gateway and no call.

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get};
use sha2::{Digest, Sha256};

use crate::hex::hex;

/// The parts of the widget in a scope of their own; `web/widget/build.mjs` puts them together in the same way.
const WIDGET: &str = concat!(
    "// Dauys: talk to an agent from any page. Apache-2.0.\n(() => {\n\"use strict\";\n\n",
    include_str!("../../web/widget/src/words.js"),
    include_str!("../../web/widget/src/gateway.js"),
    include_str!("../../web/widget/src/roads.js"),
    include_str!("../../web/widget/src/sound.js"),
    include_str!("../../web/widget/src/conversation.js"),
    include_str!("../../web/widget/src/look.js"),
    include_str!("../../web/widget/src/captions.js"),
    include_str!("../../web/widget/src/widget.js"),
    include_str!("../../web/widget/src/page.js"),
    "})();\n",
);

/// In lower case.
type Headers = &'static [(&'static str, &'static str)];

const SCRIPT: &str = "text/javascript; charset=utf-8";
const PAGE: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

const ALWAYS: Headers = &[("x-content-type-options", "nosniff"), ("referrer-policy", "strict-origin")];
/// Any site may take the script, also with a hash of it (Subresource Integrity needs CORS).
const FOR_ALL: Headers = &[
    ("access-control-allow-origin", "*"),
    ("cross-origin-resource-policy", "cross-origin"),
    ("cache-control", "public, max-age=300"),
];
const OURS: Headers = &[("cache-control", "no-cache")];
/// As strict as a page that has the widget can be.
const STRICT: Headers = &[
    ("cache-control", "no-cache"),
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    ("permissions-policy", "microphone=(self), camera=(), geolocation=()"),
];

pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/widget.js", file(SCRIPT, WIDGET, FOR_ALL))
        .route("/demo", file(PAGE, include_str!("../../web/demo.html"), STRICT))
        .route("/demo.css", file(STYLE, include_str!("../../web/demo.css"), OURS))
        .route("/demo.js", file(SCRIPT, include_str!("../../web/demo.js"), OURS))
}

/// A file that a browser takes again only when it has changed (RFC 9110 8.8.3).
fn file<S: Clone + Send + Sync + 'static>(kind: &'static str, body: &'static str, more: Headers) -> MethodRouter<S> {
    let digest = Sha256::digest(body);
    let digits = hex(&digest[..16]);
    let etag = format!("\"{digits}\"");
    get(move |asked: HeaderMap| {
        let (status, body) = if knows(&asked, &etag) { (StatusCode::NOT_MODIFIED, "") } else { (StatusCode::OK, body) };
        let mut response = (status, [(header::CONTENT_TYPE, kind), (header::ETAG, &etag)], body).into_response();
        for (name, value) in ALWAYS.iter().chain(more) {
            response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        std::future::ready(response)
    })
}

/// RFC 9110 13.1.2; a proxy that packs the file makes the tag weak.
fn knows(asked: &HeaderMap, etag: &str) -> bool {
    let tags = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|list| list.split(',')).map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_is_not_sent_again() {
        let check = |asked: &str, known: bool| {
            let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, asked.parse().unwrap())]);
            assert_eq!(knows(&headers, "\"ab\""), known, "{asked}");
        };
        check("\"ab\"", true);
        check("\"x\", W/\"ab\"", true);
        check("*", true);
        check("\"abc\"", false);
        check("ab", false);
        assert!(!knows(&HeaderMap::new(), "\"ab\""));
    }

    #[test]
    fn the_demo_page_keeps_to_its_policy() {
        let page = include_str!("../../web/demo.html");
        assert!(!page.contains("<style") && !page.contains(" style=") && !page.contains(" onclick="), "inline");
        for script in page.split("<script").skip(1) {
            assert!(script.contains("src=") && script.contains("></script>"), "an inline script: {script}");
        }
    }
}
