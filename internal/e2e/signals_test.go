package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/supertrees/supervise/internal/journal"
)

const sleepers = `
[[child]]
name = "first"
command = ["sleep", "1000"]
[[child]]
name = "second"
strategy = "one_for_one"
  [[child.child]]
  name = "inner"
  command = ["sleep", "1000"]
`

const stubbornTree = `
[[child]]
name = "stubborn"
command = "exec $E2E_PLAY play stubborn"
shutdown = "infinity"
`

// insist goes on giving an order until the tree has ended: at the same moment
// it is the same order still, and a moment later it is a second one.
func (r *running) insist(pid int, sig syscall.Signal) {
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		select {
		case <-r.ended:
			return
		case <-again.C:
			syscall.Kill(pid, sig)
		}
	}
}

func TestTermAndIntEndTheTreeInOrder(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		r := boot(t, sleepers)
		r.signal(sig)
		r.await("/", journal.Exit)
		r.endsWith(0)
		said := r.events.said.String()
		var order []string
		for _, e := range records(t, said) {
			if e.Event == journal.Exit {
				order = append(order, e.Path)
			}
		}
		if got := strings.Join(order, " "); got != "/second/inner /second /first /" {
			t.Errorf("after %v the tree ended in the order %s", sig, got)
		}
	}
}

func TestASecondInterruptKillsAtOnce(t *testing.T) {
	t.Parallel()
	r := boot(t, stubbornTree)
	r.stdout.says(t, "nothing stops me")
	r.signal(syscall.SIGINT)
	r.stdout.says(t, "heard terminated")
	r.signal(syscall.SIGHUP) // which takes nothing back
	r.stderr.says(t, "this signal changes nothing")
	if n := r.node("/stubborn"); n.State != journal.StateStopping {
		t.Errorf("after a HUP in the orderly end it is %v", n.State)
	}
	r.insist(r.cmd.Process.Pid, syscall.SIGINT)
	r.endsWith(0)
	r.stderr.says(t, "asked again to end: killing what is left")
}

// timeout(1) signals its child, and then the group that the child is in: one
// order, which reaches the program twice.
func TestTheTwoSignalsOfTimeoutAreOneOrder(t *testing.T) {
	t.Parallel()
	needs(t, "timeout")
	r := boot(t, stubbornTree, under("timeout", "--signal=TERM", "1000"))
	r.stdout.says(t, "nothing stops me")
	r.signal(syscall.SIGTERM) // to timeout, which hands it on
	r.stdout.says(t, "heard terminated")
	// An order that counts is told in the log; a signal that comes after both
	// says that both have been looked at.
	r.signal(syscall.SIGHUP)
	syscall.Kill(rootOf(r), syscall.SIGHUP)
	r.stderr.says(t, "this signal changes nothing")
	if strings.Contains(r.stderr.String(), "asked again to end") {
		t.Error("timeout's second signal killed the children")
	}
	r.insist(rootOf(r), syscall.SIGTERM) // timeout has gone deaf for it
	r.status()
}

// rootOf is the pid of the root's process.
func rootOf(r *running) int { return r.node("/").Pid }

func TestHangupIsOneLineInTheLog(t *testing.T) {
	t.Parallel()
	r := boot(t, sleepers)
	before := r.node("/first").Pid
	r.signal(syscall.SIGHUP)
	r.stderr.says(t, "this signal changes nothing: the configuration is read once, at the start: signal=HUP")
	if now := r.node("/first"); now.Pid != before || now.State != journal.StateRunning {
		t.Errorf("after HUP the first child is %+v", now.Node)
	}
}

func TestQuitPrintsTheStacksAndGoesOn(t *testing.T) {
	t.Parallel()
	r := boot(t, sleepers)
	r.signal(syscall.SIGQUIT)
	r.stderr.says(t, "goroutine 1 ")
	r.stderr.says(t, "node.(*Node).Run(")
	if n := r.node("/first"); n.State != journal.StateRunning {
		t.Errorf("after QUIT the first child is %s", n.State)
	}
	syscall.Kill(r.node("/second").Pid, syscall.SIGQUIT) // a supervisor below prints its own
	r.stderr.saysTimes(t, "node.(*Node).Run(", 2)
	r.does(0, "restart", "/second/inner")
}

