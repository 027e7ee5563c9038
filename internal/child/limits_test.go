package child

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestABinaryThatIsBeingWrittenIsTriedAgain(t *testing.T) {
	with(t, Options{}, func(e *Engine) {
		text, err := os.ReadFile("/bin/true")
		must(t, err)
		file := filepath.Join(t.TempDir(), "busy")
		f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY, 0o755)
		must(t, err)
		_, err = f.Write(text)
		must(t, err)
		order := Spawn{Ref: ref("a", 1), Path: "/a", Process: &Process{Command: []string{file}}}
		_, err = e.Spawn(order)
		var failed *StartError
		if !errors.As(err, &failed) || !failed.Passing || !errors.Is(err, syscall.ETXTBSY) || failed.Key != "command" {
			t.Errorf("the error is %v", err)
		}
		must(t, f.Close())
		start(t, e, order, "")
		await[Exited](t, e)
	})
}

// A node with few descriptors starts what it can, says of the rest that it will
// pass, and is not blind to what a dead child left.
func TestTheTableOfDescriptorsIsFull(t *testing.T) {
	cmd := exec.Command("sh", "-c", `ulimit -n 24; exec "$0"`, self(t))
	cmd.Env = append(os.Environ(), "CHILD_TEST_ROLE=starved")
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "done\n" {
		t.Errorf("%v: %s", err, out)
	}
}

// playStarved is that node.
func playStarved() {
	events := make(chan os.Signal, 1)
	signal.Notify(events, syscall.SIGCHLD)
	e, err := New(Options{Containment: LevelBasic})
	check(err)
	script := []string{"sh", "-c", `setsid sleep 1000 & exec sleep 1000`}
	started := map[int]Spawned{}
	for i := range 20 {
		s, err := e.Spawn(Spawn{Ref: ref(itoa(i), 1), Path: "/" + itoa(i), Process: &Process{Command: script}})
		if err == nil {
			started[i] = s
			continue
		}
		var failed *StartError
		if !errors.As(err, &failed) || !failed.Passing || !errors.Is(err, syscall.EMFILE) {
			check(fmt.Errorf("child %d: %w", i, err))
		}
	}
	if len(started) == 0 || len(started) == 20 {
		check(fmt.Errorf("%d of 20 were started", len(started)))
	}
	filler := []int{} // the last free one or two
	for fd, err := unix.Dup(0); err == nil; fd, err = unix.Dup(0) {
		filler = append(filler, fd)
	}
	await := func() {
		for limit := time.After(patience); ; {
			for _, ev := range e.Reap(clock()) {
				if _, is := ev.(Exited); is {
					return
				}
			}
			select {
			case <-events:
			case <-limit:
				check(errors.New("waited too long"))
			}
		}
	}
	check(e.Kill(clock(), ref("0", 1)))
	await()
	for _, fd := range append(filler, started[0].Stdout, started[0].Stderr) {
		check(unix.Close(fd))
	}
	_, err = e.Spawn(Spawn{Ref: ref("again", 1), Path: "/again", Process: &Process{Command: script}})
	check(err)
	for r := range e.lives {
		check(e.Kill(clock(), r))
	}
	for len(e.lives) > 0 {
		await()
	}
	fmt.Println("done")
}

