// Package stage plays a scenario on real processes: real nodes, and workers
// that do what the scenario says of them.
//
// The scenario's root is the only child of a node of this process, which
// stands where OTP's test process stands. Every process of the tree that is
// about to start asks the stage, over a unix socket, what comes of its start;
// what happens is told by the nodes' own records.
package stage

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/supertrees/supervise/internal/node"
	"github.com/supertrees/supervise/internal/sim"
	"github.com/supertrees/supervise/tree"
)

// patience bounds every wait for the tree: a scenario that takes longer has failed.
const patience = 30 * time.Second

// World is a sim.World of real processes. The scenario's runner calls it from
// one goroutine; the node and the stage's socket tell it what happens.
type World struct {
	node   *node.Node
	listen *listener
	dir    string
	binary string // of supervise itself: what workers run

	mu       sync.Mutex
	changed  chan struct{} // closed at every change
	programs []*sim.Child  // what a tree.ChildSpec's Program stands for, from 1
	attempts map[string]int
	actors   map[string]*actor // processes that asked what comes of their start, by path
	procs    map[string]*proc  // what is known of each path from the records
	simple   map[string]bool   // simple_one_for_one supervisors, by path
	flags    map[string]tree.AutoShutdown
	runs     map[string]*sim.Child // what each supervisor that asked is
	last     map[string]string     // the class of each path's last end
	events   []sim.Event
	count    int // of everything that was ever told
	answers  map[int]sim.Answer
	unsure   map[int]string // answers that wait for the class of this path's end
	open     int            // requests without an answer
}

// proc is a path as the records show it.
type proc struct {
	kind        tree.Kind
	pid         int
	incarnation uint64
	up          bool
	stopping    bool
}

// newWorld makes a stage for one scenario, in a directory of its own.
func newWorld(binary string) (*World, error) {
	dir, err := os.MkdirTemp("", "supervise-stage-")
	if err != nil {
		return nil, fmt.Errorf("making a directory for the stage: %w", err)
	}
	w := &World{
		dir: dir, binary: binary, changed: make(chan struct{}),
		attempts: map[string]int{}, actors: map[string]*actor{}, procs: map[string]*proc{},
		simple: map[string]bool{}, flags: map[string]tree.AutoShutdown{}, runs: map[string]*sim.Child{}, last: map[string]string{},
		answers: map[int]sim.Answer{}, unsure: map[int]string{},
	}
	if w.listen, err = listen(filepath.Join(dir, "stage"), w); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return w, nil
}

// path is a scenario's path as the tree has it, and scenarioPath the reverse.
func path(scenario string) string     { return "/" + scenario }
func scenarioPath(path string) string { return strings.TrimPrefix(path, "/") }

// Boot starts the root, as a child that is forgotten when it ends.
func (w *World) Boot(key int, root *sim.Child) {
	spec, subtree := w.supervisor(path(root.Spec.ID), root)
	spec.Restart, spec.Shutdown = tree.Temporary, tree.Stop{Mode: tree.Infinity}
	w.ask(key, node.Request{Verb: node.Add, Path: "/", Child: &spec, Subtree: subtree}, "")
}

// Stop orders the root to stop.
func (w *World) Stop(key int) {
	if _, up := w.proc("/root"); !up {
		w.answer(key, sim.Answer{})
		return
	}
	w.ask(key, node.Request{Verb: node.Stop, Path: "/root"}, "")
}

// Call puts a request to a supervisor.
func (w *World) Call(key int, call sim.Call) {
	sup := path(call.Sup)
	if p, up := w.proc(sup); !up && (p == nil || p.kind != tree.KindSupervisor) {
		w.answer(key, sim.Answer{Exit: "noproc"})
		return
	}
	r := node.Request{Path: sup + "/" + call.Ref.ID, Incarnation: call.Ref.Incarnation}
	switch call.Op {
	case sim.OpStartChild:
		w.startChild(key, sup, call)
		return
	case sim.OpTerminateChild:
		r.Verb = node.Stop
	case sim.OpDeleteChild:
		r.Verb = node.Remove
	case sim.OpRestartChild:
		r.Verb = node.Start
	case sim.OpGetChildspec:
		r.Verb = node.Spec
	case sim.OpWhichChildren:
		r = node.Request{Verb: node.Which, Path: sup}
	case sim.OpCountChildren:
		r = node.Request{Verb: node.Count, Path: sup}
	default:
		w.answer(key, sim.Answer{Answer: tree.Answer{Err: "badarg"}})
		return
	}
	w.ask(key, r, sup)
}

