package ipc

import (
	"io"
	"sync"
)

// Conn sends and receives whole messages over a pair of pipes: the plain way
// to speak to the other end, used between a supervisor's process and its
// parent. Any number of goroutines may Send, one Receives.
type Conn struct {
	r        *Reader
	assemble Assembler

	mu  sync.Mutex
	w   io.Writer
	out []byte
}

// NewConn returns a Conn that reads from r and writes to w. A message may
// have limit bytes at most; 0 is DefaultMessage.
func NewConn(r io.Reader, w io.Writer, limit int) *Conn {
	return &Conn{r: NewReader(r), w: w, assemble: Assembler{Limit: limit}}
}

// Send writes m, in as many pieces as it needs. It waits while the pipe is
// full: the other end always reads.
func (c *Conn) Send(m Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := m.Frames(nil, func(f *Frame) error {
		c.out = f.Append(c.out[:0])
		_, err := c.w.Write(c.out)
		return err
	})
	if cap(c.out) > keepSize {
		c.out = nil
	}
	return err
}

// Receive returns the next message; its bytes are the caller's. At the end of
// the pipe it returns io.EOF. A stream that cannot be understood is *Malformed.
func (c *Conn) Receive() (Message, error) {
	for {
		f, err := c.r.Read()
		if err != nil {
			return Message{}, err
		}
		m, done, err := c.assemble.Add(&f)
		if err != nil {
			return Message{}, err
		}
		if !done {
			continue
		}
		if len(m.Payload) > 0 && len(f.Payload) > 0 && &m.Payload[0] == &f.Payload[0] {
			m.Payload = append([]byte(nil), m.Payload...)
		}
		return m, nil
	}
}
