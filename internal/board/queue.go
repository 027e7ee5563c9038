package board

import (
	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/ipc"
)

// The bounds of what an idle board keeps: buffers for queues, used again by
// whichever link has something to write next.
const (
	spareBuffers = 16
	spareSize    = 128 << 10 // a larger one is not kept
	firstSize    = 4 << 10
)

// queue is what has not been written yet.
type queue struct {
	bytes []byte
	off   int
}

func (q *queue) size() int { return len(q.bytes) - q.off }

// clear empties the queue and gives its memory back.
func (q *queue) clear() []byte {
	b := q.bytes
	q.bytes, q.off = nil, 0
	return b
}

// room makes room for n more bytes without growing, where half of the memory
// has been written already.
func (q *queue) room(n int) {
	if q.off > 0 && len(q.bytes)+n > cap(q.bytes) && q.off >= len(q.bytes)/2 {
		q.bytes = q.bytes[:copy(q.bytes, q.bytes[q.off:])]
		q.off = 0
	}
}

func (b *Board) recycle(bytes []byte) {
	if bytes != nil && cap(bytes) <= spareSize && len(b.spare) < spareBuffers {
		b.spare = append(b.spare, bytes[:0])
	}
}

// enqueue puts a frame behind what waits for a link: on one between nodes,
// behind what is part of the same link's traffic.
func (b *Board) enqueue(p *Port, f *ipc.Frame, from *ipc.Link) {
	switch {
	case p.w < 0:
		return
	case p.lines != nil:
		b.enqueueLine(p, f)
		return
	case p.molts:
		p.kept = f.Append(p.kept)
		b.queued += f.Size()
		return
	case p.own == ownMessages && p.staged():
		if b.send(p); p.staged() {
			b.behind(p, f, laneOf(from))
			return
		}
	}
	b.begin(&p.out, f.Size())
	p.out.bytes = f.Append(p.out.bytes)
	b.grown(p, f.Size())
}

// enqueueLine is enqueue for a worker that speaks in lines.
func (b *Board) enqueueLine(p *Port, f *ipc.Frame) {
	line, back, err := p.lines.Out(f)
	if err != nil {
		return // nothing that a switch sends
	}
	if back != nil {
		b.late = append(b.late, late{p.link, back})
	}
	switch {
	case len(line) == 0:
		return
	case p.molts:
		p.kept = append(p.kept, line...)
		b.queued += len(line)
		return
	}
	b.begin(&p.out, len(line))
	p.out.bytes = append(p.out.bytes, line...)
	b.grown(p, len(line))
}

// begin readies a queue for n more bytes.
func (b *Board) begin(q *queue, n int) {
	if q.bytes != nil {
		q.room(n)
		return
	}
	if last := len(b.spare) - 1; last >= 0 {
		q.bytes, b.spare[last] = b.spare[last], nil
		b.spare = b.spare[:last]
		return
	}
	q.bytes = make([]byte, 0, max(firstSize, n))
}

// grown counts n more bytes in a link's queue. A queue that would fill a pipe
// is written at once, so that its reader need not wait for the end of the turn.
func (b *Board) grown(p *Port, n int) {
	b.queued += n
	if !p.dirty {
		p.dirty = true
		b.dirty = append(b.dirty, p)
	}
	if p.out.size() >= writeEarly && !p.full {
		b.send(p)
	}
}

// flush writes what has been queued for each link, and is the end of every
// turn. Senders that go on because a queue has shrunk add to what is dirty.
func (b *Board) flush() {
	b.settle()
	for i := 0; i < len(b.dirty); i++ {
		p := b.dirty[i]
		p.dirty = false
		b.write(p)
	}
	clear(b.dirty)
	b.dirty = b.dirty[:0]
	b.hold()
}

// write writes what waits for a link, as much as its pipe takes, and lets those
// go on who were asked to hold back.
func (b *Board) write(p *Port) {
	b.send(p)
	if p.link != nil && p.link.Busy() && (p.own != ownMessages || p.drained) {
		p.drained = false
		b.sw.Drained(p.link)
	}
}

// send writes what waits for a link, as much as its pipe takes.
func (b *Board) send(p *Port) {
	for b.sendQueue(p) && b.stage(p) {
	}
}

// sendQueue writes once. True: all that stood in the queue.
func (b *Board) sendQueue(p *Port) bool {
	if p.w < 0 || p.full || p.out.size() == 0 {
		return false
	}
	n, err := unix.Write(int(p.w), p.out.bytes[p.out.off:])
	for err == unix.EINTR {
		n, err = unix.Write(int(p.w), p.out.bytes[p.out.off:])
	}
	switch {
	case err == unix.EAGAIN:
		n = 0
	case err != nil:
		b.unread(p)
		return false
	}
	p.out.off += n
	b.queued -= n
	if p.full = p.out.size() > 0; !p.full {
		b.recycle(p.out.clear())
	}
	return !p.full
}
