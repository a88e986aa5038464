//! A store that goes away and comes back: nothing is kept twice, and nobody waits for long.

use std::{net::TcpListener, time::Duration};

use anyhow::{Result, ensure};
use control_plane::{
    config::S3,
    vault::{Object, Vault as _},
};
use tests::{
    clock,
    rig::{Relay, s3::Kind, wait},
};

use crate::{bucket, conformance::day, vault};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn what_could_not_be_kept_is_kept_once_when_the_store_is_back() -> Result<()> {
    let Some((_, settings, store)) = bucket(Kind::Rgw)? else { return Ok(()) };
    let (relay, port) = Relay::here(store.port)?;
    let vault = vault(&S3 { host: format!("127.0.0.1:{port}"), ..settings.clone() });
    let keys: Vec<String> = (0..40).map(|n| format!("t/entries/{n:010}")).collect();
    let objects: Vec<Object<'_>> =
        keys.iter().map(|key| Object { key, bytes: key.as_bytes(), retain_until: day(1) }).collect();
    vault.put_all(&objects[..5])?;
    relay.cut(true);
    ensure!(vault.put_all(&objects).is_err(), "there was nobody");
    // From now on nobody waits: whoever asks is told at once.
    let start = clock::instant();
    for _ in 0..100 {
        let refused = vault.put_all(&objects).unwrap_err();
        ensure!(format!("{:#}", anyhow::Error::new(refused)).contains("asked again every second"));
    }
    ensure!(clock::since(start) < Duration::from_secs(2), "100 refusals took {:?}", clock::since(start));
    relay.cut(false);
    let kept = wait::until("the store is back", LIMIT, || Ok(vault.put_all(&objects).ok()))?;
    ensure!(kept.len() == 40 && vault.put_all(&objects)? == kept);
    let paths: Vec<&str> = keys.iter().map(String::as_str).collect();
    let seen = vault.look(&paths)?;
    // But for the one on which it was tried whether this store minds that a key is taken.
    let twice = seen.iter().filter(|seen| seen.versions.len() > 1).count();
    ensure!(twice <= 1, "{twice} were kept twice: {seen:?}");
    Ok(())
}

/// The line is cut at any moment, again and again: what was acknowledged is there, and everything in the end.
#[test]
fn a_line_that_is_cut_again_and_again_loses_nothing() -> Result<()> {
    let Some((_, settings, store)) = bucket(Kind::Rgw)? else { return Ok(()) };
    let (relay, port) = Relay::here(store.port)?;
    let vault = vault(&S3 { host: format!("127.0.0.1:{port}"), ..settings.clone() });
    let mut acknowledged = 0;
    std::thread::scope(|scope| -> Result<()> {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let relay = &relay;
        scope.spawn(move || {
            let mut cut = false;
            let mut span = 5;
            // Every time a little later in what is under way.
            while stopped.recv_timeout(Duration::from_millis(span)).is_err() && !stopped_is_gone(&stopped) {
                cut = !cut;
                relay.cut(cut);
                span = if cut { 20 } else { 40 + (span * 7) % 400 };
            }
            relay.cut(false);
        });
        for n in 0..20 {
            let key = format!("t/entries/{n:010}");
            wait::until("it is kept", LIMIT, || Ok(vault.put(&key, key.as_bytes(), day(1)).ok()))?;
            acknowledged += 1;
        }
        drop(stop);
        Ok(())
    })?;
    let there = crate::vault(&settings);
    ensure!(there.list("t")?.len() == acknowledged);
    for key in there.list("t")? {
        ensure!(there.get(&key)?.as_deref() == Some(key.as_bytes()), "{key} has other bytes");
    }
    Ok(())
}

fn stopped_is_gone(stopped: &std::sync::mpsc::Receiver<()>) -> bool {
    matches!(stopped.try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected))
}

/// One that takes the call and says nothing is the worst: the caller waits once, and not for ever.
#[test]
fn a_store_that_takes_the_call_and_says_nothing_is_waited_for_once() -> Result<()> {
    let Some((_, settings, _)) = bucket(Kind::Ministack)? else { return Ok(()) };
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let vault = vault(&S3 { host: silent.local_addr()?.to_string(), ..settings });
    let start = clock::instant();
    ensure!(vault.put("t/k", b"x", day(1)).is_err());
    ensure!(clock::since(start) < Duration::from_secs(30), "waited {:?}", clock::since(start));
    let start = clock::instant();
    ensure!(vault.put("t/k", b"x", day(1)).is_err() && clock::since(start) < Duration::from_secs(1));
    Ok(())
}
