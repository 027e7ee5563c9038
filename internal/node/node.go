// Package node runs one supervisor against the OS.
//
// A Node owns one tree.Supervisor and is driven by one goroutine: it spawns,
// signals, reaps and steps the core, so there is no lock and no race between a
// spawn and a reap. Everything else (the
// board that moves what goes over channels and links, the pump of the children's
// output, the control socket) only moves bytes and hands over what the node is to
// do, in bounded queues.
//
// What happens goes up as journal records: to the parent over its pipe, or, in
// the root, to the journal that status, events and the log are made of.
package node

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/internal/board"
	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/internal/output"
	"github.com/supertrees/supervise/internal/ready"
	"github.com/supertrees/supervise/tree"
)

// inboxSize bounds what other goroutines have posted and the node has not
// handled yet; a full inbox makes them wait, never the node.
const inboxSize = 1024

// Upstream is where a node's news goes: the parent's pipe, or the root's
// journal. Its methods are called by the node's goroutine alone, but Output,
// which the pump and the board call.
type Upstream interface {
	Record(journal.Record)
	Output(output.Batch)
	Ready()
	Failed(reason string)
	Stopping() // the order to stop has come
	Flush()    // the node is about to wait: nothing may stay behind
}

// Config is what a Node needs of its process.
type Config struct {
	Subtree *child.Subtree
	Engine  *child.Engine
	Options Options
	Seed    uint64
	// Board has the link to the parent; nil: this is the root.
	Board *board.Board
}

// Options are handed down unchanged from the root to every node.
type Options struct {
	// Env is added to every child's environment.
	Env []string `json:"env,omitempty"`
	// Record is a directory in which every node writes down the steps of its
	// core (journal.Replay); "" is none.
	Record string `json:"record,omitempty"`
	// Sink is a datagram socket to which a node whose parent is gone tells
	// what it still does; "" is none.
	Sink string `json:"sink,omitempty"`
}

// Node is one running supervisor. Only Post may be called by other goroutines.
type Node struct {
	path    string
	subtree *child.Subtree
	options Options
	core    *tree.Supervisor
	steps   *journal.Steps // nil: they are not recorded
	engine  *child.Engine
	pump    *output.Pump
	prober  *ready.Prober
	board   *board.Board
	up      Upstream
	sink    *sink // instead of up for records, once the parent is gone and if there is one

	inbox   chan func()
	signals chan os.Signal
	died    chan struct{} // a main process has ended
	calm    chan struct{} // a storm is over: wait for the next death

	events  []tree.Event       // what the core has not been told yet, in order
	lives   map[string]*life   // the present life of each child that has one
	below   map[string]distant // what was heard of each path below a child node
	asked   map[uint64]pending // requests in the core's queue, by tag
	lastTag uint64
	added   map[string][]*brought // came by start_child, not answered yet, in order
	args    map[string][]string   // extra arguments of instances, by id
	stops   map[string]tree.Stop  // how each worker with a channel is stopped, by the id of its spec
	news    []board.News          // taken from the board and not handled yet
	due     dueList               // what the node itself is to do, and when
	daemons map[string]bool       // specs whose command was said to make itself a daemon
	drawn   uint64                // the last instance number of a simple_one_for_one supervisor

	ordered  bool // the order to stop has come
	orphaned bool // the parent is gone
	storm    bool // deaths are waited for by the node's own thread: see storm.go
	deaths   int  // in storms, so far
	told     bool // awaitDeaths has told of one, and waits for the storm to be over
	quit     *tree.Quit
	ended    chan struct{} // closed once quit is set

	// status is how each significant child last ended, as a shell would say it.
	status map[string]int
}

// New makes a node; nothing is started before Run.
func New(c Config) (*Node, error) {
	n := &Node{
		path:    c.Subtree.Path,
		subtree: c.Subtree,
		options: c.Options,
		core:    tree.New(c.Subtree.Spec, c.Seed),
		engine:  c.Engine,
		inbox:   make(chan func(), inboxSize),
		signals: make(chan os.Signal, 1),
		died:    make(chan struct{}),
		calm:    make(chan struct{}, 1),
		lives:   make(map[string]*life),
		below:   make(map[string]distant),
		added:   make(map[string][]*brought),
		stops:   make(map[string]tree.Stop),
		asked:   make(map[uint64]pending),
		args:    make(map[string][]string),
		ended:   make(chan struct{}),
		status:  make(map[string]int),
	}
	if err := n.record(c.Seed); err != nil {
		return nil, err
	}
	for i := range c.Subtree.Spec.Children {
		n.keepStop(&c.Subtree.Spec.Children[i])
	}
	var err error
	if n.board = c.Board; n.board == nil {
		if n.board, err = board.NewRoot(n.outputFromBelow); err != nil {
			return nil, fmt.Errorf("making the switchboard of %s: %w", n.path, err)
		}
	}
	n.pump, err = output.NewPump(func(b output.Batch) { n.up.Output(b) })
	if err != nil {
		return nil, fmt.Errorf("making the output pump of %s: %w", n.path, err)
	}
	n.prober = ready.New(host{n})
	signal.Notify(n.signals, unix.SIGCHLD)
	go n.awaitDeaths()
	return n, nil
}

// record begins the record of the core's steps, if one is wanted. The file is
// the process's own until it ends.
func (n *Node) record(seed uint64) error {
	if n.options.Record == "" {
		return nil
	}
	name := fmt.Sprintf("%s-%d.steps", strings.ReplaceAll(n.path, "/", "_"), os.Getpid())
	file, err := os.OpenFile(filepath.Join(n.options.Record, name), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("recording the steps of %s: %w", n.path, err)
	}
	n.steps = journal.RecordSteps(file, n.path, n.subtree.Spec, seed)
	return nil
}

