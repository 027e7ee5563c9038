// Package proctest runs workers without processes: in one test, over the same
// switch as a real node, and inside a bubble of testing/synctest if it wants.
//
//	tree := proctest.New(t)
//	if err := tree.Start("/names", names); err != nil { … }
//	err := Add.Call(tree.Context(), Names, Entry{"Joe", "At Home"})
//
// A tree here has no policy: who has ended stays so until the test starts it
// again, as the next incarnation.
package proctest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/supertrees/supervise/ipc"
	"github.com/supertrees/supervise/proc"
)

// shutdown is the time that a worker has to end in.
const shutdown = 10 * time.Second

// Tree is one supervisor with its workers. Its methods may be called from any
// goroutine.
type Tree struct {
	t testing.TB

	mu           sync.Mutex // held in every call of the switch, and by it in every callback
	sw           *ipc.Switch
	workers      map[string]*worker // the last life of each path
	order        []*worker          // all lives, as they were started
	incarnations map[string]uint64
	client       *proc.Server
	clientEnd    *end
}

// end is the tree's end of one link.
type end struct {
	link     *ipc.Link
	up, down *pipe
	read     chan struct{} // closed when everything that came has been taken
}

// worker is one life.
type worker struct {
	end
	path     string
	ready    chan struct{}
	readySet sync.Once
	exiting  *ipc.Exiting
	killed   *ipc.Down // how it was killed
	ended    chan struct{}
	down     proc.Down
	err      error // what ServeOver returned
}

// New returns a tree without workers, which ends with the test.
func New(t testing.TB) *Tree {
	tree := &Tree{t: t, workers: map[string]*worker{}, incarnations: map[string]uint64{}}
	tree.sw = ipc.NewRoot(host{tree})
	tree.clientEnd = tree.open("", 0)
	client, err := proc.AttachOver(tree.clientEnd.down, tree.clientEnd.up, func(*proc.Server) error { return nil })
	if err != nil {
		t.Fatalf("attaching the test to its tree: %v", err)
	}
	tree.client = client
	t.Cleanup(tree.stopAll)
	return tree
}

// Context returns a context whose calls come from outside the tree. It ends
// with the test.
func (tree *Tree) Context() context.Context { return tree.client.Context(tree.t.Context()) }

// Client is the server behind Context, for Register, Monitor and Link.
func (tree *Tree) Client() *proc.Server { return tree.client }

// Start starts a life at path and waits for its Init. It returns Init's error,
// proc.ErrIgnore too.
func (tree *Tree) Start(path string, init proc.Init) error {
	tree.mu.Lock()
	if old := tree.workers[path]; old != nil && !old.hasEnded() {
		tree.mu.Unlock()
		return fmt.Errorf("starting %s: it runs already", path)
	}
	tree.incarnations[path]++
	inc := tree.incarnations[path]
	tree.mu.Unlock()

	w := &worker{path: path, ready: make(chan struct{}), ended: make(chan struct{})}
	w.end = *tree.openFor(w, path, inc)
	var initErr error
	failed := make(chan struct{})
	go func() {
		err := proc.ServeOver(context.Background(), w.end.down, w.up, func(s *proc.Server) error {
			if initErr = init(s); initErr != nil {
				close(failed)
			}
			return initErr
		})
		tree.ended(w, err)
	}()
	select {
	case <-w.ready:
		return nil
	case <-w.ended:
	}
	select {
	case <-failed:
		return initErr
	default: // a panic
		return w.err
	}
}

func (tree *Tree) open(path string, incarnation uint64) *end {
	return tree.openFor(nil, path, incarnation)
}

func (tree *Tree) openFor(w *worker, path string, incarnation uint64) *end {
	tree.mu.Lock()
	defer tree.mu.Unlock()
	e := &end{up: newPipe(pipeSize), down: newPipe(0), read: make(chan struct{})}
	e.down.drained = func() {
		tree.mu.Lock()
		defer tree.mu.Unlock()
		tree.sw.Drained(e.link)
	}
	if w == nil {
		e.link = tree.sw.AddClient()
		e.link.Data = e
	} else {
		e.link = tree.sw.AddWorker(path, incarnation, true)
		w.end = *e
		e.link.Data = w
		tree.workers[path] = w
		tree.order = append(tree.order, w)
	}
	hello, err := json.Marshal(ipc.Hello{
		Protocol: []int{ipc.Version}, Path: path, Addr: e.link.Addr(), Incarnation: incarnation,
		Window: ipc.Window, MaxMessage: ipc.DefaultMessage, SlowHandler: ipc.Duration(time.Second), Shutdown: ipc.Duration(shutdown),
	})
	if err != nil {
		tree.t.Fatalf("greeting %s: %v", path, err)
	}
	if err := ipc.NewConn(nil, e.down, 0).Send(ipc.Message{Type: ipc.Cast, Codec: ipc.CodecJSON, Method: ipc.VerbHello, Payload: hello}); err != nil {
		tree.t.Fatalf("greeting %s: %v", path, err)
	}
	go tree.read(e)
	return e
}

// read takes what a worker sends.
func (tree *Tree) read(e *end) {
	defer close(e.read)
	var split ipc.Splitter
	buf := make([]byte, 64<<10)
	for {
		n, err := e.up.Read(buf)
		tree.mu.Lock()
		bad := split.Feed(buf[:n], func(f *ipc.Frame) error { tree.sw.Receive(e.link, f); return nil })
		tree.mu.Unlock()
		if bad != nil {
			tree.t.Errorf("%s: %v", e.link.Path(), bad)
			return
		}
		if err != nil {
			return
		}
	}
}

