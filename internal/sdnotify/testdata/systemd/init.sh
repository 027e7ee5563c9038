#!/bin/sh
# init.sh DIR: becomes a systemd that knows nothing but DIR/units. It runs as
# PID 1 of fresh pid, mount, cgroup, uts and ipc namespaces, so what it mounts
# here is seen by nobody else.
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t proc proc /proc
umount -R /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /etc/systemd/system
mount --bind "$1/units" /etc/systemd/system
mount --bind "$1/empty" /lib/systemd/system-generators
[ ! -e /etc/machine-id ] || mount --bind "$1/machine-id" /etc/machine-id
mount --bind "$1/console" /dev/console 2>/dev/null || true
# Else PID 1 would set the machine's own limits.
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
export container=test
unset NOTIFY_SOCKET
exec /lib/systemd/systemd --system --unit=test.target --log-target=console --log-level=info --show-status=no
