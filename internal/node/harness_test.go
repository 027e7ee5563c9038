package node

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/internal/output"
	"github.com/supertrees/supervise/tree"
)

// The tests run whole trees of real processes: the root in this process, on its
// main thread, nodes and workers as further lives of the test's binary.
func init() { runtime.LockOSThread() }

// envRole makes a process of this binary a worker.
const envRole = "NODE_TEST_ROLE"

// work is what the main thread is to do.
var work = make(chan func())

func TestMain(m *testing.M) {
	switch role := os.Getenv(envRole); {
	case child.IsNode():
		os.Exit(Main(func() (bool, error) { return false, nil }))
	case role != "":
		os.Exit(play(role))
	}
	os.Setenv("GORACE", "atexit_sleep_ms=0") // or each process of a tree takes a second to end
	status := make(chan int)
	go func() { status <- m.Run() }()
	for {
		select {
		case f := <-work:
			f()
		case s := <-status:
			os.Exit(max(s, leaks()))
		}
	}
}

// leaks says what the tests left: no child may be alive or unreaped.
func leaks() int {
	var ws syscall.WaitStatus
	if pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG, nil); err != syscall.ECHILD {
		fmt.Fprintf(os.Stderr, "children are left when the tests have ended: wait4 says %d, %v\n", pid, err)
		return 1
	}
	return 0
}

// patience is a safety net, never a proof.
const patience = 2 * time.Minute

// tree is a running tree.
type testTree struct {
	*Node
	t       *testing.T
	journal *journal.Store
	ended   chan tree.Quit
}

// plant starts a tree and waits until all of it runs. It is stopped, in order,
// when the test is over.
func plant(t *testing.T, root *child.Subtree) *testTree {
	t.Helper()
	tt := sow(t, root)
	tt.await("the whole tree to run", func(f *journal.Fold) bool {
		_, state, _ := f.State("/")
		return state == journal.StateRunning
	})
	return tt
}

// sow is plant without the waiting.
func sow(t *testing.T, root *child.Subtree) *testTree {
	t.Helper()
	tt := &testTree{t: t, journal: &journal.Store{}, ended: make(chan tree.Quit, 1)}
	made := make(chan error)
	go func() { work <- func() { tt.run(root, made) } }()
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		tt.Post(tt.Stop)
		select {
		case <-tt.ended:
		case <-time.After(patience):
			PrintStacks()
			panic("the tree does not end")
		}
	})
	return tt
}

// run is a root's life, on the main thread.
func (tt *testTree) run(root *child.Subtree, made chan<- error) {
	engine, err := child.New(child.Options{Path: "/", Containment: "basic"})
	if err != nil {
		made <- err
		return
	}
	defer engine.Close()
	tt.Node, err = New(Config{Subtree: root, Engine: engine, Seed: 1})
	if err != nil {
		made <- err
		return
	}
	terminal := output.NewWriter(1, 2, [2]bool{})
	defer terminal.Close()
	r := NewRoot(tt.journal, hclog.NewNullLogger(), terminal)
	r.Introduce(journal.Record{})
	made <- nil
	q := tt.Run(r)
	tt.board.Close()
	tt.ended <- q
}

// await waits until something holds of the tree's state.
func (tt *testTree) await(what string, holds func(*journal.Fold) bool) {
	tt.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := tt.journal.Await(ctx, holds); err != nil {
		lines, _ := tt.journal.Read(0, nil)
		tt.t.Fatalf("waiting for %s: %v; the journal:\n%s", what, err, lines)
	}
}

// life is a path's present life, which must be running.
func (tt *testTree) at(path string) journal.Life {
	tt.t.Helper()
	var life journal.Life
	tt.await(path+" to run", func(f *journal.Fold) bool {
		l, state, _ := f.State(path)
		life = l
		return state == journal.StateRunning
	})
	return life
}

// awaitLife waits for that incarnation of a path, or a later one, to run.
func (tt *testTree) awaitLife(path string, incarnation uint64) {
	tt.t.Helper()
	tt.await(fmt.Sprintf("life %d of %s", incarnation, path), func(f *journal.Fold) bool {
		l, state, _ := f.State(path)
		return state == journal.StateRunning && l.Incarnation >= incarnation
	})
}

