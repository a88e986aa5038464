//! A machine on which the baseline holds, before anything of the appliance runs there.

use anyhow::Result;

use super::Tree;

const STAGE: &str = include_str!("machine/stage.sh");
/// A unit that is up, and does nothing.
pub const SLEEPER: &str = "[Service]\nExecStart=/bin/sleep infinity\n";

/// Makes it hold, as far as that needs no daemon. What the kernel shares with the host is covered by files of the
/// machine's own: neither who breaks a control nor who mends it touches the host.
pub fn staged(tree: Tree) -> Result<Tree> {
    let stage = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh /etc/stage.sh\n\
                 ExecStart=systemctl stop systemd-timesyncd\n";
    tree.file("etc/stage.sh", STAGE)?
        .started("stage.service", stage)?
        .started("auditd.service", SLEEPER)?
        .unit("sshd.service", SLEEPER)?
        .unit("systemd-timesyncd.service", SLEEPER)?
        .unit("nixos-upgrade.service", SLEEPER)?
        .unit("nixos-upgrade.timer", "[Timer]\nOnActiveSec=1d\n")
}

/// The same for a machine on this host's network, on which anything may listen: it sees another list of sockets. And an
/// appliance there begins only when all is set up and `after` (units) are up: a box that is looked after while it is
/// still set up would rightly be said to have drifted.
pub fn quiet(tree: Tree, after: &str) -> Result<Tree> {
    let quiet = "[Unit]\nAfter=stage.service\nRequires=stage.service\n[Service]\nType=oneshot\nRemainAfterExit=yes\n\
                 ExecStart=mkdir /run/stage/net\nExecStart=/bin/sh -c 'head -n 1 /proc/net/tcp > /run/stage/net/tcp'\n\
                 ExecStart=mount --bind /run/stage/net /proc/1/net\n";
    // Wanted, not required: who stops one of them must not stop the appliance with it.
    let ready = format!(
        "[Unit]\nAfter=quiet.service auditd.service {after}\nWants=quiet.service auditd.service {after}\n"
    );
    tree.started("quiet.service", quiet)?
        .file("etc/systemd/system/orderly-executor.socket.d/ready.conf", &ready)
}
