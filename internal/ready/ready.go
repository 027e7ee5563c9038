// Package ready finds out when a child is up, and whether it still lives: by
// connecting to it, by asking it over HTTP, by running a command, by a line
// that it prints, by a newline on a descriptor (s6), or by what it says itself
// (sd_notify), which is also how it feeds its watchdog.
//
// A Prober belongs to one node and is driven by that node's goroutine. What
// blocks (a connection, a request) runs elsewhere and posts its outcome back;
// all notification sockets of a node share one epoll and one parked goroutine.
// docs/readiness.md is the page for users.
package ready

import (
	"fmt"
	"regexp"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/tree"
)

// Host is the node, as a Prober sees it. All but Post is called on the node's
// goroutine, from inside a method of the Prober; Tell and the others may not
// call the Prober back.
type Host interface {
	// Now is CLOCK_MONOTONIC, which stands still while the machine sleeps.
	Now() time.Duration
	// Post runs f on the node's goroutine, soon. It may wait.
	Post(f func())
	// Tell passes on what was found out about a life.
	Tell(ref tree.Ref, news News)
	// Signal sends a signal to a life's main process, without it being an order.
	Signal(ref tree.Ref, sig syscall.Signal)
	// Run starts a probe's process; its end comes back through Prober.Ended.
	Run(s child.Spawn) error
	// Kill ends a probe's process and everything that came of it.
	Kill(probe tree.Ref)
	// Owns says whether a process is of a life. known is false where there is
	// no such process (any more).
	Owns(ref tree.Ref, pid int) (owns, known bool)
}

// News is what a Prober tells. The set is closed: Ready, Status, Stopping,
// Missed, Warning.
type News interface{ news() }

type (
	// Ready says that the proof holds. It comes once in a life.
	Ready struct{}

	// Status is what the child says of itself, one line without control
	// characters. It comes at most once every statusEvery.
	Status struct{ Text string }

	// Stopping says that the child has begun to end by itself.
	Stopping struct{}

	// Missed says that the child let its watchdog's time pass, and which
	// signal it got for that. Last: it is the one that ends it.
	Missed struct {
		Signal string
		Last   bool
	}

	// Warning is something that a person should look at, once in a life for
	// each kind.
	Warning struct{ Text string }
)

func (Ready) news()    {}
func (Status) news()   {}
func (Stopping) news() {}
func (Missed) news()   {}
func (Warning) news()  {}

// Prober watches the lives of one node. Its methods are for the node's
// goroutine alone.
type Prober struct {
	host   Host
	lives  map[tree.Ref]*life
	probes map[tree.Ref]*life // by the probe's process that runs
	timers timers
	poller *poller // nil until the first socket
	null   int     // /dev/null, for what probes print; -1 until the first

	text, control []byte // what a message is read into

	lastProbe uint64
	rejected  int
}

// life is what is known of one life of a child.
type life struct {
	ref    tree.Ref
	path   string
	worker *child.Process
	pid    int
	uid    uint32 // whom the main process runs as

	ready   bool // told
	ordered bool // to stop: nothing is to be proved any more

	tries  tries
	dog    watchdog
	notify notify
	pipe   pipe
	line   line

	timer
}

// line is the proof by a line of output.
type line struct {
	pattern *regexp.Regexp
	seen    atomic.Bool // the pump's goroutine sets it
	over    bool        // looked for no more
}

// New makes the prober of a node. It holds nothing until a child needs it.
func New(host Host) *Prober {
	return &Prober{
		host:   host,
		lives:  make(map[tree.Ref]*life),
		probes: make(map[tree.Ref]*life),
		null:   -1,
	}
}

// Prepare makes what a life needs before its first instruction, and adds it to
// the order for its process: the socket of NOTIFY_SOCKET, s6's descriptor. It
// does nothing for a child that needs none of it. After an error, or where the
// process could not be made, Forget gives back what there is.
func (p *Prober) Prepare(order *child.Spawn) error {
	w := order.Process
	if w == nil || w.Ready == nil && w.Watchdog <= 0 {
		return nil
	}
	l := &life{ref: order.Ref, path: order.Path, worker: w, notify: notify{fd: -1}, pipe: pipe{fd: -1, theirs: -1}}
	l.slot = noSlot
	if r := w.Ready; r != nil && r.Log != "" {
		pattern, err := regexp.Compile(r.Log)
		if err != nil {
			return &child.StartError{Path: l.path, Key: "ready", Place: w.Places.Of("ready"), What: "reading ready's log", Err: err}
		}
		l.line.pattern = pattern
	}
	p.lives[l.ref] = l
	if w.Watchdog > 0 {
		order.Env = append(order.Env, "WATCHDOG_USEC="+strconv.FormatInt(w.Watchdog.Microseconds(), 10))
	}
	if w.Watchdog > 0 || w.Ready != nil && w.Ready.Notify {
		if err := p.openNotify(l); err != nil {
			return err
		}
		order.Env = append(order.Env, "NOTIFY_SOCKET="+l.notify.name)
	}
	if w.Ready != nil && w.Ready.FD > 0 {
		return p.openPipe(l, order)
	}
	return nil
}

