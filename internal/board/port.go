package board

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/ipc"
)

// Mode is what a worker's channel carries.
type Mode uint8

// The modes: no channel, frames, or lines of JSON-RPC.
const (
	None Mode = iota
	Frames
	Lines
)

// ownership says whether a link carries nodes' own messages beside frames.
type ownership uint8

const (
	framesOnly ownership = iota
	ownMessages
)

// Port is one link with its descriptors: what has been read of a frame that is
// not whole, and what has not been written yet. A worker without a channel has
// one too, which carries nothing.
type Port struct {
	// Data is the node's; the board does not look at it.
	Data any
	// Theirs are the descriptors for the process at the other end, which reads
	// from the first: the caller hands them to the process and then calls
	// CloseTheirs. -1: the link carries nothing.
	Theirs [2]int

	link    *ipc.Link
	own     ownership
	slot    int32
	turn    int32         // which of the links with this slot
	r, w    int32         // -1: closed
	split   *ipc.Splitter // nil: the link carries nothing, or no more
	lines   *ipc.Lines    // nil: frames
	out     queue
	lanes   *lanes         // behind out, on a link between nodes; nil: nothing
	molts   bool           // between two images of one life: what is for it is kept
	kept    []byte         // meanwhile
	pieces  *ipc.Assembler // of the other node's own messages; nil: it is none
	full    bool           // the pipe has no room, and epoll will say when it has
	dirty   bool
	drained bool    // a lane has become empty
	floods  bool    // its last read was as long as could be, and all small frames
	client  *client // instead of descriptors
}

// errDeaf ends the reading of a buffer from a link that is closed meanwhile.
var errDeaf = errors.New("reading a link: closed")

// Addr is the address of the life at the other end.
func (p *Port) Addr() ipc.Addr { return p.link.Addr() }

