# Makes a machine compliant before anything of the appliance runs on it. What the kernel shares with the host (its
# settings, swap, modules, command line, disks) is covered by files of the machine's own, so that neither a test that
# breaks it nor a repair can touch the host.
set -eu
stage=/run/stage
mkdir -p $stage/sys $stage/module $stage/block/data/dm
cp -r --no-preserve=all /proc/sys/kernel /proc/sys/net /proc/sys/vm $stage/sys/ 2>/dev/null || true
# Without folders: one of them is mounted by whoever looks into it.
mkdir $stage/sys/fs
cp --no-preserve=all /proc/sys/fs/* $stage/sys/fs/ 2>/dev/null || true
put() {
    mkdir -p "$stage/sys/$(dirname "$1")"
    echo "$2" >"$stage/sys/$1"
}
put kernel/kptr_restrict 2
put kernel/dmesg_restrict 1
put kernel/unprivileged_bpf_disabled 1
put kernel/yama/ptrace_scope 1
put kernel/kexec_load_disabled 1
put kernel/core_pattern '|/usr/lib/systemd/systemd-coredump %P'
put fs/suid_dumpable 0
put fs/protected_symlinks 1
put net/ipv4/ip_forward 0
put net/ipv4/conf/all/accept_redirects 0
put net/ipv6/conf/all/accept_redirects 0
put net/ipv4/conf/all/rp_filter 1
mount --bind $stage/sys /proc/sys
printf 'Filename\tType\tSize\tUsed\tPriority\n' >$stage/swaps
mount --bind $stage/swaps /proc/swaps
echo 'quiet init_on_alloc=1 slab_nomerge randomize_kstack_offset=on vsyscall=none' >$stage/cmdline
mount --bind $stage/cmdline /proc/cmdline
mount --bind $stage/module /sys/module

# A disk that says of itself that it is encrypted; cryptsetup(8) confirms it.
mount -t tmpfs -o mode=755 /dev/mapper/data /var/lib
echo CRYPT-LUKS2-0123456789abcdef0123456789abcdef-data >$stage/block/data/dm/uuid
echo data >$stage/block/data/dm/name
mount --bind $stage/block /sys/class/block
program() {
    rm -f "$1"
    printf '#!/bin/sh\n%s\n' "$2" >"$1"
    chmod 755 "$1"
}
program /usr/sbin/cryptsetup "printf '  type:    LUKS2\n  cipher:  aes-xts-plain64\n  keysize: 512 bits\n'"
# The kernel's audit and its packet filter answer in no machine of namespaces.
program /usr/sbin/auditctl "cat $stage/audit\$1"
printf 'enabled 1\nfailure 1\npid 9\nlost 0\nbacklog 0\n' >$stage/audit-s
for key in identity logins modules mounts privileged time-change trust; do
    echo "-w /etc/$key -p wa -k $key"
done >$stage/audit-l
program /usr/sbin/nft "cat $stage/nft"
chain='{"chain":{"family":"inet","table":"filter","name":"input","handle":1,"type":"filter","hook":"input","prio":0'
echo "{\"nftables\":[{\"metainfo\":{}},$chain,\"policy\":\"drop\"}}]}" >$stage/nft

grep -q ^sshd: /etc/passwd || echo 'sshd:x:105:65534::/run/sshd:/usr/sbin/nologin' >>/etc/passwd
sed -i -E 's/^([^:]+):[^:]*:/\1:*:/' /etc/shadow
chmod 640 /etc/shadow
mkdir -p /run/sshd /etc/ssh
rm -f /etc/ssh/ssh_host_*
# Where there is no SSH, its controls cannot be told.
if command -v ssh-keygen >/dev/null; then
    ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
    ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/user-ca
fi
cat >/etc/ssh/sshd_config <<END
HostKey /etc/ssh/ssh_host_ed25519_key
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
TrustedUserCAKeys /etc/ssh/user-ca.pub
AuthorizedKeysFile none
Ciphers chacha20-poly1305@openssh.com,aes256-gcm@openssh.com
KexAlgorithms sntrup761x25519-sha512@openssh.com,curve25519-sha256
AllowTcpForwarding no
LogLevel VERBOSE
END

drop_in() {
    mkdir -p "/etc/systemd/$1.d"
    printf '%s\n' "$2" >"/etc/systemd/$1.d/50-baseline.conf"
}
drop_in journald.conf '[Journal]
Storage=persistent
SystemMaxUse=1G'
drop_in logind.conf '[Login]
StopIdleSessionSec=15min'
drop_in coredump.conf '[Coredump]
Storage=none'
mkdir -p /etc/modprobe.d /etc/nix /nix/store /boot/loader
echo 'install usb_storage /bin/false' >/etc/modprobe.d/baseline.conf
printf 'require-sigs = true\ntrusted-users = root\n' >/etc/nix/nix.conf
mount -t tmpfs -o ro,mode=755 store /nix/store
echo 'editor no' >/boot/loader/loader.conf
mount -o remount,bind,nodev,nosuid /tmp
mkdir -p -m 755 /var/lib/orderly
mkdir -p -m 700 /var/lib/orderly/executor
