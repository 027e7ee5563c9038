package tree_test

import (
	"flag"
	"math/rand/v2"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/supertrees/supervise/tree"
)

var (
	seedFlag   = flag.Uint64("world", 0, "show the life of this world, step by step")
	wildFlag   = flag.Bool("wild", true, "whether the shown world has requests too")
	faultsFlag = flag.Int("faults", 10, "how many faults the shown world has")
)

var worlds = flag.Int("worlds", 3000, "how many random worlds live and end")

func newWorld(seed uint64, wild bool) *world {
	w := &world{Rand: rand.New(rand.NewPCG(seed, 0)), wild: wild}
	if wild {
		w.asked = map[uint64]*node{}
		w.now = time.Duration(w.IntN(3000)) * time.Millisecond
		w.faults = w.IntN(2)
	}
	return w
}

// live is one whole-tree life: boot, faults, rest, and an orderly end. It
// gives what was wrong, or "".
func (w *world) live(faults int) string {
	root, below := plant(w)
	w.root = w.boot(root, below, nil)
	w.settle()
	w.faults = faults
	for w.faults > 0 && !w.root.ended && w.broken == "" {
		w.trouble()
		w.faults = max(w.faults-1, 0)
	}
	w.faults = 0
	w.rest()
	if !w.root.ended {
		w.step(w.root, tree.Shutdown{})
		w.rest()
		if !w.root.ended {
			w.fail("the root does not end: %v", w.root.core.Children())
		}
	}
	if len(w.asked) > 0 {
		w.fail("requests without an answer: %d", len(w.asked))
	}
	return w.broken
}

// trouble is one thing that goes wrong, or that somebody asks for.
func (w *world) trouble() {
	n := w.nodes[w.IntN(len(w.nodes))]
	if len(n.procs) > 0 {
		p := n.procs[w.IntN(len(n.procs))]
		switch {
		case w.wild && w.one(3):
			w.stray(n, p)
		case !p.live || !p.up || p.told:
		case p.node != nil && w.one(2):
			w.crash(p.node)
		case p.node == nil:
			w.die(p, tree.Reason(w.IntN(4)))
		}
	}
	if w.wild && w.one(2) {
		w.request(n)
	}
	if w.wild && w.one(3) && len(w.mail) > 0 {
		return // more goes wrong before anybody has seen this
	}
	w.settle()
	w.pass(time.Duration(w.IntN(1500)) * time.Millisecond)
}

// stray sends an event twice, or one about a life that is over.
func (w *world) stray(n *node, p *proc) {
	ref := p.ref
	if w.one(2) && ref.Incarnation > 1 {
		ref.Incarnation--
		w.step(n, tree.Exited{Ref: ref, Reason: tree.ReasonAbnormal})
		w.step(n, tree.Ready{Ref: ref})
		return
	}
	if p.up {
		w.step(n, tree.Started{Ref: ref})
		w.step(n, tree.Ready{Ref: ref})
	}
	w.step(n, tree.Tick{})
}

// request asks a supervisor for something.
func (w *world) request(n *node) {
	if n.ended {
		return
	}
	n.handled = true
	w.tags++
	w.asked[w.tags] = n
	ids := []string{"a", "b", "c", "s", "d"}
	ref := tree.Ref{ID: ids[w.IntN(len(ids))]}
	if p := n.find(ref.ID); p != nil && n.spec.Strategy == tree.SimpleOneForOne {
		ref = p.ref
	}
	requests := []tree.Event{
		tree.StartChild{Tag: w.tags, Spec: tree.ChildSpec{ID: ref.ID, Restart: tree.Temporary}},
		tree.TerminateChild{Tag: w.tags, Ref: ref, Interrupt: w.one(2)},
		tree.RestartChild{Tag: w.tags, Ref: ref},
		tree.DeleteChild{Tag: w.tags, Ref: ref},
		tree.CycleChild{Tag: w.tags, Ref: ref},
		tree.WhichChildren{Tag: w.tags}, tree.CountChildren{Tag: w.tags}, tree.GetChildspec{Tag: w.tags, Ref: ref},
		tree.Suspend{Tag: w.tags}, tree.Resume{Tag: w.tags}, tree.Resume{Tag: w.tags},
		tree.Reload{Tag: w.tags, Spec: n.spec},
	}
	w.step(n, requests[w.IntN(len(requests))])
}

// settle delivers what is on its way: of each supervisor in order, among them
// in any. The bound is far above what a tree of this size can need.
func (w *world) settle() {
	for range 100_000 {
		if len(w.mail) == 0 || w.broken != "" {
			return
		}
		i := 0
		if w.wild && len(w.mail) > 1 {
			i = w.IntN(len(w.mail))
			to := w.mail[i].to
			i = slices.IndexFunc(w.mail, func(l letter) bool { return l.to == to })
		}
		l := w.mail[i]
		w.mail = slices.Delete(w.mail, i, i+1)
		w.step(l.to, l.e)
	}
	w.fail("the tree does not come to rest")
}

