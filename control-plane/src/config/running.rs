//! `mode`, `[brand]` and `[[approver]]`: who runs this control plane, under which name, and whose people approve.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{ConfigError, value::bad};
use crate::mode::{self, Brand, Mode, Running};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileApprover {
    name: String,
    tenant: String,
}

pub(super) fn running(
    mode: Option<String>,
    brand: Brand,
    approvers: Vec<FileApprover>,
) -> Result<Running, ConfigError> {
    let mode = match mode {
        None => Mode::Reseller,
        Some(word) => word.parse().map_err(|_| bad("mode", &word, "\"reseller\" or \"direct\""))?,
    };
    for (key, value) in [("brand.name", &brand.name), ("brand.contact", &brand.contact)] {
        let one = Brand { name: value.clone(), contact: String::new() };
        one.check().map_err(|_| bad(key, value, "one line of at most 80 bytes"))?;
    }
    let mut bound = BTreeMap::new();
    for FileApprover { name, tenant } in approvers {
        if !mode::of(mode).binds_approvers {
            let right =
                "left out where mode is \"direct\": all approvers of the charter are the organization's own";
            return Err(bad("approver.name", &name, right));
        }
        if name.is_empty() || tenant.is_empty() {
            let right =
                "an approver's name in the charter, along with approver.tenant, their clinic's name or ID";
            return Err(bad("approver.name", &name, right));
        }
        if bound.insert(name.clone(), tenant).is_some() {
            return Err(bad("approver.name", &name, "named once: one block for each approver"));
        }
    }
    Ok(Running { mode, brand, approvers: bound })
}

/// What the template says of the mode; before any table.
pub(super) const MODE: &str = r#"
# Who runs this: "reseller", a service provider for clinics that are its customers, or "direct", one organization for its own
# clinics. Direct: packets say that nobody outside the organization runs this, so that no business associate agreement is missed;
# each clinic's recipients hear of its incidents by mail too, not of its packets alone. A change is an act in every clinic's log.
# mode = "reseller"
"#;

/// What the template says of the rest.
pub(super) const TEMPLATE: &str = r#"
# How you are known to those who get packets and mails, and who sign in here. Without it: by the organization above.
# [brand]
# name = "Acme IT"
# Where they ask for help.
# contact = "help@acme.example, +1 555 0100"

# Approvers of the charter who are a clinic's own people (mode "reseller"): they count in that clinic alone, by name or ID. All
# others are yours, and count everywhere. One block each.
# [[approver]]
# name = "dr-lee"
# tenant = "Elm Street Clinic"
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn with(mode: &str, more: &str) -> Result<Config, ConfigError> {
        Config::parse(&format!("organization = \"a\"\n{mode}\n[listen]\naddress = \"https://a\"\n{more}"))
    }

    #[test]
    fn a_provider_runs_it_unless_said_otherwise() {
        assert_eq!(with("", "").unwrap().running, Running::default());
        let more = "[brand]\nname = \"Acme IT\"\n[[approver]]\nname = \"dr-lee\"\ntenant = \"Elm\"";
        let running = with("mode = \"reseller\"", more).unwrap().running;
        assert_eq!((running.brand.name.as_str(), running.approvers["dr-lee"].as_str()), ("Acme IT", "Elm"));
        assert_eq!(with("mode = \"direct\"", "").unwrap().running.mode, Mode::Direct);
    }

    #[test]
    fn every_wrong_value_is_named_with_what_would_be_right() {
        let one = "[[approver]]\nname = \"a\"\ntenant = \"t\"\n";
        for (mode, more, key, right) in [
            ("mode = \"both\"", "", "mode", "\"reseller\" or \"direct\""),
            ("mode = \"direct\"", one, "approver.name", "left out where mode is"),
            ("", &format!("{one}{one}"), "approver.name", "named once"),
            ("", "[[approver]]\nname = \"a\"\ntenant = \"\"", "approver.name", "along with approver.tenant"),
            ("", "[[approver]]\nname = \"a\"", "approver", "missing field `tenant`"),
            ("", "[brand]\nname = \"a\\nb\"", "brand.name", "one line"),
            ("", "[brand]\ncolour = \"red\"", "colour", "expected `name` or `contact`"),
        ] {
            let error = with(mode, more).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains(right), "{mode} {more:?} -> {error:?}");
        }
    }

    /// Who else is told, the mode says.
    #[test]
    fn recipients_are_a_channel_of_the_first_step_where_the_organization_runs_it() {
        let mail = "[mail]\nserver = \"smtp.a\"\nfrom = \"p@a.example\"\n";
        let steps = |mode: &str, more: &str| -> Vec<Vec<String>> {
            let steps = with(mode, &format!("{mail}{more}")).unwrap().escalation.rules.steps;
            steps.into_iter().map(|step| step.tell).collect()
        };
        assert!(steps("", "").is_empty());
        assert_eq!(steps("mode = \"direct\"", ""), [["recipients"]]);
        let chain = "[[escalation.channel]]\nname = \"desk\"\nkind = \"mail\"\nto = \"d@a.example\"\n\
                     [[escalation.channel]]\nname = \"boss\"\nkind = \"mail\"\nto = \"b@a.example\"\n\
                     [[escalation.step]]\ntell = [\"desk\"]\n\
                     [[escalation.step]]\nafter_minutes = 9\ntell = [\"boss\"]\n";
        assert_eq!(steps("mode = \"direct\"", chain), [vec!["desk", "recipients"], vec!["boss"]]);
        assert_eq!(steps("", chain), [["desk"], ["boss"]]);
        // Without a mail server there is no way to them.
        assert!(with("mode = \"direct\"", "").unwrap().escalation.rules.steps.is_empty());
    }
}
