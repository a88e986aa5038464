use super::*;

/// As `nft --json list ruleset` prints the filter that NixOS makes, with `rules` in its chain of what is let in.
fn ruleset(policy: &str, rules: &str) -> String {
    let head = r#"{"nftables":[{"metainfo":{"version":"1.0.9","release_name":"Old Doc Yak #3","json_schema_version":1}},
        {"table":{"family":"inet","name":"nixos-fw","handle":2}},
        {"chain":{"family":"inet","table":"nixos-fw","name":"input","handle":2,"type":"filter","hook":"input","prio":0,"policy":"POLICY"}},
        {"chain":{"family":"inet","table":"nixos-fw","name":"input-allow","handle":3}},
        {"set":{"family":"inet","name":"wide","table":"nixos-fw","type":"inet_service","handle":9,"elem":[80,{"range":[8000,8001]}]}},
        {"rule":{"family":"inet","table":"nixos-fw","chain":"input","handle":5,"expr":[{"match":{"op":"==","left":{"meta":{"key":"iifname"}},"right":"lo"}},{"accept":null}]}},
        {"rule":{"family":"inet","table":"nixos-fw","chain":"input","handle":6,"expr":[{"vmap":{"key":{"ct":{"key":"state"}},"data":{"set":[["invalid",{"drop":null}],["established",{"accept":null}],["related",{"accept":null}],["new",{"jump":{"target":"input-allow"}}],["untracked",{"jump":{"target":"input-allow"}}]]}}}]}},
        {"rule":{"family":"inet","table":"nixos-fw","chain":"input-allow","handle":7,"expr":[{"match":{"op":"==","left":{"payload":{"protocol":"icmp","field":"type"}},"right":"echo-request"}},{"accept":null}]}},
        {"rule":{"family":"inet","table":"nixos-fw","chain":"input-allow","handle":8,"expr":[{"match":{"op":"==","left":{"payload":{"protocol":"udp","field":"dport"}},"right":546}},{"accept":null}]}}"#;
    format!("{}{rules}]}}", head.replace("POLICY", policy))
}

fn rule(expr: &str) -> String {
    format!(
        r#",{{"rule":{{"family":"inet","table":"nixos-fw","chain":"input-allow","handle":20,"expr":[{expr}]}}}}"#
    )
}

fn seen(text: &str) -> String {
    serde_json::to_string(&parse(text).unwrap()).unwrap()
}

#[test]
fn ports_that_are_let_in_are_counted() {
    let port = |right: &str| {
        let left = r#"{"payload":{"protocol":"tcp","field":"dport"}}"#;
        rule(&format!(r#"{{"match":{{"op":"==","left":{left},"right":{right}}}}},{{"accept":null}}"#))
    };
    let map = r#"{"vmap":{"key":{"payload":{"protocol":"tcp","field":"dport"}},"data":{"set":[[22,{"accept":null}],[23,{"drop":null}]]}}}"#;
    for (rules, ports) in [
        (String::new(), 0),
        (port("22"), 1),
        (port(r#"{"set":[22,443]}"#), 2),
        (port(r#"{"range":[1000,1009]}"#), 10),
        (port(r#""@wide""#), 3),
        (rule(map), 1),
        (rule(r#"{"accept":null}"#), 65_535),
        (rule(r#"{"counter":{"packets":0,"bytes":0}},{"drop":null}"#), 0),
    ] {
        let expected = format!(r#"{{"input":"drop","open_ports":{ports}}}"#);
        assert_eq!(seen(&ruleset("drop", &rules)), expected, "{rules}");
    }
}

#[test]
fn a_policy_that_accepts_and_no_filter_at_all_are_told_apart() {
    assert_eq!(seen(&ruleset("accept", "")), r#"{"input":"accept","open_ports":0}"#);
    assert_eq!(seen(r#"{"nftables":[{"metainfo":{}}]}"#), r#"{"input":"absent","open_ports":0}"#);
    for strange in ["", "{}", "[]", r#"{"nftables":7}"#] {
        assert_eq!(parse(strange), Err(Blind::Unreadable), "{strange}");
    }
}
