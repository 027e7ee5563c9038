package proc

import "time"

// The bounds of looking at a pipe again and again before waiting for it. To be
// woken by a process on another core takes 5 to 50 µs, at each end of a call:
// who looks for no longer than about that time never does much worse than who
// waits, and when both ends look, an answer is there in one or two.
const (
	spinMost    = 100 * time.Microsecond // one spin
	spinQuick   = 25 * time.Microsecond  // one that is worth its price
	spinLate    = 4                      // spins in a row that may take longer
	spinAlone   = 8 * time.Microsecond   // of a spin without offering the core to others
	spinTaken   = 2 * time.Microsecond   // an offer that took longer has been taken
	spinLooks   = 4                      // between two looks at the clock
	spinLost    = 2 * spinMost           // a spin that took longer has lost its core to another program
	spinRest    = time.Second            // after that
	waitShort   = spinMost               // a wait, with being woken, after which a spin may be worth it
	spinCaution = 1024                   // short waits in a row that are asked for at most
	spinStretch = 2 * time.Millisecond   // without a wait, of a program with one processor: see source.look
)

// spin decides whether a reader that finds nothing looks again for a while. It
// does while that finds something soon: while calls follow each other. After a
// spin in vain, or some that took long, it waits until so many waits in a row have
// been short as caution says, which is doubled then, and one less for each quick
// spin. So a reader at rest never spins, and one whom spinning does not suit does
// it once in a thousand short waits. Where others want the core, it is not for
// spinning, and who offers it to them gets less than his share: there it rests.
type spin struct {
	on      bool
	late    int // spins in a row that found something, but not quickly
	short   int // waits in a row
	caution int
	rest    time.Time // until then it waits
}

// found is told of a spin that found something.
func (s *spin) found(now time.Time, took time.Duration) {
	if took <= spinQuick {
		s.late, s.caution = 0, max(s.caution-1, 1)
		return
	}
	if s.late++; s.late > spinLate || took > spinLost {
		s.missed(now, took)
	}
}

// missed is told of a spin in vain, and ends spinning until it seems worth it.
func (s *spin) missed(now time.Time, took time.Duration) {
	s.on, s.short, s.late = false, 0, 0
	s.caution = min(2*max(s.caution, 1), spinCaution)
	if took > spinLost {
		s.rest = now.Add(spinRest)
	}
}

// waited is told of a wait.
func (s *spin) waited(now time.Time, d time.Duration) {
	if d > waitShort || now.Before(s.rest) {
		s.short = 0
		return
	}
	s.short++
	s.on = s.on || s.short >= s.caution
}
