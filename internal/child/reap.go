package child

import (
	"syscall"
	"time"
)

// Reap takes every child that has ended and says what became of the lives. It
// is called after every SIGCHLD, and when Deadline is due. It never blocks.
func (e *Engine) Reap(now time.Duration) []Event {
	var events []Event
	e.more = true
	for range reapBound {
		var x Exited
		pid, err := syscall.Wait4(-1, &x.Status, syscall.WNOHANG, &x.Usage)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			e.more = false
			break
		}
		l := e.byPid[pid]
		if l == nil {
			e.strangers++
			continue
		}
		delete(e.byPid, pid)
		syscall.Close(l.pidfd)
		l.pidfd = -1
		x.Ref, x.Pid, x.Order = l.ref, pid, l.order
		delete(e.lives, l.ref)
		events = append(events, x)
	}
	return events
}

// Deadline says when Reap is to be called even without a SIGCHLD.
func (e *Engine) Deadline() (at time.Duration, ok bool) {
	if e.more {
		return 0, true
	}
	return 0, false
}
