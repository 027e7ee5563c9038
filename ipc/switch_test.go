package ipc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// deck is a host with its links' pipes in memory.
type deck struct {
	t      testing.TB
	sw     *Switch
	sent   map[*Link][]Message
	asm    map[*Link]*Assembler
	queued map[*Link]int
	broken map[*Link]string
	asked  []string
	ticket uint64
	mute   bool // keeps nothing
}

func newDeck(t testing.TB) *deck {
	d := &deck{t: t, sent: map[*Link][]Message{}, asm: map[*Link]*Assembler{}, queued: map[*Link]int{}, broken: map[*Link]string{}}
	d.sw = NewRoot(d)
	return d
}

func (d *deck) Send(l *Link, f *Frame, _ *Link) {
	if d.mute {
		return
	}
	if d.asm[l] == nil {
		d.asm[l] = &Assembler{}
	}
	m, done, err := d.asm[l].Add(f)
	if err != nil {
		d.t.Fatal(err)
	}
	if done {
		m.Payload = bytes.Clone(m.Payload)
		d.sent[l] = append(d.sent[l], m)
	}
}
func (d *deck) Queued(l, _ *Link) (int, int) {
	all := 0
	for _, n := range d.queued {
		all += n
	}
	return d.queued[l], all
}
func (d *deck) Request(l *Link, m *Message, ticket uint64) {
	d.asked = append(d.asked, fmt.Sprint(l.Path(), " ", m.Method, " ", len(m.Payload)))
	d.ticket = ticket
}
func (d *deck) Broken(l *Link, err *Malformed) { d.broken[l] = err.Why }
func (d *deck) Cascade(*Link, string)          {}
func (d *deck) Numbered(uint32)                {}

func (d *deck) worker(path string) *Link {
	l := d.sw.AddWorker(path, 1, true)
	d.say(l, Message{Type: Cast, Method: VerbHello})
	return l
}

func (d *deck) say(l *Link, m Message) {
	_ = m.Frames(nil, func(f *Frame) error { one := *f; d.sw.Receive(l, &one); return nil })
}

// got is what was sent to l since the last time, in short.
func (d *deck) got(l *Link) []string {
	var all []string
	for _, m := range d.sent[l] {
		text := fmt.Sprint(m.Method, m.Refused)
		switch m.Type {
		case Reply:
			text = fmt.Sprintf("reply %d %.60s", m.ID, m.Payload)
		case Error:
			var body ErrorBody
			if err := json.Unmarshal(m.Payload, &body); err != nil {
				d.t.Error(err)
			}
			text = fmt.Sprintf("error %d %s", m.ID, body.Code)
		case Cancel:
			text = "cancel"
		case Cast:
			text += " " + string(m.Payload)
		}
		all = append(all, strings.TrimSpace(text))
	}
	d.sent[l] = nil
	return all
}

func (d *deck) want(l *Link, want ...string) {
	d.t.Helper()
	if got := d.got(l); !slices.Equal(got, want) {
		d.t.Errorf("%s got %q, want %q", l.Path(), got, want)
	}
}

func TestAPeerThatSendsWhatItMayNot(t *testing.T) {
	frame := func(h Header, fields Fields, payload int) *Frame {
		return &Frame{Header: h, Fields: fields.Append(nil), Payload: make([]byte, payload)}
	}
	for _, tc := range []struct {
		name  string
		frame *Frame
		want  string
	}{
		{"a call without a method", frame(Header{Type: Call, ID: 1}, Fields{To: []byte("x")}, 0), "a call without a method"},
		{"a piece without a first", frame(Header{Type: Call, ID: 1}, Fields{}, 9), "a piece without a first"},
		{"a cast's piece without a first", frame(Header{Type: Cast, ID: 1}, Fields{}, 9), "a piece without a first"},
		{"a cast in pieces without an id", frame(Header{Type: Cast, Flags: More}, Fields{Method: []byte("x")}, 9), "without an id"},
		{"$gone of a sibling", frame(Header{Type: Cast}, Fields{Method: []byte(VerbGone)}, 0), "$gone from one that is no node"},
		{"fields that break off", &Frame{Header: Header{Type: Call}, Fields: []byte{1, 0}}, "after the last extension field"},
	} {
		d := newDeck(t)
		l := d.worker("/bad")
		d.sw.Receive(l, tc.frame)
		if !strings.Contains(d.broken[l], tc.want) {
			t.Errorf("%s: %q", tc.name, d.broken[l])
		}
		d.say(l, Message{Type: Call, ID: 2, Method: "after"})
		d.want(l)
	}
	d := newDeck(t)
	l := d.sw.AddWorker("/rude", 1, true)
	d.say(l, Message{Type: Cast, Method: VerbReady})
	if !strings.Contains(d.broken[l], "the first frame is no $hello") {
		t.Errorf("no greeting: %q", d.broken[l])
	}
}

