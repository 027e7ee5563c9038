package ipc

// Cut ends the traffic of a link whose process has ended: what it sent before
// has been received. Calls that wait for it get the error down, calls that it
// made are cancelled onwards. Monitors wait for End. down says how the life
// ended; of a node below it is what becomes of everything behind it.
func (s *Switch) Cut(l *Link, down Down) {
	l.cut = true
	for at := l.outs.head; at != 0; {
		t := &s.slots[at-1]
		next := t.outNext
		switch {
		case t.local || t.as == asMonitor:
		case t.cast:
			s.leaveOut(at - 1)
		default:
			s.sendDown(at-1, l, down)
		}
		at = next
	}
	for l.ins.head != 0 {
		s.abandon(l.ins.head - 1)
	}
	l.assemble.Drop()
	s.released(l)
	s.recall(l)
}

// sendDown answers the call of a slot with the end of its callee.
func (s *Switch) sendDown(at int32, l *Link, down Down) {
	t := &s.slots[at]
	if t.in == nil {
		s.drop(at)
		return
	}
	s.sendError(t.in, t.inID, &ErrorBody{Code: CodeDown, Data: encode(downOf(l, t.dst, down))}, l)
	s.done(at)
}

// downOf is the end of the life at dst, when it is the one at l or one behind it.
func downOf(l *Link, dst Addr, down Down) Down {
	if dst == l.addr || l.owned() {
		down.Addr, down.Path, down.Incarnation = l.addr, l.path, l.incarnation
		return down
	}
	return Down{Addr: dst, Reason: "killed", Detail: "with " + l.path}
}

// End ends a life: its process is reaped and, if it was a node, nothing is
// left below it. In this order, as one step: what Cut does, if it was not yet;
// monitors of the life, and of those behind it, are answered; its names are
// forgotten here and above. Only then may a successor start.
func (s *Switch) End(l *Link, down Down) {
	if l.ended {
		return
	}
	if !l.cut || l.outs.n+l.ins.n > 0 {
		s.Cut(l, down)
	}
	l.ended = true
	down = downOf(l, l.addr, down)
	s.recent[s.nRecent%len(s.recent)] = down
	s.nRecent++
	delete(s.lives, l.addr.Serial())
	if s.children[l.path] == l {
		delete(s.children, l.path)
	}
	for at := l.outs.head; at != 0; at = l.outs.head {
		s.endMonitor(at-1, downOf(l, s.slots[at-1].dst, down))
	}
	s.unwatchAll(l)
	if l.asked {
		s.gone(l.addr)
	}
	if l.kind == ToNode {
		for _, node := range s.behind(l) {
			s.goneNode(node)
		}
	}
}

// endMonitor answers one monitor.
func (s *Switch) endMonitor(at int32, down Down) {
	t := &s.slots[at]
	if t.watcher != nil {
		f := Frame{Header: Header{Type: Reply}, Payload: encode(down)}
		s.fired(at, &f)
		return
	}
	in, id, life := t.in, t.inID, t.out
	s.drop(at)
	s.sendReply(in, id, down.Addr, down, life)
}

func (s *Switch) unwatchAll(l *Link) {
	for _, w := range l.watches {
		if at, ok := s.find(w.label); ok {
			s.abandon(at)
		}
	}
	l.watches = nil
}

// behind is the numbers of the nodes behind a link.
func (s *Switch) behind(l *Link) []uint32 {
	var nodes []uint32
	for node, via := range s.routes {
		if via == l {
			nodes = append(nodes, node)
		}
	}
	return nodes
}
