package stage

import (
	"encoding/json"
	"net"
	"path/filepath"
	"slices"
	"strings"

	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/internal/output"
	"github.com/supertrees/supervise/internal/sim"
	"github.com/supertrees/supervise/tree"
)

// The World is the upstream of its node: what happened comes here, in causal order.

// Flush has nothing to do: every record is taken at once.
func (w *World) Flush() {}

// Output is what children print, which is no part of a trace.
func (w *World) Output(output.Batch) {}

// Ready says that the node above the scenario's root runs.
func (w *World) Ready() {}

// Stopping is no part of a trace.
func (w *World) Stopping() {}

// Failed cannot be: that node has no children at first.
func (w *World) Failed(string) {}

// Record takes what a node of the tree tells.
func (w *World) Record(r journal.Record) {
	if r.Path == "/" {
		return
	}
	if r.Event == journal.Exit && r.Kind == tree.KindSupervisor.String() {
		w.listen.settleSink() // what orphans below it told comes first
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.touch()
	w.take(&r)
}

func (w *World) take(r *journal.Record) {
	switch r.Event {
	case journal.Spawn:
		w.procs[r.Path] = &proc{kind: kind(r.Kind), pid: r.Pid, incarnation: r.Incarnation}
		w.showGate(r.Path)
	case journal.Start:
		if p := w.present(r); p != nil {
			p.up = true
			w.emit(sim.Event{Kind: sim.Started, Path: r.Path, Of: p.kind, Incarnation: r.Incarnation})
		}
	case journal.Stopping, journal.Kill:
		if p := w.present(r); p != nil {
			p.stopping = true
		}
	case journal.Exit:
		w.exited(r)
	case journal.Ignore:
		delete(w.procs, r.Path)
		w.emit(sim.Event{Kind: sim.Ignored, Path: r.Path, Of: kind(r.Kind)})
	case journal.Failed:
		w.emit(sim.Event{Kind: sim.StartError, Path: r.Path, Of: kind(r.Kind), Reason: r.Error})
	case journal.Report:
		w.emit(sim.Event{
			Kind: sim.Report, Path: r.Path, Context: r.Context, Child: r.Child, Reason: r.Reason, Count: r.Count,
			Parallel: w.simple[r.Path] && r.Context == tree.ShutdownError.String(),
		})
	}
}

// exited takes an end, and tells those that a killed node took with it.
func (w *World) exited(r *journal.Record) {
	p := w.present(r)
	if p == nil {
		return
	}
	delete(w.procs, r.Path)
	w.last[r.Path] = r.Reason
	if p.up {
		w.stopped(r.Path, p, r.Reason)
	}
	var below []string
	for at := range w.procs {
		if strings.HasPrefix(at, r.Path+"/") {
			below = append(below, at)
		}
	}
	slices.Sort(below)
	for _, at := range below {
		q := w.procs[at]
		delete(w.procs, at)
		w.last[at] = tree.ReasonKilled.String()
		if q.up {
			w.stopped(at, q, tree.ReasonKilled.String())
		}
	}
}

func (w *World) stopped(at string, p *proc, reason string) {
	parent := at[:strings.LastIndexByte(at, '/')]
	w.emit(sim.Event{
		Kind: sim.Stopped, Path: at, Of: p.kind, Incarnation: p.incarnation, Reason: reason, Parallel: w.simple[parent],
	})
}

// showGate tells that a start is blocked, once its spawn and its question
// have both come: the one over the link, the other over the socket.
func (w *World) showGate(at string) {
	a, p := w.actors[at], w.procs[at]
	if a != nil && p != nil && a.gated && !a.shown && a.pid == p.pid {
		a.shown = true
		w.emit(sim.Event{Kind: sim.Gate, Path: at})
	}
}

// present is the process that a record speaks of, if it is its path's present one.
func (w *World) present(r *journal.Record) *proc {
	if p := w.procs[r.Path]; p != nil && p.incarnation == r.Incarnation {
		return p
	}
	return nil
}

func (w *World) emit(e sim.Event) {
	e.Path = scenarioPath(e.Path)
	w.events = append(w.events, e)
}

func kind(word string) tree.Kind {
	if word == tree.KindSupervisor.String() {
		return tree.KindSupervisor
	}
	return tree.KindWorker
}

// A sink is where a node whose parent was killed still tells what it does.

// SinkPath is the sink of the stage in a directory.
func SinkPath(dir string) string { return filepath.Join(dir, "sink") }

// readSink takes what orphaned nodes tell, until the sink is closed.
func (l *listener) readSink() {
	buffer := make([]byte, 64<<10)
	for {
		n, _, err := l.sink.ReadFrom(buffer)
		if err != nil {
			return
		}
		if n == 1 { // settleSink's own
			l.settled <- struct{}{}
			continue
		}
		var r journal.Record
		if json.Unmarshal(buffer[:n], &r) != nil {
			continue
		}
		l.world.mu.Lock()
		l.world.take(&r)
		l.world.touch()
		l.world.mu.Unlock()
	}
}

// settleSink returns when all that was written to the sink before has been taken.
func (l *listener) settleSink() {
	conn, err := net.Dial("unixgram", SinkPath(l.world.dir))
	if err != nil {
		return
	}
	defer conn.Close()
	if _, err := conn.Write([]byte{'.'}); err == nil {
		<-l.settled
	}
}