// AddWorker makes the link of a worker's life that is about to start. Its
// $hello stands in the pipe already: of h, what the board knows is filled in.
func (b *Board) AddWorker(path string, incarnation uint64, mode Mode, h ipc.Hello) (*Port, error) {
	p := &Port{Theirs: [2]int{-1, -1}, r: -1, w: -1}
	if mode != None {
		p.split = &ipc.Splitter{Spare: &b.parts}
		if err := p.open(path); err != nil {
			return nil, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	p.link = b.sw.AddWorker(path, incarnation, mode != None)
	p.link.Data = p
	switch mode {
	case None:
		return p, nil
	case Lines:
		p.lines = &ipc.Lines{Limit: h.MaxMessage}
	}
	if err := b.watch(p); err != nil {
		b.forget(p, ipc.Down{Reason: "abnormal", Detail: err.Error()})
		return nil, err
	}
	h.Protocol = []int{ipc.Version}
	h.Path, h.Addr, h.Incarnation, h.Window = path, p.link.Addr(), incarnation, ipc.Window
	b.cast(p, ipc.VerbHello, h)
	b.flush()
	return p, nil
}

// Permit allows the worker at a link the verbs that change others.
func (b *Board) Permit(p *Port) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p.link.Manage = true
}

// AddNode makes the link of a supervisor's process that is about to start.
// What hello returns for its address goes before everything else.
func (b *Board) AddNode(path string, incarnation uint64, hello func(ipc.Addr) ipc.Message) (*Port, error) {
	p := &Port{own: ownMessages, split: &ipc.Splitter{Spare: &b.parts}, pieces: &ipc.Assembler{Limit: ipc.MaxMessage}}
	if err := p.open(path); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	p.link = b.sw.AddNode(path, incarnation)
	p.link.Data = p
	if err := b.watch(p); err != nil {
		b.forget(p, ipc.Down{Reason: "abnormal", Detail: err.Error()})
		return nil, err
	}
	m := hello(p.link.Addr())
	b.sendOwn(p, &m)
	b.flush()
	return p, nil
}

// open makes the two pipes. Only our ends do not block.
func (p *Port) open(path string) error {
	var down, up [2]int
	if err := unix.Pipe2(down[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("making the channel of %s: %w", path, err)
	}
	if err := unix.Pipe2(up[:], unix.O_CLOEXEC); err != nil {
		unix.Close(down[0])
		unix.Close(down[1])
		return fmt.Errorf("making the channel of %s: %w", path, err)
	}
	p.r, p.w = int32(up[0]), int32(down[1])
	p.Theirs = [2]int{down[0], up[1]}
	if err := errors.Join(unix.SetNonblock(up[0], true), unix.SetNonblock(down[1], true)); err != nil {
		p.close()
		return fmt.Errorf("making the channel of %s non-blocking: %w", path, err)
	}
	return nil
}

// CloseTheirs closes the other side's ends in this process, once the process
// of the other side has them, or will never be.
func (p *Port) CloseTheirs() {
	for i, fd := range p.Theirs {
		if fd >= 0 {
			unix.Close(fd)
			p.Theirs[i] = -1
		}
	}
}

func (p *Port) close() {
	p.CloseTheirs()
	for _, fd := range [...]*int32{&p.r, &p.w} {
		if *fd >= 0 {
			unix.Close(int(*fd))
			*fd = -1
		}
	}
}

// watch gives a link its number and has epoll wait for what comes from it.
func (b *Board) watch(p *Port) error {
	if n := len(b.free); n > 0 {
		p.slot = b.free[n-1]
		b.free = b.free[:n-1]
		b.ports[p.slot] = p
	} else {
		p.slot = int32(len(b.ports))
		b.ports = append(b.ports, p)
	}
	b.turns += sides + 1
	p.turn = b.turns
	// Of the writing end epoll tells each time that it has room again, so that
	// a pipe that fills and empties all the time costs no calls to say so.
	out := unix.EpollEvent{Events: unix.EPOLLOUT | unix.EPOLLET, Fd: p.slot, Pad: p.turn | sideWrite}
	err := unix.EpollCtl(b.fd, unix.EPOLL_CTL_ADD, int(p.w), &out)
	if !b.holds(p) {
		err = errors.Join(err, b.listen(p))
	}
	if err != nil {
		return fmt.Errorf("watching a link: %w", err)
	}
	return nil
}

// holds says whether a link is not read for now.
func (b *Board) holds(p *Port) bool { return b.held && p != b.parent && p.own == ownMessages }

// listen has epoll tell of what comes from a link.
func (b *Board) listen(p *Port) error {
	in := unix.EpollEvent{Events: unix.EPOLLIN, Fd: p.slot, Pad: p.turn | sideRead}
	return unix.EpollCtl(b.fd, unix.EPOLL_CTL_ADD, int(p.r), &in)
}

// interest tells epoll what is wanted of a link now. A link that is held is
// taken out and comes in again, rather than changed in place: a change tells
// those who wait nothing of a descriptor that epoll has still on its list from
// the last time, and the board would sleep with a full pipe before it.
func (b *Board) interest(p *Port) {
	if b.holds(p) {
		_ = unix.EpollCtl(b.fd, unix.EPOLL_CTL_DEL, int(p.r), nil) // it is there: see watch
		return
	}
	if err := b.listen(p); err != nil {
		b.ended(p, Ended{From: p, Why: "listening to it again: " + err.Error()})
	}
}

// closeRead ends the reading from a link. The descriptor is taken out of epoll
// by name: a child between fork and exec may hold a copy of it.
func (b *Board) closeRead(p *Port) {
	if p.r < 0 {
		return
	}
	_ = unix.EpollCtl(b.fd, unix.EPOLL_CTL_DEL, int(p.r), nil)
	unix.Close(int(p.r))
	p.r = -1
	p.split = nil
}

// closeWrite ends the writing to a link, and drops what waits for it.
func (b *Board) closeWrite(p *Port) {
	if p.w < 0 {
		return
	}
	_ = unix.EpollCtl(b.fd, unix.EPOLL_CTL_DEL, int(p.w), nil)
	unix.Close(int(p.w))
	p.w = -1
	b.queued -= p.waits()
	b.recycle(p.out.clear())
	b.clearLanes(p)
	p.kept = nil
}

// Drain reads what the process of a link wrote before its end, as far as it is
// there. The process has been reaped.
func (b *Board) Drain(p *Port) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range lastReads {
		if !b.read(p) {
			break
		}
	}
	b.flush()
}

// Cut ends the traffic of a link whose process has been reaped, after Drain:
// calls that it has not answered are answered with the way it ended. What it
// left may still live; End follows.
func (b *Board) Cut(p *Port, down ipc.Down) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sw.Cut(p.link, down)
	b.closeWrite(p)
	b.flush()
}

// End ends a link and the life at its end, of which nothing is left. Whoever
// monitors it is told, and its names are free. Only then may a successor start.
func (b *Board) End(p *Port, down ipc.Down) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(p, down)
	b.flush()
}

func (b *Board) forget(p *Port, down ipc.Down) {
	b.sw.End(p.link, down)
	b.closeRead(p)
	b.closeWrite(p)
	p.close()
	if int(p.slot) < len(b.ports) && b.ports[p.slot] == p {
		b.ports[p.slot] = nil
		b.free = append(b.free, p.slot)
	}
}

// Queued is how many bytes wait for the other end of a link to read them.
func (b *Board) Queued(p *Port) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return p.waits()
}

// waits is how many bytes have not been written.
func (p *Port) waits() int {
	n := p.out.size() + len(p.kept)
	if p.lanes != nil {
		n += p.lanes.size
	}
	return n
}
