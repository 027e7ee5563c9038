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

// heldBack is what waits for one target. It exists until nothing waits any
// more, so that whatever is sent meanwhile goes behind.
type heldBack struct {
	messages []ipc.Message
	bytes    int
	busy     bool // the node's last word
	draining bool // a goroutine sends what waits
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

// set takes the node's word about a target.
func (fc *flowControl) set(c *channel, f ipc.Flow) {
	fc.mu.Lock()
	defer fc.mu.Unlock()
	h := fc.held[f.To]
	switch {
	case f.Busy && h == nil:
		if fc.held == nil {
			fc.held = map[string]*heldBack{}
		}
		h = &heldBack{busy: true}
		h.probe = time.AfterFunc(probeAfter, func() { fc.letOne(c, f.To) })
		fc.held[f.To] = h
		fc.n.Add(1)
	case h != nil:
		h.busy = f.Busy
		if !f.Busy && !h.draining {
			h.draining = true
			go fc.drain(c, f.To)
		}
	}
}

// drain sends what waits, no faster than the pipe takes it, until nothing
// waits or the node says again that the target is behind.
func (fc *flowControl) drain(c *channel, to string) {
	for {
		m, ok := fc.next(c, to)
		if !ok {
			return
		}
		_ = c.write(&m, c.closed, false) // the channel's end is noticed by next
	}
}

func (fc *flowControl) next(c *channel, to string) (m ipc.Message, ok bool) {
	fc.mu.Lock()
	defer fc.mu.Unlock()
	h := fc.held[to]
	switch {
	case h == nil:
		return m, false
	case len(h.messages) == 0 || c.down() != nil:
		h.probe.Stop()
		delete(fc.held, to)
		fc.n.Add(-1)
		return m, false
	case h.busy:
		h.draining = false
		h.probe.Reset(probeAfter)
		return m, false
	}
	return h.pop(), true
}

func (h *heldBack) pop() ipc.Message {
	m := h.messages[0]
	h.messages[0] = ipc.Message{}
	h.messages = h.messages[1:]
	h.bytes -= len(m.Payload) + itemCost
	return m
}

// letOne lets one cast through, from the time of the node's word on: if the
// next word is lost, this has it said again. With nothing that waits there is
// nothing to hold back for.
func (fc *flowControl) letOne(c *channel, to string) {
	fc.mu.Lock()
	defer fc.mu.Unlock()
	h := fc.held[to]
	switch {
	case h == nil || h.draining:
	case len(h.messages) == 0 || c.down() != nil:
		delete(fc.held, to)
		fc.n.Add(-1)
	default:
		m := h.pop()
		_ = m.Frames(nil, func(f *ipc.Frame) error { return c.w.Push(f, false) }) // waits for nobody: the lock is held
		h.probe.Reset(probeAfter)
	}
}

// piecesInOrder keeps messages to one target apart while one goes in pieces.
type piecesInOrder struct {
	n      atomic.Int32
	mu     sync.Mutex
	busy   map[string]chan struct{}
	paused chan struct{} // closed when messages in pieces may begin again; nil: they may
}

// enter waits until no message in pieces is under way to key.
func (o *piecesInOrder) enter(key string, pieces bool, done <-chan struct{}) bool {
	if !pieces && o.n.Load() == 0 {
		return true
	}
	for {
		o.mu.Lock()
		wait := o.busy[key]
		if wait == nil && pieces {
			wait = o.paused
		}
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

// pause has no message in pieces begin until resume, and waits until all that
// have begun are sent to their ends.
func (o *piecesInOrder) pause() {
	o.mu.Lock()
	o.paused = make(chan struct{})
	for len(o.busy) > 0 {
		var wait chan struct{}
		for _, wait = range o.busy {
			break
		}
		o.mu.Unlock()
		<-wait
		o.mu.Lock()
	}
	o.mu.Unlock()
}

func (o *piecesInOrder) resume() {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.paused)
	o.paused = nil
}

func (o *piecesInOrder) leave(key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.busy[key])
	delete(o.busy, key)
	o.n.Add(-1)
}
