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

// What the kernel does when there is no memory left: a tree in a memory cgroup that is
// too small for what one of its workers wants.

// hungry is a tree whose first worker takes all the memory that there is as soon as
// there is a file "hungry".
const hungry = `
containment = %q
intensity = "infinity"
[[child]]
name = "hog"
command = '''
echo 0 > /proc/$$/oom_score_adj # and not what a test gave to its supervisor
[ -e hungry ] && exec tail /dev/zero # which keeps a line that has no end
exec sleep 1000'''
backoff = { kind = "constant", min = "20ms" }
[[child]]
name = "steady"
command = "exec sleep 1000"
[[child]]
name = "team"
backoff = { kind = "none" }
  [[child.child]]
  name = "a"
  command = "(setsid sleep 1000 &); exec sleep 1000"
  [[child.child]]
  name = "inner"
    [[child.child.child]]
    name = "b"
    command = "exec sleep 1000"
`

// inMemory has a tree run in a memory cgroup of that size.
func inMemory(t *testing.T, megabytes int) prepare {
	t.Helper()
	group, limit := memoryGroup(t)
	if err := os.WriteFile(filepath.Join(group, limit), []byte(strconv.Itoa(megabytes<<20)), 0o644); err != nil {
		t.Fatal(err)
	}
	_ = os.WriteFile(filepath.Join(group, "memory.swap.max"), []byte("0"), 0o644) // where there is swap
	return under("sh", "-c", `echo $$ > `+group+`/cgroup.procs; exec "$@"`, "sh")
}

// firstToDie has the kernel take this process before all others.
func firstToDie(t *testing.T, pid int) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte("1000"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A worker that takes too much is killed by the kernel. Event, status, why and the log
// name the cause, and of a KILL that somebody sent they name none.
func TestAKillForWantOfMemoryIsToldAsOne(t *testing.T) {
	t.Parallel()
	root(t)
	for _, level := range levels(t) {
		r := boot(t, fmt.Sprintf(hungry, level), inMemory(t, limit(200)))
		r.follow()
		r.write("hungry", "")
		r.does(0, "restart", "-no-wait", "/hog")
		r.await("/hog", journal.Start, 4) // its second and third life took too much
		r.does(0, "stop", "/hog")
		for life := uint64(2); life <= 3; life++ {
			if e := r.await("/hog", journal.Exit, life); e.Signal != "KILL" || e.Reason != "killed" || e.Cause != journal.OOM {
				t.Errorf("life %d of /hog ended with %+v", life, e)
			}
		}
		if e := r.await("/hog", journal.Exit, 1); e.Cause != "" {
			t.Errorf("after an order it ended with %+v", e)
		}
		os.Remove(filepath.Join(r.dir, "hungry"))

		syscall.Kill(r.node("/steady").Pid, syscall.SIGKILL)
		if e := r.await("/steady", journal.Exit, 1); e.Signal != "KILL" || e.Cause != "" {
			t.Errorf("of a KILL by hand is told %+v", e)
		}
		r.signal(syscall.SIGTERM)
		r.endsWith(0)
		r.stderr.says(t, "worker ended by signal KILL: killed by the kernel for want of memory (oom): path=/hog ")
		r.stderr.says(t, "worker ended by signal KILL: killed: path=/steady ")
	}
}

// The same of a supervisor: it is brought back with its whole subtree, once, and whoever
// asks is told why it ended.
func TestASupervisorWithoutMemory(t *testing.T) {
	t.Parallel()
	root(t)
	for _, level := range levels(t) {
		r := boot(t, fmt.Sprintf(hungry, level), inMemory(t, limit(200)))
		r.follow()
		steady := r.node("/steady").Pid
		firstToDie(t, r.node("/team").Pid)
		r.write("hungry", "")
		r.does(0, "restart", "-no-wait", "/hog")
		if e := r.await("/team", journal.Exit, 1); e.Signal != "KILL" || e.Cause != journal.OOM {
			t.Errorf("the supervisor ended with %+v", e)
		}
		r.await("/team", journal.Start, 2)
		os.Remove(filepath.Join(r.dir, "hungry"))
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
		if n := r.node("/team"); n.LastExit == nil || n.LastExit.Cause != journal.OOM {
			t.Errorf("status says of it %+v", n.LastExit)
		}
		if said, _ := r.does(0, "status", "/team"); !strings.Contains(said, "last killed by KILL (oom) ") {
			t.Errorf("status prints\n%s", said)
		}
		if said, _ := r.does(0, "why", "/team"); !strings.Contains(said, "by signal KILL, which the kernel sent for want of memory (oom), ") {
			t.Errorf("why says\n%s", said)
		}
		if r.node("/steady").Pid != steady {
			t.Error("the sibling was restarted")
		}
		r.signal(syscall.SIGTERM)
		r.endsWith(0)
		r.stderr.says(t, "supervisor ended by signal KILL: killed by the kernel for want of memory (oom); it left the processes [")
	}
}

// And of the root: nothing is left, and the process above it says what it knows.
func TestARootWithoutMemory(t *testing.T) {
	t.Parallel()
	root(t)
	for _, level := range levels(t) {
		r := boot(t, fmt.Sprintf(hungry, level), inMemory(t, limit(200)))
		firstToDie(t, rootOf(r))
		r.write("hungry", "")
		r.does(0, "restart", "-no-wait", "/hog")
		r.endsWith(137)
		r.stderr.says(t, "the root was killed; since the tree began, the kernel killed for want of memory (oom) here: ")
	}
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
