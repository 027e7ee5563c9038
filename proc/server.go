package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/supertrees/supervise/ipc"
)

// Server handles what comes over one channel: calls and casts, timers, ends of
// monitored lives, one at a time in its mailbox. Its methods may be called from
// Init and from handlers; Do, Go, Context and Self from anywhere.
type Server struct {
	ch     *channel
	box    *mailbox
	stats  stats
	intake intake // the reader's

	mu         sync.Mutex
	left       *slough // of an old image; nil in the first
	started    bool    // by Serve or Attach
	signals    bool    // once it is up, TERM and INT are orders
	up         bool    // Init has returned nil
	methods    map[string]*method
	recent     atomic.Pointer[method]   // the last that was looked up
	watched    atomic.Pointer[watching] // nil: neither traced nor logged
	info       func(context.Context, string, Raw) error
	terminate  func(context.Context, Reason) error
	trap       func(context.Context, Down) error
	links      map[ipc.Addr]bool
	calls      map[uint64]*request           // that have come and have no answer
	beside     []func(context.Context) error // Go'd before Init has returned
	state      *stateOf
	machine    *machine
	concurrent chan struct{} // nil: one at a time
	slow       time.Duration
	// dropExpired is set in Init, before anything is handled.
	dropExpired bool
	epoch       time.Time     // some time before anything was handled
	last        time.Duration // since then, when the last handler ended; 0: look at the clock. The server's goroutine's, unless it is Concurrent
	row         row

	stopping context.Context // done when the server is to end
	stop     context.CancelCauseFunc
	running  context.Context // done when OnTerminate has run
	ran      context.CancelFunc
	result   chan error     // what the server ended with, once
	held     []func()       // answers that go out after OnTerminate
	wg       sync.WaitGroup // concurrent handlers
	grace    time.Time      // when the time to end is over; zero: no limit
}

// newServer serves the channel of these pipes; it handles nothing before
// start. left is what an old image of this life left.
func newServer(r io.Reader, w io.Writer, left *slough) *Server {
	s := &Server{
		left: left,
		box:  newMailbox(), methods: map[string]*method{}, links: map[ipc.Addr]bool{},
		calls: map[uint64]*request{}, epoch: time.Now(), result: make(chan error, 1),
	}
	s.stopping, s.stop = context.WithCancelCause(context.Background())
	s.running, s.ran = context.WithCancel(context.Background())
	s.ch = newChannel(writerTo(w), left, s)
	if left != nil {
		s.restore()
	}
	go s.ch.read(ipc.NewReader(readerOf(r)), left == nil)
	<-s.ch.ready // nothing may be sent before the greeting, which stands in the pipe already
	s.slow = time.Duration(s.ch.hello.SlowHandler)
	return s
}

// fault is how a handler broke: its panic, with the stack.
type fault struct {
	what  string
	stack string
}

func (f *fault) Error() string { return f.what }

// run is the life of a server, in its goroutine. started gets Init's result,
// s.result what the server ended with.
func (s *Server) run(init Init, ready bool, started chan<- error) {
	returned := false
	var err error
	defer func() {
		if !returned {
			s.end(&ending{reason: Reason{Abnormal, errGoexit.Error()}, err: errGoexit})
			if err = s.finish(); !s.isUp() {
				started <- err
			}
		}
		s.result <- err
	}()
	err = s.live(init, ready, started)
	returned = true
}

func (s *Server) isUp() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.up
}

func (s *Server) live(init Init, ready bool, started chan<- error) error {
	s.watchChannel()
	err := s.guard("init", func() error { return init(s) })
	if err != nil {
		s.failed(err)
		s.ran()
		started <- err
		return err
	}
	if s.signals {
		s.orderBySignal() // before anybody can know that it is up
	}
	s.mu.Lock()
	s.up = true
	beside := s.beside
	s.beside = nil
	s.mu.Unlock()
	if ready {
		s.ch.tell(ipc.VerbReady, ipc.Welcome{Protocol: ipc.Version, Methods: s.Methods()})
	}
	for _, f := range beside {
		s.aside(f)
	}
	started <- nil
	s.loop()
	return s.finish()
}

// loop handles what comes until the server is to end.
func (s *Server) loop() {
	for {
		it := s.box.atHand()
		if it == nil {
			s.endRow()
			var under, rested bool
			it, under, rested = s.box.take()
			if s.concurrent == nil && (rested || it == nil || it.r == nil) {
				s.last = 0
			}
			if under {
				s.ch.tell(ipc.VerbFlow, ipc.Flow{Busy: false})
			}
			if it == nil {
				return
			}
		}
		if err := s.do(it); err != nil {
			s.end(&ending{reason: Reason{Abnormal, err.Error()}, err: err})
		}
	}
}

