package proc

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/supertrees/supervise/ipc"
)

// The bounds of what is held back for a target that is behind.
const (
	heldMost   = 16 << 20
	probeAfter = time.Second
)

// flowControl keeps back casts to targets whose node has asked for it.
type flowControl struct {
	n    atomic.Int32 // len(held): the fast way sees that there is nothing to do
	mu   sync.Mutex
	held map[string]*heldBack
}

type heldBack struct {
	messages []ipc.Message
	bytes    int
	probe    *time.Timer
}

// hold keeps m if its target is behind; full says that too much is kept.
func (fc *flowControl) hold(key string, m *ipc.Message) (kept, full bool) {
	if fc.n.Load() == 0 {
		return false, false
	}
	fc.mu.Lock()
	defer fc.mu.Unlock()
	h := fc.held[key]
	if h == nil {
		return false, false
	}
	if h.bytes+len(m.Payload)+itemCost > heldMost {
		return false, true
	}
	h.bytes += len(m.Payload) + itemCost
	h.messages = append(h.messages, *m)
	return true, false
}

// set takes the node's word about a target. What was kept goes out in order
// before anything newer: the lock is held until it is queued.
func (fc *flowControl) set(c *channel, f ipc.Flow) {
	fc.mu.Lock()
	defer fc.mu.Unlock()
	h := fc.held[f.To]
	switch {
	case f.Busy && h == nil:
		if fc.held == nil {
			fc.held = map[string]*heldBack{}
		}
		h = &heldBack{}
		h.probe = time.AfterFunc(probeAfter, func() { fc.letOne(c, f.To) })
		fc.held[f.To] = h
		fc.n.Add(1)
	case !f.Busy && h != nil:
		h.probe.Stop()
		for i := range h.messages {
			c.push(&h.messages[i])
		}
		delete(fc.held, f.To)
		fc.n.Add(-1)
	}
}

// letOne lets one cast through: if the node's word that the target has caught
// up was lost, this asks again. With nothing left to send there is nothing to
// hold back for.
func (fc *flowControl) letOne(c *channel, to string) {
	fc.mu.Lock()
	defer fc.mu.Unlock()
	h := fc.held[to]
	if h == nil {
		return
	}
	if len(h.messages) == 0 || c.down() != nil {
		delete(fc.held, to)
		fc.n.Add(-1)
		return
	}
	c.push(&h.messages[0])
	h.bytes -= len(h.messages[0].Payload) + itemCost
	h.messages = h.messages[1:]
	h.probe.Reset(probeAfter)
}

// push sends what was held back without waiting: it is bounded by heldMost.
func (c *channel) push(m *ipc.Message) {
	_ = m.Frames(nil, func(f *ipc.Frame) error { return c.w.Push(f, false) })
}

// piecesInOrder keeps messages to one target apart while one goes in pieces.
type piecesInOrder struct {
	n    atomic.Int32
	mu   sync.Mutex
	busy map[string]chan struct{}
}

// enter waits until no message in pieces is under way to key.
func (o *piecesInOrder) enter(key string, pieces bool, done <-chan struct{}) bool {
	if !pieces && o.n.Load() == 0 {
		return true
	}
	for {
		o.mu.Lock()
		wait := o.busy[key]
		if wait == nil {
			if pieces {
				if o.busy == nil {
					o.busy = map[string]chan struct{}{}
				}
				o.busy[key] = make(chan struct{})
				o.n.Add(1)
			}
			o.mu.Unlock()
			return true
		}
		o.mu.Unlock()
		select {
		case <-wait:
		case <-done:
			return false
		}
	}
}

func (o *piecesInOrder) leave(key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.busy[key])
	delete(o.busy, key)
	o.n.Add(-1)
}