func TestTermDuringBootStopsWhatHasStarted(t *testing.T) {
	t.Parallel()
	r := launch(t, `
[[child]]
name = "up"
command = ["sleep", "1000"]
[[child]]
name = "never"
command = "echo starting; exec sleep 1000"
ready = { log = "^this is never printed$" }
start_timeout = "1h"
[[child]]
name = "after"
command = ["sleep", "1000"]
`)
	r.stdout.says(t, "/never | starting")
	if got := r.node("/never").State; got != journal.StateStarting {
		t.Errorf("a child that is not ready is %s", got)
	}
	r.follow()
	r.signal(syscall.SIGTERM)
	r.await("/", journal.Exit)
	r.endsWith(0)
	for _, e := range records(t, r.events.said.String()) {
		if e.Path == "/after" && e.Event == journal.Spawn {
			t.Error("a child was started after the order to end")
		}
	}
}

func TestAStopDuringBackoffReturnsAtOnceAndNothingStartsAfterwards(t *testing.T) {
	t.Parallel()
	r := boot(t, `
[[child]]
name = "crash"
command = "exit 1"
backoff = { kind = "constant", min = "1h", max = "1h", jitter = 0.0 }
[[child]]
name = "soon"
command = "exit 1"
backoff = { kind = "constant", min = "500ms" }
`)
	r.follow()
	stopped := r.await("/soon", journal.Backoff).Incarnation
	r.does(0, "stop", "/soon")
	stopped = max(stopped, r.node("/soon").Incarnation) // where that took longer than the backoff
	r.does(0, "add", "/", "-spec", r.write("again.toml", "[[child]]\nname = \"again\"\ncommand = \"exec sleep 1.2\"\nrestart = \"temporary\"\n"))
	if e := r.await("/crash", journal.Backoff); e.Delay == nil || *e.Delay != 3600 {
		t.Errorf("the backoff is %+v", e)
	}
	if n := r.node("/crash"); n.State != journal.StateWaiting || n.NextTry.IsZero() || n.LastExit == nil || n.LastExit.Reason != "abnormal" {
		t.Errorf("during its backoff it is %+v", n.Node)
	}
	r.does(0, "stop", "/crash")
	if n := r.node("/crash"); n.State != journal.StateDown {
		t.Errorf("after stop it is %s", n.State)
	}
	r.await("/again", journal.Exit) // more than twice its backoff
	if n := r.node("/soon"); n.State != journal.StateDown || n.Incarnation != stopped {
		t.Errorf("long after its stop /soon is %v, incarnation %d, and was stopped in %d", n.State, n.Incarnation, stopped)
	}
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
	<-r.events.ended
	for _, e := range records(t, r.events.said.String()) {
		if e.Path == "/crash" && e.Event == journal.Spawn && e.Incarnation > 1 {
			t.Errorf("it was started again: %+v", e)
		}
	}
}

// The tree ends in a backoff without waiting for it.
func TestTermDuringBackoff(t *testing.T) {
	t.Parallel()
	r := boot(t, `
[[child]]
name = "crash"
command = "exit 1"
backoff = { kind = "constant", min = "1h", max = "1h" }
`)
	r.await("/crash", journal.Backoff)
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}

// A program that is started with signals ignored hands none of that on.
func TestChildrenOfNohupBeginWithDefaultSignals(t *testing.T) {
	t.Parallel()
	needs(t, "nohup", "env")
	r := boot(t, `
[[child]]
name = "report"
command = "exec $E2E_PLAY play report"
[[child]]
name = "sub"
strategy = "one_for_one"
  [[child.child]]
  name = "report"
  command = "exec $E2E_PLAY play report"
`, under("nohup", "env", "--ignore-signal=TERM,INT,QUIT,PIPE,USR1", "--block-signal=USR2,CHLD"))
	for _, path := range []string{"/report", "/sub/report"} {
		got := r.reportOf(path)
		if got.Ignored != "0000000000000000" || got.Blocked != "0000000000000000" {
			t.Errorf("%s has signals ignored %s and blocked %s", path, got.Ignored, got.Blocked)
		}
	}
	r.does(0, "shutdown") // TERM is ignored, as it was asked to be
	r.endsWith(0)
}
