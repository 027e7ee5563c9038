// Package board moves frames between a node's pipes, and lets the switch route them.
//
// A Board has the node's ends of all its links: to its parent, to its workers
// that have a channel, and to the nodes below it. One goroutine waits for all
// of them with one epoll, reads what there is into one buffer, gives each frame
// to the ipc.Switch, and writes what the switch sent on, once for each link.
// Nobody ever waits for a writer: what a pipe does not take stays in the link's
// queue, which the switch's rules bound. A link that is idle has no buffer and
// no goroutine.
//
// A link between two nodes also carries the nodes' own messages (the hello,
// records, output, requests). They are told apart by their id, put together
// here and given to the node as news, in the order in which they came.
package board

import (
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/ipc"
)

// The bounds of a board.
const (
	readSize    = 64 << 10 // bytes read from one link in one turn
	floodSize   = 8 << 10  // the same of a link that sends small frames without end, so that its siblings need not wait long
	smallFrame  = 1 << 10  // what is small, in bytes
	readyAtOnce = 64       // links served before the kernel is asked again
	lastReads   = 128      // reads of a link whose process has ended: a descendant may hold it open and go on writing
	writeEarly  = 64 << 10 // queued for a link, it is written before the turn is over

	// newsMark is how much news may wait for the node before its child nodes
	// are not read any more, in bytes.
	newsMark = 8 << 20
	// linkMark is how much may wait for another node, in bytes, before calls to
	// it get busy and casts are dropped of those who fill it; over linkCap those
	// of all. Over upMark child nodes are not read any more, and Up waits. What is
	// between the two only answers and this node itself fill, so that no flood of
	// casts keeps it from its work.
	linkMark = 16 << 20
	linkCap  = 20 << 20
	upMark   = 24 << 20
	// linesMark is how much of its own may wait for the parent before lines
	// wait, too.
	linesMark = 1 << 20
)

// Board is the switchboard of one node. Its methods may be called from any
// goroutine unless they say otherwise.
type Board struct {
	sw     *ipc.Switch
	output func(payload []byte) // the root's; nil: output goes up
	epoll  *os.File
	fd     int
	done   chan struct{}

	numbered chan struct{} // closed when this node has its number
	bell     chan struct{} // has a token when there is news

	mu       sync.Mutex
	parent   *Port // nil in the root
	client   *client
	ports    []*Port // by the number that epoll knows a link by
	free     []int32
	turns    int32     // links so far, in the bits above sides: it tells those of one number apart
	buffer   []byte    // shared by all reads
	spare    [][]byte  // of queues
	parts    ipc.Spare // of frames that are not whole
	dirty    []*Port   // they have something to be written
	queued   int       // bytes in all queues
	from     *Port     // whose frames are being received
	frames   int       // how many of them have come in this read
	take     func(*ipc.Frame) error
	late     []late // for the switch, when it is not at work
	news     []News
	newsSize int
	held     bool // child nodes are not read for now
	closed   bool
	lastID   uint64
}

// NewRoot makes the board of a tree's root. output gets each $output that
// comes from below, and must neither wait nor keep the payload.
func NewRoot(output func(payload []byte)) (*Board, error) {
	b, err := newBoard()
	if err != nil {
		return nil, err
	}
	b.output = output
	b.sw = ipc.NewRoot((*host)(b))
	close(b.numbered)
	return b, b.start()
}

// NewNode makes the board of the supervisor at path, with the descriptors of
// the link to its parent, which it takes over. self is its address there. It
// asks for its number at once, see Numbered.
func NewNode(path string, self ipc.Addr, read, write int) (*Board, error) {
	b, err := newBoard()
	if err != nil {
		return nil, err
	}
	for _, fd := range [...]int{read, write} {
		unix.CloseOnExec(fd)
		if err := unix.SetNonblock(fd, true); err != nil {
			b.epoll.Close()
			return nil, fmt.Errorf("taking over the link to the parent: %w", err)
		}
	}
	b.parent = &Port{split: &ipc.Splitter{Spare: &b.parts}, Theirs: [2]int{-1, -1}, r: int32(read), w: int32(write), own: ownMessages, pieces: &ipc.Assembler{Limit: ipc.MaxMessage}}
	if err := b.watch(b.parent); err != nil {
		b.epoll.Close()
		return nil, err
	}
	b.sw, b.parent.link = ipc.NewNode((*host)(b), path, self)
	b.flush()
	return b, b.start()
}

func newBoard() (*Board, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making an epoll for the links: %w", err)
	}
	// The runtime's poller waits for our epoll like for any other descriptor,
	// which saves the thread that a blocking epoll_wait would take.
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("making the epoll for the links non-blocking: %w", err)
	}
	b := &Board{
		epoll: os.NewFile(uintptr(fd), "epoll"), fd: fd, done: make(chan struct{}),
		numbered: make(chan struct{}), bell: make(chan struct{}, 1), buffer: make([]byte, readSize),
	}
	b.take = b.receive
	return b, nil
}

func (b *Board) start() error {
	raw, err := b.epoll.SyscallConn()
	if err != nil {
		b.epoll.Close()
		return fmt.Errorf("waiting for the links: %w", err)
	}
	go b.run(raw)
	return nil
}

// Close ends the board's goroutine. The links' descriptors stay as they are:
// the process is about to end.
func (b *Board) Close() {
	b.mu.Lock()
	b.closed = true // it may be reading all the time
	b.mu.Unlock()
	b.epoll.Close()
	<-b.done
}

// Parent is the link to the parent; nil in the root.
func (b *Board) Parent() *Port { return b.parent }

