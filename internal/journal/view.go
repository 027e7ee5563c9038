package journal

import (
	"iter"
	"path"
	"time"
	"unique"
)

// Life is one process of the tree that the fold holds to be alive.
type Life struct {
	Path        string
	Kind        string
	Pid         int
	Incarnation uint64
}

// Status is the state of the node at a path with all that is below it; nil if
// there is none. The result is the caller's.
func (f *Fold) Status(at string) *Node {
	if e := f.nodes[at]; e != nil {
		return e.node()
	}
	return nil
}

// Live goes through the live processes below a path (not at it), in the order
// in which a stop would end them.
func (f *Fold) Live(at string) iter.Seq[Life] {
	return func(yield func(Life) bool) {
		e := f.nodes[at]
		if e == nil {
			return
		}
		for c := range e.below() {
			if c.pid != 0 && c.state != StateStuck && !yield(Life{c.path, c.kind(), int(c.pid), c.incarnation}) {
				return
			}
		}
	}
}

// Paths lists every path of the tree in start order, parents first.
func (f *Fold) Paths() []string {
	paths := make([]string, 0, len(f.nodes))
	var visit func(e *entry)
	visit = func(e *entry) {
		paths = append(paths, e.path)
		for _, c := range e.children {
			visit(c)
		}
	}
	if root := f.nodes["/"]; root != nil {
		visit(root)
	}
	return paths
}

// Settled says whether a path is there, and is down for good: nothing of it
// runs, and no decision about it is still to come.
func (f *Fold) Settled(at string) (known, settled bool) {
	e := f.nodes[at]
	return e != nil, e != nil && e.state == StateDown && e.settled
}

// State is the state, pid and incarnation of the node at a path.
func (f *Fold) State(at string) (life Life, state State, known bool) {
	e := f.nodes[at]
	if e == nil {
		return Life{}, StateDown, false
	}
	return Life{e.path, e.kind(), int(e.pid), e.incarnation}, e.state, true
}

// StartError is why the last start of a path failed; "" once it is up.
func (f *Fold) StartError(at string) string {
	if e := f.nodes[at]; e != nil && e.extra != nil {
		return e.extra.failed
	}
	return ""
}

// MayAppear says whether a path that is not there may still come by itself: a
// supervisor above it, or the whole tree, has not told yet what it has.
func (f *Fold) MayAppear(at string) bool {
	for at != "/" {
		at = path.Dir(at)
		if e := f.nodes[at]; e != nil {
			return e.supervisor && (e.state == StateStarting || e.state == StateWaiting)
		}
	}
	return f.nodes["/"] == nil
}

func (e *entry) kind() string {
	if e.supervisor {
		return "supervisor"
	}
	return "worker"
}

func (e *entry) node() *Node {
	n := &Node{
		Path:        e.path,
		Name:        path.Base(e.path),
		Kind:        e.kind(),
		State:       e.state,
		Pid:         int(e.pid),
		Incarnation: e.incarnation,
		Restarts:    int(e.restarts),
		StartedAt:   wall(e.started),
		LastExit:    e.exit.show(),
		Restart:     word(e.restart),
	}
	if x := e.extra; x != nil {
		n.Strategy, n.Containment = x.strategy, x.containment
		n.Delay, n.NextTry, n.Pids = x.delay, x.next, x.pids
		n.Error, n.Text, n.Report = x.failed, x.text, x.report
		if n.LastExit != nil {
			n.LastExit.Cause = x.cause
		}
		if x.name != "" {
			n.Name = x.name
		}
	}
	if e.supervisor {
		n.Children = make([]*Node, len(e.children))
		for i, c := range e.children {
			n.Children[i] = c.node()
		}
	}
	return n
}

func (x exit) show() *LastExit {
	if x.at == 0 {
		return nil
	}
	last := &LastExit{Reason: word(x.reason), Signal: word(x.signal), At: wall(x.at)}
	if x.status >= 0 {
		status := int(x.status)
		last.Status = &status
	}
	return last
}

func wall(nanoseconds int64) time.Time {
	if nanoseconds == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanoseconds).UTC()
}

// word is what a handle stands for; the zero handle stands for nothing.
func word(h unique.Handle[string]) string {
	if h == (unique.Handle[string]{}) {
		return ""
	}
	return h.Value()
}
