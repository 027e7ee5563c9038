package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/internal/config"
	"github.com/supertrees/supervise/internal/control"
	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/internal/node"
	"github.com/supertrees/supervise/internal/output"
	"github.com/supertrees/supervise/internal/stage"
)

// inNodeRole says whether this process is a supervisor below the root.
func inNodeRole() bool { return child.IsNode() && os.Getenv(envRoot) == "" }

// runNode is the whole life of such a process.
func runNode() int { return node.Main(stage.Admit) }

// envRoot marks the process that runs the root, below its sentinel.
const envRoot = "SUPERVISE_ROOT"

// envRecord names a directory in which every node writes down each step of its
// core, for a bug report that can be played again.
const envRecord = "SUPERVISE_RECORD"

// runTree is `supervise -config`: this process becomes the sentinel, and the
// root runs below it, so that either of them may be killed and the other
// still ends everything. It returns the exit status of the contract.
func runTree(io *stdio, o treeOptions) int {
	stderr := io.err
	if os.Getenv(envRoot) != "" {
		os.Unsetenv(envRoot)
		return runRoot(o, stderr)
	}
	report := func(what string) { fmt.Fprintln(stderr, "supervise:", what) }
	status, err := child.Sentinel(child.Root{
		Args:   os.Args[1:],
		Env:    []string{envRoot + "=1"},
		Hear:   handOn(report),
		Report: report,
	})
	if err != nil {
		fmt.Fprintln(stderr, "supervise:", err)
	}
	return status
}

// runRoot reads the configuration and runs the tree until it ends.
func runRoot(o treeOptions, stderr io.Writer) int {
	child.Starting()
	signals := orders() // from here on an order to end is not lost, and no sudden death
	c, status := load(o.config, stderr)
	if c == nil {
		return status
	}
	socket, status := claim(o, c, stderr)
	if status != 0 {
		return status
	}
	r, err := newRunner(o, c, socket)
	if err != nil {
		fmt.Fprintln(stderr, "supervise:", err)
		return 1
	}
	r.signals = signals
	return r.run()
}

// load reads the configuration; without one, the status says why not.
func load(path string, stderr io.Writer) (*config.Config, int) {
	c, err := config.Load(path)
	if err != nil {
		fmt.Fprintln(stderr, err)
		var unreadable *config.ReadError
		if errors.As(err, &unreadable) {
			return nil, statusNoInput
		}
		return nil, statusConfig
	}
	for _, w := range c.Warnings {
		fmt.Fprintln(stderr, w)
	}
	return c, 0
}

// claim takes the control socket. A tree for which none was asked runs without
// one where there is no place for it.
func claim(o treeOptions, c *config.Config, stderr io.Writer) (*control.Listener, int) {
	l, chosen, err := control.Claim(o.socket, c.Socket, c.Name, os.Getenv)
	switch {
	case errors.Is(err, control.ErrRuns):
		fmt.Fprintln(stderr, "supervise:", err)
		return nil, statusRuns
	case err != nil && chosen:
		fmt.Fprintln(stderr, "supervise:", err)
		return nil, statusNotPermitted
	case err != nil:
		fmt.Fprintln(stderr, "supervise: running without a control socket:", err)
	}
	return l, 0
}

// runner is a root with all that is around it.
type runner struct {
	config   *config.Config
	node     *node.Node
	engine   *child.Engine
	root     *node.Root
	store    *journal.Store
	terminal *output.Writer
	log      hclog.Logger
	socket   *control.Listener
	signals  <-chan os.Signal
}

