#!/usr/bin/env bash
# Builds the workload, the limits and the peers of our own making into bin/.
set -eu
cd "$(dirname "$0")"
mkdir -p bin

# The workload: no libc, nothing to relocate, nothing to load.
bare=(-O2 -Wall -static -nostdlib -fno-stack-protector -fno-asynchronous-unwind-tables
	-fno-pie -no-pie -Wl,--build-id=none -Wl,-z,norelro)
gcc "${bare[@]}" -o bin/child native/child.c
gcc "${bare[@]}" -DCRASH -o bin/child-crash native/child.c
gcc -O2 -Wall -static -o bin/climit native/climit.c

export CGO_ENABLED=0
(cd golimit && go build -trimpath -o ../bin/golimit .)
(cd suture && go build -trimpath -o ../bin/suturebench .)

if command -v erlc >/dev/null; then
	erlc -o bin erlang/sup_bench.erl
else
	echo "no erlc: the Erlang peer is left out"
fi
