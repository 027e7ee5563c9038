package ipc

import (
	"encoding/json"
	"fmt"
	"strings"
)

// What a worker of the random world does, and what it checks.

var wnames = []string{"alpha", "beta", "gamma"}

// target picks whom to send to: by address, path or name, dead ones too.
func (wk *wworker) target() (dst Addr, to string, want func(*wworker) bool) {
	w := wk.w
	other := w.ever[w.IntN(len(w.ever))]
	switch w.IntN(3) {
	case 0:
		return other.link.addr, "", func(o *wworker) bool { return o == other }
	case 1:
		path := other.link.path
		return 0, path, func(o *wworker) bool { return o.link.path == path }
	}
	name := wnames[w.IntN(len(wnames))]
	return 0, name, func(o *wworker) bool { return w.held[name][o] }
}

func (wk *wworker) act() {
	if len(wk.pieces) > 0 && wk.w.IntN(2) == 0 {
		wk.nextPiece()
		return
	}
	switch k := wk.w.IntN(100); {
	case k < 25:
		wk.call()
	case k < 45:
		wk.castSome()
	case k < 70:
		wk.answer()
	case k < 76:
		wk.cancelSome()
	case k < 84:
		wk.register()
	case k < 88:
		wk.unregister()
	case k < 95:
		wk.monitor()
	default:
		wk.linkOrForge()
	}
}

func (wk *wworker) newCall(method string, want func(*wworker) bool) *wcall {
	wk.id++
	wk.w.seq++
	c := &wcall{key: fmt.Sprintf("%v-%d", wk.link.addr, wk.id), method: method, caller: wk, want: want}
	wk.open[wk.id] = c
	wk.w.calls[c.key] = c
	return c
}

// body numbers what wk sends. What goes to a name counts only for who is known
// to hold it: while it is being registered, its route leads over the root.
func (wk *wworker) body(key, to string) []byte {
	wk.w.seq++
	b := body{Key: key, Seq: wk.w.seq}
	if to != "" && to[0] != '/' {
		if b.For = wk.w.holder(to); b.For == 0 {
			b.Seq = 0
		}
	}
	if wk.w.IntN(10) == 0 {
		b.Pad = strings.Repeat("x", 2*MaxPayload)
	}
	return encode(b)
}

// to is whom the answer of a call is numbered for: it takes the call's way back.
func (h wheld) to() string {
	if h.ordered {
		return ""
	}
	return "nobody"
}

func (w *world) holder(name string) Addr {
	for _, wk := range w.workers {
		if wk.names[name] {
			return wk.link.addr
		}
	}
	return 0
}

func (wk *wworker) call() {
	dst, to, want := wk.target()
	c := wk.newCall("work", want)
	wk.w.logf("%v calls %v%s: %s", wk.link.addr, dst, to, c.key)
	wk.sendSlowly(Message{Type: Call, Codec: CodecJSON, ID: wk.id, Dst: dst, To: to, Method: "work", Payload: wk.body(c.key, to)}, c)
}

func (wk *wworker) castSome() {
	dst, to, _ := wk.target()
	wk.id++
	wk.w.logf("%v casts to %v%s", wk.link.addr, dst, to)
	wk.sendSlowly(Message{Type: Cast, Codec: CodecJSON, ID: wk.id, Dst: dst, To: to, Method: "work", Payload: wk.body("", to)}, nil)
}

// sendSlowly sends the first frame now and the others later. While pieces are
// under way nothing else is sent to anybody's target: order is per target, and
// a worker of this world does not know who its targets are.
func (wk *wworker) sendSlowly(m Message, c *wcall) {
	for len(wk.pieces) > 0 {
		wk.nextPiece()
	}
	var frames [][]byte
	_ = m.Frames(nil, func(f *Frame) error { frames = append(frames, f.Append(nil)); return nil })
	wk.up.frames = append(wk.up.frames, wframe{wire: frames[0]})
	if len(frames) > 1 {
		wk.pieces = append(wk.pieces, wpieces{frames[1:], c})
	}
}

