package ipc

import "encoding/json"

// Host is the program around a Switch: it owns the pipes and the processes.
// The Switch calls it from within its own methods, so none of these may call
// the Switch, except that Request may answer at once (Switch.Reply, Switch.Fail).
type Host interface {
	// Send queues f for the other end of l. f is the Switch's again when Send
	// returns. from is whose traffic f is part of: the link that it came from or
	// that it tells the end of; nil: what the nodes say to each other. Frames of
	// one from, and of one path as from, have to keep their order; on a link
	// between nodes those of different ones need not, so that none of them has
	// to wait behind a flood of another.
	Send(l *Link, f *Frame, from *Link)
	// Queued says how many bytes of from's wait for l, where the host tells them
	// apart, and how many wait for all links together.
	Queued(l, from *Link) (here, all int)
	// Request is a call or a cast for the supervisor itself, from the other end
	// of l; m is valid until Request returns. ticket is 0 for a cast; a call is
	// answered once, with Reply or Fail, now or later.
	Request(l *Link, m *Message, ticket uint64)
	// Broken says that l's other end sent what no peer may. Nothing more is
	// taken from it; the host ends the process and then calls End.
	Broken(l *Link, err *Malformed)
	// Cascade says that a link's fault is to end the worker at l: stop it, with
	// this as the detail of its reason, "cascade: /d1#3".
	Cascade(l *Link, detail string)
	// Numbered says that the root has given this node its number: from now on
	// workers and nodes can be added.
	Numbered(node uint32)
}

// Switch routes calls, casts and answers through one supervisor: frames in,
// frames out. It has no goroutine, no clock and no OS, and is for one
// goroutine at a time.
//
// A call's id belongs to one link. A switch that forwards a call puts a label
// of its own on it and owes its sender exactly one outcome: the answer that
// comes back, or an error of its own when the way is a dead end, the callee
// is over its bounds, or the link to it dies. So every call through any number
// of switches has one outcome, by induction. A frame that only passes through
// is not decoded beyond its extension fields, and costs no allocation.
//
// A monitor is a call that is answered when its target has died. A name is a
// route that every node between its holder and the root has written down; the
// root alone decides who holds it.
type Switch struct {
	host Host
	node uint32 // this node's number; 0 until the root has given one
	self Addr   // this node as a child of its parent; 0 at the root
	path string

	parent   *Link // nil at the root
	children map[string]*Link
	lives    map[uint32]*Link // by serial
	serial   uint32
	routes   map[uint32]*Link // number of a node below → link
	names    map[string]Addr
	holds    map[Addr][]string // the names that a life has in names
	recent   [256]Down         // lives that ended, for links that were under way
	nRecent  int

	root  *rootTable // nil but at the root
	slots []slot
	free  int32 // first free slot + 1, 0: none
	open  int
	verbs map[int32]struct{} // the slots that have about set
}

// Kind is what is at the other end of a Link.
type Kind uint8

// The kinds of links.
const (
	ToParent Kind = iota
	ToWorker
	ToNode
	ToClient // one who calls in from outside the tree
)

// Link is one neighbour of a switch. A worker without a channel has one too,
// which carries nothing: it can be found and monitored.
type Link struct {
	// Data is the host's.
	Data any
	// Manage allows a worker the verbs that change others, here and, by a field
	// of the call that nodes trust only each other with, on other nodes.
	Manage bool

	kind        Kind
	addr        Addr
	path        string
	incarnation uint64
	mute        bool // no channel
	greeted     bool // its $hello has come
	cut         bool // nothing passes any more
	ended       bool
	asked       bool // it has asked the root for a name or a group
	busy        bool // its mailbox is over the mark
	traps       bool

	ins, outs list              // calls that came from it, calls that went to it
	calls     int               // in ins, monitors left out
	monitors  int               // in ins
	swallows  int               // in ins, refused while pieces still come
	names     int               // that it holds or asks for
	told      map[Addr]told     // senders who were told to hold back
	words     map[word]struct{} // of nodes below, to senders elsewhere, see overhear
	watches   []watch           // its links to others
	dropped   uint64            // casts over the cap
	assemble  Assembler         // of what is for this node itself
}

// Addr is the address of the life at the other end; Path and Incarnation name it.
func (l *Link) Addr() Addr { return l.addr }

// Path is the path of the life at the other end; "" for a client.
func (l *Link) Path() string { return l.path }

// Incarnation counts the lives of the path.
func (l *Link) Incarnation() uint64 { return l.incarnation }

// Kind is what is at the other end.
func (l *Link) Kind() Kind { return l.kind }

// Open is how many calls from the other end are not answered yet, monitors
// left out.
func (l *Link) Open() int { return l.calls }

// Waiting is how many calls and monitors wait for an answer of the other end.
func (l *Link) Waiting() int { return l.outs.n }

// Dropped is how many casts were dropped because too much waited for l.
func (l *Link) Dropped() uint64 { return l.dropped }

// Busy says whether senders to l are asked to hold back.
func (l *Link) Busy() bool { return len(l.told) > 0 }

