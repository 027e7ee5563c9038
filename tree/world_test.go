package tree_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/supertrees/supervise/backoff"
	"github.com/supertrees/supervise/tree"
)

// world is a whole tree in virtual time: a core for each supervisor, and
// processes that do what chance says until the faults are used up, and what
// they should from then on. It holds the invariants at every event.
type world struct {
	*rand.Rand
	now      time.Duration
	root     *node
	nodes    []*node // live supervisors
	mail     []letter
	faults   int
	wild     bool // requests, stale events and late answers too
	tags     uint64
	asked    map[uint64]*node // requests without an answer
	journals bool
	hash     uint64 // of the journal, where it is kept
	steps    int
	show     func(*node, tree.Event, []tree.Action) // nil: nobody looks
	broken   string                                 // the first invariant that did not hold
}

// letter is an event on its way to a supervisor.
type letter struct {
	to *node
	e  tree.Event
}

// node is one life of a supervisor.
type node struct {
	core     *tree.Supervisor
	spec     tree.Spec
	below    map[string]tree.Spec // specs of the child supervisors, by id
	proc     *proc                // nil: the root
	procs    []*proc              // the latest life of each child
	booting  bool
	up       bool
	ending   bool
	ended    bool
	handled  bool // by requests, so that restarts cannot be counted from outside
	last     int  // the place of the child that an ordered batch touched last
	restarts []int64
	incs     map[string]uint64 // of each child id, the highest incarnation
}

// proc is one life of a child.
type proc struct {
	of     *node
	ref    tree.Ref
	spec   *tree.ChildSpec
	node   *node // of a child supervisor that got that far
	place  int   // in the start order, where it does not change
	live   bool
	told   bool // its end is on its way to its supervisor, or was told
	up     bool
	killed bool
	stuck  bool
	due    time.Duration // when a Kill must have come; 0: no order to stop
	deaf   bool          // it does not stop when asked
}

func (w *world) fail(format string, args ...any) {
	if w.broken == "" {
		w.broken = fmt.Sprintf("step %d, at %v: ", w.steps, w.now) + fmt.Sprintf(format, args...)
	}
}

func (w *world) one(in int) bool { return w.IntN(in) == 0 }

// fault says whether something goes wrong now, once in so many chances.
func (w *world) fault(in int) bool {
	if w.faults == 0 || !w.one(in) {
		return false
	}
	w.faults--
	return true
}

func (w *world) send(to *node, e tree.Event) { w.mail = append(w.mail, letter{to, e}) }

// boot starts a supervisor.
func (w *world) boot(spec tree.Spec, below map[string]tree.Spec, p *proc) *node {
	if err := tree.Check(spec); err != nil {
		w.fail("the world made a wrong spec: %v", err)
	}
	n := &node{core: tree.New(spec, w.Uint64()), spec: spec, below: below, proc: p, booting: true, last: -1}
	w.nodes = append(w.nodes, n)
	w.step(n, tree.Boot{})
	return n
}

// step steps a core, holds the invariants and does what was decided.
func (w *world) step(n *node, e tree.Event) {
	if n.ended {
		return
	}
	w.steps++
	w.look(n, e)
	actions := n.core.Step(w.now, e)
	w.journal(n, e, actions)
	if w.show != nil {
		w.show(n, e, actions)
	}
	if len(actions) > 0 && w.stale(n, e) {
		w.fail("%s is stale, and did something: %v", words(e), actions)
	}
	for _, a := range actions {
		w.act(n, a)
	}
	if _, ok := e.(tree.Tick); ok {
		if at, ok := n.core.Deadline(); ok && at <= w.now {
			w.fail("after a Tick at %v the deadline is %v", w.now, at)
		}
	}
}

// look notes what an event that is about to be stepped does to the node's state.
func (w *world) look(n *node, e tree.Event) {
	switch e.(type) {
	case tree.Shutdown, tree.ParentGone, tree.Hurry:
		n.end()
	}
}

// end begins the last batch, in reverse order.
func (n *node) end() {
	if !n.ending {
		n.ending, n.last = true, 1<<30
	}
}

// stale says that an event is about a life that is not the present one, or
// that has ended already.
func (w *world) stale(n *node, e tree.Event) bool {
	var ref tree.Ref
	switch e := e.(type) {
	case tree.Started:
		ref = e.Ref
	case tree.Ready:
		ref = e.Ref
	case tree.Exited:
		ref = e.Ref
	default:
		return false
	}
	p := n.find(ref.ID)
	return p == nil || p.ref != ref && p.ref.Incarnation > ref.Incarnation+uint64(1)
}

func (n *node) find(id string) *proc {
	for _, p := range n.procs {
		if p.ref.ID == id {
			return p
		}
	}
	return nil
}

