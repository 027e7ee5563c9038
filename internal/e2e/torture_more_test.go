package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/supertrees/supervise/internal/journal"
)

// More of what stops and crashes at the wrong moment, and what takes a crowd or
// a long time: TORTURE=1 gives the full length.

// Without a word about it, a child that ignores its order to stop is killed
// after ten seconds, and the command waits for that.
func TestAChildThatIgnoresTermIsKilledByDefault(t *testing.T) {
	t.Parallel()
	r := boot(t, `
[[child]]
name = "w"
command = "exec $E2E_PLAY play stubborn"
`)
	r.stdout.says(t, "nothing stops me")
	r.follow()
	r.does(0, "stop", "/w")
	r.gone("/w")
	ordered, killed := r.await("/w", journal.Stopping).Time, r.await("/w", journal.Kill).Time
	if waited := killed.Sub(ordered).Seconds(); waited < 9 { // the order is told after the ten seconds have begun
		t.Errorf("it was killed after %v s", waited)
	}
	r.stderr.says(t, "killing it: its shutdown time is over")
	if n := r.node("/w"); n.State != journal.StateDown || n.LastExit == nil || n.LastExit.Reason != "killed" {
		t.Errorf("after the stop it is %+v", n.Node)
	}
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}

// A supervisor is stopped while one of its children is being restarted and
// still takes its time to end: there is no next life.
func TestASupervisorIsStoppedInTheMiddleOfARestart(t *testing.T) {
	t.Parallel()
	r := boot(t, `
[[child]]
name = "team"
  [[child.child]]
  name = "w"
  command = "trap '' TERM; echo deaf; until [ -e go ]; do sleep 0.05; done"
  shutdown = "infinity"
`)
	r.stdout.says(t, "/team/w | deaf")
	r.follow()
	r.does(0, "restart", "-no-wait", "/team/w")
	r.await("/team/w", journal.Stopping)
	r.does(0, "stop", "-no-wait", "/team")
	r.await("/team", journal.Stopping)
	r.ask("signal", "/team/w", "CONT").Run() // whatever the answer, it comes behind the order to stop
	r.write("go", "")
	r.await("/team", journal.Down)
	r.gone("/team/w")
	r.signal(syscall.SIGTERM)
	r.await("/", journal.Exit)
	r.endsWith(0)
	spawns := r.told("/team/w", journal.Spawn)
	if last := spawns[len(spawns)-1].Incarnation; last != 1 {
		t.Errorf("the stopped supervisor began life %d of its child", last)
	}
}

// The order to end comes at every moment of a boot of thirty slow children, with
// TORTURE=1 after each of them: the tree ends with what it has, without waiting for
// the rest.
func TestTermAtEveryMomentOfABoot(t *testing.T) {
	t.Parallel()
	step := 6
	if long() {
		step = 1
	}
	for k := 0; k < 30; k += step {
		var toml strings.Builder
		for i := range 30 {
			fmt.Fprintf(&toml, "[[child]]\nname = \"w%d\"\ncommand = \"sleep 0.02; echo ready %d; exec sleep 1000\"\nready = { log = \"^ready\" }\nstart_timeout = \"1h\"\n", i, i)
		}
		r := launch(t, toml.String())
		r.stdout.says(t, fmt.Sprintf("/w%d | ready", k))
		r.signal(syscall.SIGTERM)
		r.endsWith(0)
	}
}

// A supervisor is killed again and again while it makes processes as fast as it
// can: nothing of an earlier life is beside a later one.
func TestASupervisorThatForksIsKilled(t *testing.T) {
	t.Parallel()
	var crowd strings.Builder
	for i := range 5 {
		fmt.Fprintf(&crowd, "[[child.child]]\nname = \"w%d\"\ncommand = \"(sleep 1000 &); exit 1\"\nbackoff = { kind = \"constant\", min = \"1ms\" }\n", i)
	}
	rounds := uint64(10)
	if long() {
		rounds = 200
	}
	for _, level := range levels(t) {
		r := boot(t, fmt.Sprintf(`
containment = %q
[[child]]
name = "team"
intensity = "infinity"
backoff = { kind = "constant", min = "1ms" }
`, level)+crowd.String())
		for life := uint64(1); life <= rounds; life++ {
			before := map[string]uint64{} // the lives that must be over
			for _, pid := range marked(r.mark) {
				before[pid] = incarnation(pid)
			}
			syscall.Kill(r.node("/team").Pid, syscall.SIGKILL)
			r.reaches("/team", life+1)
			for pid, of := range before {
				if of != 0 && incarnation(pid) == of {
					t.Errorf("process %s of an earlier life, %d, is alive beside life %d of /team", pid, of, life+1)
				}
			}
		}
		r.signal(syscall.SIGTERM)
		r.endsWith(0)
	}
}

