package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/internal/journal"
)

// What a KILL of a supervisor itself leaves, and what comes back.

const twoTeams = `
	containment = %q
	intensity = "infinity"
	[[child]]
	name = "first"
	command = "exec sleep 1000"
	backoff = { kind = "none" }
	[[child]]
	name = "team"
	backoff = { kind = "none" }
	  [[child.child]]
	  name = "a"
	  command = "(setsid sleep 1000 &); sleep 1000 & exec sleep 1000"
	  [[child.child]]
	  name = "inner"
	    [[child.child.child]]
	    name = "b"
	    command = "trap '' TERM; while :; do sleep 1000 & wait; done"
	    shutdown = "100ms"
	[[child]]
	name = "last"
	command = "exec sleep 1000"`

func TestAKilledSupervisorComesBackWholeAndItsSiblingsStay(t *testing.T) {
	t.Parallel()
	needs(t, "setsid")
	for _, level := range levels(t) {
		t.Run(level, func(t *testing.T) {
			r := boot(t, fmt.Sprintf(twoTeams, level))
			first, last := r.node("/first").Pid, r.node("/last").Pid
			for life := uint64(1); life <= 5; life++ {
				old := r.node("/team").Pid
				syscall.Kill(old, syscall.SIGKILL)
				spawn := r.await("/team", journal.Spawn, life+1)
				r.await("/team", journal.Start, life+1)
				for _, path := range []string{"/team/a", "/team/inner/b"} {
					n := r.node(path)
					if n.State != journal.StateRunning || n.Incarnation != life+1 {
						t.Errorf("%s is %v, incarnation %d, after the KILL of its supervisor", path, n.State, n.Incarnation)
					}
					for _, pid := range r.of(path) {
						if of := incarnation(pid); of != 0 && of != n.Incarnation {
							t.Errorf("process %s of %s, life %d, is alive beside life %d", pid, path, of, n.Incarnation)
						}
					}
				}
				if spawn.Pid == old {
					t.Errorf("/team has the pid %d of the killed one", old)
				}
			}
			if r.node("/first").Pid != first || r.node("/last").Pid != last {
				t.Error("the siblings of the killed supervisor were restarted")
			}
			r.signal(syscall.SIGTERM)
			r.endsWith(0)
		})
	}
}

func TestAKilledRootOrSentinelLeavesNothing(t *testing.T) {
	t.Parallel()
	needs(t, "setsid")
	for _, level := range levels(t) {
		for _, who := range []string{"root", "sentinel"} {
			t.Run(level+"/"+who, func(t *testing.T) {
				r := boot(t, fmt.Sprintf(twoTeams, level))
				victim, status := r.cmd.Process.Pid, -1
				if who == "root" {
					victim, status = rootOf(r), 137
				}
				everything := marked(r.mark)
				if len(everything) < 9 {
					t.Fatalf("only %d processes before the KILL", len(everything))
				}
				syscall.Kill(victim, syscall.SIGKILL)
				for _, pid := range everything {
					awaitDeath(t, pid)
				}
				if got := r.status(); got != status {
					t.Errorf("the program ended with %d, want %d", got, status)
				}
				again := boot(t, fmt.Sprintf(twoTeams, level)) // and there is one copy
				if n := len(again.of("/first")); n != 1 {
					t.Errorf("%d processes of /first after a second start", n)
				}
				again.signal(syscall.SIGTERM)
				again.endsWith(0)
			})
		}
	}
}

// A supervisor that is stopped for a while answers nothing and loses nothing:
// the rest of the tree goes on, and when it goes on too, nobody is restarted
// because of it.
func TestAStoppedSupervisorRestartsNobody(t *testing.T) {
	t.Parallel()
	r := boot(t, fmt.Sprintf(twoTeams, "basic"))
	team := r.node("/team").Pid
	a, b := r.node("/team/a").Pid, r.node("/team/inner/b").Pid
	syscall.Kill(team, syscall.SIGSTOP)
	for life := uint64(1); life <= 20; life++ { // the rest of the tree lives on meanwhile
		syscall.Kill(r.await("/first", journal.Start, life).Pid, syscall.SIGKILL)
	}
	r.await("/first", journal.Start, 21)
	r.node("/team/a") // status asks no supervisor
	syscall.Kill(team, syscall.SIGCONT)
	r.does(0, "restart", "/team/inner")
	if r.node("/team/a").Pid != a {
		t.Error("/team/a was restarted because its supervisor had been stopped")
	}
	if r.node("/team/inner/b").Pid == b {
		t.Error("the restart of /team/inner did not restart /team/inner/b")
	}
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}

// awaitLife waits until a path has had so many lives.
func (r *running) awaitLife(path string, n uint64) {
	r.t.Helper()
	r.find(fmt.Sprint(path, " to have ", n, " lives"), func(rec *journal.Record) bool {
		return rec.Path == path && rec.Event == journal.Spawn && rec.Incarnation >= n || rec.Event == journal.Lost && r.node(path).Incarnation >= n
	})
}

func TestAThousandChildrenCostAtMostThreeDescriptorsEach(t *testing.T) {
	few := boot(t, "containment = \"basic\"\n"+sleeping(1))
	base := cost(t, rootOf(few))
	few.signal(syscall.SIGTERM)
	few.endsWith(0)
	r := boot(t, "containment = \"basic\"\n"+sleeping(1000))
	many := cost(t, rootOf(r))
	const askers = 4 // who just asked for the state may not be gone yet
	if more := many.fds - base.fds; more > 3*999+askers {
		t.Errorf("999 more children cost %d descriptors", more)
	}
	if many.threads > base.threads+4 {
		t.Errorf("%d threads for a thousand children, %d for one", many.threads, base.threads)
	}
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}