// journal folds what was stepped into one number: the same seed, the same number.
func (w *world) journal(n *node, e tree.Event, actions []tree.Action) {
	if !w.journals {
		return
	}
	text, err := json.Marshal(actions)
	if err != nil {
		w.fail("%v", err)
	}
	for _, b := range append([]byte(fmt.Sprintf("%v %T%v", w.now, e, e)), text...) {
		w.hash = (w.hash ^ uint64(b)) * 1099511628211
	}
}

func words(e any) string { return strings.TrimPrefix(fmt.Sprintf("%T%v", e, e), "tree.") }

// act does one action.
func (w *world) act(n *node, action tree.Action) {
	switch a := action.(type) {
	case tree.Spawn:
		w.spawn(n, a.Ref)
	case tree.Terminate:
		if p := w.present(n, a.Ref, action); p != nil {
			w.terminate(p, a.Time)
		}
	case tree.Kill:
		if p := w.present(n, a.Ref, action); p != nil {
			w.kill(p)
		}
	case tree.Up:
		if p := w.present(n, a.Ref, action); p != nil {
			p.up = true
		}
	case tree.Booted:
		n.booting, n.up = false, true
		if n.proc != nil {
			w.send(n.proc.of, tree.Ready{Ref: n.proc.ref})
		}
	case tree.Reply:
		if w.asked[a.Tag] != n {
			w.fail("an answer to nobody, or a second one: %v", a)
		}
		delete(w.asked, a.Tag)
	case tree.Report:
		if a.Context == tree.ShutdownReport || n.booting && a.Context == tree.StartError {
			n.end()
		}
	case tree.Quit:
		w.quit(n, a)
	case tree.Failed, tree.Waiting, tree.Down:
	}
}

// present holds that an action names the present life of a child.
func (w *world) present(n *node, ref tree.Ref, a tree.Action) *proc {
	p := n.find(ref.ID)
	if p == nil || p.ref != ref {
		w.fail("%s names no present life", words(a))
		return nil
	}
	return p
}

func (w *world) spawn(n *node, ref tree.Ref) {
	p := n.find(ref.ID)
	if p == nil {
		p = &proc{place: len(n.procs)}
		n.procs = append(n.procs, p)
	} else if p.live {
		w.fail("%v is spawned while %v lives", ref, p.ref)
	} else if ref.Incarnation <= p.ref.Incarnation {
		w.fail("%v is spawned after %v", ref, p.ref)
	}
	if n.ending {
		w.fail("%v is spawned by a supervisor that ends", ref)
	}
	if n.booting && !w.wild && p.place < n.last {
		w.fail("%v is spawned out of order at boot", ref)
	}
	n.last = p.place
	w.counted(n, ref)
	*p = proc{of: n, ref: ref, place: p.place, live: true, spec: n.childSpec(ref.ID)}
	w.outcome(n, p)
}

func (n *node) childSpec(id string) *tree.ChildSpec {
	for i := range n.spec.Children {
		if n.spec.Children[i].ID == id || n.spec.Strategy == tree.SimpleOneForOne {
			return &n.spec.Children[i]
		}
	}
	return &tree.ChildSpec{ID: id}
}

// counted holds that a one_for_one supervisor, which starts one child a
// restart, makes no more than its intensity within its period.
func (w *world) counted(n *node, ref tree.Ref) {
	if n.booting || n.handled || n.spec.Strategy != tree.OneForOne || n.spec.Intensity == tree.Unlimited {
		return
	}
	second := int64(w.now / time.Second)
	if w.wild { // backoff: a restart is counted before its delay
		return
	}
	n.restarts = slices.DeleteFunc(n.restarts, func(s int64) bool { return s < second-n.spec.Period })
	n.restarts = append(n.restarts, second)
	if len(n.restarts) > int(n.spec.Intensity) {
		w.fail("%v is restart %d within %d s, of %d", ref, len(n.restarts), n.spec.Period, n.spec.Intensity)
	}
}

// outcome lets a start end in one of its ways.
func (w *world) outcome(n *node, p *proc) {
	p.deaf = w.fault(12)
	switch {
	case w.fault(15):
		p.live, p.told = false, true
		w.send(n, tree.SpawnFailed{Ref: p.ref, Err: "enoent", Passing: w.one(2)})
		return
	case w.fault(15):
		w.send(n, tree.Started{Ref: p.ref})
		w.die(p, tree.ReasonAbnormal)
		return
	case w.wild && w.fault(20) && p.spec.Start != tree.AtExec:
		p.live, p.told = false, true
		w.send(n, tree.Ignored{Ref: p.ref})
		return
	}
	w.send(n, tree.Started{Ref: p.ref})
	if spec, ok := n.below[p.ref.ID]; ok {
		if w.wild {
			spec.Incarnations = n.incs
		}
		p.node = w.boot(spec, nil, p)
		return
	}
	late := w.wild && p.spec.StartTimeout > 0 && w.fault(5) // it never says so
	if p.spec.Start != tree.AtExec && !late {
		w.send(n, tree.Ready{Ref: p.ref})
	}
}

