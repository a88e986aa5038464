//! One entry as `journalctl -o json` writes it (systemd's JOURNAL_EXPORT_FORMATS, "Journal JSON Format").

use std::borrow::Cow;

use serde::Deserialize;

/// What of it is needed.
#[derive(Debug, Deserialize)]
pub(super) struct Entry {
    /// Where it stands; not to be looked into.
    #[serde(rename = "__CURSOR")]
    pub(super) cursor: String,
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    written: String,
    #[serde(rename = "MESSAGE", default)]
    message: Option<Field>,
    #[serde(rename = "PRIORITY", default)]
    priority: Option<Field>,
}

/// A field's value: text, bytes when it is not UTF-8, several when it was given several times, `null` when it is long.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Field {
    Text(String),
    Bytes(Vec<u8>),
    Several(Vec<Option<Field>>),
}

impl Entry {
    /// Reads a line; `None`: it is none.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// When journald wrote it, in microseconds.
    pub(super) fn written(&self) -> Option<u64> {
        self.written.parse().ok()
    }

    /// 0 (emergency) to 7 (debug).
    pub(super) fn priority(&self) -> Option<u8> {
        self.priority.as_ref()?.texts().first()?.as_deref()?.parse().ok()
    }

    /// What it says, whole; `None`: something of it was left out.
    pub(super) fn messages(&self) -> Option<Vec<Cow<'_, str>>> {
        self.message.as_ref()?.texts().into_iter().collect()
    }
}

impl Field {
    fn texts(&self) -> Vec<Option<Cow<'_, str>>> {
        match self {
            Self::Text(text) => vec![Some(text.into())],
            Self::Bytes(bytes) => vec![Some(String::from_utf8_lossy(bytes))],
            Self::Several(each) => {
                each.iter().flat_map(|field| field.as_ref().map_or(vec![None], Self::texts)).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(rest: &str) -> Entry {
        Entry::read(format!(r#"{{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"17"{rest}}}"#).as_bytes()).unwrap()
    }

    #[test]
    fn every_form_of_a_field_is_read() {
        let plain = entry(r#","MESSAGE":"hello","PRIORITY":"3","_BOOT_ID":"x""#);
        assert_eq!((plain.messages().unwrap(), plain.priority()), (vec!["hello".into()], Some(3)));
        assert_eq!((plain.cursor.as_str(), plain.written()), ("s=1", Some(17)));
        let bytes = entry(r#","MESSAGE":[104,255,105]"#);
        assert_eq!(bytes.messages().unwrap(), ["h\u{fffd}i"]);
        let several = entry(r#","MESSAGE":["one",[255,50]]"#);
        assert_eq!(several.messages().unwrap(), ["one", "\u{fffd}2"]);
        for unread in [r#","MESSAGE":null"#, "", r#","MESSAGE":["one",null]"#] {
            assert!(entry(unread).messages().is_none(), "{unread}");
        }
        for strange in ["", "{}", "-- Boot --", r#"{"__CURSOR":7}"#] {
            assert!(Entry::read(strange.as_bytes()).is_none(), "{strange}");
        }
    }
}
