package ready

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/tree"
)

// Children die with the thread that made them, so the tests' bodies run on the
// main thread, one at a time: see run.
func init() { runtime.LockOSThread() }

var work = make(chan func())

func TestMain(m *testing.M) {
	if role := os.Getenv("READY_TEST_ROLE"); role != "" {
		play(role)
		os.Exit(0)
	}
	if r, w, err := os.Pipe(); err == nil { // the runtime's own epoll is made now, and is nobody's leak
		r.Close()
		w.Close()
	}
	status := make(chan int)
	go func() { status <- m.Run() }()
	for {
		select {
		case f := <-work:
			f()
		case s := <-status:
			var ws syscall.WaitStatus
			if _, err := syscall.Wait4(-1, &ws, syscall.WNOHANG, nil); err != syscall.ECHILD {
				fmt.Fprintln(os.Stderr, "children are left when the tests have ended")
				s = max(s, 1)
			}
			os.Exit(s)
		}
	}
}

// patience is a safety net, never a proof.
const patience = 2 * time.Minute

// node is a supervisor's shell, as much of it as the prober needs: a real
// engine, real processes, and a clock that a test may set forward.
type node struct {
	t       *testing.T
	engine  *child.Engine
	prober  *Prober
	inbox   chan func()
	signals chan os.Signal
	ahead   time.Duration // of CLOCK_MONOTONIC
	frozen  time.Duration // the clock, where it stands still; 0: it goes

	news     []told
	signaled []syscall.Signal
	ended    map[tree.Ref]child.Exited
	runs     int // probes' processes that were started
	worker   map[tree.Ref]*child.Process
}

type told struct {
	ref  tree.Ref
	news News
}

func (n *node) Now() time.Duration {
	if n.frozen > 0 {
		return n.frozen + n.ahead
	}
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err)
	}
	return time.Duration(ts.Nano()) + n.ahead
}
func (n *node) Post(f func())                { n.inbox <- f }
func (n *node) Tell(ref tree.Ref, news News) { n.news = append(n.news, told{ref, news}) }
func (n *node) Signal(ref tree.Ref, s syscall.Signal) {
	n.signaled = append(n.signaled, s)
	if n.engine != nil {
		_ = n.engine.Signal(ref, s)
	}
}
func (n *node) Run(s child.Spawn) error {
	n.runs++
	_, err := n.engine.Spawn(s)
	return err
}
func (n *node) Kill(probe tree.Ref) { _ = n.engine.Kill(n.Now(), probe) }
func (n *node) Owns(ref tree.Ref, pid int) (bool, bool) {
	return n.engine.Owns(ref, pid)
}

// freeze has the clock stand still until the end of a life is waited for, but
// for what a test sets it forward: no time passes that a busy machine takes.
func (n *node) freeze() { n.frozen = n.Now() - n.ahead }

type over struct{}

// run runs a test's body on the main thread, with a node of its own.
func run(t *testing.T, body func(n *node)) {
	t.Helper()
	done := make(chan struct{})
	work <- func() {
		defer close(done)
		engine, err := child.New(child.Options{})
		if err != nil {
			t.Error(err)
			return
		}
		n := &node{
			t: t, engine: engine, inbox: make(chan func(), 64), signals: make(chan os.Signal, 1),
			ended: map[tree.Ref]child.Exited{}, worker: map[tree.Ref]*child.Process{},
		}
		signal.Notify(n.signals, unix.SIGCHLD)
		defer signal.Stop(n.signals)
		n.prober = New(n)
		before := descriptors(t)
		defer func() {
			if r := recover(); r != nil {
				if _, is := r.(over); !is {
					panic(r)
				}
			}
			n.cleanUp(before)
		}()
		body(n)
	}
	<-done
}

// cleanUp ends what is left, and holds the descriptors against those before.
func (n *node) cleanUp(before int) {
	n.frozen = 0
	for ref := range n.worker {
		if _, gone := n.ended[ref]; !gone {
			_ = n.engine.Kill(n.Now(), ref)
			n.until("the end of "+ref.ID, func() bool { _, gone := n.ended[ref]; return gone })
		}
		n.prober.Looked(ref)
		n.until("the end of its probe", func() bool { return n.prober.Drain(ref) })
		n.prober.Forget(ref)
	}
	if at, ok := n.prober.Deadline(); ok {
		n.t.Errorf("a deadline at %v is left", at)
	}
	n.prober.Close()
	n.engine.Close()
	if after := descriptors(n.t) + 2; after > before { // the engine's own are closed
		n.t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Error(err)
	}
	return len(entries)
}

func (n *node) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Error(err)
		panic(over{})
	}
}

// until does the node's work until the condition holds.
func (n *node) until(what string, ok func() bool) {
	n.t.Helper()
	limit := time.After(patience)
	for {
		for _, e := range n.engine.Reap(n.Now()) {
			if x, is := e.(child.Exited); is {
				if _, probe := n.prober.Ended(x); !probe {
					n.ended[x.Ref] = x
				}
			}
		}
		n.prober.Tick()
		if ok() {
			return
		}
		var due <-chan time.Time
		at, set := n.prober.Deadline()
		if e, has := n.engine.Deadline(); has && (!set || e < at) {
			at, set = e, true
		}
		if set {
			due = time.After(max(at-n.Now(), 0))
		}
		select {
		case <-n.signals:
		case f := <-n.inbox:
			f()
		case <-due:
		case <-limit:
			n.t.Errorf("waited too long for %s; told so far: %v", what, n.news)
			panic(over{})
		}
	}
}

var incarnation uint64

// start prepares and starts a child. A command of one word is a shell script.
func (n *node) start(id string, p child.Process) tree.Ref {
	n.t.Helper()
	incarnation++
	ref := tree.Ref{ID: id, Incarnation: incarnation}
	if len(p.Command) == 1 {
		p.Command = []string{"/bin/sh", "-c", p.Command[0]}
	}
	null, err := unix.Open("/dev/null", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	n.must(err)
	defer unix.Close(null)
	order := child.Spawn{Ref: ref, Path: "/" + id, Process: &p, Stdout: null, Stderr: null}
	n.must(n.prober.Prepare(&order))
	s, err := n.engine.Spawn(order)
	n.must(err)
	n.worker[ref] = &p
	n.prober.Started(ref, s.Pid)
	return ref
}

// await does the node's work until news of that kind has come of the life.
func await[N News](n *node, ref tree.Ref) N {
	n.t.Helper()
	var found N
	n.until(fmt.Sprintf("%T of %s", found, ref.ID), func() bool {
		for _, x := range n.news {
			if news, is := x.news.(N); is && x.ref == ref {
				found = news
				return true
			}
		}
		return false
	})
	return found
}

// has says whether news of that kind has come of the life.
func has[N News](n *node, ref tree.Ref) bool {
	for _, x := range n.news {
		if _, is := x.news.(N); is && x.ref == ref {
			return true
		}
	}
	return false
}

// gone waits for the end of a life, and drains it as a node does.
func (n *node) gone(ref tree.Ref) child.Exited {
	n.t.Helper()
	n.frozen = 0
	n.until("the end of "+ref.ID, func() bool { _, ok := n.ended[ref]; return ok })
	n.until("the end of its probe", func() bool { return n.prober.Drain(ref) })
	return n.ended[ref]
}
