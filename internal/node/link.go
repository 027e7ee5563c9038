package node

import (
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/internal/output"
	"github.com/supertrees/supervise/ipc"
	"github.com/supertrees/supervise/tree"
)

// A link is the pair of pipes between a node and its parent. Down it go the
// hello and requests; up come records, output, readiness and answers. An order
// to stop is a TERM, so that an operator and a parent say it in the same way,
// and the parent's end is the end of the pipe.

// linkQueue bounds what a node has for one child node and that node has not
// read yet; a request over it is refused as busy.
const linkQueue = 256

// The methods on a link between nodes, beside those of the protocol.
const (
	methodHello   = "$hello"   // down: the subtree to run
	methodReady   = "$ready"   // up: the whole subtree runs
	methodIgnore  = "$ignore"  // up: its start is answered with ignore
	methodFailed  = "$failed"  // up: why it does not
	methodEvent   = "$event"   // up: an array of records
	methodOutput  = "$output"  // up: a batch of lines
	methodRequest = "$request" // down: a Request, answered by an Answer
)

// hello is the first message down a link: what the new node is to run.
type hello struct {
	Subtree *child.Subtree `json:"subtree"`
	Options Options        `json:"options"`
}

// downlink is the parent's side of a link. Only its reader and its writer run
// beside the node's goroutine, and they end with the pipes.
type downlink struct {
	conn    *ipc.Conn
	read    *os.File
	write   *os.File
	theirs  [2]int
	out     chan ipc.Message
	asked   map[uint64]func(Answer)
	lastID  uint64
	drained bool // everything that the node ever wrote has been handled
}

// newDownlink makes the pipes; the node's own ends are named in its spawn order.
func newDownlink(order *child.Spawn) (*downlink, error) {
	var down, up [2]int
	if err := unix.Pipe2(down[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("making the link of %s: %w", order.Path, err)
	}
	if err := unix.Pipe2(up[:], unix.O_CLOEXEC); err != nil {
		unix.Close(down[0])
		unix.Close(down[1])
		return nil, fmt.Errorf("making the link of %s: %w", order.Path, err)
	}
	d := &downlink{
		read:   pollable(up[0], "link up"),
		write:  pollable(down[1], "link down"),
		theirs: [2]int{down[0], up[1]},
		out:    make(chan ipc.Message, linkQueue),
		asked:  make(map[uint64]func(Answer)),
	}
	d.conn = ipc.NewConn(d.read, d.write, ipc.MaxMessage)
	order.Files = d.theirs[:]
	return d, nil
}

// pollable hands a descriptor to the netpoller, so that waiting on it costs no thread.
func pollable(fd int, name string) *os.File {
	unix.SetNonblock(fd, true)
	return os.NewFile(uintptr(fd), name)
}

// closeTheirs closes the node's ends in this process, once the node has them.
func (d *downlink) closeTheirs() {
	unix.Close(d.theirs[0])
	unix.Close(d.theirs[1])
}

// run starts the link's reader and writer with the hello.
func (d *downlink) run(n *Node, l *life, h hello) {
	payload, err := json.Marshal(h)
	if err != nil {
		panic("writing a hello: " + err.Error()) // its types hold nothing that JSON lacks
	}
	d.out <- ipc.Message{Type: ipc.Cast, Codec: ipc.CodecJSON, Method: methodHello, Payload: payload}
	go d.writeAll()
	go d.readAll(n, l)
}

// writeAll sends what is queued, until the link is closed. An error is the
// node's end, which its reader sees too.
func (d *downlink) writeAll() {
	for m := range d.out {
		if d.conn.Send(m) != nil {
			d.write.Close()
			for range d.out {
			}
			return
		}
	}
	d.write.Close()
}

// readAll hands what the node says to the goroutine that owns the state.
// Output goes up from here: it changes nothing that the node decides by.
func (d *downlink) readAll(n *Node, l *life) {
	for {
		m, err := d.conn.Receive()
		if err != nil {
			break
		}
		if m.Method == methodOutput {
			var b output.Batch
			if b.UnmarshalBinary(m.Payload) == nil {
				n.up.Output(b)
			}
			continue
		}
		n.Post(func() { n.hear(l, m) })
	}
	n.Post(func() {
		d.drained = true
		if l.ended != nil {
			n.bury(l)
		}
	})
}

// close ends the link, from the node's goroutine. Who waits for an answer gets none.
func (d *downlink) close() {
	for _, answer := range d.asked {
		answer(refused("noproc"))
	}
	d.asked = nil
	close(d.out)
	d.read.Close()
}

// ask sends a request down and has answer called, on the node's goroutine, once.
func (d *downlink) ask(r Request, answer func(Answer)) {
	payload, err := json.Marshal(r)
	if err != nil {
		answer(refused("badarg"))
		return
	}
	d.lastID++
	m := ipc.Message{Type: ipc.Call, Codec: ipc.CodecJSON, ID: d.lastID, Method: methodRequest, Payload: payload}
	select {
	case d.out <- m:
		d.asked[d.lastID] = answer
	default:
		answer(refused("busy"))
	}
}

// hear handles one message of a child node.
func (n *Node) hear(l *life, m ipc.Message) {
	switch {
	case m.Type == ipc.Reply:
		if answer := l.link.asked[m.ID]; answer != nil {
			delete(l.link.asked, m.ID)
			var a Answer
			if err := json.Unmarshal(m.Payload, &a); err != nil {
				a = refused("badarg")
			}
			answer(a)
		}
	case m.Method == methodEvent:
		var records []journal.Record
		if json.Unmarshal(m.Payload, &records) == nil {
			for _, r := range records {
				n.note(r)
				n.pass(r)
			}
		}
	case m.Method == methodReady:
		n.step(tree.Ready{Ref: l.ref})
	case m.Method == methodIgnore:
		l.ignored = true
	case m.Method == methodFailed:
		l.failure = string(m.Payload)
	}
}
