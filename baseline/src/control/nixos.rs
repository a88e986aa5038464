//! What sets a control on NixOS: an option, its value, and the NixOS module that turns it into what a probe sees.

use std::collections::BTreeMap;

use proto::field::{BadField, text};
use serde::{Deserialize, Serialize};

proto::vocabulary! {
    /// How the value meets what other modules say of the same option.
    pub enum Setting as "set" {
        /// It is the value, whatever others say (`lib.mkForce`).
        Force = "force",
        /// It is joined to theirs (lists and lines).
        Add = "add",
    }
}

/// A value of an option: what Nix and JSON have in common, without null and fractions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "must be true, false, a whole number, a text, a list or a map of these")]
pub enum NixValue {
    /// `true`, `false`.
    Flag(bool),
    /// A whole number.
    Number(i64),
    /// A text; may have several lines.
    Text(String),
    /// A list.
    List(Vec<Self>),
    /// An attribute set.
    Set(BTreeMap<String, Self>),
}

/// An option and its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nixos {
    /// An attribute path as Nix writes it: `boot.kernel.sysctl."kernel.kptr_restrict"`.
    pub option: String,
    /// What it must be.
    pub value: NixValue,
    /// Forced or added.
    pub set: Setting,
    /// The module in nixpkgs that acts on it.
    pub module: String,
}

impl Nixos {
    /// The names that the option's path consists of; `None`: it is no path.
    #[must_use]
    pub fn path(&self) -> Option<Vec<&str>> {
        let (mut parts, mut rest) = (Vec::new(), self.option.as_str());
        loop {
            let (part, after) = match rest.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => rest.split_at(rest.find('.').unwrap_or(rest.len())),
            };
            let quoted = rest.starts_with('"');
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b);
            let loose = |b: u8| plain(b) || b"./@:".contains(&b);
            let fine = if quoted {
                part.bytes().all(loose)
            } else {
                part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && part.bytes().all(plain)
            };
            if part.is_empty() || !fine {
                return None;
            }
            parts.push(part);
            match after.strip_prefix('.') {
                Some(more) => rest = more,
                None => return after.is_empty().then_some(parts),
            }
        }
    }

    pub(super) fn check(&self) -> Result<(), BadField> {
        if self.path().is_none() {
            let right = r#"must be an attribute path such as boot.kernel.sysctl."kernel.kptr_restrict""#;
            return Err(BadField::new("nixos.option", right));
        }
        if self.set == Setting::Add && !matches!(self.value, NixValue::List(_) | NixValue::Text(_)) {
            return Err(BadField::new("nixos.set", "must be force: only a list or lines can be added to"));
        }
        text("nixos.module", &self.module, 120)?;
        let module = self.module.strip_prefix("nixos/modules/").and_then(|m| m.strip_suffix(".nix"));
        if module.is_none_or(|m| m.split('/').any(|part| part.is_empty() || part.starts_with('.'))) {
            return Err(BadField::new("nixos.module", "must look like nixos/modules/config/sysctl.nix"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nixos(option: &str) -> Nixos {
        Nixos {
            option: option.into(),
            value: NixValue::Flag(true),
            set: Setting::Force,
            module: "nixos/modules/config/sysctl.nix".into(),
        }
    }

    #[test]
    fn an_option_is_a_path() {
        for (option, path) in [
            ("swapDevices", &["swapDevices"][..]),
            ("users.mutableUsers", &["users", "mutableUsers"]),
            (
                "boot.kernel.sysctl.\"net.ipv4.ip_forward\"",
                &["boot", "kernel", "sysctl", "net.ipv4.ip_forward"],
            ),
            ("fileSystems.\"/tmp\".options", &["fileSystems", "/tmp", "options"]),
        ] {
            assert_eq!(nixos(option).path().as_deref(), Some(path), "{option}");
            assert_eq!(nixos(option).check(), Ok(()));
        }
        for bad in ["", "a.", ".a", "a..b", "a.\"b", "a.\"\"", "a.b c", "a.${b}", "a.\"b\"c", "1a.b"] {
            assert!(nixos(bad).check().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_module_is_a_file_of_nixpkgs_and_only_lists_are_added_to() {
        for bad in [
            "",
            "config/sysctl.nix",
            "nixos/modules/config/sysctl",
            "nixos/modules/../x.nix",
            "nixos/modules//x.nix",
        ] {
            let refused = Nixos { module: bad.into(), ..nixos("a.b") }.check().unwrap_err();
            assert_eq!(refused.field, "nixos.module", "{bad}");
        }
        let added = Nixos { set: Setting::Add, ..nixos("a.b") };
        assert_eq!(added.check().unwrap_err().field, "nixos.set");
    }
}