// ended is the death of a life: what it wrote is taken first.
func (tree *Tree) ended(w *worker, err error) {
	w.up.close(io.EOF, false)
	<-w.read
	w.end.down.close(io.EOF, true)
	tree.mu.Lock()
	defer tree.mu.Unlock()
	w.err = err
	down := ipc.Down{Reason: "normal"}
	switch {
	case w.killed != nil:
		down = *w.killed
	case err != nil:
		down = ipc.Down{Reason: "abnormal", Detail: err.Error()}
	case w.exiting != nil:
		down = ipc.Down{Reason: w.exiting.Reason, Detail: w.exiting.Detail}
	}
	var reason proc.Reason
	if err := reason.Class.UnmarshalText([]byte(down.Reason)); err != nil {
		tree.t.Errorf("%s: %v", w.path, err)
	}
	reason.Detail = down.Detail
	w.down = proc.Down{Path: w.path, Incarnation: w.link.Incarnation(), Reason: reason}
	tree.sw.End(w.link, down)
	close(w.ended)
}

func (w *worker) hasEnded() bool {
	select {
	case <-w.ended:
		return true
	default:
		return false
	}
}

// Kill ends a life as by KILL: at once, without OnTerminate. Its goroutines go
// on until they notice.
func (tree *Tree) Kill(path string) { tree.kill(tree.life(path), ipc.Down{Reason: "killed"}) }

func (tree *Tree) kill(w *worker, down ipc.Down) {
	tree.mu.Lock()
	if w.killed == nil {
		w.killed = &down
	}
	tree.mu.Unlock()
	w.end.down.close(io.ErrClosedPipe, true)
	w.up.close(io.EOF, false)
	<-w.ended
}

// Stop orders a life to end and waits until it has; after 10 s it is killed.
func (tree *Tree) Stop(path string) { tree.stop(tree.life(path)) }

func (tree *Tree) stop(w *worker) {
	stop, err := json.Marshal(ipc.Stop{Reason: "shutdown", GraceMS: shutdown.Milliseconds()})
	if err == nil {
		err = ipc.NewConn(nil, w.end.down, 0).Send(ipc.Message{Type: ipc.Cast, Codec: ipc.CodecJSON, Method: ipc.VerbStop, Payload: stop})
	}
	if err != nil && !errors.Is(err, io.ErrClosedPipe) {
		tree.t.Errorf("stopping %s: %v", w.path, err)
	}
	late := time.NewTimer(shutdown)
	defer late.Stop()
	select {
	case <-w.ended:
	case <-late.C:
		tree.kill(w, ipc.Down{Reason: "killed"})
	}
}

// Wait waits until the last life of a path has ended, and says how.
func (tree *Tree) Wait(path string) proc.Down {
	w := tree.life(path)
	<-w.ended
	return w.down
}

func (tree *Tree) life(path string) *worker {
	tree.t.Helper()
	tree.mu.Lock()
	defer tree.mu.Unlock()
	w := tree.workers[path]
	if w == nil {
		tree.t.Fatalf("%s was never started", path)
	}
	return w
}

func (tree *Tree) stopAll() {
	tree.mu.Lock()
	lives := slices.Clone(tree.order)
	tree.mu.Unlock()
	for _, w := range slices.Backward(lives) {
		if !w.hasEnded() {
			tree.stop(w)
		}
	}
	tree.clientEnd.down.close(io.EOF, false)
	tree.clientEnd.up.close(io.EOF, false)
	<-tree.clientEnd.read
}

// host is the tree as its switch sees it; the tree's lock is held.
type host struct{ tree *Tree }

func pipeOf(l *ipc.Link) *pipe {
	switch at := l.Data.(type) {
	case *worker:
		return at.end.down
	case *end:
		return at.down
	}
	return nil
}

func (h host) Send(l *ipc.Link, f *ipc.Frame, _ *ipc.Link) {
	if p := pipeOf(l); p != nil {
		_, _ = p.Write(f.Append(nil)) // to a life that has ended: nobody reads
	}
}

func (h host) Queued(l, _ *ipc.Link) (here, all int) {
	if p := pipeOf(l); p != nil {
		here = p.len()
	}
	return here, here
}

func (h host) Request(l *ipc.Link, m *ipc.Message, ticket uint64) {
	w, _ := l.Data.(*worker)
	switch {
	case ticket != 0:
		h.tree.sw.Fail(ticket, &ipc.ErrorBody{Code: ipc.CodeNoMethod, Message: "no method " + m.Method})
	case w == nil:
	case m.Method == ipc.VerbReady:
		w.readySet.Do(func() { close(w.ready) })
	case m.Method == ipc.VerbExiting:
		var e ipc.Exiting
		if json.Unmarshal(m.Payload, &e) == nil {
			w.exiting = &e
		}
	}
}

func (h host) Broken(l *ipc.Link, err *ipc.Malformed) {
	h.tree.t.Errorf("%s: %v", l.Path(), err)
}

func (h host) Cascade(l *ipc.Link, detail string) {
	if w, ok := l.Data.(*worker); ok {
		go h.tree.kill(w, ipc.Down{Reason: "abnormal", Detail: detail})
	}
}

func (h host) Numbered(uint32) {}

// Open is how many calls and monitors are under way in the tree.
func (tree *Tree) Open() int {
	tree.mu.Lock()
	defer tree.mu.Unlock()
	return tree.sw.Open()
}
