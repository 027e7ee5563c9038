package child

import (
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/tree"
)

// Terminate sends the stop signal to the main process of a life, and CONT, or
// a stopped one would hang. When the main process has ended, what it left
// gets the signal too, and at now + grace the KILL; grace 0 is without limit.
// A life that is not there (any more) is no error.
func (e *Engine) Terminate(now time.Duration, ref tree.Ref, sig syscall.Signal, grace time.Duration) error {
	l := e.lives[ref]
	if l == nil || l.order != Unordered {
		return nil
	}
	l.order, l.signal = Terminated, sig
	l.limited, l.killAt = grace > 0, now+grace
	if l.exit != nil {
		return nil // what it left is being killed already
	}
	return l.send(sig, syscall.SIGCONT)
}

// Kill ends the main process of a life and all that is left of it. A life that
// is not there (any more) is no error.
func (e *Engine) Kill(now time.Duration, ref tree.Ref) error {
	l := e.lives[ref]
	if l == nil {
		return nil
	}
	if l.order == Killed {
		return nil
	}
	l.order, l.killed, l.killedAt = Killed, true, now
	if l.exit != nil {
		e.end(now, l)
		return nil
	}
	e.killing = append(e.killing, l)
	if l.leaf != "" && !l.node {
		e.cg.kill(l)
	}
	// Its group goes with it; the pid is the group's as long as it is not reaped.
	syscall.Kill(-l.pid, syscall.SIGKILL)
	return l.send(syscall.SIGKILL)
}

// Signal sends a signal to the main process of a life. One that has ended
// answers ESRCH.
func (e *Engine) Signal(ref tree.Ref, sig syscall.Signal) error {
	l := e.lives[ref]
	if l == nil || l.exit != nil {
		return fmt.Errorf("sending %s to %s: %w", SignalName(sig), ref.ID, syscall.ESRCH)
	}
	return l.send(sig)
}

// send signals the main process. Where a seccomp filter forbids that by pidfd,
// the pid serves: it cannot mean anybody else before it is reaped here. Should
// somebody else have reaped it, the pidfd says so.
func (l *life) send(signals ...syscall.Signal) error {
	for _, sig := range signals {
		err := unix.PidfdSendSignal(l.pidfd, sig, nil, 0)
		if err == unix.ENOSYS || err == unix.EPERM {
			err = syscall.Kill(l.pid, sig)
		}
		if err != nil && err != unix.ESRCH {
			return fmt.Errorf("sending %s to %s (pid %d): %w", SignalName(sig), l.path, l.pid, err)
		}
	}
	return nil
}
