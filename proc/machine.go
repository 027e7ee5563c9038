package proc

import (
	"context"
	"time"
)

// errPostpone is what a handler of a machine returns by way of Postpone.
const errPostpone Error = "$postpone"

// machine is the part of a Machine that does not depend on the type of its
// states.
type machine struct {
	s         *Server
	state     any
	changed   bool
	postponed []item
	entered   map[any]func(context.Context) error
	timeout   *Timer
}

// Machine is gen_statem: a server whose handlers depend on its state. It is
// for its server's handlers only, and a server has one.
type Machine[S comparable] struct{ m *machine }

// NewMachine makes a machine in its first state. A handler of the server
// itself is for all states that have none of their own. For Init.
func NewMachine[S comparable](s *Server, initial S) *Machine[S] {
	m := &Machine[S]{&machine{s: s, state: initial, entered: map[any]func(context.Context) error{}}}
	s.machine = m.m
	s.Continue(func(context.Context) error { m.m.enter(); return nil })
	return m
}

// State is the present state.
func (m *Machine[S]) State() S { return m.m.state.(S) }

// Next changes the state, after this handler. Going to the present state is
// no change.
func (m *Machine[S]) Next(to S) {
	if to == m.State() {
		return
	}
	m.m.state, m.m.changed = to, true
	if m.m.timeout != nil {
		m.m.timeout.Cancel()
		m.m.timeout = nil
	}
}

// Postpone is what a handler returns to have its event again after the next
// change of state: return rep, m.Postpone().
func (m *Machine[S]) Postpone() error { return errPostpone }

// OnEnter has f run whenever the state is entered; for the first state, after
// Init.
func (m *Machine[S]) OnEnter(in S, f func(context.Context) error) { m.m.entered[in] = f }

// StateTimeout has f run in d, unless the state changes before.
func (m *Machine[S]) StateTimeout(d time.Duration, f func(context.Context) error) {
	if m.m.timeout != nil {
		m.m.timeout.Cancel()
	}
	m.m.timeout = m.m.s.SendAfter(d, f)
}

// Do is an agent's step: on entering the state, once runs and says the next
// one; if it returns an error, fallback does. A fallback to the state itself
// tries again.
func (m *Machine[S]) Do(in S, once func(context.Context) (S, error), fallback func(error) (S, error)) {
	var step func(context.Context) error
	step = func(ctx context.Context) error {
		next, err := once(ctx)
		if err != nil {
			if next, err = fallback(err); err != nil {
				return err
			}
		}
		if next == in {
			m.m.s.Continue(func(ctx context.Context) error {
				if m.State() != in {
					return nil
				}
				return step(ctx)
			})
			return nil
		}
		m.Next(next)
		return nil
	}
	m.OnEnter(in, step)
}

// In is these states, to handle methods in them: Push.Handle(m.In(locked), f).
func (m *Machine[S]) In(states ...S) Where {
	in := make([]any, len(states))
	for i, state := range states {
		in[i] = state
	}
	return &inStates{m.m, in}
}

type inStates struct {
	m  *machine
	in []any
}

func (w *inStates) handle(name string, h handler) {
	m := w.m.s.method(name)
	if m.in == nil {
		m.in = map[any]handler{}
	}
	for _, state := range w.in {
		if m.in[state] != nil {
			panic("proc: method " + name + " is handled twice in a state")
		}
		m.in[state] = h
	}
}

// settle enters a new state and lets postponed events come again, before what
// waits.
func (m *machine) settle() {
	for m.changed {
		m.changed = false
		m.s.box.putBack(m.postponed)
		m.postponed = nil
		m.enter()
	}
}

func (m *machine) enter() {
	f := m.entered[m.state]
	if f == nil {
		return
	}
	if err := m.s.do(&item{job: &job{"entering a state", f}}); err != nil {
		m.s.Stop(err)
	}
	m.settle()
}
