package main

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/supertrees/supervise/internal/journal"
)

// of are the events of a path, as words; of a few kinds, or of all.
func of(all []journal.Record, path string, kinds ...string) (words []string) {
	for _, r := range all {
		if r.Path == path && (len(kinds) == 0 || slices.Contains(kinds, r.Event)) {
			words = append(words, r.Event)
		}
	}
	return words
}

// life are the events that begin and end a life.
func life(all []journal.Record, path string) string {
	return strings.Join(of(all, path, journal.Spawn, journal.Start, journal.Exit), " ")
}

func TestEveryKindOfProofHoldsUpTheNextChild(t *testing.T) {
	t.Parallel()
	r := boot(t, `
[[child]]
name = "log"
command = "echo almost; echo now ready; exec sleep 1000"
ready = { log = "ready$" }
[[child]]
name = "notify"
command = "systemd-notify --ready --status 'at work'; exec sleep 1000"
ready = { notify = true }
[[child]]
name = "fd"
command = "echo >&5; exec sleep 1000"
ready = { fd = 5 }
[[child]]
name = "exec"
command = "echo up > flag; exec sleep 1000"
ready = { exec = ["test", "-s", "flag"] }
[[child]]
name = "web"
[[child.child]]
name = "inner"
command = "exec sleep 1000"
ready = { exec = ["true"] }
`)
	var order []string
	for _, e := range r.events() {
		if e.Path != "/" && (e.Event == journal.Spawn || e.Event == journal.Start) {
			order = append(order, e.Event+" "+e.Path)
		}
	}
	want := []string{
		"spawn /log", "start /log", "spawn /notify", "start /notify", "spawn /fd", "start /fd",
		"spawn /exec", "start /exec", "spawn /web", "spawn /web/inner", "start /web/inner", "start /web",
	}
	if !slices.Equal(order, want) {
		t.Errorf("the order was\n%q, want\n%q", order, want)
	}
	if n := r.node("/notify"); n.Text != "at work" {
		t.Errorf("its status text is %q", n.Text)
	}
}

func TestAProofJustBeforeTheEndIsNotLost(t *testing.T) {
	t.Parallel()
	var toml strings.Builder
	for kind, command := range map[string]string{
		"notify = true": "systemd-notify --no-block --ready", "fd = 3": "echo >&3", "log = 'done'": "echo done",
	} {
		for i := range 20 {
			fmt.Fprintf(&toml, "[[child]]\nname = %q\ncommand = %q\nready = { %s }\nrestart = \"temporary\"\n",
				fmt.Sprint(kind[:2], i), command, kind)
		}
	}
	r := boot(t, toml.String())
	r.do(0, "wait", "/", "-for", "ready")
	all := r.events()
	for _, kind := range []string{"no", "fd", "lo"} {
		for i := range 20 {
			if got := life(all, fmt.Sprint("/", kind, i)); got != "spawn start exit" && got != "spawn start" {
				t.Errorf("/%s%d had %s", kind, i, got)
			}
		}
	}
}

func TestAChildThatIsNeverReadyEndsTheBootAndSaysWhatItWaitedFor(t *testing.T) {
	t.Parallel()
	cases := []struct{ ready, timeout, command, want string }{
		{`tcp = "127.0.0.1:1"`, "3s", "exec sleep 1000", "timeout: connecting to 127.0.0.1:1: connection refused"},
		{`exec = ["false"]`, "3s", "exec sleep 1000", "timeout: its probe false exited with 1"},
		{`notify = true`, "3s", "exec sleep 1000", "timeout: it sent no READY=1"},
		{`log = "ready"`, "1h", "echo reedy; exit 3", `abnormal: no line of its output matched "ready"`},
		{`fd = 4`, "1h", "exit 0", "normal: it wrote no newline to descriptor 4"},
	}
	trees := make([]*running, len(cases)) // all at once: they mostly wait
	for i, x := range cases {
		trees[i] = launch(t, fmt.Sprintf("[[child]]\nname = \"db\"\ncommand = %q\nready = { %s }\nstart_timeout = %q\n", x.command, x.ready, x.timeout), nil)
	}
	for i, x := range cases {
		r := trees[i]
		if got := r.status(); got != 1 {
			t.Errorf("%s: the status is %d", x.ready, got)
		}
		if said := r.stderr.String(); !strings.Contains(said, "start failed: "+x.want) {
			t.Errorf("%s: it said\n%s", x.ready, said)
		}
	}
}

