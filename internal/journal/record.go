// Package journal records what happened in a tree, and folds it into its state.
package journal

import (
	"time"
)

// Record is one line of `supervise events -json`. Its fields are the
// contract's; a field that does not belong to an event is absent.
type Record struct {
	Seq   uint64    `json:"seq"`  // from 1, no gaps; given by the root at arrival
	Time  time.Time `json:"time"` // UTC, when the node that saw it saw it
	Event string    `json:"event"`
	Path  string    `json:"path"`

	Kind        string   `json:"kind,omitempty"` // supervisor, worker
	Pid         int      `json:"pid,omitempty"`
	Incarnation uint64   `json:"incarnation,omitempty"`
	Reason      string   `json:"reason,omitempty"`
	Status      *int     `json:"status,omitempty"`
	Signal      string   `json:"signal,omitempty"` // "KILL"
	Delay       *float64 `json:"delay,omitempty"`  // seconds
	Intensity   *int64   `json:"intensity,omitempty"`
	Period      int64    `json:"period,omitempty"`   // seconds
	Restarts    int      `json:"restarts,omitempty"` // in the period, where a limit is set
	Context     string   `json:"context,omitempty"`  // of a report
	Child       string   `json:"child,omitempty"`    // of a report
	Count       int      `json:"count,omitempty"`
	Error       string   `json:"error,omitempty"`
	Pids        []int    `json:"pids,omitempty"` // of stuck
	From        uint64   `json:"from,omitempty"` // of lost
	To          uint64   `json:"to,omitempty"`
	Message     string   `json:"message,omitempty"` // what a person reads: why, and what comes next
}

// The events. More may come; these stay.
const (
	Add      = "add"         // a child spec came: boot, or start_child
	Spawn    = "spawn"       // its process exists (pid)
	Start    = "start"       // the child is up
	Exit     = "exit"        // the process ended
	Backoff  = "backoff"     // it waits for its next try (delay)
	GiveUp   = "give_up"     // the supervisor's intensity is exceeded
	Failed   = "start_error" // a start failed
	Ignore   = "ignore"      // a start answered ignore
	Stopping = "stopping"    // it was ordered to stop
	Kill     = "kill"        // its shutdown time ran out, or brutal_kill
	Stuck    = "stuck"       // killed, and something of it is still there (pids)
	Down     = "down"        // no process, and none will be tried
	Remove   = "remove"      // its spec is gone
	Report   = "report"      // OTP's supervisor report
	Status   = "status"      // what a worker says of itself
	Lost     = "lost"        // the reader fell behind (from, to)
)
