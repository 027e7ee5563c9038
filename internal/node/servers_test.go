package node

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/ipc"
	"github.com/supertrees/supervise/proc"
	"github.com/supertrees/supervise/tree"
)

// holder keeps calls open, and says how many of their callers still wait.
func holder(s *proc.Server) error {
	var open []context.Context
	proc.Call[proc.Raw, proc.Raw]("hold").HandleLater(s, func(ctx context.Context, _ proc.Raw, _ proc.From[proc.Raw]) error {
		open = append(open, ctx)
		return nil
	})
	proc.Call[proc.None, int]("waited for").Handle(s, func(context.Context, proc.None) (n int, _ error) {
		for _, ctx := range open {
			if ctx.Err() == nil {
				n++
			}
		}
		return n, nil
	})
	return nil
}

// gift is an order to a giver: a large call, once Gate is opened, which it gives
// up when Enough is. Done is opened when the call has ended.
type gift struct {
	To, Gate, Enough, Done string
	Size                   int
}

// giver makes large calls, and says how they ended.
func giver(s *proc.Server) error {
	proc.Call[gift, string]("give").Handle(s, func(ctx context.Context, g gift) (string, error) {
		if _, err := os.ReadFile(g.Gate); err != nil {
			return "", err
		}
		ctx, cancel := context.WithCancel(proc.Forever(context.WithoutCancel(ctx)))
		defer cancel()
		go func() {
			if _, err := os.ReadFile(g.Enough); err == nil {
				cancel()
			}
		}()
		_, err := proc.Call[proc.Raw, int]("weigh").Call(ctx, proc.Name(g.To), make([]byte, g.Size))
		if err := os.WriteFile(g.Done, nil, 0); err != nil {
			return "", err
		}
		var e *proc.CallError
		if errors.As(err, &e) {
			return string(e.Code), nil
		}
		return "ok", err
	})
	return nil
}

// poured is what came of casts to a sloth.
type poured struct {
	N      uint64
	Sorted bool
}

// sloth handles casts as slowly as can be: the first waits until the gate is opened.
func sloth(s *proc.Server) error {
	var wait sync.Once
	next, got := 0, poured{Sorted: true}
	proc.Cast[int]("note").Handle(s, func(_ context.Context, n int) (err error) {
		wait.Do(func() { _, err = os.ReadFile(os.Getenv("GATE")) })
		got.N, got.Sorted = got.N+1, got.Sorted && n >= next
		next = n + 1
		return err
	})
	proc.Call[proc.None, poured]("poured").Handle(s, func(context.Context, proc.None) (poured, error) { return got, nil })
	return nil
}

