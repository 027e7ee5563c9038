package main

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/supertrees/supervise/internal/journal"
)

// told is the paths of one kind of event, in order.
func told(events []journal.Record, event string) (paths []string) {
	for _, e := range events {
		if e.Event == event {
			paths = append(paths, e.Path)
		}
	}
	return paths
}

func TestStartsComeInOrderAndStopsInReverse(t *testing.T) {
	t.Parallel()
	r := boot(t, `
name = "order"
[[child]]
name = "a"
command = ["sleep", "1000"]
[[child]]
name = "sub"
strategy = "one_for_one"
  [[child.child]]
  name = "b"
  command = ["sleep", "1000"]
  [[child.child]]
  name = "c"
  command = ["sleep", "1000"]
[[child]]
name = "d"
command = ["sleep", "1000"]
`)
	follow := r.follow(t)
	r.cmd.Process.Signal(syscall.SIGTERM)
	follow.wait(t, `"event":"exit","path":"/",`)
	if got := r.status(); got != 0 {
		t.Errorf("the status is %d", got)
	}
	var events []journal.Record
	for line := range strings.Lines(follow.String()) {
		var e journal.Record
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	if got, want := told(events, journal.Start), []string{"/a", "/sub/b", "/sub/c", "/sub", "/d", "/"}; !slices.Equal(got, want) {
		t.Errorf("started %q, want %q", got, want)
	}
	if got, want := told(events, journal.Exit), []string{"/d", "/sub/c", "/sub/b", "/sub", "/a", "/"}; !slices.Equal(got, want) {
		t.Errorf("ended %q, want %q", got, want)
	}
}

func TestAKilledNodeComesBackWholeAndItsSiblingsStay(t *testing.T) {
	t.Parallel()
	r := boot(t, team)
	steady, web, api := r.node("/steady"), r.node("/web"), r.node("/web/api")
	follow := r.follow(t)
	syscall.Kill(web.Pid, syscall.SIGKILL)
	follow.wait(t, `"event":"backoff","path":"/web"`)
	if alive(api.Pid) {
		t.Error("a child of the dead node is still there")
	}
	if n := r.node("/web/api"); n.State != journal.StateDown || n.LastExit == nil || n.LastExit.Reason != "killed" {
		t.Errorf("the child of the dead node: %+v", n.Node)
	}
	r.do(0, "restart", "/web")
	r.do(0, "wait", "/web/api", "-for", "ready")
	if n := r.node("/web/api"); n.Pid == api.Pid || n.Incarnation != 2 {
		t.Errorf("after the node's restart: %+v", n.Node)
	}
	if n := r.node("/steady"); n.Pid != steady.Pid {
		t.Errorf("the sibling has pid %d, it had %d", n.Pid, steady.Pid)
	}
}

func TestAStopDuringABackoffIsDoneAtOnce(t *testing.T) {
	t.Parallel()
	r := boot(t, team)
	follow := r.follow(t)
	r.do(0, "signal", "/steady", "KILL")
	follow.wait(t, `"event":"backoff","path":"/steady"`)
	r.do(0, "stop", "/steady") // the backoff would be an hour
	if n := r.node("/steady"); n.State != journal.StateDown || n.Delay != nil {
		t.Errorf("after stop: %+v", n.Node)
	}
	r.do(0, "start", "/steady")
	if n := r.node("/steady"); n.State != journal.StateRunning || n.Incarnation != 2 {
		t.Errorf("after start: %+v", n.Node)
	}
}

func TestAnOrderToEndInterruptsTheBoot(t *testing.T) {
	t.Parallel()
	r := launch(t, `
name = "slow"
[[child]]
name = "first"
command = ["sleep", "1000"]
[[child]]
name = "never-ready"
command = "echo begun; exec sleep 1000"
ready = { log = "^this is never said$" }
start_timeout = "1h"
[[child]]
name = "last"
command = ["sleep", "1000"]
`, nil)
	r.stdout.wait(t, "/never-ready | begun")
	if n := r.node("/never-ready"); n.State != journal.StateStarting {
		t.Errorf("while it starts: %+v", n.Node)
	}
	r.do(124, "wait", "/never-ready", "-for", "ready", "-timeout", "1ms")
	r.do(0, "wait", "/never-ready", "-for", "up")
	r.cmd.Process.Signal(syscall.SIGTERM)
	if got := r.status(); got != 0 {
		t.Errorf("the status is %d; it said\n%s", got, r.stderr)
	}
	if strings.Contains(r.stderr.String(), "path=/last pid") {
		t.Errorf("the last child was started:\n%s", r.stderr)
	}
}

// What a child says in the milliseconds that it lives is not lost, and neither
// is its end, however soon it comes.
func TestAChildThatEndsAtOnce(t *testing.T) {
	t.Parallel()
	r := boot(t, `
name = "brief"
[[child]]
name = "steady"
command = ["sleep", "1000"]
[[child]]
name = "pool"
strategy = "simple_one_for_one"
  [[child.child]]
  name = "brief"
  command = ["printf"]
  restart = "temporary"
`)
	const many = 50
	for i := range many {
		r.do(0, "add", "/pool", "--", strings.Repeat("x", i+1)+`\n`)
	}
	for i := range many {
		r.stdout.wait(t, "| "+strings.Repeat("x", i+1)+"\n")
	}
}

func TestTheLogIsAsWanted(t *testing.T) {
	t.Parallel()
	r := launch(t, sleeper, func(cmd *exec.Cmd) { cmd.Args = append(cmd.Args, "-log-format", "json", "-log-level=debug") })
	r.stderr.wait(t, `"path":"/"`)
	r.do(0, "shutdown")
	r.status()
	for line := range strings.Lines(r.stderr.String()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("%q is no JSON: %v", line, err)
		}
	}
	quiet := launch(t, sleeper, func(cmd *exec.Cmd) { cmd.Args = append(cmd.Args, "-log-level", "error") })
	quiet.awaitSocket("shop")
	quiet.do(0, "wait", "/a", "-for", "ready")
	quiet.do(0, "shutdown")
	quiet.status()
	if said := quiet.stderr.String(); said != "" {
		t.Errorf("-log-level error says %q", said)
	}
}

func TestLogsAreFollowedOnARealTree(t *testing.T) {
	t.Parallel()
	r := boot(t, team)
	r.stdout.wait(t, "/steady | hello from /steady")
	cmd := program(t, r.dir, "logs", "-f", "/steady", "/web")
	from, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	x := newText()
	ended := make(chan struct{})
	go func() { x.fill(from); cmd.Wait(); close(ended) }()
	x.wait(t, "/steady | hello from /steady")
	x.wait(t, "/web/api | set")
	r.do(0, "signal", "/web/api", "USR1")
	x.wait(t, "/web/api | got it")
	r.do(0, "shutdown")
	<-ended
	if got := cmd.ProcessState.ExitCode(); got != 0 {
		t.Errorf("logs -f ends with status %d", got)
	}
}
