package ipc

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

var worlds = flag.Int("worlds", 150, "how many random worlds TestRandomWorlds goes through")

// A world is a tree of switches and scripted workers, joined by pipes that
// deliver one frame at a time in any order of pipes. On a pipe between nodes
// frames overtake those of others, as often as the host may let them. Workers call, cast,
// answer, cancel, register, monitor and link at random, and workers and nodes
// are killed at any moment. What must hold is checked on the way and at rest.
type world struct {
	*rand.Rand
	t       *testing.T
	log     []string
	root    *wnode
	nodes   []*wnode // living
	workers []*wworker
	ever    []*wworker // every life there was
	pipes   []*wpipe
	paths   map[string]uint64 // incarnations
	calls   map[string]*wcall
	held    map[string]map[*wworker]bool // name → lives that ever asked for it
	seq     int
	cascade []*Link
}

// wpipe is one direction of a link. Between nodes it keeps the order of each
// path's frames only.
type wpipe struct {
	*rand.Rand // nil: to a worker, or from one
	frames     []wframe
	deliver    func(*Frame)
	closed     bool
}

type wframe struct {
	wire []byte
	from string // whose traffic it is part of
}

type wnode struct {
	w        *world
	sw       *Switch
	path     string
	up       *Link // its parent link; nil at the root
	toUp     *wpipe
	link     *Link // the parent's link to it
	parent   *wnode
	numbered bool
	workers  map[*Link]*wworker
	down     map[*Link]*wpipe // to workers and nodes
}

type wworker struct {
	w        *world
	node     *wnode
	link     *Link
	up, down *wpipe
	alive    bool
	id       uint64
	open     map[uint64]*wcall // calls it has made
	holding  []wheld           // calls it has not answered
	names    map[string]bool   // confirmed
	maybe    map[string]bool   // asked for, and not waited for
	last     map[Addr]int      // the newest number that came from a life
	ended    map[Addr]bool     // lives whose end it has been told
	pieces   []wpieces
	partial  Assembler
}

type wheld struct {
	id      uint64
	key     string
	ordered bool
}

// wpieces is a message of which pieces have still to be sent.
type wpieces struct {
	frames [][]byte
	call   *wcall
}

type wcall struct {
	key       string
	method    string
	name      string
	caller    *wworker
	want      func(*wworker) bool
	delivered int
	outcomes  int
	canceled  bool
	by        *wworker // who answered
	target    *wworker // of a monitor, where it is known
}

// body is the payload of every message between workers.
type body struct {
	Key string `json:"key"`
	Seq int    `json:"seq"`
	For Addr   `json:"for,omitzero"`
	Pad string `json:"pad,omitempty"`
}

func TestRandomWorlds(t *testing.T) {
	for seed := range uint64(*worlds) {
		if !t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { runWorld(t, seed) }) {
			return
		}
	}
}

func runWorld(t *testing.T, seed uint64) {
	w := &world{Rand: rand.New(rand.NewPCG(seed, 0)), t: t, paths: map[string]uint64{}, calls: map[string]*wcall{}, held: map[string]map[*wworker]bool{}}
	defer func() {
		if t.Failed() {
			for _, line := range w.log[max(0, len(w.log)-400):] {
				t.Log(line)
			}
		}
	}()
	w.root = &wnode{w: w, path: "/", numbered: true, workers: map[*Link]*wworker{}, down: map[*Link]*wpipe{}}
	w.root.sw = NewRoot(w.root)
	w.nodes = []*wnode{w.root}
	for range w.IntN(6) {
		w.startNode(w.nodes[w.IntN(len(w.nodes))], fmt.Sprintf("n%d", w.IntN(1000)))
		w.drain()
	}
	for range 2 + w.IntN(6) {
		w.startWorker(w.nodes[w.IntN(len(w.nodes))], fmt.Sprintf("w%d", w.IntN(1000)))
	}
	for range 150 {
		w.step()
		if t.Failed() {
			return
		}
	}
	w.rest()
}

func (w *world) logf(format string, a ...any) { w.log = append(w.log, fmt.Sprintf(format, a...)) }