// Numbered is closed when the root has given this node its number. Before
// that no link may be added.
func (b *Board) Numbered() <-chan struct{} { return b.numbered }

// run serves links until the board is closed. All of it happens inside the
// netpoller's Read: it remembers an edge that comes meanwhile, so that after a
// turn that has left nothing behind epoll need not be asked once more.
func (b *Board) run(raw syscall.RawConn) {
	defer close(b.done)
	events := make([]unix.EpollEvent, readyAtOnce)
	_ = raw.Read(func(fd uintptr) bool { // its error is that Close closed the epoll
		for {
			n, err := unix.EpollWait(int(fd), events, 0)
			if n == 0 || err != nil && err != unix.EINTR {
				return false
			}
			if n > 0 && b.turn(events[:n]) {
				return false
			}
		}
	})
}

// turn serves links that are ready. True: there was no more than that.
func (b *Board) turn(events []unix.EpollEvent) (done bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return true
	}
	done = len(events) < readyAtOnce
	floods := 0
	for i, event := range events {
		if p := b.of(event); p != nil && p.floods && event.Pad&sides == sideRead {
			events[floods], events[i] = event, events[floods]
			floods++
		} else if b.serve(event) {
			done = false
		}
	}
	b.flush()
	for _, event := range events[:floods] { // they come after everybody else
		if b.serve(event) {
			done = false
		}
	}
	if floods > 0 {
		b.flush()
	}
	return done
}

// The two descriptors of a link, as epoll's events name them, in the lowest bit
// of what the rest says which link of that number it is.
const (
	sideRead  = 0
	sideWrite = 1
	sides     = 1
)

// of is the link that an event is about. Between the moment that epoll gave the
// event and now the link may be gone and another have its number: then nil.
func (b *Board) of(event unix.EpollEvent) *Port {
	if p := b.ports[event.Fd]; p != nil && event.Pad&^sides == p.turn {
		return p
	}
	return nil
}

// serve reads once from a link, or writes once to it. True: there may be more
// to read.
func (b *Board) serve(event unix.EpollEvent) bool {
	p := b.of(event)
	switch {
	case p == nil:
	case event.Pad&sides == sideWrite && event.Events&unix.EPOLLERR != 0:
		b.unread(p)
	case event.Pad&sides == sideWrite:
		p.full = false
		b.write(p)
	default:
		// The end of the pipe is still to be read, behind what is in it.
		return b.read(p) || event.Events&unix.EPOLLHUP != 0
	}
	return false
}

// read takes one buffer from a link. False: there is no more now, or ever.
func (b *Board) read(p *Port) bool {
	if p.r < 0 {
		return false
	}
	buffer := b.buffer
	if p.floods {
		buffer = buffer[:floodSize]
	}
	n, err := unix.Read(int(p.r), buffer)
	switch {
	case err == unix.EAGAIN:
		return false
	case err == unix.EINTR:
		return true
	case err != nil || n == 0:
		b.ended(p, Ended{From: p})
		return false
	}
	b.from, b.frames = p, 0
	if p.lines != nil {
		err = p.lines.Feed(buffer[:n], b.take)
	} else {
		err = p.split.Feed(buffer[:n], b.take)
	}
	b.from = nil
	if bad, ok := err.(*ipc.Malformed); ok {
		b.broken(p, bad)
	}
	more := n == len(buffer)
	p.floods = more && n < b.frames*smallFrame
	return more && p.r >= 0
}

// receive takes one frame of the link that is being read.
func (b *Board) receive(f *ipc.Frame) error {
	p := b.from
	b.frames++
	if p.own == ownMessages && f.ID&ownID != 0 {
		return b.mine(p, f)
	}
	b.sw.Receive(p.link, f)
	if p.r < 0 {
		return errDeaf // broken, or ended by what it sent
	}
	return nil
}

// late is a frame as if a worker had sent it: the answer to a call that no line
// can carry.
type late struct {
	link  *ipc.Link
	frame *ipc.Frame
}

// settle gives the switch what had to wait for it.
func (b *Board) settle() {
	for len(b.late) > 0 {
		l := b.late[0]
		b.late = b.late[1:]
		b.sw.Receive(l.link, l.frame)
	}
	b.late = nil
}

// broken takes nothing more from a link that sent what no peer may.
func (b *Board) broken(p *Port, bad *ipc.Malformed) {
	if p.r < 0 {
		return
	}
	b.ended(p, Ended{From: p, Why: bad.Error(), Head: bad.Head})
}

// unread ends the writing to a link whose other end reads no more.
func (b *Board) unread(p *Port) {
	if p.w < 0 {
		return
	}
	b.closeWrite(p)
	b.post(Ended{From: p, Why: "it does not read its channel any more"})
}

// ended takes nothing more from a link. What waits for the parent is answered
// now; for a child that is done at its death, when its reason is known.
func (b *Board) ended(p *Port, why Ended) {
	b.closeRead(p)
	if p == b.parent {
		b.sw.Cut(p.link, ipc.Down{Reason: "killed"})
	}
	b.post(why)
}

// hold stops reading from child nodes while too much of what they tell waits
// to be handled here or above, and goes on when there is room again. The root
// waits for nobody, so that it always goes on; the way down is always read.
func (b *Board) hold() {
	up := 0
	if b.parent != nil {
		up = b.parent.waits()
	}
	full := b.newsSize > newsMark || up > upMark
	if b.held && !full {
		full = b.newsSize > newsMark/2 || up > linkCap // more than a flood alone can fill
	}
	if full == b.held {
		return
	}
	b.held = full
	for _, p := range b.ports {
		if p != nil && p != b.parent && p.own == ownMessages && p.r >= 0 {
			b.interest(p)
		}
	}
}
