package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/ipc"
	"github.com/supertrees/supervise/tree"
)

// code is the word of a call's error; "" for none.
func code(err error) string {
	var e *CallError
	if errors.As(err, &e) {
		return e.Code
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func TestAWorkerIsUpWhenItSaysSo(t *testing.T) {
	tt := plant(t, worker(supervisor("/"), "a", "puppet", func(_ *tree.ChildSpec, p *child.Process) { p.SlowHandler = 250 * time.Millisecond }))
	h := must[ipc.Hello](tt, "/a", "hello", nil)
	if h.SlowHandler != ipc.Duration(250*time.Millisecond) || h.Shutdown != ipc.Duration(patience) || h.MaxMessage != ipc.DefaultMessage {
		t.Errorf("the bounds of its hello were %+v", h)
	}
	if h.Path != "/a" || h.Incarnation != 1 || h.Window != ipc.Window || h.Addr == 0 || len(h.Protocol) != 1 {
		t.Errorf("its hello was %+v", h)
	}
}

func TestTwoWorkersOfOneNodeCallEachOther(t *testing.T) {
	tt := plant(t, worker(worker(supervisor("/"), "a", "puppet"), "b", "named bob"))
	for _, to := range []string{"/b", "bob"} {
		got := must[map[string]int](tt, "/a", "forward", order{To: to, Method: "echo", N: 1000, Size: 64})
		if got["ok"] != 1000 || len(got) != 1 {
			t.Errorf("of 1000 calls to %s: %v", to, got)
		}
	}
}

func TestCallsCrossNodes(t *testing.T) {
	left := worker(supervisor("/left"), "a", "puppet")
	deep := worker(supervisor("/right/deep"), "b", "named bob")
	tt := plant(t, under(under(supervisor("/"), left), under(supervisor("/right"), deep)))
	for _, to := range []string{"/right/deep/b", "bob"} {
		got := must[map[string]int](tt, "/left/a", "forward", order{To: to, Method: "echo", N: 20, Size: 100_000})
		if got["ok"] != 20 || len(got) != 1 {
			t.Errorf("of 20 calls to %s: %v", to, got)
		}
	}
	names, err := tt.Names(t.Context())
	if err != nil || len(names) != 1 || names[0].Name != "bob" || names[0].Path != "/right/deep/b" {
		t.Errorf("the names are %+v, %v", names, err)
	}
}

func TestIgnoreLeavesAWorkerDown(t *testing.T) {
	tt := plant(t, worker(supervisor("/"), "a", "ignores"))
	tt.await("a to be down", func(f *journal.Fold) bool { _, s, _ := f.State("/a"); return s == journal.StateDown })
}

func TestAFailedInitSaysWhy(t *testing.T) {
	tt := sow(t, worker(supervisor("/"), "a", "fails"))
	q := <-tt.ended
	tt.ended <- q
	if q.Cause != tree.CauseStartFailed || !strings.Contains(q.Err, "no database") {
		t.Errorf("the root ended by %v: %s", q.Cause, q.Err)
	}
}

func TestAWorkerThatLosesItsChannelIsStopped(t *testing.T) {
	for role, why := range map[string]string{"closes": "it closed its channel", "puppet": "protocol: length 4294967295"} {
		t.Run(role, func(t *testing.T) {
			tt := plant(t, worker(worker(supervisor("/"), "a", role), "b", "puppet"))
			if role == "puppet" {
				if _, err := ask[bool](tt, "/a", "scribble", nil); code(err) != ipc.CodeDown {
					t.Errorf("a call to one that is killed for what it wrote: %v", err)
				}
			}
			r := tt.awaitRecord("the end of a", func(r *journal.Record) bool { return r.Event == journal.Exit && r.Path == "/a" })
			if r.Reason != "abnormal" || !strings.HasPrefix(r.Message, why) {
				t.Errorf("it ended %s, %q", r.Reason, r.Message)
			}
			tt.awaitLife("/a", 2)
			must[string](tt, "/b", "echo", "still here")
		})
	}
}

func TestADeclaredShutdownIsNoFault(t *testing.T) {
	for _, c := range []struct {
		status         int
		declared, want string
	}{{0, "shutdown", "shutdown"}, {0, "", "normal"}, {3, "normal", "abnormal"}, {3, "shutdown", "abnormal"}} {
		t.Run(fmt.Sprintf("%d %s", c.status, c.declared), func(t *testing.T) {
			tt := plant(t, worker(supervisor("/"), "a", "puppet", temporary))
			if _, err := ask[bool](tt, "/a", "exit", order{N: c.status, Reason: c.declared}); code(err) != ipc.CodeDown {
				t.Errorf("a call to one that exits: %v", err)
			}
			r := tt.awaitRecord("the end of a", func(r *journal.Record) bool { return r.Event == journal.Exit && r.Path == "/a" })
			if r.Reason != c.want || c.declared != "" && r.Message != "as told" {
				t.Errorf("it ended %s, %q", r.Reason, r.Message)
			}
		})
	}
}

func TestAReplyBeforeTheExitWinsOverTheDeath(t *testing.T) {
	tt := plant(t, worker(worker(supervisor("/"), "a", "puppet"), "b", "puppet"))
	for i := range uint64(20) {
		tt.awaitLife("/b", i+1)
		if word, err := ask[string](tt, "/a", "one", order{To: "/b", Method: "answer and exit"}); word != "the last word" {
			t.Fatalf("got %q, %v", word, err)
		}
	}
}

func TestEveryCallHasOneOutcomeWhenTheCalleeIsKilled(t *testing.T) {
	left := worker(supervisor("/left"), "a", "puppet")
	right := worker(supervisor("/right"), "b", "puppet")
	tt := plant(t, under(under(supervisor("/"), left), right))
	const n = 1000
	result := make(chan map[string]int)
	go func() {
		got, _ := ask[map[string]int](tt, "/left/a", "forward", order{To: "/right/b", Method: "hold", N: n})
		result <- got
	}()
	tt.until("all calls to be held", func() bool { return must[int](tt, "/right/b", "held", nil) == n })
	tt.kill("/right/b")
	if got := <-result; got["down"] != n || len(got) != 1 {
		t.Errorf("of %d calls: %v", n, got)
	}
	tt.awaitLife("/right/b", 2)
	must[string](tt, "/right/b", "echo", "again")
}

func TestEveryCallHasOneOutcomeWhenANodeBetweenIsKilled(t *testing.T) {
	for _, victim := range []string{"/left", "/right"} {
		t.Run(victim, func(t *testing.T) {
			left := worker(supervisor("/left"), "a", "puppet")
			right := worker(supervisor("/right"), "b", "puppet")
			tt := plant(t, worker(under(under(supervisor("/"), left), right), "c", "puppet"))
			const n = 1000
			result := make(chan map[string]int)
			go func() {
				got, _ := ask[map[string]int](tt, "/c", "forward", order{To: victim + map[string]string{"/left": "/a", "/right": "/b"}[victim], Method: "hold", N: n})
				result <- got
			}()
			worker := victim + map[string]string{"/left": "/a", "/right": "/b"}[victim]
			tt.until("all calls to be held", func() bool { return must[int](tt, worker, "held", nil) == n })
			tt.kill(victim)
			if got := <-result; got["down"] != n || len(got) != 1 {
				t.Errorf("of %d calls: %v", n, got)
			}
			tt.awaitLife(worker, 2)
			must[string](tt, worker, "echo", "again")
		})
	}
}

func TestACallersEndCancelsItsCalls(t *testing.T) {
	tt := plant(t, worker(worker(supervisor("/"), "a", "puppet"), "b", "puppet"))
	go func() { _, _ = ask[any](tt, "/a", "forward", order{To: "/b", Method: "hold", N: 1000}) }()
	tt.until("all calls to be held", func() bool { return must[int](tt, "/b", "held", nil) == 1000 })
	tt.kill("/a")
	tt.awaitLife("/a", 2)
	tt.until("the switch to hold nothing", func() bool {
		a, err := tt.Ask(t.Context(), Request{Verb: Talk, Path: "/b"}, nil)
		return err == nil && a.Channel.Waiting == 0
	})
}

func TestAMonitorTellsOfTheEnd(t *testing.T) {
	mute := func(c *tree.ChildSpec, p *child.Process) {
		p.Channel, p.Command, c.Start, c.Restart = "", []string{"sleep", "1000"}, tree.AtExec, tree.Temporary
	}
	far := worker(worker(supervisor("/far"), "b", "puppet", temporary), "mute", "", mute)
	tt := plant(t, under(worker(supervisor("/"), "a", "puppet"), far))
	for _, victim := range []string{"/far/b", "/far/mute"} {
		result := make(chan ipc.Down)
		go func() {
			down, _ := ask[ipc.Down](tt, "/a", "one", order{To: victim, Method: ipc.VerbMonitor, About: true})
			result <- down
		}()
		tt.until("the monitor to stand", func() bool { return tt.watched(victim) })
		tt.kill(victim)
		if down := <-result; down.Path != victim || down.Incarnation != 1 || down.Reason != "killed" {
			t.Errorf("the end of %s: %+v", victim, down)
		}
	}
}

func TestADownSaysHowItEnded(t *testing.T) {
	for _, c := range []struct {
		order  order
		detail string
	}{{order{N: 7}, "exit: 7"}, {order{N: 7, Reason: "abnormal"}, "as told"}, {order{}, ""}} {
		t.Run(c.detail, func(t *testing.T) {
			tt := plant(t, worker(worker(supervisor("/"), "a", "puppet"), "b", "puppet"))
			_, err := ask[any](tt, "/a", "one", order{To: "/b", Method: "exit", Payload: c.order})
			var e *CallError
			var down ipc.Down
			if !errors.As(err, &e) || e.Code != ipc.CodeDown || json.Unmarshal(e.Data, &down) != nil {
				t.Fatalf("a call to one that exits: %v", err)
			}
			if down.Path != "/b" || down.Incarnation != 1 || down.Detail != c.detail {
				t.Errorf("it is told as %+v", down)
			}
		})
	}
}

func TestALinkEndsTheOther(t *testing.T) {
	far := worker(supervisor("/far"), "b", "puppet")
	tt := plant(t, under(worker(supervisor("/"), "a", "puppet"), far))
	must[any](tt, "/a", "one", order{To: "/far/b", Method: ipc.VerbLink, About: true, Payload: ipc.LinkMode{Mode: ipc.ModePeer}})
	tt.kill("/far/b")
	r := tt.awaitRecord("the end of a", func(r *journal.Record) bool { return r.Event == journal.Exit && r.Path == "/a" })
	if r.Reason != "abnormal" || r.Message != "cascade: /far/b#1" {
		t.Errorf("a ended %s, %q", r.Reason, r.Message)
	}
	tt.awaitLife("/a", 2)
	must[string](tt, "/a", "echo", "again")
}

func TestSupervisorsAnswerOTPsWords(t *testing.T) {
	web := worker(supervisor("/web"), "api", "puppet")
	tt := plant(t, under(worker(supervisor("/"), "a", "puppet"), web))
	counts := must[tree.Counts](tt, "/a", "one", order{To: "/web", Method: "count_children"})
	if counts != (tree.Counts{Specs: 1, Active: 1, Workers: 1}) {
		t.Errorf("count_children: %+v", counts)
	}
	if which := must[[]tree.ChildInfo](tt, "/web", "which_children", nil); len(which) != 1 || which[0].Ref.ID != "api" {
		t.Errorf("which_children: %+v", which)
	}
	if _, err := ask[any](tt, "/a", "one", order{To: "/web", Method: "terminate_child", Payload: "api"}); code(err) != ipc.CodeNotPermitted {
		t.Errorf("a worker that stops another: %v", err)
	}
	if _, err := ask[any](tt, "/", "restart_child", "a"); code(err) != "running" {
		t.Errorf("restart_child, from outside, of one that runs: %v", err)
	}
	must[any](tt, "/", "terminate_child", "a")
	if got := must[tree.Ref](tt, "/", "restart_child", "a"); got != (tree.Ref{ID: "a", Incarnation: 2}) {
		t.Errorf("restart_child, from outside: %+v", got)
	}
	if _, err := ask[any](tt, "/web", "make_coffee", nil); code(err) != ipc.CodeNoMethod {
		t.Errorf("an unknown method: %v", err)
	}
}

func TestAWorkerSaysHowItIs(t *testing.T) {
	tt := plant(t, worker(supervisor("/"), "a", "puppet"))
	must[bool](tt, "/a", "say", order{Method: ipc.VerbStatus, Payload: ipc.Status{Text: "42 clients\nno more"}})
	tt.awaitRecord("its status", func(r *journal.Record) bool {
		return r.Event == journal.Status && r.Path == "/a" && r.Message == "42 clients no more"
	})
}