func join(dir, name string) string { return strings.TrimSuffix(dir, "/") + "/" + name }

func (w *world) pipe(deliver func(*Frame)) *wpipe {
	p := &wpipe{deliver: deliver}
	w.pipes = append(w.pipes, p)
	return p
}

func (p *wpipe) put(f *Frame, from *Link) {
	if !p.closed {
		p.frames = append(p.frames, wframe{f.Append(nil), whose(from)})
	}
}

// whose names the frames that keep their order.
func whose(from *Link) string {
	if from == nil {
		return ""
	}
	return fmt.Sprint(from.Kind(), from.Path())
}

// one delivers a frame: the first of those that are the same one's.
func (p *wpipe) one() {
	i := 0
	if p.Rand != nil {
		from := p.frames[p.IntN(len(p.frames))].from
		i = slices.IndexFunc(p.frames, func(f wframe) bool { return f.from == from })
	}
	wire := p.frames[i].wire
	p.frames = slices.Delete(p.frames, i, i+1)
	f, _, err := Next(wire)
	if err != nil {
		panic(err)
	}
	p.deliver(&f)
}

// Send, Queued, Request, Broken, Cascade, Numbered: a node is its switch's host.
func (n *wnode) Send(l *Link, f *Frame, from *Link) {
	if l == n.up {
		n.toUp.put(f, from)
	} else if p := n.down[l]; p != nil {
		p.put(f, from)
	}
}
func (n *wnode) Queued(_, _ *Link) (int, int) { return 0, 0 }
func (n *wnode) Request(l *Link, m *Message, ticket uint64) {
	if ticket != 0 && !n.sw.Fail(ticket, &ErrorBody{Code: CodeNoMethod}) {
		n.w.t.Errorf("%s: a call of the node could not be answered", n.path)
	}
}
func (n *wnode) Broken(l *Link, err *Malformed) {
	n.w.t.Errorf("%s: link to %s broken: %v", n.path, l.Path(), err)
}
func (n *wnode) Cascade(l *Link, detail string) {
	n.w.logf("%s: cascade on %v: %s", n.path, l.Addr(), detail)
	n.w.cascade = append(n.w.cascade, l)
}
func (n *wnode) Numbered(uint32) { n.numbered = true }

func (w *world) startNode(parent *wnode, name string) {
	path := join(parent.path, name)
	if !parent.numbered || parent.sw.children[path] != nil || len(w.nodes) >= 6 {
		return
	}
	w.paths[path]++
	link := parent.sw.AddNode(path, w.paths[path])
	n := &wnode{w: w, path: path, parent: parent, link: link, workers: map[*Link]*wworker{}, down: map[*Link]*wpipe{}}
	n.toUp = w.pipe(func(f *Frame) { parent.sw.Receive(link, f) })
	parent.down[link] = w.pipe(func(f *Frame) { n.sw.Receive(n.up, f) })
	n.toUp.Rand, parent.down[link].Rand = w.Rand, w.Rand
	n.sw, n.up = newNodeFor(n, path, link.Addr())
	w.nodes = append(w.nodes, n)
	w.logf("start node %s at %v", path, link.Addr())
}

// newNodeFor is NewNode for a host that needs its parent link at once.
func newNodeFor(n *wnode, path string, self Addr) (*Switch, *Link) {
	held := &first{}
	sw, up := NewNode(held, path, self)
	sw.host = n
	n.toUp.frames = append(n.toUp.frames, held.frames...)
	return sw, up
}

// first keeps what a new switch sends before its host has seen its parent link.
type first struct {
	Host
	frames []wframe
}

func (h *first) Send(_ *Link, f *Frame, from *Link) {
	h.frames = append(h.frames, wframe{f.Append(nil), whose(from)})
}