func TestANewNodeGetsItsNumberHoweverMuchIsUnderWay(t *testing.T) {
	d := newDeck(t)
	var up *Link
	d.sw, up = NewNode(d, "/mid", NewAddr(1, 2))
	d.say(up, Message{Type: Reply, ID: d.sent[up][0].ID, Payload: []byte(`{"node":2}`)})
	below := d.sw.AddNode("/mid/new", 1)
	for i := range uint64(nodeWindow) {
		d.say(below, Message{Type: Call, ID: i + 1, To: "/far", Method: "wait"})
	}
	d.queued[up] = queueCapAll + 1
	d.got(up)
	d.say(below, Message{Type: Call, ID: nodeWindow + 1, To: "/far", Method: "wait"})
	d.want(below, fmt.Sprintf("error %d busy", nodeWindow+1))
	d.say(below, Message{Type: Call, ID: nodeWindow + 2, Dst: Root, Method: VerbNode})
	d.want(up, VerbNode)
}

func TestForgedSourcesAndAnswersAreWorthNothing(t *testing.T) {
	d := newDeck(t)
	a, b, bad := d.worker("/a"), d.worker("/b"), d.worker("/bad")
	d.say(a, Message{Type: Call, ID: 7, To: "/b", Method: "find"})
	label := d.sent[b][0].ID
	d.say(bad, Message{Type: Reply, ID: label, Payload: []byte("forged")})
	d.say(bad, Message{Type: Cancel, ID: label})
	d.want(a)
	d.want(b, "find")
	d.say(bad, Message{Type: Cast, To: "/b", Method: "note", Src: a.Addr()})
	if m := d.sent[b][0]; m.Src != bad.Addr() {
		t.Errorf("a cast by %v says it is from %v", bad.Addr(), m.Src)
	}
	d.got(b)
	d.say(b, Message{Type: Reply, ID: label, Payload: []byte("true")})
	d.say(b, Message{Type: Reply, ID: label, Payload: []byte("again")})
	d.want(a, "reply 7 true")
	// The slot is used again at once; the old label is not.
	d.say(a, Message{Type: Call, ID: 8, To: "/b", Method: "find"})
	d.say(b, Message{Type: Reply, ID: label, Payload: []byte("late")})
	d.want(a)
}

func TestTheWindowIsPerLinkAndMonitorsDoNotCount(t *testing.T) {
	d := newDeck(t)
	a, b := d.worker("/a"), d.worker("/b")
	for i := range uint64(Window) {
		d.say(a, Message{Type: Call, ID: i + 1, To: "/b", Method: "wait"})
	}
	d.want(a)
	d.say(a, Message{Type: Call, ID: 5000, To: "/b", Method: "wait"})
	d.say(a, Message{Type: Call, ID: 5001, To: "/b", Method: VerbMonitor, About: true})
	d.want(a, "error 5000 busy")
	if got := d.got(b); len(got) != Window {
		t.Errorf("%d calls were delivered", len(got))
	}
	d.sw.End(a, Down{Reason: "killed"})
	if d.sw.Open() != 0 || b.Waiting() != 0 {
		t.Errorf("%d calls are open after their caller's death", d.sw.Open())
	}
	if got := d.got(b); len(got) != Window || got[0] != "cancel" {
		t.Errorf("the callee heard of %d cancels", len(got))
	}
}

