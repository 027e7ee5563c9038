#!/usr/bin/env bash
# inner.sh DIR is PID 1 of the namespaces that outer.sh makes.
set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t proc proc /proc
umount -R /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount --bind "$1/units" /etc/systemd/system
mkdir -p "$1/empty"
mount --bind "$1/empty" /lib/systemd/system-generators
: >"$1/console"
mount --bind "$1/console" /dev/console 2>/dev/null || true
# Or PID 1 would raise limits of the whole machine.
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
export container=bench
exec /lib/systemd/systemd --system --unit=bench.target --log-target=console --log-level=err --show-status=no
