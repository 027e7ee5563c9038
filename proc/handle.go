package proc

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/supertrees/supervise/ipc"
)

// Where is what a method is handled on: a Server, or some states of a Machine.
type Where interface {
	handle(name string, h handler)
}

// handler handles one message, which is valid until it returns. postpone is for
// machines.
type handler func(it *item) (postpone bool)

// method is one method of a server. A machine's has a handler for each state
// that has one, and any for all the others.
type method struct {
	name string
	any  handler
	in   map[any]handler
}

func (m *method) pick(in *machine) handler {
	if in != nil {
		if h := m.in[in.state]; h != nil {
			return h
		}
	}
	return m.any
}

func (s *Server) handle(name string, h handler) {
	m := s.method(name)
	if m.any != nil {
		panic(fmt.Sprintf("proc: method %q is handled twice", name))
	}
	m.any = h
}

func (s *Server) method(name string) *method {
	if name == "" || name[0] == '$' {
		panic(fmt.Sprintf("proc: a method cannot be called %q", name))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.methods[name]
	if m == nil {
		m = &method{name: name}
		s.methods[name] = m
	}
	return m
}

// Handle says what answers the call. An error goes to the caller, and the
// server lives on; a panic ends it. A method handled twice panics.
func (c Call[Req, Rep]) Handle(on Where, f func(context.Context, Req) (Rep, error)) {
	on.handle(string(c), func(it *item) bool {
		req, ok := requestOf[Req](it)
		if !ok {
			return false
		}
		r := it.r
		rep, err := f(r, req)
		if err == error(errPostpone) {
			return true
		}
		if r.call && r.s.box.ending() != nil {
			r.s.hold(func() { conclude(r, string(c), rep, err) })
		} else {
			conclude(r, string(c), rep, err)
		}
		return false
	})
}

// HandleLater is Handle for an answer that may come later: nil means that From
// answers, now or later, from any goroutine; an error is the answer. A call
// that From never answers runs into its caller's timeout (GS-11).
func (c Call[Req, Rep]) HandleLater(on Where, f func(context.Context, Req, From[Rep]) error) {
	on.handle(string(c), func(it *item) bool {
		req, ok := requestOf[Req](it)
		if !ok {
			return false
		}
		r := it.r
		switch err := f(r, req, From[Rep]{r}); {
		case err == error(errPostpone):
			return true
		case err != nil:
			conclude(r, string(c), None{}, err)
		}
		return false
	})
}

// Handle says what is done with the cast. An error is logged and counted; of a
// call to the cast (Cast.Call) it is the answer.
func (c Cast[Msg]) Handle(on Where, f func(context.Context, Msg) error) {
	on.handle(string(c), func(it *item) bool {
		msg, ok := requestOf[Msg](it)
		if !ok {
			return false
		}
		r := it.r
		err := f(r, msg)
		if err == error(errPostpone) {
			return true
		}
		if r.call && r.s.box.ending() != nil {
			r.s.hold(func() { conclude(r, string(c), None{}, err) })
		} else {
			conclude(r, string(c), None{}, err)
		}
		return false
	})
}

func castFailed(r *request, method string, err error) {
	r.s.stats.failed.Add(1)
	slog.Error("proc: handling a cast", "method", method, "err", err)
}

// requestOf decodes a request, or answers that it cannot be.
func requestOf[Req any](it *item) (req Req, ok bool) {
	req, err := decode[Req](it.r.codec, it.payload)
	if err == nil {
		return req, true
	}
	if it.r.call {
		it.r.fail(&ipc.ErrorBody{Code: ipc.CodeBadRequest, Message: err.Error()})
	} else {
		castFailed(it.r, it.r.method, err)
	}
	return req, false
}

// conclude sends the answer of a handler that has returned.
func conclude[Rep any](r *request, method string, rep Rep, err error) {
	switch {
	case err != nil && !r.call:
		castFailed(r, method, err)
	case err != nil:
		r.fail(bodyOf(err))
	case r.call:
		reply(r, rep)
	}
}

// hold keeps an answer until OnTerminate has run: GS-12.
func (s *Server) hold(answer func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = append(s.held, answer)
}