// The bounds of a switch.
const (
	// Window is how many calls a worker may have open; nodeWindow is for a link
	// between nodes, maxMonitors for monitors on any link.
	Window      = 1024
	nodeWindow  = 65536
	maxMonitors = 65536
	// maxNames is how many names and groups one life may have.
	maxNames = 1024
	// maxTold is how many senders are told that a worker is behind, and how many
	// such words of the nodes below a link are passed on at a time.
	maxTold = 1024
	// Over queueMark bytes senders are asked to hold back; over queueCap, or
	// queueCapAll for all links of a node, casts are dropped and calls get busy.
	// A message in pieces that has begun may go on to pieceCap: one that is as
	// long as can be has room.
	queueMark   = 256 << 10
	queueCap    = 4 << 20
	queueCapAll = 64 << 20
	pieceCap    = queueCap + MaxMessage
)

// NewRoot returns the switch of a tree's root.
func NewRoot(host Host) *Switch {
	s := newSwitch(host, "/")
	s.node = Root.Node()
	s.root = newRootTable()
	return s
}

// NewNode returns the switch of a supervisor below the root, with the link to
// its parent. self is its address as its parent's child, which stood in its
// $hello. It asks the root for its number at once; Host.Numbered has it.
func NewNode(host Host, path string, self Addr) (*Switch, *Link) {
	s := newSwitch(host, path)
	s.self = self
	s.parent = &Link{kind: ToParent, greeted: true}
	s.send(&Message{Type: Call, Method: VerbNode, Dst: Root}, nil)
	return s, s.parent
}

func newSwitch(host Host, path string) *Switch {
	return &Switch{
		host: host, path: path,
		children: map[string]*Link{}, lives: map[uint32]*Link{}, routes: map[uint32]*Link{},
		names: map[string]Addr{}, holds: map[Addr][]string{}, verbs: map[int32]struct{}{},
	}
}

// Node is the switch's number; 0 until Numbered.
func (s *Switch) Node() uint32 { return s.node }

// Open is how many calls and monitors are under way through the switch.
func (s *Switch) Open() int { return s.open }

// AddWorker makes a link for a life that is about to start. channel says
// whether it has one. The life's address stands in the $hello that it reads.
func (s *Switch) AddWorker(path string, incarnation uint64, channel bool) *Link {
	l := &Link{kind: ToWorker, path: path, incarnation: incarnation, mute: !channel}
	s.add(l)
	return l
}

// AddNode makes a link for a supervisor's process that is about to start. Its
// handshake is the host's affair.
func (s *Switch) AddNode(path string, incarnation uint64) *Link {
	l := &Link{kind: ToNode, path: path, incarnation: incarnation, greeted: true}
	s.add(l)
	return l
}

// AddClient makes a link for somebody outside the tree who calls in.
func (s *Switch) AddClient() *Link {
	l := &Link{kind: ToClient, greeted: true, Manage: true}
	s.add(l)
	return l
}

// add gives a link its address. After 2^32 lives, ten days of five thousand
// restarts a second, serials come again; none that somebody has, and not 0, which
// is the node itself.
func (s *Switch) add(l *Link) {
	s.serial++
	for s.serial == 0 || s.lives[s.serial] != nil {
		s.serial++
	}
	l.addr = NewAddr(s.node, s.serial)
	s.lives[s.serial] = l
	if l.path != "" {
		s.children[l.path] = l
	}
}

// Receive takes a frame that came from l. The frame's header is overwritten.
func (s *Switch) Receive(l *Link, f *Frame) {
	if l.cut || l.mute {
		return
	}
	var err error
	switch {
	case !l.greeted && !s.greets(l, f):
		err = malformed(f.Append(nil), "the first frame is no %s", VerbHello)
	case f.Type == Call:
		err = s.call(l, f)
	case f.Type == Cast:
		err = s.cast(l, f)
	case f.Type == Cancel:
		s.cancel(l, f.ID)
	default:
		s.answer(l, f)
	}
	if bad, ok := err.(*Malformed); ok {
		l.cut = true
		s.host.Broken(l, bad)
	}
}

func (s *Switch) greets(l *Link, f *Frame) bool {
	fields, err := ParseFields(f.Fields)
	l.greeted = err == nil && f.Type == Cast && string(fields.Method) == VerbHello
	return l.greeted
}

// call takes a call from l, or a further piece of one.
func (s *Switch) call(l *Link, f *Frame) error {
	if len(f.Fields) == 0 {
		return s.piece(l, f)
	}
	fields, err := ParseFields(f.Fields)
	if err != nil {
		return err
	}
	if fields.Method == nil {
		return malformed(f.Append(nil), "a call without a method")
	}
	if l.owned() {
		f.Src = l.addr
	}
	monitor := string(fields.Method) == VerbMonitor
	if (monitor && l.monitors >= maxMonitors) || (!monitor && l.calls >= l.window() && !asksNumber(l, &fields)) {
		return s.refuse(l, f, CodeBusy, "too many open calls")
	}
	if !l.may(f, &fields) {
		return s.refuse(l, f, CodeNotPermitted, "")
	}
	to := s.resolve(l, f, &fields)
	switch {
	case to.code != "":
		return s.refuse(l, f, to.code, "")
	case to.here:
		return s.here(l, f, &fields)
	}
	return s.forward(l, f, &fields, to.link, monitor)
}

