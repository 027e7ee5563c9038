package sim

import (
	"maps"
	"slices"

	"github.com/supertrees/supervise/tree"
)

// process is one life of a worker or a supervisor in the virtual World.
type process struct {
	path   string
	ref    tree.Ref
	child  *Child
	parent *process // nil: the root
	gate   Outcome  // what comes of a start that is blocked
	isUp   bool
	dead   bool

	// Of a supervisor:
	core    *tree.Supervisor    // nil before its start got that far
	kids    map[string]*process // the latest life of each child
	left    int                 // killed: child supervisors that are not gone
	key     int                 // root: under which its start or its end is answered
	calls   []int               // keys of requests without an answer
	changes []change            // changes of spec without an answer
	orphan  bool                // its parent was killed
}

// change is a change of spec on its way.
type change struct {
	key   int
	child *Child
}

func (p *process) kind() tree.Kind { return p.child.Spec.Kind }

// instance says whether p is one of a simple_one_for_one supervisor's.
func (p *process) instance() bool {
	return p.parent != nil && p.parent.child.Flags.Strategy == tree.SimpleOneForOne
}

// act does what a core has decided.
func (w *virtual) act(p *process, action tree.Action) {
	switch a := action.(type) {
	case tree.Spawn:
		w.spawn(p, a)
	case tree.Terminate:
		w.signal(p.kid(a.Ref), terminate)
	case tree.Kill:
		w.signal(p.kid(a.Ref), kill)
	case tree.Up:
		k := p.kid(a.Ref)
		k.isUp = true
		w.up[k.path] = k
		w.emit(Event{Kind: Started, Path: k.path, Of: k.kind(), Incarnation: k.ref.Incarnation})
	case tree.Booted:
		w.booted(p)
	case tree.Failed:
		k := p.kids[a.Ref.ID]
		w.emit(Event{Kind: StartError, Path: k.path, Of: k.kind(), Reason: a.Err})
	case tree.Report:
		w.emit(Event{Kind: Report, Path: p.path, Context: a.Context.String(), Child: a.ID, Reason: a.Reason,
			Count: a.Count, Parallel: a.Context == tree.ShutdownError && p.child.Flags.Strategy == tree.SimpleOneForOne})
	case tree.Reply:
		w.reply(p, a)
	case tree.Quit:
		w.quit(p, a)
	case tree.Waiting, tree.Down:
		// A trace does not tell these.
	}
}

func (w *virtual) signal(p *process, s signal) {
	if p != nil {
		w.messages = append(w.messages, message{to: p, signal: s})
	}
}

// kid gives the process of this life, if it is not dead.
func (p *process) kid(ref tree.Ref) *process {
	if k := p.kids[ref.ID]; k != nil && k.ref == ref && !k.dead {
		return k
	}
	return nil
}

// spawn makes the process of a new life, and lets its start end as the
// scenario has it.
func (w *virtual) spawn(p *process, a tree.Spawn) {
	k := &process{path: p.path + "/" + a.Ref.ID, ref: a.Ref, child: w.programs[a.Program-1], parent: p}
	p.kids[a.Ref.ID] = k
	w.lives[p.path][a.Ref.ID] = a.Ref.Incarnation
	n := w.attempts[k.path]
	w.attempts[k.path]++
	w.send(p, tree.Started{Ref: k.ref})
	outcome := k.child.Outcome(n)
	if outcome < GateOK {
		w.begin(k, outcome)
		return
	}
	k.gate = outcome - GateOK
	w.gated[k.path] = k
	w.emit(Event{Kind: Gate, Path: k.path})
}

// begin ends the start of a worker; that of a supervisor goes on with its children's.
func (w *virtual) begin(p *process, outcome Outcome) {
	switch {
	case outcome == Error:
		w.die(p, tree.ReasonAbnormal, "start_error")
	case outcome == Ignore:
		w.emit(Event{Kind: Ignored, Path: p.path, Of: p.kind()})
		w.bury(p)
		w.send(p.parent, tree.Ignored{Ref: p.ref})
	case p.kind() == tree.KindWorker:
		w.send(p.parent, tree.Ready{Ref: p.ref})
	default:
		w.boot(p)
	}
}

func (w *virtual) boot(p *process) {
	if c := w.changes[p.path]; c != nil {
		w.changed(p, c)
	}
	spec := w.flags(p.child)
	if err := tree.Check(spec); err != nil {
		w.die(p, tree.ReasonAbnormal, err.Error())
		return
	}
	if w.lives[p.path] == nil {
		w.lives[p.path] = map[string]uint64{}
	}
	spec.Incarnations = w.lives[p.path]
	p.core, p.kids = tree.New(spec, 0), map[string]*process{}
	w.sups = append(w.sups, p)
	w.send(p, tree.Boot{})
}

func (w *virtual) booted(p *process) {
	if p.parent != nil {
		w.send(p.parent, tree.Ready{Ref: p.ref})
		return
	}
	p.isUp = true
	w.up[p.path] = p
	w.emit(Event{Kind: Started, Path: p.path, Of: p.kind(), Incarnation: p.ref.Incarnation})
	w.answer(p, Answer{})
}

// answer tells whoever started or stopped the root.
func (w *virtual) answer(root *process, a Answer) {
	if root.key >= 0 {
		w.answers[root.key] = a
		root.key = -1
	}
}

