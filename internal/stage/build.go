package stage

import (
	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/internal/sim"
	"github.com/supertrees/supervise/tree"
)

// program gives what a child does its number.
func (w *World) program(c *sim.Child) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.programs = append(w.programs, c)
	return uint64(len(w.programs))
}

// spec is a child's spec for the core. Every child acknowledges its start.
func (w *World) spec(c *sim.Child) tree.ChildSpec {
	spec := c.Spec
	spec.Program = w.program(c)
	return spec
}

// worker is how every worker of a stage is run: it asks what it is to do.
func (w *World) worker() *child.Process {
	return &child.Process{Command: []string{w.binary}, Channel: "frames"}
}

// supervisor is a child supervisor with all that is below it. What is wrong
// with it on purpose stays here: its process is told that its start fails.
func (w *World) supervisor(at string, c *sim.Child) (tree.ChildSpec, *child.Subtree) {
	spec := w.spec(c)
	s := &child.Subtree{Path: at, Spec: c.Flags, Containment: child.LevelBasic}
	s.Spec.FrozenClock = true
	w.mu.Lock()
	w.simple[at] = c.Flags.Strategy == tree.SimpleOneForOne
	w.flags[at] = c.Flags.AutoShutdown
	w.mu.Unlock()
	if flaw(c) != nil {
		s.Spec = tree.Spec{Period: 1}
		return spec, s
	}
	for _, x := range c.Children {
		if x.Spec.Kind == tree.KindSupervisor {
			xspec, sub := w.supervisor(at+"/"+x.Spec.ID, x)
			s.Spec.Children = append(s.Spec.Children, xspec)
			s.Put(x.Spec.ID, nil, sub)
			continue
		}
		s.Spec.Children = append(s.Spec.Children, w.spec(x))
		s.Put(x.Spec.ID, w.worker(), nil)
	}
	return spec, s
}

// flaw is what OTP's validation says of a supervisor's own specs.
func flaw(c *sim.Child) error {
	spec := c.Flags
	for _, x := range c.Children {
		spec.Children = append(spec.Children, x.Spec)
	}
	return tree.Check(spec)
}

// template is the only child of a simple_one_for_one supervisor, or nil.
func (w *World) template(sup string) *sim.Child {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.runs[sup]
	if c == nil || !w.simple[sup] {
		return nil
	}
	return c.Children[0]
}
