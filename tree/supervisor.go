// Package tree decides what a supervisor does next.
//
// A Supervisor is one OTP supervisor as a state machine: events go in, actions
// come out, and there is no clock, no goroutine and no OS in it. OTP's
// supervisor is one process with one mailbox, which does one thing at a time
// (SEMANTICS M-1), and so is this one:
//
//   - a fact (Started, Ready, Exited, …) is recorded the moment it arrives;
//   - what to do about a death, and every request, waits its turn in the queue;
//   - the entry whose turn it is becomes a plan, a list of steps (stop x, start
//     y, reply, quit), and the plan runs until a step has to wait for a fact;
//   - no other entry is looked at before the plan is done.
//
// Each child is in one of the lives of child.go, and moves like this:
//
//	none ── Spawn ──▸ spawning ── Started ──▸ starting ── Ready ──▸ running
//	running ── Exited ──▸ dead ── its turn ──▸ a restart, or none
//	running ── Terminate ──▸ stopping ── Tick ──▸ killed ── Exited ──▸ none
//	a restart that fails ──▸ retry ── its turn ──▸ waiting ── Tick ──▸ Spawn
//	killed ── Stuck ──▸ stuck ── Exited ──▸ what child.after says
//
// Only an order to stop goes past the queue, and interrupts a start.
package tree

import (
	"maps"
	"math/rand/v2"
	"time"
)

// partingTime is what the children have, all together, when the parent is gone.
const partingTime = 5 * time.Second

// Supervisor is the state machine of one supervisor. It is not safe for
// concurrent use.
type Supervisor struct {
	spec     Spec // the flags; its Children are the list's, or the template
	children list
	restarts window
	random   rand.PCG

	queue queue
	plan  plan

	timers timers
	hurry  time.Duration // when what is left gets Kill; < 0: never
	now    time.Duration

	booted    bool
	suspended bool
	ending    bool
	ended     bool
	quit      Quit // what Quit will say

	significant int               // significant children that are not undefined
	dynRestarts int               // OTP's dynamic_restarts, see countChildren
	nextNumber  uint64            // the next instance's ID, SimpleOneForOne
	last        map[string]uint64 // the highest incarnation of ids without a child
	stuck       int               // how many children are lifeStuck
	grouped     int               // how many are lifeGrouped

	out []Action
}

// New makes a supervisor from a spec that Check accepts. All randomness (the
// backoff's jitter) comes from the seed.
func New(spec Spec, seed uint64) *Supervisor {
	s := &Supervisor{
		spec:       spec,
		children:   list{byID: make(map[string]*child, len(spec.Children))},
		random:     *rand.NewPCG(seed, seed),
		nextNumber: 1,
		hurry:      -1,
		last:       maps.Clone(spec.Incarnations),
	}
	s.spec.Incarnations = nil
	if spec.Strategy == SimpleOneForOne {
		return s
	}
	block := make([]child, len(spec.Children))
	for i := range block {
		block[i].init(spec.Children[i])
		s.children.append(&block[i])
	}
	s.spec.Children = nil
	return s
}

// Step takes one event at a time that never runs backwards, and returns what
// is to be done, in order. It always returns at once: an operation that has to
// wait is kept as a plan, and what arrives meanwhile waits in the queue.
func (s *Supervisor) Step(now time.Duration, e Event) []Action {
	s.now = max(s.now, now)
	s.out = nil
	s.take(e)
	s.run()
	return s.out
}

// take records a fact at once and queues what has to wait its turn.
func (s *Supervisor) take(e Event) {
	switch e := e.(type) {
	case Boot:
		s.boot()
	case Started:
		s.started(e.Ref)
	case Ready:
		s.ready(e.Ref)
	case Ignored:
		s.ignored(e.Ref)
	case SpawnFailed:
		s.spawnFailed(e)
	case Exited:
		s.exited(e)
	case Stuck:
		s.becameStuck(e.Ref)
	case Tick:
		s.tick()
	case Shutdown:
		s.order(CauseOrder)
	case ParentGone:
		s.order(CauseParentGone)
		s.hurryAt(s.now + partingTime)
	case Hurry:
		s.order(CauseOrder)
		s.hurryAt(s.now)
	default:
		s.request(e)
	}
}

// run does the plan, and takes the next entry when there is none, until a
// step has to wait. Each turn ends a step or uses up an entry.
func (s *Supervisor) run() {
	for s.plan.wait == waitNothing && !s.ended {
		if step, ok := s.plan.head(); ok {
			s.begin(step)
			continue
		}
		s.plan.clear()
		s.regroup()
		e, ok := s.queue.pop(s.suspended)
		if !ok {
			return
		}
		s.decide(e)
	}
}

