package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/supertrees/supervise/internal/journal"
)

// What many lives leave behind: nothing.

// What one life costs is given back: descriptors, threads, goroutines and memory are
// flat over many. TORTURE=1 makes it a million, and at the level of cgroups, where a life
// takes longer, a hundred thousand.
func TestManyRestartsCostNothing(t *testing.T) {
	t.Parallel()
	for _, level := range levels(t) {
		lives := map[string]uint64{"basic": 2000, "cgroup": 500}[level]
		if long() {
			lives = map[string]uint64{"basic": 1_000_000, "cgroup": 100_000}[level]
		}
		t.Run(level, func(t *testing.T) { manyRestartsCostNothing(t, level, lives) })
	}
}

func manyRestartsCostNothing(t *testing.T, level string, lives uint64) {
	r := boot(t, fmt.Sprintf(`
		containment = %q
		intensity = "infinity"
		[defaults]
		backoff = { kind = "none" }
		[[child]]
		name = "w"
		command = ["true"]
		[[child]]
		name = "steady"
		command = "exec sleep 1000000"`, level), func(r *running) { r.cmd.Args = append(r.cmd.Args, "-log-level", "warn") })
	root := rootOf(r)
	maker := makerOf(t, root, r.node("/steady").Pid)
	r.passes("/w", lives/4)
	r.does(0, "stop", "/w") // a life that is being made or buried holds descriptors of its own
	before, goroutines := cost(t, root), r.goroutines(root)
	r.does(0, "start", "/w")
	r.passes("/w", lives)
	r.does(0, "stop", "/w")
	after := cost(t, root)
	if after.fds > before.fds+4 || after.threads > before.threads+2 {
		t.Errorf("over %d restarts: %d → %d descriptors, %d → %d threads", lives, before.fds, after.fds, before.threads, after.threads)
	}
	if !raceEnabled && after.kib > before.kib+8<<10 {
		t.Errorf("over %d restarts the root grew from %d to %d KiB", lives, before.kib, after.kib)
	}
	if n := r.goroutines(root); n > goroutines+4 {
		t.Errorf("over %d restarts: %d → %d goroutines", lives, goroutines, n)
	}
	if n := r.node("/w"); n.Incarnation < lives || n.Restarts != int(n.Incarnation)-2 { // it was started once by hand
		t.Errorf("of %d lives %d were restarts", n.Incarnation, n.Restarts)
	}
	if n := len(marked(r.mark)); n != 3 {
		t.Errorf("%d processes are there, of the sentinel, the root and one worker", n)
	}
	// Its sibling dies with the thread that made it: that is the one which makes all.
	if n := r.node("/steady"); n.Incarnation != 1 || makerOf(t, root, n.Pid) != maker {
		t.Errorf("the steady sibling is incarnation %d, of thread %s, which was %s", n.Incarnation, makerOf(t, root, n.Pid), maker)
	}
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}

// passes waits until a path has had so many lives, as long as there are more and more. It
// looks now and then: a reader of events would be most of the work.
func (r *running) passes(path string, lives uint64) {
	r.t.Helper()
	const pause = 100 * time.Millisecond
	last, stands := uint64(0), time.Duration(0)
	for {
		n := r.node(path)
		if n.Incarnation >= lives {
			return
		}
		if stands += pause; n.Incarnation > last {
			last, stands = n.Incarnation, 0
		}
		if stands > patience {
			r.t.Fatalf("%s stands at its life %d of %d: %+v", path, last, lives, n.Node)
		}
		time.Sleep(pause)
	}
}

// goroutines is how many a supervisor has, by what it prints when it gets QUIT.
func (r *running) goroutines(pid int) int {
	r.t.Helper()
	before := len(r.stderr.String())
	syscall.Kill(pid, syscall.SIGQUIT)
	r.stderr.await(r.t, "the stacks", func(said string) bool { return strings.Contains(said[before:], "goroutine ") })
	syscall.Kill(pid, syscall.SIGHUP) // which is told of behind the last of them
	said := r.stderr.await(r.t, "their end", func(said string) bool { return strings.Contains(said[before:], "this signal changes nothing") })
	return strings.Count("\n"+said[before:], "\ngoroutine ")
}

// makerOf is the thread of a process that made a child of it.
func makerOf(t *testing.T, parent, child int) string {
	t.Helper()
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
	for _, list := range lists {
		children, _ := os.ReadFile(list) // a thread may have ended
		for pid := range strings.FieldsSeq(string(children)) {
			if pid == strconv.Itoa(child) {
				return filepath.Base(filepath.Dir(list))
			}
		}
	}
	t.Errorf("process %d is no child of %d", child, parent)
	return ""
}

// A supervisor with a worker and a probe ends again and again, in order and killed: no
// process of all those lives is left, and no zombie. TORTURE=1 makes it a thousand times.
func TestNothingIsLeftOfManyLivesOfASupervisor(t *testing.T) {
	t.Parallel()
	lives := uint64(30)
	if long() {
		lives = 1000
	}
	for _, level := range levels(t) {
		r := boot(t, fmt.Sprintf(`
containment = %q
intensity = "infinity"
[[child]]
name = "team"
backoff = { kind = "none" }
  [[child.child]]
  name = "w"
  command = "(sleep 1000 &); exec sleep 1000"
  ready = { exec = ["sh", "-c", "sleep 1000 & exit 0"] }
`, level))
		for life := uint64(1); life < lives; life++ {
			if life%3 == 0 {
				r.does(0, "restart", "/team")
				continue
			}
			syscall.Kill(r.node("/team").Pid, syscall.SIGKILL)
			r.reaches("/team", life+1)
		}
		if n := r.node("/team/w"); n.State != journal.StateRunning || n.Incarnation != lives {
			t.Errorf("after %d lives of its supervisor /team/w is %v, incarnation %d", lives, n.State, n.Incarnation)
		}
		if pids := marked(r.mark); len(pids) != 5 {
			t.Errorf("%d processes are there, of the sentinel, the root, a supervisor, its worker and what that made: %v", len(pids), pids)
		}
		for _, parent := range []int{r.cmd.Process.Pid, rootOf(r)} {
			lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
			for _, list := range lists {
				children, _ := os.ReadFile(list)
				if n := len(strings.Fields(string(children))); n > 1 {
					t.Errorf("%s: %q", list, children)
				}
			}
		}
		r.signal(syscall.SIGTERM)
		r.endsWith(0)
	}
}

// usage is what a process holds.
type usage struct{ fds, threads, kib int }

// cost is what a process holds now.
func cost(t *testing.T, pid int) (u usage) {
	t.Helper()
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	u.fds = len(fds)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		switch fields[0] {
		case "Threads:":
			u.threads, _ = strconv.Atoi(fields[1])
		case "RssAnon:":
			u.kib, _ = strconv.Atoi(fields[1])
		}
	}
	return u
}
