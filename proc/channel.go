package proc

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"
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

	calls   openCalls
	castID  atomic.Uint64 // of the last cast in pieces
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

// newChannel is a channel that writes to w. Nothing is read before read.
func newChannel(w io.Writer, left *slough, in inbox) *channel {
	c := &channel{
		w: ipc.NewWriter(w), inbox: in,
		ready: make(chan struct{}), closed: make(chan struct{}),
	}
	c.calls.window, c.calls.epoch, c.calls.late = ipc.Window, time.Now(), c.cancel
	if left != nil {
		c.calls.gen, c.hello = left.Gen, left.Hello
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
		var done bool
		if done, err = assemble.ReadTo(&m, r, &f); !done {
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
		c.calls.window = c.hello.Window
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
	c.err = err
	close(c.closed)
	c.w.Close()
	c.calls.end()
}

func (c *channel) answered(m *ipc.Message) {
	c.calls.complete(m.ID, answer{body: m.Payload, failed: m.Type == ipc.Error, codec: m.Codec, src: m.Src, code: Error(m.Refused)})
}

// cancel tells the callee that nobody waits any more.
func (c *channel) cancel(id uint64) {
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
