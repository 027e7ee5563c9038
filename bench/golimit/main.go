// Golimit is the limit in Go: N children that are started again when they end,
// and nothing else that a supervisor does.
//
//	golimit [-protected] N CHILD
//
// Plain, it is syscall.ForkExec, SIGCHLD and wait4. Protected, it gives its
// children what supervise gives them at containment level basic, and so shows
// what those protections cost by themselves: a process group, PDEATHSIG from
// a locked thread, a pidfd, the role of a subreaper, and two pipes for the
// output that are watched by one epoll.
//
// TERM asks all children to stop at once; it ends when they have.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
)

// A limit starts children and knows which are alive.
type limit struct {
	child     string
	argv      [][]string
	attr      syscall.ProcAttr
	protected *protection // nil: plain

	pids  []int
	slot  map[int]int // by pid
	alive int
}

func main() {
	protected := flag.Bool("protected", false, "give the children what supervise gives them")
	flag.Parse()
	n, err := strconv.Atoi(flag.Arg(0))
	if err != nil || flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: golimit [-protected] N CHILD")
		os.Exit(64)
	}
	if err := run(n, flag.Arg(1), *protected); err != nil {
		fmt.Fprintln(os.Stderr, "golimit:", err)
		os.Exit(1)
	}
}

func run(n int, child string, protected bool) error {
	devNull, err := syscall.Open("/dev/null", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening /dev/null: %w", err)
	}
	l := &limit{
		child: child,
		argv:  make([][]string, n),
		attr:  syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{uintptr(devNull), 1, 2}},
		pids:  make([]int, n),
		slot:  make(map[int]int, n),
	}
	if protected {
		runtime.LockOSThread() // PDEATHSIG comes when the thread that forked ends
		if l.protected, err = protect(n); err != nil {
			return err
		}
	}
	for i := range l.argv {
		l.argv[i] = []string{child, strconv.Itoa(i)}
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGCHLD, syscall.SIGTERM)
	for i := range n {
		if err := l.start(i); err != nil {
			return err
		}
	}
	for stopping := false; !stopping || l.alive > 0; {
		if s := <-signals; s == syscall.SIGTERM && !stopping {
			stopping = true
			for _, pid := range l.pids {
				syscall.Kill(pid, syscall.SIGTERM)
			}
		}
		if err := l.reap(stopping); err != nil {
			return err
		}
	}
	return nil
}

func (l *limit) start(i int) error {
	attr := &l.attr
	if l.protected != nil {
		if err := l.protected.prepare(i, attr); err != nil {
			return err
		}
	}
	pid, err := syscall.ForkExec(l.child, l.argv[i], attr)
	if err != nil {
		return fmt.Errorf("starting %s: %w", l.child, err)
	}
	if l.protected != nil {
		if err := l.protected.started(i); err != nil {
			return err
		}
	}
	l.pids[i], l.slot[pid] = pid, i
	l.alive++
	return nil
}

// reap takes every child that has ended, and starts it again unless stopping.
func (l *limit) reap(stopping bool) error {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if err != nil || pid <= 0 {
			return nil
		}
		i := l.slot[pid]
		delete(l.slot, pid)
		l.alive--
		if l.protected != nil {
			l.protected.ended(i)
		}
		if stopping {
			continue
		}
		if err := l.start(i); err != nil {
			return err
		}
	}
}
