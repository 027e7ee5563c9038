package control

import (
	"context"
	"encoding/json"
	"errors"
)

// Message is a call or a cast to a worker, from outside the tree.
type Message struct {
	To      string          `json:"to"` // a registered name, a /path or an address @3.17; of a cast also group:NAME
	Method  string          `json:"method"`
	Payload json.RawMessage `json:"payload,omitempty"` // absent: none
}

// Reply is the answer of /v1/call.
type Reply struct {
	Reply json.RawMessage `json:"reply"`
}

// Name is a registered name and the life that holds it.
type Name struct {
	Name        string `json:"name"`
	Path        string `json:"path"`
	Addr        string `json:"addr"`
	Incarnation uint64 `json:"incarnation"`
}

// message reads the body of a call or a cast.
func (c *call) message() (Message, error) {
	var m Message
	if err := json.Unmarshal(c.body, &m); err != nil {
		return m, badRequest("reading the message: %v", err)
	}
	if m.To == "" || m.Method == "" {
		return m, badRequest("reading the message: it needs to and method")
	}
	return m, nil
}

// talk makes a call and answers with its reply. The error of the worker is a
// refusal, with the worker's own word. A client that goes away gives the call up.
func (c *call) talk() error {
	m, err := c.message()
	if err != nil {
		return err
	}
	ctx, stop := c.whileThere(c.server.ctx)
	defer stop()
	ctx, cancel, err := c.limited(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	reply, err := c.server.tree.Call(ctx, m)
	if errors.Is(err, context.DeadlineExceeded) {
		return &Refused{Word: WordTimeout, Detail: "there is no answer yet"}
	}
	if err != nil {
		return asRefusal(err)
	}
	return writeJSON(c.conn, 200, Reply{reply})
}

// tell makes a cast; it succeeds for nobody as well.
func (c *call) tell() error {
	m, err := c.message()
	if err != nil {
		return err
	}
	if err := c.server.tree.Cast(m); err != nil {
		return err
	}
	return writeJSON(c.conn, 202, struct{}{})
}

// names answers with the names of the whole tree.
func (c *call) names() error {
	ctx, cancel := context.WithTimeout(c.server.ctx, outputWait)
	defer cancel()
	names, err := c.server.tree.Names(ctx)
	if err != nil {
		return asRefusal(err)
	}
	return writeJSON(c.conn, 200, names)
}

// channel is what is known of a worker's channel; nil if it has none, or its
// supervisor does not answer.
func (c *call) channel(path string) *Channel {
	ctx, cancel := context.WithTimeout(c.server.ctx, outputWait)
	defer cancel()
	channel, err := c.server.tree.Channel(ctx, path)
	if err != nil {
		return nil
	}
	return channel
}

// Channel is what is known of a worker's channel.
type Channel struct {
	Calls   int      `json:"calls"`             // that it has made and that are not answered yet
	Waiting int      `json:"waiting"`           // calls and monitors that wait for its answer
	Queued  int      `json:"queued"`            // bytes that it has not read yet
	Dropped uint64   `json:"dropped,omitempty"` // casts, because too much waited
	Busy    bool     `json:"busy,omitempty"`    // senders are asked to hold back
	Names   []string `json:"names,omitempty"`
	// Statistics is what the worker says of itself; absent if it does not.
	Statistics json.RawMessage `json:"statistics,omitempty"`
}
