#!/usr/bin/env bash
# Boots this host's own systemd as PID 1 of fresh namespaces, over a throw-away overlay of this host's root.
#
#   boot.sh WORK TREE PACKAGES SHARED...
#
# WORK is an empty folder for mount points. TREE (units, configuration) is laid over the root, and so are the PACKAGES
# that were unpacked for tests, below it. Each SHARED folder is the
# same inside as outside. Nothing else that the machine writes survives it. Its network is its own and empty, unless
# NETWORK=shared.
set -euo pipefail
work=$1 tree=$2 packages=$3
shift 3
export work tree packages
network=(--net)
[ "${NETWORK:-own}" = shared ] && network=()

# A cgroup of its own, below ours: systemd takes everything in system.slice/NAME for the unit NAME, and another machine
# has units of the same names. What earlier machines left behind is empty, and goes.
own_cgroup='
mount --make-rprivate /
mount -t cgroup2 cgroup2 "$work"
ours=$work$(sed -n "s/^0:://p" /proc/self/cgroup)
find "$ours"/orderly-* -depth -type d -exec rmdir {} + 2>/dev/null || true
until mkdir -p "$ours/orderly-$$" && echo $$ > "$ours/orderly-$$/cgroup.procs"; do :; done 2>/dev/null
umount "$work"
exec unshare "$@"
'
exec unshare --mount bash -euc "$own_cgroup" boot \
    --mount --pid --fork --kill-child "${network[@]}" --uts --ipc --cgroup bash -euc '
mount --make-rprivate /
mount -t tmpfs tmpfs "$work"
mkdir "$work/upper" "$work/work" "$work/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work" "$work/root"
root=$work/root
cp -a "$packages/." "$tree/." "$root/"
rm -f "$root/etc/machine-id"
: > "$root/etc/machine-id"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    : > "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
tmp=$(mktemp -d)
mount -t tmpfs tmpfs "$tmp"
for shared in "$@"; do
    mkdir -p "$tmp/$shared"
    mount --bind "$shared" "$tmp/$shared"
    case $shared in
    /tmp/*) ;;
    *) mkdir -p "$root/$shared" && mount --rbind "$shared" "$root/$shared" ;;
    esac
done
mount --rbind "$tmp/tmp" "$root/tmp" 2>/dev/null || mount -t tmpfs tmpfs "$root/tmp"
hostname clinic
ip link set lo up 2>/dev/null || true
cd "$root"
mkdir -p mnt
pivot_root . mnt
umount -l /mnt
exec env -i container=orderly PATH=/usr/sbin:/usr/bin:/sbin:/bin /sbin/init --unit=orderly-story.target --show-status=0 </dev/null
' boot "$@"
