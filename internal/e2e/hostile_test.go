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

// Children that are gone before anybody could note down that they came: each
// life is told of in order, and what a reader is too slow for is told of, too.
func TestChildrenThatEndAtOnce(t *testing.T) {
	t.Parallel()
	const children, lives = 20, 50
	var toml strings.Builder
	for i := range children {
		fmt.Fprintf(&toml, "[[child]]\nname = \"c%d\"\ncommand = [\"true\"]\nbackoff = { kind = \"constant\", min = \"1ms\", max = \"1ms\" }\n", i)
	}
	toml.WriteString("[[child]]\nname = \"quiet\"\ncommand = [\"sleep\", \"1000\"]\n")
	r := boot(t, toml.String())
	for i := range children {
		r.awaitLife(fmt.Sprint("/c", i), lives)
	}
	for i := range children {
		r.does(0, "stop", fmt.Sprint("/c", i))
	}
	r.does(0, "restart", "/quiet")
	r.await("/quiet", journal.Start, 2) // the reader has heard of all that was before
	said := r.events.said.String()
	lifelines(t, records(t, said[:strings.LastIndexByte(said, '\n')+1]))
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}

// lifelines checks a stream of events: every number comes or is said to be
// lost, and every life of a path begins once, after the one before it has
// ended, and ends once.
func lifelines(t *testing.T, events []journal.Record) {
	t.Helper()
	type line struct {
		life  uint64
		lives bool
	}
	lines := map[string]line{} // of the paths of which nothing was lost since they were heard of last
	lost, next := false, events[0].Seq
	for _, e := range events {
		first, last := e.Seq, e.Seq
		if e.Event == journal.Lost {
			first, last = e.From, e.To
			lost = true
			clear(lines)
		}
		if first != next {
			t.Errorf("after event %d comes %d, and nothing is said of those between", next-1, first)
		}
		next = last + 1
		before, known := lines[e.Path]
		known = known || !lost
		switch e.Event {
		case journal.Spawn:
			if known && (before.lives || e.Incarnation != before.life+1) {
				t.Errorf("life %d of %s begins, and life %d was the last (alive: %v)", e.Incarnation, e.Path, before.life, before.lives)
			}
			lines[e.Path] = line{e.Incarnation, true}
		case journal.Exit:
			if known && before != (line{e.Incarnation, true}) {
				t.Errorf("life %d of %s ends, and life %d was the last (alive: %v)", e.Incarnation, e.Path, before.life, before.lives)
			}
			lines[e.Path] = line{e.Incarnation, false}
		}
	}
	for path, l := range lines {
		if l.lives && path != "/" && path != "/quiet" {
			t.Errorf("the end of life %d of %s was not told", l.life, path)
		}
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
