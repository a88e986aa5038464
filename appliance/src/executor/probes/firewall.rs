//! What the packet filter does with a new connection from outside: nftables, as `nft` tells it.

use std::collections::BTreeSet;

use baseline::{Blind, Reading, Word};
use serde_json::Value;

use super::{Look, read, reading};

/// So many ports stand for a rule that accepts whatever comes.
const ALL: i64 = 65_535;
/// Ports of a DHCP client.
const DHCP: [i64; 2] = [68, 546];
/// How deep chains may call each other; nftables itself allows 16.
const DEPTH: u8 = 16;

/// The whole ruleset of the network that this program runs in.
pub(super) fn read(look: &Look<'_>) -> Result<Reading, Blind> {
    let text = read::program(look, &look.programs.nft, &["--json", "list", "ruleset"])?;
    parse(&text)
}

fn parse(text: &str) -> Result<Reading, Blind> {
    let tree: Value = serde_json::from_str(text).map_err(|_| Blind::Unreadable)?;
    let items = tree["nftables"].as_array().ok_or(Blind::Unreadable)?;
    let entry = chains(items, |chain| chain["hook"] == "input" && chain["type"] == "filter");
    let drops = entry.iter().filter(|chain| chain["policy"] == "drop").count();
    let input = match (entry.len(), drops) {
        (0, _) => "absent",
        // A packet must pass all of them.
        (_, 1..) => "drop",
        _ => "accept",
    };
    let mut open = Open { items, ports: BTreeSet::new(), all: false, seen: BTreeSet::new() };
    for chain in entry {
        open.walk(chain, DEPTH);
    }
    let ports = if open.all { ALL } else { i64::try_from(open.ports.len()).unwrap_or(ALL) };
    Ok(reading([
        ("input", Word::of(input, &["drop", "accept", "absent"]).into()),
        ("open_ports", ports.into()),
    ]))
}

fn chains(items: &[Value], wanted: impl Fn(&Value) -> bool) -> Vec<&Value> {
    items.iter().filter_map(|item| item.get("chain")).filter(|chain| wanted(chain)).collect()
}

/// What chains accept, found by following them.
struct Open<'a> {
    items: &'a [Value],
    /// Protocol and port.
    ports: BTreeSet<(String, i64)>,
    all: bool,
    seen: BTreeSet<String>,
}

impl<'a> Open<'a> {
    fn walk(&mut self, chain: &'a Value, depth: u8) {
        if depth == 0
            || !self.seen.insert(format!("{} {} {}", chain["family"], chain["table"], chain["name"]))
        {
            return;
        }
        let is_of = |rule: &&Value| {
            rule["family"] == chain["family"]
                && rule["table"] == chain["table"]
                && rule["chain"] == chain["name"]
        };
        let rules: Vec<&Value> =
            self.items.iter().filter_map(|item| item.get("rule")).filter(is_of).collect();
        for rule in rules {
            self.follow(chain, rule, depth);
        }
    }

    fn follow(&mut self, chain: &'a Value, rule: &'a Value, depth: u8) {
        let Some(parts) = rule["expr"].as_array() else { return };
        let mut ports: Option<Vec<(String, i64)>> = None;
        for part in parts {
            if let Some(test) = part.get("match") {
                if is_harmless(test) {
                    return;
                }
                if let Some(found) = self.destination(chain, test) {
                    ports = Some(found);
                }
            } else if let Some(map) = part.get("vmap") {
                self.follow_map(chain, map, depth);
            } else if part.get("accept").is_some() {
                self.accept(ports.clone());
            } else if let Some(called) = part.get("jump").or_else(|| part.get("goto")) {
                self.call(chain, &called["target"], depth);
            }
        }
    }

    /// `None`: whatever comes.
    fn accept(&mut self, ports: Option<Vec<(String, i64)>>) {
        match ports {
            None => self.all = true,
            Some(ports) => self.ports.extend(ports.into_iter().filter(|(_, port)| !DHCP.contains(port))),
        }
        self.all |= self.ports.len() >= usize::try_from(ALL).unwrap_or(usize::MAX);
    }

