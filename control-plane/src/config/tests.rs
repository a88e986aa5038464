use super::*;

const LEAST: &str =
    "organization = \"msp.example\"\n[listen]\naddress = \"https://control.msp.example:8443\"\n";

fn refused(text: &str) -> String {
    Config::parse(text).unwrap_err().to_string()
}

#[test]
fn the_template_says_the_defaults() {
    let text = template("msp.example", "https://control.msp.example:8443", APPLIANCES, PEOPLE, None);
    assert_eq!(Config::parse(&text).unwrap(), Config::parse(LEAST).unwrap());
    let hook = "http://a/\"\nstall_minutes = 5\n";
    let text = template("msp.example", "https://control.msp.example:8443", APPLIANCES, PEOPLE, Some(hook));
    let refused = Config::parse(&text).unwrap_err();
    assert!(
        matches!(&refused, ConfigError::Value { key: "escalation.webhook", value, .. } if value == hook),
        "a quote or a line break stays within its value: {refused}"
    );
}

fn stamps(url: &str, authority: &str) -> String {
    format!("[timestamps]\nurl = \"{url}\"\nauthority = \"{authority}\"\n")
}

fn witness(name: &str, url: &str) -> String {
    format!("[[witness]]\nname = \"{name}\"\nurl = \"{url}\"\n")
}

#[test]
fn every_complaint_names_key_value_and_what_is_allowed() {
    for (more, key, value, allowed) in [
        ("people = \"localhost\"", "listen.people", "localhost", "an IP address and a port"),
        ("appliances = \"0.0.0.0\"", "listen.appliances", "0.0.0.0", "an IP address and a port"),
        ("names = [\"a b\"]", "listen.names", "a b", "a host name"),
        ("[escalation]\nwebhook = \"ftp://x/\"", "escalation.webhook", "ftp://x/", "an http or https URL"),
        ("[escalation]\nwebhook = \"https://me:pw@x/\"", "escalation.webhook", "me:pw@x", "without a user"),
        ("[escalation]\nstall_minutes = 0", "escalation.stall_minutes", "0", "from 1 to 10080"),
        ("[limits]\nevents_per_hour = 99", "limits.events_per_hour", "99", "from 100 to 1000000"),
        ("[orders]\nlifetime_seconds = 901", "orders.lifetime_seconds", "901", "from 10 to 900"),
        ("[orders]\nlifetime_seconds = -5", "orders.lifetime_seconds", "-5", "from 10 to 900"),
        (&witness("w", "ftp://w/"), "witness.url", "ftp://w/", "an http or https URL"),
        (&witness("w", "https://w/?a=b"), "witness.url", "https://w/?a=b", "without a query"),
        (&witness("", "https://w/"), "witness.name", "", "name of a witness's key"),
        (&format!("{0}{0}", witness("w", "https://w/")), "witness.name", "w", "one block for each witness"),
        ("[[witness]]\nname = \"w\"", "witness", "url", "missing field `url`"),
        (&stamps("ftp://t/", "/t.pem"), "timestamps.url", "ftp://t/", "an http or https URL"),
        (&stamps("https://t/", "t.pem"), "timestamps.authority", "t.pem", "a path from the root"),
        ("[timestamps]\nurl = \"https://t/\"", "timestamps", "authority", "missing field `authority`"),
        // What the parser itself finds shows the line.
        ("[orders]\nlifetime_seconds = \"ten\"", "lifetime_seconds", "\"ten\"", "expected i64"),
        ("[orders]\nlifetime = 5", "lifetime", "5", "expected `lifetime_seconds`"),
        ("colour = \"red\"", "colour", "red", "expected one of `appliances`"),
    ] {
        let error = refused(&format!("{LEAST}{more}\n"));
        for part in [key, value, allowed] {
            assert!(error.contains(part), "{more:?} -> {error:?} lacks {part:?}");
        }
    }
}

#[test]
fn addresses_are_https_and_nothing_more() {
    let with = |url: &str| Config::parse(&LEAST.replace("https://control.msp.example:8443", url));
    for right in [
        "https://127.0.0.1:8443",
        "https://[::1]:8443",
        "https://control",
        "https://control.msp.example:8443/",
    ] {
        with(right).unwrap();
    }
    for wrong in [
        "http://a:8443",
        "https://a/path",
        "https://a/?q",
        "https://user@a",
        "a:8443",
        "https://",
        "https://a b",
    ] {
        let error = with(wrong).unwrap_err().to_string();
        assert!(error.contains("listen.address") && error.contains("an https URL"), "{wrong}: {error}");
    }
}

#[test]
fn what_is_missing_is_named() {
    assert!(refused("").contains("missing field `organization`"));
    assert!(refused("organization = \"a\"\n[listen]\n").contains("missing field `address`"));
}

#[test]
fn the_certificate_covers_where_the_server_can_be_reached() {
    let text = "organization = \"a\"\n[listen]\nappliances = \"0.0.0.0:1\"\npeople = \"192.0.2.7:1\"\naddress = \"https://[2001:db8::1]:8443\"\nnames = [\"dashboard.example\"]\n";
    let names = Config::parse(text).unwrap().server_names();
    assert_eq!(names, ["127.0.0.1", "192.0.2.7", "2001:db8::1", "::1", "dashboard.example", "localhost"]);
}
