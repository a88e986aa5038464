//! What an object store is asked, and how often: the writer waits for every request, and a store wants money for it.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use anyhow::{Result, ensure};
use control_plane::{
    config::{S3, Secret},
    vault::{Object, S3Vault, Vault as _},
};
use tests::rig::s3::Kind;

use crate::{bucket, conformance::day, vault};

fn asked<T>(vault: &S3Vault, work: impl FnOnce() -> T) -> (T, u64) {
    let before = vault.requests();
    let outcome = work();
    (outcome, vault.requests() - before)
}

/// An append is two objects: its entries, then its checkpoint.
fn an_append_is_twice(each: u64, kind: Kind) -> Result<()> {
    let Some((_, settings, _)) = bucket(kind)? else { return Ok(()) };
    let vault = vault(&settings);
    // The first of a process finds out whether a write can be made on condition that the key is free.
    let (_, begun) = asked(&vault, || vault.put("t/entries/begun", b"entries", day(1)));
    ensure!(begun == 5, "the first object took {begun} requests");
    let (_, first) = asked(&vault, || vault.put("t/entries/0", b"entries", day(1)));
    let (_, second) = asked(&vault, || vault.put("t/checkpoints/1", b"a checkpoint", day(1)));
    ensure!((first, second) == (each, each), "entries took {first} requests, the checkpoint {second}");
    let keys: Vec<String> = (0..20).map(|n| format!("t{n}/checkpoints/1")).collect();
    let object = |key| Object { key, bytes: b"a checkpoint", retain_until: day(1) };
    let all: Vec<Object<'_>> = keys.iter().map(|key| object(key)).collect();
    let (kept, many) = asked(&vault, || vault.put_all(&all));
    ensure!(many == 20 * each, "20 checkpoints took {many} requests");
    // Said again: what is there is found, and nothing is written.
    let (again, many) = asked(&vault, || vault.put_all(&all));
    ensure!(again? == kept? && many <= 60, "20 checkpoints that are there took {many} requests");
    ensure!(vault.look(&["t0/checkpoints/1"])?[0].versions.len() == 1, "it was written twice");
    let (_, looked) = asked(&vault, || vault.get("t/entries/1"));
    ensure!(looked == 1, "that there is nothing took {looked} requests");
    Ok(())
}

#[test]
fn an_append_is_eight_requests_on_ceph() -> Result<()> {
    an_append_is_twice(4, Kind::Rgw)
}

#[test]
fn an_append_is_six_requests_on_a_quick_store() -> Result<()> {
    an_append_is_twice(3, Kind::Ministack)
}

/// A store that answers what a test says, and notes what it was asked.
struct StandIn {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl StandIn {
    fn start(answer: impl Fn(&str) -> (u16, String, String) + Send + 'static) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = asked.clone();
        // One connection at a time, and one request on it: it ends with the test.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = serve(stream, &answer, &noted);
            }
        });
        Ok(Self { port, asked })
    }
}

fn serve(
    stream: TcpStream,
    answer: impl Fn(&str) -> (u16, String, String),
    asked: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?);
    let (mut first, mut line, mut length) = (String::new(), String::from("-"), 0_u64);
    lines.read_line(&mut first)?;
    while !line.trim().is_empty() {
        line.clear();
        lines.read_line(&mut line)?;
        let said = line.to_ascii_lowercase();
        length = said.strip_prefix("content-length:").and_then(|n| n.trim().parse().ok()).unwrap_or(length);
    }
    std::io::copy(&mut std::io::Read::take(lines, length), &mut std::io::sink())?;
    let first = first.trim_end_matches(" HTTP/1.1\r\n").to_owned();
    let (status, headers, body) = answer(&first);
    asked.lock().unwrap().push(first);
    let length = body.len();
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status} -\r\n{headers}connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

fn in_front_of(stand_in: &StandIn) -> Result<(tempfile::TempDir, S3Vault)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("credentials");
    let text = "aws_access_key_id = A\naws_secret_access_key = b\n";
    control_plane::files::create(&path, text.as_bytes(), control_plane::files::Access::Secret)?;
    let settings = S3 {
        scheme: "http".to_owned(),
        host: format!("127.0.0.1:{}", stand_in.port),
        region: "us-east-1".to_owned(),
        bucket: "evidence".to_owned(),
        prefix: "o".to_owned(),
        path_style: true,
        credentials: Some(Secret::file("vault.credentials", path)),
        authority: None,
    };
    Ok((folder, vault(&settings)))
}