// Post has the node's goroutine run f. It waits while the inbox is full.
func (n *Node) Post(f func()) { n.inbox <- f }

// Run starts the children and supervises them until the core quits.
func (n *Node) Run(up Upstream) tree.Quit {
	runtime.LockOSThread() // the children are killed when their maker's thread ends
	defer runtime.UnlockOSThread()
	n.up = up
	n.step(tree.Boot{}) // the first event, whatever is asked meanwhile
	if !n.numbered() {
		return *n.quit
	}
	n.announce()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for n.quit == nil {
		if len(n.events) > 0 {
			n.poll()
			n.advance()
			continue
		}
		if n.linger() {
			n.poll() // whoever asks waits for no storm
			continue
		}
		n.up.Flush()
		n.arm(timer)
		select {
		case <-n.died:
			n.reapDead()
		case <-n.signals:
			n.reap()
		case <-n.board.Bell():
			n.read()
		case f := <-n.inbox:
			f()
		case <-timer.C:
			n.timeIsUp()
		}
	}
	n.engine.Hark() // whatever comes after this node in the process listens again
	n.pump.Stop()
	n.up.Flush()
	close(n.ended)
	return *n.quit
}

// numbered waits until the root has given this node its number, which the
// addresses of its children begin with. False: it is to end before that.
func (n *Node) numbered() bool {
	for {
		select {
		case <-n.board.Numbered():
			return true
		case <-n.board.Bell():
			n.read()
		case f := <-n.inbox:
			f()
		}
		if n.ordered || n.orphaned {
			n.quit = &tree.Quit{Reason: tree.ReasonShutdown}
			close(n.ended)
			return false
		}
	}
}

// outputFromBelow prints, at the root, what children of other nodes print.
func (n *Node) outputFromBelow(payload []byte) {
	var b output.Batch
	if b.UnmarshalBinary(payload) == nil {
		n.up.Output(b)
	}
}

// Status is how a significant child last ended: 0 if it ended well, else its
// exit status, or 128 + the signal's number.
func (n *Node) Status(id string) int { return n.status[id] }

// poll looks, without waiting, at what came while the core is busy, so that an
// order interrupts the boot of ten thousand children.
func (n *Node) poll() {
	if n.storm { // in which nobody tells of deaths
		n.take(n.engine.ReapDead(now()))
	}
	select {
	case <-n.died:
		n.reapDead()
	case <-n.signals:
		n.reap()
	case <-n.board.Bell():
		n.read()
	case f := <-n.inbox:
		f()
	default:
	}
}

// step queues an event for the core.
func (n *Node) step(e tree.Event) { n.events = append(n.events, e) }

// advance gives the core one event and does what it decides.
func (n *Node) advance() {
	e := n.events[0]
	n.events = n.events[1:]
	if len(n.events) == 0 {
		n.events = nil
	}
	n.leave(e)
	at := now()
	actions := n.core.Step(at, e)
	if n.steps != nil {
		n.steps.Write(at, e, actions)
	}
	for _, a := range actions {
		n.do(a)
	}
}

// now is CLOCK_MONOTONIC: the same for every node, and no step of the wall
// clock reaches a decision.
func now() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic("reading CLOCK_MONOTONIC: " + err.Error()) // cannot fail on Linux
	}
	return time.Duration(t.Nano())
}

// arm sets the one timer to whatever is due first.
func (n *Node) arm(timer *time.Timer) {
	due, ok := n.nextDue()
	if !ok {
		timer.Stop()
		return
	}
	timer.Reset(max(due-now(), 0))
}

// nextDue is when something is due next, if anything is.
func (n *Node) nextDue() (due time.Duration, ok bool) {
	due, ok = n.core.Deadline()
	if at, has := n.engine.Deadline(); has && (!ok || at < due) {
		due, ok = at, true
	}
	if at, has := n.prober.Deadline(); has && (!ok || at < due) {
		due, ok = at, true
	}
	if len(n.due) > 0 && (!ok || n.due[0].at < due) {
		due, ok = n.due[0].at, true
	}
	return due, ok
}

// timeIsUp serves whatever deadline has come.
func (n *Node) timeIsUp() {
	at := now()
	if due, ok := n.engine.Deadline(); ok && due <= at {
		n.reap()
	}
	if due, ok := n.prober.Deadline(); ok && due <= at {
		n.prober.Tick()
	}
	n.runDue(at)
	if due, ok := n.core.Deadline(); ok && due <= at {
		n.step(tree.Tick{})
	}
}

// Stop is the order to stop: TERM, INT, the parent's word. A second one kills
// what is left, in the same order.
func (n *Node) Stop() {
	if n.ordered {
		n.step(tree.Hurry{})
		return
	}
	n.ordered = true
	n.up.Stopping()
	n.step(tree.Shutdown{})
}

// Ordered says whether the order to stop has come; another one kills.
func (n *Node) Ordered() bool { return n.ordered }

// ParentGone is the end of the parent's pipe.
func (n *Node) ParentGone() {
	n.orphaned = true
	if n.options.Sink != "" {
		n.sink = newSink(n.options.Sink)
	}
	n.step(tree.ParentGone{})
}

// Wait returns when the node has quit, or with the context's error.
func (n *Node) Wait(ctx context.Context) error {
	select {
	case <-n.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
