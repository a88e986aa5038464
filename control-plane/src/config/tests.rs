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

fn oidc(issuer: &str, group: &str) -> String {
    let group =
        if group.is_empty() { String::new() } else { format!("[[oidc.groups]]\ngroup = \"g\"\n{group}\n") };
    format!("[oidc]\n{issuer}\nclient_id = \"o\"\nclient_secret_file = \"/s\"\n{group}")
}

#[test]
fn people_are_told_the_port_that_they_reach_unless_an_address_is_set() {
    let config = Config::parse(LEAST).unwrap();
    assert_eq!(config.people_address(8444), "https://control.msp.example:8444");
    assert_eq!(config.people_address(443), "https://control.msp.example");
    let set = format!("{LEAST}[people]\naddress = \"https://Sign-In.msp.example:443/\"\n");
    assert_eq!(Config::parse(&set).unwrap().people_address(8444), "https://sign-in.msp.example");
}

#[test]
fn of_several_groups_the_first_in_the_settings_counts() {
    let groups = "role = \"auditor\"\n[[oidc.groups]]\ngroup = \"h\"\nrole = \"owner\"";
    let text = format!("{LEAST}{}", oidc("issuer = \"https://login.example\"", groups));
    let oidc = Config::parse(&text).unwrap().oidc.unwrap();
    let role = |theirs: &[&str]| {
        let theirs: Vec<String> = theirs.iter().map(|one| (*one).to_owned()).collect();
        oidc.grant_of(&theirs).map(|group| group.role.as_str())
    };
    assert_eq!((role(&["h", "g"]), role(&["h"])), (Some("auditor"), Some("owner")));
    assert_eq!((role(&["G"]), role(&[])), (None, None));
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
        ("[people]\naddress = \"http://x\"", "people.address", "http://x", "an https URL without a path"),
        (&oidc("issuer = \"http://login\"", ""), "oidc.issuer", "http://login", "an https URL"),
        (&oidc("issuer = \"https://login\"", ""), "oidc.groups", "empty", "one block"),
        (&oidc("issuer = \"https://login\"", "role = \"boss\""), "oidc.groups.role", "boss", "\"owner\""),
        (
            &oidc("issuer = \"https://login\"", "role = \"owner\"\nsite = \"Main\""),
            "oidc.groups.site",
            "Main",
            "oidc.groups.tenant",
        ),
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

/// Channels of every kind, as the template shows them.
fn channels() -> String {
    let shown = super::channel::TEMPLATE.lines().skip_while(|line| !line.contains("[[escalation.channel]]"));
    let lines: Vec<&str> = shown
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| line.starts_with('[') || line.contains('=') || line.trim_start().starts_with('"'))
        .collect();
    format!("[mail]\nserver = \"smtp.a\"\nfrom = \"a@a.example\"\n{}\n", lines.join("\n"))
}

#[test]
fn the_examples_of_the_template_are_right() {
    let steps = "[[escalation.step]]\ntell = [\"desk\", \"chat\", \"psa\"]\n[[escalation.step]]\nafter_minutes = 15\ntell = [\"pager\"]\n\
        [escalation.deadman]\nurl = \"https://hc.example/x\"\n";
    let config = Config::parse(&format!("{LEAST}{}{steps}", channels())).unwrap().escalation;
    let names: Vec<&str> = config.channels.iter().map(|channel| channel.name.as_str()).collect();
    assert_eq!(names, ["desk", "chat", "pager", "psa"]);
    assert_eq!(config.rules.steps.len(), 2);
    assert_eq!(config.rules.steps[1].after, Duration::from_secs(15 * 60));
    assert_eq!(config.rules.channels["desk"].len(), 1);
    assert_eq!(config.rules.only, [("pager".to_owned(), vec!["Elm Street Clinic".to_owned()])].into());
    assert_eq!(config.deadman.map(|deadman| (deadman.post, deadman.every.as_secs())), Some((false, 300)));
    assert!(matches!(&config.channels[3].way, Way::Ticket { template, headers, .. }
        if template.find.is_some() && headers.len() == 1));
}

