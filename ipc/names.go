package ipc

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// rootTable is what the root alone knows. The table of names is the switch's
// own, as in every node.
type rootTable struct {
	node   uint32 // the last number given
	groups map[string][]Addr
	joined map[Addr][]string
}

// maxGroups bounds the table of groups.
const maxGroups = 65536

func newRootTable() *rootTable {
	return &rootTable{node: Root.Node(), groups: map[string][]Addr{}, joined: map[Addr][]string{}}
}

// verb is what the answer of a call changes in the nodes that it passes.
type verb struct {
	method string
	name   string
	holder Addr
	void   bool // the holder has ended meanwhile
	own    bool // this node's own request for a number
	mode   string
	to     string // the target of a link, as its worker wrote it
	link   *Link  // the worker of a link
}

// survives says whether the call goes on though its sender gave up.
func (v *verb) survives() bool {
	return v.method == VerbRegister || v.method == VerbUnregister || v.method == VerbNode
}

// ofTables says whether it changes the tables of names and groups, or of nodes.
func (v *verb) ofTables() bool { return isRootVerb([]byte(v.method)) }

func (s *Switch) note(at int32, v *verb) {
	s.slots[at].about = v
	s.verbs[at] = struct{}{}
}

func isRootVerb(method []byte) bool {
	switch string(method) {
	case VerbRegister, VerbUnregister, VerbRegistered, VerbJoin, VerbLeave, VerbMembers, VerbNode:
		return true
	}
	return false
}

// may says whether a worker may send this method, to this target: not what
// would change other workers, nor speak for their node.
func (l *Link) may(f *Frame, fields *Fields) bool {
	if l.owned() && fields.Manage && !l.Manage {
		return false
	}
	if l.kind != ToWorker || l.Manage || fields.Method[0] != '$' {
		return true
	}
	switch string(fields.Method) {
	case VerbStop, VerbExit, VerbSuspend, VerbResume, VerbReplace, VerbTrace, VerbLog, VerbTerminate, VerbNode, VerbEvent, VerbOutput:
		return false
	case VerbHello, VerbReady, VerbIgnore, VerbFailed, VerbExiting, VerbStatus, VerbFlow, VerbMolt, VerbMolted, VerbTrap:
		return f.Dst == 0 && fields.To == nil
	}
	return true
}

// ask checks what a life of this node asks of the tables of names.
func (s *Switch) ask(l *Link, f *Frame, method string) (name, code string) {
	var n Name
	if f.Flags&More != 0 || json.Unmarshal(f.Payload, &n) != nil || !nameOK(n.Name) {
		return "", CodeBadRequest
	}
	if l == nil || !l.owned() {
		return n.Name, ""
	}
	if method == VerbRegister || method == VerbJoin {
		if l.names >= maxNames {
			return "", CodeNotPermitted
		}
		l.names++
		l.asked = true
	}
	return n.Name, ""
}

// nameOK says whether a name cannot be taken for something else.
func nameOK(name string) bool {
	return name != "" && len(name) <= MaxMethod && utf8.ValidString(name) &&
		!strings.ContainsAny(name[:1], "/@$") && !strings.HasPrefix(name, string(groupTag))
}

// passing notes, for a call of the protocol that goes on to another node, what
// its answer will change here.
func (s *Switch) passing(l *Link, f *Frame, fields *Fields, at int32) (code string) {
	method := string(fields.Method)
	switch method {
	case VerbRegister, VerbUnregister, VerbJoin, VerbLeave:
		name, code := s.ask(l, f, method)
		if code != "" {
			return code
		}
		s.note(at, &verb{method: method, name: name, holder: f.Src})
	case VerbNode:
		s.note(at, &verb{method: method})
	case VerbLink, VerbUnlink:
		if !l.owned() {
			return ""
		}
		var link LinkMode
		if json.Unmarshal(f.Payload, &link) != nil && method == VerbLink {
			return CodeBadRequest
		}
		v := &verb{method: method, mode: link.Mode, to: string(fields.To), link: l}
		if method == VerbUnlink {
			s.unwatch(l, f.Dst, v.to)
		}
		s.note(at, v)
	}
	return ""
}

// passed changes what the answer of a call of the protocol changes here.
func (s *Switch) passed(at int32, f *Frame) {
	t := &s.slots[at]
	v := t.about
	ok := f.Type == Reply
	switch v.method {
	case VerbRegister, VerbJoin:
		switch {
		case !ok:
			s.asksLess(v.holder)
		case !v.void && v.method == VerbRegister:
			s.hold(v.name, v.holder)
		}
	case VerbUnregister, VerbLeave:
		if ok {
			s.asksLess(v.holder)
			if v.method == VerbUnregister {
				s.release(v.name, v.holder)
			}
		}
	case VerbNode:
		var n NodeNumber
		if ok && json.Unmarshal(f.Payload, &n) == nil && n.Node != 0 {
			s.numbered(t, v, n.Node)
		}
	case VerbLink, VerbUnlink:
		var place Place
		if ok && json.Unmarshal(f.Payload, &place) == nil {
			s.linked(v.link, v.method, place.Addr, v.to, v.mode)
		}
	}
}

// numbered writes the route to a new node, or takes this node's own number.
func (s *Switch) numbered(t *slot, v *verb, node uint32) {
	switch {
	case v.own:
		s.node = node
		s.host.Numbered(node)
	case t.in != nil && !t.in.cut:
		s.routes[node] = t.in
	default:
		s.sayGone(NewAddr(node, 0))
	}
}