// failed tells the node that Init did not succeed, or wants to be ignored.
func (s *Server) failed(err error) {
	if errors.Is(err, ErrIgnore) {
		s.ch.tell(ipc.VerbIgnore, nil)
	} else {
		f := ipc.Failed{Reason: bound(err.Error(), 4<<10)}
		var broke *fault
		if errors.As(err, &broke) {
			f.Stack = broke.stack
		}
		s.ch.tell(ipc.VerbFailed, f)
	}
	_ = s.ch.w.Drain() // the wait status says the same to a node that is gone
}

// guard runs f and turns a panic into an error.
func (s *Server) guard(what string, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicked(what, v)
		}
	}()
	return f()
}

// panicked is called where the panic v is recovered.
func panicked(what string, v any) *fault {
	stack := bound(string(debug.Stack()), 8<<10)
	fmt.Fprintf(os.Stderr, "panic in %s: %v\n\n%s\n", what, v, stack)
	return &fault{fmt.Sprintf("panic in %s: %v", what, v), broken(stack)}
}

// broken is a stack from the frame that panicked on: what is above it in every
// stack says nothing.
func broken(stack string) string {
	if i := strings.LastIndex(stack, "\npanic("); i >= 0 {
		if lines := strings.SplitN(stack[i+1:], "\n", 3); len(lines) == 3 {
			return lines[2]
		}
	}
	return stack
}

// errKilled is the end of a server of which a test wants to see no more.
var errKilled = errors.New("killed")

// errGoexit is the end of a goroutine that somebody's runtime.Goexit unwinds.
var errGoexit = errors.New("a handler called runtime.Goexit")

// do handles one item. An error ends the server.
func (s *Server) do(it *item) error {
	if it.r == nil {
		s.endRow()
		err := s.guard(it.job.what, func() error {
			if err := it.job.f(s.base()); err != nil {
				s.stats.failed.Add(1)
				slog.Error("proc: handling "+it.job.what, "err", err)
			}
			return nil
		})
		if s.machine != nil && err == nil {
			s.machine.settle()
		}
		return err
	}
	if s.concurrent == nil {
		return s.serve(it)
	}
	s.concurrent <- struct{}{}
	own := *it // the mailbox's until the next is taken
	s.wg.Go(func() {
		err := errGoexit
		defer func() {
			if <-s.concurrent; err != nil {
				s.end(&ending{reason: Reason{Abnormal, err.Error()}, err: err})
			}
		}()
		err = s.serve(&own)
	})
	return nil
}

// finish ends the server: OnTerminate, then the answers that wait for it, then
// the word to the node.
func (s *Server) finish() error {
	e := s.box.ending()
	s.wg.Wait()
	ctx, cancel := s.base(), func() {}
	if !e.by.IsZero() {
		ctx, cancel = context.WithDeadline(ctx, e.by)
	}
	defer cancel()
	s.mu.Lock()
	terminate := s.terminate
	s.mu.Unlock()
	if terminate != nil && e.err != errKilled {
		err := s.guard("OnTerminate", func() error {
			if err := terminate(ctx, e.reason); err != nil {
				slog.Error("proc: OnTerminate", "err", err)
			}
			return nil
		})
		if err != nil && !e.reason.Fault() {
			e.reason, e.err = Reason{Abnormal, err.Error()}, err
		}
	}
	for _, answer := range s.held {
		answer()
	}
	exiting := ipc.Exiting{Reason: e.reason.Class.String(), Detail: bound(e.reason.Detail, 4<<10)}
	var broke *fault
	if errors.As(e.err, &broke) {
		exiting.Stack = broke.stack
	}
	s.ch.tell(ipc.VerbExiting, exiting)
	_ = s.ch.w.Drain() // a node that is gone needs no word
	s.ran()
	return e.err
}

// end makes the server end after what it is doing. The first reason counts.
func (s *Server) end(e *ending) {
	if e.by.IsZero() {
		if d := time.Duration(s.ch.hello.Shutdown); d > 0 {
			e.by = time.Now().Add(d)
		}
	}
	s.mu.Lock()
	if s.grace.IsZero() {
		s.grace = e.by
	}
	s.mu.Unlock()
	s.box.end(e)
	s.stop(fmt.Errorf("proc: %s", e.reason))
}

// watchChannel ends the server when the channel does: its node is gone (GS-24).
func (s *Server) watchChannel() {
	go func() {
		select {
		case <-s.ch.closed:
			e := &ending{reason: Reason{Shutdown, "the channel has ended"}}
			switch {
			case errors.Is(s.ch.err, io.ErrClosedPipe):
				e = &ending{reason: Reason{Class: Killed}, err: errKilled}
			case s.ch.err != nil:
				e = &ending{reason: Reason{Abnormal, s.ch.err.Error()}, err: s.ch.err}
			}
			s.end(e)
		case <-s.running.Done():
		}
	}()
}