// asksNumber says whether a call is that of a new node for its number. It
// passes every bound, as there is one for each node: without its answer a
// node never starts.
func asksNumber(l *Link, fields *Fields) bool {
	return l.kind == ToNode && string(fields.Method) == VerbNode
}

// forward sends a call on and remembers whom its answer is for.
func (s *Switch) forward(l *Link, f *Frame, fields *Fields, out *Link, monitor bool) error {
	if out.addr == f.Src && out.owned() && f.Flags&About == 0 {
		return s.refuse(l, f, CodeCallingSelf, "")
	}
	if s.over(out, f, fields, l) && !asksNumber(l, fields) {
		return s.refuse(l, f, CodeBusy, "")
	}
	as := asCall
	if monitor {
		as = asMonitor
	}
	at := s.take(l, f.ID, out, as)
	t := &s.slots[at]
	t.dst, t.more = f.Dst, f.Flags&More != 0
	if fields.Method[0] == '$' {
		if code := s.passing(l, f, fields, at); code != "" {
			s.drop(at)
			return s.refuse(l, f, code, "")
		}
	}
	if l.Manage && !out.owned() && !fields.Manage {
		f.Fields = withManage(f.Fields)
	}
	f.ID = s.label(at)
	s.host.Send(out, f, s.slots[at].lane())
	return nil
}

// cast takes a cast from l, or a further piece of one.
func (s *Switch) cast(l *Link, f *Frame) error {
	if len(f.Fields) == 0 {
		return s.piece(l, f)
	}
	fields, err := ParseFields(f.Fields)
	switch {
	case err != nil:
		return err
	case fields.Method == nil:
		return malformed(f.Append(nil), "a cast without a method")
	case f.Flags&More != 0 && f.ID == 0:
		return malformed(f.Append(nil), "a cast in pieces without an id")
	case string(fields.Method) == VerbGone:
		return s.goneBelow(l, f)
	}
	if l.owned() {
		f.Src = l.addr
	}
	if !l.may(f, &fields) || (l.kind == ToNode && string(fields.Method) == VerbFlow && !s.overhear(l, f)) {
		return s.swallow(l, f)
	}
	if l.owned() && f.Dst == 0 && fields.To == nil && string(fields.Method) == VerbFlow {
		var flow Flow
		l.busy = json.Unmarshal(f.Payload, &flow) == nil && flow.Busy
		s.Drained(l)
		return nil
	}
	to := s.resolve(l, f, &fields)
	switch {
	case to.code != "":
		return s.swallow(l, f)
	case to.here:
		return s.here(l, f, &fields)
	case to.group != nil:
		return s.toGroup(l, f, &fields, to.group)
	}
	if !s.castTo(l, f, &fields, to.link) {
		return s.swallow(l, f)
	}
	return nil
}

// castTo sends a cast on; false: it is dropped.
func (s *Switch) castTo(l *Link, f *Frame, fields *Fields, out *Link) bool {
	if fields.Method[0] != '$' && s.over(out, f, fields, l) {
		out.dropped++
		return false
	}
	id := f.ID
	f.ID = 0
	if f.Flags&More != 0 {
		if l.swallows >= l.window() {
			return false
		}
		at := s.take(l, id, out, asPieces)
		t := &s.slots[at]
		t.more, t.cast, t.dst = true, true, f.Dst
		f.ID = s.label(at)
	}
	s.host.Send(out, f, l)
	f.ID = id
	return true
}

// tooLong says whether a message in pieces from one link for another has to
// end in the middle.
func (s *Switch) tooLong(l, from *Link) bool {
	_, full := s.full(l, from, pieceCap)
	return full
}

// piece takes a piece that is not the first of its message.
func (s *Switch) piece(l *Link, f *Frame) error {
	id, found := f.ID, false
	for at := l.ins.head; at != 0; {
		t := &s.slots[at-1]
		next := t.inNext
		if t.inID == id && t.more && t.cast == (f.Type == Cast) {
			found = true
			t.more = f.Flags&More != 0
			switch {
			case t.here:
				if err := s.assembleHere(l, f, at-1); err != nil {
					return err
				}
			case t.out != nil && s.tooLong(t.out, l):
				if err := s.breakOff(l, f, at-1); err != nil {
					return err
				}
			case t.out != nil:
				f.ID, f.Dst, f.Src = s.label(at-1), t.dst, l.source(f)
				s.host.Send(t.out, f, t.lane())
				f.ID = id
			}
			if t := &s.slots[at-1]; t.in == l && t.inID == id && !t.more && t.as == asPieces {
				s.drop(at - 1)
			}
			if f.Type == Call {
				return nil
			}
		}
		at = next
	}
	if !found {
		return malformed(f.Append(nil), "a message without a method, or a piece without a first")
	}
	return nil
}
