#!/usr/bin/env bash
# outer.sh DIR CGROUP runs a private systemd on the units in DIR/units, as PID 1
# of namespaces of its own and at the top of the cgroup CGROUP.
set -eu
mkdir -p "$2"
echo $$ >"$2/cgroup.procs"
exec unshare --pid --mount --cgroup --uts --ipc --fork --kill-child "$(dirname "$0")/inner.sh" "$1"
