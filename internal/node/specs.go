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
	if n.template() != "" {
		return
	}
	delete(n.subtree.Workers, id)
	delete(n.subtree.Supervisors, id)
}

// announce tells upstream which children there are, before any is started.
func (n *Node) announce() {
	if n.template() != "" {
		return
	}
	for _, c := range n.subtree.Spec.Children {
		n.announceChild(c)
	}
}

func (n *Node) announceChild(c tree.ChildSpec) {
	n.emit(journal.Record{Event: journal.Add, Path: n.childPath(c.ID), Kind: n.kind(c.ID).String()})
}