// reaches waits until a path runs in that life. It asks again and again, where
// more happens than a reader of events can follow.
func (r *running) reaches(path string, life uint64) {
	r.t.Helper()
	for end := time.Now().Add(patience); ; {
		switch n := r.node(path); {
		case n.State == journal.StateRunning && n.Incarnation >= life:
			return
		case time.Now().After(end):
			r.t.Fatalf("waiting for life %d of %s: it is %+v", life, path, n.Node)
		}
	}
}

// A supervisor that stood still for a while (a minute, with TORTURE=1) goes on
// where it was: no timer that came late restarts anybody.
func TestASupervisorThatStoodStill(t *testing.T) {
	t.Parallel()
	seconds := 3
	if long() {
		seconds = 60
	}
	r := boot(t, fmt.Sprintf(`
[[child]]
name = "team"
  [[child.child]]
  name = "steady"
  command = "exec sleep 1000"
  [[child.child]]
  name = "waits"
  command = "exit 1"
  backoff = { kind = "constant", min = "1h", max = "1h" }
  [[child.child]]
  name = "crash"
  command = "exec sleep 1000"
  backoff = { kind = "constant", min = "10ms" }
[[child]]
name = "clock"
command = "exec sleep %d"
restart = "temporary"
`, seconds))
	r.await("/team/waits", journal.Backoff)
	team, crash := r.node("/team").Pid, r.node("/team/crash").Pid
	r.await("/clock", journal.Start, 1)
	syscall.Kill(team, syscall.SIGSTOP)
	syscall.Kill(crash, syscall.SIGKILL) // its death is seen late
	r.await("/clock", journal.Exit, 1)
	syscall.Kill(team, syscall.SIGCONT)
	r.await("/team/crash", journal.Start, 2)
	r.does(0, "restart", "/team/crash")
	for path, life := range map[string]uint64{"/team": 1, "/team/steady": 1, "/team/waits": 1, "/team/crash": 3} {
		if n := r.node(path); n.Incarnation != life {
			t.Errorf("%s is %v, incarnation %d, want %d", path, n.State, n.Incarnation, life)
		}
	}
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}

// Many workers under ten supervisors boot, run and stop: ten thousand with
// TORTURE=1.
func TestThousandsOfWorkersUnderTenSupervisors(t *testing.T) {
	each := 50
	if long() {
		each = 1000
	}
	var toml strings.Builder
	for s := range 10 {
		fmt.Fprintf(&toml, "[[child]]\nname = \"team%d\"\n", s)
		for w := range each {
			fmt.Fprintf(&toml, "[[child.child]]\nname = \"w%d\"\ncommand = [\"sleep\", \"100000\"]\n", w)
		}
	}
	r := boot(t, toml.String())
	if n := len(marked(r.mark)); n < 10*each+11 {
		t.Errorf("%d processes run, of %d workers", n, 10*each)
	}
	last := fmt.Sprintf("/team9/w%d", each-1)
	syscall.Kill(r.node(last).Pid, syscall.SIGKILL)
	r.await(last, journal.Start, 2)
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}

// Every start has the whole of its time to become ready: what earlier starts
// took is not counted, nor what it took to make the process. A slow one that is
// in time is up; on a machine so busy that it is not, a later one is.
func TestEveryStartHasItsWholeTimeToBeReady(t *testing.T) {
	t.Parallel()
	r := boot(t, `
[[child]]
name = "w"
command = '''
case $SUPERVISE_INCARNATION in
  1) ;;
  2|3|4) exec sleep 1000 ;;
  *) sleep 0.2 ;;
esac
echo ready; exec sleep 1000'''
ready = { log = "^ready$" }
start_timeout = "3s"
backoff = { kind = "constant", min = "1ms" }
`)
	syscall.Kill(r.await("/w", journal.Start, 1).Pid, syscall.SIGKILL)
	up := r.find("a start after those that never are ready", func(rec *journal.Record) bool {
		return rec.Path == "/w" && rec.Event == journal.Start && rec.Incarnation >= 5
	})
	spawns, failed := r.told("/w", journal.Spawn), r.told("/w", journal.Failed)
	if len(failed) != int(up.Incarnation)-2 {
		t.Fatalf("%d starts failed before start %d, want all but the first: %v", len(failed), up.Incarnation, failed)
	}
	for i, f := range failed {
		if took := f.Time.Sub(spawns[i+1].Time).Seconds(); took < 2.99 {
			t.Errorf("start %d was given up after %v s", f.Incarnation, took)
		}
	}
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}