// gate is a pipe with a name: who reads it waits until somebody opens it.
func gate(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A caller dies with a thousand calls open: the handlers' contexts are all done.
func TestACallersEndEndsTheContextsOfItsHandlers(t *testing.T) {
	far := worker(supervisor("/far"), "b", "proc holder")
	tt := plant(t, under(worker(supervisor("/"), "a", "puppet"), far))
	go func() { _, _ = ask[any](tt, "/a", "forward", order{To: "/far/b", Method: "hold", N: 1000}) }()
	waitedFor := func(n int) func() bool {
		return func() bool { return must[int](tt, "/far/b", "waited for", nil) == n }
	}
	tt.until("all calls to be held", waitedFor(1000))
	tt.kill("/a")
	tt.until("nobody to be waited for", waitedFor(0))
	if c := tt.talk("/far/b"); c.Waiting != 0 {
		t.Errorf("it owes %d answers", c.Waiting)
	}
}

// A caller gives up between the pieces of a message: its node is stopped, and so
// its pipe is full long before the end. The receiver is told, forgets the pieces
// that it has, and reads the next message.
func TestACallerGivesUpBetweenThePiecesOfItsMessage(t *testing.T) {
	near, far := worker(supervisor("/near"), "a", "proc giver"), worker(supervisor("/far"), "b", "puppet")
	tt := plant(t, under(under(supervisor("/"), near), far))
	pid := tt.at("/near/a").Pid
	for round := range 3 {
		g := gift{To: "/far/b", Gate: gate(t, "gate"), Enough: gate(t, "enough"), Done: gate(t, "done"), Size: ipc.MaxMessage}
		result := make(chan string, 1)
		go func() {
			got, err := ask[string](tt, "/near/a", "give", g)
			if err != nil {
				got = err.Error()
			}
			result <- got
		}()
		begin, err := os.OpenFile(g.Gate, os.O_WRONLY, 0) // when it stands before the gate
		if err != nil {
			t.Fatal(err)
		}
		goOn := stop(tt, "/near")
		begin.Close()
		tt.until("a piece to be in its pipe", func() bool { return unread(t, pid, 4) >= ipc.MaxPayload/2 })
		if err := os.WriteFile(g.Enough, nil, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := os.ReadFile(g.Done); err != nil {
			t.Fatal(err)
		}
		goOn()
		if got := <-result; got != string(proc.ErrCanceled) {
			t.Errorf("the call: %s", got)
		}
		tt.until("the receiver to be told", func() bool { return must[int](tt, "/far/b", "cancels", nil) == round+1 })
	}
	if got := must[map[string]int](tt, "/far/b", "weighed", nil); len(got) != 0 {
		t.Errorf("of messages that were not sent to their end came %v", got)
	}
	g := gift{To: "/far/b", Gate: os.DevNull, Enough: gate(t, "enough"), Done: os.DevNull, Size: ipc.MaxMessage}
	if got := must[string](tt, "/near/a", "give", g); got != "ok" {
		t.Errorf("the next message: %s", got)
	}
	tt.until("nothing to be under way", func() bool { c := tt.talk("/far/b"); return c.Calls == 0 && c.Waiting == 0 })
}

// Millions of casts come to one that handles none of them: what its mailbox has
// no room for is dropped and counted, and nobody's memory grows without bound.
// When it goes on it handles the rest, in order.
func TestMillionsOfCastsToOneThatIsSlow(t *testing.T) {
	opened := gate(t, "gate")
	slow := func(_ *tree.ChildSpec, p *child.Process) { p.Env = append(p.Env, "GATE="+opened) }
	far := worker(worker(supervisor("/far"), "a", "puppet"), "b", "proc sloth", slow)
	tt := plant(t, under(supervisor("/"), far))
	n := long(150_000, 13_000_000)
	must[int](tt, "/far/a", "pour", order{To: "/far/b", N: n, Size: long(1000, 10)})
	var s proc.Statistics
	tt.until("all to have come, or to be counted", func() bool {
		c := tt.talk("/far/b")
		return json.Unmarshal(c.Statistics, &s) == nil && s.In+c.Dropped == uint64(n)
	})
	if s.Dropped == 0 || s.Bytes > 64<<20 {
		t.Errorf("of %d casts: %+v", n, s)
	}
	for _, path := range []string{"/far/b", "/far"} {
		if most := peak(t, tt.at(path).Pid); most > 512<<20 {
			t.Errorf("%s has taken %d MB", path, most>>20)
		} else {
			t.Logf("%s has taken %d MB", path, most>>20)
		}
	}
	if err := os.WriteFile(opened, nil, 0); err != nil {
		t.Fatal(err)
	}
	got := must[poured](tt, "/far/b", "poured", nil)
	if got.N != s.In-s.Dropped || !got.Sorted {
		t.Errorf("of %d that came and were not dropped it has handled %+v", s.In-s.Dropped, got)
	}
}

// One that is suspended handles nothing, and is heard all the same: it answers
// for itself, and obeys the order to stop.
func TestOneThatIsSuspendedAnswersForItselfAndStops(t *testing.T) {
	tt := plant(t, worker(supervisor("/"), "names", "proc names"))
	verb := func(method string) {
		if _, err := tt.Call(t.Context(), "/names", method, nil); err != nil {
			t.Fatalf("%s: %v", method, err)
		}
	}
	verb(ipc.VerbSuspend)
	waits := make(chan error, 1)
	go func() {
		_, err := ask[string](tt, "names", "find", "Joe")
		waits <- err
	}()
	tt.until("the call to wait", func() bool { return must[proc.Statistics](tt, "/names", ipc.VerbStatistics, nil).Mailbox == 1 })
	verb(ipc.VerbPing)
	must[any](tt, "/", "terminate_child", "names")
	if err := <-waits; code(err) != ipc.CodeDown {
		t.Errorf("the call that waited: %v", err)
	}
}