// awaitRecord waits for a record, now or to come, and returns it.
func (tt *testTree) awaitRecord(what string, match func(*journal.Record) bool) journal.Record {
	tt.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var next uint64
	for {
		var lines []byte
		since := next
		lines, next = tt.journal.Read(since, nil)
		for r := range records(lines) {
			if match(&r) {
				return r
			}
		}
		if next > since {
			continue
		}
		if err := tt.journal.Follow(ctx, next); err != nil {
			tt.t.Fatalf("waiting for %s: %v", what, err)
		}
	}
}

func records(lines []byte) func(func(journal.Record) bool) {
	return func(yield func(journal.Record) bool) {
		for line := range splitLines(lines) {
			var r journal.Record
			if json.Unmarshal(line, &r) == nil && !yield(r) {
				return
			}
		}
	}
}

func splitLines(b []byte) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > 0 {
			i := 0
			for i < len(b) && b[i] != '\n' {
				i++
			}
			if !yield(b[:i]) {
				return
			}
			b = b[min(i+1, len(b)):]
		}
	}
}

// until asks again and again. What it asks takes a turn of real processes, so it
// does not spin.
func (tt *testTree) until(what string, holds func() bool) {
	tt.t.Helper()
	for limit := time.Now().Add(patience); !holds(); {
		if time.Now().After(limit) {
			tt.t.Fatalf("waiting for %s", what)
		}
	}
}

// watched says whether somebody monitors the life at a path.
func (tt *testTree) watched(path string) bool {
	tt.t.Helper()
	a, err := tt.Ask(context.Background(), Request{Verb: Talk, Path: path}, nil)
	return err == nil && a.Channel != nil && a.Channel.Waiting > 0
}

// kill sends KILL to a path's process.
func (tt *testTree) kill(path string) {
	tt.t.Helper()
	if err := syscall.Kill(tt.at(path).Pid, syscall.SIGKILL); err != nil {
		tt.t.Fatal(err)
	}
}

// supervisor is a subtree; its children are put into it with with.
func supervisor(path string) *child.Subtree {
	return &child.Subtree{Path: path, Spec: tree.Spec{Intensity: tree.Unlimited, Period: 5}}
}

// worker puts a worker that plays a role into a supervisor, and returns it.
func worker(s *child.Subtree, id, role string, change ...func(*tree.ChildSpec, *child.Process)) *child.Subtree {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	p := &child.Process{Command: []string{exe}, Env: []string{envRole + "=" + role}, Channel: "frames"}
	c := tree.ChildSpec{
		ID: id, Start: tree.Acknowledged, StartTimeout: patience,
		Shutdown: tree.Stop{Mode: tree.StopTime, Time: patience},
	}
	for _, f := range change {
		f(&c, p)
	}
	s.Put(id, p, nil)
	s.Spec.Children = append(s.Spec.Children, c)
	return s
}

// node puts a supervisor below another one.
func under(s, below *child.Subtree) *child.Subtree {
	id := below.Path[len(Parent(below.Path)):]
	if id[0] == '/' {
		id = id[1:]
	}
	s.Put(id, nil, below)
	s.Spec.Children = append(s.Spec.Children, tree.ChildSpec{
		ID: id, Kind: tree.KindSupervisor, Start: tree.Acknowledged, Shutdown: tree.Stop{Mode: tree.Infinity},
	})
	return s
}

// temporary is a worker that is not started again.
func temporary(c *tree.ChildSpec, _ *child.Process) { c.Restart = tree.Temporary }

// ask calls a worker from outside and reads its reply.
func ask[T any](tt *testTree, to, method string, payload any) (T, error) {
	var reply T
	var body []byte
	if payload != nil {
		body, _ = json.Marshal(payload)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	b, err := tt.Call(ctx, to, method, body)
	if err == nil {
		err = json.Unmarshal(b, &reply)
	}
	return reply, err
}

// must is ask that must succeed.
func must[T any](tt *testTree, to, method string, payload any) T {
	tt.t.Helper()
	reply, err := ask[T](tt, to, method, payload)
	if err != nil {
		tt.t.Fatal(err)
	}
	return reply
}