func TestWhatCannotBeKilledIsStuck(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		a := start(t, e, Spawn{Ref: ref("a", 1)}, `exec sleep 1000`)
		// A dead process stays unreaped as long as its tracer does not look.
		tracer := start(t, e, Spawn{Ref: ref("tracer", 1), Process: &Process{
			Command: []string{self(t)}, Env: []string{"CHILD_TEST_ROLE=tracer", "CHILD_TEST_PID=" + itoa(a.Pid)},
		}}, "")
		if word := tracer.line(t); word != "tracing" {
			if os.Getenv("CI") != "" {
				t.Fatalf("a process that cannot be ended cannot be made: %s", word)
			}
			t.Skipf("NOT TESTED HERE, a process that cannot be ended: %s", word)
		}
		now := clock()
		must(t, e.Kill(now, ref("a", 1)))
		if at, ok := e.Deadline(); !ok || at != now+StuckAfter {
			t.Errorf("the deadline is %v, %v; the KILL was at %v", at, ok, now)
		}
		if events := e.Reap(now + StuckAfter - 1); len(events) > 0 {
			t.Errorf("before the time: %+v", events)
		}
		events := e.Reap(now + StuckAfter)
		if len(events) != 1 || fmt.Sprint(events[0]) != fmt.Sprint(Stuck{Ref: ref("a", 1), Pids: []int{a.Pid}}) {
			t.Errorf("at the time: %+v", events)
		}
		if events := e.Reap(now + 2*StuckAfter); len(events) > 0 {
			t.Errorf("once is enough: %+v", events)
		}
		must(t, e.Kill(clock(), ref("tracer", 1)))
		awaitUntil(t, e, func() bool { return len(e.lives) == 0 })
	})
}

func TestTheUnprivilegedGetTheSame(t *testing.T) {
	if os.Geteuid() != 0 {
		return // this is what everything here is tried with
	}
	dir, err := os.MkdirTemp("", "child")
	must(t, err)
	defer os.RemoveAll(dir)
	must(t, os.Chmod(dir, 0o755))
	text, err := os.ReadFile(self(t))
	must(t, err)
	program := filepath.Join(dir, "child.test")
	must(t, os.WriteFile(program, text, 0o755))

	const tests = "Leader|Crash|Daemon|Kill|Killed|Subtree|Node|Sentinel|Root|Clean|Stuck|Full|Leaves|Sweeps|Moved"
	cmd := exec.Command(program, "-test.run", tests, "-test.v")
	cmd.Dir = dir
	temp := filepath.Join(dir, "tmp") // that of the machine may be root's alone
	must(t, os.Mkdir(temp, 0o755))
	must(t, os.Chown(temp, 65534, 65534))
	cmd.Env = append(os.Environ(), "TMPDIR="+temp)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if box, fd := delegate(t); fd >= 0 {
		defer syscall.Rmdir(box)
		defer syscall.Close(fd)
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, fd
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "PASS: TestACrashTakesDescendantsThatHideAlong/in_the_group/basic") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestASeccompFilterTakesNothingAway(t *testing.T) {
	cmd := exec.Command(self(t), "-test.run", "Leader|Crash|Kill|Killed|Subtree|Sentinel|Root|Clean|Says|Stuck/basic", "-test.skip", "PID1", "-test.v")
	cmd.Env = append(os.Environ(), "CHILD_TEST_ROLE=jailed", "CI=")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "PASS: TestACrashTakesDescendantsThatHideAlong/in_the_group/basic") {
		t.Errorf("%v\n%s", err, out)
	}
}

// delegate makes a cgroup that belongs to the other user, as systemd's
// Delegate=yes does. fd is -1 where none can be made.
func delegate(t *testing.T) (dir string, fd int) {
	mount, path, err := ownCgroup()
	if err != nil {
		t.Logf("NOT TESTED HERE, cgroups of another user: %v", err)
		return "", -1
	}
	dir = filepath.Join(mount, path, "delegated-"+itoa(os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Logf("NOT TESTED HERE, cgroups of another user: %v", err)
		return "", -1
	}
	for _, file := range []string{"", "/cgroup.procs", "/cgroup.threads", "/cgroup.subtree_control"} {
		must(t, os.Chown(dir+file, 65534, 65534))
	}
	_ = unix.Setxattr(dir, "user.delegate", []byte("1"), 0)
	fd, err = syscall.Open(dir, unix.O_PATH|syscall.O_CLOEXEC, 0)
	must(t, err)
	return dir, fd
}
