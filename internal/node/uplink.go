package node

import (
	"encoding/json"
	"fmt"

	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/internal/output"
	"github.com/supertrees/supervise/ipc"
)

// recordBatch is how many records a node gathers before it writes them up the
// link; it also writes them whenever it is about to wait.
const recordBatch = 64

// Uplink is a node's side of the link to its parent.
type Uplink struct {
	conn    *ipc.Conn
	records []journal.Record
}

// OpenUplink takes over the two descriptors that the parent gave this process.
func OpenUplink(read, write int) *Uplink {
	return &Uplink{conn: ipc.NewConn(pollable(read, "link down"), pollable(write, "link up"), ipc.MaxMessage)}
}

// Hello waits for the parent's first message.
func (u *Uplink) Hello() (hello, error) {
	m, err := u.conn.Receive()
	if err != nil {
		return hello{}, fmt.Errorf("reading the hello of the parent: %w", err)
	}
	var h hello
	if m.Method != methodHello {
		return h, fmt.Errorf("reading the hello of the parent: got %q", m.Method)
	}
	if err := json.Unmarshal(m.Payload, &h); err != nil {
		return h, fmt.Errorf("reading the hello of the parent: %w", err)
	}
	return h, nil
}

// Listen reads the parent's requests until its end of the pipe closes, which
// is the parent's end. It returns at once.
func (u *Uplink) Listen(n *Node) {
	go func() {
		for {
			m, err := u.conn.Receive()
			if err != nil {
				n.Post(n.ParentGone)
				return
			}
			if m.Method != methodRequest {
				continue
			}
			n.Post(func() { u.serve(n, m) })
		}
	}()
}

// serve answers one request of the parent.
func (u *Uplink) serve(n *Node, m ipc.Message) {
	answer := func(a Answer) { u.reply(m.ID, a) }
	var r Request
	if err := json.Unmarshal(m.Payload, &r); err != nil {
		answer(refused("badarg"))
		return
	}
	n.Handle(r, answer)
}

func (u *Uplink) reply(id uint64, a Answer) {
	u.Flush() // what happened comes before the answer that tells of it
	u.send(ipc.Message{Type: ipc.Reply, Codec: ipc.CodecJSON, ID: id, Payload: encode(a)})
}

// Record gathers a record for the parent.
func (u *Uplink) Record(r journal.Record) {
	u.records = append(u.records, r)
	if len(u.records) >= recordBatch {
		u.Flush()
	}
}

// Flush writes what Record has gathered.
func (u *Uplink) Flush() {
	if len(u.records) == 0 {
		return
	}
	u.cast(methodEvent, ipc.CodecJSON, encode(u.records))
	u.records = u.records[:0]
}

// Output passes lines up.
func (u *Uplink) Output(b output.Batch) {
	payload, err := b.MarshalBinary()
	if err != nil {
		return
	}
	u.cast(methodOutput, ipc.CodecRaw, payload)
}

// Ready says that the whole subtree runs.
func (u *Uplink) Ready() {
	u.Flush()
	u.cast(methodReady, ipc.CodecNone, nil)
}

// Ignored says that the start is answered with ignore; the exit follows.
func (u *Uplink) Ignored() { u.cast(methodIgnore, ipc.CodecNone, nil) }

// Stopping has nothing to say: the parent ordered it, or sees the end.
func (u *Uplink) Stopping() {}

// Failed says why the start failed; the exit status follows.
func (u *Uplink) Failed(reason string) {
	u.Flush()
	u.cast(methodFailed, ipc.CodecRaw, []byte(reason))
}

func (u *Uplink) cast(method string, codec uint8, payload []byte) {
	u.send(ipc.Message{Type: ipc.Cast, Codec: codec, Method: method, Payload: payload})
}

// send writes to the parent. It waits while the pipe is full, because the
// parent always reads; an error is the parent's end, which Listen reports.
func (u *Uplink) send(m ipc.Message) { _ = u.conn.Send(m) }

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("writing to the parent: " + err.Error()) // its types hold nothing that JSON lacks
	}
	return b
}