// asksLess gives a life of this node back what it asked for in vain or gave up.
func (s *Switch) asksLess(holder Addr) {
	if holder.Node() == s.node {
		if l := s.lives[holder.Serial()]; l != nil && l.names > 0 {
			l.names--
		}
	}
}

func (s *Switch) hold(name string, addr Addr) {
	if old, ok := s.names[name]; ok {
		s.release(name, old)
	}
	s.names[name] = addr
	s.holds[addr] = append(s.holds[addr], name)
}

func (s *Switch) release(name string, addr Addr) {
	if s.names[name] == addr {
		delete(s.names, name)
		s.holds[addr] = without(s.holds, addr, name)
	}
}

// without is the list of addr without one name; an empty list is taken out.
func without(lists map[Addr][]string, addr Addr, name string) []string {
	rest := slices.DeleteFunc(lists[addr], func(n string) bool { return n == name })
	if len(rest) == 0 {
		defer delete(lists, addr)
	}
	return rest
}

// atRoot answers what only the root can.
func (s *Switch) atRoot(l *Link, m *Message, f *Frame) (answer any, code string) {
	switch m.Method {
	case VerbRegistered:
		names := make([]string, 0, len(s.names))
		for name := range s.names {
			names = append(names, name)
		}
		slices.Sort(names)
		return names, ""
	case VerbNode:
		if l.kind != ToNode {
			return nil, CodeNotPermitted
		}
		s.root.node++
		s.routes[s.root.node] = l
		return NodeNumber{Node: s.root.node}, ""
	}
	name, code := s.ask(l, f, m.Method)
	if code != "" {
		return nil, code
	}
	switch m.Method {
	case VerbRegister:
		if _, taken := s.names[name]; taken {
			s.asksLess(m.Src)
			return nil, CodeAlreadyRegistered
		}
		s.hold(name, m.Src)
	case VerbUnregister:
		if s.names[name] != m.Src {
			return nil, CodeNoProc
		}
		s.release(name, m.Src)
		s.asksLess(m.Src)
	case VerbJoin:
		if code := s.root.join(name, m.Src); code != "" {
			s.asksLess(m.Src)
			return nil, code
		}
	case VerbLeave:
		if !slices.Contains(s.root.groups[name], m.Src) {
			return nil, CodeNoProc // and its share is what it was
		}
		s.root.leave(name, m.Src)
		s.asksLess(m.Src)
	case VerbMembers:
		return append([]Addr{}, s.root.groups[name]...), ""
	}
	return nil, ""
}

func (r *rootTable) join(name string, addr Addr) (code string) {
	switch members := r.groups[name]; {
	case slices.Contains(members, addr):
	case members == nil && len(r.groups) >= maxGroups:
		return CodeNotPermitted
	default:
		r.groups[name] = append(members, addr)
		r.joined[addr] = append(r.joined[addr], name)
	}
	return ""
}

func (r *rootTable) leave(name string, addr Addr) {
	members := slices.DeleteFunc(r.groups[name], func(a Addr) bool { return a == addr })
	if len(members) == 0 {
		delete(r.groups, name)
	} else {
		r.groups[name] = members
	}
	r.joined[addr] = without(r.joined, addr, name)
}

// gone forgets a life and everything under way for it, here and above.
func (s *Switch) gone(addr Addr) {
	s.forget(func(a Addr) bool { return a == addr }, []Addr{addr})
	s.sayGone(addr)
}

// goneNode is gone for every life of a node.
func (s *Switch) goneNode(node uint32) {
	var lives []Addr
	for addr := range s.holds {
		if addr.Node() == node {
			lives = append(lives, addr)
		}
	}
	if s.root != nil {
		for addr := range s.root.joined {
			if addr.Node() == node {
				lives = append(lives, addr)
			}
		}
	}
	s.forget(func(a Addr) bool { return a.Node() == node }, lives)
	delete(s.routes, node)
	s.sayGone(NewAddr(node, 0))
}

func (s *Switch) forget(who func(Addr) bool, lives []Addr) {
	for at := range s.verbs {
		if v := s.slots[at].about; who(v.holder) {
			v.void = true
		}
	}
	for _, addr := range lives {
		for _, name := range slices.Clone(s.holds[addr]) {
			s.release(name, addr)
		}
		if s.root == nil {
			continue
		}
		for _, name := range slices.Clone(s.root.joined[addr]) {
			s.root.leave(name, addr)
		}
	}
}

func (s *Switch) sayGone(addr Addr) {
	if s.parent != nil && !s.parent.cut {
		fields := Fields{Method: []byte(VerbGone)}
		s.host.Send(s.parent, &Frame{Header: Header{Type: Cast, Flags: CodecJSON}, Fields: fields.Append(nil), Payload: encode(Gone{Addr: addr})}, nil)
	}
}

// goneBelow takes the word of a node below that a life of it has ended.
func (s *Switch) goneBelow(l *Link, f *Frame) error {
	if l.kind != ToNode {
		return malformed(f.Append(nil), "%s from one that is no node", VerbGone)
	}
	var g Gone
	if json.Unmarshal(f.Payload, &g) != nil || s.routes[g.Addr.Node()] != l {
		return nil
	}
	if g.Addr.Serial() == 0 {
		s.goneNode(g.Addr.Node())
	} else {
		s.gone(g.Addr)
	}
	return nil
}

// Holds is the names that the life at l holds.
func (s *Switch) Holds(l *Link) []string { return slices.Clone(s.holds[l.addr]) }
