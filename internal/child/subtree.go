package child

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/tree"
)

// At is the subtree moved to another path, as an instance of a
// simple_one_for_one supervisor stands under its number.
func (s *Subtree) At(path string) *Subtree {
	moved := *s
	moved.Path = path
	moved.Supervisors = make(map[string]*Subtree, len(s.Supervisors))
	for id, sub := range s.Supervisors {
		moved.Supervisors[id] = sub.At(path + "/" + id)
	}
	return &moved
}

// Has says whether a path below this supervisor ("web/api") is one of its static specs.
func (s *Subtree) Has(rest string) bool {
	id, deeper, nested := strings.Cut(rest, "/")
	if nested {
		sub := s.Supervisors[id]
		return sub != nil && sub.Has(deeper)
	}
	return slices.ContainsFunc(s.Spec.Children, func(c tree.ChildSpec) bool { return c.ID == id }) &&
		s.Spec.Strategy != tree.SimpleOneForOne
}

// Size is how many child specs there are, on all levels.
func (s *Subtree) Size() int {
	size := len(s.Spec.Children)
	for _, sub := range s.Supervisors {
		size += sub.Size()
	}
	return size
}

// Put adds what a child is: one of worker and supervisor is nil.
func (s *Subtree) Put(id string, worker *Process, supervisor *Subtree) {
	switch {
	case worker != nil && s.Workers == nil:
		s.Workers = map[string]*Process{id: worker}
	case worker != nil:
		s.Workers[id] = worker
	case s.Supervisors == nil:
		s.Supervisors = map[string]*Subtree{id: supervisor}
	default:
		s.Supervisors[id] = supervisor
	}
}

// Signal is the signal that orders this worker to stop: TERM where none is named.
func (p *Process) Signal() unix.Signal {
	if sig := SignalNumber(p.StopSignal); sig != 0 {
		return sig
	}
	return unix.SIGTERM
}

// Succeeded says whether an unasked exit with this status is a success.
func (p *Process) Succeeded(status int) bool {
	return status == 0 || slices.Contains(p.SuccessExit, status)
}

// SignalNumber reads a signal's name, with or without SIG; 0 if there is none of that name.
func SignalNumber(name string) unix.Signal {
	return unix.SignalNum("SIG" + strings.TrimPrefix(name, "SIG"))
}

// SignalName is a signal's name without SIG: "KILL".
func SignalName(s unix.Signal) string {
	if name := unix.SignalName(s); name != "" {
		return strings.TrimPrefix(name, "SIG")
	}
	return s.String()
}
