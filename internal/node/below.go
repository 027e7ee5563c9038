package node

import (
	"strings"

	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/internal/journal"
)

// distant is what a node heard of a path below one of its child nodes.
type distant struct {
	incarnation uint64 // the highest that it had
	present     bool   // it has a spec there
}

// note keeps what a record from below says of a path, for the next incarnation
// of the node that it is below: no incarnation is given twice in a run.
func (n *Node) note(r journal.Record) {
	switch r.Event {
	case journal.Add, journal.Spawn, journal.Failed:
		d := n.below[r.Path]
		n.below[r.Path] = distant{max(d.incarnation, r.Incarnation), true}
	case journal.Remove:
		d := n.below[r.Path]
		n.below[r.Path] = distant{d.incarnation, false}
	}
}

// forgetBelow tells that what start_child had added below a child node is gone
// with that node's last process (STR-8): the new one starts from its static specs.
func (n *Node) forgetBelow(s *child.Subtree) {
	for path, d := range n.below {
		rest, under := strings.CutPrefix(path, s.Path+"/")
		if under && d.present && !s.Has(rest) {
			n.below[path] = distant{d.incarnation, false}
			n.emit(journal.Record{Event: journal.Remove, Path: path})
		}
	}
}

// hello is what a child node is told: its subtree, with the incarnations that
// every path below it has had.
func (n *Node) hello(s *child.Subtree) hello {
	had := make(map[string]map[string]uint64)
	for path, d := range n.below {
		if !strings.HasPrefix(path, s.Path+"/") || d.incarnation == 0 {
			continue
		}
		i := strings.LastIndexByte(path, '/')
		if had[path[:i]] == nil {
			had[path[:i]] = make(map[string]uint64)
		}
		had[path[:i]][path[i+1:]] = d.incarnation
	}
	return hello{Subtree: withIncarnations(s, had), Options: n.options}
}

// withIncarnations is a copy of a subtree whose specs carry what they had.
func withIncarnations(s *child.Subtree, had map[string]map[string]uint64) *child.Subtree {
	if len(had) == 0 {
		return s
	}
	c := *s
	c.Spec.Incarnations = had[s.Path]
	c.Supervisors = make(map[string]*child.Subtree, len(s.Supervisors))
	for id, sub := range s.Supervisors {
		c.Supervisors[id] = withIncarnations(sub, had)
	}
	return &c
}
