//! An appliance in a clinic's network, with the real programs: what is wrong with the network is named by its code, and
//! nothing else is. As root. What stands further out is `network_outside.rs`'s.
//!
//! This host's kernel need not know 802.1Q: another VLAN is another bridge that the machine's port is led to, which is
//! what an access port in the wrong VLAN comes to for the box.

use std::{fs, path::Path};

use anyhow::{Result, ensure};
use serde_json::Value;
use tests::rig::{
    OnSite, machine,
    network::{ADDRESS, GATEWAY, OUTSIDE},
    on_site::{NAME, PORT, PROXY_PORT, from_the_clinic},
    process::run,
};

#[test]
fn cable_address_route_and_vlan_are_named() -> Result<()> {
    let Some(it) = OnSite::open()? else { return Ok(()) };
    it.finds("not-enrolled")?;
    it.enrol()?;
    it.is_well()?;
    it.network.run("ip", &["link", "set", "port", "down"])?;
    it.finds("no-link")?;
    let text = it.text()?;
    for word in ["no-link", "plug the network cable in at both ends"] {
        ensure!(text.contains(word), "{word} is not in {text}");
    }
    it.network.run("ip", &["link", "set", "port", "up"])?;
    it.machine.run("ip", &["address", "flush", "dev", "eth0"])?;
    it.finds("no-address")?;
    // A static address, and no gateway.
    it.machine.run("ip", &["address", "add", &format!("{ADDRESS}/24"), "dev", "eth0"])?;
    ensure!(it.finds("no-route")?.contains("set the gateway"));
    it.address()?;
    it.network.replug("other")?;
    let seen = it.finds("gateway-silent")?;
    for word in [GATEWAY, ADDRESS, "VLAN"] {
        ensure!(seen.contains(word), "{word} is not in {seen}");
    }
    it.network.replug("clinic")?;
    it.address()?;
    // A static address of another network: its gateway is not on this wire.
    let other = "ip address flush dev eth0 && ip address add 10.99.0.7/24 dev eth0 && \
                 ip route add default via 10.99.0.1";
    it.machine.run("sh", &["-c", other])?;
    ensure!(it.finds("gateway-silent")?.contains("10.99.0.7"));
    it.machine.run("ip", &["address", "flush", "dev", "eth0"])?;
    it.address()?;
    it.is_well()
}

#[test]
fn broken_dns_is_named() -> Result<()> {
    let Some(mut it) = OnSite::open()? else { return Ok(()) };
    it.enrol()?;
    it.is_well()?;
    it.network.firewall(&from_the_clinic("udp dport 53 drop"))?;
    it.finds("dns-silent")?;
    it.network.firewall("")?;
    it.dns_that_knows(&[])?;
    it.finds("dns-unknown-name")?;
    // It knows nothing by itself, and nobody whom it could ask.
    it.dns(&[])?;
    it.finds("dns-refuses")?;
    // A filter that leads everybody to itself, and one that leads to nowhere.
    it.dns(&[&format!("--address=/#/{GATEWAY}")])?;
    ensure!(it.finds("dns-lies")?.contains("a name that cannot exist"));
    it.dns_that_knows(&[&format!("--address=/{NAME}/0.0.0.0")])?;
    it.finds("dns-lies")?;
    it.machine.run("sh", &["-c", ": > /etc/resolv.conf"])?;
    it.finds("dns-missing")?;
    let resolver = format!("printf 'nameserver {GATEWAY}\\nsearch clinic.test\\n' > /etc/resolv.conf");
    it.machine.run("sh", &["-c", &resolver])?;
    it.good_dns()?;
    it.is_well()
}

#[test]
fn an_appliance_enrols_and_syncs_through_a_proxy() -> Result<()> {
    let Some(mut it) = OnSite::open()? else { return Ok(()) };
    // Nobody gets out directly, and nobody inside knows the names of the outside.
    it.network.firewall(&from_the_clinic(&format!("tcp dport {PORT} drop")))?;
    let (known, announced) =
        (format!("--address=/{NAME}/{OUTSIDE}"), format!("--address=/wpad.clinic.test/{GATEWAY}"));
    it.dns_that_knows(&[&known, &announced])?;
    it.finds_all(&[], &["proxy-needed", "not-enrolled"])?;
    it.dns_that_knows(&[])?;
    let plain = format!("proxy = \"http://{GATEWAY}:{PROXY_PORT}\"");
    it.configure(&plain)?;
    let not_yet = |code: &str| it.finds_all(&[], &[code, "not-enrolled"]);
    not_yet("proxy-unreachable")?;

    let proxy = it.proxy("BasicAuth clinic let-me-out")?;
    not_yet("proxy-authentication")?;
    let enrol = ["enroll", "--token-file", &it.ticket];
    let refused = run(&mut it.machine.command("appliance", &enrol), &[1])?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(said.contains("407") && said.contains("control_plane.proxy_credentials"), "{said}");

    let file = "/etc/orderly/proxy.credentials";
    let write = |secret: &str, mode: &str| {
        let write =
            format!("printf '{secret}\\n' > {file} && chown orderly-agent {file} && chmod {mode} {file}");
        it.machine.run("sh", &["-c", &write]).map(drop)
    };
    it.configure(&format!("{plain}\nproxy_credentials = \"{file}\""))?;
    // A password that others may read is not used.
    write("clinic:let-me-out", "644")?;
    not_yet("proxy-authentication")?;
    write("clinic:wrong", "600")?;
    not_yet("proxy-authentication")?;
    write("clinic:let-me-out", "600")?;
    it.finds("not-enrolled")?;
    it.enrol()?;
    it.syncs()?;
    it.is_well()?;
    let through = it.provider.dir.join("server.log");
    ensure!(!fs::read_to_string(through)?.contains("let-me-out") && !journal(&it)?.contains("let-me-out"));

    // The agent's own words, while the proxy changes beneath it.
    drop(proxy);
    it.agent_says(&"proxy-unreachable".into())?;
    let strict = it.proxy("BasicAuth clinic let-me-out\nConnectPort 443")?;
    it.finds("proxy-refuses")?;
    it.agent_says(&"proxy-refuses".into())?;
    drop(strict);
    let _other = it.proxy("BasicAuth clinic another")?;
    it.finds("proxy-authentication")?;
    it.agent_says(&"proxy-authentication".into())?;
    // A new password needs no restart.
    let new = format!("printf 'clinic:another\\n' > {file}");
    it.machine.run("sh", &["-c", &new])?;
    it.agent_says(&Value::Null)?;
    it.syncs()
}

fn journal(it: &OnSite) -> Result<String> {
    it.machine.run("journalctl", &["-o", "cat", "--no-pager"])
}

/// What the tests stand on: without the daemons they could not fail.
#[test]
fn the_daemons_are_there() -> Result<()> {
    if machine::unavailable()?.is_some() {
        return Ok(());
    }
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/packages/root/usr"));
    for program in ["sbin/dnsmasq", "sbin/nginx", "sbin/nft", "bin/tinyproxy", "bin/openssl"] {
        ensure!(root.join(program).exists(), "{program} is not unpacked; run `.ci/setup test`");
    }
    Ok(())
}
