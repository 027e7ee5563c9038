package proc

import "time"

// The bounds of looking at a pipe again and again before waiting for it. To be
// woken by a process on another core takes 5 to 50 µs, of which a third is work
// of the processor's: who looks for no longer than about that time never does
// much worse than who waits, and an answer that is on its way is there in one
// or two.
const (
	spinMost    = 50 * time.Microsecond // one spin
	spinAlone   = 8 * time.Microsecond  // of it without offering the core to others
	spinTaken   = 2 * time.Microsecond  // an offer that took longer has been taken
	spinLooks   = 4                     // between two looks at the clock
	spinLost    = 4 * spinMost          // a spin that took longer has lost its core to another program
	waitShort   = 2 * spinMost          // a wait, with being woken, after which a spin may be worth it
	spinCaution = 1024                  // short waits in a row that are asked for at most
	spinStretch = 2 * time.Millisecond  // without a wait: only that lets the runtime look after other descriptors
)

// spin decides whether a reader that finds nothing looks again for a while. It
// does as long as this finds something: while calls flow. After a spin in vain
// it waits, until so many waits in a row have been short as caution says, which
// is doubled then, and one less for each spin that finds something. So a reader at
// rest never spins, and one whom spinning does not suit has spinMost for nothing
// in a thousand short waits.
type spin struct {
	on      bool
	short   int // waits in a row
	caution int
}

func (s *spin) found() { s.caution = max(s.caution-1, 1) }

// missed ends spinning, until it seems worth it again.
func (s *spin) missed(took time.Duration) {
	s.on, s.short = false, 0
	s.caution = min(2*max(s.caution, 1), spinCaution)
	if took > spinLost {
		s.caution = spinCaution
	}
}

func (s *spin) waited(d time.Duration) {
	if d > waitShort {
		s.short = 0
		return
	}
	s.short++
	s.on = s.on || s.short >= s.caution
}
