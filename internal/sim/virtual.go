package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/supertrees/supervise/tree"
)

// clockStart is what a scenario's clock shows at first: a whole second.
const clockStart = 1_000_000_000 * time.Millisecond

// scale is what shutdown times are divided by. A time that runs out must not
// be seen on the clock of the restart windows, which stands still but for
// advance steps.
const scale = time.Millisecond / time.Nanosecond

// maxTurns bounds the work of one step of a scenario.
const maxTurns = 500_000

// virtual is a World in this process. Supervisors are tree.Supervisors;
// workers are nothing but their behaviour. One message is delivered at a time.
type virtual struct {
	now      time.Duration
	root     *process
	up       map[string]*process // what runs, by path
	gated    map[string]*process // what is blocked in its start, by path
	sups     []*process          // live supervisors whose core was made, in order of making
	messages []message
	events   []Event

	programs []*Child // what a tree.ChildSpec's Program stands for, from 1
	attempts map[string]int
	lives    map[string]map[string]uint64 // by supervisor and child: incarnations given out
	changes  map[string]*Child            // by path: the latest change of a supervisor's spec
	answers  map[int]Answer
}

// message is what is on its way to a process: an event to a supervisor, or a
// signal. A signal takes its turn like a message, as in Erlang: whoever was
// written to before acts before.
type message struct {
	to     *process
	e      tree.Event
	signal signal
}

type signal uint8

const (
	noSignal signal = iota
	terminate
	kill
)

// NewVirtual makes a World in virtual time.
func NewVirtual() World {
	return &virtual{
		now:      clockStart,
		up:       map[string]*process{},
		gated:    map[string]*process{},
		attempts: map[string]int{},
		lives:    map[string]map[string]uint64{},
		changes:  map[string]*Child{},
		answers:  map[int]Answer{},
	}
}

func (w *virtual) send(to *process, e tree.Event) {
	if to != nil {
		w.messages = append(w.messages, message{to: to, e: e})
	}
}

func (w *virtual) emit(e Event) { w.events = append(w.events, e) }

// program gives a child its number.
func (w *virtual) program(c *Child) uint64 {
	w.programs = append(w.programs, c)
	return uint64(len(w.programs))
}

// spec is a child's spec as the core gets it.
func (w *virtual) spec(c *Child) tree.ChildSpec {
	spec := c.Spec
	spec.Program = w.program(c)
	spec.Shutdown.Time /= scale
	return spec
}

// flags is a supervisor's own spec, with its children's.
func (w *virtual) flags(c *Child) tree.Spec {
	spec := c.Flags
	for _, x := range c.Children {
		spec.Children = append(spec.Children, w.spec(x))
	}
	return spec
}

func (w *virtual) Boot(key int, root *Child) {
	w.root = &process{path: root.Spec.ID, ref: tree.Ref{ID: root.Spec.ID, Incarnation: 1}, child: root, key: key}
	w.begin(w.root, OK)
}

func (w *virtual) Stop(key int) {
	if w.root.dead {
		w.answers[key] = Answer{}
		return
	}
	w.root.key = key
	w.send(w.root, tree.Shutdown{})
}

func (w *virtual) Advance(by time.Duration) {
	w.now = w.now.Truncate(time.Millisecond) + by
}

func (w *virtual) Exit(path string, how How) bool {
	p := w.up[path]
	switch {
	case p == nil:
		return false
	case p.core == nil:
		w.end(p, how.Reason(), "", how == ExitShutdownTerm)
	case how == ExitKill:
		w.killed(p)
	}
	return true
}

func (w *virtual) Release(path string) bool {
	p := w.gated[path]
	if p == nil {
		return false
	}
	delete(w.gated, path)
	w.begin(p, p.gate)
	return true
}