func TestAWorkerThatNeverReads(t *testing.T) {
	d := newDeck(t)
	a, c, b := d.worker("/a"), d.worker("/c"), d.worker("/b")
	cast := func(l *Link) { d.say(l, Message{Type: Cast, To: "/b", Method: "note"}) }
	d.queued[b] = queueMark + 1
	cast(a)
	cast(a)
	d.want(a, `$flow {"to":"/b","busy":true}`) // once
	d.queued[b] = queueCap + 1
	cast(a)
	d.say(a, Message{Type: Call, ID: 1, To: "/b", Method: "find"})
	d.say(a, Message{Type: Cast, To: "/c", Method: "note"})
	d.want(a, "error 1 busy")
	d.want(c, "note")
	d.want(b, "note", "note")
	if b.Dropped() != 1 {
		t.Errorf("%d casts were dropped", b.Dropped())
	}
	d.queued[b] = queueMark / 2
	d.sw.Drained(b)
	d.sw.Drained(b)
	d.want(a, `$flow {"to":"/b","busy":false}`)
	// And when its mailbox is behind, it says so itself.
	d.say(b, Message{Type: Cast, Codec: CodecJSON, Method: VerbFlow, Payload: []byte(`{"busy":true}`)})
	cast(c)
	d.want(c, `$flow {"to":"/b","busy":true}`)
	d.say(b, Message{Type: Cast, Codec: CodecJSON, Method: VerbFlow, Payload: []byte(`{"busy":false}`)})
	d.want(c, `$flow {"to":"/b","busy":false}`)
	// When it is gone there is nobody to hold back for.
	d.queued[b] = queueMark + 1
	cast(a)
	d.want(a, `$flow {"to":"/b","busy":true}`)
	d.sw.Cut(b, Down{Reason: "killed"})
	d.want(a, `$flow {"to":"/b","busy":false}`)
}

// A node that has asked a worker elsewhere to hold back ends before it says that
// it may go on: its parent says so, of what was not said, and once.
func TestAWordOfANodeIsTakenBackAtItsEnd(t *testing.T) {
	d := newDeck(t)
	a := d.worker("/a")
	far := d.sw.AddNode("/far", 1)
	flow := func(to string, busy bool) {
		d.say(far, Message{Type: Cast, Dst: a.Addr(), Codec: CodecJSON, Method: VerbFlow, Payload: encode(Flow{To: to, Busy: busy})})
	}
	flow("/far/b", true)
	flow("/far/c", true)
	flow("/far/c", false)
	d.want(a, `$flow {"to":"/far/b","busy":true}`, `$flow {"to":"/far/c","busy":true}`, `$flow {"to":"/far/c","busy":false}`)
	d.sw.Cut(far, Down{Reason: "killed"})
	d.want(a, `$flow {"to":"/far/b","busy":false}`)
	d.sw.End(far, Down{Reason: "killed"})
	d.want(a)

	// It passes on no more than it can take back.
	far = d.sw.AddNode("/far", 2)
	for i := range maxTold + 10 {
		flow(fmt.Sprint("/far/", i), true)
	}
	if n := len(d.got(a)); n != maxTold {
		t.Errorf("%d words are passed on", n)
	}
	d.sw.End(far, Down{Reason: "killed"})
	if n := len(d.got(a)); n != maxTold {
		t.Errorf("%d words are taken back", n)
	}
}

