package e2e

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/internal/journal"
)

func TestTenThousandConnections(t *testing.T) {
	t.Parallel()
	const many = 10_000
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil || files.Max < many+1000 {
		t.Skipf("NOT RUN: %d connections need as many descriptors, and %d are allowed", many, files.Max)
	}
	r := boot(t, sleepers)
	before := memory(t, rootOf(r), "VmRSS")
	conns := make([]net.Conn, 0, many)
	for i := range many {
		conn, err := net.Dial("unix", r.socket)
		if err != nil {
			continue // the backlog is full: that is an answer, too
		}
		// Silence, garbage, half a request, half a body.
		fmt.Fprint(conn, []string{"", "\x00\xff\r\n\r\n", "GET /v1/sta", "POST /v1/add/ HTTP/1.1\r\nContent-Length: 99\r\n\r\n{"}[i%4])
		conns = append(conns, conn)
		if i%1000 == 0 {
			r.does(0, "status") // somebody who asks in earnest is heard
		}
	}
	if after := memory(t, rootOf(r), "VmHWM"); after > before+limit(32<<10) {
		t.Errorf("%d connections took the root from %d to %d kB", many, before, after)
	}
	r.does(0, "restart", "/second/inner")
	for _, conn := range conns {
		conn.Close()
	}
	r.does(0, "status")
}

// Children that are gone before anybody could note down that they came.
func TestChildrenThatEndAtOnce(t *testing.T) {
	t.Parallel()
	var toml strings.Builder
	for i := range 20 {
		fmt.Fprintf(&toml, "[[child]]\nname = \"c%d\"\ncommand = [\"true\"]\nbackoff = { kind = \"constant\", min = \"20ms\", max = \"20ms\" }\n", i)
	}
	r := boot(t, toml.String())
	for i := range 20 {
		r.await(fmt.Sprint("/c", i), journal.Start, 20)
	}
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
	spawned, ended := map[string]bool{}, map[string]bool{}
	<-r.events.ended
	for _, e := range records(t, r.events.said.String()) {
		life := fmt.Sprint(e.Path, " ", e.Incarnation)
		switch e.Event {
		case journal.Spawn:
			spawned[life] = true
		case journal.Exit:
			if !spawned[life] || ended[life] {
				t.Errorf("%s ended without having begun, or twice", life)
			}
			ended[life] = true
		}
	}
	if len(spawned) != len(ended) {
		t.Errorf("%d lives began and %d ended", len(spawned), len(ended))
	}
}

func TestTwoSupervisorsOfOneConfiguration(t *testing.T) {
	t.Parallel()
	r := boot(t, sleepers)
	before := r.node("/first").Pid
	for range 3 {
		_, stderr := r.does(75, "-config", "tree.toml", "-socket", r.socket)
		if !strings.Contains(stderr, "a tree already runs there") {
			t.Errorf("the second says %q", stderr)
		}
	}
	if after := r.node("/first"); after.Pid != before {
		t.Errorf("the second has touched the first: %+v", after.Node)
	}
}

func TestAMissingCommandAtBootNamesItsPlace(t *testing.T) {
	t.Parallel()
	for command, why := range map[string]string{
		`command = ["/no/such/program"]`:                     `command "/no/such/program" (tree.toml:4:11): no such file or directory`,
		"command = [\"sleep\", \"1\"]\ndir = \"/no/such\"":   `dir "/no/such" (tree.toml:5:7): no such file or directory`,
		"command = [\"sleep\", \"1\"]\nenv_file = \"/no/e\"": `env_file "/no/e" (tree.toml:5:12): no such file or directory`,
		`command = ["/etc/passwd"]`:                          `command "/etc/passwd" (tree.toml:4:11): permission denied`,
		`command = ["/tmp"]`:                                 `command "/tmp" (tree.toml:4:11): permission denied`,
	} {
		r := launch(t, "\n[[child]]\nname = \"missing\"\n"+command+"\n")
		r.endsWith(1)
		if said := r.stderr.String(); !strings.Contains(said, "starting /missing: "+why) {
			t.Errorf("%q ends with\n%s\nwhich lacks %q", command, said, why)
		}
	}
}

// What is missing at a restart may come back.
func TestAMissingCommandAtARestartIsTriedAgain(t *testing.T) {
	t.Parallel()
	dir := scratch(t)
	program := dir + "/program"
	script := "#!/bin/sh\necho \"running as $SUPERVISE_INCARNATION\"\nexec sleep 1000\n"
	if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	r := boot(t, fmt.Sprintf(`
[[child]]
name = "moved"
command = ["%s"]
backoff = { kind = "constant", min = "10ms", max = "10ms" }
`, program))
	if err := os.Rename(program, program+".away"); err != nil {
		t.Fatal(err)
	}
	r.does(0, "signal", "/moved", "KILL")
	failed := r.await("/moved", journal.Failed, 2)
	if !strings.Contains(failed.Error, program) || !strings.Contains(failed.Error, "tree.toml:4:11") {
		t.Errorf("the failed start is told as %+v", failed)
	}
	if out, _ := r.does(0, "why", "/moved"); !strings.Contains(out, program) {
		t.Errorf("why says %q", out)
	}
	if err := os.Rename(program+".away", program); err != nil {
		t.Fatal(err)
	}
	r.find("a start after the failed one", func(e *journal.Record) bool {
		return e.Path == "/moved" && e.Event == journal.Start && e.Incarnation > 2
	})
	r.does(0, "wait", "/moved", "-for", "ready")
}
