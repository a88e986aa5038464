//! The cookie that holds a session's secret.

use http::{HeaderMap, HeaderValue, header};

use crate::access::SESSION_MAX;

/// `__Host-`: browsers take it from this host alone, over TLS, for every path.
const NAME: &str = "__Host-orderly-session";
const KIND: &str = "Path=/; Secure; HttpOnly; SameSite=Strict";

/// The session that a request comes with. Two of the name are none: only one of them is ours.
pub fn session(headers: &HeaderMap) -> Option<String> {
    the_only(headers, NAME)
}

fn the_only(headers: &HeaderMap, called: &str) -> Option<String> {
    let mut found = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == called)
        .map(|(_, value)| value.to_owned());
    let first = found.next();
    first.filter(|value| !value.is_empty() && found.next().is_none())
}

/// Sets it.
pub fn set(secret: &str) -> HeaderValue {
    let text = format!("{NAME}={secret}; Max-Age={}; {KIND}", SESSION_MAX.as_secs());
    HeaderValue::from_str(&text).unwrap_or_else(|_| clear())
}

/// What somebody brings back from the identity provider. That is another site, which leads the browser here: hence `Lax`.
const VISIT: &str = "__Host-orderly-visit";

/// The visit that a request comes back from.
pub fn visit(headers: &HeaderMap) -> Option<String> {
    the_only(headers, VISIT)
}

/// Sets it, and (empty) has the browser forget it.
pub fn set_visit(name: &str) -> HeaderValue {
    let age = if name.is_empty() { 0 } else { 600 };
    let text = format!("{VISIT}={name}; Max-Age={age}; Path=/; Secure; HttpOnly; SameSite=Lax");
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Has the browser forget it.
pub fn clear() -> HeaderValue {
    let text = format!("{NAME}=; Max-Age=0; {KIND}");
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_session_is_read_and_two_are_none() {
        let read = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::COOKIE, line.parse().unwrap());
            }
            session(&headers)
        };
        assert_eq!(read(&["a=b; __Host-orderly-session=x"]).as_deref(), Some("x"));
        assert_eq!(read(&["a=b", "__Host-orderly-session=x"]).as_deref(), Some("x"));
        for none in [
            &["orderly-session=x"][..],
            &["__Host-orderly-session="],
            &["__host-orderly-session=x"],
            &["__Host-orderly-session=x; __Host-orderly-session=y"],
            &["__Host-orderly-session=x", "__Host-orderly-session=x"],
        ] {
            assert_eq!(read(none), None, "{none:?}");
        }
        assert_eq!(
            set("x"),
            "__Host-orderly-session=x; Max-Age=43200; Path=/; Secure; HttpOnly; SameSite=Strict"
        );
    }
}
