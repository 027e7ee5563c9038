package proc

import (
	"log/slog"
	"time"

	"github.com/supertrees/supervise/ipc"
)

// serve handles a call or a cast.
func (s *Server) serve(it *item) error {
	r := it.r
	if s.row.n > 0 && (r.call || r.method != s.row.method) {
		s.endRow()
	}
	begun := s.begins()
	m := s.lookup(r.method)
	if r.call && !r.by.IsZero() && s.epoch.Add(begun).After(r.by) {
		s.stats.expired.Add(1)
		if s.dropExpired {
			r.fail(&ipc.ErrorBody{Code: string(ErrTimeout), Message: "its time was over before its turn came"})
			return nil
		}
	}
	h := s.unknown
	if m != nil {
		if own := m.pick(s.machine); own != nil {
			h = own
		}
	}
	if w := s.watched.Load(); w != nil {
		h = w.around(h)
	}
	s.stats.begun.Add(1) // before the answer goes out: who has it finds it counted
	postpone, err := s.invoke(h, it)
	if s.concurrent == nil && s.machine == nil && !r.call {
		s.inRow(r.method, begun)
		return err
	}
	ended := time.Since(s.epoch)
	if s.concurrent == nil {
		s.last = ended
	}
	s.took(r.method, ended-begun, 1)
	if postpone && s.machine != nil {
		s.machine.postponed = append(s.machine.postponed, *it)
	}
	if s.machine != nil {
		s.machine.settle()
	}
	return err
}

// The bounds of a row: casts that are handled within rowFast go up to rowMost on
// one look at the clock, which is the dearest part of a small message.
const (
	rowMost = 16
	rowFast = 50 * time.Microsecond
)

// row is casts of one method that follow each other and are timed together. It
// grows as long as they are handled fast.
type row struct {
	method string
	begun  time.Duration
	n      int // handled since then
	size   int // how many the next look at the clock is for; 0 is 1
}

// inRow counts a cast that has been handled, and looks at the clock if it is time.
func (s *Server) inRow(method string, begun time.Duration) {
	if s.row.n == 0 {
		s.row.method, s.row.begun = method, begun
	}
	if s.row.n++; s.row.n >= s.row.size {
		s.endRow()
	}
}

// endRow times a row, if there is one.
func (s *Server) endRow() {
	n := s.row.n
	if n == 0 {
		return
	}
	s.row.n = 0
	s.last = time.Since(s.epoch)
	took := s.last - s.row.begun
	switch {
	case took > rowFast:
		s.row.size = 1
	case n >= s.row.size:
		s.row.size = min(2*n, rowMost)
	}
	s.took(s.row.method, took, n)
}

// took counts handlers that have run, and warns of slow ones.
func (s *Server) took(method string, d time.Duration, n int) {
	s.stats.handled(d/time.Duration(n), uint64(n))
	if d > s.slow && s.slow > 0 {
		slog.Warn("proc: a slow handler", "method", method, "took", d, "messages", n)
	}
}

// begins is when a handler begins, by the server's clock. Where messages follow
// each other that is when the last one ended.
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
func (s *Server) invoke(h handler, it *item) (postpone bool, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicked(it.r.method, v)
		}
	}()
	return h(it), nil
}

// unknown takes what no handler is for.
func (s *Server) unknown(it *item) (postpone bool) {
	method := it.r.method
	s.mu.Lock()
	info := s.info
	s.mu.Unlock()
	switch {
	case it.r.call:
		it.r.fail(&ipc.ErrorBody{Code: ipc.CodeNoMethod, Message: "no method " + method + didYouMean(method, s.Methods())})
	case info != nil:
		if err := info(it.r, method, it.payload); err != nil {
			s.stats.failed.Add(1)
			slog.Error("proc: handling info", "method", method, "err", err)
		}
	default:
		slog.Warn("proc: a cast that nothing handles", "method", method)
	}
	return false
}