// Call steps the supervisor at once: its request is in the queue before
// anything else happens.
func (w *virtual) Call(key int, call Call) {
	p := w.up[call.Sup]
	if p == nil || p.core == nil {
		w.answers[key] = Answer{Exit: "noproc"}
		return
	}
	if call.Op != OpResume && call.Op != OpSuspend {
		p.calls = append(p.calls, key)
	}
	if call.Op == OpChangeSpec {
		p.changes = append(p.changes, change{key, call.Child})
	}
	w.send(p, w.request(p, uint64(key), &call))
}

// request is a call as the core gets it.
func (w *virtual) request(p *process, tag uint64, call *Call) tree.Event {
	switch call.Op {
	case OpStartChild:
		return tree.StartChild{Tag: tag, Spec: w.newChild(p, call)}
	case OpTerminateChild:
		return tree.TerminateChild{Tag: tag, Ref: call.Ref}
	case OpDeleteChild:
		return tree.DeleteChild{Tag: tag, Ref: call.Ref}
	case OpRestartChild:
		return tree.RestartChild{Tag: tag, Ref: call.Ref}
	case OpGetChildspec:
		return tree.GetChildspec{Tag: tag, Ref: call.Ref}
	case OpWhichChildren:
		return tree.WhichChildren{Tag: tag}
	case OpCountChildren:
		return tree.CountChildren{Tag: tag}
	case OpSuspend:
		return tree.Suspend{Tag: tag}
	case OpResume:
		return tree.Resume{Tag: tag}
	default:
		return tree.Reload{Tag: tag, Spec: w.flags(call.Child)}
	}
}

// newChild is the spec of start_child: a child, or an instance that differs
// from its template in what it does.
func (w *virtual) newChild(p *process, call *Call) tree.ChildSpec {
	if call.Child != nil {
		return w.spec(call.Child)
	}
	// An ordinary supervisor finds that this is no child spec.
	spec := tree.ChildSpec{ID: call.Ref.ID, Flaw: "invalid_child_spec"}
	if len(p.child.Children) > 0 {
		instance := *p.child.Children[0]
		instance.Behaviour = call.Instance.Over(instance.Behaviour)
		spec.Program = w.program(&instance)
	}
	return spec
}

func (w *virtual) Answer(key int) (Answer, bool) {
	a, ok := w.answers[key]
	delete(w.answers, key)
	return a, ok
}

func (w *virtual) Events() []Event {
	events := w.events
	w.events = nil
	return events
}

// Settle delivers messages until there are none, and then lets the earliest
// shutdown time run out.
func (w *virtual) Settle() error {
	for range maxTurns {
		if len(w.messages) > 0 {
			m := w.messages[0]
			w.messages = w.messages[1:]
			w.deliver(m)
			continue
		}
		p, at := w.earliest()
		if p == nil {
			return nil
		}
		w.now = max(w.now, at)
		w.deliver(message{to: p, e: tree.Tick{}})
	}
	return fmt.Errorf("the tree does not come to rest in %d turns", maxTurns)
}

func (w *virtual) earliest() (first *process, at time.Duration) {
	for _, p := range w.sups {
		if t, ok := p.core.Deadline(); ok && (first == nil || t < at) {
			first, at = p, t
		}
	}
	return first, at
}

func (w *virtual) deliver(m message) {
	switch {
	case m.to.dead:
		return
	case m.signal == terminate:
		w.terminate(m.to)
		return
	case m.signal == kill:
		w.killed(m.to)
		return
	case m.to.core == nil:
		return
	}
	for _, a := range m.to.core.Step(w.now, m.e) {
		w.act(m.to, a)
	}
}

func (w *virtual) Alive() []string {
	paths := make([]string, 0, len(w.up))
	for path := range w.up {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

func (w *virtual) Supervisors(suspended bool) []string {
	var paths []string
	for _, p := range w.sups {
		if w.up[p.path] == p && (p.core.Mode() == tree.Suspended) == suspended {
			paths = append(paths, p.path)
		}
	}
	slices.Sort(paths)
	return paths
}

// Close has nothing to end.
func (w *virtual) Close() error { return nil }
