package proc

import (
	"log/slog"
	"time"

	"github.com/supertrees/supervise/ipc"
)

// serve handles a call or a cast.
func (s *Server) serve(it item) error {
	r := it.r
	begun := s.begins()
	m := s.lookup(r.method)
	if r.call && !r.by.IsZero() && s.epoch.Add(begun).After(r.by) {
		s.stats.expired.Add(1)
	}
	h := s.unknown
	if m != nil {
		if own := m.pick(s.machine); own != nil {
			h = own
		}
	}
	s.stats.begun.Add(1) // before the answer goes out: who has it finds it counted
	postpone, err := s.invoke(h, r)
	ended := time.Since(s.epoch)
	took := ended - begun
	if s.concurrent == nil {
		s.last = ended
	}
	s.stats.handled(took)
	if took > s.slow && s.slow > 0 {
		slog.Warn("proc: a slow handler", "method", r.method, "took", took)
	}
	if postpone && s.machine != nil {
		s.machine.postponed = append(s.machine.postponed, it)
	}
	if s.machine != nil {
		s.machine.settle()
	}
	return err
}

// begins is when a handler begins, by the server's clock. Where messages follow
// each other that is when the last one ended: a look at the clock is the dearest
// part of a small message.
func (s *Server) begins() time.Duration {
	if s.concurrent != nil || s.last == 0 {
		return time.Since(s.epoch) // half the price of time.Now
	}
	return s.last
}

// lookup finds a method. Handle may be called at any time.
func (s *Server) lookup(name string) *method {
	if m := s.recent.Load(); m != nil && m.name == name {
		return m
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.methods[name]
	if m != nil {
		s.recent.Store(m)
	}
	return m
}

// invoke is guard for a handler: the way of every message.
func (s *Server) invoke(h handler, r *request) (postpone bool, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicked(r.method, v)
		}
	}()
	return h(r), nil
}

// unknown takes what no handler is for.
func (s *Server) unknown(r *request) (postpone bool) {
	s.mu.Lock()
	info := s.info
	s.mu.Unlock()
	switch {
	case r.call:
		r.fail(&ipc.ErrorBody{Code: ipc.CodeNoMethod, Message: "no method " + r.method + didYouMean(r.method, s.Methods())})
	case info != nil:
		if err := info(r, r.method, r.payload); err != nil {
			s.stats.failed.Add(1)
			slog.Error("proc: handling info", "method", r.method, "err", err)
		}
	default:
		slog.Warn("proc: a cast that nothing handles", "method", r.method)
	}
	return false
}
