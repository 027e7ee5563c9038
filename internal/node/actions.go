package node

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"syscall"

	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/ipc"
	"github.com/supertrees/supervise/tree"
)

// do carries out one decision of the core.
func (n *Node) do(a tree.Action) {
	switch a := a.(type) {
	case tree.Spawn:
		n.spawn(a)
	case tree.Terminate:
		n.terminate(a)
	case tree.Kill:
		if l := n.life(a.Ref); l != nil {
			n.kill(l)
		}
	case tree.Up:
		n.emitLife(journal.Start, a.Ref)
		n.prober.Up(a.Ref)
	case tree.Failed:
		n.emit(journal.Record{Event: journal.Failed, Path: n.childPath(a.Ref.ID), Kind: n.kind(a.Ref.ID).String(), Incarnation: a.Ref.Incarnation, Error: a.Err})
	case tree.Waiting:
		delay := a.Delay.Seconds()
		n.emit(journal.Record{Event: journal.Backoff, Path: n.childPath(a.Ref.ID), Incarnation: a.Ref.Incarnation, Delay: &delay, Restarts: n.core.Restarts()})
	case tree.Report:
		n.report(a)
	case tree.Down:
		n.down(a)
	case tree.Reply:
		n.answer(a)
	case tree.Booted:
		n.up.Ready()
		go child.Settle(n.subtree.Size(), n.ended)
	case tree.Quit:
		n.finish(a)
	}
}

// spawn makes the process of a life, and tells the core how that went.
func (n *Node) spawn(a tree.Spawn) {
	ref, id := a.Ref, a.Ref.ID
	n.adopt(id)
	l := &life{ref: ref, path: n.childPath(id), kind: n.kind(id)}
	order := child.Spawn{Ref: ref, Path: l.path, Env: n.env(a.Program)}
	subtree := n.supervisor(id)
	if subtree != nil {
		order.Node, order.Speaks = true, subtree.Speaks()
	} else {
		l.worker = n.worker(id)
		order.Process = l.worker
		order.Args = n.args[id]
		if err := n.prober.Prepare(&order); err != nil {
			n.spawnFailed(l, err)
			return
		}
	}
	if err := n.connect(l, subtree, &order); err != nil {
		n.spawnFailed(l, err)
		return
	}
	spawned, err := n.engine.Spawn(order)
	l.port.CloseTheirs()
	if err != nil {
		n.spawnFailed(l, err)
		return
	}
	l.pid = spawned.Pid
	n.lives[id] = l
	if err := n.pump.Add(ref, l.path, spawned.Stdout, spawned.Stderr); err != nil {
		n.emit(journal.Record{Event: journal.Warning, Path: l.path, Pid: l.pid, Message: err.Error()})
	}
	n.emitLife(journal.Spawn, ref)
	if subtree != nil {
		n.forgetBelow(subtree)
	}
	n.step(tree.Started{Ref: ref})
	n.watch(l)
}

// env is what every child finds in its environment beside its own.
func (n *Node) env(program uint64) []string {
	if program == 0 {
		return slices.Clip(n.options.Env)
	}
	return append(slices.Clone(n.options.Env), "SUPERVISE_PROGRAM="+strconv.FormatUint(program, 10))
}

// spawnFailed tells the core that there is no process, and why.
func (n *Node) spawnFailed(l *life, err error) {
	if l.port != nil {
		n.board.End(l.port, ipc.Down{Reason: tree.ReasonAbnormal.String(), Detail: err.Error()})
	}
	n.prober.Forget(l.ref)
	var start *child.StartError
	passing := !errors.As(err, &start) || start.Passing
	n.step(tree.SpawnFailed{Ref: l.ref, Err: err.Error(), Passing: passing})
}

// terminate orders a life to stop.
func (n *Node) terminate(a tree.Terminate) {
	l := n.life(a.Ref)
	if l == nil {
		return
	}
	n.emitLife(journal.Stopping, a.Ref)
	n.prober.Stop(a.Ref)
	l.ordered = true
	n.orderStop(l, tree.ReasonShutdown.String(), a.Time)
	sig := syscall.SIGTERM
	if l.worker != nil {
		sig = l.worker.Signal()
		n.expect()
	}
	n.sent(l, n.engine.Terminate(now(), l.ref, sig, a.Time))
}

// kill ends a life and all that is left of it.
func (n *Node) kill(l *life) {
	n.emitLife(journal.Kill, l.ref)
	n.prober.Stop(l.ref)
	l.ordered = true
	n.sent(l, n.engine.Kill(now(), l.ref))
}

// sent tells of a signal that could not be sent, which an operator must know:
// the child runs as somebody whom this process may not signal.
func (n *Node) sent(l *life, err error) {
	if err != nil {
		n.emit(journal.Record{Event: journal.Warning, Path: l.path, Pid: l.pid, Message: err.Error()})
	}
}

// report passes on OTP's supervisor report, and the give_up of the contract.
func (n *Node) report(a tree.Report) {
	n.emit(journal.Record{Event: journal.Report, Path: n.path, Context: a.Context.String(), Child: a.ID, Reason: a.Reason, Count: a.Count})
	if a.Context == tree.ShutdownReport {
		limit := int64(n.subtree.Spec.Intensity)
		n.emit(journal.Record{Event: journal.GiveUp, Path: n.path, Child: a.ID, Intensity: &limit, Period: n.subtree.Spec.Period})
	}
}

// down tells that a child is at rest without a process, or gone altogether.
func (n *Node) down(a tree.Down) {
	event := journal.Down
	if a.Forgotten {
		event = journal.Remove
		n.forget(a.Ref.ID)
	}
	n.emit(journal.Record{Event: event, Path: n.childPath(a.Ref.ID), Incarnation: a.Ref.Incarnation})
}

// finish ends the node: whoever still waits for an answer is told why there is none.
func (n *Node) finish(a tree.Quit) {
	if a.Cause == tree.CauseStartFailed {
		n.up.Failed(a.Err)
	}
	n.quit = &a
}

// childPath is the path of a child of this node.
func (n *Node) childPath(id string) string { return Below(n.path, id) }

// emit sends a record up, stamped with the wall time at which it was seen.
func (n *Node) emit(r journal.Record) {
	r.Time = wallTime()
	n.pass(r)
}

// pass sends a record on its way up.
func (n *Node) pass(r journal.Record) {
	if n.sink != nil {
		n.sink.record(&r)
		return
	}
	n.up.Record(r)
}

// emitLife sends a record about a process that exists.
func (n *Node) emitLife(event string, ref tree.Ref) {
	l := n.life(ref)
	if l == nil {
		panic(fmt.Sprintf("the core speaks of %s of %v, which has no process", event, ref))
	}
	r := journal.Record{Event: event, Path: l.path, Kind: l.kind.String(), Pid: l.pid, Incarnation: ref.Incarnation}
	if event == journal.Spawn {
		r.Restarts = n.core.Restarts()
	}
	n.emit(r)
}