// decide turns the entry whose turn it is into a plan.
func (s *Supervisor) decide(e entry) {
	switch e.kind {
	case entryDeath:
		s.decideDeath(e.ref)
	case entryRetry:
		s.decideRetry(e)
	case entryRequest:
		s.decideRequest(e.request)
	}
}

// Deadline says when the next Tick is due. After a Tick at t it is later than t.
func (s *Supervisor) Deadline() (at time.Duration, ok bool) {
	if s.ended {
		return 0, false
	}
	at, ok = s.timers.next()
	if s.hurry > s.now && (!ok || s.hurry < at) {
		return s.hurry, true
	}
	return at, ok
}

// tick does what has come due: KILL and start timeouts act at once, a backoff
// that is over only takes its place in the queue.
func (s *Supervisor) tick() {
	if s.ended {
		return
	}
	for c := s.timers.due(s.now); c != nil; c = s.timers.due(s.now) {
		switch c.life {
		case lifeStopping:
			s.kill(c)
		case lifeStarting:
			c.err = "timeout"
			s.kill(c)
		case lifeWaiting:
			s.waited(c)
		}
	}
	if s.hurried() {
		s.hurryUp()
	}
}

// Children lists the children in start order. It is a look at the state and no event.
func (s *Supervisor) Children() []Child {
	children := make([]Child, 0, len(s.children.byID))
	for c := s.children.head; c != nil; c = c.next {
		children = append(children, Child{Spec: c.spec, Ref: c.ref, State: c.state()})
	}
	return children
}

// Mode says whether the machine is idle with an empty queue, blocked in an
// operation, or suspended.
func (s *Supervisor) Mode() Mode {
	switch {
	case s.ended:
		return Ended
	case s.plan.wait != waitNothing:
		return Blocked
	case s.suspended:
		return Suspended
	default:
		return Idle
	}
}

// Mode is what a supervisor is doing.
type Mode uint8

// The modes.
const (
	Idle Mode = iota
	Blocked
	Suspended
	Ended
)

// Child is one child as Children lists it.
type Child struct {
	Spec  ChildSpec
	Ref   Ref
	State State
}

// State is what a child is doing.
type State uint8

// The states of the contract's status.
const (
	StateDown State = iota
	StateWaiting
	StateStarting
	StateRunning
	StateStopping
	StateStuck
)

func (s *Supervisor) do(a Action) {
	if s.out == nil {
		s.out = make([]Action, 0, 4)
	}
	s.out = append(s.out, a)
}

// chance is even over [0, 1).
func (s *Supervisor) chance() float64 { return float64(s.random.Uint64()>>11) / (1 << 53) }

// add puts a child at the end of the start order.
func (s *Supervisor) add(spec ChildSpec) *child {
	c := &child{}
	c.init(spec)
	s.children.append(c)
	return c
}

// forget takes a child and its spec away.
func (s *Supervisor) forget(c *child) {
	s.set(c, lifeNone)
	if !c.numbered && c.ref.Incarnation > 0 {
		if s.last == nil {
			s.last = make(map[string]uint64)
		}
		s.last[c.spec.ID] = c.ref.Incarnation
	}
	s.children.remove(c)
	s.do(Down{Ref: c.ref, Forgotten: true})
}

// set is the only place where a life changes: it keeps the counts and ends
// the timeout of the life before.
func (s *Supervisor) set(c *child, l life) {
	s.timers.clear(c)
	s.count(c, -1)
	c.life = l
	s.count(c, 1)
}

// count adds c to what is counted of the children, or takes it off.
func (s *Supervisor) count(c *child, n int) {
	if c.spec.Significant && (c.hasPid() || c.restarting()) {
		s.significant += n
	}
	switch c.life {
	case lifeStuck:
		s.stuck += n
	case lifeGrouped:
		s.grouped += n
	}
}

// setStuck leaves a child to its process, which would not die.
func (s *Supervisor) setStuck(c *child, then after) {
	s.timers.clear(c)
	s.count(c, -1)
	c.life, c.after = lifeStuck, then
	s.count(c, 1)
}

// find gives the child whose present life is ref, or nil (SEMANTICS M-2).
func (s *Supervisor) find(ref Ref) *child {
	if c := s.children.byID[ref.ID]; c != nil && c.ref == ref {
		return c
	}
	return nil
}
