package node

import (
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/supertrees/supervise/internal/journal"
)

// logRecord writes a record into the program's own log, in words that one
// reader of the log understands: what happened, to whom, why, what comes next.
func logRecord(log hclog.Logger, r *journal.Record) {
	text, level := sentence(r)
	if text == "" {
		return
	}
	args := []any{"path", r.Path}
	if r.Pid != 0 {
		args = append(args, "pid", r.Pid)
	}
	if r.Incarnation != 0 {
		args = append(args, "incarnation", r.Incarnation)
	}
	log.Log(level, text, args...)
}

// sentence is what a record says, and how loudly.
func sentence(r *journal.Record) (string, hclog.Level) {
	switch r.Event {
	case journal.Add:
		return "known to its supervisor, not started yet", hclog.Trace
	case journal.Spawn:
		return "process started, not up yet", hclog.Debug
	case journal.Start:
		return r.Kind + " is up", hclog.Info
	case journal.Exit:
		return exitSentence(r)
	case journal.Backoff:
		return backoffSentence(r), hclog.Info
	case journal.GiveUp:
		return fmt.Sprintf("gives up: restarting %s would be more than %s; its children are stopped and it ends, for its parent to decide", r.Child, limit(r)), hclog.Error
	case journal.Failed:
		return "start failed: " + r.Error, hclog.Error
	case journal.Ignore:
		return "answered its start with ignore: it stays down", hclog.Info
	case journal.Stopping:
		return "asked to stop", hclog.Info
	case journal.Kill:
		return "killed: it did not end in its shutdown time, or is to be killed at once", hclog.Warn
	case journal.Stuck:
		return fmt.Sprintf("stuck: killed, and still there are the processes %v; it is not started again before they are gone", r.Pids), hclog.Error
	case journal.Down:
		return "down: nothing starts it again by itself", hclog.Info
	case journal.Remove:
		return "forgotten: its spec is gone", hclog.Info
	case journal.Report:
		return fmt.Sprintf("supervisor report: %s of %s: %s", r.Context, r.Child, r.Reason), hclog.Debug
	case journal.Status:
		return "says: " + r.Message, hclog.Info
	case journal.Warning, journal.Watchdog:
		return r.Message, hclog.Warn
	}
	return strings.TrimSpace(r.Event + " " + r.Message), hclog.Info
}

// exitSentence tells an end. A clean one is no news to worry about.
func exitSentence(r *journal.Record) (string, hclog.Level) {
	how := "ended"
	switch {
	case r.Signal != "":
		how = "ended by signal " + r.Signal
	case r.Status != nil:
		how = fmt.Sprintf("ended with status %d", *r.Status)
	}
	level := hclog.Info
	if r.Reason == "abnormal" || r.Reason == "killed" {
		level = hclog.Warn
	}
	text := r.Kind + " " + how + ": " + r.Reason
	if r.Message != "" {
		text += ", " + r.Message
	}
	if len(r.Pids) > 0 {
		text += fmt.Sprintf("; it left the processes %v, which were killed", r.Pids)
	}
	return text, level
}

func backoffSentence(r *journal.Record) string {
	if r.Delay == nil || *r.Delay == 0 {
		return "restarted at once"
	}
	wait := time.Duration(*r.Delay * float64(time.Second)).Round(time.Millisecond)
	return fmt.Sprintf("next try in %v", wait)
}

// limit reads as OTP's intensity: "3 restarts in 5s".
func limit(r *journal.Record) string {
	n := int64(0)
	if r.Intensity != nil {
		n = *r.Intensity
	}
	return fmt.Sprintf("%d restarts in %ds", n, r.Period)
}
