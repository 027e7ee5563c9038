package board

import (
	"encoding/binary"

	"github.com/supertrees/supervise/ipc"
)

// The bounds of a link between nodes that has more to carry than its pipe takes.
const (
	stageSize = 16 << 10 // queued for the pipe itself, in bytes: nothing overtakes that any more
	laneTurn  = 4 << 10  // of one lane, in bytes, before the next has its turn
)

// lanes is what waits behind the queue of a link between nodes, while its pipe
// is full. One pipe carries what all workers of a node send to others, so each
// of them, and each node behind it, has a queue of its own here, of which the
// pipe gets some bytes in turn (deficit round robin): who sends little does not
// stand behind one who floods. The order of each one's frames is kept.
type lanes struct {
	of   map[string]*lane
	ring []*lane // the same ones
	next int     // whose turn it is
	size int     // bytes in all of them
}

type lane struct {
	queue
	name   string
	credit int // what it may send in this turn, in bytes; below 0 after a large frame
}

// ownLane is for what nodes say to each other, all of which keeps its order.
const ownLane = ""

// laneOf names the lane of what is part of a link's traffic. The lives of one
// path share it, so that a successor never overtakes the end of who was before.
func laneOf(from *ipc.Link) string {
	switch {
	case from == nil:
		return ownLane
	case from.Kind() == ipc.ToParent:
		return ".."
	case from.Kind() == ipc.ToClient:
		return "."
	}
	return from.Path()
}

// staged says whether a link's queue has what it may have.
func (p *Port) staged() bool { return p.lanes != nil || p.out.size() >= stageSize }

// wait is how many bytes are in the lane of that name.
func (l *lanes) wait(name string) int {
	if l == nil || l.of[name] == nil {
		return 0
	}
	return l.of[name].size()
}

// behind puts a frame into its lane.
func (b *Board) behind(p *Port, f *ipc.Frame, name string) {
	if p.lanes == nil {
		p.lanes = &lanes{of: map[string]*lane{}}
	}
	l := p.lanes.of[name]
	if l == nil {
		l = &lane{name: name}
		p.lanes.of[name] = l
		p.lanes.ring = append(p.lanes.ring, l)
	}
	n := f.Size()
	b.begin(&l.queue, n)
	l.bytes = f.Append(l.bytes)
	p.lanes.size += n
	b.queued += n
}

// stage gives an empty queue the next of what waits in lanes. False: there is
// nothing.
func (b *Board) stage(p *Port) bool {
	all := p.lanes
	if all == nil {
		return false
	}
	b.begin(&p.out, stageSize)
	for p.out.size() < stageSize && len(all.ring) > 0 {
		all.next %= len(all.ring)
		l := all.ring[all.next]
		p.out.bytes = l.turn(p.out.bytes)
		if all.next++; l.size() == 0 {
			all.next--
			b.leave(p, all.next)
		}
	}
	all.size -= p.out.size()
	if len(all.ring) == 0 {
		p.lanes = nil
	}
	return true
}

// turn takes as many frames of a lane as it may send now.
func (l *lane) turn(to []byte) []byte {
	l.credit += laneTurn
	for l.credit > 0 && l.size() > 0 {
		n := int(binary.BigEndian.Uint32(l.bytes[l.off:])) + 4 // as the frame begins
		to = append(to, l.bytes[l.off:l.off+n]...)
		l.off += n
		l.credit -= n
	}
	return to
}

// leave takes an empty lane out of the ring.
func (b *Board) leave(p *Port, i int) {
	all := p.lanes
	l, last := all.ring[i], len(all.ring)-1
	all.ring[i], all.ring[last] = all.ring[last], nil
	all.ring = all.ring[:last]
	delete(all.of, l.name)
	b.recycle(l.clear())
	p.drained = true
}

// clearLanes drops what waits in lanes.
func (b *Board) clearLanes(p *Port) {
	if p.lanes == nil {
		return
	}
	for _, l := range p.lanes.ring {
		b.recycle(l.clear())
	}
	p.lanes = nil
}
