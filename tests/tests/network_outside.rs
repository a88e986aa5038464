//! What stands between a clinic's network and the control plane, with the real programs: closed ports, portals, firewalls
//! that open TLS, wrong clocks, certificates that have ended. Each is named by its code, and nothing else is. As root.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::rig::{
    OnSite,
    network::GATEWAY,
    on_site::{NAME, PORT, from_the_clinic, redirected},
    process::{Process, run},
};

const PORTAL: &str = "return 302 http://portal.clinic.test/login";

#[test]
fn closed_ports_and_portals_are_named() -> Result<()> {
    let Some(mut it) = OnSite::open()? else { return Ok(()) };
    it.enrol()?;
    it.is_well()?;
    it.network.firewall(&from_the_clinic(&format!("tcp dport {PORT} drop")))?;
    let seen = it.finds("port-filtered")?;
    ensure!(seen.contains("open outbound TCP") && seen.contains(&format!("{NAME}:{PORT}")), "{seen}");
    it.machine.run("systemctl", &["restart", "orderly-agent.service"])?;
    it.agent_says(&"port-filtered".into())?;
    let closed = from_the_clinic(&format!("tcp dport {PORT} reject with tcp reset"));
    it.network.firewall(&closed)?;
    it.finds("port-closed")?;
    it.agent_says(&"port-closed".into())?;

    // A portal: every page is its own, everything else is turned away.
    let portal = it.web_server(PORTAL)?;
    it.network.firewall(&(closed.clone() + &redirected(80, 8080)))?;
    ensure!(it.finds("captive-portal")?.contains("portal.clinic.test"));
    // One that answers for every name, too.
    it.dns(&[&format!("--address=/#/{GATEWAY}")])?;
    ensure!(it.finds("captive-portal")?.contains("portal.clinic.test"));
    it.good_dns()?;
    drop(portal);

    // Somebody else's web server where the control plane should be.
    let _other = it.web_server("return 200 hello")?;
    it.network.firewall(&redirected(PORT, 8080))?;
    it.finds("not-control-plane")?;
    it.agent_says(&"not-control-plane".into())?;
    it.network.firewall("")?;
    it.agent_says(&Value::Null)?;
    it.is_well()
}

#[test]
fn a_firewall_that_opens_tls_is_named() -> Result<()> {
    let Some(it) = OnSite::open()? else { return Ok(()) };
    it.enrol()?;
    it.is_well()?;
    let _firewall = inspector(&it)?;
    it.network.firewall(&redirected(PORT, 8444))?;
    let seen = it.finds("tls-inspected")?;
    ensure!(seen.contains("Clinic Firewall"), "whose certificate it is: {seen}");
    it.machine.run("systemctl", &["restart", "orderly-agent.service"])?;
    it.agent_says(&"tls-inspected".into())?;
    it.network.firewall("")?;
    it.agent_says(&Value::Null)?;
    it.is_well()
}

/// An OpenSSL server in the firewall's place, with a certificate for our name by an authority of the clinic.
fn inspector(it: &OnSite) -> Result<Process> {
    let folder = it.folder.join("network");
    let new = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30";
    let make = format!(
        "{new} -keyout ca.key -out ca.pem -subj '/O=Clinic Firewall/CN=Inspection' && \
         {new} -keyout own.key -out own.pem -CA ca.pem -CAkey ca.key -subj /CN={NAME} \
         -addext subjectAltName=DNS:{NAME} -addext basicConstraints=critical,CA:FALSE"
    );
    run(Command::new("sh").args(["-c", &make]).current_dir(&folder), &[0])?;
    let file = |name: &str| folder.join(name).display().to_string();
    let (own, key, ca) = (file("own.pem"), file("own.key"), file("ca.pem"));
    let mut args = vec!["s_server", "-4", "-accept", "8444", "-alpn", "h2", "-quiet"];
    args.extend(["-cert", &own, "-key", &key, "-cert_chain", &ca]);
    it.network.daemon("openssl", &args, 8444)
}

#[test]
fn wrong_clocks_and_ended_certificates_are_named() -> Result<()> {
    let Some(mut it) = OnSite::enrolled()? else { return Ok(()) };
    let library = it.machine.run("sh", &["-c", "echo /usr/lib/*/faketime/libfaketime.so.1"])?;
    let library = library.trim().to_owned();
    for time in ["-6y", "+10d"] {
        it.finds_all(&clock_of(&library, time).each_ref().map(String::as_str), &["clock-wrong"])?;
    }
    expired(&mut it, &library)?;
    it.syncs()?;
    let listed = it.provider.ask(&["appliance", "list"])?;
    let id = listed["appliances"][0]["id"].as_str().context("an appliance has an ID")?.to_owned();
    it.provider.ask(&["appliance", "revoke", &id, "--reason", "stolen"])?;
    ensure!(it.finds("certificate-revoked")?.contains("call your provider"));
    it.agent_says(&"certificate-revoked".into())
}

fn clock_of(library: &str, time: &str) -> [String; 3] {
    [format!("LD_PRELOAD={library}"), format!("FAKETIME={time}"), "DONT_FAKE_MONOTONIC=1".to_owned()]
}

/// A box that was off for longer than its certificate lasts: for control plane and box alike it is eight days later.
fn expired(it: &mut OnSite, library: &str) -> Result<()> {
    let unpacked = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/packages/root");
    let outside = format!("{unpacked}{library}");
    it.machine.run("systemctl", &["stop", "orderly-agent.service"])?;
    it.provider.stop()?;
    it.provider.set_clock(Path::new(&outside), Some("+8d"));
    it.provider.start()?;
    it.finds_all(&clock_of(library, "+8d").each_ref().map(String::as_str), &["certificate-expired"])?;
    it.provider.stop()?;
    it.provider.set_clock(Path::new(&outside), None);
    it.provider.start()?;
    it.machine.run("systemctl", &["start", "orderly-agent.service"]).map(drop)
}
