//! Templates of URLs and JSON with variables in braces: checked once, filled many times.

use serde_json::Value;

use super::{VARIABLES, Words};

/// Why a template is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Not JSON.
    #[error("JSON: {0}")]
    Json(String),
    /// A word in braces that stands for nothing.
    #[error("JSON or a URL with these variables in braces: {}; {{{name}}} is none", VARIABLES.join(", "))]
    Unknown {
        /// The word.
        name: String,
    },
    /// A variable where it could change more than a value.
    #[error("variables only in values, and in a URL only after its host")]
    Place,
}

/// A JSON text whose strings may hold variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body(Value);

/// A URL whose path and query may hold variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link(String);

impl Body {
    /// Reads and checks.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| TemplateError::Json(error.to_string()))?;
        check(&value)?;
        Ok(Self(value))
    }

    /// With everything put in.
    #[must_use]
    pub fn fill(&self, words: &Words<'_>) -> Value {
        filled(&self.0, words)
    }
}

impl Link {
    /// Reads and checks; whether it is a URL at all is for who knows URLs.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let host = text.split_once("://").map_or(text, |(_, rest)| rest);
        let host = host.split(['/', '?', '#']).next().unwrap_or_default();
        if host.contains(['{', '}']) {
            return Err(TemplateError::Place);
        }
        known(text)?;
        Ok(Self(text.to_owned()))
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// With everything put in, encoded.
    #[must_use]
    pub fn fill(&self, words: &Words<'_>) -> String {
        fill(&self.0, |name| encoded(&words.of(name)))
    }
}

fn check(value: &Value) -> Result<(), TemplateError> {
    match value {
        Value::String(text) => known(text),
        Value::Array(all) => all.iter().try_for_each(check),
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| {
            if parts(name).any(|part| matches!(part, Part::Variable(_))) {
                return Err(TemplateError::Place);
            }
            check(value)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

fn known(text: &str) -> Result<(), TemplateError> {
    let unknown = parts(text).find_map(|part| match part {
        Part::Variable(name) if !VARIABLES.contains(&name) => Some(name),
        _ => None,
    });
    unknown.map_or(Ok(()), |name| Err(TemplateError::Unknown { name: name.to_owned() }))
}

fn filled(value: &Value, words: &Words<'_>) -> Value {
    match value {
        Value::String(text) => Value::String(fill(text, |name| words.of(name))),
        Value::Array(all) => all.iter().map(|value| filled(value, words)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), filled(value, words))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// In one pass: what is put in is not looked at again.
fn fill(text: &str, of: impl Fn(&str) -> String) -> String {
    parts(text)
        .map(|part| match part {
            Part::Text(text) => text.to_owned(),
            Part::Variable(name) => of(name),
        })
        .collect()
}

enum Part<'t> {
    Text(&'t str),
    Variable(&'t str),
}

/// A word of small letters in braces is a variable; any other brace is a brace.
fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if let Some(name) = leading(rest) {
            rest = &rest[name.len() + 2..];
            return Some(Part::Variable(name));
        }
        let next = (1..rest.len()).find(|at| rest.is_char_boundary(*at) && leading(&rest[*at..]).is_some());
        let (text, after) = rest.split_at(next.unwrap_or(rest.len()));
        rest = after;
        Some(Part::Text(text))
    })
}

fn leading(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix('{')?.split_once('}')?;
    let is_word = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    is_word.then_some(name)
}

/// RFC 3986 section 2.1: everything but what is never special.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::telling::{News, tests::message};

    #[test]
    fn what_is_put_in_stays_inside_its_string() {
        let mut message = message(News::Raised);
        message.reason = r#"", "priority": {"id": 1}, "x": "{key}"#.into();
        let words = Words { message: &message, thread: "t1", ticket: "7" };
        let body = Body::parse(
            r#"{ "summary": "{title}", "note": "({reason})", "n": 3, "list": [{ "x": "{key}/{ticket}" }], "brace": "{ {}" }"#,
        )
        .unwrap();
        assert_eq!(
            body.fill(&words),
            json!({
                "summary": "backup.stale on records at Elm Street Clinic",
                "note": r#"(", "priority": {"id": 1}, "x": "{key})"#,
                "n": 3,
                "list": [{ "x": "t1/7" }],
                "brace": "{ {}",
            })
        );
    }

    #[test]
    fn what_is_put_into_a_url_cannot_leave_its_place() {
        let mut message = message(News::Raised);
        message.tenant.name = "../a?b=c&d#é".into();
        let words = Words { message: &message, thread: "t1", ticket: "7/../8" };
        let link = Link::parse("https://psa.example/tickets/{ticket}?of={tenant}").unwrap();
        assert_eq!(
            link.fill(&words),
            "https://psa.example/tickets/7%2F..%2F8?of=..%2Fa%3Fb%3Dc%26d%23%C3%A9"
        );
    }

    #[test]
    fn what_is_no_template_is_refused() {
        assert!(matches!(Body::parse("{"), Err(TemplateError::Json(_))));
        assert_eq!(Body::parse(r#"{"a":"{colour}"}"#), Err(TemplateError::Unknown { name: "colour".into() }));
        assert_eq!(Body::parse(r#"{"{title}":1}"#), Err(TemplateError::Place));
        assert_eq!(Link::parse("https://{tenant}.example/"), Err(TemplateError::Place));
        assert_eq!(Link::parse("https://a/{colour}"), Err(TemplateError::Unknown { name: "colour".into() }));
        let said = TemplateError::Unknown { name: "colour".into() }.to_string();
        assert!(said.contains("title, watch; {colour} is none"), "{said}");
    }
}
