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
	maxClosing  = 256      // lives that have ended and are not drained yet; Close waits over that
)

// wakeSlot is the slot by which epoll knows the pump's own wake-up.
const wakeSlot = -1

// Pump reads what all children of one node print. One goroutine waits for all
// pipes with one epoll; a child that is silent costs no goroutine and no
// buffer. The goroutine alone reads, closes and delivers, so that a sink that
// waits keeps nobody else waiting. The methods may be called from any
// goroutine, but not from the sink.
type Pump struct {
	sink  func(Batch)
	epoll *os.File
	fd    int
	wake  int // an eventfd: there is something in closing or fired
	done  chan struct{}

	buffer []byte // the goroutine's own

	mu      sync.Mutex
	lives   map[tree.Ref]*life
	slots   []*life // by the number that epoll knows a life by
	free    []int32
	recent  map[string]*recent
	closing []*life
	drained sync.Cond
	fired   []func()
	ending  bool
}

// life is one life of a child.
type life struct {
	path        string
	incarnation uint64
	slot        int32

	fds   [2]int32 // stdout and stderr; -1: closed
	tails [2]tail

	watch  *watch  // guarded by the pump's lock, like recent
	recent *recent // nil until it prints
}

// watch waits for one line of a life.
type watch struct {
	match func(line []byte) bool
	fired func()
}

// NewPump starts a pump that gives all lines to sink, from one goroutine, and
// in order for each stream. A sink that waits makes all children of the pump
// wait once their pipes are full; nothing is lost meanwhile.
func NewPump(sink func(Batch)) (*Pump, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making an epoll for the children's output: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err == nil {
		err = unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: wakeSlot})
	}
	// The runtime's poller waits for our epoll like for any other descriptor,
	// which saves the thread that a blocking epoll_wait would take.
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		unix.Close(fd)
		unix.Close(wake)
		return nil, fmt.Errorf("waiting for the children's output: %w", err)
	}
	p := &Pump{
		sink:   sink,
		epoll:  os.NewFile(uintptr(fd), "epoll"),
		fd:     fd,
		wake:   wake,
		done:   make(chan struct{}),
		lives:  make(map[tree.Ref]*life),
		recent: make(map[string]*recent),
	}
	p.drained.L = &p.mu
	raw, err := p.epoll.SyscallConn()
	if err != nil {
		p.epoll.Close()
		unix.Close(wake)
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

// Watch has fired called once, from the pump's goroutine, when a life prints a
// line that matches, or has printed one among its last lines, or else when the
// life has been closed and its last line was looked at. match is given each
// line without its newline and must not keep it.
func (p *Pump) Watch(ref tree.Ref, match func(line []byte) bool, fired func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.lives[ref]
	if l == nil {
		return
	}
	if l.recent != nil {
		for _, line := range l.recent.lines {
			if line.Incarnation == l.incarnation && match([]byte(line.Text)) {
				p.fired = append(p.fired, fired)
				p.poke()
				return
			}
		}
	}
	l.watch = &watch{match, fired}
}

// Close ends a life: what is still in its pipes is read, up to their end or to
// what a descendant that holds them open has not printed yet, a last piece
// without newline is delivered, and the pipes are closed. All of this happens
// soon, and not before Close returns. Its last lines stay.
func (p *Pump) Close(ref tree.Ref) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.closing) >= maxClosing && !p.ending {
		p.drained.Wait()
	}
	p.close(ref)
}

func (p *Pump) close(ref tree.Ref) {
	l := p.lives[ref]
	if l == nil {
		return
	}
	delete(p.lives, ref)
	p.closing = append(p.closing, l)
	p.poke()
}

// poke wakes the goroutine, under the lock.
func (p *Pump) poke() {
	one := [8]byte{7: 1} // in either byte order it is not 0
	// An eventfd that is full has woken it already.
	_, _ = unix.Write(p.wake, one[:])
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

// Stop closes every life, and returns when what is left of each is delivered
// and the pump has ended. Only the first call does anything.
func (p *Pump) Stop() {
	p.mu.Lock()
	if !p.ending {
		p.ending = true
		for ref := range p.lives {
			p.close(ref)
		}
		p.poke()
	}
	p.mu.Unlock()
	<-p.done
}

// run serves pipes until the pump is stopped.
func (p *Pump) run(raw syscall.RawConn) {
	defer close(p.done)
	defer unix.Close(p.wake)
	defer p.epoll.Close()
	events := make([]unix.EpollEvent, readyAtOnce)
	for {
		var ready int
		err := raw.Read(func(fd uintptr) bool {
			n, err := unix.EpollWait(int(fd), events, 0)
			ready = max(n, 0)
			return n != 0 && err != unix.EINTR
		})
		if err != nil {
			return // the epoll cannot be waited for, so nothing more can come
		}
		woken := false
		for _, event := range events[:ready] {
			if event.Fd == wakeSlot {
				woken = true
				continue
			}
			p.serve(event)
		}
		ended := woken && p.drain()
		if p.fire(); ended {
			return
		}
	}
}

// serve reads once from one pipe.
func (p *Pump) serve(event unix.EpollEvent) {
	p.mu.Lock()
	l := p.slots[event.Fd]
	p.mu.Unlock()
	if l != nil { // else its life was drained by an earlier event of this batch
		p.read(l, int(event.Pad))
	}
}

// fire calls whoever waited for a line, without the lock: he may well be
// waiting for somebody who calls the pump.
func (p *Pump) fire() {
	p.mu.Lock()
	fired := p.fired
	p.fired = nil
	p.mu.Unlock()
	for _, f := range fired {
		f()
	}
}

// drain finishes the lives that have ended. True: the pump has, too.
func (p *Pump) drain() (ended bool) {
	var count [8]byte
	_, _ = unix.Read(p.wake, count[:]) // empty only if nobody has poked
	p.mu.Lock()
	closing, ended := p.closing, p.ending
	p.closing = nil
	p.mu.Unlock()
	for _, l := range closing {
		for i := range l.fds {
			for range lastReads {
				if !p.read(l, i) {
					break
				}
			}
			p.finish(l, i)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range closing {
		if l.watch != nil {
			p.fired = append(p.fired, l.watch.fired)
		}
		p.slots[l.slot] = nil
		p.free = append(p.free, l.slot)
	}
	p.drained.Broadcast()
	return ended
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
	b := Batch{Path: l.path, Stream: Stream(i + 1), Lines: lines}
	p.note(l, b)
	p.sink(b)
}

// note keeps the last lines, and looks for the one that is waited for.
func (p *Pump) note(l *life, b Batch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.recent == nil {
		l.recent = p.keep(l.path)
	}
	l.recent.add(time.Now().UTC(), b.Stream, l.incarnation, b.Lines)
	if l.watch != nil && l.watch.sees(b.Lines) {
		p.fired = append(p.fired, l.watch.fired)
		l.watch = nil
	}
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
