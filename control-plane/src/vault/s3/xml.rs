//! What S3 says in XML, and the one thing that is said to it so. Pure: bytes in, values out.
//!
//! A server is not believed to be one: answers are bounded before they come here, and what is missing is named.

use jiff::{Timestamp, fmt::rfc2822};
use proto::time::Millis;
use roxmltree::{Document, Node};

use crate::vault::Lock;

/// A page of the versions in a bucket, in the server's order: of one key the newest first.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) versions: Vec<Listed>,
    /// Where the next page begins, if there is one: key and version.
    pub(super) next: Option<(String, String)>,
}

/// A version as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) key: String,
    pub(super) id: String,
    pub(super) is_marker: bool,
}

/// A page of ListObjectVersions.
pub(super) fn page(body: &[u8]) -> Result<Page, String> {
    let text = text(body)?;
    let document = parse(text)?;
    let root = named(&document, "ListVersionsResult")?;
    let mut page = Page::default();
    for node in root.children().filter(Node::is_element) {
        let is_marker = match node.tag_name().name() {
            "Version" => false,
            "DeleteMarker" => true,
            _ => continue,
        };
        page.versions.push(Listed { key: said(&node, "Key")?, id: said(&node, "VersionId")?, is_marker });
    }
    if child(&root, "IsTruncated").as_deref() == Some("true") {
        let key = said(&root, "NextKeyMarker")?;
        page.next = Some((key, child(&root, "NextVersionIdMarker").unwrap_or_default()));
    }
    Ok(page)
}

/// `Status` of GetBucketVersioning; `None`: versioning was never on.
pub(super) fn versioning(body: &[u8]) -> Result<Option<String>, String> {
    let document = parse(text(body)?)?;
    Ok(child(&named(&document, "VersioningConfiguration")?, "Status"))
}

/// `ObjectLockEnabled` of GetObjectLockConfiguration.
pub(super) fn object_lock(body: &[u8]) -> Result<Option<String>, String> {
    let document = parse(text(body)?)?;
    Ok(child(&named(&document, "ObjectLockConfiguration")?, "ObjectLockEnabled"))
}

/// The lock that GetObjectRetention tells of.
pub(super) fn retention(body: &[u8]) -> Result<Lock, String> {
    let document = parse(text(body)?)?;
    let root = named(&document, "Retention")?;
    match child(&root, "Mode") {
        None => Ok(Lock::None),
        Some(mode) => lock(&mode, &said(&root, "RetainUntilDate")?),
    }
}

/// A lock out of its mode and date, as bodies and headers have them.
pub(super) fn lock(mode: &str, until: &str) -> Result<Lock, String> {
    let until = date(until)?;
    match mode {
        "COMPLIANCE" => Ok(Lock::Compliance(until)),
        "GOVERNANCE" => Ok(Lock::Governance(until)),
        other => Err(format!("it names an unknown mode of Object Lock, {other:?}")),
    }
}

/// S3 says dates as ISO 8601, Ceph in headers as HTTP does.
fn date(text: &str) -> Result<Millis, String> {
    let parsed = text.parse::<Timestamp>().or_else(|_| rfc2822::parse(text).map(|zoned| zoned.timestamp()));
    parsed.map(|at| Millis(at.as_millisecond())).map_err(|_| format!("{text:?} is no date"))
}

/// A date to be put: whole seconds, as not every server keeps more; never earlier than `until`.
pub(super) fn seconds(until: Millis) -> Option<(Millis, String)> {
    let seconds = until.0.checked_add(999)?.div_euclid(1000);
    let at = Timestamp::from_second(seconds).ok()?;
    Some((Millis(at.as_millisecond()), at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()))
}

/// The body of PutObjectRetention.
pub(super) fn compliance(until: &str) -> String {
    format!(
        "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>COMPLIANCE</Mode>\
         <RetainUntilDate>{until}</RetainUntilDate></Retention>"
    )
}

/// Code and message of a refusal; empty when it says none.
pub(super) fn refusal(body: &[u8]) -> (String, String) {
    let read = || {
        let document = parse(text(body).ok()?).ok()?;
        let root = named(&document, "Error").ok()?;
        Some((child(&root, "Code").unwrap_or_default(), child(&root, "Message").unwrap_or_default()))
    };
    let printable = |text: String| text.chars().filter(|c| !c.is_control()).take(200).collect();
    let (code, message) = read().unwrap_or_default();
    (printable(code), printable(message))
}

fn text(body: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(body).map_err(|_| "it is not UTF-8".to_owned())
}

fn parse(text: &str) -> Result<Document<'_>, String> {
    // No DTD, hence no entities that unfold.
    Document::parse(text).map_err(|error| format!("it is not XML: {error}"))
}