func TestPiecesOfWhatGoesNowhereAreSwallowed(t *testing.T) {
	d := newDeck(t)
	a, b := d.worker("/a"), d.worker("/b")
	long := make([]byte, 3*MaxPayload)
	d.say(a, Message{Type: Call, ID: 1, To: "/nobody", Method: "x", Payload: long})
	d.say(a, Message{Type: Cast, ID: 2, To: "/nobody", Method: "x", Payload: long})
	d.want(a, "error 1 noproc")
	// The callee dies between two pieces; the rest of them break nothing.
	m := Message{Type: Call, ID: 3, To: "/b", Method: "x", Payload: long}
	n := 0
	_ = m.Frames(nil, func(f *Frame) error {
		if n++; n == 2 {
			d.sw.End(b, Down{Reason: "killed"})
		}
		one := *f
		d.sw.Receive(a, &one)
		return nil
	})
	d.want(a, "error 3 down")
	if d.sw.Open() != 0 || len(d.broken) != 0 {
		t.Errorf("%d slots are left, broken: %v", d.sw.Open(), d.broken)
	}
	// A hostile one begins messages and never goes on.
	for i := range uint64(2 * Window) {
		f, err := m.Frame(nil)
		if err != nil {
			t.Fatal(err)
		}
		f.ID, f.Payload = 100+i, long[:8]
		f.Flags |= More
		d.sw.Receive(a, &f)
	}
	if !strings.Contains(d.broken[a], "messages in pieces") {
		t.Errorf("it may: %q", d.broken[a])
	}
}

func TestAMessageInPiecesEndsWhereTooMuchWaits(t *testing.T) {
	d := newDeck(t)
	a, b, c := d.worker("/a"), d.worker("/b"), d.worker("/c")
	say := func(l *Link, m Message, full *Link, at int) { // full, from a piece on
		n := 0
		_ = m.Frames(nil, func(f *Frame) error {
			if n++; n == at {
				d.queued[full] = pieceCap + 1
			}
			one := *f
			d.sw.Receive(l, &one)
			return nil
		})
		d.queued[full] = 0
	}
	long := make([]byte, 4*MaxPayload)
	for at := 2; at <= 4; at++ {
		say(a, Message{Type: Call, ID: 1, To: "/b", Method: "x", Payload: long}, b, at)
		d.want(a, "error 1 busy")
		d.want(b, "cancel")
		say(a, Message{Type: Cast, ID: 2, To: "/b", Method: "x", Payload: long}, b, at)
		d.want(a)
		d.want(b, "cancel")
	}
	if b.Dropped() != 3 {
		t.Errorf("%d casts were dropped", b.Dropped())
	}
	// The same of an answer. The pieces that are left are nobody's.
	d.say(a, Message{Type: Call, ID: 3, To: "/b", Method: "x"})
	label := d.sent[b][0].ID
	d.got(b)
	say(b, Message{Type: Reply, ID: label, Payload: long}, a, 3)
	d.want(a, "error 3 too_large")
	d.want(b)
	if d.sw.Open() != 0 || len(d.broken) != 0 {
		t.Errorf("%d slots are left, broken: %v", d.sw.Open(), d.broken)
	}
	// Whoever reads gets what is his, though too much waits for others.
	d.queued[b] = queueCapAll + 1
	d.say(a, Message{Type: Call, ID: 4, To: "/c", Method: "x", Payload: long})
	d.want(a)
	d.want(c, "x")
}

func TestAMessageInPiecesForTheSupervisorItself(t *testing.T) {
	d := newDeck(t)
	a := d.worker("/a")
	d.asked = nil
	d.say(a, Message{Type: Cast, ID: 1, Method: VerbFailed, Payload: make([]byte, 3*MaxPayload)})
	d.say(a, Message{Type: Call, ID: 2, To: "/", Method: "start_child", Payload: make([]byte, 2*MaxPayload)})
	if want := []string{"/a $failed 196608", "/a start_child 131072"}; !slices.Equal(d.asked, want) {
		t.Errorf("it was asked %q", d.asked)
	}
	if !d.sw.Reply(d.ticket, "ok") || d.sw.Reply(d.ticket, "again") {
		t.Error("a call of the supervisor has one answer")
	}
	d.want(a, `reply 2 "ok"`)
	if d.sw.Open() != 0 {
		t.Errorf("%d slots are left", d.sw.Open())
	}
}

