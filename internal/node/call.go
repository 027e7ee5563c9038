package node

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/supertrees/supervise/internal/board"
	"github.com/supertrees/supervise/ipc"
)

// Calls from outside the tree: an operator's words to a worker, through the
// root's board. They go to workers as any worker's would.

// CallError is how a call ended that got no reply: noproc, down, a worker's own
// code, …
type CallError = board.CallError

// Call calls a method of whom to names (a name, a /path or an address @3.17)
// with a JSON payload, nil for none, and returns the reply, JSON as well. The
// worker is told how much time the context leaves. The error is the context's,
// *CallError or *MessageError. Any goroutine may call.
func (n *Node) Call(ctx context.Context, to, method string, payload []byte) ([]byte, error) {
	m, err := outside(to, method, payload)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		m.Left = max(time.Until(deadline), time.Microsecond)
	}
	answer, err := n.board.Call(ctx, m)
	if err != nil {
		return nil, err
	}
	switch answer.Codec {
	case ipc.CodecJSON:
		return answer.Payload, nil
	case ipc.CodecNone:
		return []byte("null"), nil
	}
	return json.Marshal(answer.Payload) // bytes, as JSON has them: base64
}

// Cast casts a JSON payload, nil for none; to is as in Call, or group:NAME. It
// succeeds for nobody as well.
func (n *Node) Cast(to, method string, payload []byte) error {
	m, err := outside(to, method, payload)
	if err != nil {
		return err
	}
	return n.board.Cast(m)
}

// outside makes the message of somebody outside the tree.
func outside(to, method string, payload []byte) (ipc.Message, error) {
	m := ipc.Message{Method: method, To: to, Payload: payload}
	switch {
	case method == "" || len(method) > ipc.MaxMethod:
		return m, &MessageError{fmt.Sprintf("a method's name has 1 to %d bytes", ipc.MaxMethod)}
	case to == "":
		return m, &MessageError{"it is for nobody"}
	case len(to) > maxTo:
		return m, &MessageError{fmt.Sprintf("a target of %d bytes, over %d", len(to), maxTo)}
	case len(payload) > ipc.MaxMessage:
		return m, &MessageError{fmt.Sprintf("%d bytes, over %d", len(payload), ipc.MaxMessage)}
	case payload != nil && !json.Valid(payload):
		return m, &MessageError{fmt.Sprintf("the payload is no JSON: %.60s", payload)}
	case payload != nil:
		m.Codec = ipc.CodecJSON
	}
	if strings.HasPrefix(to, "@") {
		m.To = ""
		if err := m.Dst.UnmarshalText([]byte(to)); err != nil {
			return m, &MessageError{err.Error()}
		}
	}
	return m, nil
}

// maxTo bounds a target from outside, in bytes: with a method it fits into a frame.
const maxTo = 2048

// MessageError says why something from outside cannot be sent.
type MessageError struct{ Why string }

func (e *MessageError) Error() string { return "sending a message: " + e.Why }

// Registration is a name and who holds it.
type Registration struct {
	Name string `json:"name"`
	ipc.Place
}

// Names are the names that are registered in the whole tree, sorted.
func (n *Node) Names(ctx context.Context) ([]Registration, error) {
	answer, err := n.board.Call(ctx, ipc.Message{Dst: ipc.Root, Method: ipc.VerbRegistered})
	if err != nil {
		return nil, err
	}
	var names []string
	if err := json.Unmarshal(answer.Payload, &names); err != nil {
		return nil, fmt.Errorf("reading the names: %w", err)
	}
	all := make([]Registration, 0, len(names))
	for _, name := range names {
		r := Registration{Name: name}
		answer, err := n.board.Call(ctx, ipc.Message{To: name, About: true, Method: ipc.VerbWhereIs})
		if _, gone := err.(*CallError); gone {
			continue // its holder has ended meanwhile
		}
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(answer.Payload, &r.Place); err != nil {
			return nil, fmt.Errorf("reading who holds %s: %w", name, err)
		}
		all = append(all, r)
	}
	return all, nil
}

// Channel is what is known of a worker's channel.
type Channel struct {
	board.State
	// Statistics is the worker's own answer to $sys.statistics; nil if it gave
	// none in time.
	Statistics json.RawMessage `json:"statistics,omitempty"`
}

// statisticsTime is how long a worker may take to tell its figures.
const statisticsTime = time.Second

// channel answers a request about a worker's channel. What the worker says of
// itself is waited for beside the node's goroutine.
func (n *Node) channel(id string, answer func(Answer)) {
	l := n.lives[id]
	if l == nil || l.ended != nil || l.worker == nil {
		answer(refused("noproc"))
		return
	}
	c := &Channel{State: n.board.State(l.port)}
	if l.worker.Channel == "" {
		answer(Answer{Channel: c}) // it can be monitored all the same
		return
	}
	addr := l.port.Addr()
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), statisticsTime)
		defer cancel()
		m, err := n.board.Call(ctx, ipc.Message{Dst: addr, Method: ipc.VerbStatistics, Left: statisticsTime})
		n.Post(func() {
			if err == nil && m.Codec == ipc.CodecJSON && json.Valid(m.Payload) {
				c.Statistics = m.Payload
			}
			answer(Answer{Channel: c})
		})
	}()
}
