package node

import (
	"slices"
	"syscall"

	"github.com/supertrees/supervise/internal/board"
	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/tree"
)

// life is one process of a child: from its spawn until nothing of it is left.
type life struct {
	ref     tree.Ref
	path    string
	kind    tree.Kind
	pid     int
	worker  *child.Process // nil: it is a node
	port    *board.Port
	said    said                    // over its channel
	asked   map[uint64]func(Answer) // who waits for an answer of this node
	ordered bool                    // its supervisor has decided that it ends
	failure string                  // what it said of its failed start
	reaped  bool                    // its main process is gone
	ended   *child.Exited           // it is gone, and its probe may not be
	last    *journal.Record         // told when the core is told of its end; nil before
}

// reap asks the engine what ended.
func (n *Node) reap() { n.take(n.engine.Reap(now())) }

// take handles what the engine saw.
func (n *Node) take(events []child.Event) {
	for _, e := range events {
		switch e := e.(type) {
		case child.MainExited:
			// The life ends when nothing of it is left. But nobody answers there
			// any more.
			if l := n.life(e.Ref); l != nil {
				l.reaped = true
				n.board.Drain(l.port)
				n.read()
				n.board.Cut(l.port, l.down(l.reason(e.Status, e.Order), e.Status))
			}
		case child.Exited:
			if l := n.life(e.Ref); l != nil {
				l.ended = &e
				n.bury(l)
			} else {
				n.probeEnded(e)
			}
		case child.Stuck:
			if l := n.life(e.Ref); l != nil {
				n.emit(journal.Record{Event: journal.Stuck, Path: l.path, Pid: l.pid, Incarnation: l.ref.Incarnation, Pids: e.Pids})
				n.step(tree.Stuck{Ref: e.Ref})
			}
		}
	}
}

// life is the present life of that name, or nil.
func (n *Node) life(ref tree.Ref) *life {
	if l := n.lives[ref.ID]; l != nil && l.ref == ref {
		return l
	}
	return nil
}

// bury hands a death to the core, once everything that the dead one said has
// been read and nothing of its probe is left.
func (n *Node) bury(l *life) {
	n.board.Drain(l.port)
	n.read()
	n.pump.Close(l.ref)
	if !n.prober.Drain(l.ref) {
		return
	}
	reason := l.reason(l.ended.Status, l.ended.Order)
	n.board.End(l.port, l.down(reason, l.ended.Status))
	l.unanswered()
	if l.failure == "" {
		l.failure = n.unready(l, reason)
	}
	if l.failure == "" {
		l.failure = l.unspoken(reason)
	}
	n.prober.Forget(l.ref)
	if l.said.ignored && reason != tree.ReasonAbnormal {
		l.last = &journal.Record{Event: journal.Ignore, Path: l.path, Kind: l.kind.String(), Incarnation: l.ref.Incarnation}
		n.step(tree.Ignored{Ref: l.ref})
		return
	}
	l.last = &journal.Record{
		Event: journal.Exit, Path: l.path, Kind: l.kind.String(), Pid: l.pid,
		Incarnation: l.ref.Incarnation, Reason: reason.String(), Pids: l.ended.Leftovers, Message: l.epitaph(),
	}
	setStatus(l.last, l.ended.Status)
	if l.last.Signal == "KILL" && l.ended.Order == child.Unordered {
		l.last.Cause = journal.Unexplained
	}
	n.keepStatus(l, reason)
	n.step(tree.Exited{Ref: l.ref, Reason: reason, Err: l.failure})
}

// leave tells of a death when the core is about to hear of it: what the core
// was to hear before (a READY sent just before the end) comes first.
func (n *Node) leave(e tree.Event) {
	var ref tree.Ref
	switch e := e.(type) {
	case tree.Exited:
		ref = e.Ref
	case tree.Ignored:
		ref = e.Ref
	default:
		return
	}
	if l := n.life(ref); l != nil {
		n.emit(*l.last)
		n.warnOfDaemon(l)
		delete(n.lives, ref.ID)
	}
}

// warnOfDaemon says once of a worker, however often it is started again, that its
// command succeeds and leaves its work behind it, where nobody may supervise it.
func (n *Node) warnOfDaemon(l *life) {
	spec := n.specID(l.ref.ID)
	if l.worker == nil || l.last.Reason != tree.ReasonNormal.String() || len(l.last.Pids) == 0 || n.daemons[spec] {
		return
	}
	if n.daemons == nil {
		n.daemons = make(map[string]bool)
	}
	n.daemons[spec] = true
	n.emit(journal.Record{
		Event: journal.Warning, Path: l.path, Pid: l.pid, Incarnation: l.ref.Incarnation,
		Message: "its command ended well and left processes behind, which were ended: if it makes itself a daemon, it must be told to stay in the foreground",
	})
}

// keepStatus keeps a significant child's status for the exit of the root.
func (n *Node) keepStatus(l *life, reason tree.Reason) {
	if n.subtree.Spec.AutoShutdown == tree.Never {
		return
	}
	i := slices.IndexFunc(n.subtree.Spec.Children, func(c tree.ChildSpec) bool { return c.ID == l.ref.ID })
	if i < 0 || !n.subtree.Spec.Children[i].Significant {
		return
	}
	ws := l.ended.Status
	switch {
	case reason == tree.ReasonNormal || reason == tree.ReasonShutdown:
		n.status[l.ref.ID] = 0
	case ws.Signaled():
		n.status[l.ref.ID] = 128 + int(ws.Signal())
	default:
		n.status[l.ref.ID] = ws.ExitStatus()
	}
}

// setStatus writes how a process ended, as status or as signal.
func setStatus(r *journal.Record, ws syscall.WaitStatus) {
	if ws.Signaled() {
		r.Signal = child.SignalName(ws.Signal())
		return
	}
	status := ws.ExitStatus()
	r.Status = &status
}
