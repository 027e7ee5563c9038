package proc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/supertrees/supervise/ipc"
)

// Call is a method that answers. Req and Rep go as JSON, Raw as it is, None
// as nothing.
type Call[Req, Rep any] string

// Cast is a method that does not answer.
type Cast[Msg any] string

// callTimeout is how long a call waits whose context has no deadline (GS-3).
const callTimeout = 5 * time.Second

type keyForever struct{}

// Forever lets calls made with the context wait without limit, unless it has
// a deadline: OTP's infinity.
func Forever(ctx context.Context) context.Context { return context.WithValue(ctx, keyForever{}, true) }

// serverOf is whose call it is: the server of a handler's context, else the
// process's own.
func serverOf(ctx context.Context) (*Server, error) {
	if s, ok := ctx.Value(keyOfServer{}).(*Server); ok {
		return s, nil
	}
	return own()
}

// Call calls to and waits for the answer: for 5 s if ctx has no deadline. The
// error is a *CallError, but where there is no call: ErrNotSupervised, or req
// cannot be encoded.
func (c Call[Req, Rep]) Call(ctx context.Context, to Target, req Req) (rep Rep, err error) {
	s, err := serverOf(ctx)
	if err != nil {
		return rep, err
	}
	codec, body, err := encode(req, ipc.CodecNone)
	if err != nil {
		return rep, fmt.Errorf("call %v %s: encoding the request: %w", to, string(c), err)
	}
	dst, where := to.wire()
	m := ipc.Message{Type: ipc.Call, Codec: codec, Dst: dst, To: where, Method: string(c), Payload: body}
	a := s.ch.roundTrip(ctx, &m, true)
	if a.code == ErrTimeout || a.code == ErrCanceled {
		s.inVain(ctx, &m, a.code)
	}
	return readAnswer[Rep](to, string(c), a)
}

// inVain warns of a handler that has waited for an answer longer than a handler
// may take, and has none. Two servers that call each other from their handlers
// wait for each other until the time of one is over: its log names both.
func (s *Server) inVain(ctx context.Context, m *ipc.Message, code Error) {
	r, ok := ctx.Value(keyOfRequest{}).(*request)
	if !ok || r.s != s || s.slow <= 0 {
		return
	}
	waited := m.Left
	if by, ok := ctx.Deadline(); ok {
		waited -= max(time.Until(by), 0)
	} else if code != ErrTimeout {
		return // its caller is gone, and nobody knows since when
	}
	if waited > s.slow {
		slog.Warn("proc: a handler waited in vain for an answer", "worker", s.Path(), "caller", Addr{r.src},
			"to", targetKey(m), "method", m.Method, "waited", waited.Round(time.Millisecond))
	}
}

// readAnswer makes a result of what a call came to.
func readAnswer[Rep any](to Target, method string, a answer) (rep Rep, err error) {
	switch {
	case a.code != "":
		return rep, &CallError{To: to.String(), Method: method, Code: a.code, Message: a.message}
	case a.failed:
		return rep, callError(to.String(), method, a.body)
	}
	rep, err = decode[Rep](a.codec, a.body)
	if err != nil {
		return rep, &CallError{To: to.String(), Method: method, Code: ErrBadReply, Message: err.Error()}
	}
	return rep, nil
}

// CallAsync calls without waiting for the answer: with it, then runs in the
// mailbox of the server that ctx carries. Where the window is full it waits for
// room. If it returns an error nothing was sent, and then does not run.
func (c Call[Req, Rep]) CallAsync(ctx context.Context, to Target, req Req, then func(context.Context, Rep, error) error) error {
	s, err := serverOf(ctx)
	if err != nil {
		return err
	}
	codec, body, err := encode(req, ipc.CodecNone)
	if err != nil {
		return fmt.Errorf("call %v %s: encoding the request: %w", to, string(c), err)
	}
	dst, where := to.wire()
	m := ipc.Message{Type: ipc.Call, Codec: codec, Dst: dst, To: where, Method: string(c), Payload: body}
	return s.ch.start(ctx, &m, func(a answer) {
		s.later("answer of "+string(c), func(ctx context.Context) error {
			rep, err := readAnswer[Rep](to, string(c), a)
			return then(ctx, rep, err)
		})
	})
}

// Answer is one of the answers to a MultiCall.
type Answer[Rep any] struct {
	From  Addr
	Reply Rep
	Err   error
}

// MultiCall calls everyone and waits for all, under the one deadline of ctx.
// The answers are in order of arrival (GS-33), each with its own error. From is
// zero where to is a Name. The error is that there was nobody to ask: the members
// of a Group could not be had.
func (c Call[Req, Rep]) MultiCall(ctx context.Context, to Targets, req Req) ([]Answer[Rep], error) {
	var targets []Target
	if g, ok := to.(Group); ok {
		members, err := Members(ctx, g)
		if err != nil {
			return nil, err
		}
		to = members
	}
	switch to := to.(type) {
	case Addrs:
		for _, a := range to {
			targets = append(targets, a)
		}
	case Target:
		targets = append(targets, to)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	answers := make([]Answer[Rep], 0, len(targets))
	for _, one := range targets {
		wg.Go(func() {
			rep, err := c.Call(ctx, one, req)
			from, _ := one.(Addr)
			mu.Lock()
			defer mu.Unlock()
			answers = append(answers, Answer[Rep]{from, rep, err})
		})
	}
	wg.Wait()
	return answers, nil
}

// Cast sends msg on its way, to everyone in to, and waits for nobody but the
// pipe. nil means no more than that it is on its way: a cast to nobody is nil
// as well (GS-13), and so is one that is dropped on the way because too much
// waits there. What is for a target that is behind is kept until that goes on,
// in order, and ErrBusy once 16 MiB are.
func (c Cast[Msg]) Cast(ctx context.Context, to Targets, msg Msg) error {
	s, err := serverOf(ctx)
	if err != nil {
		return err
	}
	codec, body, err := encode(msg, ipc.CodecNone)
	if err != nil {
		return fmt.Errorf("cast %v %s: encoding the message: %w", to, string(c), err)
	}
	m := ipc.CastTo{Method: string(c), Codec: codec}
	if one, ok := to.(Target); ok {
		m.Dst, m.To = one.wire()
		return castError(to, string(c), s.ch.cast(ctx, &m, body))
	}
	return s.castMany(ctx, to, m, body)
}

func (s *Server) castMany(ctx context.Context, to Targets, m ipc.CastTo, body []byte) error {
	return to.each(func(dst ipc.Addr, where string) error {
		m.Dst, m.To = dst, where
		return castError(to, m.Method, s.ch.cast(ctx, &m, body))
	})
}

func castError(to Targets, method string, err error) error {
	if err == nil {
		return nil
	}
	return &CallError{To: to.String(), Method: method, Code: codeOf(err), Message: err.Error()}
}

// Call is a cast that waits until it has been handled.
func (c Cast[Msg]) Call(ctx context.Context, to Target, msg Msg) error {
	_, err := Call[Msg, None](c).Call(ctx, to, msg)
	return err
}

func codeOf(err error) Error {
	var code Error
	switch {
	case errors.As(err, &code):
		return code
	case errors.Is(err, context.DeadlineExceeded):
		return ErrTimeout
	case errors.Is(err, context.Canceled), errors.Is(err, ipc.ErrAbandoned):
		return ErrCanceled
	}
	return ErrDown
}
