package node

import (
	"encoding/json"

	"github.com/supertrees/supervise/internal/board"
	"github.com/supertrees/supervise/ipc"
	"github.com/supertrees/supervise/tree"
)

// verb is a method of a supervisor that workers, and clients from outside, may
// call at its path: OTP's own words.
type verb struct {
	method string
	verb   Verb
	child  bool // its payload is the id of a child
	writes bool // it changes something: only for those who call in at this very node from outside
}

var verbs = [...]verb{
	{"which_children", Which, false, false},
	{"count_children", Count, false, false},
	{"get_childspec", Spec, true, false},
	{"terminate_child", Stop, true, true},
	{"restart_child", Start, true, true},
	{"delete_child", Remove, true, true},
	{"start_child", Add, false, true}, // an instance; its payload is an array of more arguments, or nothing
	{ipc.VerbSuspend, Suspend, false, true},
	{ipc.VerbResume, Resume, false, true},
}

// serveCall answers a call to this supervisor.
func (n *Node) serveCall(r *board.Request) {
	switch r.Message.Method {
	case ipc.VerbPing:
		n.board.Reply(r.Ticket, nil)
		return
	case ipc.VerbMethods:
		n.board.Reply(r.Ticket, methods())
		return
	}
	for _, v := range verbs {
		if v.method == r.Message.Method {
			n.serveVerb(&v, r)
			return
		}
	}
	n.board.Fail(r.Ticket, ipc.CodeNoMethod, "a supervisor has no method "+r.Message.Method)
}

// methods are what a supervisor's path answers to whoever asks, for completion.
func methods() []string {
	var all []string
	for _, v := range verbs {
		if !v.writes {
			all = append(all, v.method)
		}
	}
	return all
}

func (n *Node) serveVerb(v *verb, r *board.Request) {
	request := Request{Verb: v.verb, Path: n.path}
	if v.child {
		var id string
		if json.Unmarshal(r.Message.Payload, &id) != nil || id == "" {
			n.board.Fail(r.Ticket, ipc.CodeBadRequest, v.method+" takes the id of a child")
			return
		}
		request.Path = n.childPath(id)
	}
	if v.writes && !r.Manage {
		n.board.Fail(r.Ticket, ipc.CodeNotPermitted, "")
		return
	}
	if v.verb == Add && len(r.Message.Payload) > 0 && json.Unmarshal(r.Message.Payload, &request.Args) != nil {
		n.board.Fail(r.Ticket, ipc.CodeBadRequest, "start_child takes an array of arguments, for a simple_one_for_one supervisor")
		return
	}
	ticket := r.Ticket
	n.serve(request, func(a Answer) {
		switch {
		case a.Err != "":
			n.board.Fail(ticket, a.Err, "")
		case v.verb == Which:
			n.board.Reply(ticket, append([]tree.ChildInfo{}, a.Children...))
		case v.verb == Count:
			n.board.Reply(ticket, a.Counts)
		case v.verb == Spec:
			n.board.Reply(ticket, a.Spec)
		default:
			n.board.Reply(ticket, a.Child)
		}
	})
}
