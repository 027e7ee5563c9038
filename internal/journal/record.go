// Package journal records what happened in a tree, and folds it into its state.
package journal

import (
	"encoding/json"
	"strconv"
	"time"
)

// Record is one line of `supervise events -json`. Its fields are the
// contract's; a field that does not belong to an event is absent.
type Record struct {
	Seq   uint64    `json:"seq,omitempty"` // from 1, no gaps; given by the root at arrival
	Time  time.Time `json:"time,omitzero"` // UTC, when the node that saw it saw it
	Event string    `json:"event"`
	Path  string    `json:"path,omitempty"`

	Kind        string   `json:"kind,omitempty"` // supervisor, worker
	Pid         int      `json:"pid,omitempty"`
	Incarnation uint64   `json:"incarnation,omitempty"`
	Reason      string   `json:"reason,omitempty"` // normal, shutdown, killed, abnormal
	Status      *int     `json:"status,omitempty"`
	Signal      string   `json:"signal,omitempty"` // "KILL"
	Cause       string   `json:"cause,omitempty"`  // of a KILL that no supervisor ordered: OOM, where it is known
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

	Name        string `json:"name,omitempty"`        // of add: the tree's name, where the path is "/"
	Restart     string `json:"restart,omitempty"`     // of add: permanent, transient, temporary, once
	Strategy    string `json:"strategy,omitempty"`    // of add: a supervisor's
	Containment string `json:"containment,omitempty"` // of add: the level in force, where the path is "/"
}

// The causes of an Exit.
const (
	// OOM: the kernel killed it for want of memory.
	OOM = "oom"

	// Unexplained: nobody here ordered the KILL. A node says so to the root, which
	// finds out, or says nothing about the cause.
	Unexplained = "unexplained"
)

// The events. More may come; these stay. Every record has Time, Event and
// Path; beside them each carries what is said here, and Message where a person
// wants to know why. Where Path is a supervisor's it is that supervisor as its
// parent's child, except in GiveUp and Report, which it says of itself.
const (
	// Add: a child spec came, at boot or by start_child. Kind, Restart; of a
	// supervisor also Strategy, Intensity (absent: no limit) and Period; of "/"
	// also Name and Containment. The child is down, and last among its siblings
	// if it is new. Added again (its node came back), it keeps its place and history.
	Add = "add"

	// Spawn: its process exists. Kind, Pid, Incarnation, and Restarts where its
	// supervisor has a limit. The child is starting.
	Spawn = "spawn"

	// Start: the child is up. Kind, Pid, Incarnation. The child is running.
	Start = "start"

	// Exit: the process ended. Kind, Pid, Incarnation, Reason, and Status or
	// Signal, and Cause where there is more to say of a KILL. After an order the child is down, else waiting, until a Down,
	// Backoff or Spawn says what was decided. After a supervisor's Exit nothing
	// below it is alive, so all of that is down.
	Exit = "exit"

	// Backoff: it waits for its next try. Incarnation, Delay (0 where there is
	// none), and Restarts where its supervisor has a limit. The child is waiting.
	Backoff = "backoff"

	// GiveUp: the supervisor at Path exceeded its limit. Intensity, Period, and
	// Child, whose restart was one too many. No state changes.
	GiveUp = "give_up"

	// Failed: a start failed. Incarnation, Error. The child is waiting if it has
	// no process; what was decided follows as for Exit.
	Failed = "start_error"

	// Ignore: a start answered ignore. Incarnation. The child is down.
	Ignore = "ignore"

	// Stopping: it was ordered to stop. Incarnation. The child is stopping.
	Stopping = "stopping"

	// Kill: its shutdown time ran out, or brutal_kill. Incarnation. The child is
	// stopping.
	Kill = "kill"

	// Stuck: killed, and something of it is still there. Incarnation, Pids. The
	// child is stuck; its Exit may follow.
	Stuck = "stuck"

	// Down: it has no process, and none will be tried. The child is down.
	Down = "down"

	// Remove: its spec is gone. The child is forgotten, with all that is below it.
	Remove = "remove"

	// Report: OTP's supervisor report, of the supervisor at Path. Context,
	// Child, Reason, Count. Kept as the child's last report.
	Report = "report"

	// Status: what a worker says of itself. Message. Kept as the child's text.
	Status = "status"

	// Watchdog: a worker let its watchdog's time pass. Pid, Incarnation, Signal
	// (what it was sent), Message.
	Watchdog = "watchdog"

	// Warning: something that a person should look at. Message.
	Warning = "warning"

	// Lost: the reader fell behind. From, To, and nothing else: it is made for
	// one reader and has no place in the stream.
	Lost = "lost"
)

