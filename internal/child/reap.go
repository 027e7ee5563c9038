package child

import (
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lookAgain is how soon the list of children is read again when the kernel had
// no memory to answer.
const lookAgain = 100 * time.Millisecond

// readyBound is the most deaths that are taken from the epoll at a time.
const readyBound = 64

// strangersBound is the most strangers that are asked one by one whether they
// have ended.
const strangersBound = 16

// ReapDead takes the main processes that have ended, sees to what they left, and says
// what became of the lives. It is called when AwaitDeath says so, which is sooner and
// cheaper than a SIGCHLD. It never blocks.
func (e *Engine) ReapDead(now time.Duration) []Event {
	e.reapReady(now)
	return e.sweep(now, nil)
}

// reapReady takes what the epoll tells of.
func (e *Engine) reapReady(now time.Duration) {
	for range reapBound / readyBound {
		n, err := unix.EpollWait(e.deaths.pidfds, e.ready[:], 0)
		if err == unix.EINTR {
			continue
		}
		for _, ready := range e.ready[:max(n, 0)] {
			l := e.byPid[int(ready.Fd)]
			if l != nil && !e.reapMain(now, l) {
				// A tracer holds it; SIGCHLD tells when it lets go.
				_ = unix.EpollCtl(e.deaths.pidfds, unix.EPOLL_CTL_DEL, l.pidfd, nil)
				e.unwatched = append(e.unwatched, l)
			}
		}
		if n < readyBound {
			return
		}
	}
	e.more = true
}

// reapMain takes the main process of a life, if it has ended.
func (e *Engine) reapMain(now time.Duration, l *life) bool {
	x := &Exited{}
	pid, err := syscall.Wait4(l.pid, &x.Status, syscall.WNOHANG, &x.Usage)
	if err != nil || pid != l.pid {
		return false
	}
	e.died(now, l, x)
	return true
}

// Reap takes every child that has ended, strangers too, sees to what they left,
// and says what became of the lives. It is called after every SIGCHLD, and when
// Deadline is due. It never blocks.
func (e *Engine) Reap(now time.Duration) []Event {
	e.more = false
	e.reapReady(now)
	for _, l := range slices.Clone(e.unwatched) {
		e.reapMain(now, l)
	}
	e.reapStrangers(now)
	events := e.sweep(now, nil)
	return e.stuck(now, events)
}

// reapStrangers takes what the kernel gave to this process and has ended. To ask
// for any child, the kernel looks at all of them: so a few are asked by name.
func (e *Engine) reapStrangers(now time.Duration) {
	few := e.few[:0]
	count := 0
	err := e.children.each(func(pid int) {
		if e.byPid[pid] != nil {
			return
		}
		if count++; count <= strangersBound {
			few = append(few, pid)
		}
	})
	e.few = few
	if err != nil || count > strangersBound {
		e.reapAny(now)
		return
	}
	for _, pid := range few {
		e.reapStranger(pid)
	}
}

// reapStranger takes a stranger, if it has ended.
func (e *Engine) reapStranger(pid int) bool {
	got, _ := syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
	if got == pid {
		e.adopt(pid)
	}
	return got == pid
}

// reapAny takes whatever has ended.
func (e *Engine) reapAny(now time.Duration) {
	for range reapBound {
		x := &Exited{}
		pid, err := syscall.Wait4(-1, &x.Status, syscall.WNOHANG, &x.Usage)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if l := e.byPid[pid]; l != nil {
			e.died(now, l, x)
			continue
		}
		e.adopt(pid)
	}
	e.more = true
}

// adopt counts a stranger that was reaped.
func (e *Engine) adopt(pid int) {
	delete(e.strangers, pid)
	e.adopted++
}

// died notes the end of a main process.
func (e *Engine) died(now time.Duration, l *life, x *Exited) {
	x.Ref, x.Pid, x.Order = l.ref, l.pid, l.order
	l.exit, l.diedAt = x, now
	delete(e.byPid, l.pid)
	syscall.Close(l.pidfd) // which takes it out of the epoll
	if len(e.unwatched) > 0 {
		e.unwatched = slices.DeleteFunc(e.unwatched, func(u *life) bool { return u == l })
	}
	if l.order == Killed {
		e.killing = slices.DeleteFunc(e.killing, func(k *life) bool { return k == l })
	}
	e.lingering = append(e.lingering, l)
}

// forget ends a life.
func (e *Engine) forget(l *life) {
	delete(e.lives, l.ref)
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
