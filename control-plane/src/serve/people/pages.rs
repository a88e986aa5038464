//! The pages: to sign in, behind an invitation, one's own account.

use std::fmt::Write as _;

use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use proto::time::Millis;
use tonic::{Code, body::Body};

use super::{People, cookie, provider::Refused, sentence};
use crate::{
    access::SessionKind,
    bundle::minute,
    core::sessions::session_name,
    serve::page::{escape, lively, page},
    store::{OperatorRow, PasskeyRow, SessionRow},
};

/// All that somebody's own page shows.
struct Account {
    person: OperatorRow,
    here: SessionRow,
    passkeys: Vec<PasskeyRow>,
    sessions: Vec<SessionRow>,
    codes: u64,
}

const CODES: &str = "\
<template id=\"codes\"><h1 tabindex=\"-1\">Your recovery codes</h1><p class=\"of\">Each lets you make a new passkey, once, when \
you have lost the others. Write them down or print them, and keep them where your passkeys are not. They are shown now and \
never again.</p><ul class=\"codes\"></ul><p><a class=\"button\" href=\"/account\">I have them; go on</a></p></template>";

const PASSKEYS: &str = "\
<form data-way=\"show\"><button>Sign in with a passkey</button></form>\
<details><summary>I have lost my passkeys</summary><form data-way=\"recover\">\
<label for=\"lost\">Your name here</label>\
<input type=\"text\" id=\"lost\" name=\"name\" autocomplete=\"username\" maxlength=\"60\" required=\"required\"/>\
<label for=\"code\">One of your recovery codes</label>\
<input type=\"text\" id=\"code\" name=\"code\" autocomplete=\"off\" autocapitalize=\"characters\" spellcheck=\"false\" \
maxlength=\"40\" required=\"required\"/><button class=\"plain\">Make a new passkey</button></form>\
<p class=\"note\">No codes left? An owner can invite you again.</p></details>";

impl People {
    pub(super) async fn page(&self, parts: &Parts) -> Response<Body> {
        let (method, path) = (&parts.method, parts.uri.path());
        match path {
            "/sign-in" => lively(StatusCode::OK, method, "Sign in", &self.sign_in()),
            "/account" => self.account(parts).await,
            "/sign-in/provider" => self.send_away(parts).await,
            "/sign-in/callback" => self.come_back(parts).await,
            path => match path.strip_prefix("/invite/") {
                Some(link) => self.invitation(method, link.to_owned()).await,
                None => nothing(method),
            },
        }
    }

    fn sign_in(&self) -> String {
        let of = escape(&self.organization);
        let provider = self.provider.as_ref().map_or_else(String::new, |provider| {
            let name = escape(provider.name());
            format!("<p><a class=\"button\" href=\"/sign-in/provider\">Sign in with {name}</a></p>")
        });
        if !self.ceremonies.possible() && provider.is_empty() {
            return format!(
                "<h1>Sign in</h1><p class=\"of\">{of}</p><p class=\"wrong\" role=\"alert\">Nobody can sign in at {}: passkeys \
                 need a host name. Whoever runs this server sets people.address.</p>",
                escape(self.ceremonies.origin())
            );
        }
        let passkeys = if self.ceremonies.possible() { PASSKEYS } else { "" };
        let help = match &*self.contact {
            "" => String::new(),
            contact => format!("<p class=\"note\">Questions: {}</p>", escape(contact)),
        };
        format!("<h1>Sign in</h1><p class=\"of\">{of}</p>{provider}{passkeys}{help}")
    }

    async fn invitation(&self, method: &Method, link: String) -> Response<Body> {
        let secret = link.clone();
        let found = match self.known.invitation(&link, (self.clock)()) {
            Ok(()) => self.writer.run(move |core, now| core.invited(&secret, now)).await,
            Err(_) => Ok(None),
        };
        let person = match found {
            Ok(Some(person)) => person,
            Ok(None) => {
                let text = "<h1>This link does not lead anywhere</h1><p>It is used up, too old, or was not copied whole. \
                            Whoever invited you can send another. If you have a passkey already, <a href=\"/sign-in\">sign \
                            in</a>.</p>";
                return page(StatusCode::NOT_FOUND, method, "No such link", text);
            }
            Err(_) => return later(method),
        };
        let body = format!(
            "<h1>Welcome, {name}</h1><p class=\"of\">{of}: you are invited as {role}, for {scope}.</p>\
             <p>You sign in with a passkey: your device or a security key proves that it is you. There is no password.</p>{}{CODES}",
            make("/invite", &link),
            name = escape(&person.name),
            of = escape(&self.organization),
            role = person.grant.role,
            scope = wide(&person),
        );
        lively(StatusCode::OK, method, "Invitation", &body)
    }

