package output

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/tree"
)

// The bounds of the pump.
const (
	readSize    = 64 << 10 // bytes read from one pipe in one turn, so that a flood starves nobody
	readyAtOnce = 64       // pipes served before the kernel is asked again
	lastReads   = 16       // reads of a pipe when its child has ended: a descendant may hold it open and go on printing
)

// Pump reads what all children of one node print. One goroutine waits for all
// pipes with one epoll; a child that is silent costs no goroutine and no
// buffer. Its methods may be called from any goroutine, but not from the sink.
type Pump struct {
	sink  func(Batch)
	epoll *os.File
	fd    int
	done  chan struct{}

	mu     sync.Mutex
	lives  map[tree.Ref]*life
	slots  []*life // by the number that epoll knows a life by
	free   []int32
	recent map[string]*recent
	buffer []byte // shared by all reads
	fired  []func()
}

// life is one life of a child.
type life struct {
	path        string
	incarnation uint64
	slot        int32
	fds         [2]int32 // stdout and stderr; -1: closed
	tails       [2]tail
	watch       *watch
	recent      *recent // nil until it prints
}

// watch waits for one line of a life.
type watch struct {
	match func(line []byte) bool
	fired func()
}

// NewPump starts a pump that gives all lines to sink, from one goroutine at a
// time, and in order for each stream. A sink that waits makes all children of
// the pump wait once their pipes are full; nothing is lost meanwhile.
func NewPump(sink func(Batch)) (*Pump, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making an epoll for the children's output: %w", err)
	}
	// The runtime's poller waits for our epoll like for any other descriptor,
	// which saves the thread that a blocking epoll_wait would take.
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("making the epoll for the children's output non-blocking: %w", err)
	}
	p := &Pump{
		sink:   sink,
		epoll:  os.NewFile(uintptr(fd), "epoll"),
		fd:     fd,
		done:   make(chan struct{}),
		lives:  make(map[tree.Ref]*life),
		recent: make(map[string]*recent),
	}
	raw, err := p.epoll.SyscallConn()
	if err != nil {
		p.epoll.Close()
		return nil, fmt.Errorf("waiting for the children's output: %w", err)
	}
	go p.run(raw)
	return p, nil
}

// Add takes over the reading ends of a new life's pipes, which must be
// non-blocking; -1 is none. The pump closes them at their end, and in Close.
func (p *Pump) Add(ref tree.Ref, path string, stdout, stderr int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := &life{path: path, incarnation: ref.Incarnation, fds: [2]int32{int32(stdout), int32(stderr)}, recent: p.recent[path]}
	l.slot = p.take(l)
	p.lives[ref] = l
	var errs []error
	for i, fd := range l.fds {
		if fd < 0 {
			continue
		}
		event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: l.slot, Pad: int32(i)}
		if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, int(fd), &event); err != nil {
			errs = append(errs, fmt.Errorf("watching the output of %s: %w", path, err))
			l.close(i)
		}
	}
	return errors.Join(errs...)
}

// take gives a life its number.
func (p *Pump) take(l *life) int32 {
	if n := len(p.free); n > 0 {
		slot := p.free[n-1]
		p.free = p.free[:n-1]
		p.slots[slot] = l
		return slot
	}
	p.slots = append(p.slots, l)
	return int32(len(p.slots) - 1)
}

// Watch has fired called once, from a goroutine of the pump's, when a life has
// printed a line that matches. match is given each line without its newline
// and must not keep it. What was printed before Watch is not looked at, so it
// is called right after Add, with the life's process still to be waited for;
// the last lines, which Close reads, are given to match alone.
func (p *Pump) Watch(ref tree.Ref, match func(line []byte) bool, fired func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.lives[ref]; l != nil {
		l.watch = &watch{match, fired}
	}
}

