package board

import (
	"encoding/binary"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/ipc"
)

// ownID is set in the id of every frame that one node sends to the next on
// its own account, and in no id that a switch gives: those are the place of a
// slot, below 2^31, in their low half, or 0.
const ownID = 1 << 31

// Send queues a message of this node's own for the node at the other end of a
// link, and does not wait. A message without an id gets one; it is returned.
func (b *Board) Send(p *Port, m ipc.Message) (id uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	id = b.sendOwn(p, &m)
	b.flush()
	return id
}

// Up is Send to the parent, and waits while more than 24 MiB wait for it: a
// record is never lost, and the parent always reads. Where the parent is gone,
// it does nothing.
func (b *Board) Up(m ipc.Message) { b.up(m, (*Port).waits, upMark) }

// UpLines is Up for what children print. It waits while more than 1 MiB of what
// this node says itself waits for the parent: a flood has no need of the room
// that records are given, and would only make them late.
func (b *Board) UpLines(m ipc.Message) { b.up(m, (*Port).ownWaits, linesMark) }

// ownWaits is how many bytes of the node's own have not been written.
func (p *Port) ownWaits() int { return p.out.size() + p.lanes.wait(ownLane) }

func (b *Board) up(m ipc.Message, waits func(*Port) int, mark int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waitUp(waits, mark)
	b.sendOwn(b.parent, &m)
	b.flush()
}

// FlushUp waits until the parent's pipe has everything.
func (b *Board) FlushUp() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waitUp((*Port).waits, 0)
	b.flush()
}

// lookAgain is how long waitUp waits at most before it looks whether there is
// still a parent, in ms: between its look and its wait the descriptor may have
// been closed, and its number be that of another pipe by now.
const lookAgain = 1000

// waitUp waits until no more than that many bytes wait for the parent. It
// writes for itself: the board's goroutine may be waiting for the lock.
func (b *Board) waitUp(waits func(*Port) int, most int) {
	for b.parent.w >= 0 && waits(b.parent) > most {
		fds := []unix.PollFd{{Fd: b.parent.w, Events: unix.POLLOUT}}
		b.mu.Unlock()
		_, _ = unix.Poll(fds, lookAgain) // EINTR is another round
		b.mu.Lock()
		b.parent.full = false
		b.write(b.parent)
	}
}

func (b *Board) sendOwn(p *Port, m *ipc.Message) uint64 {
	if m.ID == 0 {
		b.lastID++
		m.ID = b.lastID<<32 | ownID
	}
	err := m.Frames(nil, func(f *ipc.Frame) error {
		b.enqueue(p, f, nil)
		return nil
	})
	if err != nil {
		panic("writing to a node: " + err.Error()) // its methods are short
	}
	return m.ID
}

// mine takes a frame of the other node's own. Output changes nothing that this
// node decides by, so it goes on at once.
func (b *Board) mine(p *Port, f *ipc.Frame) error {
	m, done, err := p.pieces.Add(f)
	if err != nil || !done {
		return err
	}
	if m.Method == ipc.VerbOutput {
		if b.output != nil {
			b.output(m.Payload)
		} else {
			m.ID = 0
			b.sendOwn(b.parent, &m)
		}
		return nil
	}
	if f.Flags&ipc.More == 0 && len(m.Payload) == len(f.Payload) {
		m.Payload = append([]byte(nil), m.Payload...) // it is the buffer's
	}
	b.post(Own{From: p, Message: m})
	return nil
}

// First reads the first message of a link from a descriptor that blocks, and
// not a byte more: a new node's hello, before it has a board.
func First(fd int) (ipc.Message, error) {
	pieces := ipc.Assembler{Limit: ipc.MaxMessage}
	for {
		f, err := readFrame(blocking(fd))
		if err != nil {
			return ipc.Message{}, fmt.Errorf("reading a link's first message: %w", err)
		}
		m, done, err := pieces.Add(&f)
		if err != nil {
			return ipc.Message{}, fmt.Errorf("reading a link's first message: %w", err)
		}
		if done {
			return m, nil
		}
	}
}

// readFrame reads exactly one frame.
func readFrame(r io.Reader) (ipc.Frame, error) {
	head := make([]byte, ipc.HeaderSize)
	if _, err := io.ReadFull(r, head); err != nil {
		return ipc.Frame{}, err
	}
	if _, _, err := ipc.Next(head); err != nil {
		return ipc.Frame{}, err // its length is no length
	}
	frame := append(head, make([]byte, binary.BigEndian.Uint32(head)+4-ipc.HeaderSize)...)
	if _, err := io.ReadFull(r, frame[ipc.HeaderSize:]); err != nil {
		return ipc.Frame{}, err
	}
	f, _, err := ipc.Next(frame)
	return f, err
}

// blocking reads a descriptor that stays its owner's.
type blocking int

func (fd blocking) Read(b []byte) (int, error) {
	for {
		n, err := unix.Read(int(fd), b)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, err
		case n == 0 && len(b) > 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}