    fn call(&mut self, chain: &'a Value, name: &Value, depth: u8) {
        let called = |other: &Value| {
            other["family"] == chain["family"] && other["table"] == chain["table"] && other["name"] == *name
        };
        if let Some(called) = chains(self.items, called).first() {
            self.walk(called, depth - 1);
        }
    }

    /// `ct state vmap { established : accept, new : jump input-allow }`, `tcp dport vmap { 22 : accept }`.
    fn follow_map(&mut self, chain: &'a Value, map: &'a Value, depth: u8) {
        let of_state = map["key"]["ct"]["key"] == "state";
        let of_port = map["key"]["payload"]["field"] == "dport";
        let Some(pairs) = map["data"]["set"].as_array() else { return self.accept(None) };
        for pair in pairs {
            let (key, verdict) = (&pair[0], &pair[1]);
            if of_state && !matches!(key.as_str(), Some("new" | "untracked")) {
                continue;
            }
            if verdict.get("accept").is_some() {
                let protocol = map["key"]["payload"]["protocol"].as_str().unwrap_or("any");
                self.accept(of_port.then(|| self.numbers(chain, protocol, key)));
            } else if let Some(called) = verdict.get("jump").or_else(|| verdict.get("goto")) {
                self.call(chain, &called["target"], depth);
            }
        }
    }

    /// The ports that a rule is for, if it is for some.
    fn destination(&self, chain: &Value, test: &Value) -> Option<Vec<(String, i64)>> {
        let payload = &test["left"]["payload"];
        if payload["field"] != "dport" {
            return None;
        }
        let protocol = payload["protocol"].as_str().unwrap_or("any");
        if test["op"] != "==" && test["op"] != "in" {
            return Some((1..=ALL).map(|port| (protocol.to_owned(), port)).collect());
        }
        Some(self.numbers(chain, protocol, &test["right"]))
    }

    /// A number, a range, a set, or the name of a set.
    fn numbers(&self, chain: &Value, protocol: &str, value: &Value) -> Vec<(String, i64)> {
        if let Some(number) = value.as_i64() {
            return vec![(protocol.to_owned(), number)];
        }
        if let Some([from, to]) = value["range"].as_array().map(Vec::as_slice) {
            let (from, to) = (from.as_i64().unwrap_or(1).max(1), to.as_i64().unwrap_or(ALL).min(ALL));
            return (from..=to).map(|port| (protocol.to_owned(), port)).collect();
        }
        if let Some(values) = value["set"].as_array().or_else(|| value.as_array()) {
            return values.iter().flat_map(|value| self.numbers(chain, protocol, value)).collect();
        }
        if let Some(name) = value.as_str().and_then(|name| name.strip_prefix('@')) {
            let is_it = |set: &&Value| set["table"] == chain["table"] && set["name"] == name;
            let set = self.items.iter().filter_map(|item| item.get("set")).find(is_it);
            return set.map_or_else(Vec::new, |set| self.numbers(chain, protocol, &set["elem"]));
        }
        // A service by a name, or something new: it is open, whatever it is.
        vec![(protocol.to_owned(), 0)]
    }
}

/// Not for a new connection from outside: loopback, what was asked for, ICMP.
fn is_harmless(test: &Value) -> bool {
    let (left, right) = (&test["left"], &test["right"]);
    let only = |allowed: &[&str]| {
        let values: Vec<&Value> = right["set"]
            .as_array()
            .or_else(|| right.as_array())
            .map_or_else(|| vec![right], |many| many.iter().collect());
        values.iter().all(|value| value.as_str().is_some_and(|word| allowed.contains(&word)))
    };
    let equal = test["op"] == "==" || test["op"] == "in";
    let of = |field: &str| left["meta"]["key"] == field;
    if left["payload"]["protocol"].as_str().is_some_and(|protocol| protocol.starts_with("icmp")) {
        return true;
    }
    equal
        && match () {
            () if of("iif") || of("iifname") => only(&["lo"]),
            () if of("l4proto")
                || left["payload"]["field"] == "protocol"
                || left["payload"]["field"] == "nexthdr" =>
            {
                only(&["icmp", "icmpv6", "ipv6-icmp", "igmp"])
            }
            () if left["ct"]["key"] == "state" => only(&["established", "related", "invalid"]),
            () => false,
        }
}

#[cfg(test)]
mod tests;
