package ipc

import (
	"bytes"
	"encoding/json"
	"math"
)

// route is where a message goes next. The zero value is nowhere.
type route struct {
	link  *Link
	here  bool   // for this node, or about a life of it
	group []Addr // for each of these
	code  string // of the error: there is no way
}

var (
	noWay    = route{code: CodeNoProc}
	itself   = route{here: true}
	groupTag = []byte("group:")
)

// resolve says where a message from l goes; l is nil for one of this node's
// own. Where it learns the target's address it writes it into the header. What
// came from above never goes up again, so there is no loop.
func (s *Switch) resolve(l *Link, f *Frame, fields *Fields) route {
	about := f.Flags&About != 0
	if f.Dst == 0 && fields.To == nil {
		switch {
		case isRootVerb(fields.Method):
			f.Dst = Root
		case about:
			return route{code: CodeBadRequest}
		default:
			return itself
		}
	}
	switch {
	case f.Dst != 0:
		return s.byAddr(l, f.Dst, about)
	case fields.To[0] == '/':
		return s.byPath(l, f, fields.To, about)
	case bytes.HasPrefix(fields.To, groupTag):
		return s.byGroup(l, f, fields.To[len(groupTag):])
	}
	addr, ok := s.names[string(fields.To)]
	if !ok {
		return s.up(l)
	}
	f.Dst = addr
	return s.byAddr(l, addr, about)
}

func (s *Switch) up(from *Link) route {
	if s.parent == nil || s.parent.cut || (from != nil && from == s.parent) {
		return noWay
	}
	return route{link: s.parent}
}

func (s *Switch) byAddr(from *Link, dst Addr, about bool) route {
	switch {
	case dst == Root && s.root != nil, dst == s.self && s.self != 0 && !about:
		return itself
	case dst.Node() == s.node && dst.Serial() == 0 && !about && s.node != 0:
		return itself
	case dst.Node() == s.node:
		return toLife(s.lives[dst.Serial()], about)
	}
	if l := s.routes[dst.Node()]; l != nil {
		if l.cut {
			return noWay
		}
		return route{link: l}
	}
	return s.up(from)
}

// toLife is the way to a life of this node, or to this node about it.
func toLife(l *Link, about bool) route {
	switch {
	case l == nil || l.ended:
		return noWay
	case about:
		return itself
	case l.mute || l.cut:
		return noWay
	}
	return route{link: l}
}

func (s *Switch) byPath(from *Link, f *Frame, to []byte, about bool) route {
	base := len(s.path)
	if s.path == "/" {
		base = 0
	}
	if string(to) == s.path && !about {
		return itself
	}
	if len(to) <= base+1 || to[base] != '/' || string(to[:base]) != s.path[:base] {
		return s.up(from)
	}
	if l := s.children[string(to)]; l != nil {
		f.Dst = l.addr
		return toLife(l, about)
	}
	end := base + 1 + bytes.IndexByte(to[base+1:], '/')
	l := s.children[string(to[:max(end, base)])]
	switch {
	case l == nil:
		return noWay
	case l.kind != ToNode || l.cut:
		return noWay
	}
	return route{link: l}
}

func (s *Switch) byGroup(from *Link, f *Frame, name []byte) route {
	switch {
	case f.Type == Call:
		return route{code: CodeBadRequest}
	case s.root == nil:
		return s.up(from)
	}
	members := s.root.groups[string(name)]
	if len(members) == 0 {
		return noWay
	}
	return route{group: members}
}

func (s *Switch) toGroup(l *Link, f *Frame, fields *Fields, members []Addr) error {
	sent := false
	for _, addr := range members {
		one := *f
		one.Dst = addr
		if to := s.byAddr(l, addr, false); to.link != nil {
			sent = s.castTo(l, &one, fields, to.link) || sent
		}
	}
	if !sent {
		return s.swallow(l, f)
	}
	return nil
}

// owned says whether the node writes the truth over the sources of l's frames.
func (l *Link) owned() bool { return l.kind == ToWorker || l.kind == ToClient }

func (l *Link) source(f *Frame) Addr {
	if l.owned() {
		return l.addr
	}
	return f.Src
}

func (l *Link) window() int {
	if l.kind == ToWorker {
		return Window
	}
	return nodeWindow
}

// refuse answers a call that goes no further, and swallows its further pieces.
func (s *Switch) refuse(l *Link, f *Frame, code, message string) error {
	s.sendError(l, f.ID, &ErrorBody{Code: code, Message: message}, l)
	return s.swallow(l, f)
}

// swallow takes the further pieces of a message that goes no further.
func (s *Switch) swallow(l *Link, f *Frame) error {
	if f.Flags&More == 0 {
		return nil
	}
	if l.swallows >= l.window() {
		return malformed(f.Append(nil), "more than %d messages in pieces", l.window())
	}
	at := s.take(l, f.ID, nil, asPieces)
	s.slots[at].more, s.slots[at].cast = true, f.Type == Cast
	return nil
}

