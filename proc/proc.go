// Package proc makes a program a good child of a supervisor: gen_server
// callbacks, calls, readiness, stop.
//
// A protocol is a block of constants that server and callers share:
//
//	const (
//		Names    proc.Name                 = "names"
//		Add      proc.Cast[Entry]          = "add"
//		Find     proc.Call[string, string] = "find"
//		NotFound proc.Error                = "not_found"
//	)
//
// The server is a function that builds its state and says what is handled;
// when it has returned nil the worker is up:
//
//	func names(s *proc.Server) error {
//		places := map[string]string{}
//		Add.Handle(s, func(_ context.Context, e Entry) error { places[e.Name] = e.Place; return nil })
//		Find.Handle(s, func(_ context.Context, name string) (string, error) { … })
//		return s.Register(Names)
//	}
//
//	func main() { proc.Main(names) }
//
// A caller, anywhere in the tree, writes Find.Call(ctx, Names, "Joe"), and
// errors.Is(err, NotFound) holds across processes.
//
// # Rules
//
// Handlers run one at a time, in the order in which messages came; what one
// process sends to another arrives in the order sent.
//
// A context says whose call it is: that of a handler carries its server, any
// other means the process's own channel.
//
// A code is about this call. If a handler returns the error of a call of its
// own, its caller gets the code "error" with the text, so that ErrNoProc always
// speaks of the one that was called.
//
// A handler's context has its caller's deadline, and is cancelled when the
// caller gives up; not when the handler returns, and not by a stop. The handler
// runs to its end all the same, while calls that it makes with the context end
// early. context.WithoutCancel opts out.
//
// There is one namespace of methods: a cast to a Call runs it and drops the
// answer, a call to a Cast is answered with nothing when it has been handled.
// Names that begin with $ are the protocol's.
//
// A call waits 5 s unless told otherwise, the time to shut down is 10 s, so
// that a handler stuck in one call leaves OnTerminate its time. TERM during Init
// ends the process at once.
//
// Two servers that call each other from their handlers wait for each other: the
// calls time out, none hangs. A handler that has waited for an answer in vain, for
// longer than slow_handler, is told of on standard error, with both names.
package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Init builds the state and says what is handled. ErrIgnore is OTP's ignore:
// the worker is not started, and that is well. Another error: the start failed.
type Init func(s *Server) error

// exitNotSupervised is the exit status of Main without a supervisor.
const exitNotSupervised = 69

// Main serves until the end and exits: with 0 after a normal end, an ordered
// one and ErrIgnore, with 1 after a fault, with 69 when the program does not run
// under a supervisor.
func Main(init Init) {
	err := Serve(context.Background(), init)
	switch {
	case err == nil:
		os.Exit(0)
	case errors.Is(err, ErrNotSupervised):
		fmt.Fprintf(os.Stderr, "%s is a worker: run it as a child of supervise, with channel = \"frames\"\n", os.Args[0])
		os.Exit(exitNotSupervised)
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[0], err)
	os.Exit(1)
}

// Serve runs the server of this process until it ends, or ctx does, which is
// an order to shut down. It returns nil after a normal or an ordered end and
// ErrIgnore; TERM and INT are orders.
func Serve(ctx context.Context, init Init) error {
	s, err := own()
	if err != nil {
		return err
	}
	started, err := s.start(init, true, true)
	if err != nil {
		return err
	}
	return s.serveUntil(ctx, started)
}

// ServeOver is Serve over the pipes given, r from the node and w to it, and
// without signals. For tests and for other transports. If r returns
// io.ErrClosedPipe the life ends as by KILL, without OnTerminate.
func ServeOver(ctx context.Context, r io.Reader, w io.Writer, init Init) error {
	s := newServer(r, w, nil)
	started, err := s.start(init, true, false)
	if err != nil {
		return err
	}
	return s.serveUntil(ctx, started)
}

// Attach runs the server of this process in a goroutine of its own, beside an
// existing main, and returns when Init has. Main says itself when it is Ready,
// and ends itself when it is told to (Stopping).
func Attach(init Init) (*Server, error) {
	s, err := own()
	if err != nil {
		return nil, err
	}
	return s, s.attach(init, true)
}

// AttachOver is Attach over the pipes given, as ServeOver.
func AttachOver(r io.Reader, w io.Writer, init Init) (*Server, error) {
	s := newServer(r, w, nil)
	return s, s.attach(init, false)
}

func (s *Server) attach(init Init, signals bool) error {
	started, err := s.start(init, false, signals)
	if err != nil {
		return err
	}
	return <-started
}

// start runs the server in a goroutine of its own, once. It tells the node when
// it is ready if it is to, and takes signals as orders.
func (s *Server) start(init Init, ready, signals bool) (started <-chan error, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started {
		return nil, errors.New("serving: this process has a server already")
	}
	s.started, s.signals = true, signals
	result := make(chan error, 1)
	go s.run(init, ready, result)
	return result, nil
}

// serveUntil waits for the end of a server.
func (s *Server) serveUntil(ctx context.Context, started <-chan error) error {
	if err := <-started; err != nil {
		if errors.Is(err, ErrIgnore) {
			return nil
		}
		return err
	}
	stop := context.AfterFunc(ctx, func() { s.Stop(ErrShutdown) })
	defer stop()
	return <-s.result
}

// orderBySignal takes TERM and INT as orders to shut down.
func (s *Server) orderBySignal() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		select {
		case <-c:
			s.Stop(ErrShutdown)
		case <-s.running.Done():
		}
	}()
}

// Stopping returns a context that is done when the program is to end: at the
// supervisor's order, at TERM or INT, when the supervisor is gone.
func Stopping(ctx context.Context) context.Context {
	ctx, _ = signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	if s, err := own(); err == nil {
		s.watchChannel()
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		context.AfterFunc(s.stopping, cancel)
	}
	return ctx
}

// graceDefault is the time to end in when nobody has said another.
const graceDefault = 10 * time.Second

// Grace is what is left of the time to end in, once Stopping is done.
func Grace() (context.Context, context.CancelFunc) {
	by := time.Now().Add(graceDefault)
	if s, err := own(); err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.grace.IsZero() {
			by = s.grace
		}
	}
	return context.WithDeadline(context.Background(), by)
}
