package node

import (
	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/tree"
)

// What a child is: the specs that came with the subtree, and those that
// start_child added. A simple_one_for_one supervisor has one, the template.

// template is the only child spec of a simple_one_for_one supervisor, "" elsewhere.
func (n *Node) template() string {
	if n.subtree.Spec.Strategy != tree.SimpleOneForOne || len(n.subtree.Spec.Children) == 0 {
		return ""
	}
	return n.subtree.Spec.Children[0].ID
}

// specID is the name under which a child's process spec stands.
func (n *Node) specID(id string) string {
	if t := n.template(); t != "" {
		return t
	}
	return id
}

func (n *Node) worker(id string) *child.Process { return n.subtree.Workers[n.specID(id)] }

// supervisor is the subtree of a child node, named by its own path; nil for a worker.
func (n *Node) supervisor(id string) *child.Subtree {
	s := n.subtree.Supervisors[n.specID(id)]
	if s == nil || n.template() == "" {
		return s
	}
	return s.At(n.childPath(id))
}

func (n *Node) kind(id string) tree.Kind {
	if n.subtree.Supervisors[n.specID(id)] != nil {
		return tree.KindSupervisor
	}
	return tree.KindWorker
}

// forget drops what was known of a child whose spec is gone.
func (n *Node) forget(id string) {
	delete(n.args, id)
	n.pump.Forget(n.childPath(id))
	if n.template() != "" {
		return
	}
	delete(n.stops, id)
	delete(n.daemons, id)
	delete(n.subtree.Workers, id)
	delete(n.subtree.Supervisors, id)
}

// announce tells upstream which children there are, before any is started, and
// what is below them, so that status shows the whole tree from the first moment.
func (n *Node) announce() { n.announceAll(n.subtree) }

func (n *Node) announceAll(s *child.Subtree) {
	if s.Spec.Strategy == tree.SimpleOneForOne {
		return // its instances are told of as they come
	}
	for i := range s.Spec.Children {
		c := &s.Spec.Children[i]
		n.announceChild(Below(s.Path, c.ID), c, s.Supervisors[c.ID])
	}
}

// announceChild tells of one child; sub is nil for a worker.
func (n *Node) announceChild(path string, c *tree.ChildSpec, sub *child.Subtree) {
	r := journal.Record{Event: journal.Add, Path: path, Kind: c.Kind.String(), Restart: c.Restart.String()}
	if sub != nil {
		Describe(&r, &sub.Spec)
	}
	n.emit(r)
	if sub != nil {
		n.announceAll(sub.At(path))
	}
}

// Describe puts a supervisor's flags into the record that tells of it.
func Describe(r *journal.Record, s *tree.Spec) {
	r.Strategy, r.Period = s.Strategy.String(), s.Period
	if s.Intensity != tree.Unlimited {
		limit := int64(s.Intensity)
		r.Intensity = &limit
	}
}

// adopt puts a child that start_child brought into use, when its first process
// is about to be made. The core takes requests in order, so it is the first
// that is not answered yet.
func (n *Node) adopt(id string) {
	waiting := n.added[id]
	if len(waiting) == 0 || waiting[0].used {
		return
	}
	known := n.subtree.Workers[id] != nil || n.subtree.Supervisors[id] != nil
	if n.template() == "" && known {
		return // the child of that name that there still is
	}
	b := waiting[0]
	b.used = true
	if n.template() != "" {
		n.args[id] = b.Args
	} else {
		n.subtree.Put(id, b.Worker, b.Subtree)
		n.keepStop(&b.spec)
	}
	n.announceChild(n.childPath(id), &b.spec, n.supervisor(id))
}

// keepStop keeps how a worker with a channel is stopped: it is told in its hello.
func (n *Node) keepStop(c *tree.ChildSpec) {
	if w := n.subtree.Workers[c.ID]; w != nil && w.Channel != "" {
		n.stops[c.ID] = c.Shutdown
	}
}

// Below is the path of a child.
func Below(path, id string) string {
	if path == "/" {
		return "/" + id
	}
	return path + "/" + id
}
