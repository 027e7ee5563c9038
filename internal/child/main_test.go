package child

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/tree"
)

func TestMain(m *testing.M) {
	if role := os.Getenv("CHILD_TEST_ROLE"); role != "" {
		play(role)
		os.Exit(0)
	}
	os.Setenv("GORACE", "atexit_sleep_ms=0") // or each role ends a second later under the race detector
	signal.Notify(sigchld, syscall.SIGCHLD)
	before := descriptors()
	os.Exit(max(m.Run(), leaks(before)))
}

var sigchld = make(chan os.Signal, 1)

// leaks says what the tests left: no child may be alive or unreaped, and no
// descriptor open but those that the runtime keeps for itself.
func leaks(before int) int {
	var ws syscall.WaitStatus
	if pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG, nil); err != syscall.ECHILD {
		fmt.Fprintf(os.Stderr, "children are left when the tests have ended: wait4 says %d, %v\n", pid, err)
		return 1
	}
	const runtimes = 2 // its epoll, and the eventfd to wake it
	if after := descriptors(); after > before+runtimes {
		fmt.Fprintf(os.Stderr, "descriptors are left when the tests have ended: %d before, %d after\n", before, after)
		return 1
	}
	return 0
}

func descriptors() int {
	fds, _ := os.ReadDir("/proc/self/fd")
	return len(fds)
}

// with runs a body with an engine of its own.
func with(t *testing.T, o Options, body func(e *Engine)) {
	t.Helper()
	e, err := New(o)
	must(t, err)
	defer cleanUp(t, e)
	body(e)
}

// eachLevel runs a body under every level of containment.
func eachLevel(t *testing.T, body func(t *testing.T, e *Engine)) {
	for _, level := range []string{LevelBasic, LevelCgroup} {
		t.Run(level, func(t *testing.T) {
			if level == LevelCgroup {
				needCgroups(t)
			}
			with(t, Options{Containment: level}, func(e *Engine) { body(t, e) })
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

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
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

// setAhead sets the engines' clock ahead.
func setAhead(d time.Duration) { began = began.Add(-d) }

// patience is a safety net, never a proof.
const patience = 2 * time.Minute

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
			t.Fatal("waited too long")
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
			t.Fatalf("waited too long for a %T", *new(E))
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
