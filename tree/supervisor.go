// Package tree decides what a supervisor does next.
package tree

import "time"

// Supervisor is the state machine of one supervisor: events in, actions out,
// no clock, no goroutine, no OS. It is not safe for concurrent use.
type Supervisor struct{}

// New makes a supervisor from a spec that Check accepts. All randomness (the
// backoff's jitter) comes from the seed.
func New(spec Spec, seed uint64) *Supervisor { panic("unwritten") }

// Step takes one event at a time that never runs backwards, and returns what
// is to be done, in order. It always returns at once: an operation that has to
// wait is kept as a plan, and what arrives meanwhile waits in the queue.
func (s *Supervisor) Step(now time.Duration, e Event) []Action { panic("unwritten") }

// Deadline says when the next Tick is due. After a Tick at t it is later than t.
func (s *Supervisor) Deadline() (at time.Duration, ok bool) { panic("unwritten") }

// Children lists the children in start order. It is a look at the state and no event.
func (s *Supervisor) Children() []Child { panic("unwritten") }

// Mode says whether the machine is idle with an empty queue, blocked in an
// operation, or suspended.
func (s *Supervisor) Mode() Mode { panic("unwritten") }

// Mode is what a supervisor is doing.
type Mode uint8

// The modes.
const (
	Idle Mode = iota
	Blocked
	Suspended
	Ended
)

// Child is one child as Children lists it.
type Child struct {
	Spec  ChildSpec
	Ref   Ref
	State State
}

// State is what a child is doing.
type State uint8

// The states of the contract's status.
const (
	StateDown State = iota
	StateWaiting
	StateStarting
	StateRunning
	StateStopping
	StateStuck
)
