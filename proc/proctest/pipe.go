package proctest

import (
	"io"
	"sync"
)

// pipe is a pipe in memory.
type pipe struct {
	mu    sync.Mutex
	come  *sync.Cond
	bytes []byte
	err   error // once closed: what is read when nothing is left

	// most bounds what it holds, like a real pipe, in bytes; 0: a write never
	// waits, and the marks of the protocol are the bound, as in a real node.
	most    int
	drained func() // called, if there is one, when little is left of much
}

// pipeSize is what a real pipe holds, drainMark what is little of it.
const (
	pipeSize  = 64 << 10
	drainMark = 64 << 10
)

func newPipe(most int) *pipe {
	p := &pipe{most: most}
	p.come = sync.NewCond(&p.mu)
	return p
}

func (p *pipe) Read(b []byte) (int, error) {
	n, drained, err := p.read(b)
	if drained && p.drained != nil {
		p.drained()
	}
	return n, err
}

func (p *pipe) read(b []byte) (n int, drained bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.bytes) == 0 && p.err == nil {
		p.come.Wait()
	}
	if len(p.bytes) == 0 {
		return 0, false, p.err
	}
	before := len(p.bytes)
	n = copy(b, p.bytes)
	if p.bytes = p.bytes[n:]; len(p.bytes) == 0 {
		p.bytes = nil
	}
	p.come.Broadcast()
	return n, before > drainMark && len(p.bytes) <= drainMark, nil
}

func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.err == nil && p.most > 0 && len(p.bytes) >= p.most {
		p.come.Wait()
	}
	if p.err != nil {
		return 0, io.ErrClosedPipe
	}
	p.bytes = append(p.bytes, b...)
	p.come.Broadcast()
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
