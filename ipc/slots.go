package ipc

// slot is one message under way: a call between its acceptance and its
// outcome, or a message of which pieces still come.
type slot struct {
	gen  uint32
	used bool
	as   counted
	cast bool
	more bool // pieces still come from in
	here bool // for this node itself
	// local is a monitor of the life at out, which knows nothing of it.
	local bool

	in   *Link // whom the outcome is owed; nil: this node itself, or nobody any more
	inID uint64
	out  *Link // where it went; nil: here, or nowhere
	dst  Addr

	watcher *Link // the worker whose link to another this monitor is
	about   *verb // what its answer changes here

	inPrev, inNext   int32 // index + 1 in in.ins; inNext is the free list as well
	outPrev, outNext int32
}

// counted is the bound of a link that a slot counts against.
type counted uint8

const (
	asCall counted = iota
	asMonitor
	asPieces
)

// list is a list of slots by index + 1.
type list struct {
	head, tail int32
	n          int
}

// label is the id under which the message of a slot is known at out. It is
// not used again when the slot is, so a late answer finds nothing.
func (s *Switch) label(at int32) uint64 { return uint64(s.slots[at].gen)<<32 | uint64(at) }

func (s *Switch) find(label uint64) (at int32, ok bool) {
	i := label & (1<<32 - 1)
	if i >= uint64(len(s.slots)) || !s.slots[i].used || s.slots[i].gen != uint32(label>>32) {
		return 0, false
	}
	return int32(i), true
}

// lane is whose traffic the message of a slot is part of, see Host.Send: its
// sender's. What changes the tables of names must not be overtaken by the news
// of its sender's end, which is no part of that: it stays behind what nodes say.
func (t *slot) lane() *Link {
	if t.about != nil && t.about.ofTables() {
		return nil
	}
	return t.in
}

// take opens a slot for the message that in sent as id and that goes to out.
// Both may be nil.
func (s *Switch) take(in *Link, id uint64, out *Link, as counted) int32 {
	if s.free == 0 {
		s.slots = append(s.slots, slot{gen: 1})
		s.free = int32(len(s.slots))
	}
	at := s.free - 1
	t := &s.slots[at]
	s.free = t.inNext
	*t = slot{gen: t.gen, used: true, as: as, in: in, inID: id, out: out}
	if in != nil {
		t.inNext = in.ins.head
		if t.inNext != 0 {
			s.slots[t.inNext-1].inPrev = at + 1
		} else {
			in.ins.tail = at + 1
		}
		in.ins.head = at + 1
		in.ins.n++
		in.count(as, 1)
	}
	if out != nil {
		t.outPrev = out.outs.tail
		if t.outPrev != 0 {
			s.slots[t.outPrev-1].outNext = at + 1
		} else {
			out.outs.head = at + 1
		}
		out.outs.tail = at + 1
		out.outs.n++
	}
	s.open++
	return at
}

// drop closes a slot. Its label is void.
func (s *Switch) drop(at int32) {
	s.leaveIn(at)
	s.leaveOut(at)
	t := &s.slots[at]
	if t.about != nil {
		delete(s.verbs, at)
	}
	gen := t.gen + 1
	if gen == 0 {
		gen = 1
	}
	*t = slot{gen: gen, inNext: s.free}
	s.free = at + 1
	s.open--
}

// leaveIn makes the slot owe nobody anything.
func (s *Switch) leaveIn(at int32) {
	t := &s.slots[at]
	in := t.in
	if in == nil {
		return
	}
	if t.inPrev != 0 {
		s.slots[t.inPrev-1].inNext = t.inNext
	} else {
		in.ins.head = t.inNext
	}
	if t.inNext != 0 {
		s.slots[t.inNext-1].inPrev = t.inPrev
	} else {
		in.ins.tail = t.inPrev
	}
	in.ins.n--
	in.count(t.as, -1)
	t.in, t.inPrev, t.inNext = nil, 0, 0
}

func (s *Switch) leaveOut(at int32) {
	t := &s.slots[at]
	out := t.out
	if out == nil {
		return
	}
	if t.outPrev != 0 {
		s.slots[t.outPrev-1].outNext = t.outNext
	} else {
		out.outs.head = t.outNext
	}
	if t.outNext != 0 {
		s.slots[t.outNext-1].outPrev = t.outPrev
	} else {
		out.outs.tail = t.outPrev
	}
	out.outs.n--
	t.out, t.outPrev, t.outNext = nil, 0, 0
}

func (l *Link) count(as counted, n int) {
	switch as {
	case asCall:
		l.calls += n
	case asMonitor:
		l.monitors += n
	case asPieces:
		l.swallows += n
	}
}
