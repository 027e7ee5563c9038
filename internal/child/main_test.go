package child

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/tree"
)

// The engine lives on the main thread, and so do these tests: TestMain keeps
// it, and onMain runs a test's body there.
func init() { runtime.LockOSThread() }

var work = make(chan func())

func TestMain(m *testing.M) {
	if role := os.Getenv("CHILD_TEST_ROLE"); role != "" {
		play(role)
		os.Exit(0)
	}
	signal.Notify(sigchld, syscall.SIGCHLD)
	status := make(chan int)
	go func() { status <- m.Run() }()
	go func() {
		runtime.LockOSThread()
		for {
			select {
			case f := <-work:
				f()
			case s := <-status:
				os.Exit(max(s, leaks()))
			}
		}
	}()
	select {}
}

var sigchld = make(chan os.Signal, 1)

// leaks says what the tests left: no child may be alive or unreaped.
func leaks() int {
	var ws syscall.WaitStatus
	if pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG, nil); err != syscall.ECHILD {
		fmt.Fprintf(os.Stderr, "children are left when the tests have ended: wait4 says %d, %v\n", pid, err)
		return 1
	}
	return 0
}

// onMain runs the body on the main thread, with an engine of its own.
func onMain(t *testing.T, o Options, body func(e *Engine)) {
	t.Helper()
	done := make(chan struct{})
	work <- func() {
		defer close(done) // also when t.Fatal ends the goroutine... of the main thread: see must
		e, err := New(o)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() {
			if r := recover(); r != nil && r != errStop {
				panic(r)
			}
			cleanUp(t, e)
		}()
		body(e)
	}
	<-done
}

// eachLevel runs a body under every level of containment.
func eachLevel(t *testing.T, body func(t *testing.T, e *Engine)) {
	for _, level := range []string{LevelBasic, LevelCgroup} {
		t.Run(level, func(t *testing.T) {
			if level == LevelCgroup {
				needCgroups(t)
			}
			onMain(t, Options{Containment: level}, func(e *Engine) { body(t, e) })
		})
	}
}

// needCgroups ends a test that cannot be tried here. In CI, where it could, that is a failure.
func needCgroups(t *testing.T) {
	c, err := openCgroups("trial")
	switch {
	case err == nil:
		c.close()
	case os.Getenv("CI") != "":
		t.Fatalf("containment by cgroups cannot be tried: %v", err)
	default:
		t.Skipf("NOT TESTED HERE, containment by cgroups: %v", err)
	}
}

// outside runs what makes children past the engines, while none reaps.
func outside(f func()) {
	done := make(chan struct{})
	work <- func() { defer close(done); f() }
	<-done
}

var errStop = fmt.Errorf("this test is over")

// must ends a test's body: t.Fatal may not be called on the main thread.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
		panic(errStop)
	}
}

// cleanUp kills what a test left and closes what its engine holds.
func cleanUp(t *testing.T, e *Engine) {
	for ref := range e.lives {
		e.Kill(clock(), ref)
	}
	awaitUntil(t, e, func() bool { return len(e.lives) == 0 })
	e.Close()
}

var began = time.Now()

func clock() time.Duration { return time.Since(began) }

// patience is a safety net, never a proof.
const patience = 30 * time.Second

// awaitUntil reaps until the condition holds, and returns all events.
func awaitUntil(t *testing.T, e *Engine, ok func() bool) []Event {
	t.Helper()
	var all []Event
	limit := time.After(patience)
	for {
		all = append(all, e.Reap(clock())...)
		if ok() {
			return all
		}
		var due <-chan time.Time
		if at, ok := e.Deadline(); ok {
			due = time.After(max(0, at-clock()))
		}
		select {
		case <-sigchld:
		case <-due:
		case <-limit:
			t.Error("waited too long")
			panic(errStop)
		}
	}
}

// await reaps until an event of that type has come, and returns it.
func await[E Event](t *testing.T, e *Engine) E {
	t.Helper()
	var found *E
	limit := time.After(patience)
	for {
		for _, x := range e.Reap(clock()) {
			if x, ok := x.(E); ok && found == nil {
				found = &x
			}
		}
		if found != nil {
			return *found
		}
		var due <-chan time.Time
		if at, ok := e.Deadline(); ok {
			due = time.After(max(0, at-clock()))
		}
		select {
		case <-sigchld:
		case <-due:
		case <-limit:
			t.Errorf("waited too long for a %T", *new(E))
			panic(errStop)
		}
	}
}

func readAll(fd int) string {
	f := blocking(fd)
	defer f.Close()
	out, _ := io.ReadAll(f)
	return string(out)
}

// blocking makes a file of a child's output that is read on the main thread.
func blocking(fd int) *os.File {
	unix.SetNonblock(fd, false)
	return os.NewFile(uintptr(fd), "output")
}

// talk is a child that a test listens to.
type talk struct {
	Spawned
	out *bufio.Reader
}

// start spawns a shell script as a child of that name, and listens to it.
func start(t *testing.T, e *Engine, s Spawn, script string) *talk {
	t.Helper()
	if s.Path == "" {
		s.Path = "/" + s.Ref.ID
	}
	if s.Process == nil && !s.Node {
		s.Process = &Process{Command: []string{"sh", "-c", script}}
	}
	spawned, err := e.Spawn(s)
	must(t, err)
	out, errs := blocking(spawned.Stdout), blocking(spawned.Stderr)
	t.Cleanup(func() { out.Close(); errs.Close() })
	return &talk{Spawned: spawned, out: bufio.NewReader(out)}
}

// line is the next line that a child prints.
func (k *talk) line(t *testing.T) string {
	t.Helper()
	line, err := k.out.ReadString('\n')
	must(t, err)
	return strings.TrimSuffix(line, "\n")
}

// pid is the next line that a child prints, a number.
func (k *talk) pid(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(k.line(t))
	must(t, err)
	return n
}

// alive says whether a process exists and is no zombie.
func alive(pid int) bool {
	st, _ := readStat(pid)
	return !st.dead()
}

func ref(id string, incarnation uint64) tree.Ref { return tree.Ref{ID: id, Incarnation: incarnation} }

func self(t *testing.T) string {
	exe, err := os.Executable()
	must(t, err)
	return exe
}

func itoa(n int) string { return strconv.Itoa(n) }
