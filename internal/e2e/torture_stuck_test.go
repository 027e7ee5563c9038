package e2e

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/supertrees/supervise/internal/journal"
)

// Processes that even KILL does not end: they wait for a server of files that
// does not answer.

// inEachLevel runs a story once at every level of containment, with a dead
// server of files of its own.
func inEachLevel(t *testing.T, story func(t *testing.T, level string, dead *deadServer)) {
	t.Parallel()
	for _, level := range levels(t) {
		t.Run(level, func(t *testing.T) { story(t, level, mountDead(t)) })
	}
}

// becomesStuck waits until a path is stuck, which is not before five seconds
// after its KILL, and checks what is said of it.
func (r *running) becomesStuck(path string, pid int) {
	r.t.Helper()
	stuck := r.await(path, journal.Stuck)
	if !slices.Equal(stuck.Pids, []int{pid}) {
		r.t.Errorf("%s is said to be stuck with the processes %v, and %d is there", path, stuck.Pids, pid)
	}
	if state := stateOf(r.t, pid); state != "D" {
		r.t.Errorf("process %d is in the state %s, and should not have been killable", pid, state)
	}
	if n := r.node(path); n.State != journal.StateStuck || !slices.Equal(n.Pids, []int{pid}) {
		r.t.Errorf("status says of %s %v, %v", path, n.State, n.Pids)
	}
	if said, _ := r.does(0, "status", path); !strings.Contains(said, "stuck") || !strings.Contains(said, strconv.Itoa(pid)) {
		r.t.Errorf("status prints\n%s", said)
	}
}

// stateOf is the letter of a process's state.
func stateOf(t testing.TB, pid int) string {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(status[strings.LastIndexByte(string(status), ')')+1:]))[0]
}

// alone checks that one process of a path is alive, and which.
func (r *running) alone(path string, pid int) {
	r.t.Helper()
	if pids := r.of(path); !slices.Equal(pids, []string{strconv.Itoa(pid)}) {
		r.t.Errorf("of %s the processes %v are alive, want %d only", path, pids, pid)
	}
}

func TestAChildThatCannotBeKilledIsStuckAndHasNoSecondCopy(t *testing.T) {
	inEachLevel(t, func(t *testing.T, level string, dead *deadServer) {
		r := boot(t, fmt.Sprintf(`
containment = %q
[[child]]
name = "w"
command = '[ $SUPERVISE_INCARNATION -gt 1 ] && exec sleep 1000; exec cat %s/worker'
shutdown = "100ms"
[[child]]
name = "other"
command = "exec sleep 1000"
`, level, dead.dir))
		pid, other := dead.holds(), r.node("/other").Pid
		r.follow()

		_, said := r.does(1, "stop", "/w")
		if !strings.Contains(said, "stuck") {
			t.Errorf("stop says %q", said)
		}
		kill := r.await("/w", journal.Kill)
		if waited := r.await("/w", journal.Stuck).Time.Sub(kill.Time).Seconds(); waited < 4.99 {
			t.Errorf("it was stuck %v s after the KILL", waited)
		}
		r.becomesStuck("/w", pid)
		for _, order := range []string{"start", "restart", "stop"} {
			if _, said := r.does(1, order, "/w"); !strings.Contains(said, "stuck") {
				t.Errorf("%s says %q", order, said)
			}
			r.alone("/w", pid)
		}
		r.does(0, "restart", "/other") // the supervisor has other things to do
		if r.node("/other").Pid == other {
			t.Error("/other was not restarted")
		}

		dead.answer()
		r.does(0, "wait", "/w", "-for", "down", "-timeout", patience.String())
		r.gone("/w")
		r.does(0, "start", "/w")
		if n := r.node("/w"); n.State != journal.StateRunning || n.Incarnation != 2 || len(n.Pids) > 0 {
			t.Errorf("after the start it is %+v", n.Node)
		}
		r.signal(syscall.SIGTERM)
		r.endsWith(0)
	})
}

// What a crashed worker left cannot be killed: its next life waits for that,
// and comes by itself when it is gone.
func TestWhatACrashLeftCannotBeKilled(t *testing.T) {
	inEachLevel(t, func(t *testing.T, level string, dead *deadServer) {
		r := boot(t, fmt.Sprintf(`
containment = %q
[[child]]
name = "w"
command = '[ $SUPERVISE_INCARNATION -eq 1 ] && cat %s/descendant & exec sleep 1000'
backoff = { kind = "none" }
`, level, dead.dir))
		pid := dead.holds()
		r.follow()
		syscall.Kill(r.node("/w").Pid, syscall.SIGKILL)
		r.becomesStuck("/w", pid)
		r.alone("/w", pid)
		dead.answer()
		r.await("/w", journal.Start, 2)
		r.signal(syscall.SIGTERM)
		r.endsWith(0)
	})
}

// The same for what a killed supervisor left, which its parent waits for.
func TestWhatAKilledSupervisorLeftCannotBeKilled(t *testing.T) {
	inEachLevel(t, func(t *testing.T, level string, dead *deadServer) {
		r := boot(t, fmt.Sprintf(`
containment = %q
[[child]]
name = "team"
backoff = { kind = "none" }
  [[child.child]]
  name = "w"
  command = '[ -e %[2]s.used ] && exec sleep 1000; touch %[2]s.used; exec cat %[2]s/worker'
  [[child.child]]
  name = "steady"
  command = "exec sleep 1000"
[[child]]
name = "other"
command = "exec sleep 1000"
`, level, dead.dir))
		pid, other := dead.holds(), r.node("/other").Pid
		r.follow()
		syscall.Kill(r.node("/team").Pid, syscall.SIGKILL)
		r.becomesStuck("/team", pid)
		r.alone("/team/w", pid)
		r.gone("/team/steady")
		dead.answer()
		r.await("/team", journal.Start, 2)
		if n := r.node("/team/w"); n.State != journal.StateRunning || len(r.of("/team/w")) != 1 {
			t.Errorf("/team/w is %+v, and its processes are %v", n.Node, r.of("/team/w"))
		}
		if r.node("/other").Pid != other {
			t.Error("/other was restarted")
		}
		r.signal(syscall.SIGTERM)
		r.endsWith(0)
	})
}

// An orderly end waits no longer for it than until it is stuck, says what is
// left, and is a failure.
func TestTheEndOfATreeWithAProcessThatCannotBeKilled(t *testing.T) {
	inEachLevel(t, func(t *testing.T, level string, dead *deadServer) {
		r := boot(t, fmt.Sprintf(`
containment = %q
[[child]]
name = "first"
command = "exec sleep 1000"
[[child]]
name = "team"
  [[child.child]]
  name = "w"
  command = 'exec cat %s/worker'
  shutdown = "brutal_kill"
`, level, dead.dir))
		pid := dead.holds()
		r.follow()
		r.signal(syscall.SIGTERM)
		<-r.ended
		if status := r.cmd.ProcessState.ExitCode(); status != 1 {
			t.Errorf("the tree ended with %d, want 1", status)
		}
		if said := r.stderr.String(); !strings.Contains(said, "could not be killed") || !strings.Contains(said, strconv.Itoa(pid)) {
			t.Errorf("it says\n%s", said)
		}
		r.gone("/first")
		r.alone("/team/w", pid)
		dead.answer()
		awaitDeath(t, strconv.Itoa(pid)) // the KILL was sent
	})
}
