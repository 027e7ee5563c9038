package tree

import (
	"fmt"
	"strings"
)

// The tables of the enums' words. An index past a table's end is a wrong
// value that a reader of specs kept, for Check to report.
var (
	strategyWords = []string{OneForOne: "one_for_one", OneForAll: "one_for_all",
		RestForOne: "rest_for_one", SimpleOneForOne: "simple_one_for_one"}
	restartWords      = []string{Permanent: "permanent", Transient: "transient", Temporary: "temporary", Once: "once"}
	autoShutdownWords = []string{Never: "never", AnySignificant: "any_significant", AllSignificant: "all_significant"}
	kindWords         = []string{KindWorker: "worker", KindSupervisor: "supervisor"}
	stopModeWords     = []string{StopTime: "time", BrutalKill: "brutal_kill", Infinity: "infinity"}
	startWords        = []string{AtExec: "at_exec", Acknowledged: "acknowledged", Probed: "probed"}
	reasonWords       = []string{ReasonNormal: "normal", ReasonShutdown: "shutdown",
		ReasonKilled: "killed", ReasonAbnormal: "abnormal"}
	causeWords = []string{CauseOrder: "order", CauseParentGone: "parent_gone", CauseStartFailed: "start_failed",
		CauseIntensity: "intensity", CauseAutoShutdown: "auto_shutdown"}
	contextWords = []string{ChildTerminated: "child_terminated", StartError: "start_error",
		ShutdownError: "shutdown_error", ShutdownReport: "shutdown"}
	modeWords  = []string{Idle: "idle", Blocked: "blocked", Suspended: "suspended", Ended: "ended"}
	stateWords = []string{StateDown: "down", StateWaiting: "waiting", StateStarting: "starting",
		StateRunning: "running", StateStopping: "stopping", StateStuck: "stuck"}
)

func word(words []string, v uint8, what string) string {
	if int(v) < len(words) {
		return words[v]
	}
	return fmt.Sprintf("%s(%d)", what, v)
}

func value[T ~uint8](words []string, text []byte, what string, v *T) error {
	for i, w := range words {
		if w == string(text) {
			*v = T(i)
			return nil
		}
	}
	return fmt.Errorf("%s %q is none of %s", what, text, strings.Join(words, ", "))
}

// String returns the word of Strategy's table.
func (v Strategy) String() string { return word(strategyWords, uint8(v), "strategy") }

// MarshalText writes what String returns.
func (v Strategy) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what String returns.
func (v *Strategy) UnmarshalText(text []byte) error { return value(strategyWords, text, "strategy", v) }

// String returns the word of Restart's table.
func (v Restart) String() string { return word(restartWords, uint8(v), "restart") }

// MarshalText writes what String returns.
func (v Restart) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what String returns.
func (v *Restart) UnmarshalText(text []byte) error { return value(restartWords, text, "restart", v) }

// String returns the word of AutoShutdown's table.
func (v AutoShutdown) String() string { return word(autoShutdownWords, uint8(v), "auto_shutdown") }

// MarshalText writes what String returns.
func (v AutoShutdown) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what String returns.
func (v *AutoShutdown) UnmarshalText(text []byte) error {
	return value(autoShutdownWords, text, "auto_shutdown", v)
}

// String returns the word of Kind's table.
func (v Kind) String() string { return word(kindWords, uint8(v), "type") }

// MarshalText writes what String returns.
func (v Kind) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what String returns.
func (v *Kind) UnmarshalText(text []byte) error { return value(kindWords, text, "type", v) }

// String returns the word of StopMode's table.
func (v StopMode) String() string { return word(stopModeWords, uint8(v), "shutdown") }

// MarshalText writes what String returns.
func (v StopMode) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what String returns.
func (v *StopMode) UnmarshalText(text []byte) error { return value(stopModeWords, text, "shutdown", v) }

// String returns the word of Start's table.
func (v Start) String() string { return word(startWords, uint8(v), "start") }

// MarshalText writes what String returns.
func (v Start) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what String returns.
func (v *Start) UnmarshalText(text []byte) error { return value(startWords, text, "start", v) }

// String returns the word of Reason's table.
func (v Reason) String() string { return word(reasonWords, uint8(v), "reason") }

// MarshalText writes what String returns.
func (v Reason) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what String returns.
func (v *Reason) UnmarshalText(text []byte) error { return value(reasonWords, text, "reason", v) }

// String returns the word of Cause's table.
func (v Cause) String() string { return word(causeWords, uint8(v), "cause") }

// MarshalText writes what String returns.
func (v Cause) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what String returns.
func (v *Cause) UnmarshalText(text []byte) error { return value(causeWords, text, "cause", v) }

// String returns the word of Context's table.
func (v Context) String() string { return word(contextWords, uint8(v), "context") }

// MarshalText writes what String returns.
func (v Context) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what String returns.
func (v *Context) UnmarshalText(text []byte) error { return value(contextWords, text, "context", v) }

// String returns the word of Mode's table.
func (v Mode) String() string { return word(modeWords, uint8(v), "mode") }

// MarshalText writes what String returns.
func (v Mode) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what String returns.
func (v *Mode) UnmarshalText(text []byte) error { return value(modeWords, text, "mode", v) }

// String returns the word of State's table.
func (v State) String() string { return word(stateWords, uint8(v), "state") }

// MarshalText writes what String returns.
func (v State) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what String returns.
func (v *State) UnmarshalText(text []byte) error { return value(stateWords, text, "state", v) }
