package tree

import (
	"time"

	"github.com/supertrees/supervise/backoff"
)

// Spec is a supervisor's flags and its children, in start order: OTP's
// init/1 result. The zero Strategy is OneForOne, the zero AutoShutdown Never.
type Spec struct {
	Strategy     Strategy     `json:"strategy"`
	Intensity    Intensity    `json:"intensity"`
	Period       int64        `json:"period"` // whole seconds, > 0 (SEMANTICS IN-2)
	AutoShutdown AutoShutdown `json:"auto_shutdown"`

	// Children are started in this order and stopped in reverse. A
	// SimpleOneForOne supervisor has exactly one, the template.
	Children []ChildSpec `json:"children"`

	// Incarnations carries, for each child id, the highest incarnation that
	// an earlier life of this supervisor gave out, so that an incarnation is
	// unique for the whole run. Nil: none.
	Incarnations map[string]uint64 `json:"incarnations,omitempty"`

	// FrozenClock puts every restart into the same period, whenever it comes:
	// a scenario that runs on real processes has no clock.
	FrozenClock bool `json:"frozen_clock,omitempty"`
}

// Intensity is how many restarts a supervisor may make within its period
// before it gives up. Unlimited means that it never gives up.
type Intensity int64

// Unlimited is "infinity" in TOML, which OTP does not have.
const Unlimited Intensity = -1

// ChildSpec is one child of a supervisor. What the child is (its command, its
// environment) is the shell's business: the core knows it by ID alone.
type ChildSpec struct {
	ID          string  `json:"id"`
	Kind        Kind    `json:"kind"`
	Restart     Restart `json:"restart"`
	Significant bool    `json:"significant,omitempty"`
	Shutdown    Stop    `json:"shutdown"`
	Start       Start   `json:"start"`
	// StartTimeout ends a start that takes longer; 0 means none.
	StartTimeout time.Duration  `json:"start_timeout,omitempty"`
	Backoff      backoff.Policy `json:"backoff"`

	// Program is the shell's own number for what this child runs. The core
	// hands it back with every Spawn, so that a spec that waits in the queue,
	// or is refused, changes nothing for the child that is there. An instance
	// of a SimpleOneForOne supervisor keeps its own over a Reload.
	Program uint64 `json:"program,omitempty"`

	// Flaw is what its reader found wrong with this spec and no field above
	// can hold. Check reports it in its turn. "" is none.
	Flaw Flaw `json:"flaw,omitempty"`
}

// Flaw is a fault of a child spec in OTP's word.
type Flaw string

// The flaws: no start function (for us: no command), and a significant that
// is neither true nor false.
const (
	FlawNoStart     Flaw = "missing_start"
	FlawSignificant Flaw = "invalid_significant"
)

// Stop says how a child is stopped: SEMANTICS SP-2.
type Stop struct {
	Mode StopMode      `json:"mode"`
	Time time.Duration `json:"time,omitempty"` // for StopTime
}

// Ref names one life of a child, because ids live on and pids are used again.
type Ref struct {
	ID          string `json:"id"`
	Incarnation uint64 `json:"incarnation"`
}
