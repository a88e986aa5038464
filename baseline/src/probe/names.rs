//! Names that a probe may carry, each with the one shape that it can have: none of them reaches beyond what it names.

use std::{fmt, str::FromStr};

use proto::field::BadField;
use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* pub struct $name:ident as $field:literal, $right:literal, $is:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// The name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadField;
            fn from_str(text: &str) -> Result<Self, BadField> {
                let is: fn(&str) -> bool = $is;
                if is(text) {
                    return Ok(Self(text.to_owned()));
                }
                Err(BadField::new($field, concat!("must look like ", $right)))
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadField;
            fn try_from(text: String) -> Result<Self, BadField> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name! {
    /// A kernel setting with dots: each part is one name below `/proc/sys`.
    pub struct SysctlKey as "sysctl key", "kernel.kptr_restrict",
    |text| {
        let parts = text.split('.');
        text.len() <= 80 && parts.clone().count() >= 2 && parts.into_iter().all(|part| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        })
    }
}

name! {
    /// An absolute path without `.`, `..` or an empty part.
    pub struct Path as "path", "/etc/shadow",
    |text| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-@+".contains(&b);
        let part = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(plain);
        text == "/"
            || text.len() <= 200 && text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(part))
    }
}

name! {
    /// A systemd unit with its suffix.
    pub struct UnitName as "unit", "sshd.service",
    |text| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"@:_.-".contains(&b);
        text.len() <= 100
            && text.rsplit_once('.').is_some_and(|(stem, suffix)| {
                stem.starts_with(|c: char| c.is_ascii_alphanumeric())
                    && stem.bytes().all(plain)
                    && ["service", "socket", "timer", "target", "mount", "path"].contains(&suffix)
            })
    }
}

name! {
    /// A kernel module, with underscores.
    pub struct ModuleName as "module", "usb_storage",
    |text| {
        (1..=40).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_shape() {
        for good in ["kernel.kptr_restrict", "net.ipv4.conf.all.rp_filter"] {
            assert!(good.parse::<SysctlKey>().is_ok(), "{good}");
        }
        for bad in ["", "kernel", "kernel.", ".kernel", "a..b", "a/b", "Kernel.x", "a.b c"] {
            assert!(bad.parse::<SysctlKey>().is_err(), "{bad}");
        }
        for good in ["/", "/tmp", "/etc/ssh/sshd_config"] {
            assert!(good.parse::<Path>().is_ok(), "{good}");
        }
        for bad in ["", "tmp", "/tmp/", "//", "/a/../b", "/a/./b", "/a b", "/a\0"] {
            assert!(bad.parse::<Path>().is_err(), "{bad:?}");
        }
        for good in ["sshd.service", "restic-backups-a.timer", "getty@tty1.service"] {
            assert!(good.parse::<UnitName>().is_ok(), "{good}");
        }
        for bad in ["sshd", "-x.service", ".service", "a b.service", "a.swap", "../a.service"] {
            assert!(bad.parse::<UnitName>().is_err(), "{bad}");
        }
        assert!("usb_storage".parse::<ModuleName>().is_ok());
        for bad in ["", "usb-storage", "a/b", "A"] {
            assert!(bad.parse::<ModuleName>().is_err(), "{bad}");
        }
    }
}
