package child

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestTheNextStartSweepsWhatADeadTreeLeft(t *testing.T) {
	needCgroups(t)
	with(t, Options{Containment: LevelCgroup}, func(living *Engine) {
		b := start(t, living, Spawn{Ref: ref("b", 1)}, `exec sleep 1000`)
		// A tree whose processes were all killed at once, but for a worker's.
		dead, err := New(Options{Containment: LevelCgroup, Tree: "dead"})
		must(t, err)
		a := start(t, dead, Spawn{Ref: ref("a", 1)}, `setsid sleep 1000 & echo $!; exec sleep 1000`)
		left := a.pid(t)
		must(t, syscall.Close(dead.cg.lock))

		next, err := New(Options{Containment: LevelCgroup, Tree: "next"})
		must(t, err)
		if alive(left) || alive(a.Pid) || !alive(b.Pid) {
			t.Errorf("alive: the dead tree's child %v and %v, the living tree's %v", alive(a.Pid), alive(left), alive(b.Pid))
		}
		if _, err := os.Stat(dead.cg.dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the dead tree's cgroup: %v", err)
		}
		next.Close()
		await[Exited](t, dead)
		dead.cg.lock, _ = syscall.Open("/dev/null", syscall.O_RDONLY, 0) // for Close
		dead.Close()
	})
}

func TestLeavesAreGoneWithTheirLives(t *testing.T) {
	needCgroups(t)
	with(t, Options{Containment: LevelCgroup}, func(e *Engine) {
		a := start(t, e, Spawn{Ref: ref("a", 1)}, `cat /proc/self/cgroup | grep ^0:: ; mkdir "$1" 2>/dev/null; exec sleep 1000`)
		if line := a.line(t); !strings.HasSuffix(line, "/supervise-1.a") {
			t.Errorf("it stands in %q", line)
		}
		must(t, e.Kill(clock(), ref("a", 1)))
		await[Exited](t, e)
		_, err := e.Spawn(Spawn{Ref: ref("b", 1), Path: "/b", Process: &Process{Command: []string{"/no/such"}}})
		if err == nil {
			t.Error("a command that is not there was started")
		}
		if leaves, _ := filepath.Glob(e.cg.dir + "/" + leafPrefix + "*"); len(leaves) > 0 {
			t.Errorf("left: %v", leaves)
		}
	})
}

func TestAProcessMovedIntoALeafIsNoReasonToWaitForEver(t *testing.T) {
	needCgroups(t)
	with(t, Options{Containment: LevelCgroup}, func(e *Engine) {
		a := start(t, e, Spawn{Ref: ref("a", 1)}, `exec sleep 1000`)
		b := start(t, e, Spawn{Ref: ref("b", 1)}, `sleep 1000 & echo $!; wait`)
		moved := b.pid(t) // b's child, so that no SIGCHLD tells of its end
		must(t, os.WriteFile(e.cg.dir+"/supervise-1.a/cgroup.procs", []byte(itoa(moved)), 0))
		syscall.Kill(a.Pid, syscall.SIGKILL)
		x := await[Exited](t, e)
		if x.Ref.ID != "a" || alive(moved) {
			t.Errorf("%+v; the moved process is alive: %v", x, alive(moved))
		}
	})
}

func TestCgroupOnDemandRefusesToRunWithLess(t *testing.T) {
	e := &Engine{tree: "x"}
	err := e.contain(LevelCgroup)
	if e.cg != nil {
		e.cg.close()
		return // it could be had
	}
	if err == nil || !strings.HasPrefix(err.Error(), "containing the tree in cgroups, as the configuration demands: ") {
		t.Errorf("it ran with less: %v", err)
	}
}