fn named<'a, 'd>(document: &'a Document<'d>, name: &str) -> Result<Node<'a, 'd>, String> {
    let root = document.root_element();
    match root.tag_name().name() {
        found if found == name => Ok(root),
        found => Err(format!("it is a {found}, and must be a {name}")),
    }
}

fn child(node: &Node<'_, '_>, name: &str) -> Option<String> {
    let child = node.children().find(|child| child.tag_name().name() == name)?;
    child.text().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn said(node: &Node<'_, '_>, name: &str) -> Result<String, String> {
    child(node, name).ok_or_else(|| format!("{} without {name}", node.tag_name().name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix>t/1</Prefix>
<DeleteMarker><Key>t/1</Key><VersionId>m1</VersionId><IsLatest>true</IsLatest></DeleteMarker>
<Version><Key>t/1</Key><VersionId>v.1-a</VersionId><IsLatest>false</IsLatest><Size>3</Size></Version>
<IsTruncated>TRUNCATED</IsTruncated>NEXT</ListVersionsResult>"#;

    #[test]
    fn versions_are_read_in_the_servers_order_page_by_page() {
        let listed = |id: &str, is_marker| Listed { key: "t/1".into(), id: id.into(), is_marker };
        let last = LIST.replace("TRUNCATED", "false").replace("NEXT", "");
        let read = page(last.as_bytes()).unwrap();
        assert_eq!(read, Page { versions: vec![listed("m1", true), listed("v.1-a", false)], next: None });
        let more = LIST.replace("TRUNCATED", "true");
        let next = more.replace(
            "NEXT",
            "<NextKeyMarker>t/1</NextKeyMarker><NextVersionIdMarker>v.1-a</NextVersionIdMarker>",
        );
        assert_eq!(page(next.as_bytes()).unwrap().next, Some(("t/1".into(), "v.1-a".into())));
        // Never taken for the last page: it would hide what follows.
        assert!(page(more.replace("NEXT", "").as_bytes()).unwrap_err().contains("NextKeyMarker"));
        let nameless = last.replace("<VersionId>v.1-a</VersionId>", "");
        assert!(page(nameless.as_bytes()).unwrap_err().contains("Version without VersionId"));
    }

    #[test]
    fn what_is_no_answer_is_said() {
        for (body, says) in [
            (&b"\xff"[..], "not UTF-8"),
            (b"hello", "not XML"),
            (b"<html/>", "it is a html, and must be a ListVersionsResult"),
            (b"<!DOCTYPE a [<!ENTITY b \"c\">]><ListVersionsResult>&b;</ListVersionsResult>", "not XML"),
        ] {
            let problem = page(body).unwrap_err();
            assert!(problem.contains(says), "{problem}");
        }
    }

    #[test]
    fn dates_come_in_two_ways_and_leave_in_one() {
        let at = Millis(2_000_000_000_000);
        for text in ["2033-05-18T03:33:20Z", "2033-05-18T03:33:20.000Z", "Wed, 18 May 2033 03:33:20 GMT"] {
            assert_eq!(lock("COMPLIANCE", text), Ok(Lock::Compliance(at)), "{text}");
        }
        assert_eq!(lock("GOVERNANCE", "2033-05-18T03:33:20Z"), Ok(Lock::Governance(at)));
        assert!(lock("COMPLIANCE", "soon").unwrap_err().contains("no date"));
        assert!(lock("compliance", "2033-05-18T03:33:20Z").unwrap_err().contains("unknown mode"));
        assert_eq!(seconds(at), Some((at, "2033-05-18T03:33:20Z".into())));
        // A date is never rounded towards an earlier one.
        let (later, text) = seconds(Millis(at.0 + 1)).unwrap();
        assert_eq!((later, text.as_str()), (Millis(at.0 + 1000), "2033-05-18T03:33:21Z"));
        assert_eq!(seconds(Millis(i64::MAX)), None);
    }

    #[test]
    fn locks_and_settings_are_read() {
        let body = compliance("2033-05-18T03:33:20Z");
        assert_eq!(retention(body.as_bytes()), Ok(Lock::Compliance(Millis(2_000_000_000_000))));
        assert_eq!(retention(b"<Retention/>"), Ok(Lock::None));
        let on = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
        assert_eq!(versioning(on), Ok(Some("Enabled".into())));
        assert_eq!(versioning(b"<VersioningConfiguration/>"), Ok(None));
        let on = b"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>";
        assert_eq!(object_lock(on), Ok(Some("Enabled".into())));
        let refused = b"<Error><Code>NoSuchBucket</Code><Message>none\x09such</Message></Error>";
        assert_eq!(refusal(refused), ("NoSuchBucket".into(), "nonesuch".into()));
        assert_eq!(refusal(b"<html>"), (String::new(), String::new()));
    }
}
