//! Reading a body: its kind comes first and says what the rest is, so the rest is read once, where it lies.
//!
//! The rule: the order of an object's fields means nothing. A kind that comes later is found as well, only not as fast.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Map, Value};

use super::Body;

/// The field that says which.
const KIND: &str = "kind";

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Enrolment,
    Heartbeat,
    Execution,
    Refusal,
    Hold,
    Scan,
    Document,
    Update,
}

impl Kind {
    fn read<'de, D: Deserializer<'de>>(self, rest: D) -> Result<Body, D::Error> {
        Ok(match self {
            Self::Enrolment => Body::Enrolment(Deserialize::deserialize(rest)?),
            Self::Heartbeat => Body::Heartbeat(Deserialize::deserialize(rest)?),
            Self::Execution => Body::Execution(Deserialize::deserialize(rest)?),
            Self::Refusal => Body::Refusal(Deserialize::deserialize(rest)?),
            Self::Hold => Body::Hold(Deserialize::deserialize(rest)?),
            Self::Scan => Body::Scan(Deserialize::deserialize(rest)?),
            Self::Document => Body::Document(Deserialize::deserialize(rest)?),
            Self::Update => Body::Update(Deserialize::deserialize(rest)?),
        })
    }
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Body;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a kind")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body, A::Error> {
        let mut next: Option<String> = map.next_key()?;
        if next.as_deref() == Some(KIND) {
            let kind: Kind = map.next_value()?;
            return kind.read(MapAccessDeserializer::new(map));
        }
        let mut rest = Map::new();
        while let Some(name) = next {
            let value = map.next_value()?;
            if rest.insert(name.clone(), value).is_some() {
                return Err(A::Error::custom(format_args!("duplicate field `{name}`")));
            }
            next = map.next_key()?;
        }
        let kind = rest.remove(KIND).ok_or_else(|| A::Error::missing_field(KIND))?;
        let kind: Kind = serde_json::from_value(kind).map_err(A::Error::custom)?;
        kind.read(Value::Object(rest)).map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Body, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_kind_may_stand_anywhere() {
        let expected = read(r#"{"kind":"hold","held":true,"by":"file"}"#).unwrap();
        assert_eq!(expected.kind(), "hold");
        for text in [
            r#"{"held":true,"kind":"hold","by":"file"}"#,
            r#"{"by":"file","held":true,"kind":"hold"}"#,
            r#"{"\u006bind":"hold","by":"file","held":true}"#,
        ] {
            assert_eq!(read(text).as_ref(), Ok(&expected), "{text}");
        }
        assert_eq!(serde_json::to_string(&expected).unwrap(), r#"{"kind":"hold","held":true,"by":"file"}"#);
    }

    #[test]
    fn what_is_not_known_or_said_twice_is_refused() {
        for (text, says) in [
            (r#"{"held":true,"by":"file"}"#, "missing field `kind`"),
            (r#"{"kind":"hold","held":true}"#, "missing field `by`"),
            (r#"{"kind":"telepathy","held":true}"#, "unknown variant `telepathy`"),
            (r#"{"kind":"unknown"}"#, "unknown variant `unknown`"),
            (r#"{"kind":"hold","held":true,"by":"file","why":"x"}"#, "unknown field `why`"),
            (r#"{"held":true,"by":"file","why":"x","kind":"hold"}"#, "unknown field `why`"),
            (r#"{"kind":"hold","held":true,"by":"file","by":"x"}"#, "duplicate field `by`"),
            (r#"{"held":true,"by":"file","by":"x","kind":"hold"}"#, "duplicate field `by`"),
            (r#"{"kind":"hold","kind":"hold","held":true,"by":"file"}"#, "unknown field `kind`"),
            (r#"{"held":true,"kind":"hold","kind":"hold","by":"file"}"#, "duplicate field `kind`"),
            (r#"["hold"]"#, "an object with a kind"),
        ] {
            assert!(read(text).unwrap_err().contains(says), "{text}: {:?}", read(text));
        }
    }
}
