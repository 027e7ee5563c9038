package proc

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"github.com/supertrees/supervise/ipc"
)

// channel is a process's end of the pipes to its node: frames in and out, and
// the calls that wait for answers. A goroutine of its own reads; it waits for
// nothing but the pipe.
type channel struct {
	w      *ipc.Writer
	inbox  inbox         // of what is no answer
	hello  ipc.Hello     // valid once ready is closed
	ready  chan struct{} // the node's $hello has come, or the channel ended before
	closed chan struct{} // the pipe has ended
	err    error         // why; valid once closed is

	mu      sync.Mutex
	pending []*pending
	free    *pending
	gen     uint32 // of the calls of an old image, which nobody waits for
	open    int    // calls, monitors left out
	window  int
	waiters []chan struct{} // for room in the window, in order

	timers  sync.Pool // *time.Timer; not shared, so that a channel may live in a bubble of synctest
	castID  uint64    // of the last cast in pieces
	flow    flowControl
	ordered piecesInOrder
}

// inbox is who takes what is no answer. Its methods are called by the reader,
// and wait for nobody.
type inbox interface {
	take(m *ipc.Message)
	// settle is called when nothing more is there to be read, and before an
	// answer is handed on: what has been taken takes effect first.
	settle()
}

// answer is what a call came to.
type answer struct {
	body    []byte
	code    Error // "": a reply
	failed  bool  // body is an ErrorBody
	codec   uint8
	src     ipc.Addr
	message string
}

// pending is a call that waits for its answer. It is used again and again: gen
// tells its uses apart, so that a late answer finds nothing.
type pending struct {
	index, gen uint32
	used       bool
	counted    bool
	alone      bool // no other call was open when it was made
	ch         chan answer
	then       func(answer) // instead of ch
	next       *pending
}

func (p *pending) id() uint64 { return uint64(p.gen)<<32 | uint64(p.index) }

// newChannel is a channel that writes to w. Nothing is read before read.
func newChannel(w io.Writer, left *slough, in inbox) *channel {
	c := &channel{
		w: ipc.NewWriter(w), inbox: in, window: ipc.Window,
		ready: make(chan struct{}), closed: make(chan struct{}),
	}
	if left != nil {
		c.gen, c.hello = left.Gen, left.Hello
	}
	return c
}

// read takes everything that comes until the pipe ends. The node greets a life
// once: only its first image.
func (c *channel) read(r *ipc.Reader, first bool) {
	var assemble ipc.Assembler
	var err error
	if first {
		err = c.greet(r, &assemble)
	}
	if err == nil {
		err = c.welcome()
	}
	assemble.Limit = c.hello.MaxMessage
	close(c.ready)
	var f ipc.Frame // here, or each would be an allocation
	var m ipc.Message
	var kept payloads
	for err == nil {
		if err = r.ReadTo(&f); err != nil {
			break
		}
		var done bool
		if done, err = assemble.AddTo(&m, &f); !done {
			if !r.Buffered() {
				c.inbox.settle()
			}
			continue
		}
		if len(m.Payload) > 0 && len(f.Payload) > 0 && &m.Payload[0] == &f.Payload[0] {
			m.Payload = kept.keep(m.Payload)
		}
		answer := m.Type == ipc.Reply || m.Type == ipc.Error
		more := r.Buffered()
		if !answer {
			c.inbox.take(&m)
		}
		if answer || !more {
			c.inbox.settle()
		}
		if answer {
			c.answered(&m)
		}
		if !more {
			runtime.Gosched() // whoever was woken answers before the pipe is looked at in vain
		}
	}
	c.inbox.settle()
	c.end(err)
}

// greet reads the node's $hello.
func (c *channel) greet(r *ipc.Reader, assemble *ipc.Assembler) error {
	for {
		f, err := r.Read()
		if err != nil {
			return err
		}
		m, done, err := assemble.Add(&f)
		if err != nil {
			return err
		}
		if !done {
			continue
		}
		if m.Type != ipc.Cast || m.Method != ipc.VerbHello || json.Unmarshal(m.Payload, &c.hello) != nil {
			return &ipc.Malformed{Why: "the first frame is no " + ipc.VerbHello}
		}
		return nil
	}
}

// welcome answers the node's $hello.
func (c *channel) welcome() error {
	known := false
	for _, v := range c.hello.Protocol {
		known = known || v == ipc.Version
	}
	if c.hello.Window > 0 {
		c.window = c.hello.Window
	}
	welcome := ipc.Welcome{Client: "proc/go", Pid: pid(), Window: ipc.Window, Codecs: []string{"json", "raw"}}
	if known {
		welcome.Protocol = ipc.Version
	}
	c.tell(ipc.VerbHello, welcome)
	if !known {
		return fmt.Errorf("greeting the node: it speaks protocols %v, not %d", c.hello.Protocol, ipc.Version)
	}
	return nil
}