func (wk *wworker) nextPiece() {
	p := &wk.pieces[0]
	if p.call == nil || !p.call.canceled {
		wk.up.frames = append(wk.up.frames, wframe{wire: p.frames[0]})
		if p.frames = p.frames[1:]; len(p.frames) > 0 {
			return
		}
	}
	wk.pieces = wk.pieces[1:]
}

func (wk *wworker) answer() {
	if len(wk.holding) == 0 {
		return
	}
	i := wk.w.IntN(len(wk.holding))
	h := wk.holding[i]
	if wk.w.IntN(10) > 0 { // else it answers a second time later
		wk.holding = append(wk.holding[:i:i], wk.holding[i+1:]...)
	}
	for len(wk.pieces) > 0 {
		wk.nextPiece()
	}
	wk.w.logf("%v answers %s", wk.link.addr, h.key)
	m := Message{Type: Reply, Codec: CodecJSON, ID: h.id, Payload: wk.body(h.key, h.to())}
	if wk.w.IntN(4) == 0 {
		m.Type, m.Payload = Error, encode(ErrorBody{Code: "mine", Message: h.key})
	}
	wk.send(m)
}

func (wk *wworker) cancelSome() {
	for id, c := range wk.open {
		if c.method == VerbUnregister {
			continue
		}
		if c.method == VerbRegister { // it goes on all the same
			wk.maybe[c.name] = true
		}
		c.canceled = true
		delete(wk.open, id)
		wk.partial.drop(pieceKey{Reply, id})
		wk.w.logf("%v cancels %s", wk.link.addr, c.key)
		wk.send(Message{Type: Cancel, ID: id})
		return
	}
}

func (wk *wworker) register() {
	name := wnames[wk.w.IntN(len(wnames))]
	if wk.w.held[name] == nil {
		wk.w.held[name] = map[*wworker]bool{}
	}
	wk.w.held[name][wk] = true
	c := wk.newCall(VerbRegister, nil)
	c.name = name
	wk.w.logf("%v registers %s", wk.link.addr, name)
	wk.send(Message{Type: Call, Codec: CodecJSON, ID: wk.id, Dst: Root, Method: VerbRegister, Payload: encode(Name{name})})
}

func (wk *wworker) unregister() {
	for _, name := range wnames {
		if wk.names[name] {
			delete(wk.names, name)
			c := wk.newCall(VerbUnregister, nil)
			c.name = name
			wk.w.logf("%v unregisters %s", wk.link.addr, name)
			wk.send(Message{Type: Call, Codec: CodecJSON, ID: wk.id, Method: VerbUnregister, Payload: encode(Name{name})})
			return
		}
	}
}

func (wk *wworker) monitor() {
	dst, to, _ := wk.target()
	c := wk.newCall(VerbMonitor, nil)
	for _, o := range wk.w.ever {
		if dst != 0 && o.link.addr == dst {
			c.target = o
		}
	}
	wk.w.logf("%v monitors %v%s: %s", wk.link.addr, dst, to, c.key)
	wk.send(Message{Type: Call, About: true, ID: wk.id, Dst: dst, To: to, Method: VerbMonitor})
}

func (wk *wworker) linkOrForge() {
	dst, to, _ := wk.target()
	switch wk.w.IntN(4) {
	case 0:
		modes := []string{ModePeer, ModeMonitor, ModeNotify}
		wk.newCall(VerbLink, nil)
		wk.send(Message{Type: Call, Codec: CodecJSON, About: true, ID: wk.id, Dst: dst, To: to, Method: VerbLink, Payload: encode(LinkMode{modes[wk.w.IntN(3)]})})
	case 1:
		wk.newCall(VerbUnlink, nil)
		wk.send(Message{Type: Call, About: true, ID: wk.id, Dst: dst, To: to, Method: VerbUnlink})
	case 2: // answers to what it was never asked, of labels that others have
		id := uint64(1+wk.w.IntN(3))<<32 | uint64(wk.w.IntN(20))
		for _, h := range wk.holding {
			if h.id == id {
				return
			}
		}
		wk.send(Message{Type: Reply, Codec: CodecJSON, ID: id, Src: dst, Payload: encode(body{Key: "forged"})})
	default:
		wk.send(Message{Type: Cast, Codec: CodecJSON, Dst: dst, To: to, Method: VerbStop, Payload: encode(Stop{})})
	}
}