    async fn account(&self, parts: &Parts) -> Response<Body> {
        let method = &parts.method;
        let secret = cookie::session(&parts.headers).filter(|secret| self.known.session(secret).is_ok());
        let Some(secret) = secret else { return sign_in_first() };
        let found = self.writer.run(move |core, now| {
            let (here, person) = core.session(&secret, now)?;
            let (passkeys, codes) = (core.passkeys_of(person.id)?, core.codes_left(person.id)?);
            let sessions = core.sessions_of(person.id, now)?;
            Ok(Account { person, here, passkeys, sessions, codes })
        });
        match found.await {
            Ok(account) => {
                let body = match account.here.kind {
                    SessionKind::Full => self.whole(&account),
                    SessionKind::Recovery => self.recovering(&account),
                };
                lively(StatusCode::OK, method, "Your account", &body)
            }
            Err(status) if status.code() == Code::PermissionDenied => sign_in_first(),
            Err(_) => later(method),
        }
    }

    fn recovering(&self, account: &Account) -> String {
        format!(
            "<h1>Make a new passkey</h1><p class=\"of\">{}, {}</p><p>The code is used up; {} are left. With the new passkey you \
             are signed in as always. Then remove the ones that you have lost.</p>{}{CODES}{}",
            escape(&account.person.name),
            escape(&self.organization),
            account.codes,
            make("/account", ""),
            button("Leave", "", ("/account/leave", "", "/sign-in"), ""),
        )
    }

    fn whole(&self, account: &Account) -> String {
        let Account { person, here, passkeys, sessions, codes } = account;
        let mut out = format!(
            "<h1>{}</h1><p class=\"of\">{}: {}, for {}</p><h2>Passkeys</h2>",
            escape(&person.name),
            escape(&self.organization),
            person.grant.role,
            wide(person),
        );
        match &person.subject {
            Some(_) => out.push_str(
                "<p>Your organization's own sign-in lets you in; you need none here. Before you let others in, \
                 <a href=\"/sign-in/provider?anew\">sign in anew</a>.</p>",
            ),
            None => self.ways_in(&mut out, passkeys, *codes),
        }
        self.sessions(&mut out, here, sessions);
        out
    }

    fn ways_in(&self, out: &mut String, passkeys: &[PasskeyRow], codes: u64) {
        out.push_str("<ul class=\"rows\">");
        for row in passkeys {
            let label = escape(&row.label);
            let used = if row.used == Millis(0) {
                "never used".into()
            } else {
                format!("used {} UTC", minute(row.used))
            };
            let sure = format!("Remove the passkey {}? Your other sessions end with it.", row.label);
            let remove = match passkeys.len() {
                1 => String::new(),
                _ => button("Remove", &row.label, ("/account/remove", &hex::encode(&row.id), ""), &sure),
            };
            let _ = write!(
                out,
                "<li><span><b>{label}</b><br/>made {} UTC, {used}</span>{remove}</li>",
                minute(row.created)
            );
        }
        let _ = write!(
            out,
            "</ul>{}<h2>Recovery codes</h2><p>{codes} are left.</p>{CODES}",
            make("/account", "")
        );
        out.push_str(&button(
            "Make new codes",
            "",
            ("/account/codes", "", ""),
            "Make new codes? The old ones are good no more.",
        ));
    }

    fn sessions(&self, out: &mut String, here: &SessionRow, sessions: &[SessionRow]) {
        out.push_str("<h2>Sessions</h2><ul class=\"rows\">");
        for row in sessions {
            let this = if row.hash == here.hash { "This one, " } else { "" };
            let end = match row.hash == here.hash {
                true => button("Sign out", "", ("/account/leave", "", "/sign-in"), ""),
                false => button(
                    "End",
                    &format!("the session from {}", row.address),
                    ("/account/end", &session_name(row), ""),
                    "",
                ),
            };
            let _ = write!(
                out,
                "<li><span>{this}from {}<br/>began {} UTC, used {} UTC</span>{end}</li>",
                escape(&row.address),
                minute(row.created),
                minute(row.used)
            );
        }
        out.push_str("</ul>");
    }

