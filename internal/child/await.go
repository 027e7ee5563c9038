package child

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/tree"
)

// Await waits for the end of a life's main process, for so long at most, and
// says whether ReapOne will find it. The two serve whoever has just ordered a
// stop: to be woken by that one child costs a third of what a signal does, and
// to wait for any child the kernel looks at all of them.
func (e *Engine) Await(ref tree.Ref, limit time.Duration) bool {
	l := e.lives[ref]
	if l == nil || l.exit != nil {
		return false
	}
	fd, err := unix.PidfdOpen(l.pid, 0)
	if err != nil {
		return false
	}
	defer syscall.Close(fd)
	timeout := unix.NsecToTimespec(limit.Nanoseconds())
	n, err := unix.Ppoll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, &timeout, nil)
	return err == nil && n > 0
}

// ReapOne is Reap for a life whose main process has ended, and for none that
// ended beside it.
func (e *Engine) ReapOne(now time.Duration, ref tree.Ref) []Event {
	l := e.lives[ref]
	if l == nil || l.exit != nil {
		return nil
	}
	x := &Exited{}
	if pid, err := syscall.Wait4(l.pid, &x.Status, syscall.WNOHANG, &x.Usage); err != nil || pid != l.pid {
		return nil
	}
	e.died(now, l, x)
	return e.sweep(now, nil)
}