// receive takes a frame that the node sends to the worker.
func (wk *wworker) receive(f *Frame) {
	m, done, err := wk.partial.Add(f)
	if err != nil {
		wk.w.t.Errorf("%v got what is malformed: %v", wk.link.addr, err)
	}
	if !done {
		return
	}
	var b body
	_ = json.Unmarshal(m.Payload, &b)
	if m.Src != 0 && b.Seq > 0 && (b.For == 0 || b.For == wk.link.addr) {
		if b.Seq <= wk.last[m.Src] {
			wk.w.t.Errorf("%v got number %d of %v after %d", wk.link.addr, b.Seq, m.Src, wk.last[m.Src])
		}
		wk.last[m.Src] = b.Seq
		if wk.ended[m.Src] {
			wk.w.t.Errorf("%v hears of %v after its end", wk.link.addr, m.Src)
		}
	}
	switch m.Type {
	case Call:
		wk.called(&m, b)
	case Cast:
		if m.Method == VerbStop {
			wk.w.t.Errorf("%v was stopped by %v", wk.link.addr, m.Src)
		}
	case Cancel:
		for i, h := range wk.holding {
			if h.id == m.ID {
				wk.holding = append(wk.holding[:i:i], wk.holding[i+1:]...)
				break
			}
		}
	default:
		wk.answered(&m, b.Key)
	}
}

func (wk *wworker) called(m *Message, b body) {
	key := b.Key
	c := wk.w.calls[key]
	if c == nil {
		wk.w.t.Errorf("%v got a call that nobody made: %q", wk.link.addr, key)
		return
	}
	wk.w.logf("%v got %s", wk.link.addr, key)
	if c.delivered++; c.delivered > 1 && c.outcomes == 0 {
		wk.w.t.Errorf("%s was delivered %d times", key, c.delivered)
	}
	if !c.want(wk) {
		wk.w.t.Errorf("%s was delivered to %v %s, who was not meant", key, wk.link.addr, wk.link.path)
	}
	if m.Src != c.caller.link.addr {
		wk.w.t.Errorf("%s came from %v, says its source", key, m.Src)
	}
	c.by = wk
	wk.holding = append(wk.holding, wheld{m.ID, key, b.Seq > 0 && (b.For == 0 || b.For == wk.link.addr)})
}

func (wk *wworker) answered(m *Message, key string) {
	c := wk.open[m.ID]
	if c == nil {
		for _, o := range wk.w.calls {
			if o.caller == wk && o.canceled && strings.HasSuffix(o.key, fmt.Sprintf("-%d", m.ID)) {
				return // its answer and the cancel crossed
			}
		}
		wk.w.t.Errorf("%v got a second or a forged answer to %d", wk.link.addr, m.ID)
		return
	}
	delete(wk.open, m.ID)
	c.outcomes++
	var e ErrorBody
	if m.Type == Error {
		_ = json.Unmarshal(m.Payload, &e)
		key = e.Message
	}
	wk.w.logf("%v has the outcome of %s %s: %v %s", wk.link.addr, c.method, c.key, m.Type, e.Code)
	switch c.method {
	case "work":
		if key == "forged" { // it may answer before it has read the call
			c.delivered++
			for _, o := range wk.w.ever {
				if o.link.addr == m.Src && c.want(o) {
					key = c.key
				}
			}
		}
		if (m.Type == Reply || e.Code == "mine") && key != c.key {
			wk.w.t.Errorf("%s was answered with %q", c.key, key)
		}
		if e.Code == CodeNoProc && c.delivered > 0 {
			wk.w.t.Errorf("%s was delivered and got noproc", c.key)
		}
		if e.Code == CodeBusy || e.Code == CodeBadRequest {
			wk.w.t.Errorf("%s got %s", c.key, e.Code)
		}
	case VerbRegister:
		if m.Type == Reply {
			wk.names[c.name] = true
		}
	case VerbMonitor:
		var down Down
		if m.Type == Reply && json.Unmarshal(m.Payload, &down) == nil {
			wk.ended[down.Addr] = true
			for _, o := range wk.w.workers {
				if o.link.addr == down.Addr {
					wk.w.t.Errorf("%v was told that %v has ended, which lives", wk.link.addr, down.Addr)
				}
			}
		} else if e.Code == CodeNoProc && c.target != nil && c.target.alive {
			wk.w.t.Errorf("%v was told that %v is nobody", wk.link.addr, c.target.link.addr)
		}
	}
}

