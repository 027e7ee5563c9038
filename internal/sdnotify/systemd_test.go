package sdnotify

import (
	"slices"
	"strings"
	"testing"
)

// TestUnderSystemd runs the unit of configs/systemd under a real systemd. It is
// one story: each part goes on where the one before has left off.
func TestUnderSystemd(t *testing.T) {
	m := boot(t)
	parts := []struct {
		name string
		part func(*machine)
	}{
		{"it is active when the whole tree is ready, not before", becomesActive},
		{"no worker can speak to systemd", workersAreMute},
		{"after a KILL of the root nothing of it is left, and it comes back", rootIsKilled},
		{"after a KILL of the sentinel nothing of it is left, and it comes back", sentinelIsKilled},
		{"a root that hangs is noticed by the watchdog", rootHangs},
		{"a stop is orderly and leaves nothing", stops},
		{"a wrong configuration is not tried again", wrongConfiguration},
	}
	for _, p := range parts {
		if !t.Run(p.name, func(t *testing.T) { m.t = t; p.part(m) }) {
			break
		}
	}
	m.t = t
}

func becomesActive(m *machine) {
	m.systemctl("start", "--no-block", "supervise")
	m.said("plain up", "slow up")
	m.shows("StatusText", "1 running, 2 starting") // slow, and its supervisor, which is up when slow is
	if is := m.show("ActiveState"); is != "activating" {
		m.t.Errorf("while a worker is not ready the unit is %s", is)
	}
	m.open()
	m.shows("ActiveState", "active")
	m.shows("StatusText", "3 running")
}

func workersAreMute(m *machine) {
	ours, theirs := 0, 0
	for _, pid := range m.processes() {
		out, err := m.run("cat", "/proc/"+pid+"/environ")
		if err != nil {
			continue // it is gone
		}
		env := strings.Split(out, "\x00")
		if slices.Contains(env, "NOTIFY_SOCKET=/run/systemd/notify") {
			ours++
		}
		for _, kv := range env {
			if strings.HasPrefix(kv, "SUPERVISE_PATH=/plain") || strings.HasPrefix(kv, "SUPERVISE_PATH=/group/") {
				theirs++
				if slices.ContainsFunc(env, func(kv string) bool {
					return strings.HasPrefix(kv, "WATCHDOG_") || strings.HasPrefix(kv, "NOTIFY_SOCKET=/") || strings.HasPrefix(kv, "LISTEN_")
				}) {
					m.t.Errorf("a worker finds what is systemd's: %q", env)
				}
			}
		}
	}
	if ours < 2 || theirs < 2 {
		m.t.Errorf("%d processes know systemd's socket (sentinel and root), %d are workers", ours, theirs)
	}
}

func rootIsKilled(m *machine)     { m.replaced("KILL", m.root()) }
func sentinelIsKilled(m *machine) { m.replaced("KILL", m.show("MainPID")) }
func rootHangs(m *machine)        { m.replaced("STOP", m.root()) }

// replaced signals a process of the tree, after which systemd must replace the
// whole tree.
func (m *machine) replaced(signal, pid string) {
	m.t.Helper()
	before := m.processes()
	if len(before) < 5 {
		m.t.Fatalf("the unit has only the processes %v", before)
	}
	if _, err := m.run("kill", "-"+signal, pid); err != nil {
		m.t.Fatal(err)
	}
	m.said("slow up")
	if left := m.alive(before); len(left) > 0 {
		m.t.Errorf("of %v are left %v", before, left)
	}
	m.open()
	m.shows("ActiveState", "active")
	m.shows("StatusText", "3 running")
}

func stops(m *machine) {
	before := m.processes()
	m.systemctl("stop", "supervise")
	m.said("slow stopped") // in reverse order of their start
	m.said("plain stopped")
	if is := m.show("Result"); is != "success" {
		m.t.Errorf("the result of the stop is %s", is)
	}
	if is := m.show("ExecMainStatus"); is != "0" {
		m.t.Errorf("it exited with %s", is)
	}
	if left := m.alive(before); len(left) > 0 {
		m.t.Errorf("of %v are left %v", before, left)
	}
}

func wrongConfiguration(m *machine) {
	m.write("tree.toml", "nonsense = 1\n")
	restarts := m.show("NRestarts")
	if _, err := m.run("systemctl", "start", "supervise"); err == nil {
		m.t.Error("it started")
	}
	m.shows("ActiveState", "failed")
	if is := m.show("ExecMainStatus"); is != "78" {
		m.t.Errorf("it exited with %s", is)
	}
	if is := m.show("NRestarts"); is != restarts {
		m.t.Errorf("it was tried again: %s restarts, before %s", is, restarts)
	}
}
