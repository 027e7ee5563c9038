package child

import (
	"slices"
	"syscall"
	"time"
)

// lookAgain is how soon the list of children is read again when the kernel had
// no memory to answer.
const lookAgain = 100 * time.Millisecond

// Reap takes every child that has ended, sees to what it left, and says what
// became of the lives. It is called after every SIGCHLD, and when Deadline is
// due. It never blocks.
func (e *Engine) Reap(now time.Duration) []Event {
	e.more = true
	for range reapBound {
		x := &Exited{}
		pid, err := syscall.Wait4(-1, &x.Status, syscall.WNOHANG, &x.Usage)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			e.more = false
			break
		}
		if l := e.byPid[pid]; l != nil {
			e.died(now, l, x)
			continue
		}
		delete(e.strangers, pid)
		e.adopted++
	}
	events := e.sweep(now, nil)
	return e.stuck(now, events)
}

// died notes the end of a main process.
func (e *Engine) died(now time.Duration, l *life, x *Exited) {
	x.Ref, x.Pid, x.Order = l.ref, l.pid, l.order
	l.exit, l.diedAt = x, now
	delete(e.byPid, l.pid)
	if l.order == Killed {
		e.killing = slices.DeleteFunc(e.killing, func(k *life) bool { return k == l })
	}
	e.lingering = append(e.lingering, l)
}

// forget ends a life.
func (e *Engine) forget(l *life) {
	delete(e.lives, l.ref)
	if e.byID[l.ref.ID] == l {
		delete(e.byID, l.ref.ID)
	}
}

// Deadline says when Reap is to be called even without a SIGCHLD.
func (e *Engine) Deadline() (at time.Duration, ok bool) {
	if e.more {
		return 0, true
	}
	for _, list := range [...][]*life{e.lingering, e.killing} {
		for _, l := range list {
			if due, is := l.due(); is && (!ok || due < at) {
				at, ok = due, true
			}
		}
	}
	if e.blind > 0 && (!ok || e.blind < at) {
		at, ok = e.blind, true
	}
	return at, ok
}
