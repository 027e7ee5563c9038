package sim

import (
	"time"

	"github.com/supertrees/supervise/tree"
)

// World is the tree that a scenario runs on. A request, the boot and the order
// to stop are issued under a key, and answered under it, at once or later; the
// World does not wait for an answer before Settle.
type World interface {
	// Boot starts the root.
	Boot(key int, root *Child)
	// Call puts a request to the supervisor at call.Sup.
	Call(key int, call Call)
	// Stop orders the root to stop, as its parent would.
	Stop(key int)
	// Exit ends the process under path, or has it end itself. False: there is none.
	Exit(path string, how How) bool
	// Release lets a start go on that is blocked at its gate. False: there is none.
	Release(path string) bool
	// Advance moves the clock.
	Advance(by time.Duration)

	// Settle returns when nothing is left to do: every supervisor is idle
	// with an empty queue, or suspended, or blocked at a gate, or waits for
	// one that is, and no death is undelivered.
	Settle() error
	// Events gives what happened since it was last asked, in causal order.
	Events() []Event
	// Answer gives the answer to what was issued under key. False: none came yet.
	Answer(key int) (Answer, bool)

	// Alive lists the paths of all that lives, sorted.
	Alive() []string
	// Supervisors lists the paths of the live supervisors that are suspended,
	// or that are not, sorted.
	Supervisors(suspended bool) []string
	// Close ends what is left.
	Close() error
}

// How is the way in which a process ends by an exit step.
type How uint8

// The ways of the exit step.
const (
	ExitNormal How = iota
	ExitAbnormal
	ExitKill
	ExitShutdown
	ExitShutdownTerm
)

var hows = [...]string{ExitNormal: "normal", ExitAbnormal: "abnormal", ExitKill: "kill",
	ExitShutdown: "shutdown", ExitShutdownTerm: "shutdown_term"}

// String returns the scenario's word.
func (h How) String() string { return hows[h] }

// UnmarshalText reads the scenario's word.
func (h *How) UnmarshalText(text []byte) error { return oneOf(hows[:], text, "how", h) }

// Reason is the class in which the exit is seen.
func (h How) Reason() tree.Reason {
	switch h {
	case ExitNormal:
		return tree.ReasonNormal
	case ExitKill:
		return tree.ReasonKilled
	case ExitAbnormal:
		return tree.ReasonAbnormal
	default:
		return tree.ReasonShutdown
	}
}

// Call is a request to a supervisor.
type Call struct {
	Op  Op
	Sup string
	// Ref names a child. Its Incarnation is the newest that came up under this
	// name; 0: none did. Only a simple_one_for_one supervisor looks at it.
	Ref tree.Ref
	// Child is the new child of start_child, or the new spec of change_spec.
	Child *Child
	// Instance, where Child is nil, is what an instance of a
	// simple_one_for_one supervisor does other than its template.
	Instance *Override
}

// Answer is what came back.
type Answer struct {
	tree.Answer
	// Exit is set instead when the supervisor was not there ("noproc"), or
	// went before it answered (the class of its end).
	Exit string
	// Simple marks the answer of a simple_one_for_one supervisor.
	Simple bool
}

// Event is one thing that happened in the tree, as a trace tells it.
type Event struct {
	Kind EventKind
	// Path is the process; of a report, the supervisor.
	Path        string
	Of          tree.Kind
	Incarnation uint64 // of Start and Stop: unique under this path
	Reason      string // of Stop, StartError and Report
	Context     string // of Report, and the next two
	Child       string
	Count       int // SP-5; 0: absent
	// Parallel marks what a simple_one_for_one supervisor does in no order:
	// a Stopped of its child, its Report of a shutdown error.
	Parallel bool
}

// EventKind is what an Event tells.
type EventKind uint8

// The events of a trace.
const (
	Started EventKind = iota
	Stopped
	Ignored
	StartError
	Gate
	Report
)
