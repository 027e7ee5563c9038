package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// peer is another way for two processes on a machine to call each other. Its
// program takes what to measure and for how many seconds, and prints one
// number: µs, calls a second, casts a second or bytes a second.
type peer struct {
	name    string
	noCasts bool // it is given 64 KiB in calls
	command []string
}

// peerRows measures the peers whose programs are there, or can be built here.
func (b *bench) peerRows(limit float64) {
	dir, err := os.MkdirTemp("", "peers")
	check(err)
	defer os.RemoveAll(dir)
	port, plugin := filepath.Join(dir, "port"), filepath.Join(dir, "plugin")
	for _, p := range []struct {
		peer
		build []string
	}{
		{peer{"Erlang port", false, []string{"escript", "bench/erlang/port.escript", port}}, []string{"cc", "-O2", "-o", port, "bench/native/port.c"}},
		{peer{"hashicorp/go-plugin", true, []string{plugin}}, []string{"go", "build", "-C", "bench/peers", "-o", plugin, "."}},
		{peer{"node fork, json", false, []string{"node", "bench/node/fork.js", "json"}}, nil},
		{peer{"node fork, advanced", false, []string{"node", "bench/node/fork.js", "advanced"}}, nil},
	} {
		rows := p.rows()
		if !slices.ContainsFunc(rows, func(r peerRow) bool { return b.wanted(p.name + r.name) }) {
			continue
		}
		if err := p.ready(p.build); err != nil {
			fmt.Printf("%s: not measured: %v\n", p.name, err)
			continue
		}
		for _, r := range rows {
			b.row(p.name+r.name, r.unit, r.limit*limit, func() float64 { return b.ask(p.command, r.what) / r.of })
		}
	}
}

// peerRow is a row, and what the peer's program is asked for it.
type peerRow struct {
	name, what, unit string
	of               float64 // how many of what the program counts in are the unit
	limit            float64 // 1: it has a ratio to the limit
}

func (p *peer) rows() []peerRow {
	rows := []peerRow{
		{": call, 64 B, 1 caller", "call", "us", 1, 1},
		{": calls, 64 B, 256 outstanding", "calls", "1000/s", 1e3, 0},
	}
	if p.noCasts {
		return append(rows, peerRow{": calls, 64 KiB, 16 outstanding", "bulk", "GB/s", 1e9, 0})
	}
	return append(rows, peerRow{": casts, 64 B", "casts", "M/s", 1e6, 0}, peerRow{": casts, 64 KiB", "bulk", "GB/s", 1e9, 0})
}

// ready builds what the peer needs, and looks for its interpreter.
func (p *peer) ready(build []string) error {
	if build != nil {
		if out, err := exec.Command(build[0], build[1:]...).CombinedOutput(); err != nil {
			return errors.Join(err, errors.New(strings.TrimSpace(string(out))))
		}
	}
	_, err := exec.LookPath(p.command[0])
	return err
}

// ask has a peer's program measure. Where Go is at both ends, each has one
// processor, as in the rows that end in (1).
func (b *bench) ask(command []string, what string) float64 {
	seconds := strconv.FormatFloat(b.d.Seconds(), 'f', -1, 64)
	cmd := exec.Command(command[0], append(command[1:len(command):len(command)], what, seconds)...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	check(err)
	value, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	check(err)
	return value
}
