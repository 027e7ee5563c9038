package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/supertrees/supervise/internal/journal"
)

const everyState = `
name = "states"
[defaults]
backoff = { kind = "constant", min = "1h", max = "1h" }
[[child]]
name = "running"
command = ["sleep", "1000"]
[[child]]
name = "waiting"
command = "exit 3"
[[child]]
name = "done"
command = "exit 0"
restart = "transient"
[[child]]
name = "sup"
strategy = "one_for_one"
  [[child.child]]
  name = "stubborn"
  command = "exec $E2E_PLAY play stubborn"
  shutdown = "1h"
[[child]]
name = "pool"
strategy = "simple_one_for_one"
  [[child.child]]
  name = "job"
  command = ["sleep"]
`

// The fields of status are a promise: those that are there, and those that are
// absent where they would say nothing.
func TestStatusHasTheFieldsOfTheContract(t *testing.T) {
	t.Parallel()
	r := boot(t, everyState)
	r.await("/waiting", journal.Backoff)
	r.await("/done", journal.Down)
	r.stdout.says(t, "/sup/stubborn | nothing stops me")
	fields := func(path string) map[string]any {
		out, _ := r.does(0, "status", "-json", path)
		var object map[string]any
		if err := json.Unmarshal([]byte(out), &object); err != nil || strings.Count(out, "\n") != 1 {
			t.Fatalf("status of %s prints %q, %v", path, out, err)
		}
		return object
	}
	for path, want := range map[string]struct{ state, present, absent string }{
		"/":        {"running", "path name kind pid incarnation restarts started_at children", "last_exit delay"},
		"/running": {"running", "path name kind pid incarnation restarts started_at", "last_exit children delay next_try"},
		"/waiting": {"waiting", "path name kind incarnation restarts last_exit delay next_try", "pid started_at children"},
		"/done":    {"down", "path name kind incarnation restarts last_exit", "pid started_at delay next_try"},
		"/pool":    {"running", "children", "last_exit"},
	} {
		got := fields(path)
		if got["state"] != want.state || got["path"] != path {
			t.Errorf("%s is %v", path, got)
		}
		keys := slices.Collect(maps.Keys(got))
		for _, key := range strings.Fields(want.present) {
			if !slices.Contains(keys, key) {
				t.Errorf("%s lacks %s: %v", path, key, got)
			}
		}
		for _, key := range strings.Fields(want.absent) {
			if slices.Contains(keys, key) {
				t.Errorf("%s has %s: %v", path, key, got)
			}
		}
	}
	exit := fields("/waiting")["last_exit"].(map[string]any)
	if exit["reason"] != "abnormal" || exit["status"] != 3.0 || exit["at"] == nil || exit["signal"] != nil {
		t.Errorf("the last exit is %v", exit)
	}

	// Stopping is a state, too, and -no-wait does not wait for its end.
	r.does(0, "stop", "-no-wait", "/sup/stubborn")
	r.await("/sup/stubborn", journal.Stopping)
	if got := fields("/sup/stubborn"); got["state"] != "stopping" || got["pid"] == nil {
		t.Errorf("what is being stopped is %v", got)
	}
	r.does(124, "wait", "/sup/stubborn", "-for", "down", "-timeout", "20ms")
	r.does(0, "signal", "/sup/stubborn", "KILL")
	r.does(0, "wait", "/sup/stubborn", "-for", "down")
	killed := fields("/sup/stubborn")
	if exit := killed["last_exit"].(map[string]any); killed["state"] != "down" || exit["reason"] != "killed" || exit["signal"] != "KILL" || exit["status"] != nil {
		t.Errorf("what was killed is %v", killed)
	}
}

// Only so many events are kept. Who asks for those that are gone is told which.
// Events of a path with a long name are long, so that it takes fewer of them.
func TestEventsThatAreGoneAreSaidToBe(t *testing.T) {
	t.Parallel()
	storm := "storm" + strings.Repeat("-", 120)
	r := boot(t, `
intensity = 100000
period = "1s"
[[child]]
name = "`+storm+`"
command = ["true"]
backoff = { kind = "none" }
[[child]]
name = "steady"
command = ["sleep", "1000"]
`)
	var lost journal.Record
	for lost.Event != journal.Lost { // it comes when the ring has been written over
		out, _ := r.does(0, "events", "-json")
		lost = records(t, firstLine(out))[0]
	}
	if lost.From != 1 || lost.To < 1 {
		t.Errorf("the first line says %+v", lost)
	}
	out, _ := r.does(0, "events", "-json", "-since", fmt.Sprint(lost.To-1))
	if first := records(t, firstLine(out))[0]; first.Event != journal.Lost {
		t.Errorf("after %d comes %+v", lost.To-1, first)
	}
	all := r.history()
	for i := 2; i < len(all); i++ {
		if all[i].Seq != all[i-1].Seq+1 {
			t.Fatalf("after event %d comes %d", all[i-1].Seq, all[i].Seq)
		}
	}
	out, _ = r.does(0, "events")
	if !strings.HasPrefix(out, "--- the records 1 to ") {
		t.Errorf("for people it begins with %q", firstLine(out))
	}
	r.does(0, "stop", "/"+storm)
	r.does(0, "shutdown")
	r.endsWith(0)
}

func firstLine(s string) string { line, _, _ := strings.Cut(s, "\n"); return line + "\n" }

// A script may start a tree in the background and wait for a child of it.
func TestWaitWaitsForTheTreeToo(t *testing.T) {
	t.Parallel()
	dir := scratch(t)
	nobodyThere := &running{t: t, dir: dir, socket: dir + "/sock"}
	nobodyThere.does(124, "wait", "/a", "-for", "up", "-timeout", "50ms")
	r := launch(t, sleepers)
	r.does(0, "wait", "/second/inner", "-for", "ready", "-timeout", patience.String())
	r.does(1, "wait", "/nobody", "-for", "ready")
	r.does(0, "shutdown")
	r.endsWith(0)
	r.does(69, "status")
}

func TestEveryOrderMayGoUnwaitedFor(t *testing.T) {
	t.Parallel()
	r := boot(t, everyState)
	r.does(0, "stop", "-no-wait", "/running")
	r.does(0, "wait", "/running", "-for", "down")
	r.does(0, "start", "-no-wait", "/running")
	r.await("/running", journal.Start, 2)
	r.does(0, "restart", "-no-wait", "/running")
	r.await("/running", journal.Start, 3)
	r.does(0, "add", "-no-wait", "/pool", "--", "1000")
	r.await("/pool/1", journal.Start)
	r.does(0, "stop", "/running")
	r.does(0, "remove", "-no-wait", "/running")
	r.await("/running", journal.Remove)
	r.does(0, "signal", "/sup/stubborn", "KILL")
	r.does(0, "shutdown", "-no-wait")
	r.endsWith(0)
}
