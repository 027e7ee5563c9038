package node

import (
	"encoding/json"

	"github.com/supertrees/supervise/internal/board"
	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/ipc"
	"github.com/supertrees/supervise/tree"
)

// A link is the pair of pipes between a node and its parent; the board moves
// what goes over it. Down it go the hello and requests; up come records,
// output, readiness and answers. An order to stop is a TERM, so that an operator
// and a parent say it in the same way, and the parent's end is the end of the pipe.

// The bounds of what a node has asked of one child node, which may be stopped
// or busy: answers that are owed, and bytes that it has not read. A request
// over them is refused as busy.
const (
	linkAsked  = 256
	linkQueued = ipc.MaxMessage
)

// The methods on a link between nodes, beside those of the protocol.
const (
	methodHello   = ipc.VerbHello  // down: the subtree to run
	methodReady   = ipc.VerbReady  // up: the whole subtree runs
	methodIgnore  = ipc.VerbIgnore // up: its start is answered with ignore
	methodFailed  = ipc.VerbFailed // up: why it does not
	methodEvent   = ipc.VerbEvent  // up: records, as journal.AppendRecords writes them
	methodOutput  = ipc.VerbOutput // up: a batch of lines
	methodRequest = "$request"     // down: a Request, answered by an Answer
)

// hello is the first message down a link: what the new node is to run.
type hello struct {
	Subtree *child.Subtree `json:"subtree"`
	Options Options        `json:"options"`
	Addr    ipc.Addr       `json:"addr"` // of the node, as its parent's child
}

// greeting tells a new node what it is to run.
func (n *Node) greeting(s *child.Subtree) func(ipc.Addr) ipc.Message {
	return func(addr ipc.Addr) ipc.Message {
		h := n.hello(s)
		h.Addr = addr
		return ipc.Message{Type: ipc.Cast, Codec: ipc.CodecJSON, Method: methodHello, Payload: encode(h)}
	}
}

// ask sends a request down and has answer called, on the node's goroutine, once.
func (n *Node) ask(l *life, r Request, answer func(Answer)) {
	if len(l.asked) >= linkAsked || n.board.Queued(l.port) > linkQueued {
		answer(refused("busy"))
		return
	}
	id := n.board.Send(l.port, ipc.Message{Type: ipc.Call, Codec: ipc.CodecJSON, Method: methodRequest, Payload: encode(r)})
	if l.asked == nil {
		l.asked = make(map[uint64]func(Answer))
	}
	l.asked[id] = answer
}

// read handles everything that the board has for this node, in order also
// where what it handles makes it read again.
func (n *Node) read() {
	n.news = append(n.news, n.board.Take()...)
	for len(n.news) > 0 {
		news := n.news[0]
		n.news = n.news[1:]
		n.heed(news)
	}
	n.news = nil
}

// heed handles one piece of news.
func (n *Node) heed(news board.News) {
	switch news := news.(type) {
	case board.Own:
		if news.From == n.board.Parent() {
			n.hearParent(&news.Message)
		} else if l := lifeAt(news.From); l != nil {
			n.hear(l, &news.Message)
		}
	case board.Request:
		n.requested(&news)
	case board.Cascade:
		if l := lifeAt(news.From); l != nil {
			n.cascade(l, news.Detail)
		}
	case board.Ended:
		if news.From == n.board.Parent() {
			if !n.orphaned { // it is told of each of the two pipes
				n.ParentGone()
			}
		} else if l := lifeAt(news.From); l != nil {
			n.unheard(l, &news)
		}
	}
}

// lifeAt is the life at the end of a link; nil for the parent and for clients.
func lifeAt(p *board.Port) *life {
	if p == nil {
		return nil
	}
	l, _ := p.Data.(*life)
	return l
}

// hearParent handles one message of the parent.
func (n *Node) hearParent(m *ipc.Message) {
	if m.Method != methodRequest {
		return
	}
	id := m.ID
	answer := func(a Answer) {
		n.up.Flush() // what happened comes before the answer that tells of it
		n.board.Up(ipc.Message{Type: ipc.Reply, Codec: ipc.CodecJSON, ID: id, Payload: encode(a)})
	}
	var r Request
	if err := json.Unmarshal(m.Payload, &r); err != nil {
		answer(refused("badarg"))
		return
	}
	n.Handle(r, answer)
}

// hear handles one message of a child node.
func (n *Node) hear(l *life, m *ipc.Message) {
	switch {
	case m.Type == ipc.Reply:
		if answer := l.asked[m.ID]; answer != nil {
			delete(l.asked, m.ID)
			var a Answer
			if err := json.Unmarshal(m.Payload, &a); err != nil {
				a = refused("badarg")
			}
			answer(a)
		}
	case m.Method == methodEvent:
		records, err := journal.ReadRecords(m.Payload)
		if err != nil {
			n.emit(journal.Record{Event: journal.Warning, Path: l.path, Pid: l.pid, Message: err.Error()})
		}
		for _, r := range records {
			n.note(r)
			n.pass(r)
		}
	case m.Method == methodReady:
		n.step(tree.Ready{Ref: l.ref})
	case m.Method == methodIgnore:
		l.said.ignored = true
	case m.Method == methodFailed:
		l.failure = string(m.Payload)
	}
}

// unanswered tells those who asked a node that is gone.
func (l *life) unanswered() {
	asked := l.asked
	l.asked = nil
	for _, answer := range asked {
		answer(refused("noproc"))
	}
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("writing to another node: " + err.Error()) // its types hold nothing that JSON lacks
	}
	return b
}