fn page(keys: &[&str], next: Option<&str>) -> String {
    let versions: String = keys
        .iter()
        .map(|key| format!("<Version><Key>o/{key}</Key><VersionId>v</VersionId></Version>"))
        .collect();
    let next = next.map_or_else(String::new, |key| {
        format!("<IsTruncated>true</IsTruncated><NextKeyMarker>o/{key}</NextKeyMarker><NextVersionIdMarker>v</NextVersionIdMarker>")
    });
    format!("<ListVersionsResult>{versions}{next}</ListVersionsResult>")
}

/// A list has as many pages as it has, each a call of its own; whoever knows where it stands begins there.
#[test]
fn a_list_is_read_page_by_page_from_where_one_stands() -> Result<()> {
    let store = StandIn::start(|first| {
        let body = match first.split_once("key-marker=").map(|(_, rest)| rest.split('&').next()) {
            None => page(&["t/1", "t/2"], Some("t/2")),
            Some(Some("o%2Ft%2F2")) => page(&["t/3"], Some("t/3")),
            Some(Some("o%2Ft%2F3")) => page(&["t/4"], None),
            // A store that does not leave out where it is to begin behind.
            Some(Some("o%2Ft%2F30")) => page(&["t/30", "t/4"], None),
            other => panic!("{other:?}"),
        };
        (200, String::new(), body)
    })?;
    let (_folder, vault) = in_front_of(&store)?;
    assert_eq!(vault.list("t")?, ["t/1", "t/2", "t/3", "t/4"]);
    assert_eq!(vault.requests(), 3);
    assert_eq!(vault.list_after("t", "t/3")?, ["t/4"]);
    assert_eq!(vault.list_after("t", "t/30")?, ["t/4"]);
    assert_eq!(vault.requests(), 5);
    let last = store.asked.lock().unwrap().last().cloned().unwrap_or_default();
    ensure!(last.contains("prefix=o%2Ft%2F") && !last.contains("version-id-marker"), "{last}");
    Ok(())
}

#[test]
fn a_list_that_goes_round_in_circles_is_ended() -> Result<()> {
    for (second, third) in [("t/3", "t/3"), ("t/3", "t/2")] {
        let store = StandIn::start(move |first| {
            let next = match first {
                first if first.contains("marker=o%2Ft%2F3") => third,
                _ => second,
            };
            (200, String::new(), page(&["t/1"], Some(next)))
        })?;
        let (_folder, vault) = in_front_of(&store)?;
        let refused = vault.list("t").unwrap_err();
        ensure!(format!("{:#}", anyhow::Error::new(refused)).contains("has no end"));
        ensure!(vault.requests() == 2, "{}", vault.requests());
    }
    Ok(())
}

/// Whether a store minds the condition is tried once; where it does not, every key is looked at before it is written.
#[test]
fn a_store_that_minds_no_condition_is_looked_at_first() -> Result<()> {
    for (minds, later) in [(true, 3), (false, 4)] {
        let written: Mutex<Vec<String>> = Mutex::default();
        let store = StandIn::start(move |first| {
            let mut written = written.lock().unwrap();
            let lock = "x-amz-object-lock-mode: COMPLIANCE\r\n\
                x-amz-object-lock-retain-until-date: 2040-01-01T00:00:00Z\r\n";
            if let Some(path) = first.strip_prefix("PUT /evidence/o/") {
                let key = path.split('?').next().unwrap_or_default().to_owned();
                if minds && written.contains(&key) {
                    return (412, String::new(), "<Error><Code>PreconditionFailed</Code></Error>".to_owned());
                }
                written.push(key);
                return (200, format!("x-amz-version-id: {}\r\n", written.len()), String::new());
            }
            if first.contains("versionId=") {
                return (200, lock.to_owned(), "x".to_owned());
            }
            let of = |key: &String| first.contains(&format!("prefix=o%2F{key}"));
            let all = written.iter().enumerate().rev().filter(|(_, key)| of(key));
            let versions: String = all
                .map(|(n, key)| {
                    format!("<Version><Key>o/{key}</Key><VersionId>{}</VersionId></Version>", n + 1)
                })
                .collect();
            (200, String::new(), format!("<ListVersionsResult>{versions}</ListVersionsResult>"))
        })?;
        let (_folder, vault) = in_front_of(&store)?;
        let took: Vec<u64> = ["a", "b", "c"]
            .iter()
            .map(|key| asked(&vault, || vault.put(key, b"x", day(1)).unwrap()).1)
            .collect();
        assert_eq!(took, [5, later, later], "it minds the condition: {minds}");
        let first = vault.kept("a")?.map(|kept| kept.version);
        ensure!(first.as_deref() == Some("1") && vault.put("a", b"x", day(1))?.version == "1");
        let puts = store.asked.lock().unwrap().iter().filter(|asked| asked.starts_with("PUT")).count();
        ensure!(puts == if minds { 5 } else { 4 }, "{puts} writes");
    }
    Ok(())
}
