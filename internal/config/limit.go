package config

import (
	"time"

	"github.com/supertrees/supervise/backoff"
	"github.com/supertrees/supervise/tree"
)

// maxSteps bounds the count of restarts in one period. A limit that is higher
// counts as one that can be reached.
const maxSteps = 100_000

// reachable refuses an intensity that the children, at the smallest delays of
// their backoffs, cannot exceed even all together.
func (l *loader) reachable(e entry, spec *tree.Spec) {
	if spec.Strategy == tree.SimpleOneForOne {
		return // any number of instances
	}
	// Two restarts count together while less than a second more than the
	// period lies between them (SEMANTICS IN-2).
	window := time.Duration(min(spec.Period, int64(maxPeriod/time.Second))+1) * time.Second
	most, paced := int64(0), false
	for _, c := range spec.Children {
		switch c.Restart {
		case tree.Temporary:
			continue
		case tree.Once:
			most++
			continue
		}
		n, ok := restartsWithin(window, c.Backoff)
		if !ok {
			return
		}
		most += n
		paced = true
	}
	if paced && most <= int64(spec.Intensity) {
		l.wrong(e, "intensity %d can never be exceeded: with their backoffs, the children cannot be restarted more than %d times in a period of %ds: lower intensity, lengthen period, or shorten the backoff", spec.Intensity, most, spec.Period)
	}
}

// maxPeriod keeps the window's length within a Duration.
const maxPeriod = 100 * 365 * 24 * time.Hour

// restartsWithin counts how often a child that ends as soon as it is started
// can be restarted in less than window. ok is false where there is no bound.
func restartsWithin(window time.Duration, p backoff.Policy) (n int64, ok bool) {
	resets := p.ResetAfter > 0 && p.ResetAfter < window
	at := time.Duration(0)
	for n = 0; at < window; n++ {
		if n > maxSteps {
			return 0, false
		}
		step := p.Smallest(int(n) + 1)
		if resets {
			// A healthy run may set the delay back, and where it pays off is
			// not worth knowing: the first delay is the least of all.
			step = p.Smallest(1)
		}
		if step <= 0 {
			return 0, false
		}
		at += min(step, window-at)
	}
	return n, true
}
