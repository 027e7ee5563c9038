package node

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/ipc"
	"github.com/supertrees/supervise/tree"
)

// talk is what a tree knows of a worker's channel.
func (tt *testTree) talk(path string) *Channel {
	tt.t.Helper()
	a, err := tt.Ask(tt.t.Context(), Request{Verb: Talk, Path: path}, nil)
	if err != nil || a.Channel == nil {
		tt.t.Fatalf("asking for the channel of %s: %v %s", path, err, a.Err)
	}
	return a.Channel
}

func TestAWorkerThatNeverReadsHoldsUpNobody(t *testing.T) {
	tt := plant(t, worker(worker(worker(supervisor("/"), "a", "puppet"), "deaf", "puppet"), "c", "puppet"))
	must[bool](tt, "/deaf", "deafen", nil)
	must[int](tt, "/a", "notify", order{To: "/deaf", Method: "note", N: 20_000, Size: 1000})
	c := tt.talk("/deaf")
	if c.Dropped == 0 || c.Queued > 5<<20 {
		t.Errorf("20 MB for one that never reads: %d casts dropped, %d bytes queued", c.Dropped, c.Queued)
	}
	if _, err := ask[any](tt, "/a", "one", order{To: "/deaf", Method: "echo"}); code(err) != ipc.CodeBusy {
		t.Errorf("a call to one that is over its bound: %v", err)
	}
	got := must[map[string]int](tt, "/a", "forward", order{To: "/c", Method: "echo", N: 1000, Size: 64})
	if got["ok"] != 1000 {
		t.Errorf("calls past it: %v", got)
	}
	tt.kill("/deaf")
	tt.awaitLife("/deaf", 2)
	must[string](tt, "/deaf", "echo", "heard")
}

func TestCallsOverTheWindowAreRefusedBeforeTheyArrive(t *testing.T) {
	tt := plant(t, worker(worker(supervisor("/"), "a", "puppet"), "b", "puppet"))
	// Monitors do not count, as many as there may be.
	monitors := make(chan map[string]int)
	go func() {
		got, _ := ask[map[string]int](tt, "/a", "forward", order{To: "/b", Method: ipc.VerbMonitor, About: true, N: 2 * ipc.Window})
		monitors <- got
	}()
	tt.until("the monitors to stand", func() bool { return tt.talk("/b").Waiting == 2*ipc.Window })
	result := make(chan map[string]int)
	go func() {
		got, _ := ask[map[string]int](tt, "/a", "forward", order{To: "/b", Method: "hold", N: ipc.Window})
		result <- got
	}()
	tt.until("the window to be full", func() bool { return tt.talk("/a").Calls == ipc.Window })
	if got := must[map[string]int](tt, "/a", "forward", order{To: "/b", Method: "hold", N: 100}); got["busy"] != 100 || len(got) != 1 {
		t.Errorf("of 100 calls over the window: %v", got)
	}
	if held := must[int](tt, "/b", "held", nil); held != ipc.Window {
		t.Errorf("%d calls arrived", held)
	}
	tt.kill("/b")
	if got := <-result; got["down"] != ipc.Window || len(got) != 1 {
		t.Errorf("of %d calls: %v", ipc.Window, got)
	}
	if got := <-monitors; got["ok"] != 2*ipc.Window || len(got) != 1 {
		t.Errorf("of %d monitors: %v", 2*ipc.Window, got)
	}
}

func TestCallingOneselfIsAnErrorAtOnce(t *testing.T) {
	tt := plant(t, worker(supervisor("/"), "a", "named me"))
	for _, to := range []string{"/a", "me", must[ipc.Addr](tt, "/a", "address", nil).String()} {
		if _, err := ask[any](tt, "/a", "one", order{To: to, Method: "hold"}); code(err) != ipc.CodeCallingSelf {
			t.Errorf("calling oneself as %s: %v", to, err)
		}
	}
}

func TestTwoFullPipesNeverDeadlock(t *testing.T) {
	left := worker(supervisor("/left"), "a", "puppet")
	tt := plant(t, under(worker(supervisor("/"), "b", "puppet"), left))
	floodBothWays(tt, 30_000, 1000)
}