// terminate orders a process to stop.
func (w *virtual) terminate(p *process) {
	switch {
	case p.core != nil:
		w.send(p, tree.Shutdown{})
	case !p.isUp || p.child.OnShutdown == ShutdownExit:
		w.die(p, tree.ReasonShutdown, "")
	case p.child.OnShutdown == ShutdownAbnormal:
		w.die(p, tree.ReasonAbnormal, "")
	}
}

// die ends a process that has nothing below it.
func (w *virtual) die(p *process, reason tree.Reason, err string) { w.end(p, reason, err, false) }

// end is die for an end that may have had OTP's {shutdown, Term} as its reason.
func (w *virtual) end(p *process, reason tree.Reason, err string, term bool) {
	w.bury(p)
	if p.isUp {
		w.emit(Event{Kind: Stopped, Path: p.path, Of: p.kind(), Incarnation: p.ref.Incarnation,
			Reason: reason.String(), Parallel: p.instance()})
	}
	if p.parent == nil {
		if !p.isUp {
			w.emit(Event{Kind: StartError, Path: p.path, Of: p.kind(), Reason: err})
			w.answer(p, Answer{Answer: tree.Answer{Err: err}})
			return
		}
		w.answer(p, Answer{})
		return
	}
	if p.orphan {
		w.gone(p.parent)
		return
	}
	w.send(p.parent, tree.Exited{Ref: p.ref, Reason: reason, Err: err, Term: term})
}

// bury takes a dead process out of everything.
func (w *virtual) bury(p *process) {
	p.dead = true
	if w.up[p.path] == p {
		delete(w.up, p.path)
	}
	if w.gated[p.path] == p {
		delete(w.gated, p.path)
	}
	if p.core != nil {
		w.sups = slices.DeleteFunc(w.sups, func(x *process) bool { return x == p })
	}
}

// quit ends a supervisor in order.
func (w *virtual) quit(p *process, q tree.Quit) {
	reason := q.Reason
	if q.Cause == tree.CauseParentGone {
		reason = tree.ReasonKilled // its parent's end is never another
	}
	w.noAnswers(p, reason)
	w.die(p, reason, q.Err)
}

// noAnswers tells those who wait for p that it went.
func (w *virtual) noAnswers(p *process, reason tree.Reason) {
	for _, key := range p.calls {
		w.answers[key] = Answer{Exit: reason.String()}
	}
	p.calls = nil
}

// killed ends a process by SIGKILL. The workers of a supervisor die with it;
// its child supervisors see that their parent is gone, and stop their children
// in order. Its own parent hears of it when all of them are gone (SP-6).
func (w *virtual) killed(p *process) {
	if p.core == nil {
		w.die(p, tree.ReasonKilled, "")
		return
	}
	w.noAnswers(p, tree.ReasonKilled)
	w.bury(p)
	if p.isUp {
		w.emit(Event{Kind: Stopped, Path: p.path, Of: p.kind(), Incarnation: p.ref.Incarnation,
			Reason: tree.ReasonKilled.String(), Parallel: p.instance()})
	}
	for _, id := range slices.Sorted(maps.Keys(p.kids)) {
		k := p.kids[id]
		if k.dead {
			continue
		}
		k.orphan = true
		if k.core != nil {
			p.left++
			w.send(k, tree.ParentGone{})
			continue
		}
		w.bury(k)
		if k.isUp {
			w.emit(Event{Kind: Stopped, Path: k.path, Of: k.kind(), Incarnation: k.ref.Incarnation,
				Reason: tree.ReasonKilled.String(), Parallel: k.instance()})
		}
	}
	w.tellEnd(p)
}

// gone takes a child supervisor off what a killed supervisor waits for.
func (w *virtual) gone(p *process) {
	p.left--
	w.tellEnd(p)
}

// tellEnd tells a killed supervisor's parent of its end, when nothing is left of it.
func (w *virtual) tellEnd(p *process) {
	switch {
	case p.left > 0:
	case p.parent == nil:
		w.answer(p, Answer{})
	case p.orphan:
		w.gone(p.parent)
	default:
		w.send(p.parent, tree.Exited{Ref: p.ref, Reason: tree.ReasonKilled, Err: ""})
	}
}

// reply notes an answer. What a supervisor answers because it ends is told
// when it has: by the class of its end.
func (w *virtual) reply(p *process, r tree.Reply) {
	key := int(r.Tag)
	i := slices.Index(p.calls, key)
	if i < 0 || r.Answer.Err == "shutdown" {
		return
	}
	p.calls = slices.Delete(p.calls, i, i+1)
	a := Answer{Answer: r.Answer, Exit: "", Simple: p.child.Flags.Strategy == tree.SimpleOneForOne}
	if a.Spec != nil {
		a.Spec.Shutdown.Time *= scale
	}
	w.answers[key] = a
	if j := slices.IndexFunc(p.changes, func(c change) bool { return c.key == key }); j >= 0 && r.Answer.Err == "" {
		w.changed(p, p.changes[j].child)
	}
}

// changed keeps a new spec for the lives to come under p's path.
func (w *virtual) changed(p *process, c *Child) {
	w.changes[p.path] = c
	child := *p.child
	child.Flags, child.Children = c.Flags, c.Children
	p.child = &child
}
