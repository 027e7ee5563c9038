package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/internal/journal"
)

// The system around the tree: pids that come again, PID 1, memory limits.

// In a pid namespace whose next pid can be chosen, the pid of a dead child goes
// to a process that is none of its own. Whatever is then ordered about that
// child, the foreign process is not signalled.
func TestAPidThatComesAgainIsNeverSignalled(t *testing.T) {
	t.Parallel()
	root(t)
	needs(t, "unshare")
	for _, level := range levels(t) {
		r := boot(t, fmt.Sprintf(`
containment = %q
[[child]]
name = "w"
command = "echo pid $$; exec sleep 1000"
backoff = { kind = "constant", min = "1h", max = "1h" }
shutdown = "brutal_kill"
[[child]]
name = "other"
command = '''
mkfifo pid; exec 3<>pid; echo made; read pid <&3
until [ "$foreign" = "$pid" ]; do
  [ -n "$foreign" ] && kill $foreign
  echo $((pid-1)) > /proc/sys/kernel/ns_last_pid
  sleep 1000 & foreign=$!
done
echo foreign $foreign
while read word <&3; do kill -0 $foreign && echo lives $word || echo dead $word; done'''
`, level), under(asPid1...))
		r.stdout.says(t, "/other | made\n")
		r.await("/w", journal.Start, 1)
		first := r.node("/w").Pid
		r.does(0, "signal", "/w", "KILL")
		r.await("/w", journal.Backoff, 1)
		r.write("pid", fmt.Sprintf("%d\n", first))
		r.stdout.says(t, fmt.Sprintf("/other | foreign %d\n", first))

		r.ask("signal", "/w", "KILL").Run() // it waits for its next life, and has no process
		for _, order := range []string{"stop", "start", "restart", "stop", "status"} {
			r.write("pid", "before "+order+"\n")
			r.stdout.says(t, " before "+order+"\n")
			r.does(0, order, "/w")
		}
		if strings.Contains(r.stdout.String(), "/other | dead") {
			t.Errorf("an order for /w reached the process that has its old pid:\n%s", r.stdout)
		}
		r.does(0, "shutdown")
		r.endsWith(0)
	}
}

// As PID 1 the program gets every orphan of its container. It reaps them all,
// and the statuses of its own children are not lost among them. With TORTURE=1
// there are ten thousand.
func TestPid1AmongThousandsOfOrphans(t *testing.T) {
	t.Parallel()
	root(t)
	needs(t, "unshare")
	orphans := 1000
	if long() {
		orphans = 10_000
	}
	r := boot(t, fmt.Sprintf(`
intensity = "infinity"
[[child]]
name = "seven"
command = "exit 7"
backoff = { kind = "constant", min = "1ms" }
[[child]]
name = "maker"
command = '''
i=0; while [ $i -lt %d ]; do (true & true &) ; i=$((i+2)); done
echo made; exec sleep 1000'''
[[child]]
name = "watch"
command = '''
until [ -e made ]; do sleep 0.01; done
until ! grep -q '^State:.Z' /proc/[0-9]*/status 2>/dev/null; do :; done
echo "no zombie is left"
exec sleep 1000'''
`, orphans), under(asPid1...))
	r.follow()
	r.stdout.says(t, "/maker | made\n")
	r.does(0, "stop", "/seven")
	r.write("made", "")
	r.stdout.says(t, "/watch | no zombie is left")
	lives := 0
	for _, e := range r.told("/seven", journal.Exit) {
		lives++
		if e.Reason == "abnormal" && (e.Status == nil || *e.Status != 7) {
			t.Errorf("a life of /seven ended with %+v", e)
		}
	}
	if lives < 10 {
		t.Errorf("/seven had only %d lives among the orphans", lives)
	}
	r.does(0, "shutdown")
	r.endsWith(0)
}

// A zombie that nobody will reap is no process that is left: a stop that may
// take for ever does not wait for it.
func TestAStopDoesNotWaitForZombies(t *testing.T) {
	t.Parallel()
	for _, level := range levels(t) {
		r := boot(t, fmt.Sprintf(`
containment = %q
[[child]]
name = "w"
command = '(exit 3) & echo $!; exec sleep 1000' # sleep never waits for what the shell began
shutdown = "infinity"
`, level))
		said := r.stdout.await(t, "the pid of the zombie", func(said string) bool { return strings.Contains(said, "\n") })
		zombie := strings.TrimSpace(strings.TrimPrefix(said, "/w | "))
		awaitDeath(t, zombie)
		r.does(0, "stop", "/w")
		if _, err := os.Stat("/proc/" + zombie); err == nil {
			t.Errorf("the zombie %s is still there after the stop", zombie)
		}
		r.signal(syscall.SIGTERM)
		r.endsWith(0)
	}
}

// A supervisor whose memory cgroup is too small is killed by the kernel. That
// is a KILL like any other: its parent brings the whole subtree back, once.
func TestASupervisorWithoutMemory(t *testing.T) {
	t.Parallel()
	root(t)
	group, limit := memoryGroup(t)
	r := boot(t, fmt.Sprintf(twoTeams, "basic"))
	first, team := r.node("/first").Pid, r.node("/team").Pid
	if err := os.WriteFile(group+"/cgroup.procs", []byte(strconv.Itoa(team)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(group, limit), []byte("65536"), 0o644); err != nil {
		t.Fatal(err)
	}
	r.follow()
	r.ask("restart", "-no-wait", "/team/a").Run() // which takes memory
	if e := r.await("/team", journal.Exit, 1); e.Signal != "KILL" {
		t.Errorf("the supervisor ended with %+v", e)
	}
	r.await("/team", journal.Start, 2)
	for _, path := range []string{"/team/a", "/team/inner/b"} {
		n := r.node(path)
		if n.State != journal.StateRunning {
			t.Errorf("%s is %v after its supervisor ran out of memory", path, n.State)
		}
		for _, pid := range r.of(path) {
			if of := incarnation(pid); of != 0 && of != n.Incarnation {
				t.Errorf("process %s of %s, life %d, is alive beside life %d", pid, path, of, n.Incarnation)
			}
		}
	}
	if r.node("/first").Pid != first {
		t.Error("the sibling was restarted")
	}
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}

// memoryGroup makes a cgroup with a memory limit, and is its directory and the
// name of the limit's file.
func memoryGroup(t *testing.T) (dir, limit string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		switch {
		case f[2] == "cgroup" && strings.Contains(","+f[3]+",", ",memory,"):
			limit = "memory.limit_in_bytes"
		case f[2] == "cgroup2":
			limit = "memory.max"
		default:
			continue
		}
		dir = filepath.Join(f[1], "e2e-"+filepath.Base(scratch(t)))
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { syscall.Rmdir(dir) })
		if unix.Access(filepath.Join(dir, limit), unix.W_OK) == nil {
			return dir, limit
		}
	}
	t.Skipf("NOT RUN: %s needs the memory controller of cgroups, which this machine does not give", t.Name())
	return "", ""
}
