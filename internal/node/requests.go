package node

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/internal/output"
	"github.com/supertrees/supervise/tree"
)

// Verb is what a Request asks for.
type Verb string

// The verbs. Those of a child go to the supervisor that has it, those of a
// supervisor to the supervisor itself.
const (
	Start  Verb = "start" // restart_child
	Stop   Verb = "stop"  // terminate_child
	Cycle  Verb = "restart"
	Remove Verb = "remove" // delete_child; of an instance: terminate_child
	Spec   Verb = "spec"   // get_childspec
	Signal Verb = "signal"
	Lines  Verb = "lines" // the last lines that it printed
	// Talk is about a worker's channel: how much waits, and its own figures.
	Talk Verb = "channel"

	Add     Verb = "add" // start_child
	Which   Verb = "which"
	Count   Verb = "count"
	Suspend Verb = "suspend"
	Resume  Verb = "resume"
	Ping    Verb = "ping"
)

// ofSupervisor says which verbs name the supervisor itself.
func (v Verb) ofSupervisor() bool {
	switch v {
	case Add, Which, Count, Suspend, Resume, Ping:
		return true
	}
	return false
}

// Request is a question or an order to the supervisor of a path.
type Request struct {
	Verb        Verb   `json:"verb"`
	Path        string `json:"path"`
	Incarnation uint64 `json:"incarnation,omitempty"` // of an instance; 0: its present one

	// Of Add: the child, or, to a simple_one_for_one supervisor, extra arguments.
	Child   *tree.ChildSpec `json:"child,omitempty"`
	Worker  *child.Process  `json:"worker,omitempty"`
	Subtree *child.Subtree  `json:"subtree,omitempty"`
	Args    []string        `json:"args,omitempty"`

	Signal string `json:"signal,omitempty"` // "HUP"
	// Interrupt lets a stop end the start of that very child (of Stop).
	Interrupt bool `json:"interrupt,omitempty"`
	Lines     int  `json:"lines,omitempty"`
}

// Answer is what came of a Request. Err is OTP's word, "" for ok.
type Answer struct {
	tree.Answer
	Lines []output.Line `json:"lines,omitempty"`
	// Of Ping: what the supervisor is doing, and whether it has not yet done
	// all that follows from what it knows.
	Mode tree.Mode `json:"mode,omitempty"`
	Busy bool      `json:"busy,omitempty"`
	// Channel answers Talk.
	Channel *Channel `json:"channel,omitempty"`
}

// ErrEnded says that the node has quit.
var ErrEnded = errors.New("the tree has ended")

// brought is a child that a request brought and that is not answered yet.
type brought struct {
	Request
	spec tree.ChildSpec
	used bool // the core has spawned it: it is what its name stands for
}

// refused is the answer that names why there is no other.
func refused(word string) Answer { return Answer{Answer: tree.Answer{Err: word}} }

// pending is a request in the core's queue.
type pending struct {
	answer  func(Answer)
	brought *brought // of Add
}

// Handle answers a request, on the node's goroutine: here, or through the
// child node that it is for.
func (n *Node) Handle(r Request, answer func(Answer)) {
	owner := r.Path
	if !r.Verb.ofSupervisor() {
		owner = Parent(r.Path)
	}
	if owner == n.path {
		n.serve(r, answer)
		return
	}
	l := n.toward(owner)
	if l == nil || l.worker != nil || l.ended != nil {
		answer(refused("noproc"))
		return
	}
	n.ask(l, r, answer)
}

// toward is the child node through which a path below is reached.
func (n *Node) toward(path string) *life {
	rest, below := strings.CutPrefix(path, strings.TrimSuffix(n.path, "/")+"/")
	if !below {
		return nil
	}
	id, _, _ := strings.Cut(rest, "/")
	return n.lives[id]
}

// serve answers a request about this supervisor or one of its children.
func (n *Node) serve(r Request, answer func(Answer)) {
	id := r.Path[strings.LastIndexByte(r.Path, '/')+1:]
	ref := tree.Ref{ID: id}
	if n.template() != "" {
		ref.Incarnation = r.Incarnation
		if l := n.lives[id]; l != nil && ref.Incarnation == 0 {
			ref = l.ref
		}
	}
	switch r.Verb {
	case Signal:
		answer(n.signal(id, r.Signal))
	case Lines:
		answer(Answer{Lines: n.pump.Last(n.childPath(id), r.Lines)})
	case Talk:
		n.channel(id, answer)
	case Ping:
		n.reap()
		answer(Answer{Mode: n.core.Mode(), Busy: len(n.events) > 0})
	case Add:
		n.add(r, answer)
	default:
		e := coreRequest(r, n.lastTag+1, ref)
		if e == nil {
			answer(refused("badarg"))
			return
		}
		n.tag(pending{answer: answer})
		n.step(e)
	}
}

