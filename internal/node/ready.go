package node

import (
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/internal/ready"
	"github.com/supertrees/supervise/tree"
)

// host is the node as its prober sees it.
type host struct{ *Node }

// Now is the node's clock.
func (h host) Now() time.Duration { return now() }

// Tell passes on what the prober found out about a life.
func (h host) Tell(ref tree.Ref, news ready.News) {
	l := h.life(ref)
	if l == nil {
		return
	}
	r := journal.Record{Path: l.path, Pid: l.pid, Incarnation: ref.Incarnation}
	switch news := news.(type) {
	case ready.Ready:
		h.step(tree.Ready{Ref: ref})
		return
	case ready.Status:
		r.Event, r.Message = journal.Status, news.Text
	case ready.Stopping:
		r.Event, r.Message = journal.Status, "stopping by itself"
	case ready.Missed:
		r.Event, r.Signal = journal.Watchdog, news.Signal
		r.Message = fmt.Sprintf("no WATCHDOG=1 for %v: asked for a dump by %s; at the next miss it is killed", l.worker.Watchdog, news.Signal)
		if news.Last {
			r.Message = fmt.Sprintf("no WATCHDOG=1 for another %v: killed", l.worker.Watchdog)
		}
	case ready.Warning:
		r.Event, r.Message = journal.Warning, news.Text
	}
	h.emit(r)
}

// Signal sends a signal that is no order.
func (h host) Signal(ref tree.Ref, sig syscall.Signal) {
	if l := h.life(ref); l != nil {
		h.sent(l, h.engine.Signal(ref, sig))
	}
}

// Run starts a probe's process, with what every child of the tree is given.
func (h host) Run(s child.Spawn) error {
	s.Env = append(slices.Clip(h.options.Env), s.Env...)
	_, err := h.engine.Spawn(s)
	return err
}

// Kill ends a probe's process. If it cannot be killed, the life that it is of
// cannot end, and its own kill tells of that.
func (h host) Kill(probe tree.Ref) { _ = h.engine.Kill(now(), probe) }

// Owns says whether a process is of a life.
func (h host) Owns(ref tree.Ref, pid int) (owns, known bool) { return h.engine.Owns(ref, pid) }

// watch begins to find out when a new life is up.
func (n *Node) watch(l *life) {
	if match, ok := n.prober.Pattern(l.ref); ok {
		looked := func() { n.prober.Looked(l.ref); n.buryAgain(l.ref) }
		n.pump.Watch(l.ref, match, func() { go n.Post(looked) }) // the pump must not wait for the node
	}
	n.prober.Started(l.ref, l.pid)
}

// probeEnded takes the end of a process that is no child's: a probe's.
func (n *Node) probeEnded(x child.Exited) {
	if ref, ok := n.prober.Ended(x); ok {
		n.buryAgain(ref)
	}
}

// buryAgain takes up a burial that had to wait.
func (n *Node) buryAgain(ref tree.Ref) {
	if l := n.life(ref); l != nil && l.ended != nil && l.last == nil {
		n.bury(l)
	}
}

// unready is why the start of a dead life failed, if it did: what it was
// waiting for. After an order (a start that took too long), that is all.
func (n *Node) unready(l *life, reason tree.Reason) string {
	why := n.prober.Why(l.ref)
	if why != "" && l.ended.Order == child.Unordered {
		return reason.String() + ": " + why
	}
	return why
}
