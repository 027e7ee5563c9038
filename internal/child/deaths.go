package child

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// deaths tells that main processes have ended.
type deaths struct {
	pidfds int // an epoll of the pidfds of all main processes that are not reaped

	// bell is an epoll of pidfds, armed for one ring at a time. It stands in the epoll
	// of the Go runtime, so that the thread that waits for work is the one that a
	// death wakes.
	bell     *os.File
	bellFd   int
	bellWait syscall.RawConn
}

func openDeaths() (d *deaths, err error) {
	d = &deaths{}
	if d.pidfds, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("making the list of those who may end: %w", err)
	}
	if d.bellFd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err == nil {
		err = unix.SetNonblock(d.bellFd, true)
	}
	if err == nil {
		err = unix.EpollCtl(d.bellFd, unix.EPOLL_CTL_ADD, d.pidfds, &unix.EpollEvent{Events: 0})
	}
	if err != nil {
		return nil, fmt.Errorf("making the bell that rings for those who end: %w", err)
	}
	d.bell = os.NewFile(uintptr(d.bellFd), "bell")
	if d.bellWait, err = d.bell.SyscallConn(); err != nil {
		return nil, fmt.Errorf("waiting for those who end: %w", err)
	}
	return d, nil
}

func (d *deaths) close() {
	_ = d.bell.Close()
	syscall.Close(d.pidfds)
}

// AwaitDeath waits until a main process has ended that is not reaped. The error
// is that of an engine that was closed. Another goroutine than the engine's may
// call it, at any time. Whoever waits for the next death before it was called
// again wakes nobody with it.
func (e *Engine) AwaitDeath() error {
	d := e.deaths
	armed := false
	return d.bellWait.Read(func(bell uintptr) bool {
		if !armed {
			armed = true
			once := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT}
			_ = unix.EpollCtl(int(bell), unix.EPOLL_CTL_MOD, d.pidfds, &once) // both are open
		}
		var rung [1]unix.EpollEvent
		n, err := unix.EpollWait(int(bell), rung[:], 0)
		return n > 0 || err != nil && err != unix.EINTR
	})
}

// AwaitDeathFor is AwaitDeath on this thread, which a death then wakes and no
// other, for so long at most. It says whether there was one.
func (e *Engine) AwaitDeathFor(limit time.Duration) bool {
	timeout := unix.NsecToTimespec(limit.Nanoseconds())
	for {
		n, err := unix.Ppoll([]unix.PollFd{{Fd: int32(e.deaths.pidfds), Events: unix.POLLIN}}, &timeout, nil)
		if err != unix.EINTR { // which leaves in timeout what is left of it
			return n > 0
		}
	}
}

// watch has a life's main process be among those that are waited for.
func (e *Engine) watch(l *life) {
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(l.pid)}
	if unix.EpollCtl(e.deaths.pidfds, unix.EPOLL_CTL_ADD, l.pidfd, &event) != nil {
		e.unwatched = append(e.unwatched, l) // no memory; SIGCHLD tells as well
	}
}
