package node

import (
	"strings"

	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/internal/journal"
)

// note keeps the highest incarnation of each path below a child node, for the
// next incarnation of that node: none is given twice in a run.
func (n *Node) note(r journal.Record) {
	if r.Event == journal.Spawn || r.Event == journal.Failed {
		n.highest[r.Path] = max(n.highest[r.Path], r.Incarnation)
	}
}

// hello is what a child node is told: its subtree, with the incarnations that
// every path below it has had.
func (n *Node) hello(s *child.Subtree) hello {
	had := make(map[string]map[string]uint64)
	for path, incarnation := range n.highest {
		if !strings.HasPrefix(path, s.Path+"/") {
			continue
		}
		i := strings.LastIndexByte(path, '/')
		if had[path[:i]] == nil {
			had[path[:i]] = make(map[string]uint64)
		}
		had[path[:i]][path[i+1:]] = incarnation
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