// Started says that the process of a prepared life exists: the probing begins.
func (p *Prober) Started(ref tree.Ref, pid int) {
	l := p.lives[ref]
	if l == nil {
		return
	}
	l.pid = pid
	l.pipe.closeTheirs()
	var st unix.Stat_t
	if unix.Stat("/proc/"+strconv.Itoa(pid), &st) == nil {
		l.uid = st.Uid
	}
	if l.probed() {
		p.try(l)
	}
}

// Pattern gives what to watch a life's output for. match may be called from any
// goroutine; when it has matched, and when there is no line any more, Looked is
// to be called. ok is false where the life does not wait for a line.
func (p *Prober) Pattern(ref tree.Ref) (match func(line []byte) bool, ok bool) {
	l := p.lives[ref]
	if l == nil || l.line.pattern == nil {
		return nil, false
	}
	return func(text []byte) bool {
		if !l.line.pattern.Match(text) {
			return false
		}
		l.line.seen.Store(true)
		return true
	}, true
}

// Looked says that a line of a life has matched, or that its last one was
// looked at. A Drain that waited for this can be done.
func (p *Prober) Looked(ref tree.Ref) {
	l := p.lives[ref]
	if l == nil {
		return
	}
	l.line.over = true
	if l.line.seen.Load() {
		p.tell(l, Ready{})
	}
}

// Up says that the child counts as running, from which its watchdog's time runs.
func (p *Prober) Up(ref tree.Ref) {
	if l := p.lives[ref]; l != nil && !l.ordered {
		p.feed(l)
	}
}

// Stop says that the life was ordered to stop: it need not prove anything any
// more, and its watchdog is off. What it says of itself is still passed on.
func (p *Prober) Stop(ref tree.Ref) {
	l := p.lives[ref]
	if l == nil {
		return
	}
	l.ordered = true
	l.dog.on = false
	p.quit(l)
	p.arm(l)
}

// Drain reads what a dead life has left to say, before its death is told, so
// that a READY sent just before the exit is not lost. It says whether that is
// all. If not, it is to be called again: after Ended has named the life, whose
// probe is being killed, or after Looked, for the last lines of its output.
func (p *Prober) Drain(ref tree.Ref) (done bool) {
	l := p.lives[ref]
	if l == nil {
		return true
	}
	p.readPipe(l)
	for range drainBound {
		if !p.readNotify(l) {
			break
		}
	}
	p.tellStatus(l)
	l.ordered = true
	l.dog.on = false
	p.quit(l)
	p.arm(l)
	looked := l.line.pattern == nil || l.line.over
	return looked && l.tries.process == (tree.Ref{})
}

// Why says what a life that never became ready was waiting for, and how the
// last try went: "" where there is nothing to say.
func (p *Prober) Why(ref tree.Ref) string {
	l := p.lives[ref]
	if l == nil || l.ready || l.worker.Ready == nil {
		return ""
	}
	r := l.worker.Ready
	switch {
	case l.probed():
		return l.tries.why()
	case r.Log != "":
		return fmt.Sprintf("no line of its output matched %q", r.Log)
	case r.FD > 0:
		return fmt.Sprintf("it wrote no newline to descriptor %d", r.FD)
	case r.Notify:
		return "it sent no READY=1"
	}
	return ""
}

// Forget gives back all that a life has. Its Ref is not used again.
func (p *Prober) Forget(ref tree.Ref) {
	l := p.lives[ref]
	if l == nil {
		return
	}
	p.quit(l)
	p.closeNotify(l)
	p.closePipe(l)
	p.timers.drop(&l.timer)
	delete(p.lives, ref)
}

// Rejected is how many messages came from processes that are of no life of
// this node, or could not be read.
func (p *Prober) Rejected() int { return p.rejected }

// Deadline says when Tick is due.
func (p *Prober) Deadline() (at time.Duration, ok bool) { return p.timers.first() }

// Tick does what is due.
func (p *Prober) Tick() {
	now := p.host.Now()
	for range len(p.lives) {
		l := p.timers.due(now)
		if l == nil {
			return
		}
		p.readNotifyAll(l) // a beat that has come counts, however late this is
		p.tickTries(l, now)
		p.tickDog(l, now)
		if l.notify.pendingAt > 0 && l.notify.pendingAt <= now {
			p.tellStatus(l)
		}
		p.arm(l)
	}
}

// Close gives back everything. Lives are forgotten.
func (p *Prober) Close() {
	for ref := range p.lives {
		p.Forget(ref)
	}
	if p.poller != nil {
		p.poller.close()
		p.poller = nil
	}
	if p.null >= 0 {
		unix.Close(p.null)
		p.null = -1
	}
}

// tell passes news on; Ready once.
func (p *Prober) tell(l *life, news News) {
	if _, is := news.(Ready); is {
		if l.ready {
			return
		}
		l.ready = true
		p.quit(l)
		p.closePipe(l)
		p.arm(l)
	}
	p.host.Tell(l.ref, news)
}

// arm sets a life's timer to whatever is due first.
func (p *Prober) arm(l *life) {
	var at time.Duration
	sooner := func(t time.Duration) {
		if t > 0 && (at == 0 || t < at) {
			at = t
		}
	}
	sooner(l.tries.nextAt)
	sooner(l.tries.killAt)
	sooner(l.notify.pendingAt)
	if l.dog.on {
		sooner(l.dog.dueAt)
	}
	p.timers.set(l, at)
}