// coreRequest is the core's own form of a request; nil if it knows no such verb.
func coreRequest(r Request, tag uint64, ref tree.Ref) tree.Event {
	switch r.Verb {
	case Start:
		return tree.RestartChild{Tag: tag, Ref: ref}
	case Stop:
		return tree.TerminateChild{Tag: tag, Ref: ref, Interrupt: r.Interrupt}
	case Cycle:
		return tree.CycleChild{Tag: tag, Ref: ref}
	case Remove:
		return tree.DeleteChild{Tag: tag, Ref: ref}
	case Spec:
		return tree.GetChildspec{Tag: tag, Ref: ref}
	case Which:
		return tree.WhichChildren{Tag: tag}
	case Count:
		return tree.CountChildren{Tag: tag}
	case Suspend:
		return tree.Suspend{Tag: tag}
	case Resume:
		return tree.Resume{Tag: tag}
	}
	return nil
}

func (n *Node) tag(p pending) uint64 {
	n.lastTag++
	n.asked[n.lastTag] = p
	return n.lastTag
}

// add starts a new child. What it is comes into use when the core spawns it:
// until then the core may refuse it, and another child may have its name.
func (n *Node) add(r Request, answer func(Answer)) {
	if n.template() != "" {
		n.addInstance(r, answer)
		return
	}
	if r.Child == nil || (r.Worker == nil) == (r.Subtree == nil) {
		answer(refused("badarg"))
		return
	}
	n.bring(r, *r.Child, answer)
}

// bring asks the core to start a child that a request brought.
func (n *Node) bring(r Request, spec tree.ChildSpec, answer func(Answer)) {
	b := &brought{Request: r, spec: spec}
	n.added[spec.ID] = append(n.added[spec.ID], b)
	n.step(tree.StartChild{Tag: n.tag(pending{answer: answer, brought: b}), Spec: spec})
}

// addInstance starts an instance of a simple_one_for_one supervisor. Its number
// is not used again in one life of the pool, whatever becomes of the start.
func (n *Node) addInstance(r Request, answer func(Answer)) {
	n.drawn++
	id := strconv.FormatUint(n.drawn, 10)
	instance := n.subtree.Spec.Children[0]
	if r.Child != nil { // a scenario names its instances itself
		id, instance.Program = r.Child.ID, r.Child.Program
	}
	instance.ID = id
	n.bring(r, instance, answer)
}

// answer gives the core's reply to whoever asked.
func (n *Node) answer(a tree.Reply) {
	p, ok := n.asked[a.Tag]
	if !ok {
		return
	}
	delete(n.asked, a.Tag)
	if p.brought != nil {
		n.settleBrought(p.brought, a.Answer.Err != "")
	}
	p.answer(Answer{Answer: a.Answer})
}

// settleBrought drops a request that brought a child, now that it is answered,
// and what it brought if that came to nothing.
func (n *Node) settleBrought(b *brought, failed bool) {
	id := b.spec.ID
	n.added[id] = slices.DeleteFunc(n.added[id], func(x *brought) bool { return x == b })
	if len(n.added[id]) == 0 {
		delete(n.added, id)
	}
	if failed && b.used {
		n.forget(id)
		n.emit(journal.Record{Event: journal.Remove, Path: n.childPath(id)})
	}
}

// signal sends a signal to a child's process.
func (n *Node) signal(id, name string) Answer {
	sig := child.SignalNumber(name)
	l := n.lives[id]
	switch {
	case sig == 0:
		return refused("badarg")
	case l == nil:
		return refused("noproc")
	}
	if err := n.engine.Signal(l.ref, sig); err != nil {
		return refused(err.Error())
	}
	return Answer{}
}

// StartFailed says whether an answer's Err is the reason of a failed start,
// and not a word.
func StartFailed(a Answer) bool {
	switch a.Err {
	case "", "not_found", "running", "restarting", "already_present", "already_started",
		"simple_one_for_one", "noproc", "shutdown", "busy", "stuck", "badarg":
		return false
	}
	for _, spec := range []string{"missing_", "invalid_", "bad_combination:", "duplicate_child_name:"} {
		if strings.HasPrefix(a.Err, spec) {
			return false
		}
	}
	return true
}

// Parent is the path of the supervisor that has the child of a path.
func Parent(path string) string {
	i := strings.LastIndexByte(path, '/')
	if i <= 0 {
		return "/"
	}
	return path[:i]
}

// Ask sends a request to the node and waits for its answer or the context's
// end. queued, if not nil, is called once the request is on its way.
func (n *Node) Ask(ctx context.Context, r Request, queued func()) (Answer, error) {
	answers := make(chan Answer, 1)
	post := func() {
		n.Handle(r, func(a Answer) { answers <- a })
		if queued != nil {
			queued()
		}
	}
	select {
	case n.inbox <- post:
	case <-n.ended:
		return Answer{}, ErrEnded
	case <-ctx.Done():
		return Answer{}, ctx.Err()
	}
	select {
	case a := <-answers:
		return a, nil
	case <-n.ended:
		return Answer{}, ErrEnded
	case <-ctx.Done():
		return Answer{}, ctx.Err()
	}
}
