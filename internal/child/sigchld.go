package child

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sigaction is the kernel's, whatever its fields are.
type sigaction [8]uint64

// swapAction gives a signal another action.
func swapAction(sig syscall.Signal, action *sigaction) (old sigaction, err error) {
	_, _, errno := syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(action)), uintptr(unsafe.Pointer(&old)), 8, 0, 0)
	if errno != 0 {
		return old, fmt.Errorf("giving %s another action: %w", SignalName(sig), errno)
	}
	return old, nil
}

// Deafen gives SIGCHLD its default action, which wakes nobody, until Hark. Each one
// costs two threads a turn, to tell of a death that AwaitDeath has told of; in a storm of
// deaths that is a third of all work. Strangers that end meanwhile are for the Reap
// that has to follow Hark.
func (e *Engine) Deafen() {
	if e.heard == nil {
		if heard, err := swapAction(syscall.SIGCHLD, &sigaction{}); err == nil {
			e.heard = &heard
		}
	}
}

// Hark gives SIGCHLD back to whoever listened to it.
func (e *Engine) Hark() {
	if e.heard != nil {
		_, _ = swapAction(syscall.SIGCHLD, e.heard) // it could be taken away, so it can be given back
		e.heard = nil
	}
}
