// Package backoff says how long to wait before the next restart.
package backoff

import (
	"fmt"
	"math"
	"time"
)

// Kind is the shape of a policy. Its text form is the TOML word.
type Kind uint8

// The kinds. None restarts at once, as OTP does; the others grow with the
// number of consecutive failed lives.
const (
	None Kind = iota
	Constant
	Linear
	Exponential
)

var kinds = [...]string{None: "none", Constant: "constant", Linear: "linear", Exponential: "exponential"}

// String returns the TOML word.
func (k Kind) String() string {
	if int(k) < len(kinds) {
		return kinds[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// MarshalText writes the TOML word.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the TOML word.
func (k *Kind) UnmarshalText(text []byte) error {
	for i, word := range kinds {
		if word == string(text) {
			*k = Kind(i)
			return nil
		}
	}
	return fmt.Errorf("backoff kind %q is none of %s, %s, %s, %s", text, kinds[0], kinds[1], kinds[2], kinds[3])
}

// Policy is how the delay before a restart grows. The zero Policy is None: no
// delay, ever.
type Policy struct {
	Kind Kind          `json:"kind"`
	Min  time.Duration `json:"min,omitempty"` // the first delay
	Max  time.Duration `json:"max,omitempty"` // no delay is longer
	// Multiplier is Exponential's factor between two delays, at least 1.
	Multiplier float64 `json:"multiplier,omitempty"`
	// Jitter spreads each delay evenly over ± this share of it, 0 to 1.
	Jitter float64 `json:"jitter,omitempty"`
	// ResetAfter is the healthy run that sets the count of failures back; 0: none does.
	ResetAfter time.Duration `json:"reset_after,omitempty"`
}

// Default is supertrees' set of figures, growing with the number of failures.
func Default() Policy {
	return Policy{
		Kind:       Exponential,
		Min:        50 * time.Millisecond,
		Max:        time.Minute,
		Multiplier: 2,
		Jitter:     0.1,
		ResetAfter: 2 * time.Minute,
	}
}

// Delay is the wait before the restart that follows the n-th consecutive
// failed life; n counts from 1. chance, in [0, 1), picks the place within the
// jitter: 0.5 is the middle. The result is never negative and never over Max.
func (p Policy) Delay(n int, chance float64) time.Duration {
	if p.Kind == None || n < 1 {
		return 0
	}
	delay := p.base(n) * (1 + p.Jitter*(2*chance-1))
	if delay >= float64(p.Max) {
		return p.Max
	}
	return time.Duration(max(delay, 0))
}

// base is the delay without jitter, capped so that jitter works on the cap too.
func (p Policy) base(n int) float64 {
	first := float64(p.Min)
	switch p.Kind {
	case Linear:
		first *= float64(n)
	case Exponential:
		first *= math.Pow(p.Multiplier, float64(n-1))
	}
	return min(first, float64(p.Max))
}

// Smallest is the least delay that the n-th failure can have.
func (p Policy) Smallest(n int) time.Duration { return p.Delay(n, 0) }

// Healthy says whether a run of this length sets the count of failures back.
func (p Policy) Healthy(run time.Duration) bool {
	return p.ResetAfter > 0 && run >= p.ResetAfter
}
