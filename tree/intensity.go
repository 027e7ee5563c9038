package tree

import "time"

// window is the restarts within the period, oldest first, in whole seconds:
// SEMANTICS IN-1, IN-2, OTP's add_restart/3.
type window struct {
	seconds []int64
	first   int // those before it are out of the period
}

// add counts a restart and says whether the supervisor may make it. Kept are
// the restarts R with R >= now - period, inclusive, both floored to seconds.
func (w *window) add(now time.Duration, spec *Spec) bool {
	if spec.Intensity == Unlimited {
		return true
	}
	second := int64(now / time.Second)
	if spec.FrozenClock {
		second = 0
	}
	for w.first < len(w.seconds) && w.seconds[w.first] < second-spec.Period {
		w.first++
	}
	if w.first*2 > len(w.seconds) {
		w.seconds = w.seconds[:copy(w.seconds, w.seconds[w.first:])]
		w.first = 0
	}
	w.seconds = append(w.seconds, second)
	return int64(len(w.seconds)-w.first) <= int64(spec.Intensity)
}

// Restarts is how many restarts counted within the period at the time of the
// last one; 0 without a limit. It is a look at the state and no event.
func (s *Supervisor) Restarts() int { return len(s.restarts.seconds) - s.restarts.first }
