package backoff

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestDelaysGrowAsThePolicySays(t *testing.T) {
	const ms = time.Millisecond
	second := Policy{Min: time.Second, Max: time.Minute, Multiplier: 2}
	of := func(k Kind) Policy { p := second; p.Kind = k; return p }
	for _, c := range []struct {
		name   string
		policy Policy
		want   []time.Duration // after the 1st, 2nd, … failure, in the middle of the jitter
	}{
		{"the zero policy", Policy{}, []time.Duration{0, 0, 0}},
		{"none", of(None), []time.Duration{0, 0, 0}},
		{"constant", of(Constant), []time.Duration{time.Second, time.Second, time.Second}},
		{"linear", of(Linear), []time.Duration{time.Second, 2 * time.Second, 3 * time.Second}},
		{"exponential", of(Exponential), []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second,
			16 * time.Second, 32 * time.Second, time.Minute, time.Minute}},
		{"the default", Default(), []time.Duration{50 * ms, 100 * ms, 200 * ms, 400 * ms}},
		{"a least delay over the greatest", Policy{Kind: Constant, Min: time.Hour, Max: time.Minute}, []time.Duration{time.Minute}},
	} {
		for i, want := range c.want {
			if got := c.policy.Delay(i+1, 0.5); got != want {
				t.Errorf("%s: delay %d is %v, want %v", c.name, i+1, got, want)
			}
		}
	}
}

func TestJitterSpreadsADelayToBothSides(t *testing.T) {
	p := Policy{Kind: Constant, Min: time.Second, Max: time.Minute, Jitter: 0.25}
	for chance, want := range map[float64]time.Duration{0: 750 * time.Millisecond, 0.5: time.Second, 1: 1250 * time.Millisecond} {
		if got := p.Delay(1, chance); got != want {
			t.Errorf("at chance %v the delay is %v, want %v", chance, got, want)
		}
	}
	if p.Smallest(1) != 750*time.Millisecond {
		t.Errorf("the smallest delay is %v", p.Smallest(1))
	}
}

func TestOnlyAHealthyRunForgetsTheFailures(t *testing.T) {
	p := Policy{ResetAfter: time.Minute}
	if p.Healthy(time.Minute-1) || !p.Healthy(time.Minute) || (Policy{}).Healthy(time.Hour) {
		t.Error("healthy is from reset_after on, and never without one")
	}
}

// Whatever the policy: no delay is negative or over Max, more failures never
// mean a smaller delay, and chance moves it up.
func TestEveryDelayIsWithinItsBounds(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		p := Policy{
			Kind:       Kind(r.IntN(4)),
			Min:        time.Duration(r.Int64N(int64(time.Hour))),
			Max:        time.Duration(r.Int64N(int64(10 * time.Hour))),
			Multiplier: 1 + 9*r.Float64(),
			Jitter:     r.Float64(),
		}
		n := 1 + r.IntN(1000)
		low, middle, high := p.Delay(n, 0), p.Delay(n, 0.5), p.Delay(n, math.Nextafter(1, 0))
		if low < 0 || low > middle || middle > high || high > p.Max {
			t.Fatalf("%+v, failure %d: %v, %v, %v", p, n, low, middle, high)
		}
		if next := p.Delay(n+1, 0.5); next < middle {
			t.Fatalf("%+v: failure %d waits %v, the next one %v", p, n, middle, next)
		}
	}
}

func TestAKindIsItsWord(t *testing.T) {
	for _, k := range []Kind{None, Constant, Linear, Exponential} {
		text, err := json.Marshal(k)
		var back Kind
		if err != nil || json.Unmarshal(text, &back) != nil || back != k {
			t.Errorf("%v is written %s and read %v", k, text, back)
		}
	}
	if err := new(Kind).UnmarshalText([]byte("quadratic")); err == nil || err.Error() != `backoff kind "quadratic" is none of none, constant, linear, exponential` {
		t.Errorf("a wrong word: %v", err)
	}
	if Kind(9).String() != "kind(9)" {
		t.Errorf("a wrong kind: %v", Kind(9))
	}
}