// A storm: fifty children are killed at once, and each is back, once.
func TestAStormOfDeaths(t *testing.T) {
	t.Parallel()
	r := boot(t, "[defaults]\nbackoff = { kind = \"constant\", min = \"1ms\" }\n"+sleeping(50))
	for i := range 50 {
		syscall.Kill(r.await(fmt.Sprintf("/w%d", i), journal.Start, 1).Pid, syscall.SIGKILL)
	}
	for i := range 50 {
		path := fmt.Sprintf("/w%d", i)
		r.await(path, journal.Start, 2)
		if n := r.node(path); n.Incarnation != 2 {
			t.Errorf("%s is incarnation %d after one death", path, n.Incarnation)
		}
	}
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}

// Children that end and come back without a pause keep their supervisor busy. A
// stop among them is carried out all the same, and its KILL comes when it is due.
func TestAStormThatDoesNotEndHoldsUpNothing(t *testing.T) {
	t.Parallel()
	for _, level := range levels(t) {
		r := boot(t, fmt.Sprintf(`
containment = %q
intensity = "infinity"
[defaults]
backoff = { kind = "none" }
[[child]]
name = "deaf"
command = "trap '' TERM; (trap '' TERM; while :; do sleep 1000; done) & while :; do sleep 1000; done"
shutdown = "50ms"
`, level)+workers(10, "/bin/true"))
		r.reaches("/w9", 100)
		r.does(0, "stop", "/deaf")
		r.gone("/deaf")
		r.reaches("/w9", r.node("/w9").Incarnation+100)
		r.signal(syscall.SIGTERM)
		r.endsWith(0)
	}
}

// Four storms: the restarts are spread by the jitter, and cost the supervisor
// not much more than so many forks cost a program that does nothing else.
func TestAMassRestartIsSpreadAndCheap(t *testing.T) {
	t.Parallel()
	const children, storms = 50, 4
	times := time.Duration(15) // it also logs, records, waits and contains: about 5
	if raceEnabled {
		times *= 4
	}
	r := boot(t, `
		intensity = "infinity"
		[defaults]
		backoff = { kind = "constant", min = "20ms", jitter = 0.1 }
		`+sleeping(children))
	r.follow()
	before := ticks(t, rootOf(r))
	for life := uint64(1); life <= storms; life++ {
		for i := range children {
			syscall.Kill(r.await(fmt.Sprintf("/w%d", i), journal.Start, life).Pid, syscall.SIGKILL)
		}
	}
	delays := map[float64]bool{}
	for i := range children {
		r.await(fmt.Sprintf("/w%d", i), journal.Start, storms+1)
	}
	for _, e := range r.history() {
		if e.Event != journal.Backoff {
			continue
		}
		delays[*e.Delay] = true
		if *e.Delay < 0.018 || *e.Delay > 0.022 {
			t.Errorf("a delay is %v s", *e.Delay)
		}
	}
	if len(delays) < children {
		t.Errorf("%d deaths had %d different delays", children*storms, len(delays))
	}
	used := ticks(t, rootOf(r)) - before
	plain := exec.Command(os.Getenv(envSelf), "play", "forks", strconv.Itoa(children*storms))
	out, _ := finishes(t, plain, 0)
	forks, err := time.ParseDuration(strings.TrimSpace(out))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d restarts: %v of processor time; so many forks: %v", children*storms, used, forks)
	if used > times*forks {
		t.Errorf("%d restarts cost %v of processor time, so many forks %v", children*storms, used, forks)
	}
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}

// gate holds up the boot until the test opens it.
const gate = `
	containment = "basic"
	[defaults]
	backoff = { kind = "constant", min = "20ms" }
	[[child]]
	name = "gate"
	command = "mkfifo gate && echo closed; read word < gate; echo open; exec sleep 1000"
	ready = { log = "open" }
`

// awaitDeath waits until a process is gone.
func awaitDeath(t *testing.T, pid string) {
	t.Helper()
	n, _ := strconv.Atoi(pid)
	fd, err := unix.PidfdOpen(n, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(poll, int(patience/time.Millisecond))
		switch {
		case err == unix.EINTR:
		case n == 0:
			t.Fatalf("process %s is still alive", pid)
		default:
			return
		}
	}
}

// A supervisor that is killed while it stops its children in order, for which
// it has all the time in the world, takes what they left with it all the same.
func TestASupervisorKilledInTheMiddleOfItsStop(t *testing.T) {
	for _, level := range levels(t) {
		t.Run(level, func(t *testing.T) {
			r := boot(t, fmt.Sprintf(`
				containment = %q
				[[child]]
				name = "team"
				  [[child.child]]
				  name = "deaf"
				  command = "trap '' TERM; echo up; while :; do sleep 1000 & wait; done"
				  shutdown = "infinity"`, level))
			r.stdout.says(t, "/team/deaf | up")
			stopped := r.ask("stop", "/team")
			if err := stopped.Start(); err != nil {
				t.Fatal(err)
			}
			r.await("/team/deaf", journal.Stopping)
			syscall.Kill(r.node("/team").Pid, syscall.SIGKILL)
			if err := stopped.Wait(); err != nil {
				t.Errorf("stopping /team: %v", err)
			}
			r.gone("/team/deaf")
			r.signal(syscall.SIGTERM)
			r.endsWith(0)
		})
	}
}

// sleeping are so many workers w0, w1, … that do nothing.
func sleeping(n int) string { return workers(n, "sleep", "1000") }

// workers are so many workers w0, w1, … that run a command.
func workers(n int, command ...string) string {
	var toml strings.Builder
	for i := range n {
		fmt.Fprintf(&toml, "[[child]]\nname = \"w%d\"\ncommand = [\"%s\"]\n", i, strings.Join(command, `", "`))
	}
	return toml.String()
}