// rest lets everything come to rest, and checks what must hold then.
func (w *world) rest() {
	for range 4 {
		w.drain()
		for _, wk := range append([]*wworker(nil), w.workers...) {
			for len(wk.pieces) > 0 {
				wk.nextPiece()
			}
			for _, h := range wk.holding {
				wk.send(Message{Type: Reply, Codec: CodecJSON, ID: h.id, Payload: wk.body(h.key, h.to())})
			}
			wk.holding = nil
		}
		w.drain()
	}
	for _, c := range w.calls {
		if c.caller.alive && !c.canceled && c.outcomes == 0 && c.method != VerbMonitor {
			w.t.Errorf("%s %s by %s has no outcome", c.method, c.key, c.caller.link.path)
		}
		if c.caller.alive && !c.canceled && c.outcomes == 0 && c.target != nil && !c.target.alive {
			w.t.Errorf("%s was not told that %v has ended", c.key, c.target.link.addr)
		}
	}
	w.checkNames()
	for _, wk := range w.workers {
		for id := range wk.open {
			wk.send(Message{Type: Cancel, ID: id})
		}
	}
	w.drain()
	for _, n := range w.nodes {
		watches := 0
		for _, o := range w.workers {
			watches += len(o.link.watches)
		}
		if watches == 0 && n.sw.Open() != 0 {
			w.t.Errorf("%s: %d slots are left: %+v", n.path, n.sw.Open(), n.sw.slots)
		}
	}
}

// checkNames: a name that somebody holds is known to each node from its
// holder to the root, and no dead life's is known to anybody.
func (w *world) checkNames() {
	living := map[Addr]*wworker{}
	for _, wk := range w.workers {
		living[wk.link.addr] = wk
		for name := range wk.names {
			for n := wk.node; n != nil; n = n.parent {
				if n.sw.names[name] != wk.link.addr {
					w.t.Errorf("%s is held by %v, but %s knows %v", name, wk.link.addr, n.path, n.sw.names[name])
				}
			}
		}
	}
	for _, n := range w.nodes {
		for name, addr := range n.sw.names {
			wk := living[addr]
			if wk == nil || !wk.names[name] && !wk.maybe[name] {
				w.t.Errorf("%s knows %s at %v, who does not hold it", n.path, name, addr)
			}
			for up := n.parent; wk != nil && up != nil; up = up.parent {
				if up.sw.names[name] != addr {
					w.t.Errorf("%s knows %s at %v, but %s knows %v", n.path, name, addr, up.path, up.sw.names[name])
				}
			}
			if wk != nil && wk.node.sw.names[name] != addr {
				w.t.Errorf("%s knows %s at %v, its own node does not", n.path, name, addr)
			}
			if len(n.sw.holds[addr]) == 0 {
				w.t.Errorf("%s knows %s at %v, but not that %v has it", n.path, name, addr, addr)
			}
		}
		if len(n.sw.verbs) != 0 {
			w.t.Errorf("%s: changes of names are still under way: %d", n.path, len(n.sw.verbs))
		}
		for node, l := range n.sw.routes {
			if l.ended {
				w.t.Errorf("%s has a route to node %d over a dead link", n.path, node)
			}
		}
	}
}
