package tree

import "time"

// Action is what the shell is to do, in order. The set is closed.
type Action interface{ action() }

// Orders about one life.
type (
	// Spawn makes the process of a new life. Answered by Started or SpawnFailed.
	Spawn struct {
		Ref     Ref
		Program uint64 // of the child's spec
	}

	// Terminate orders a life to stop; within Time (0: without limit) it is
	// answered by Exited, or a Kill follows.
	Terminate struct {
		Ref  Ref
		Time time.Duration
	}

	// Kill ends a life and all that is left of it. Answered by Exited or Stuck.
	Kill struct{ Ref Ref }
)

// Words about what was decided: for the log, the trace, status and answers.
type (
	// Up says that a child counts as running: the trace's start event.
	Up struct{ Ref Ref }

	// Booted says that Boot is done: every child was started, and the
	// supervisor itself counts as up for its parent. It comes once.
	Booted struct{}

	// Failed says that a start failed (the trace's start_error), and why.
	Failed struct {
		Ref Ref
		Err string
	}

	// Waiting says that a child waits this long for its next try, or that it
	// waits with its group for another's.
	Waiting struct {
		Ref   Ref
		Delay time.Duration
	}

	// Report is OTP's supervisor report (SEMANTICS 14).
	Report struct {
		Context Context
		ID      string
		Reason  string // a Reason's text, a start error, or reached_max_restart_intensity
		Count   int    // SP-5: how many children; 0 where it is one
	}

	// Down says that a child has no process and none will be tried: it
	// ended, was stopped, or answered ignore. Forgotten: its spec is gone too.
	Down struct {
		Ref       Ref
		Forgotten bool
	}

	// Reply answers the request of that Tag.
	Reply struct {
		Tag    uint64
		Answer Answer
	}

	// Quit is the last action: no child is alive (but those in Stuck).
	Quit struct {
		Reason Reason
		Cause  Cause
		// Err is the nested start error where Cause is CauseStartFailed.
		Err string
		// Child is the significant child, or the one whose restart was one too many.
		Child Ref
		// Stuck are the children that could not be killed.
		Stuck []Ref
	}
)

// Cause is why a supervisor quits.
type Cause uint8

// The causes of a Quit.
const (
	CauseOrder Cause = iota
	CauseParentGone
	CauseStartFailed
	CauseIntensity
	CauseAutoShutdown
)

// Context is the errorContext of a supervisor report.
type Context uint8

// The contexts of OTP's supervisor reports.
const (
	ChildTerminated Context = iota
	StartError
	ShutdownError
	ShutdownReport
)

// Answer is what a request is answered. Err is OTP's word ("not_found",
// "running", "already_present", …), "" for ok; a failed start puts its reason
// in Err too. Words that OTP lacks: "shutdown" (the supervisor ends before it
// came to the request), "noproc" (it has ended), "busy" (its queue is full),
// "stuck" (the child was killed and is still there).
type Answer struct {
	Err string `json:"error,omitempty"`
	// Child is the child that start_child, restart_child and cycle started.
	// Incarnation 0: the start answered ignore (OTP's undefined).
	Child    Ref         `json:"child,omitzero"`
	Children []ChildInfo `json:"children,omitempty"` // which_children: reverse start order
	Counts   *Counts     `json:"counts,omitempty"`   // count_children
	Spec     *ChildSpec  `json:"spec,omitempty"`     // get_childspec
}

// ChildInfo is a line of which_children.
type ChildInfo struct {
	Ref   Ref    `json:"ref"`
	State string `json:"state"` // running, undefined, restarting
	Kind  Kind   `json:"kind"`
}

// Counts is the answer of count_children.
type Counts struct {
	Specs       int `json:"specs"`
	Active      int `json:"active"`
	Supervisors int `json:"supervisors"`
	Workers     int `json:"workers"`
}

func (Spawn) action()     {}
func (Terminate) action() {}
func (Kill) action()      {}
func (Up) action()        {}
func (Booted) action()    {}
func (Failed) action()    {}
func (Waiting) action()   {}
func (Report) action()    {}
func (Down) action()      {}
func (Reply) action()     {}
func (Quit) action()      {}
