package child

import (
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/internal/fork"
	"github.com/supertrees/supervise/tree"
)

// Root says what a sentinel runs.
type Root struct {
	// Args are the arguments of the root, which is this same binary, named
	// "supervise: /" in ps.
	Args []string
	// Env are variables K=V, over this process's own environment.
	Env []string
	// Containment is as in Options.
	Containment string
	// Hear is given each message that the root writes to RootLink, from one
	// goroutine of its own. Nil: nobody listens.
	Hear func(message []byte)
	// Report is told, in a sentence, what the sentinel had to do. Nil: nobody is.
	Report func(string)
}

// forwarded are the signals that the sentinel hands to the root.
var forwarded = [...]os.Signal{
	syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2,
}

// Sentinel runs the root below this process and returns the exit status for
// this process: the root's own, or 128 + the signal that the root died of. It
// is the reaper above the root, so that the root too may be killed and nothing
// of the tree is left: what the root leaves is ended before Sentinel returns.
// If the sentinel is killed, RootLink ends, and the root ends in order.
//
// The root is in a session of its own: Ctrl-C reaches the sentinel alone, which
// forwards it, and no terminal can stop the root for writing to it.
//
// Sentinel is called first thing in main and does not return before the root
// has ended. As PID 1 it reaps orphans.
func Sentinel(r Root) (status int, err error) {
	ignored, err := cleanStart()
	if err != nil {
		return 1, err
	}
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, append(forwarded[:], syscall.SIGCHLD)...)
	e, err := New(Options{Containment: r.Containment})
	if err != nil {
		return 1, err
	}
	defer e.Close()
	root, err := e.spawnRoot(r)
	if err != nil {
		return 1, err
	}
	w := watch{engine: e, root: root, report: r.Report, began: time.Now(), terminal: hasTerminal(), oom: WatchOOM()}
	for _, sig := range ignored {
		w.ignored = append(w.ignored, sig)
	}
	go giveBackProgram(nil)
	return w.run(signals), nil
}

// watch is a sentinel at work.
type watch struct {
	engine  *Engine
	root    *life
	report  func(string)
	began   time.Time
	ignored []os.Signal // ignored when this process began (nohup): not forwarded
	ended   os.Signal   // the last TERM or INT that was forwarded

	terminal bool // there was a controlling terminal in the beginning
	oom      *OOMKills
}

func (w *watch) run(signals <-chan os.Signal) (status int) {
	for {
		now := time.Since(w.began)
		for _, ev := range w.engine.Reap(now) {
			switch ev := ev.(type) {
			case MainExited:
				w.say("the root ended (%s) and left processes behind: ending them", describeStatus(ev.Status))
			case Exited:
				w.tellOfOOM(ev.Status)
				return w.status(ev.Status)
			case Stuck:
				w.say("processes %v were killed and do not end: giving them up", ev.Pids)
				if w.root.exit != nil {
					return w.status(w.root.exit.Status)
				}
			}
		}
		var due <-chan time.Time
		if at, ok := w.engine.Deadline(); ok {
			due = time.After(max(0, at-time.Since(w.began)))
		}
		select {
		case sig := <-signals:
			w.forward(sig)
		case <-due:
		}
	}
}

// forward hands a signal to the root. A HUP because the terminal went away is
// an order to end; any other HUP is not.
func (w *watch) forward(sig os.Signal) {
	if sig == syscall.SIGCHLD || slices.Contains(w.ignored, sig) || w.root.exit != nil {
		return
	}
	if sig == syscall.SIGHUP && w.terminal && !hasTerminal() {
		w.say("the terminal is gone: ending the tree in order")
		sig = syscall.SIGTERM
	}
	if sig == syscall.SIGTERM || sig == syscall.SIGINT {
		w.ended = sig
	}
	if err := w.root.send(sig.(syscall.Signal)); err != nil {
		w.say("%v", err)
	}
}

// hasTerminal says whether this process has a controlling terminal.
func hasTerminal() bool {
	fd, err := syscall.Open("/dev/tty", syscall.O_RDWR|syscall.O_NOCTTY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	syscall.Close(fd)
	return true
}

// status is what this process ends with. A root that dies of the TERM or INT
// that was handed to it had not begun yet: that is an orderly end.
func (w *watch) status(ws syscall.WaitStatus) int {
	switch {
	case ws.Signaled() && ws.Signal() == w.ended:
		return 0
	case ws.Signaled():
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}

// tellOfOOM says of a killed root how often the kernel wanted memory. Whether the root
// was among those, only the root could know.
func (w *watch) tellOfOOM(ws syscall.WaitStatus) {
	if ws.Signaled() && ws.Signal() == syscall.SIGKILL {
		if n := w.oom.Since(); n > 0 {
			w.say("the root was killed; since the tree began, the kernel killed for want of memory (oom) here: %d", n)
		}
	}
}

func (w *watch) say(format string, args ...any) {
	if w.report != nil {
		w.report(fmt.Sprintf(format, args...))
	}
}

func describeStatus(ws syscall.WaitStatus) string {
	if ws.Signaled() {
		return "signal " + SignalName(ws.Signal())
	}
	return fmt.Sprintf("status %d", ws.ExitStatus())
}

// spawnRoot makes the root, with this process's own input, output and errors
// and its whole environment: all of it is the root's to read.
func (e *Engine) spawnRoot(r Root) (*life, error) {
	theirs, ours, err := openRootLink()
	if err != nil {
		return nil, err
	}
	defer syscall.Close(theirs)
	c := fork.Command{
		Path: "/proc/self/exe", Argv: append([]string{"supervise: /"}, r.Args...),
		Files: []int{openOrNone(0), openOrNone(1), openOrNone(2), RootLink: theirs}, Session: true,
	}
	more := append(slices.Clone(r.Env), envTree+"="+e.tree, envNode+"=1")
	c.Env = overlay(os.Environ(), append(more, withProcessors(busyProcessors, startedWith())...))
	if e.cg != nil && e.cg.lock >= 0 { // held by both: whoever is left of the tree holds it
		c.Files = append(c.Files, e.cg.lock)
	}
	l := &life{ref: tree.Ref{ID: "root", Incarnation: 1}, path: "/", node: true, ticks: bootTicks()}
	if err = e.forkInLeaf(&c, l); err != nil {
		return nil, fmt.Errorf("starting the root: %w", err)
	}
	e.sole = l
	listen(ours, r.Hear)
	return l, nil
}

// openOrNone is a descriptor of this process, or -1 if it was closed when the
// process began.
func openOrNone(fd int) int {
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
		return -1
	}
	return fd
}
