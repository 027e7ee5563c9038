package ready

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/tree"
)

// The pace of the tries: at once, then firstPause later, half as much again
// each time up to longestPause. An interval in the configuration is the pause
// every time.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = time.Second
	tryTimeout   = time.Second // of one try, where the configuration says nothing
)

// sayAfter is the failed try at which a person is told, once, that the proof
// does not come: after two seconds and a half at the usual pace.
const sayAfter = 9

// tries is the state of a proof that is looked for again and again. At most
// one try is under way, and the next begins when nothing of it is left.
type tries struct {
	n      int // begun
	last   error
	pause  time.Duration
	nextAt time.Duration // 0: none is due
	killAt time.Duration // when a probe's process has taken too long; 0: none runs

	cancel  context.CancelFunc // of a try that is a goroutine
	process tree.Ref           // of a try that is a process; zero: none
	killed  bool
	over    bool // no more tries
}

// probed says whether the proof is looked for by tries.
func (l *life) probed() bool {
	r := l.worker.Ready
	return r != nil && (r.TCP != "" || r.HTTP != "" || len(r.Exec) > 0)
}

// try begins the next try.
func (p *Prober) try(l *life) {
	t, r := &l.tries, l.worker.Ready
	t.n++
	t.nextAt = 0
	limit := r.Timeout
	if limit <= 0 {
		limit = tryTimeout
	}
	if len(r.Exec) > 0 {
		p.tryExec(l, limit)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.cancel = cancel
	n := t.n
	go func() {
		err := connect(ctx, r)
		cancel()
		p.host.Post(func() {
			if p.lives[l.ref] == l && l.tries.n == n && !l.tries.over {
				p.tried(l, err)
			}
		})
	}()
}

// tried is the outcome of a try.
func (p *Prober) tried(l *life, err error) {
	t := &l.tries
	t.cancel = nil
	if err == nil {
		p.tell(l, Ready{})
		return
	}
	t.last = err
	if t.n == sayAfter {
		p.tell(l, Warning{Text: "not up yet: " + t.why()})
	}
	pause := l.worker.Ready.Interval
	if pause <= 0 {
		if t.pause == 0 {
			t.pause = firstPause
		} else {
			t.pause = min(t.pause+t.pause/2, longestPause)
		}
		pause = t.pause
	}
	t.nextAt = p.host.Now() + pause
	p.arm(l)
}

// tickTries begins a try that is due, and ends one that has taken too long.
func (p *Prober) tickTries(l *life, now time.Duration) {
	t := &l.tries
	if t.nextAt > 0 && t.nextAt <= now {
		p.try(l)
	}
	if t.killAt > 0 && t.killAt <= now {
		p.killProbe(l)
	}
}

// quit ends the tries, the one under way included.
func (p *Prober) quit(l *life) {
	t := &l.tries
	t.over = true
	t.nextAt = 0
	if t.cancel != nil {
		t.cancel()
		t.cancel = nil
	}
	if t.process != (tree.Ref{}) {
		p.killProbe(l)
	}
}

// why says how the tries went.
func (t *tries) why() string {
	switch {
	case t.last == nil && t.n <= 1:
		return "its first probe had no answer yet"
	case t.n == 1:
		return t.last.Error()
	}
	return fmt.Sprintf("%v (%d tries)", t.last, t.n)
}

// connect is one try over the network.
func connect(ctx context.Context, r *child.Ready) error {
	if r.TCP != "" {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", r.TCP)
		if err != nil {
			return fmt.Errorf("connecting to %s: %w", r.TCP, cause(err))
		}
		return conn.Close()
	}
	if err := askHTTP(ctx, r.HTTP); err != nil {
		return fmt.Errorf("asking %s: %w", r.HTTP, cause(err))
	}
	return nil
}

// cause is the innermost reason of a network error: what is around it repeats
// the address.
func cause(err error) error {
	var errno syscall.Errno
	switch {
	case errors.As(err, &errno):
		return errno
	case errors.Is(err, context.DeadlineExceeded):
		return errTimeout
	}
	var op *net.OpError
	if errors.As(err, &op) {
		if op.Timeout() {
			return errTimeout
		}
		return op.Err
	}
	return err
}

// errTimeout is the end of a try that took too long.
//
//nolint:gochecknoglobals // an error value, never changed
var errTimeout = errors.New("no answer in time")

// tryExec begins a try that is a process of the node's own. It runs as the
// child does: the same user, directory and environment.
func (p *Prober) tryExec(l *life, limit time.Duration) {
	t := &l.tries
	if p.null < 0 {
		null, err := unix.Open("/dev/null", unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			p.tried(l, fmt.Errorf("opening /dev/null for a probe: %w", err))
			return
		}
		p.null = null
	}
	w := *l.worker
	w.Command = w.Ready.Exec
	w.Places = child.Places{{Key: "command", At: w.Places.Of("ready")}}
	p.lastProbe++
	ref := tree.Ref{ID: l.ref.ID + "#ready", Incarnation: p.lastProbe}
	err := p.host.Run(child.Spawn{
		Ref: ref, Path: l.path + "#ready", Process: &w, Stdout: p.null, Stderr: p.null,
		Env: []string{"MAINPID=" + strconv.Itoa(l.pid)},
	})
	if err != nil {
		p.tried(l, err)
		return
	}
	t.process, t.killed = ref, false
	t.killAt = p.host.Now() + limit
	p.probes[ref] = l
	p.arm(l)
}

// killProbe ends the process of a try, with everything that came of it.
func (p *Prober) killProbe(l *life) {
	l.tries.killAt = 0
	if !l.tries.killed {
		l.tries.killed = true
		p.host.Kill(l.tries.process)
	}
}

// Ended says that a process of which the node knows no life has ended, and
// that nothing of it is left. It returns the life whose probe it was; ok is
// false where it was nobody's.
func (p *Prober) Ended(x child.Exited) (of tree.Ref, ok bool) {
	l := p.probes[x.Ref]
	if l == nil {
		return tree.Ref{}, false
	}
	delete(p.probes, x.Ref)
	t := &l.tries
	killed := t.killed
	t.process, t.killed, t.killAt = tree.Ref{}, false, 0
	if t.over {
		return l.ref, true
	}
	name := l.worker.Ready.Exec[0]
	switch {
	case killed:
		p.tried(l, fmt.Errorf("its probe %s: %w", name, errTimeout))
	case x.Status.Signaled():
		p.tried(l, fmt.Errorf("its probe %s died of %s", name, child.SignalName(x.Status.Signal())))
	case x.Status.ExitStatus() != 0:
		p.tried(l, fmt.Errorf("its probe %s exited with %d", name, x.Status.ExitStatus()))
	default:
		p.tried(l, nil)
	}
	return l.ref, true
}
