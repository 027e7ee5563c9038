package board

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/supertrees/supervise/ipc"
)

// client is the link of those who call in from outside the tree, and of the
// node's own calls to its workers: it has no pipes.
type client struct {
	port   Port
	lastID uint64
	open   map[uint64]chan ipc.Message
	pieces ipc.Assembler
}

// receive takes what comes back to the client. What nobody waits for any more
// is dropped.
func (c *client) receive(f *ipc.Frame) {
	m, done, err := c.pieces.Add(f)
	if err != nil || !done || (m.Type != ipc.Reply && m.Type != ipc.Error) {
		return
	}
	answer := c.open[m.ID]
	if answer == nil {
		return
	}
	delete(c.open, m.ID)
	m.Payload = append([]byte(nil), m.Payload...)
	answer <- m // has room for the one answer that there is
}

// outside is the client's link, made when it is needed first.
func (b *Board) outside() *client {
	if b.client == nil {
		c := &client{open: map[uint64]chan ipc.Message{}, pieces: ipc.Assembler{Limit: ipc.MaxMessage}}
		c.port = Port{r: -1, w: -1, client: c, link: b.sw.AddClient()}
		c.port.link.Data = &c.port
		b.client = c
	}
	return b.client
}

// CallError is how a call ended that did not end with a reply.
type CallError struct {
	To, Method string
	ipc.ErrorBody
}

func (e *CallError) Error() string {
	text := fmt.Sprintf("call %s %s: %s", e.To, e.Method, e.Code)
	if detail := e.Detail(); detail != "" {
		text += ": " + detail
	}
	return text
}

// Detail is what is known beside the code: the message, and the data as JSON.
func (e *CallError) Detail() string {
	switch {
	case len(e.Data) == 0 && e.Message == e.Code:
		return ""
	case len(e.Data) == 0:
		return e.Message
	case e.Message == e.Code || e.Message == "":
		return string(e.Data)
	}
	return e.Message + ": " + string(e.Data)
}

// Call calls whom m names, by Dst or To, and waits for the one outcome: a
// reply, *CallError, or the context's error, after which an answer is not
// waited for any more.
func (b *Board) Call(ctx context.Context, m ipc.Message) (ipc.Message, error) {
	answers := make(chan ipc.Message, 1)
	b.mu.Lock()
	c := b.outside()
	c.lastID++
	m.Type, m.ID = ipc.Call, c.lastID
	c.open[m.ID] = answers
	err := b.sendOutside(c, &m)
	b.mu.Unlock()
	if err != nil {
		return ipc.Message{}, err
	}
	var answer ipc.Message
	select {
	case answer = <-answers:
	case <-ctx.Done():
		b.giveUp(m.ID)
		return ipc.Message{}, ctx.Err()
	}
	if answer.Refused != "" {
		return ipc.Message{}, &CallError{To: target(&m), Method: m.Method, ErrorBody: ipc.ErrorBody{Code: answer.Refused}}
	}
	if answer.Type == ipc.Error {
		e := &CallError{To: target(&m), Method: m.Method}
		if json.Unmarshal(answer.Payload, &e.ErrorBody) != nil || e.Code == "" {
			e.Code = ipc.CodeError
		}
		return ipc.Message{}, e
	}
	return answer, nil
}

// Cast casts to whom m names; to nobody as well.
func (b *Board) Cast(m ipc.Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.outside()
	c.lastID++
	m.Type, m.ID = ipc.Cast, c.lastID
	return b.sendOutside(c, &m)
}

// sendOutside gives the switch a message as if the client had sent it.
func (b *Board) sendOutside(c *client, m *ipc.Message) error {
	defer b.flush()
	if m.Dst == 0 && m.To == "" {
		m.Dst = ipc.Root
	}
	err := m.Frames(nil, func(f *ipc.Frame) error {
		one := *f // the switch writes into the header
		b.sw.Receive(c.port.link, &one)
		return nil
	})
	if err != nil {
		delete(c.open, m.ID)
	}
	return err
}

func (b *Board) giveUp(id uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, open := b.client.open[id]; open {
		delete(b.client.open, id)
		b.sw.Receive(b.client.port.link, &ipc.Frame{Header: ipc.Header{Type: ipc.Cancel, ID: id}})
		b.flush()
	}
}

func target(m *ipc.Message) string {
	if m.To != "" {
		return m.To
	}
	return m.Dst.String()
}