#[test]
fn without_a_chain_all_are_told_at_once_and_without_channels_nobody() {
    let of = |more: &str| Config::parse(&format!("{LEAST}{more}")).unwrap().escalation.rules;
    assert!(of("").steps.is_empty() && of("").channels.is_empty());
    assert!(of("").is_urgent("log.halted", None) && !of("").is_urgent("backup.stale", None));
    let rules = of(
        "[escalation]\nwebhook = \"https://a/\"\nurgent = []\n[[escalation.channel]]\nname = \"b\"\nkind = \"webhook\"\nurl = \"https://b/\"\n",
    );
    assert_eq!(rules.steps[0].tell, ["b", "webhook"]);
    assert!(!rules.is_urgent("log.halted", None));
}

#[test]
fn every_complaint_about_channels_names_the_key_and_what_is_allowed() {
    let hook = "[[escalation.channel]]\nname = \"a\"\nkind = \"webhook\"\n";
    let ticket = |open: &str| {
        let call = |name: &str| format!("{name} = {{ method = \"PUT\", url = \"https://a/{{ticket}}\" }}\n");
        let rest = ["update", "reopen", "close"].map(call).concat();
        format!("[[escalation.channel]]\nname = \"a\"\nkind = \"ticket\"\nopen = {open}\n{rest}")
    };
    let url = "url = \"https://a/\"\n";
    for (more, key, allowed) in [
        // What has a secret in it goes to nobody whom others can listen to.
        (
            ticket(r#"{ method = "POST", url = "http://psa.example/t", id = "/id" }"#),
            "escalation.channel.url",
            "a secret goes along",
        ),
        (
            "[[escalation.channel]]\nname = \"p\"\nkind = \"pagerduty\"\nsecret_file = \"/k\"\nurl = \"http://pd.example/\"\n"
                .to_owned(),
            "escalation.channel.url",
            "or http to this machine",
        ),
        (hook.to_owned(), "escalation.channel.name", "along with `url`"),
        (format!("{hook}url = \"ftp://a/\"\n"), "escalation.channel.url", "an http or https URL"),
        (
            format!("{hook}{url}to = \"a@b.example\"\n"),
            "escalation.channel.to",
            "left out where kind is \"webhook\"",
        ),
        (
            format!("{hook}{url}secret_file = \"s\"\n"),
            "escalation.channel.secret_file",
            "a path from the root",
        ),
        (
            format!("{hook}{url}quiet = [\"at night\"]\n"),
            "escalation.channel.quiet",
            "days, hours and a time zone",
        ),
        (
            format!("{hook}{url}quiet = [\"daily 20:00-07:00 America/Gotham\"]\n"),
            "escalation.channel.quiet",
            "IANA",
        ),
        (
            format!("{hook}{url}quiet = [\"daily 07:00-07:00 UTC\"]\n"),
            "escalation.channel.quiet",
            "never be over",
        ),
        (format!("{hook}{url}{hook}{url}"), "escalation.channel.name", "another name for each"),
        (format!("{hook}{url}colour = \"red\"\n"), "colour", "expected one of"),
        (
            "[[escalation.channel]]\nname = \"a b\"\nkind = \"webhook\"\n".into(),
            "escalation.channel.name",
            "letters, digits",
        ),
        (
            "[[escalation.channel]]\nname = \"a\"\nkind = \"pigeon\"\n".into(),
            "escalation.channel.kind",
            "\"ticket\"",
        ),
        (
            "[[escalation.channel]]\nname = \"a\"\nkind = \"mail\"\nto = \"a@b.example\"\n".into(),
            "escalation.channel.kind",
            "[mail]",
        ),
        (
            "[[escalation.channel]]\nname = \"a\"\nkind = \"pagerduty\"\n".into(),
            "escalation.channel.name",
            "integration key",
        ),
        (
            ticket("{ method = \"POST\", url = \"https://a/\" }"),
            "escalation.channel.open",
            "where in the answer",
        ),
        (ticket("{ method = \"BREW\", url = \"https://a/\" }"), "escalation.channel.method", "\"POST\""),
        (
            ticket("{ method = \"POST\", url = \"https://{tenant}/\" }"),
            "escalation.channel.url",
            "after its host",
        ),
        (
            ticket("{ method = \"POST\", url = \"https://a/\", id = \"id\" }"),
            "escalation.channel.id",
            "a JSON pointer",
        ),
        (
            ticket("{ method = \"POST\", url = \"https://a/\", body = \"{\" }"),
            "escalation.channel.body",
            "JSON",
        ),
        (
            ticket("{ method = \"POST\", url = \"https://a/\", body = '{\"a\":\"{colour}\"}' }"),
            "escalation.channel.body",
            "{colour} is none",
        ),
        (
            "[escalation]\nwebhook_secret_file = \"/s\"\n".into(),
            "escalation.webhook_secret_file",
            "along with escalation.webhook",
        ),
        ("[escalation]\nsilent_minutes = 1\n".into(), "escalation.silent_minutes", "from 10 to 10080"),
        ("[escalation]\nrepeat_minutes = 1\n".into(), "escalation.repeat_minutes", "from 5 to 10080"),
        ("[escalation]\nurgent = [\"All Of Them\"]\n".into(), "escalation.urgent", "\"log.*\""),
        (
            "[[escalation.step]]\ntell = [\"nobody\"]\n".into(),
            "escalation.step.tell",
            "the name of a channel",
        ),
        (
            format!(
                "{hook}{url}{}{url}[[escalation.step]]\ntell = [\"a\"]\n",
                hook.replace("\"a\"", "\"idle\"")
            ),
            "escalation.step.tell",
            "in some step",
        ),
        (
            format!("{hook}{url}[[escalation.step]]\ntell = []\n"),
            "escalation.step.tell",
            "one channel or more",
        ),
        (
            format!("{hook}{url}[[escalation.step]]\ntell = [\"a\"]\nafter_minutes = 5\n"),
            "escalation.step.after_minutes",
            "from 0 to 0",
        ),
        (
            "[escalation.deadman]\nurl = \"https://a/\"\nmethod = \"HEAD\"\n".into(),
            "escalation.deadman.method",
            "\"POST\"",
        ),
        (
            "[escalation.deadman]\nurl = \"https://a/\"\nevery_minutes = 0\n".into(),
            "escalation.deadman.every_minutes",
            "from 1 to 1440",
        ),
    ] {
        let error = refused(&format!("{LEAST}{more}"));
        for part in [key, allowed] {
            assert!(error.contains(part), "{more} -> {error:?} lacks {part:?}");
        }
    }
}

#[test]
fn a_secret_that_is_not_there_or_is_none_is_named_with_its_file_and_not_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let of = |kind: &str| {
        let more = format!(
            "[[escalation.channel]]\nname = \"a\"\nkind = \"{kind}\"\nurl = \"https://a/\"\nsecret_file = \"{}\"\n",
            file.display()
        );
        Config::parse(&format!("{LEAST}{more}")).unwrap().escalation.check()
    };
    let missing = of("webhook").unwrap_err().to_string();
    assert!(
        missing.contains("escalation.channel.secret_file") && missing.contains("cannot read"),
        "{missing}"
    );
    files::create(&file, b"hush hush", files::Access::Secret).unwrap();
    for kind in ["webhook", "pagerduty"] {
        let wrong = of(kind).unwrap_err().to_string();
        assert!(wrong.contains("secret_file") && !wrong.contains("hush"), "{wrong}");
    }
    files::replace(&file, b"R0UT1NGKEY\n", files::Access::Secret).unwrap();
    of("pagerduty").unwrap();
}
