package proc

import (
	"context"
	"sync"
	"time"
)

// Timer puts a function into the mailbox later. It lives no longer than its
// server: it is no reminder.
type Timer struct {
	mu       sync.Mutex
	t        *time.Timer
	canceled bool
	waiting  bool // a tick is in the mailbox
}

// SendAfter has f run in the mailbox once, d from now.
func (s *Server) SendAfter(d time.Duration, f func(context.Context) error) *Timer {
	return s.timer(d, 0, f)
}

// SendInterval has f run in the mailbox every d, first d from now. A tick that
// still waits is not doubled.
func (s *Server) SendInterval(d time.Duration, f func(context.Context) error) *Timer {
	return s.timer(d, max(d, time.Microsecond), f)
}

func (s *Server) timer(first, every time.Duration, f func(context.Context) error) *Timer {
	tm := &Timer{}
	run := func(ctx context.Context) error {
		tm.mu.Lock()
		tm.waiting = false
		canceled := tm.canceled
		tm.mu.Unlock()
		if canceled {
			return nil
		}
		return f(ctx)
	}
	due := time.Now().Add(first)
	tm.mu.Lock()
	defer tm.mu.Unlock()
	tm.t = time.AfterFunc(first, func() {
		tm.mu.Lock()
		defer tm.mu.Unlock()
		if tm.canceled || s.stopping.Err() != nil {
			return
		}
		if !tm.waiting {
			tm.waiting = true
			s.later("a timer", run)
		}
		if every > 0 {
			for now := time.Now(); !due.After(now); {
				due = due.Add(every * max(1, now.Sub(due)/every))
			}
			tm.t.Reset(time.Until(due))
		}
	})
	return tm
}

// Cancel stops the timer: f does not run any more, also if a tick waits in the
// mailbox. It returns false if it was cancelled before.
func (t *Timer) Cancel() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.canceled
	t.canceled = true
	t.t.Stop()
	return !was
}

// Continue has f run right after the present handler, before the mailbox; from
// Init, after the worker is ready (GS-14).
func (s *Server) Continue(f func(context.Context) error) { s.box.then(f) }

// Timeout has f run when nothing has come for d: what comes first cancels it;
// with d 0, what waits goes first (GS-15 to GS-17). The last call counts; nil
// takes it back.
func (s *Server) Timeout(d time.Duration, f func(context.Context) error) { s.box.setIdle(d, f) }