func (s *Switch) sendError(l *Link, id uint64, body *ErrorBody, from *Link) {
	if body.Message == "" {
		body.Message = body.Code
	}
	if l == nil || l.cut {
		return
	}
	s.host.Send(l, &Frame{Header: Header{Type: Error, Flags: CodecJSON, ID: id}, Payload: encode(body)}, from)
}

func (s *Switch) sendReply(l *Link, id uint64, src Addr, v any, from *Link) {
	if l == nil || l.cut {
		return
	}
	f := Frame{Header: Header{Type: Reply, Flags: CodecJSON, ID: id, Src: src}}
	if v != nil {
		f.Payload = encode(v)
	} else {
		f.Flags = CodecNone
	}
	s.host.Send(l, &f, from)
}

// encode writes v, a struct of this package, as JSON. A struct of strings and
// numbers cannot fail.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		return []byte("null")
	}
	return b
}

// over says whether too much waits for out already; if it is only much, the
// sender is told so, once.
func (s *Switch) over(out *Link, f *Frame, fields *Fields, from *Link) bool {
	here, full := s.full(out, from, queueCap)
	if full {
		return true
	}
	if (here <= queueMark && !out.busy) || len(out.told) >= maxTold || f.Src == 0 {
		return false
	}
	if _, known := out.told[f.Src]; known {
		return false
	}
	to := string(fields.To)
	if to == "" {
		to = f.Dst.String()
	}
	if out.told == nil {
		out.told = map[Addr]told{}
	}
	out.told[f.Src] = told{to, from}
	s.flow(f.Src, to, true)
	return false
}

// told is what a sender was asked to hold back, and the link by which it came.
type told struct {
	to   string
	from *Link
}

// full says how many bytes of from's wait for out, and whether they are more than most or
// than its share of what may wait for all. Where too much waits for all, only
// those are full who are over the mark themselves: one that reads has to do
// without nothing because others do not. A link between nodes is bounded by its host.
func (s *Switch) full(out, from *Link, most int) (here int, full bool) {
	if !out.owned() {
		most = math.MaxInt
	}
	here, all := s.host.Queued(out, from)
	return here, here > most || (all > queueCapAll && here > queueMark)
}

// breakOff ends a message in pieces that has no room any more at out, its
// receiver, which then forgets the pieces that it has.
func (s *Switch) breakOff(l *Link, f *Frame, at int32) error {
	out := s.slots[at].out
	s.host.Send(out, &Frame{Header: Header{Type: Cancel, ID: s.label(at)}}, s.slots[at].lane())
	s.drop(at)
	if f.Type == Call {
		return s.refuse(l, f, CodeBusy, "")
	}
	out.dropped++
	return s.swallow(l, f)
}

// Drained tells the switch that less waits for l, so that senders go on who
// were asked to hold back and of whom less than half of what is much waits.
func (s *Switch) Drained(l *Link) {
	if len(l.told) == 0 || l.busy {
		return
	}
	for addr, t := range l.told {
		here, _ := s.host.Queued(l, t.from)
		switch {
		case here <= queueMark/2:
			delete(l.told, addr)
			s.flow(addr, t.to, false)
		case l.owned(): // what waits for a worker is told of all together
			return
		}
	}
}

// released lets those go on who hold back what is for l, which is no more: what
// they keep is for its successor or for nobody.
func (s *Switch) released(l *Link) {
	told := l.told
	l.told = nil
	for addr, t := range told {
		s.flow(addr, t.to, false)
	}
}

func (s *Switch) flow(addr Addr, to string, busy bool) {
	s.send(&Message{Type: Cast, Method: VerbFlow, Dst: addr, Payload: encode(Flow{To: to, Busy: busy})}, nil)
}

// send routes a message of this node's own: a cast, its request for a number,
// or a monitor for the link of watcher to another.
func (s *Switch) send(m *Message, watcher *Link) (label uint64) {
	fields := Fields{Method: []byte(m.Method)}
	f := Frame{Header: Header{Type: m.Type, Flags: CodecJSON, Dst: m.Dst, Src: NewAddr(s.node, 0)}, Fields: fields.Append(nil), Payload: m.Payload}
	if m.About {
		f.Flags |= About
	}
	to := s.resolve(nil, &f, &fields)
	if m.Type == Cast {
		if to.link != nil {
			s.host.Send(to.link, &f, nil)
		}
		return 0
	}
	var at int32
	switch life := s.lives[m.Dst.Serial()]; {
	case to.link != nil:
		at = s.take(nil, 0, to.link, asMonitor)
	case to.here && watcher != nil && life != nil:
		at = s.take(nil, 0, life, asMonitor)
		s.slots[at].local = true
	default:
		return 0
	}
	s.slots[at].watcher, s.slots[at].dst = watcher, m.Dst
	if m.Method == VerbNode {
		s.note(at, &verb{method: VerbNode, own: true})
	}
	label = s.label(at)
	if f.ID = label; to.link != nil {
		s.host.Send(to.link, &f, nil)
	}
	return label
}
