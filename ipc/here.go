package ipc

import (
	"encoding/json"
	"fmt"
)

// here takes a message for this node itself, or about a life of it.
func (s *Switch) here(l *Link, f *Frame, fields *Fields) error {
	if f.Flags&More == 0 {
		m, err := f.Message()
		if err != nil {
			return err
		}
		s.handle(l, &m, f, -1)
		return nil
	}
	as := asCall
	if f.Type == Cast {
		as = asPieces
		if l.swallows >= l.window() {
			return malformed(f.Append(nil), "more than %d messages in pieces", l.window())
		}
	}
	at := s.take(l, f.ID, nil, as)
	t := &s.slots[at]
	t.here, t.more, t.cast = true, true, f.Type == Cast
	return s.assembleHere(l, f, at)
}

func (s *Switch) assembleHere(l *Link, f *Frame, at int32) error {
	m, done, err := l.assemble.Add(f)
	if err == nil && done {
		s.slots[at].more = false
		s.handle(l, &m, f, at)
	}
	return err
}

// handle does what a message for this node wants. at is the slot of a call
// that came in pieces, or -1.
func (s *Switch) handle(l *Link, m *Message, f *Frame, at int32) {
	var answer any
	code := m.Refused
	switch {
	case code != "":
	case m.About && m.Type == Cast:
		return
	case m.About:
		if !s.aboutLife(l, m) {
			code = CodeNoMethod
			break
		}
		s.settle(at)
		return
	case isRootVerb([]byte(m.Method)) && s.root != nil && m.Dst == Root:
		answer, code = s.atRoot(l, m, f)
	case m.Method == VerbTrap && l.owned():
		var trap Trap
		if json.Unmarshal(m.Payload, &trap) != nil {
			code = CodeBadRequest
		} else {
			l.traps = trap.On
		}
	default:
		s.request(l, m, at)
		return
	}
	s.settle(at)
	switch {
	case m.Type != Call:
	case code != "":
		s.sendError(l, m.ID, &ErrorBody{Code: code}, l)
	default:
		s.sendReply(l, m.ID, NewAddr(s.node, 0), answer, l)
	}
}

// settle closes the slot of a call in pieces that is answered at once. That
// of a cast is closed by whoever brought the last piece.
func (s *Switch) settle(at int32) {
	if at >= 0 && !s.slots[at].cast {
		s.drop(at)
	}
}

func (s *Switch) request(l *Link, m *Message, at int32) {
	if m.Type != Call {
		s.host.Request(l, m, 0)
		return
	}
	if at < 0 {
		at = s.take(l, m.ID, nil, asCall)
		s.slots[at].here = true
	}
	s.host.Request(l, m, s.label(at))
}

// Reply answers a call that the host got as a Request; v goes as JSON, nil as
// nothing. It returns false if nobody waits for the answer any more.
func (s *Switch) Reply(ticket uint64, v any) bool {
	at, ok := s.find(ticket)
	if !ok || !s.slots[at].here {
		return false
	}
	in, id := s.slots[at].in, s.slots[at].inID
	s.drop(at)
	s.sendReply(in, id, NewAddr(s.node, 0), v, in)
	return true
}

// Fail is Reply with an error.
func (s *Switch) Fail(ticket uint64, body *ErrorBody) bool {
	at, ok := s.find(ticket)
	if !ok || !s.slots[at].here {
		return false
	}
	in, id := s.slots[at].in, s.slots[at].inID
	s.drop(at)
	s.sendError(in, id, body, in)
	return true
}

