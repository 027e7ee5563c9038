package child

import (
	"syscall"

	"github.com/supertrees/supervise/tree"
)

// Event is what Reap saw. The set is closed: MainExited, Exited, Stuck.
type Event interface{ event() }

type (
	// MainExited says that the main process of a life was reaped, while more
	// of the life is left. Its Exited follows. Where nothing is left, Exited
	// comes alone.
	MainExited struct {
		Ref    tree.Ref
		Pid    int
		Status syscall.WaitStatus
		Order  Order // what had been ordered when it ended
	}

	// Exited says that a life has ended and nothing of it is left.
	Exited struct {
		Ref    tree.Ref
		Pid    int
		Status syscall.WaitStatus
		Usage  syscall.Rusage // of the main process, and what it waited for
		Order  Order          // what had been ordered when the main process ended

		// Leftovers are the pids of what the main process left and the engine
		// ended, at most leftoversBound of them; Swept is their number.
		Leftovers []int
		Swept     int
	}

	// Stuck says that something of a life is still there, StuckAfter its KILL.
	// It comes once; Exited may follow, much later.
	Stuck struct {
		Ref  tree.Ref
		Pids []int
	}
)

func (MainExited) event() {}
func (Exited) event()     {}
func (Stuck) event()      {}

// Order is what the supervisor ordered of a life; orders only grow.
type Order uint8

// The orders: none, Terminate, Kill.
const (
	Unordered Order = iota
	Terminated
	Killed
)

// Reason is the class of an end (SEMANTICS 17; the process's success_exit and
// stop signal count). After an order, an exit with 0, a death by the stop
// signal or an exit with 128 + the stop signal is a shutdown. A node's 0 is a
// shutdown too: see node.
func Reason(status syscall.WaitStatus, order Order, p *Process, node bool) tree.Reason {
	stop := syscall.SIGTERM
	if p != nil {
		stop = p.Signal()
	}
	switch {
	case status.Signaled() && status.Signal() == syscall.SIGKILL:
		return tree.ReasonKilled
	case order == Terminated && endedAsAsked(status, stop):
		return tree.ReasonShutdown
	case node && status.Exited() && status.ExitStatus() == 0:
		return tree.ReasonShutdown
	case order != Unordered:
		return tree.ReasonAbnormal
	case status.Signaled() && status.Signal() == syscall.SIGTERM:
		return tree.ReasonShutdown
	case status.Exited() && (status.ExitStatus() == 0 || p != nil && p.Succeeded(status.ExitStatus())):
		return tree.ReasonNormal
	}
	return tree.ReasonAbnormal
}

func endedAsAsked(status syscall.WaitStatus, stop syscall.Signal) bool {
	if status.Signaled() {
		return status.Signal() == stop
	}
	code := status.ExitStatus()
	return code == 0 || code == 128+int(stop)
}
