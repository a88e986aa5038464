//! A page for people: one look for all, and nothing in it that asks another server.
//!
//! The rule: the style, and where there is one the script, are this program's own; the policy names their digests, so that
//! nothing that found its way into a page is carried out.

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use proto::digest::Digest;
use tonic::body::Body;

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:1.05rem/1.5 system-ui,sans-serif;max-width:40rem;margin:0 auto;padding:1.5rem 1rem 4rem;\
color:#1b1f24;background:#fff}\
h1{font-size:1.5rem;line-height:1.25;margin:0 0 .25rem}\
h2{font-size:1.1rem;margin:2rem 0 .5rem}\
p.of{margin:0 0 1.5rem;color:#4b5563}\
code{font-size:.85em;overflow-wrap:anywhere}\
label{display:block;margin:1rem 0 .25rem;font-weight:600}\
input[type=text]{font:inherit;width:100%;box-sizing:border-box;padding:.6rem;border:1px solid #6b7280;border-radius:.4rem;\
color:inherit;background:transparent}\
.check{display:flex;gap:.75rem;align-items:flex-start;margin:1.25rem 0}\
.check label{margin:0;font-weight:400}\
input[type=checkbox]{width:1.4rem;height:1.4rem;flex:none;margin:.1rem 0 0}\
p.note{color:#4b5563}ul.rows{list-style:none;padding:0;margin:0}\
ul.rows li{display:flex;flex-wrap:wrap;gap:.5rem 1rem;align-items:center;justify-content:space-between;padding:.75rem 0;\
border-top:1px solid #9ca3af}ul.rows span{flex:1 1 14rem}ul.codes{columns:13rem 2;padding:0;list-style:none;font-size:1.1rem}\
a{color:#1d4ed8}a.button{display:inline-block;font-weight:600;padding:.75rem 1.5rem;border-radius:.4rem;color:#fff;\
background:#14532d;text-decoration:none}summary{margin:1.5rem 0 .5rem;cursor:pointer}form>button{margin-top:1rem}\
button{font:inherit;font-weight:600;padding:.75rem 1.5rem;border:0;border-radius:.4rem;color:#fff;background:#14532d}\
button.plain{color:inherit;background:transparent;border:1px solid #6b7280;padding:.5rem 1rem}\
#said:not(:empty){position:sticky;bottom:0;margin:1rem 0 0;padding:.75rem;background:#fff;border-top:1px solid #9ca3af}\
:focus-visible{outline:3px solid #2563eb;outline-offset:2px}h1:focus{outline:0}\
.wrong{border-left:.3rem solid #b91c1c;padding:.25rem 0 .25rem .75rem}\
@media(prefers-color-scheme:dark){body{color:#e5e7eb;background:#111418}p.of,p.note{color:#aab2bd}#said:not(:empty){background:#111418}a{color:#93c5fd}a.button{color:#06210f;background:#86efac}\
input[type=text]{border-color:#9ca3af}button{color:#06210f;background:#86efac}button.plain{color:inherit;background:transparent;border-color:#9ca3af}:focus-visible{outline-color:#93c5fd}}";

/// What the pages on which people sign in do in the browser.
const SCRIPT: &str = include_str!("people/page.js");

fn policy(more: &str) -> HeaderValue {
    let style = STANDARD.encode(Digest::of(STYLE.as_bytes()).0);
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; {more}form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
}

/// Only the page's own style, and forms to this server.
static STILL: LazyLock<HeaderValue> = LazyLock::new(|| policy(""));
/// The script as well, and its calls to this server.
static LIVELY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let script = STANDARD.encode(Digest::of(SCRIPT.as_bytes()).0);
    policy(&format!("script-src 'sha256-{script}'; connect-src 'self'; "))
});

/// A whole page.
pub(super) fn page(status: StatusCode, method: &Method, title: &str, body: &str) -> Response<Body> {
    whole(status, method, title, body, ("", &STILL))
}

/// A whole page with the script, which tells the state of things in `said`.
pub(super) fn lively(status: StatusCode, method: &Method, title: &str, body: &str) -> Response<Body> {
    let script = format!(
        "<p id=\"said\" role=\"status\"></p><noscript><p class=\"wrong\">This page needs JavaScript: without it no browser \
         speaks with a passkey.</p></noscript><script>{SCRIPT}</script>"
    );
    whole(status, method, title, body, (&script, &LIVELY))
}

fn whole(
    status: StatusCode,
    method: &Method,
    title: &str,
    body: &str,
    (script, policy): (&str, &HeaderValue),
) -> Response<Body> {
    let html = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"/>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/><title>{}</title>\
         <style>{STYLE}</style></head><body><main>{body}{script}</main></body></html>\n",
        escape(title)
    );
    let length = HeaderValue::from(html.len());
    let body = if *method == Method::HEAD { Body::empty() } else { Body::new(Full::from(html)) };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
        // The address may be a secret.
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, policy.clone());
    headers.insert(header::CONTENT_LENGTH, length);
    response
}

/// Text as it stands in a page, within an attribute too.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