// terminate orders a process to stop.
func (w *world) terminate(p *proc, within time.Duration) {
	n := p.of
	if n.ending && !p.up {
		n.last = 1 << 30 // the start that the order interrupted goes first
	} else if n.ending && n.spec.Strategy != tree.SimpleOneForOne && !w.wild {
		if p.place >= n.last {
			w.fail("%v is stopped out of order", p.ref)
		}
		n.last = p.place
	}
	if within > 0 {
		p.due = w.now + within
	}
	switch {
	case !p.live:
	case p.node != nil:
		w.send(p.node, tree.Shutdown{})
	case !p.deaf || within == 0:
		w.die(p, tree.ReasonShutdown)
	}
}

func (w *world) kill(p *proc) {
	p.killed = true
	switch {
	case !p.live:
	case p.node != nil:
		w.crash(p.node)
	case w.wild && !p.stuck && w.fault(3):
		p.stuck = true
		w.send(p.of, tree.Stuck{Ref: p.ref})
	default:
		w.die(p, tree.ReasonKilled)
	}
}

// die ends a process that has nothing below it.
func (w *world) die(p *proc, reason tree.Reason) {
	if !p.live {
		return
	}
	p.live, p.told = false, true
	w.send(p.of, tree.Exited{Ref: p.ref, Reason: reason})
}

// crash ends a supervisor by SIGKILL. What is below it is gone before its own
// supervisor hears of it.
func (w *world) crash(n *node) {
	w.bury(n)
	for _, p := range n.procs {
		if p.live && p.node != nil && !p.node.ended {
			w.crash(p.node)
		}
		p.live = false
	}
	if n.proc != nil {
		w.die(n.proc, tree.ReasonKilled)
	}
}

func (w *world) bury(n *node) {
	n.ended = true
	maps.DeleteFunc(w.asked, func(_ uint64, of *node) bool { return of == n })
	w.nodes = slices.DeleteFunc(w.nodes, func(x *node) bool { return x == n })
}

// quit holds that a supervisor ends after its children.
func (w *world) quit(n *node, q tree.Quit) {
	for _, p := range n.procs {
		if p.live && !slices.Contains(q.Stuck, p.ref) {
			w.fail("quit while %v lives", p.ref)
		}
	}
	for _, of := range w.asked {
		if of == n {
			w.fail("quit without an answer")
		}
	}
	if n.core.Mode() != tree.Ended {
		w.fail("quit, and the mode is %v", n.core.Mode())
	}
	for _, p := range n.procs {
		p.live = false // what is stuck dies with the cgroup
	}
	w.bury(n)
	if n.proc != nil {
		w.die(n.proc, q.Reason)
	}
}

// plant makes a random tree of three levels.
func plant(w *world) (tree.Spec, map[string]tree.Spec) {
	below := map[string]tree.Spec{}
	root := w.supervisor(3)
	for i := range 2 {
		id := string(rune('s' + i))
		root.Children = append(root.Children, w.child(id, tree.KindSupervisor, root.AutoShutdown))
		below[id] = w.supervisor(3)
		if w.wild && w.one(6) {
			pool := below[id]
			pool.Strategy, pool.Children = tree.SimpleOneForOne, pool.Children[:1]
			below[id] = pool
		}
	}
	return root, below
}

func (w *world) supervisor(workers int) tree.Spec {
	spec := tree.Spec{
		Strategy:  tree.Strategy(w.IntN(3)),
		Intensity: tree.Intensity(w.IntN(4)),
		Period:    int64(1 + w.IntN(5)),
	}
	if w.wild {
		spec.AutoShutdown = tree.AutoShutdown(w.IntN(3))
		if w.one(4) {
			spec.Intensity = tree.Unlimited
		}
	}
	for i := range workers {
		spec.Children = append(spec.Children, w.child(string(rune('a'+i)), tree.KindWorker, spec.AutoShutdown))
	}
	return spec
}

func (w *world) child(id string, kind tree.Kind, auto tree.AutoShutdown) tree.ChildSpec {
	spec := tree.ChildSpec{ID: id, Kind: kind, Start: tree.Acknowledged,
		Shutdown: tree.Stop{Mode: tree.StopTime, Time: time.Duration(1+w.IntN(5)) * time.Second}}
	if kind == tree.KindSupervisor {
		spec.Shutdown = tree.Stop{Mode: tree.Infinity}
	}
	if !w.wild {
		return spec
	}
	spec.Restart = tree.Restart(w.IntN(4))
	spec.Significant = auto != tree.Never && spec.Restart != tree.Permanent && w.one(3)
	if kind == tree.KindWorker {
		spec.Start = tree.Start(w.IntN(3))
		spec.Shutdown.Mode = tree.StopMode(w.IntN(3))
	}
	if w.one(2) && kind == tree.KindWorker {
		spec.StartTimeout = time.Duration(1+w.IntN(20)) * time.Second
	}
	if w.one(2) {
		spec.Backoff = backoff.Default()
		spec.Backoff.Kind = backoff.Kind(w.IntN(4))
	}
	return spec
}