// startChild adds a child, or an instance. A spec that is wrong on purpose has
// values that no wire carries, so it is checked here, as its supervisor would.
func (w *World) startChild(key int, sup string, call sim.Call) {
	r := node.Request{Verb: node.Add, Path: sup}
	if call.Child != nil {
		if err := tree.CheckChild(&call.Child.Spec, w.flags[sup]); err != nil {
			w.answer(key, sim.Answer{Answer: tree.Answer{Err: err.Error()}})
			return
		}
		if call.Child.Spec.Kind == tree.KindSupervisor {
			spec, subtree := w.supervisor(sup+"/"+call.Child.Spec.ID, call.Child)
			r.Child, r.Subtree = &spec, subtree
		} else {
			spec := w.spec(call.Child)
			r.Child, r.Worker = &spec, w.worker()
		}
		w.ask(key, r, sup)
		return
	}
	spec := tree.ChildSpec{ID: call.Ref.ID}
	if template := w.template(sup); template != nil {
		instance := *template
		instance.Behaviour = call.Instance.Over(instance.Behaviour)
		spec.Program = w.program(&instance)
	}
	r.Child = &spec
	w.ask(key, r, sup)
}

// ask sends a request without waiting for its answer. sup is the supervisor
// whose end, if it comes first, is the answer; "" for the root's own parent.
func (w *World) ask(key int, r node.Request, sup string) {
	w.mu.Lock()
	w.open++
	simple := w.simple[sup]
	w.mu.Unlock()
	w.node.Post(func() {
		w.node.Handle(r, func(a node.Answer) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.open--
			if sup != "" && (a.Err == "noproc" || a.Err == "shutdown") {
				w.unsure[key] = sup
			} else {
				w.answers[key] = sim.Answer{Answer: a.Answer, Simple: simple}
			}
			w.touch()
		})
	})
}

// Answer gives the answer to what was issued under key, if it has come. Who was
// not answered because its supervisor went gets the class of that end.
func (w *World) Answer(key int) (sim.Answer, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if sup, ok := w.unsure[key]; ok {
		delete(w.unsure, key)
		return sim.Answer{Exit: w.last[sup]}, true
	}
	a, ok := w.answers[key]
	delete(w.answers, key)
	return a, ok
}

func (w *World) answer(key int, a sim.Answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers[key] = a
}

// Exit ends a process, or has it end itself.
func (w *World) Exit(at string, how sim.How) bool {
	at = path(at)
	p, up := w.proc(at)
	if !up || p.kind == tree.KindSupervisor && how != sim.ExitKill {
		return up
	}
	w.mu.Lock()
	p.stopping = true // the step is not over before its end is told
	a := w.actors[at]
	w.mu.Unlock()
	switch {
	case how == sim.ExitKill:
		syscall.Kill(p.pid, syscall.SIGKILL)
	case a != nil:
		a.say("exit " + how.String())
	}
	return true
}

// Release lets a start go on that is blocked at its gate.
func (w *World) Release(at string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.actors[path(at)]
	if a == nil || !a.gated {
		return false
	}
	a.gated = false
	a.say(a.outcome)
	w.touch()
	return true
}

// Advance is refused: real processes have no clock to set.
func (w *World) Advance(time.Duration) {}

// Events gives what happened since it was last asked.
func (w *World) Events() []sim.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	events := w.events
	w.events = nil
	return events
}

// Alive lists the paths of all that lives.
func (w *World) Alive() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var alive []string
	for _, at := range slices.Sorted(maps.Keys(w.procs)) {
		if w.procs[at].up {
			alive = append(alive, scenarioPath(at))
		}
	}
	return alive
}

// Supervisors lists the live ones; none is ever suspended here.
func (w *World) Supervisors(suspended bool) []string {
	if suspended {
		return nil
	}
	var sups []string
	for _, at := range w.Alive() {
		if p, _ := w.proc(path(at)); p.kind == tree.KindSupervisor {
			sups = append(sups, at)
		}
	}
	return sups
}

// Close ends the tree and takes the stage down.
func (w *World) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	w.node.Post(w.node.Stop)
	err := w.node.Wait(ctx)
	w.listen.close()
	if e := os.RemoveAll(w.dir); err == nil {
		err = e
	}
	return err
}

// proc is what is known of a path, and whether it is up.
func (w *World) proc(at string) (*proc, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.procs[at]
	return p, p != nil && p.up
}

// touch wakes whoever waits for a change. The lock is held.
func (w *World) touch() {
	w.count++
	close(w.changed)
	w.changed = make(chan struct{})
}
