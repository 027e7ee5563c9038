package node

import (
	"encoding/json"

	"github.com/supertrees/supervise/internal/board"
	"github.com/supertrees/supervise/internal/config"
	"github.com/supertrees/supervise/ipc"
	"github.com/supertrees/supervise/tree"
)

// verb is a method of a supervisor that workers, and clients from outside, may
// call at its path: OTP's own words.
type verb struct {
	method string
	verb   Verb
	child  bool // its payload is the id of a child
	writes bool // it changes something: for workers with manage, and for those who call in from outside
}

var verbs = [...]verb{
	{"which_children", Which, false, false},
	{"count_children", Count, false, false},
	{"get_childspec", Spec, true, false},
	{"terminate_child", Stop, true, true},
	{"restart_child", Start, true, true},
	{"delete_child", Remove, true, true},
	{"start_child", Add, false, true}, // see startChild
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
	ticket := r.Ticket
	answer := func(a Answer) {
		switch {
		case StartFailed(a):
			n.board.Fail(ticket, codeStartError, a.Err)
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
	}
	if v.verb == Add {
		n.startChild(request, r, answer)
		return
	}
	n.serve(request, answer)
}

// codeStartError is the code of a start that failed; the message says why.
const codeStartError = "start_error"

// startChild serves start_child. Its payload is an array of more arguments, or
// nothing, for an instance of a simple_one_for_one supervisor; else a text, the
// TOML of one child, as `supervise add -spec` has it in a file. That is read beside
// the node's goroutine: it may name files and users that take their time.
func (n *Node) startChild(request Request, r *board.Request, answer func(Answer)) {
	ticket, payload := r.Ticket, r.Message.Payload
	var text string
	switch {
	case len(payload) == 0 || json.Unmarshal(payload, &request.Args) == nil:
		n.serve(request, answer)
	case json.Unmarshal(payload, &text) == nil:
		go func() {
			c, err := config.ParseChild("start_child", []byte(text), n.path)
			if err != nil {
				n.board.Fail(ticket, ipc.CodeBadRequest, err.Error())
				return
			}
			request.Child, request.Worker, request.Subtree = &c.Spec, c.Worker, c.Supervisor
			n.Post(func() { n.serve(request, answer) })
		}()
	default:
		n.board.Fail(ticket, ipc.CodeBadRequest, "start_child takes an array of arguments, or the TOML of a child as a text")
	}
}