// floodBothWays has /left/a and /b send each other so many casts and calls, all
// at once.
func floodBothWays(tt *testTree, casts, calls int) {
	t := tt.t
	t.Helper()
	done := make(chan error, 4)
	for from, to := range map[string]string{"/left/a": "/b", "/b": "/left/a"} {
		go func() {
			_, err := ask[int](tt, from, "notify", order{To: to, Method: "note", N: casts, Size: 300})
			done <- err
		}()
		go func() {
			got, err := ask[map[string]int](tt, from, "forward", order{To: to, Method: "echo", N: calls, Size: 3000})
			if err == nil && got["ok"]+got["busy"] != calls {
				err = fmt.Errorf("of %d calls: %v", calls, got)
			}
			done <- err
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for _, at := range []string{"/left/a", "/b"} {
		if notes := must[[]int](tt, at, "notes", nil); len(notes) == 0 || !slices.IsSorted(notes) {
			t.Errorf("%s has %d notes, in order: %v", at, len(notes), slices.IsSorted(notes))
		}
	}
}

func TestEveryCallHasOneOutcomeWhoeverIsKilled(t *testing.T) {
	deep := worker(supervisor("/left/deep"), "a", "puppet")
	left := under(supervisor("/left"), deep)
	right := worker(supervisor("/right"), "b", "named bob")
	tt := plant(t, worker(under(under(supervisor("/"), left), right), "c", "puppet"))
	random := rand.New(rand.NewPCG(1, 2))
	const n = 1000
	for round := range 20 {
		tt.at("/left/deep/a")
		tt.at("/right/b")
		outcomes := make(chan map[string]int)
		for _, to := range []string{"bob", "/left/deep/a"} {
			go func() {
				got, err := ask[map[string]int](tt, "/c", "forward", order{To: to, Method: "echo", N: n / 2, Size: 100})
				if err != nil {
					got = map[string]int{err.Error(): 1}
				}
				outcomes <- got
			}()
		}
		victim := []string{"/left", "/left/deep", "/left/deep/a", "/right", "/right/b"}[random.IntN(5)]
		tt.kill(victim)
		for range 2 {
			got := <-outcomes
			if sum := got["ok"] + got["down"] + got["noproc"]; sum != n/2 || got["doubled"] > 0 {
				t.Fatalf("round %d, %s killed: of %d calls %v", round, victim, n/2, got)
			}
		}
		tt.until("the name to be held again", func() bool {
			_, err := ask[string](tt, "bob", "echo", "x")
			return err == nil
		})
		tt.until("the path to answer again", func() bool {
			_, err := ask[string](tt, "/left/deep/a", "echo", "x")
			return err == nil
		})
	}
}

func TestANameIsFreeBeforeTheSuccessorAsks(t *testing.T) {
	far := worker(supervisor("/far"), "b", "named bob")
	tt := plant(t, under(supervisor("/"), far))
	for i := range uint64(30) {
		tt.awaitLife("/far/b", i+1)
		tt.kill("/far/b")
	}
	tt.awaitLife("/far/b", 31)
	lines, _ := tt.journal.Read(0, nil)
	for r := range records(lines) {
		if r.Event == journal.Failed {
			t.Errorf("a start failed: %s", r.Error)
		}
	}
}

func TestADescendantThatHoldsTheChannelOpenHoldsUpNobody(t *testing.T) {
	tt := plant(t, worker(worker(supervisor("/"), "a", "puppet"), "b", "puppet"))
	must[bool](tt, "/b", "spawn", nil)
	if _, err := ask[any](tt, "/a", "one", order{To: "/b", Method: "exit"}); code(err) != ipc.CodeDown {
		t.Errorf("a call to one that exits: %v", err)
	}
	tt.awaitLife("/b", 2)
	must[string](tt, "/b", "echo", "again")
}

func TestAWorkerThatFailsBeforeItsHelloFailsItsStart(t *testing.T) {
	for role, why := range map[string]string{
		"half": "normal", "garbage": "protocol: length 1195725856 is not in 28 to 69660",
	} {
		t.Run(role, func(t *testing.T) {
			tt := sow(t, worker(supervisor("/"), "a", role))
			q := <-tt.ended
			tt.ended <- q
			if q.Cause != tree.CauseStartFailed {
				t.Errorf("the root ended by %v: %s", q.Cause, q.Err)
			}
			r := tt.awaitRecord("the end of a", func(r *journal.Record) bool { return r.Event == journal.Exit && r.Path == "/a" })
			if r.Message != why && r.Reason != why {
				t.Errorf("it ended %s, %q", r.Reason, r.Message)
			}
		})
	}
}

func TestAStoppedNodeHoldsUpNobodyElse(t *testing.T) {
	far := worker(supervisor("/far"), "b", "puppet")
	tt := plant(t, worker(worker(under(supervisor("/"), far), "a", "puppet"), "c", "puppet"))
	pid := tt.at("/far").Pid
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(pid, syscall.SIGCONT)
	result := make(chan map[string]int, 1)
	go func() {
		got, _ := ask[map[string]int](tt, "/a", "forward", order{To: "/far/b", Method: "echo", N: 500, Size: 1000})
		result <- got
	}()
	got := must[map[string]int](tt, "/c", "forward", order{To: "/a", Method: "echo", N: 1000, Size: 64})
	if got["ok"] != 1000 {
		t.Errorf("calls beside it: %v", got)
	}
	syscall.Kill(pid, syscall.SIGCONT)
	if got := <-result; got["ok"] != 500 {
		t.Errorf("calls through it, once it goes on: %v", got)
	}
}

func TestStopComesWithTheSignal(t *testing.T) {
	tt := plant(t, worker(supervisor("/"), "a", "puppet", func(c *tree.ChildSpec, p *child.Process) { p.StopSignal = "WINCH" }))
	a, err := tt.Ask(t.Context(), Request{Verb: Stop, Path: "/a"}, nil)
	if err != nil || a.Err != "" {
		t.Fatal(err, a.Err)
	}
	r := tt.awaitRecord("the end of a", func(r *journal.Record) bool { return r.Event == journal.Exit && r.Path == "/a" })
	if r.Reason != "shutdown" {
		t.Errorf("one that heard $stop and no signal ended %s", r.Reason)
	}
}