// newRunner makes the root; nothing is started yet.
func newRunner(o treeOptions, c *config.Config, socket *control.Listener) (*runner, error) {
	node.NameProcess()
	engine, err := child.New(child.Options{Path: "/", Containment: c.Containment})
	if err != nil {
		return nil, err
	}
	options := node.Options{Record: os.Getenv(envRecord)}
	if socket != nil {
		options.Env = []string{"SUPERVISE_SOCKET=" + socket.Path}
	}
	c.Tree.Containment = c.Containment
	n, err := node.New(node.Config{Subtree: c.Tree, Engine: engine, Options: options, Seed: rand.Uint64()})
	if err != nil {
		return nil, err
	}
	r := &runner{config: c, node: n, engine: engine, store: &journal.Store{}, socket: socket}
	r.terminal = output.NewWriter(1, 2, [2]bool{colour(o, os.Stdout), colour(o, os.Stderr)})
	r.log = hclog.New(&hclog.LoggerOptions{
		Name: "supervise", Output: r.terminal.Log(),
		Level: hclog.LevelFromString(o.logLevel), JSONFormat: o.logFormat == "json",
	})
	r.root = node.NewRoot(r.store, r.log, r.terminal)
	return r, nil
}

// run starts the tree and returns how it ended.
func (r *runner) run() int {
	defer r.terminal.Close()
	level, why := r.engine.Level()
	if why == "" {
		r.log.Info("a tree begins, each child in a cgroup of its own", "config", r.config.File)
	} else {
		r.log.Info("a tree begins, without cgroups of its own: "+why, "config", r.config.File)
	}
	about := journal.Record{Name: r.config.Name, Containment: level}
	node.Describe(&about, &r.config.Tree.Spec)
	r.root.Introduce(about)
	if r.socket != nil {
		server := control.Serve(r.tree(), r.socket)
		defer server.Close()
	}
	defer r.store.Close()
	go r.obey()
	link := sentinelLink()
	go r.watchSentinel(link)
	if up := r.tellUpwards(link); up != nil {
		defer up.Close()
	}
	q := r.node.Run(r.root)
	return r.root.Conclude(q, r.node.Status(q.Child.ID))
}

func (r *runner) tree() *runningTree {
	file, err := filepath.Abs(r.config.File)
	if err != nil {
		file = r.config.File
	}
	end := func() { r.end(false, "by", "shutdown on the control socket") }
	return &runningTree{node: r.node, end: end, journal: r.store, writer: r.terminal, info: control.Info{
		Version: version, Name: r.config.Name, Pid: os.Getpid(), Config: file, Started: time.Now().UTC(),
	}}
}

// echo is the time within which the same order again is the same order:
// timeout(1) signals a process and then its group, which it is in. On a busy
// machine much else may have its turn between the two.
const echo = 250 * time.Millisecond

// orders catches the signals of the contract.
func orders() <-chan os.Signal {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1)
	return signals
}

// obey makes the signals orders to the node.
func (r *runner) obey() {
	var last os.Signal
	var at time.Time
	for s := range r.signals {
		name := child.SignalName(s.(syscall.Signal))
		switch s {
		case syscall.SIGTERM, syscall.SIGINT:
			if s == last && time.Since(at) < echo {
				continue
			}
			last, at = s, time.Now()
			r.end(true, "signal", name)
		case syscall.SIGQUIT:
			node.PrintStacks()
		default:
			r.log.Warn("this signal changes nothing: the configuration is read once, at the start", "signal", name)
		}
	}
}

// end is the order to end the tree. A second one with again is to hurry, and
// without, it is the same order still.
func (r *runner) end(again bool, by ...any) {
	r.node.Post(func() {
		switch {
		case !r.node.Ordered():
			r.log.Info("asked to end: stopping all children, the last one first", by...)
		case again:
			r.log.Warn("asked again to end: killing what is left, in the same order", by...)
		default:
			return
		}
		r.node.Stop()
	})
}

// watchSentinel ends the tree in order when the process above it is gone.
func (r *runner) watchSentinel(link *os.File) {
	var b [1]byte
	for {
		if _, err := link.Read(b[:]); err != nil {
			r.node.Post(r.node.ParentGone)
			return
		}
	}
}

// colour says whether paths are to be coloured on a descriptor.
func colour(o treeOptions, f *os.File) bool {
	return !o.noColor && wantsColour(os.Getenv) && isTerminal(f)
}
