package ready

import (
	"syscall"
	"time"

	"github.com/supertrees/supervise/internal/child"
)

// lateness is how far behind its deadline the watchdog may be read and still
// judge. Later than that, this process itself did not run (it was stopped, or
// the machine was busy), and its children may not have got through to it.
const lateness = 500 * time.Millisecond

// watchdog is the time within which a running child says that it lives. The
// first miss asks for a dump, the second one in a row ends the life. The time
// is CLOCK_MONOTONIC, so a machine that slept has not let any of it pass.
type watchdog struct {
	on       bool
	dueAt    time.Duration
	missed   bool // once since the last beat
	spared   bool // given one more period, since the last beat
	signaled bool // told to end: nothing is left to ask
}

// feed is a beat, or the start.
func (p *Prober) feed(l *life) {
	if l.worker.Watchdog <= 0 || l.ordered || l.dog.signaled {
		return
	}
	l.dog = watchdog{on: true, dueAt: p.host.Now() + l.worker.Watchdog}
	p.arm(l)
}

// tickDog looks whether the time has passed. A beat that waited in the socket
// has been read before.
func (p *Prober) tickDog(l *life, now time.Duration) {
	d := &l.dog
	if !d.on || now < d.dueAt {
		return
	}
	if now > d.dueAt+lateness && !d.spared {
		d.spared = true
		d.dueAt = now + l.worker.Watchdog
		return
	}
	p.miss(l, now)
}

// miss is a time that has passed without a beat, or a child that says of
// itself that it hangs.
func (p *Prober) miss(l *life, now time.Duration) {
	d := &l.dog
	if !d.on {
		return
	}
	if d.missed {
		d.on, d.signaled = false, true
		p.tell(l, Missed{Signal: child.SignalName(syscall.SIGKILL), Last: true})
		p.host.Signal(l.ref, syscall.SIGKILL)
		p.arm(l)
		return
	}
	d.missed = true
	d.dueAt = now + l.worker.Watchdog
	sig := dumpSignal(l.worker)
	p.tell(l, Missed{Signal: child.SignalName(sig)})
	p.host.Signal(l.ref, sig)
	p.arm(l)
}

// dumpSignal asks a worker to say what it is doing: QUIT where none is named.
func dumpSignal(w *child.Process) syscall.Signal {
	if sig := child.SignalNumber(w.WatchSignal); sig != 0 {
		return sig
	}
	return syscall.SIGQUIT
}