    /// To the identity provider.
    async fn send_away(&self, parts: &Parts) -> Response<Body> {
        let (Some(provider), &Method::GET) = (&self.provider, &parts.method) else {
            return nothing(&parts.method);
        };
        let (_, network) = super::from(parts);
        let anew = parts.uri.query() == Some("anew");
        match provider.send_there(anew, &network, (self.clock)()).await {
            Ok((url, visit)) => {
                let mut response = sign_in_first();
                if let Ok(url) = HeaderValue::from_str(&url) {
                    response.headers_mut().insert(header::LOCATION, url);
                }
                response.headers_mut().insert(header::SET_COOKIE, cookie::set_visit(&visit));
                response
            }
            Err(refused) => not_let_in(&parts.method, &refused.to_string()),
        }
    }

    /// And back.
    async fn come_back(&self, parts: &Parts) -> Response<Body> {
        let method = &parts.method;
        // Looking at a link (a mail scanner, a preview) uses nothing up.
        let (Some(provider), &Method::GET) = (&self.provider, method) else { return nothing(method) };
        let (from, _) = super::from(parts);
        let query = parts.uri.query().unwrap_or_default();
        let of = |name: &str| {
            let found = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name);
            found.map(|(_, value)| value.into_owned())
        };
        let visit = cookie::visit(&parts.headers).unwrap_or_default();
        let state = of("state").unwrap_or_default();
        let entered = match provider.come_back(&visit, of("code").as_deref(), &state, (self.clock)()).await {
            Ok(who) => {
                let old = cookie::session(&parts.headers);
                let run = self.writer.run(move |core, now| {
                    let session = core.provider_says(who, &from, now)?;
                    old.map_or(Ok(()), |old| core.sign_out(&old, &from, now))?;
                    Ok(session)
                });
                run.await.map_err(|status| sentence(status.message()))
            }
            Err(refused) => {
                if let Refused::Nothing { subject } = &refused {
                    let subject = subject.clone();
                    let _ = self.writer.run(move |core, now| core.provider_says_nothing(&subject, now)).await;
                }
                Err(refused.to_string())
            }
        };
        let mut response = match &entered {
            // Not by a redirect: what another site began does not bring the cookie along.
            Ok(session) => {
                let go = "<meta http-equiv=\"refresh\" content=\"0;url=/account\"/><h1>You are signed in</h1>\
                          <p><a href=\"/account\">Go on</a></p>";
                let mut response = page(StatusCode::OK, method, "Signed in", go);
                response.headers_mut().insert(header::SET_COOKIE, cookie::set(session));
                response
            }
            Err(why) => not_let_in(method, why),
        };
        response.headers_mut().append(header::SET_COOKIE, cookie::set_visit(""));
        response
    }
}

fn not_let_in(method: &Method, why: &str) -> Response<Body> {
    let why = escape(why);
    let text = format!("<h1>You were not signed in</h1><p>{why}</p><p><a href=\"/sign-in\">Sign in</a></p>");
    page(StatusCode::FORBIDDEN, method, "Not signed in", &text)
}

fn wide(person: &OperatorRow) -> &'static str {
    match (person.grant.scope.tenant(), person.grant.scope.site()) {
        (None, _) => "the whole organization",
        (Some(_), None) => "one clinic",
        (Some(_), Some(_)) => "one site of a clinic",
    }
}

/// A form that makes a passkey.
fn make(place: &str, link: &str) -> String {
    format!(
        "<form data-way=\"make\" data-place=\"{place}\" data-link=\"{}\"><label for=\"label\">What to call the new passkey</label>\
         <input type=\"text\" id=\"label\" name=\"label\" value=\"Passkey\" autocomplete=\"off\" maxlength=\"60\" \
         required=\"required\"/><button>Make a passkey</button></form>",
        escape(link)
    )
}

/// A button that asks `path`, about `id` (to readers: `of`), and leads to `next`; where there is a question, after a yes.
fn button(text: &str, of: &str, (path, id, next): (&str, &str, &str), sure: &str) -> String {
    let label = if of.is_empty() { text.to_owned() } else { format!("{text} {of}") };
    format!(
        "<form data-way=\"ask\" data-path=\"{path}\" data-id=\"{id}\" data-next=\"{next}\" data-sure=\"{}\">\
         <button class=\"plain\" aria-label=\"{}\">{text}</button></form>",
        escape(sure),
        escape(&label)
    )
}

fn sign_in_first() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/sign-in"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn nothing(method: &Method) -> Response<Body> {
    let text = "<h1>There is nothing here</h1><p><a href=\"/account\">Your account</a></p>";
    page(StatusCode::NOT_FOUND, method, "Nothing here", text)
}

fn later(method: &Method) -> Response<Body> {
    let text =
        "<h1>Not now</h1><p>The server could not do this now. Nothing was changed; try again in a while.</p>";
    page(StatusCode::SERVICE_UNAVAILABLE, method, "Not now", text)
}
