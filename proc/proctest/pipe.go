package proctest

import (
	"io"
	"sync"
)

// pipe is a pipe in memory. A write never waits; what it holds is bounded by
// the windows and marks of the protocol, as with a real node.
type pipe struct {
	mu    sync.Mutex
	come  *sync.Cond
	bytes []byte
	err   error // once closed: what is read when nothing is left
}

func newPipe() *pipe {
	p := &pipe{}
	p.come = sync.NewCond(&p.mu)
	return p
}

func (p *pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.bytes) == 0 && p.err == nil {
		p.come.Wait()
	}
	if len(p.bytes) == 0 {
		return 0, p.err
	}
	n := copy(b, p.bytes)
	if p.bytes = p.bytes[n:]; len(p.bytes) == 0 {
		p.bytes = nil
	}
	return n, nil
}

func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return 0, io.ErrClosedPipe
	}
	p.bytes = append(p.bytes, b...)
	p.come.Signal()
	return len(b), nil
}

// close ends the pipe: what was written can still be read, then err. With
// now, what was written is lost.
func (p *pipe) close(err error, now bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now {
		p.bytes = nil
	}
	if p.err == nil {
		p.err = err
	}
	p.come.Broadcast()
}

func (p *pipe) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.bytes)
}
