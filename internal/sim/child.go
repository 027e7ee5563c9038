package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/supertrees/supervise/tree"
)

// Child is a child as a scenario describes it: its spec, right or wrong, and
// what it does.
type Child struct {
	Behaviour
	// Spec is the child as its supervisor sees it. What the file has wrong on
	// purpose is a value past the enum's end, or its Flaw.
	Spec tree.ChildSpec
	// Flags, for a supervisor, are all of its own spec but the Children.
	Flags    tree.Spec
	Children []*Child
}

// Behaviour is what a child does when it is started and stopped.
type Behaviour struct {
	Starts     []Outcome // of its 1st, 2nd, … start; the last one repeats; none: ok
	OnShutdown OnShutdown
}

// Outcome is what comes of a start.
type Outcome uint8

// The outcomes. One with a gate blocks until it is released.
const (
	OK Outcome = iota
	Error
	Ignore
	GateOK
	GateError
	GateIgnore
)

var outcomes = [...]string{OK: "ok", Error: "error", Ignore: "ignore",
	GateOK: "gate_ok", GateError: "gate_error", GateIgnore: "gate_ignore"}

// String returns the scenario's word.
func (o Outcome) String() string { return outcomes[o] }

// UnmarshalText reads the scenario's word.
func (o *Outcome) UnmarshalText(text []byte) error { return oneOf(outcomes[:], text, "start", o) }

// OnShutdown is what a worker does when it is told to stop.
type OnShutdown uint8

// The ways to take an order to stop.
const (
	ShutdownExit OnShutdown = iota
	ShutdownIgnore
	ShutdownAbnormal
)

var onShutdowns = [...]string{ShutdownExit: "exit", ShutdownIgnore: "ignore", ShutdownAbnormal: "abnormal"}

// String returns the scenario's word.
func (o OnShutdown) String() string { return onShutdowns[o] }

// UnmarshalText reads the scenario's word.
func (o *OnShutdown) UnmarshalText(text []byte) error {
	return oneOf(onShutdowns[:], text, "on_shutdown", o)
}

// Outcome is what comes of the n-th start, counted from 0.
func (b *Behaviour) Outcome(n int) Outcome {
	if len(b.Starts) == 0 {
		return OK
	}
	return b.Starts[min(n, len(b.Starts)-1)]
}

// A wrong value of a file, which Check reports in OTP's order.
const (
	wrong          = math.MaxUint8
	wrongIntensity = tree.Unlimited - 1
	wrongPeriod    = 0
)

// maxInteger stands for all integers that are greater: Erlang's have no bound.
const maxInteger = math.MaxInt64 / int64(10*time.Millisecond)

// rawChild is a child as it stands in the file. What may be wrong on purpose
// is kept as it is.
type rawChild struct {
	ID          json.RawMessage   `json:"id"`
	NoStart     bool              `json:"no_start"`
	Type        json.RawMessage   `json:"type"`
	Restart     json.RawMessage   `json:"restart"`
	Shutdown    json.RawMessage   `json:"shutdown"`
	Significant json.RawMessage   `json:"significant"`
	Strategy    json.RawMessage   `json:"strategy"`
	Intensity   json.RawMessage   `json:"intensity"`
	Period      json.RawMessage   `json:"period"`
	Auto        json.RawMessage   `json:"auto_shutdown"`
	Children    []json.RawMessage `json:"children"`
	Starts      []Outcome         `json:"starts"`
	OnShutdown  OnShutdown        `json:"on_shutdown"`
}

func readChild(data []byte) (*Child, error) {
	if len(data) == 0 {
		return nil, fmt.Errorf("no child")
	}
	var raw rawChild
	if err := decode(data, &raw); err != nil {
		return nil, err
	}
	c := &Child{Behaviour: Behaviour{Starts: raw.Starts, OnShutdown: raw.OnShutdown}}
	if len(raw.ID) > 0 && json.Unmarshal(raw.ID, &c.Spec.ID) != nil {
		return nil, fmt.Errorf("id %s is no string", raw.ID)
	}
	c.Spec.Start = tree.Acknowledged
	enum(raw.Type, &c.Spec.Kind)
	enum(raw.Restart, &c.Spec.Restart)
	if c.Spec.Restart == tree.Once { // not OTP's
		c.Spec.Restart = wrong
	}
	raw.flaw(&c.Spec)
	raw.shutdown(&c.Spec)
	if err := raw.flags(c); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Spec.ID, err)
	}
	return c, nil
}