// Append writes r as one line of JSON, with its newline, after b. It writes
// what encoding/json would, in a third of the time: a crash loop makes tens of
// thousands of records a second.
func (r *Record) Append(b []byte) []byte {
	b = append(b, '{')
	b = appendUint(b, "seq", r.Seq)
	if !r.Time.IsZero() {
		b = append(appendKey(b, "time"), '"')
		b = append(r.Time.UTC().AppendFormat(b, time.RFC3339Nano), '"')
	}
	b = append(appendKey(b, "event"), quote(r.Event)...)
	b = appendText(b, "path", r.Path)
	b = appendText(b, "kind", r.Kind)
	b = appendInt(b, "pid", int64(r.Pid))
	b = appendUint(b, "incarnation", r.Incarnation)
	b = appendText(b, "reason", r.Reason)
	if r.Status != nil {
		b = strconv.AppendInt(appendKey(b, "status"), int64(*r.Status), 10)
	}
	b = appendText(b, "signal", r.Signal)
	b = appendText(b, "cause", r.Cause)
	if r.Delay != nil {
		b = strconv.AppendFloat(appendKey(b, "delay"), *r.Delay, 'f', -1, 64)
	}
	if r.Intensity != nil {
		b = strconv.AppendInt(appendKey(b, "intensity"), *r.Intensity, 10)
	}
	b = appendInt(b, "period", r.Period)
	b = appendInt(b, "restarts", int64(r.Restarts))
	b = appendText(b, "context", r.Context)
	b = appendText(b, "child", r.Child)
	b = appendInt(b, "count", int64(r.Count))
	b = appendText(b, "error", r.Error)
	b = appendPids(b, r.Pids)
	b = appendUint(b, "from", r.From)
	b = appendUint(b, "to", r.To)
	b = appendText(b, "message", r.Message)
	b = appendText(b, "name", r.Name)
	b = appendText(b, "restart", r.Restart)
	b = appendText(b, "strategy", r.Strategy)
	b = appendText(b, "containment", r.Containment)
	return append(b, '}', '\n')
}

// appendKey writes a key, and the comma before it unless it is the first.
func appendKey(b []byte, key string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(append(b, '"'), key...)
	return append(b, '"', ':')
}

func appendText(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	return append(appendKey(b, key), quote(value)...)
}

func appendInt(b []byte, key string, value int64) []byte {
	if value == 0 {
		return b
	}
	return strconv.AppendInt(appendKey(b, key), value, 10)
}

func appendUint(b []byte, key string, value uint64) []byte {
	if value == 0 {
		return b
	}
	return strconv.AppendUint(appendKey(b, key), value, 10)
}

func appendPids(b []byte, pids []int) []byte {
	if len(pids) == 0 {
		return b
	}
	b = append(appendKey(b, "pids"), '[')
	for i, pid := range pids {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(pid), 10)
	}
	return append(b, ']')
}

// quote writes a JSON string. Anything that is not plain ASCII is left to
// encoding/json, which also mends invalid UTF-8.
func quote(s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			text, _ := json.Marshal(s) // a string always marshals
			return text
		}
	}
	text := make([]byte, 0, len(s)+2)
	text = append(append(text, '"'), s...)
	return append(text, '"')
}