// Close ends a life: what is still in its pipes is read, up to their end or to
// what a descendant that holds them open has not printed yet, a last piece
// without newline is delivered, and the pipes are closed. Its last lines stay.
func (p *Pump) Close(ref tree.Ref) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.lives[ref]
	if l == nil {
		return
	}
	told := len(p.fired)
	for i := range l.fds {
		for range lastReads {
			if !p.read(l, i) {
				break
			}
		}
		p.finish(l, i)
	}
	p.fired = p.fired[:told] // whoever calls Close knows by match already
	delete(p.lives, ref)
	p.slots[l.slot] = nil
	p.free = append(p.free, l.slot)
}

// Last is the last lines of a path, over all its lives, oldest first: n of
// them, at most KeptLines.
func (p *Pump) Last(path string, n int) []Line {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.recent[path]
	if r == nil || n <= 0 {
		return nil
	}
	return slices.Clone(r.lines[max(0, len(r.lines)-n):])
}

// Forget drops the last lines of a path that is gone for good.
func (p *Pump) Forget(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.recent, path)
}

// Stop closes every life, delivers what is left of each, and ends the pump.
func (p *Pump) Stop() {
	p.mu.Lock()
	refs := make([]tree.Ref, 0, len(p.lives))
	for ref := range p.lives {
		refs = append(refs, ref)
	}
	p.mu.Unlock()
	for _, ref := range refs {
		p.Close(ref)
	}
	p.epoll.Close()
	<-p.done
}

// run serves pipes until the pump is stopped.
func (p *Pump) run(raw syscall.RawConn) {
	defer close(p.done)
	events := make([]unix.EpollEvent, readyAtOnce)
	for {
		var ready int
		err := raw.Read(func(fd uintptr) bool {
			n, err := unix.EpollWait(int(fd), events, 0)
			ready = max(n, 0)
			return n != 0 && err != unix.EINTR
		})
		if err != nil {
			return // Stop closed the epoll
		}
		for _, event := range events[:ready] {
			p.serve(event)
		}
	}
}

// serve reads once from one pipe, and then calls whoever waited for a line,
// without the lock: he may well be waiting for whoever calls Close.
func (p *Pump) serve(event unix.EpollEvent) {
	p.mu.Lock()
	if l := p.slots[event.Fd]; l != nil {
		p.read(l, int(event.Pad))
	}
	fired := p.fired
	p.fired = nil
	p.mu.Unlock()
	for _, f := range fired {
		f()
	}
}

// read takes one buffer from a pipe. False: there is no more now, or ever.
func (p *Pump) read(l *life, i int) bool {
	if l.fds[i] < 0 {
		return false
	}
	if p.buffer == nil {
		p.buffer = make([]byte, readSize)
	}
	n, err := unix.Read(int(l.fds[i]), p.buffer)
	switch {
	case err == unix.EAGAIN:
		return false
	case err == unix.EINTR:
		return true
	case err != nil || n == 0:
		p.finish(l, i)
		return false
	}
	l.tails[i].split(p.buffer[:n], func(lines []byte) { p.deliver(l, i, lines) })
	return true
}

// finish delivers a last piece without newline and closes the pipe.
func (p *Pump) finish(l *life, i int) {
	l.tails[i].flush(func(lines []byte) { p.deliver(l, i, lines) })
	l.close(i)
}

func (l *life) close(i int) {
	if l.fds[i] >= 0 {
		unix.Close(int(l.fds[i]))
		l.fds[i] = -1
	}
}

// deliver hands whole lines on.
func (p *Pump) deliver(l *life, i int, lines []byte) {
	stream := Stream(i + 1)
	if l.recent == nil {
		l.recent = p.keep(l.path)
	}
	l.recent.add(time.Now().UTC(), stream, l.incarnation, lines)
	if l.watch != nil && l.watch.sees(lines) {
		p.fired = append(p.fired, l.watch.fired)
		l.watch = nil
	}
	p.sink(Batch{Path: l.path, Stream: stream, Lines: lines})
}

// keep is where the last lines of a path go.
func (p *Pump) keep(path string) *recent {
	r := p.recent[path]
	if r == nil {
		r = &recent{}
		p.recent[path] = r
	}
	return r
}