// aboutLife answers a call about a life of this node; false: there is no such
// method.
func (s *Switch) aboutLife(l *Link, m *Message) bool {
	life := s.lives[m.Dst.Serial()]
	if life == nil || m.Dst.Node() != s.node {
		s.sendError(l, m.ID, &ErrorBody{Code: CodeNoProc}, l)
		return true
	}
	place := Place{Addr: life.addr, Path: life.path, Incarnation: life.incarnation}
	switch m.Method {
	case VerbWhereIs:
		s.sendReply(l, m.ID, life.addr, place, l)
	case VerbMonitor:
		at := s.take(l, m.ID, life, asMonitor)
		s.slots[at].local, s.slots[at].dst = true, life.addr
	case VerbLink:
		var link LinkMode
		err := json.Unmarshal(m.Payload, &link)
		switch {
		case m.Src == life.addr:
			s.sendError(l, m.ID, &ErrorBody{Code: CodeCallingSelf}, l)
			return true
		case err != nil || (link.Mode != ModePeer && link.Mode != ModeMonitor && link.Mode != ModeNotify):
			s.sendError(l, m.ID, &ErrorBody{Code: CodeBadRequest, Message: "a link's mode is peer, monitor or notify"}, l)
			return true
		}
		if link.Mode != ModeMonitor {
			s.watch(life, m.Src, "")
		}
		if l.owned() {
			s.linked(l, m.Method, life.addr, m.To, link.Mode)
		}
		s.sendReply(l, m.ID, life.addr, place, l)
	case VerbUnlink:
		s.unwatch(life, m.Src, "")
		if l.owned() {
			s.linked(l, m.Method, life.addr, m.To, "")
		}
		s.sendReply(l, m.ID, life.addr, place, l)
	default:
		return false
	}
	return true
}

// watch is one half of a link: the monitor of another life for a worker here.
type watch struct {
	addr  Addr
	to    string
	label uint64
}

// linked does what is to be done here when the other half of a link stands,
// or is gone.
func (s *Switch) linked(l *Link, method string, addr Addr, to, mode string) {
	switch {
	case method == VerbUnlink:
		s.unwatch(l, addr, to)
	case mode != ModeNotify:
		s.watch(l, addr, to)
	}
}

// watch monitors the life at addr for l. Twice is once.
func (s *Switch) watch(l *Link, addr Addr, to string) {
	if l.ended {
		return
	}
	for _, w := range l.watches {
		if w.addr == addr {
			return
		}
	}
	label := s.send(&Message{Type: Call, About: true, Method: VerbMonitor, Dst: addr, Payload: encode(Watch{Was: true})}, l)
	if label == 0 {
		s.exit(l, s.ended(addr))
		return
	}
	l.watches = append(l.watches, watch{addr, to, label})
}

func (s *Switch) unwatch(l *Link, addr Addr, to string) {
	kept := l.watches[:0]
	for _, w := range l.watches {
		if w.addr != addr && (to == "" || w.to != to) {
			kept = append(kept, w)
		} else if at, ok := s.find(w.label); ok {
			s.abandon(at)
		}
	}
	l.watches = kept
}

// fired takes the answer of a link's monitor.
func (s *Switch) fired(at int32, f *Frame) {
	t := &s.slots[at]
	l, down := t.watcher, Down{Addr: t.dst, Reason: "killed"}
	var sent Down
	switch {
	case f.Type == Reply && json.Unmarshal(f.Payload, &sent) == nil && sent.Reason != "":
		down = sent
	case f.Type == Error:
		var body ErrorBody
		if json.Unmarshal(f.Payload, &body) == nil && body.Code == CodeNoProc {
			down.Reason = CodeNoProc
		}
	}
	s.drop(at)
	s.unwatch(l, down.Addr, "")
	s.exit(l, down)
}

// exit lets the end of another life have its effect on a worker linked to it.
func (s *Switch) exit(l *Link, down Down) {
	if l.ended || (down.Reason != "killed" && down.Reason != "abnormal" && down.Reason != CodeNoProc) {
		return
	}
	if l.traps || l.kind == ToClient {
		fields := Fields{Method: []byte(VerbExit)}
		s.host.Send(l, &Frame{Header: Header{Type: Cast, Flags: CodecJSON, Dst: l.addr, Src: down.Addr}, Fields: fields.Append(nil), Payload: encode(down)}, nil)
		return
	}
	who := down.Path
	if who == "" {
		who = down.Addr.String()
	}
	s.host.Cascade(l, fmt.Sprintf("cascade: %s#%d", who, down.Incarnation))
}

// ended is how a life of this node ended, as far as it is remembered.
func (s *Switch) ended(addr Addr) Down {
	for i := range s.recent {
		if s.recent[i].Addr == addr {
			return s.recent[i]
		}
	}
	return Down{Addr: addr, Reason: CodeNoProc}
}