// end answers every call: there is nobody any more who would.
func (c *channel) end(err error) {
	if err == io.EOF {
		err = nil
	}
	c.mu.Lock()
	c.err = err
	close(c.closed)
	var open []*pending
	for _, p := range c.pending {
		if p.used {
			open = append(open, p)
		}
	}
	c.mu.Unlock()
	c.w.Close()
	for _, p := range open {
		c.complete(p.id(), answer{code: ErrDown, message: "the channel has ended"})
	}
}

func (c *channel) answered(m *ipc.Message) {
	c.complete(m.ID, answer{body: m.Payload, failed: m.Type == ipc.Error, codec: m.Codec, src: m.Src, code: Error(m.Refused)})
}

// complete hands an answer to the call that waits for it, if one does.
func (c *channel) complete(id uint64, a answer) {
	c.mu.Lock()
	p := c.lookup(id)
	if p == nil {
		c.mu.Unlock()
		return
	}
	then := p.then
	if then == nil {
		select {
		case p.ch <- a:
		default: // a second answer
		}
		c.mu.Unlock()
		return
	}
	c.releaseLocked(p)
	c.mu.Unlock()
	then(a)
}

func (c *channel) lookup(id uint64) *pending {
	i := uint32(id)
	if int(i) >= len(c.pending) || c.pending[i].gen != uint32(id>>32) || !c.pending[i].used {
		return nil
	}
	return c.pending[i]
}

// acquire opens a pending call. A counted one waits for room in the window
// until done or late; ok is false then.
func (c *channel) acquire(counted bool, done <-chan struct{}, late <-chan time.Time) (p *pending, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for counted && c.open >= c.window {
		turn := make(chan struct{})
		c.waiters = append(c.waiters, turn)
		c.mu.Unlock()
		select {
		case <-turn:
			c.mu.Lock()
		case <-done:
			c.mu.Lock()
			c.leave(turn)
			return nil, false
		case <-late:
			c.mu.Lock()
			c.leave(turn)
			return nil, false
		}
	}
	if p = c.free; p != nil {
		c.free = p.next
	} else {
		p = &pending{index: uint32(len(c.pending)), ch: make(chan answer, 1)}
		c.pending = append(c.pending, p)
	}
	p.gen = max(p.gen, c.gen) + 1
	p.used, p.counted = true, counted
	if counted {
		c.open++
	}
	p.alone = c.open <= 1
	return p, true
}

// leave takes a waiter out of the line, or passes its turn on.
func (c *channel) leave(turn chan struct{}) {
	for i, w := range c.waiters {
		if w == turn {
			c.waiters = append(c.waiters[:i], c.waiters[i+1:]...)
			return
		}
	}
	c.nextWaiter()
}

func (c *channel) nextWaiter() {
	if len(c.waiters) > 0 && c.open < c.window {
		close(c.waiters[0])
		c.waiters = c.waiters[1:]
	}
}

func (c *channel) release(p *pending) {
	c.mu.Lock()
	c.releaseLocked(p)
	c.mu.Unlock()
}

func (c *channel) releaseLocked(p *pending) {
	select { // an answer that came as its caller gave up
	case <-p.ch:
	default:
	}
	p.used, p.then = false, nil
	p.next, c.free = c.free, p
	if p.counted {
		c.open--
		c.nextWaiter()
	}
}

// abandon gives a call up: late answers are dropped, and the callee is told.
func (c *channel) abandon(p *pending, id uint64) {
	c.mu.Lock()
	if c.lookup(id) == p {
		c.releaseLocked(p)
	}
	c.mu.Unlock()
	_ = c.w.Push(&ipc.Frame{Header: ipc.Header{Type: ipc.Cancel, ID: id}}, false) // a broken pipe ends the reader, which says so
}

// tell sends a cast of the protocol to the node. It waits for nobody.
func (c *channel) tell(method string, v any) {
	m := ipc.Message{Type: ipc.Cast, Method: method, Codec: ipc.CodecNone}
	if v != nil {
		m.Codec = ipc.CodecJSON
		m.Payload, _ = json.Marshal(v) // structs of strings and numbers
	}
	if f, err := m.Frame(nil); err == nil && len(f.Payload) <= ipc.MaxPayload {
		_ = c.w.Push(&f, false)
	}
}

// down is why nothing can be sent: nil while it can.
func (c *channel) down() error {
	select {
	case <-c.closed:
		if c.err != nil {
			return c.err
		}
		return io.EOF
	default:
		return nil
	}
}