func TestALifeThatEndedMayNotComeBackThroughItsAddress(t *testing.T) {
	d := newDeck(t)
	a, b := d.worker("/a"), d.worker("/b")
	d.sw.End(b, Down{Reason: "killed"})
	next := d.worker("/b")
	d.say(a, Message{Type: Call, ID: 1, Dst: b.Addr(), Method: "x"})
	d.say(a, Message{Type: Call, ID: 2, To: "/b", Method: "x"})
	d.want(a, "error 1 noproc")
	d.want(next, "x")
}

func TestAForwardedFrameAllocatesNothing(t *testing.T) {
	d := newDeck(t)
	a, b := d.worker("/a"), d.worker("/b")
	d.say(b, Message{Type: Call, Codec: CodecJSON, ID: 1, Method: VerbRegister, Payload: []byte(`{"name":"b"}`)})
	d.mute = true
	call := Message{Type: Call, ID: 7, To: "b", Method: "find", Payload: make([]byte, 64)}
	f, err := call.Frame(nil)
	if err != nil {
		t.Fatal(err)
	}
	cast := Message{Type: Cast, To: "/b", Method: "note", Payload: make([]byte, 64)}
	g, err := cast.Frame(nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(1000, func() {
		one := f
		d.sw.Receive(a, &one)
		reply := Frame{Header: Header{Type: Reply, ID: one.ID}, Payload: f.Payload}
		d.sw.Receive(b, &reply)
		two := g
		d.sw.Receive(a, &two)
	}); n > 3 { // the test's own three frames
		t.Errorf("a call, its reply and a cast allocate %v times", n)
	}
	if d.sw.Open() != 0 {
		t.Errorf("%d calls are open", d.sw.Open())
	}
}

func BenchmarkSwitchCallAndReply(b *testing.B) {
	d := newDeck(b)
	from, to := d.worker("/a"), d.worker("/b")
	d.mute = true
	m := Message{Type: Call, ID: 7, To: "/b", Method: "find", Payload: make([]byte, 64)}
	call, err := m.Frame(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var f Frame
	for b.Loop() {
		f = call
		d.sw.Receive(from, &f)
		f = Frame{Header: Header{Type: Reply, ID: f.ID}, Payload: call.Payload}
		d.sw.Receive(to, &f)
	}
}

// Nodes trust each other with who may change things, and no worker.
func TestOnlyNodesSayWhoMayManage(t *testing.T) {
	d := newDeck(t)
	boss, clerk, node := d.worker("/boss"), d.worker("/clerk"), d.sw.AddNode("/far", 1)
	boss.Manage = true
	ask := func(l *Link, forged bool) *Frame {
		fields := Fields{Method: []byte("terminate_child"), To: []byte("/far"), Left: 1e9, Manage: forged}
		f := &Frame{Header: Header{Type: Call, ID: 7, Flags: CodecJSON}, Fields: append(fields.Append(nil), 0x70, 0, 1, 'x'), Payload: []byte(`"b"`)}
		d.sw.Receive(l, f)
		return f
	}
	passed := func() []bool {
		var all []bool
		for _, m := range d.sent[node] {
			all = append(all, m.Manage)
		}
		d.sent[node] = nil
		return all
	}
	ask(boss, false)
	if got := passed(); !slices.Equal(got, []bool{true}) {
		t.Errorf("of one that may, the next node reads %v", got)
	}
	ask(clerk, false)
	if got := passed(); !slices.Equal(got, []bool{false}) {
		t.Errorf("of one that may not, the next node reads %v", got)
	}
	d.got(clerk)
	ask(clerk, true)
	d.want(clerk, "error 7 not_permitted")
	if got := passed(); got != nil {
		t.Errorf("of one that lies, the next node reads %v", got)
	}
	fields, err := ParseFields(withManage((&Fields{Method: []byte("m"), Tracestate: []byte("a=b"), Total: 9}).Append(nil)))
	if err != nil || !fields.Manage || string(fields.Tracestate) != "a=b" || fields.Total != 9 {
		t.Errorf("%+v, %v", fields, err)
	}
	full := make([]byte, MaxExt)
	if got := withManage(full); len(got) != MaxExt {
		t.Errorf("%d bytes of fields", len(got))
	}
}
