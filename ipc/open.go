package ipc

// How an open call ends in the switch: answered, taken back, or given up.

// answer passes a reply or an error back to where its call came from. One
// that nobody waits for is dropped: it is late, doubled or forged.
func (s *Switch) answer(l *Link, f *Frame) {
	at, ok := s.find(f.ID)
	if !ok || s.slots[at].out != l || s.slots[at].cast || s.slots[at].local {
		return
	}
	if l.owned() {
		f.Src = l.addr
	}
	last := f.Flags&More == 0
	if last && s.slots[at].about != nil {
		s.passed(at, f)
	}
	t := &s.slots[at]
	switch in := t.in; {
	case in != nil && !last && s.tooLong(in, l):
		s.sendError(in, t.inID, &ErrorBody{Code: CodeTooLarge, Message: "too much waits for whom the answer is for"}, l)
		s.done(at)
		return
	case in != nil:
		f.ID, f.Dst = t.inID, 0
		s.host.Send(in, f, l)
	case t.watcher != nil && last:
		s.fired(at, f)
		return
	}
	if last {
		s.done(at)
	}
}

// done ends the slot of a call that has its answer. If pieces of the call
// still come they are swallowed, and the callee forgets those it has.
func (s *Switch) done(at int32) {
	t := &s.slots[at]
	if !t.more {
		s.drop(at)
		return
	}
	if t.out != nil && !t.out.cut {
		s.host.Send(t.out, &Frame{Header: Header{Type: Cancel, ID: s.label(at)}}, t.lane())
	}
	in, id := t.in, t.inID
	s.drop(at)
	if in != nil && !in.cut {
		at = s.take(in, id, nil, asPieces)
		s.slots[at].more = true
	}
}

// cancel ends every message that l has open under this id.
func (s *Switch) cancel(l *Link, id uint64) {
	for at := l.ins.head; at != 0; {
		t := &s.slots[at-1]
		next := t.inNext
		if t.inID == id {
			s.abandon(at - 1)
		}
		at = next
	}
	l.assemble.drop(pieceKey{Call, id})
	l.assemble.drop(pieceKey{Cast, id})
}

// abandon takes the message of a slot back from where it went. What changes
// the tables of names goes on: its answer still shows the way.
func (s *Switch) abandon(at int32) {
	t := &s.slots[at]
	if t.about != nil && t.about.survives() {
		s.leaveIn(at)
		return
	}
	if t.out != nil && !t.out.cut && !t.local {
		s.host.Send(t.out, &Frame{Header: Header{Type: Cancel, ID: s.label(at)}}, t.lane())
	}
	s.drop(at)
}
