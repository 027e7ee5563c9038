package ipc_test

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/supertrees/supervise/ipc"
)

// supervisor is the smallest host of a Switch: what a node does around it. All
// of it runs under one lock, or on the one goroutine that owns the node's
// state.
type supervisor struct {
	sync.Mutex
	sw *ipc.Switch
}

// worker is the host's part of a link: what waits to be written to its pipe,
// and the beginning of a frame that has come in part.
type worker struct {
	in  ipc.Splitter
	out []byte // bounded by the switch: it asks Queued before it sends
	up  bool
}

// start is what a node does when it spawns a worker with a channel: the link
// first, whose address stands in the $hello, which stands in the pipe before
// exec.
func (n *supervisor) start(path string, incarnation uint64) *ipc.Link {
	l := n.sw.AddWorker(path, incarnation, true)
	w := &worker{}
	l.Data = w
	payload, _ := json.Marshal(ipc.Hello{
		Protocol: []int{ipc.Version}, Path: path, Addr: l.Addr(), Incarnation: incarnation,
		Window: ipc.Window, MaxMessage: ipc.DefaultMessage,
	})
	hello := ipc.Message{Type: ipc.Cast, Codec: ipc.CodecJSON, Method: ipc.VerbHello, Payload: payload}
	_ = hello.Frames(nil, func(f *ipc.Frame) error { w.out = f.Append(w.out); return nil })
	return l
}

// readable is called with what was read from a worker's pipe, at most 64 KiB a
// turn; one buffer serves all pipes.
func (n *supervisor) readable(l *ipc.Link, b []byte) {
	w := l.Data.(*worker)
	err := w.in.Feed(b, func(f *ipc.Frame) error { n.sw.Receive(l, f); return nil })
	if bad, ok := err.(*ipc.Malformed); ok {
		n.Broken(l, bad)
	}
}

// written is called when a worker's pipe has taken n bytes.
//
//nolint:unused // the example's loop of poll and read is left out, and this is what it calls
func (n *supervisor) written(l *ipc.Link, bytes int) {
	w := l.Data.(*worker)
	w.out = w.out[bytes:]
	n.sw.Drained(l)
}

// reaped is called when wait4 has returned, and what was left in the pipe has
// gone to readable: until EOF, or EAGAIN, because a grandchild may hold it.
func (n *supervisor) reaped(l *ipc.Link, reason string) {
	n.sw.End(l, ipc.Down{Reason: reason})
	// Only now the tree hears of it, and may start a successor.
}

// Send puts a frame behind what waits for the pipe.
func (n *supervisor) Send(l *ipc.Link, f *ipc.Frame, _ *ipc.Link) {
	w := l.Data.(*worker)
	w.out = f.Append(w.out)
}

func (n *supervisor) Queued(l, _ *ipc.Link) (here, all int) {
	return len(l.Data.(*worker).out), 0 // all: the sum over all links
}

// Request takes what is for the supervisor itself.
func (n *supervisor) Request(l *ipc.Link, m *ipc.Message, ticket uint64) {
	switch {
	case m.Method == ipc.VerbReady:
		l.Data.(*worker).up = true // the child is started
		fmt.Println(l.Path(), "is ready")
	case ticket != 0 && m.Method == "which_children":
		n.sw.Reply(ticket, []string{"a", "b"})
	case ticket != 0:
		n.sw.Fail(ticket, &ipc.ErrorBody{Code: ipc.CodeNoMethod, Message: "no method " + m.Method})
	}
}

// Broken kills the process; its reason is abnormal, "protocol: …".
func (n *supervisor) Broken(l *ipc.Link, err *ipc.Malformed) { fmt.Println("kill", l.Path(), err) }

// Cascade stops the child; its reason is abnormal with this detail.
func (n *supervisor) Cascade(l *ipc.Link, detail string) { fmt.Println("stop", l.Path(), detail) }

// Numbered is for nodes below the root: from now on children with channels can
// be started.
func (n *supervisor) Numbered(uint32) {}

// A host in the small: two workers, one of which calls the other.
func Example() {
	n := &supervisor{}
	n.sw = ipc.NewRoot(n)
	a, b := n.start("/a", 1), n.start("/b", 1)

	// What the workers would write to their pipes.
	say := func(l *ipc.Link, m ipc.Message) {
		_ = m.Frames(nil, func(f *ipc.Frame) error { n.readable(l, f.Append(nil)); return nil })
	}
	for _, l := range []*ipc.Link{a, b} {
		say(l, ipc.Message{Type: ipc.Cast, Method: ipc.VerbHello, Codec: ipc.CodecJSON, Payload: []byte(`{"protocol":1}`)})
		say(l, ipc.Message{Type: ipc.Cast, Method: ipc.VerbReady})
	}
	say(a, ipc.Message{Type: ipc.Call, ID: 7, To: "/b", Method: "find", Codec: ipc.CodecJSON, Payload: []byte(`"Joe"`)})
	show(b)
	n.reaped(b, "killed")
	show(a)

	// Output:
	// /a is ready
	// /b is ready
	// /b reads $hello
	// /b reads find "Joe"
	// /a reads $hello
	// /a reads an answer to 7: {"code":"down","message":"down","data":{"addr":"@1.2","path":"/b","incarnation":1,"reason":"killed"}}
}

// show prints what a worker would read.
func show(l *ipc.Link) {
	w := l.Data.(*worker)
	conn := ipc.NewConn(strings.NewReader(string(w.out)), nil, 0)
	for {
		m, err := conn.Receive()
		if err == io.EOF {
			return
		}
		switch {
		case m.Type == ipc.Error || m.Type == ipc.Reply:
			fmt.Printf("%s reads an answer to %d: %s\n", l.Path(), m.ID, m.Payload)
		case m.Method == ipc.VerbHello:
			fmt.Println(l.Path(), "reads", m.Method)
		default:
			fmt.Println(l.Path(), "reads", m.Method, string(m.Payload))
		}
	}
}