// base is the context of everything in the mailbox that is no message.
func (s *Server) base() context.Context { return s.Context(context.Background()) }

// Context returns a context whose calls are this server's.
func (s *Server) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, keyOfServer{}, s)
}

// Self is the address of this life.
func (s *Server) Self() Addr {
	return Addr{s.ch.hello.Addr}
}

// Path is this worker's path in the tree: "/shop/bank".
func (s *Server) Path() string {
	return s.ch.hello.Path
}

// Incarnation counts the lives of the path, from 1. A molt is no new life.
func (s *Server) Incarnation() uint64 {
	return s.ch.hello.Incarnation
}

// Stop ends the server after the running handler: OnTerminate runs, then the
// handler's answer goes out. nil is normal, ErrShutdown an end that is no
// fault, any other error a fault with that text. Calls that wait in the
// mailbox get ErrDown with the reason.
func (s *Server) Stop(why error) {
	e := &ending{reason: reasonOf(why), err: why}
	if errors.Is(why, ErrShutdown) {
		e.err = nil
	}
	s.end(e)
}

// OnTerminate says what is to be done at the end: after Stop, after an order
// of the supervisor, after a panic of a handler; not when the process is
// killed. ctx ends with the shutdown time.
func (s *Server) OnTerminate(f func(context.Context, Reason) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.terminate = f
}

// HandleInfo takes casts that nothing else handles.
func (s *Server) HandleInfo(f func(ctx context.Context, method string, payload Raw) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.info = f
}

// later puts f into the mailbox.
func (s *Server) later(what string, f func(context.Context) error) {
	if ok, _ := s.box.put(item{job: &job{what, f}}); !ok {
		s.stats.failed.Add(1)
	}
}

// Do runs f in the mailbox and waits for it: for HTTP handlers and functions
// that run beside. From a handler it returns ErrCallingSelf. When ctx ends
// first f does not run, or runs to its end with nobody waiting.
func (s *Server) Do(ctx context.Context, f func(context.Context) error) error {
	if r, ok := ctx.Value(keyOfRequest{}).(*request); ok && r.s == s {
		return ErrCallingSelf
	}
	done := make(chan error, 1)
	ok, _ := s.box.put(item{job: &job{"do", func(context.Context) error {
		if ctx.Err() == nil {
			done <- f(s.Context(ctx))
		}
		return nil
	}}})
	if !ok {
		return &CallError{To: "itself", Method: "do", Code: ErrDown}
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-s.running.Done():
		select {
		case err := <-done:
			return err
		default:
			return &CallError{To: "itself", Method: "do", Code: ErrDown}
		}
	}
}

// Go runs f beside the mailbox, once Init has returned. Its end, unless the
// server is stopping, is the server's: nil is normal. ctx is done when the
// server is to end.
func (s *Server) Go(f func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up {
		s.beside = append(s.beside, f)
		return
	}
	s.aside(f)
}

func (s *Server) aside(f func(context.Context) error) {
	go func() {
		err := errGoexit
		defer func() {
			if s.stopping.Err() == nil {
				s.Stop(err)
			}
		}()
		err = s.guard("a function beside the mailbox", func() error { return f(s.Context(s.stopping)) })
	}()
}

// Concurrent lets n handlers run at once; their order, and what they share,
// are then the program's own affair. For Init.
func (s *Server) Concurrent(n int) {
	s.concurrent = make(chan struct{}, max(n, 1))
	s.box.takeOne()
}

// LockThread runs Init and all handlers on one OS thread. For Init.
func (s *Server) LockThread() { runtime.LockOSThread() }

// SlowAfter is how long a handler may take without a warning in the log,
// instead of what the configuration says (slow_handler, 1 s); 0 is for ever.
// For Init.
func (s *Server) SlowAfter(d time.Duration) { s.slow = d }

// DropExpired drops calls whose callers' time is over when their turn comes,
// instead of running them for nobody (GS-2): for servers that do much for each
// call and may fall behind. Such a call is answered with ErrTimeout, for callers
// that have no clock of their own, and counted as expired, as those are that are
// run too late. A call that its caller has only cancelled is run. For Init.
func (s *Server) DropExpired() { s.dropExpired = true }

// Methods is what the server handles, sorted.
func (s *Server) Methods() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]string, 0, len(s.methods))
	for name := range s.methods {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (s *Server) forget(r *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls[r.id] == r {
		delete(s.calls, r.id)
	}
}

// bound is s, cut to n bytes.
func bound(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
