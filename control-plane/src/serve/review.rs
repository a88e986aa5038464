//! The page behind a mailed link: what a packet says in short, and a form to acknowledge it by.
//!
//! The rule: the link is the credential, so nothing else is asked for and nothing else is told. Looking never uses it up
//! (mail scanners look); a form that is sent does. An unknown link, a used one and an old one get the same answer.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use proto::{digest::Digest, time::Millis};
use tonic::{Code, body::Body};

use super::{
    page::{escape, page},
    writer::Writer,
};
use crate::{bundle::minute, core::deliveries::Page, store::Store};

/// Below it are links.
pub const PATH: &str = "/review/";
/// The most bytes of a form.
pub const FORM_MAX: usize = 4096;

/// Answers at [`PATH`].
#[derive(Clone)]
pub struct Reviews {
    /// Acknowledges.
    pub writer: Writer,
    /// The database, for reading: whoever guesses links does not keep the writer busy.
    pub reader: Arc<Mutex<Store>>,
    /// The clock.
    pub clock: fn() -> Millis,
}

impl Reviews {
    /// Answers a request below [`PATH`].
    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let secret = parts.uri.path().strip_prefix(PATH).unwrap_or_default().to_owned();
        if !self.is_known(&secret).await {
            return gone(&parts.method);
        }
        match parts.method {
            Method::GET | Method::HEAD => self.show(secret, &parts.method, None).await,
            Method::POST => {
                let Ok(form) = Limited::new(body, FORM_MAX).collect().await else {
                    return self.show(secret, &Method::POST, Some("The form was too long.")).await;
                };
                self.take(secret, &form.to_bytes()).await
            }
            method => {
                let mut refused = page(StatusCode::METHOD_NOT_ALLOWED, &method, "Not this way", "");
                refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
                refused
            }
        }
    }

    /// Looks on a thread of its own. What cannot be looked up now is not there now.
    async fn is_known(&self, secret: &str) -> bool {
        let (reader, hash, now) = (self.reader.clone(), Digest::of(secret.as_bytes()), (self.clock)());
        let look = move || {
            let store = reader.lock().unwrap_or_else(PoisonError::into_inner);
            store.review_link(hash, now).is_ok_and(|found| found.is_some())
        };
        tokio::task::spawn_blocking(look).await.unwrap_or(false)
    }

    async fn show(&self, secret: String, method: &Method, wrong: Option<&str>) -> Response<Body> {
        match self.writer.run(move |core, now| core.review_page(&secret, now)).await {
            Ok(Some(about)) => {
                let status = if wrong.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
                let title = format!("Evidence packet, {}", about.month.title());
                page(status, method, &title, &form(&about, wrong))
            }
            Ok(None) => gone(method),
            Err(_) => later(method),
        }
    }

    async fn take(&self, secret: String, form: &[u8]) -> Response<Body> {
        let field = |name: &str| {
            let found = form_urlencoded::parse(form).find(|(key, _)| key == name);
            found.map(|(_, value)| value.into_owned()).unwrap_or_default()
        };
        let (name, role) = (field("name"), field("role"));
        if field("reviewed") != "yes" {
            let wrong = "Tick the box: it says that you have reviewed the packet.";
            return self.show(secret, &Method::POST, Some(wrong)).await;
        }
        let link = secret.clone();
        let taken = self.writer.run(move |core, now| core.review_by_link(&link, (&name, &role), now)).await;
        match taken {
            Ok(true) => {
                let thanks = "<h1>Thank you</h1><p>Your acknowledgement is signed and in the clinic's log. The next packet \
                              says who acknowledged this one. You can close this page; the link is used up.</p>";
                page(StatusCode::OK, &Method::POST, "Acknowledged", thanks)
            }
            Ok(false) => gone(&Method::POST),
            Err(status) if status.code() == Code::InvalidArgument => {
                let wrong = format!(
                    "Give your name and your role, each at most 80 characters: {}.",
                    status.message()
                );
                self.show(secret, &Method::POST, Some(&wrong)).await
            }
            Err(_) => later(&Method::POST),
        }
    }
}

fn form(about: &Page, wrong: Option<&str>) -> String {
    let mut out = format!(
        "<h1>Evidence packet, {}</h1><p class=\"of\">{}, by {}</p>",
        escape(&about.month.title()),
        escape(&about.clinic),
        escape(&about.by)
    );
    if let Some(wrong) = wrong {
        let _ = write!(out, "<p class=\"wrong\" role=\"alert\">{}</p>", escape(wrong));
    }
    out.push_str("<h2>In short</h2><ul>");
    for line in &about.brief {
        let _ = write!(out, "<li>{}</li>", escape(line));
    }
    let _ = write!(
        out,
        "</ul><p>The packet came with the mail that led you here. It is the one with SHA-256 <code>{}</code>.</p>",
        about.sha256
    );
    if !about.reviews.is_empty() {
        out.push_str("<h2>Acknowledged already</h2><ul>");
        for one in &about.reviews {
            let (name, role) = (escape(&one.name), escape(&one.role));
            let _ = write!(out, "<li>{name}, {role}, {} UTC</li>", minute(one.at));
        }
        out.push_str("</ul>");
    }
    out.push_str(
        "<h2>Acknowledge it</h2><p>45 CFR 164.308(a)(1)(ii)(D) asks for a regular review of records of information system \
         activity. What you write here is signed, and kept for years in a log from which nothing can be taken out.</p>\
         <form method=\"post\" autocomplete=\"on\">\
         <label for=\"name\">Your name</label>\
         <input type=\"text\" id=\"name\" name=\"name\" autocomplete=\"name\" maxlength=\"80\" required=\"required\"/>\
         <label for=\"role\">Your role</label>\
         <input type=\"text\" id=\"role\" name=\"role\" autocomplete=\"organization-title\" maxlength=\"80\" required=\"required\"/>\
         <div class=\"check\"><input type=\"checkbox\" id=\"reviewed\" name=\"reviewed\" value=\"yes\" required=\"required\"/>\
         <label for=\"reviewed\">I have reviewed this packet, the findings and the gaps in it, and what is to be done about them.\
         </label></div><button type=\"submit\">Acknowledge</button></form>",
    );
    out
}

fn gone(method: &Method) -> Response<Body> {
    let text = "<h1>This link does not lead anywhere</h1><p>It is used up, too old, or was not copied whole. Whoever sent the \
                packet can send another.</p>";
    page(StatusCode::NOT_FOUND, method, "No such link", text)
}

fn later(method: &Method) -> Response<Body> {
    let text =
        "<h1>Not now</h1><p>The server could not do this now. Nothing was changed; try again in a while.</p>";
    page(StatusCode::SERVICE_UNAVAILABLE, method, "Not now", text)
}
