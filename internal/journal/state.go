package journal

import (
	"fmt"
	"time"
)

// State is what a child is doing, in the words of `status`.
type State uint8

// The states of the contract.
const (
	StateDown     State = iota // no process, and none will be tried
	StateWaiting               // for its backoff, or its next try: OTP's restarting
	StateStarting              // its process exists and is not up yet
	StateRunning
	StateStopping
	StateStuck // killed, and something of it is still there
)

var states = [...]string{
	StateDown: "down", StateWaiting: "waiting", StateStarting: "starting",
	StateRunning: "running", StateStopping: "stopping", StateStuck: "stuck",
}

// String returns the word of `status`.
func (s State) String() string {
	if int(s) < len(states) {
		return states[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// MarshalText writes the word of `status`.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the word of `status`.
func (s *State) UnmarshalText(text []byte) error {
	for i, word := range states {
		if word == string(text) {
			*s = State(i)
			return nil
		}
	}
	return fmt.Errorf("state %q is none of %v", text, states)
}

// Node is what `status -json` prints: a supervisor or worker as the records
// leave it, with all that is below it. A field that says nothing is left out.
type Node struct {
	Path        string    `json:"path"`
	Name        string    `json:"name"`
	Kind        string    `json:"kind"` // supervisor, worker
	State       State     `json:"state"`
	Pid         int       `json:"pid,omitempty"`
	Incarnation uint64    `json:"incarnation"`         // spawns so far; 0: never
	Restarts    int       `json:"restarts"`            // how often it was started again after an end, not by start or add
	StartedAt   time.Time `json:"started_at,omitzero"` // of the present process
	LastExit    *LastExit `json:"last_exit,omitempty"`

	Restart     string    `json:"restart,omitempty"`     // its restart type
	Strategy    string    `json:"strategy,omitempty"`    // a supervisor's
	Containment string    `json:"containment,omitempty"` // the root's: the level in force
	Delay       *float64  `json:"delay,omitempty"`       // seconds, of the present wait
	NextTry     time.Time `json:"next_try,omitzero"`
	Pids        []int     `json:"pids,omitempty"`   // what is left of a stuck child
	Error       string    `json:"error,omitempty"`  // why its last start failed; gone once it is up
	Text        string    `json:"text,omitempty"`   // what it last said of itself
	Report      *Problem  `json:"report,omitempty"` // the last report about it

	// Children are in start order; nil for a worker, never for a supervisor.
	Children []*Node `json:"children,omitzero"`
}

// LastExit is how a child's last process ended.
type LastExit struct {
	Reason string    `json:"reason"` // normal, shutdown, killed, abnormal
	Status *int      `json:"status,omitempty"`
	Signal string    `json:"signal,omitempty"` // "KILL"
	Cause  string    `json:"cause,omitempty"`  // OOM
	At     time.Time `json:"at"`
}

// Problem is OTP's supervisor report, as far as status shows it.
type Problem struct {
	Context string    `json:"context"`
	Reason  string    `json:"reason,omitempty"`
	Count   int       `json:"count,omitempty"`
	At      time.Time `json:"at"`
}