func (w *world) startWorker(n *wnode, name string) {
	path := join(n.path, name)
	if !n.numbered || n.sw.children[path] != nil || len(w.workers) > 8 {
		return
	}
	w.paths[path]++
	link := n.sw.AddWorker(path, w.paths[path], true)
	wk := &wworker{w: w, node: n, link: link, alive: true, open: map[uint64]*wcall{}, names: map[string]bool{}, maybe: map[string]bool{}, last: map[Addr]int{}, ended: map[Addr]bool{}}
	wk.up = w.pipe(func(f *Frame) { n.sw.Receive(link, f) })
	wk.down = w.pipe(wk.receive)
	n.down[link] = wk.down
	n.workers[link] = wk
	w.workers, w.ever = append(w.workers, wk), append(w.ever, wk)
	w.logf("start worker %s at %v", path, link.Addr())
	wk.send(Message{Type: Cast, Method: VerbHello})
}

func (wk *wworker) send(m Message) {
	err := m.Frames(nil, func(f *Frame) error { wk.up.put(f, nil); return nil })
	if err != nil {
		panic(err)
	}
}

func (w *world) step() {
	switch k := w.IntN(100); {
	case k < 60:
		w.deliver()
	case k < 96:
		if len(w.workers) > 0 {
			w.workers[w.IntN(len(w.workers))].act()
		}
	case k < 98:
		if len(w.workers) > 0 {
			wk := w.workers[w.IntN(len(w.workers))]
			wk.die()
			if w.IntN(3) > 0 {
				w.startWorker(wk.node, wk.link.path[strings.LastIndexByte(wk.link.path, '/')+1:])
			}
		}
	case k < 99:
		if n := w.nodes[w.IntN(len(w.nodes))]; n != w.root {
			n.die()
			w.startNode(n.parent, n.path[strings.LastIndexByte(n.path, '/')+1:])
		}
	default:
		w.startWorker(w.nodes[w.IntN(len(w.nodes))], fmt.Sprintf("w%d", w.IntN(1000)))
	}
	w.cascades()
}

// cascades stops the workers that a link's fault ends.
func (w *world) cascades() {
	for len(w.cascade) > 0 {
		l := w.cascade[0]
		w.cascade = w.cascade[1:]
		for _, wk := range w.workers {
			if wk.link == l {
				wk.die()
				break
			}
		}
	}
}

func (w *world) deliver() bool {
	var full []*wpipe
	for _, p := range w.pipes {
		if len(p.frames) > 0 && !p.closed {
			full = append(full, p)
		}
	}
	if len(full) == 0 {
		return false
	}
	full[w.IntN(len(full))].one()
	return true
}

func (w *world) drain() {
	for w.deliver() {
		w.cascades()
	}
}

// die is the death of a worker, as its node sees it: what it wrote is read
// first.
func (wk *wworker) die() {
	for len(wk.up.frames) > 0 {
		wk.up.one()
	}
	wk.w.logf("%v %s dies", wk.link.Addr(), wk.link.path)
	wk.gone()
	wk.node.sw.End(wk.link, Down{Reason: "abnormal"})
	delete(wk.node.down, wk.link)
}

func (wk *wworker) gone() {
	wk.alive = false
	wk.up.closed, wk.down.closed = true, true
	w := wk.w
	for i, o := range w.workers {
		if o == wk {
			w.workers = append(w.workers[:i:i], w.workers[i+1:]...)
			break
		}
	}
}

// die is KILL of a node: everything below dies with it, what it wrote up is
// read by its parent.
func (n *wnode) die() {
	w := n.w
	w.logf("node %s dies", n.path)
	for _, o := range append([]*wnode(nil), w.nodes...) {
		if o != n && strings.HasPrefix(o.path, n.path+"/") {
			o.vanish()
		}
	}
	for len(n.toUp.frames) > 0 {
		n.toUp.one()
	}
	n.vanish()
	if w.IntN(2) == 0 {
		n.parent.sw.Cut(n.link, Down{Reason: "killed"})
		for range w.IntN(5) {
			w.deliver()
		}
	}
	n.parent.sw.End(n.link, Down{Reason: "killed"})
	delete(n.parent.down, n.link)
}

func (n *wnode) vanish() {
	w := n.w
	n.toUp.closed = true
	n.parent.down[n.link].closed = true
	for _, wk := range n.workers {
		if wk.alive {
			wk.gone()
		}
	}
	for i, o := range w.nodes {
		if o == n {
			w.nodes = append(w.nodes[:i:i], w.nodes[i+1:]...)
			break
		}
	}
}
