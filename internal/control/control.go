// Package control shows a running tree to people: HTTP and JSON on a unix
// socket, and the client that the command line uses.
package control

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/internal/output"
	"github.com/supertrees/supervise/tree"
)

// Tree is the running tree that a server shows. Its methods are called from
// many goroutines.
type Tree interface {
	// Journal is what status, events, wait and why are made of.
	Journal() *journal.Store

	// Do carries out a verb and returns when its supervisor has answered, or
	// when the context ends; a request that stands in a queue by then stays
	// there. A refusal is a *Refused.
	Do(ctx context.Context, r Request) (Answer, error)

	// Output is the last lines that a child printed, oldest first, at most n.
	// A path that is not there, or whose supervisor is not, is a *Refused.
	Output(ctx context.Context, path string, n int) ([]output.Line, error)

	// Tap collects what the children of these paths print from now on.
	Tap(wants func(path string) bool) *output.Tap

	// Call calls a worker from outside, until the context ends, and returns the
	// reply. An error of the worker or of the protocol is a *Refused with its code.
	Call(ctx context.Context, m Message) (json.RawMessage, error)

	// Cast casts to workers; to nobody as well.
	Cast(m Message) error

	// Names are the names registered in the tree, sorted.
	Names(ctx context.Context) ([]Name, error)

	// Channel is what is known of a worker's channel; a worker that has none is
	// a *Refused.
	Channel(ctx context.Context, path string) (*Channel, error)

	// Info says what is running.
	Info() Info
}

// Info is the answer of /v1/version.
type Info struct {
	Version string    `json:"version"`
	Name    string    `json:"name"` // of the tree
	Pid     int       `json:"pid"`  // of the root
	Config  string    `json:"config,omitempty"`
	Started time.Time `json:"started"`
}

// Verb is an order to the tree.
type Verb string

// The verbs, with OTP's name for what they ask of the supervisor.
const (
	Start    Verb = "start"    // restart_child
	Stop     Verb = "stop"     // terminate_child
	Restart  Verb = "restart"  // both, as one entry of the queue
	Add      Verb = "add"      // start_child
	Remove   Verb = "remove"   // delete_child
	Signal   Verb = "signal"   // to the child's main process
	Shutdown Verb = "shutdown" // of the whole tree; the answer comes when it has begun
)

// Request is one order.
type Request struct {
	Verb Verb
	// Path is the child that is meant; of Add, the supervisor that is to have it.
	Path   string
	Child  *Child   // of Add
	Args   []string // of Add to a simple_one_for_one supervisor: more arguments of the command
	Signal string   // of Signal: "HUP"
	// Queued, if not nil, is called once when the order stands in a queue.
	Queued func()
}

// Child is what Add starts. Exactly one of Worker and Supervisor is set.
type Child struct {
	Spec       tree.ChildSpec `json:"spec"`
	Worker     *child.Process `json:"worker,omitempty"`
	Supervisor *child.Subtree `json:"supervisor,omitempty"`
}

// Answer is what came of an order. A client gets it when it is true, unless
// it asked not to wait.
type Answer struct {
	// Path is the child's. A tree only has to say it of an instance that Add started.
	Path        string        `json:"path,omitempty"`
	State       journal.State `json:"state"`
	Pid         int           `json:"pid,omitempty"`
	Incarnation uint64        `json:"incarnation,omitempty"` // of Start, Restart and Add; 0: the start answered ignore
}

// Refused is a tree's no, in OTP's word: "not_found", "running", "restarting",
// "already_present", "noproc", … Detail, if any, is for people.
type Refused struct {
	Word   string
	Detail string
}

// Error gives the word first.
func (r *Refused) Error() string {
	if r.Detail == "" {
		return r.Word
	}
	return fmt.Sprintf("%s: %s", r.Word, r.Detail)
}

// The words that are not OTP's.
const (
	WordTimeout      = "timeout"       // it is not true yet
	WordStartError   = "start_error"   // OTP has the reason alone; it is in Detail
	WordNotPermitted = "not_permitted" // another user's tree
	WordBadRequest   = "badarg"
	WordBusy         = "busy" // too many wait already
)