// enum reads a word of an enum, absent for the default, anything else for wrong.
func enum[T ~uint8, P interface {
	*T
	UnmarshalText([]byte) error
}](raw json.RawMessage, v P) {
	if len(raw) == 0 {
		return
	}
	var word string
	if json.Unmarshal(raw, &word) != nil || v.UnmarshalText([]byte(word)) != nil {
		*v = wrong
	}
}

func (raw *rawChild) flaw(spec *tree.ChildSpec) {
	switch {
	case raw.NoStart:
		spec.Flaw = tree.FlawNoStart
	case len(raw.Significant) > 0 && !isBool(raw.Significant):
		spec.Flaw = tree.FlawSignificant
	default:
		spec.Significant = bytes.Equal(raw.Significant, []byte("true"))
	}
}

func isBool(raw json.RawMessage) bool {
	var b *bool
	return json.Unmarshal(raw, &b) == nil && b != nil
}

func (raw *rawChild) shutdown(spec *tree.ChildSpec) {
	switch string(raw.Shutdown) {
	case "":
		spec.Shutdown = tree.Stop{Mode: tree.StopTime, Time: 5 * time.Second}
		if spec.Kind == tree.KindSupervisor {
			spec.Shutdown = tree.Stop{Mode: tree.Infinity}
		}
	case `"infinity"`:
		spec.Shutdown.Mode = tree.Infinity
	case `"brutal_kill"`:
		spec.Shutdown.Mode = tree.BrutalKill
	default:
		ms, ok := integer(raw.Shutdown)
		if !ok || ms < 0 {
			spec.Shutdown.Mode = wrong
			return
		}
		spec.Shutdown.Time = time.Duration(ms) * time.Millisecond
	}
}

// flags reads what only a supervisor has.
func (raw *rawChild) flags(c *Child) error {
	enum(raw.Strategy, &c.Flags.Strategy)
	enum(raw.Auto, &c.Flags.AutoShutdown)
	c.Flags.Intensity, c.Flags.Period = 1, 5
	if len(raw.Intensity) > 0 {
		n, ok := integer(raw.Intensity)
		if !ok || n < 0 {
			n = int64(wrongIntensity)
		}
		c.Flags.Intensity = tree.Intensity(n)
	}
	if len(raw.Period) > 0 {
		n, ok := integer(raw.Period)
		if !ok || n < 0 {
			n = wrongPeriod
		}
		c.Flags.Period = n
	}
	for _, child := range raw.Children {
		x, err := readChild(child)
		if err != nil {
			return err
		}
		c.Children = append(c.Children, x)
	}
	return nil
}

// integer reads a JSON integer.
func integer(raw json.RawMessage) (int64, bool) {
	if bytes.ContainsAny(raw, ".eE\"[{ntf") {
		return 0, false
	}
	var n json.Number
	if json.Unmarshal(raw, &n) != nil {
		return 0, false
	}
	i, err := n.Int64()
	if err != nil {
		i = maxInteger
		if raw[0] == '-' {
			i = -i
		}
	}
	return max(min(i, maxInteger), -maxInteger), true
}

// Override is what an instance of a simple_one_for_one supervisor does other
// than its template: nil is as the template.
type Override struct {
	Starts     []Outcome   `json:"starts"`
	OnShutdown *OnShutdown `json:"on_shutdown"`
}

func readOverride(data []byte) (*Override, error) {
	o := &Override{}
	if len(data) == 0 {
		return o, nil
	}
	if err := decode(data, o); err != nil {
		return nil, fmt.Errorf("behaviour: %w", err)
	}
	return o, nil
}

// Over is the behaviour of an instance of this template.
func (o *Override) Over(template Behaviour) Behaviour {
	if o.Starts != nil {
		template.Starts = o.Starts
	}
	if o.OnShutdown != nil {
		template.OnShutdown = *o.OnShutdown
	}
	return template
}

// childrenOnly reads the specs of check_childspecs, with its auto_shutdown.
func childrenOnly(children []json.RawMessage, auto json.RawMessage) (*Child, error) {
	c := &Child{}
	raw := rawChild{Children: children, Auto: auto}
	return c, raw.flags(c)
}
