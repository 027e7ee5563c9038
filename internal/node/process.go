package node

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/internal/board"
	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/tree"
)

// The descriptors on which a node finds the link to its parent.
const (
	linkRead  = 3
	linkWrite = 4
)

// Admit is asked before a node starts its children. An error fails its start,
// ignore is OTP's.
type Admit func() (ignore bool, err error)

// Main is the whole life of a process in the node role: it takes its subtree
// from its parent, runs it, and returns the exit status.
func Main(admit Admit) int {
	child.Starting()
	h, err := receiveHello()
	if err != nil {
		fmt.Fprintln(os.Stderr, "supervise:", err)
		return 1
	}
	NameProcess()
	b, err := board.NewNode(h.Subtree.Path, h.Addr, linkRead, linkWrite)
	if err != nil {
		fmt.Fprintln(os.Stderr, "supervise:", err)
		return 1
	}
	defer b.FlushUp()
	up := &Uplink{board: b}
	engine, err := child.New(child.Options{
		Path: h.Subtree.Path, Containment: h.Subtree.Containment,
	})
	if err != nil {
		up.Failed(err.Error())
		return 1
	}
	n, err := New(Config{Subtree: h.Subtree, Engine: engine, Options: h.Options, Seed: rand.Uint64(), Board: b})
	if err != nil {
		up.Failed(err.Error())
		return 1
	}
	n.obey(unix.SIGTERM, unix.SIGINT)
	ignore, err := admit()
	if err != nil {
		up.Failed(err.Error())
		return 1
	}
	if ignore {
		up.Ignored()
		return 0
	}
	return nodeStatus(n.Run(up))
}

// nodeStatus is the exit status of a node: 0 is OTP's shutdown (SP-4).
func nodeStatus(q tree.Quit) int {
	if q.Reason != tree.ReasonShutdown || len(q.Stuck) > 0 {
		return 1
	}
	return 0
}

// obey makes these signals the order to stop (SEMANTICS M-5). QUIT prints the
// stacks and goes on; HUP is no order to a node.
func (n *Node) obey(orders ...os.Signal) {
	stop := make(chan os.Signal, 4)
	signal.Notify(stop, orders...)
	quit := make(chan os.Signal, 1)
	signal.Notify(quit, unix.SIGQUIT, unix.SIGHUP)
	go func() {
		for {
			select {
			case <-stop:
				n.Post(n.Stop)
			case s := <-quit:
				if s == unix.SIGQUIT {
					PrintStacks()
				}
			}
		}
	}()
}

// stacksBound is the most that PrintStacks writes.
const stacksBound = 1 << 20

// PrintStacks writes what every goroutine is doing to standard error.
func PrintStacks() {
	stacks := make([]byte, stacksBound)
	_, _ = os.Stderr.Write(stacks[:runtime.Stack(stacks, true)])
}

// NameProcess makes ps and top say supervise, where the kernel says exe after
// the binary has executed itself.
func NameProcess() { _ = os.WriteFile("/proc/self/comm", []byte("supervise"), 0) }

// wallTime is what records are stamped with; nothing is decided by it.
func wallTime() time.Time { return time.Now().UTC() }