// pass lets time pass, with every Tick when it is due.
func (w *world) pass(by time.Duration) {
	until := w.now + by
	for range 10_000 {
		n, at := w.earliest()
		if n == nil || at > until || w.broken != "" {
			w.now = max(w.now, until)
			return
		}
		w.now = max(w.now, at)
		w.step(n, tree.Tick{})
		w.inTime()
		w.settle()
	}
	w.fail("deadlines without end")
}

func (w *world) earliest() (first *node, at time.Duration) {
	for _, n := range w.nodes {
		if t, ok := n.core.Deadline(); ok && (first == nil || t < at) {
			first, at = n, t
		}
	}
	return first, at
}

// inTime holds that an order to stop is followed by a Kill when its time is over.
func (w *world) inTime() {
	for _, n := range w.nodes {
		at, ok := n.core.Deadline()
		for _, p := range n.procs {
			if p.live && p.due > 0 && !p.killed && !p.told && p.due < w.now && (!ok || at > w.now) {
				w.fail("%v was to be killed at %v", p.ref, p.due)
			}
		}
	}
}

// rest holds that the tree comes to rest when nothing goes wrong any more:
// every supervisor idle, every child that belongs there running.
func (w *world) rest() {
	for range 60 {
		for _, n := range slices.Clone(w.nodes) {
			w.tags++
			if w.asked != nil && !n.ended {
				w.asked[w.tags] = n
				w.step(n, tree.Resume{Tag: w.tags})
			}
			for _, p := range n.procs {
				if p.stuck {
					w.die(p, tree.ReasonKilled)
				}
			}
		}
		w.settle()
		w.pass(2 * time.Minute)
		w.settle()
		if _, at := w.earliest(); at == 0 {
			break
		}
	}
	if w.broken != "" {
		return
	}
	for _, n := range w.nodes {
		if n.core.Mode() != tree.Idle {
			w.fail("at rest, a supervisor is %v: %v", n.core.Mode(), n.core.Children())
		}
		for _, c := range n.core.Children() {
			switch c.State {
			case tree.StateRunning, tree.StateDown:
			default:
				w.fail("at rest, %v is %v", c.Ref, c.State)
			}
			if c.State == tree.StateDown && c.Spec.Restart == tree.Permanent && !n.handled && !w.wild {
				w.fail("at rest, %v is down", c.Ref)
			}
		}
	}
}

func TestTheInvariantsHoldInEveryWorld(t *testing.T) {
	var first, step = uint64(time.Now().UnixNano()), runtime.GOMAXPROCS(0)
	for part := range step {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			for i := part; i < *worlds; i += step {
				seed := first + uint64(i)
				if broken := newWorld(seed, i%4 > 0).live(1 + i%20); broken != "" {
					t.Fatalf("world %d, %d faults, wild %v: %s", seed, 1+i%20, i%4 > 0, broken)
				}
			}
		})
	}
}

// TestShowWorld prints one world's life, for a seed that another test found.
func TestShowWorld(t *testing.T) {
	if *seedFlag == 0 {
		return
	}
	w := newWorld(*seedFlag, *wildFlag)
	w.show = func(n *node, e tree.Event, actions []tree.Action) {
		id := "/"
		if n.proc != nil {
			id = "/" + n.proc.ref.ID
		}
		t.Logf("%v %s %s", w.now, id, words(e))
		for _, a := range actions {
			t.Logf("      %s", words(a))
		}
	}
	if broken := w.live(*faultsFlag); broken != "" {
		t.Fatal(broken)
	}
}

func TestTheSameSeedGivesTheSameJournal(t *testing.T) {
	for seed := range uint64(200) {
		a, b := newWorld(seed, true), newWorld(seed, true)
		a.journals, b.journals = true, true
		a.live(10)
		b.live(10)
		if a.hash != b.hash || a.steps != b.steps {
			t.Fatalf("seed %d: %d steps %x, then %d steps %x", seed, a.steps, a.hash, b.steps, b.hash)
		}
	}
}

func FuzzWorld(f *testing.F) {
	f.Add(uint64(1), 10)
	f.Fuzz(func(t *testing.T, seed uint64, faults int) {
		if broken := newWorld(seed, true).live(min(max(faults, 0), 100)); broken != "" {
			t.Fatal(broken)
		}
	})
}

// A life is 9 processes on 3 levels, 10 faults, boot to end. The second metric
// is about a busy machine as well: it counts the processor's time.
func BenchmarkLives(b *testing.B) {
	steps, i := 0, uint64(0)
	before := processorTime(b)
	for b.Loop() {
		w := newWorld(i, false)
		if broken := w.live(10); broken != "" {
			b.Fatal(broken)
		}
		steps += w.steps
		i++
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lives/s")
	b.ReportMetric(float64(i)/(processorTime(b)-before).Seconds(), "lives/core-s")
	b.ReportMetric(float64(steps)/float64(b.N), "steps/life")
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
