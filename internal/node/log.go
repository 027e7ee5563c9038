package node

import (
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/supertrees/supervise/internal/journal"
)

// narrator writes records into the program's own log, in words that one reader
// of the log understands: what happened, to whom, why, what comes next. It
// remembers who was told to stop, because an end that was asked for needs no
// comment.
type narrator struct {
	log     hclog.Logger
	ordered map[string]bool // paths that were asked to stop and are not at rest yet
	ending  map[string]bool // supervisors that gave up
}

func newNarrator(log hclog.Logger) *narrator {
	return &narrator{log: log, ordered: make(map[string]bool), ending: make(map[string]bool)}
}

// tell writes one record.
func (t *narrator) tell(r *journal.Record) {
	text, level := sentence(r)
	switch r.Event {
	case journal.Spawn:
		delete(t.ordered, r.Path)
		delete(t.ending, r.Path)
	case journal.Stopping, journal.Kill:
		if r.Event == journal.Kill && !t.ordered[r.Path] {
			text = "killing it at once"
		}
		t.ordered[r.Path] = true
		if r.Path == "/" {
			level = hclog.Debug // whoever gave the order has told of it
		}
	case journal.GiveUp:
		t.ending[r.Path] = true
	case journal.Exit:
		text, level = exitSentence(r, t.ordered[r.Path])
		delete(t.ending, r.Path)
	case journal.Down, journal.Remove:
		if t.ordered[r.Path] || t.ending[Parent(r.Path)] {
			level = hclog.Debug
		}
		delete(t.ordered, r.Path)
		delete(t.ending, r.Path)
	}
	args := []any{"path", r.Path}
	if r.Pid != 0 {
		args = append(args, "pid", r.Pid)
	}
	if r.Incarnation != 0 {
		args = append(args, "incarnation", r.Incarnation)
	}
	t.log.Log(level, text, args...)
}

// orderedToStop is the error of a start that an order to stop has ended.
const orderedToStop = "shutdown"

// sentence is what a record says, and how loudly.
func sentence(r *journal.Record) (string, hclog.Level) {
	switch r.Event {
	case journal.Add:
		return "known to its supervisor, not started yet", hclog.Trace
	case journal.Spawn:
		return "process started, not up yet", hclog.Debug
	case journal.Start:
		return r.Kind + " is up", hclog.Info
	case journal.Backoff:
		return backoffSentence(r), hclog.Info
	case journal.GiveUp:
		return giveUpSentence(r), hclog.Error
	case journal.Failed:
		if r.Error == orderedToStop {
			return "its start is broken off: the order to stop came before it was up", hclog.Info
		}
		return "start failed: " + r.Error, hclog.Error
	case journal.Ignore:
		return "answered its start with ignore: it stays down", hclog.Info
	case journal.Stopping:
		return "asked to stop", hclog.Info
	case journal.Kill:
		return "killing it: its shutdown time is over", hclog.Warn
	case journal.Stuck:
		return fmt.Sprintf("stuck: killed, and still there are the processes %v; it is not started again before they are gone", r.Pids), hclog.Error
	case journal.Down:
		return "stays down: its restart type asks for no restart", hclog.Info
	case journal.Remove:
		return "forgotten: it was temporary, or it was removed", hclog.Info
	case journal.Report:
		return fmt.Sprintf("supervisor report: %s of %s: %s", r.Context, r.Child, r.Reason), hclog.Debug
	case journal.Status:
		return "says: " + r.Message, hclog.Info
	case journal.Warning, journal.Watchdog:
		return r.Message, hclog.Warn
	}
	return strings.TrimSpace(r.Event + " " + r.Message), hclog.Info
}

// exitSentence tells an end. One that was asked for, or a clean one, is no news
// to worry about.
func exitSentence(r *journal.Record, ordered bool) (string, hclog.Level) {
	how := "ended"
	switch {
	case r.Signal != "":
		how += " by signal " + r.Signal
	case r.Status != nil:
		how += fmt.Sprintf(" with status %d", *r.Status)
	}
	text, level := r.Kind+" "+how, hclog.Info
	switch {
	case r.Path == "/":
		return endSentence(r)
	case ordered && r.Reason == "shutdown":
		text = r.Kind + " has stopped as asked: " + how
	case ordered && r.Reason == "killed":
		text += ", as it had to be killed"
	case r.Reason == "abnormal" || r.Reason == "killed":
		text += ": " + r.Reason
		level = hclog.Warn
	default:
		text += ": " + r.Reason
	}
	if r.Cause == journal.OOM {
		text += " by the kernel for want of memory (oom)"
	}
	if r.Message != "" {
		text += ", " + r.Message
	}
	if len(r.Pids) > 0 {
		text += fmt.Sprintf("; it left the processes %v, which were ended", r.Pids)
	}
	return text, level
}

// endSentence is the last one: how the whole tree ended, and why.
func endSentence(r *journal.Record) (string, hclog.Level) {
	status, level := 0, hclog.Info
	if r.Status != nil && *r.Status != 0 {
		status, level = *r.Status, hclog.Error
	}
	return fmt.Sprintf("the whole tree has ended, with status %d: %s", status, r.Message), level
}

// giveUpSentence says what an escalation is, where it happens.
func giveUpSentence(r *journal.Record) string {
	next := "it stops its children and ends, for its own supervisor to start it again"
	if r.Path == "/" {
		next = "nobody is above it, so it stops its children and the tree ends"
	}
	return fmt.Sprintf("gives up: to restart %s would be more than %s; %s", r.Child, limit(r), next)
}

func backoffSentence(r *journal.Record) string {
	if r.Delay == nil || *r.Delay == 0 {
		return "restarting at once"
	}
	wait := time.Duration(*r.Delay * float64(time.Second)).Round(time.Millisecond)
	return fmt.Sprintf("restarting in %v", wait)
}

// limit reads as OTP's intensity: "3 restarts in 5s".
func limit(r *journal.Record) string {
	n := int64(0)
	if r.Intensity != nil {
		n = *r.Intensity
	}
	times := "restarts"
	if n == 1 {
		times = "restart"
	}
	return fmt.Sprintf("%d %s in %d s", n, times, r.Period)
}