func TestTheRestartOfOneChildHoldsUpNobody(t *testing.T) {
	t.Parallel()
	r := boot(t, `
[[child]]
name = "slow"
command = "systemd-notify READY=$SUPERVISE_INCARNATION; exec sleep 1000"
ready = { notify = true }
[[child]]
name = "other"
command = ["sleep", "1000"]
`)
	r.do(0, "signal", "/slow", "KILL") // its second life never says READY=1
	r.stderr.wait(t, "worker ended by signal KILL: ")
	r.do(0, "wait", "/slow", "-for", "up")
	if n := r.node("/slow"); n.State != journal.StateStarting {
		t.Errorf("it is %v", n.State)
	}
	r.do(0, "restart", "/other")
	r.do(0, "wait", "/other", "-for", "ready")
	r.do(0, "stop", "/slow") // nor does a start that goes on hold up its stop
}

func TestAWorkerThatHangsIsAskedForADumpAndThenEnded(t *testing.T) {
	t.Parallel()
	r := boot(t, `
[[child]]
name = "web"
command = "systemd-notify --ready; exec sleep 1000"
ready = { notify = true }
watchdog = { every = "100ms", signal = "WINCH" }
backoff = { kind = "constant", min = "1ms" }
[[child]]
name = "deaf"
command = "exec sleep 1000"
`)
	r.stderr.wait(t, "no WATCHDOG=1 for another 100ms: killed: path=/web ")
	awaitIncarnation(r, "/web", 2)
	all := r.events()
	got := strings.Join(of(all, "/web", journal.Start, journal.Watchdog, journal.Exit)[:4], " ")
	if got != "start watchdog watchdog exit" {
		t.Errorf("its first life was: %s", got)
	}
	for _, e := range all {
		if e.Path == "/web" && e.Event == journal.Exit && e.Incarnation == 1 && (e.Reason != "killed" || e.Signal != "KILL") {
			t.Errorf("its end is %+v", e)
		}
	}
}

// awaitIncarnation waits until a path has been up in its nth life.
func awaitIncarnation(r *running, path string, n uint64) {
	r.t.Helper()
	for since := 0; ; {
		for _, e := range r.events()[since:] {
			since++
			if e.Path == path && e.Event == journal.Start && e.Incarnation == n {
				return
			}
		}
		r.do(0, "wait", path, "-for", "up")
	}
}

func TestANodeThatDidNotRunForALongTimeRestartsNobody(t *testing.T) {
	t.Parallel()
	var workers strings.Builder
	for i := range 5 {
		fmt.Fprintf(&workers, `
[[child.child]]
name = "w%d"
command = "systemd-notify --ready; while systemd-notify --no-block WATCHDOG=1; do sleep 0.5; done"
ready = { notify = true }
watchdog = "5s"
`, i)
	}
	r := boot(t, "[[child]]\nname = \"node\"\n"+workers.String()+`
[[child]]
name = "clock"
command = "exec sleep 7"
restart = "transient"
`)
	r.do(0, "stop", "/clock")
	r.do(0, "signal", "/node", "STOP")
	r.do(0, "start", "/clock")
	r.do(0, "wait", "/clock", "-for", "down") // seven seconds: more than a worker may be silent
	r.do(0, "signal", "/node", "CONT")
	r.do(0, "start", "/clock")
	r.do(0, "wait", "/clock", "-for", "down") // and seven more, in which whoever was misjudged dies
	for i := range 5 {
		path := fmt.Sprintf("/node/w%d", i)
		if n := r.node(path); n.Incarnation != 1 {
			t.Errorf("%s is in its life %d: %v", path, n.Incarnation, of(r.events(), path))
		}
	}
}

func TestASocketsNameDiesWithItsLife(t *testing.T) {
	t.Parallel()
	r := boot(t, `
[[child]]
name = "web"
command = "echo socket $NOTIFY_SOCKET; systemd-notify --ready; exec sleep 1000"
ready = { notify = true }
[[child]]
name = "plain"
command = "echo plain ${NOTIFY_SOCKET-none}; exec sleep 1000"
`)
	r.stdout.wait(t, "/plain | plain none")
	r.stdout.wait(t, "/web | socket @supervise-")
	_, name, _ := strings.Cut(r.stdout.String(), "/web | socket @")
	name, _, _ = strings.Cut(name, "\n")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	to := &syscall.SockaddrUnix{Name: "@" + name}
	if err := syscall.Sendto(fd, []byte("STATUS=I am nobody"), 0, to); err != nil {
		t.Error(err)
	}
	r.stderr.wait(t, "which is not of this child, was passed over: path=/web ")
	r.do(0, "stop", "/web")
	if err := syscall.Sendto(fd, []byte("READY=1"), 0, to); err != syscall.ECONNREFUSED {
		t.Errorf("after the end of its life: %v", err)
	}
}
