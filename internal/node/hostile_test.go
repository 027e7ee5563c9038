package node

import (
	"fmt"
	"strings"
	"testing"

	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/ipc"
)

// village is a worker that means harm, with siblings beside it and below.
func village(t *testing.T) *testTree {
	far := worker(supervisor("/far"), "c", "puppet")
	root := worker(worker(supervisor("/"), "a", "puppet"), "b", "puppet")
	return plant(t, under(worker(worker(root, "sh", "", inSh(greeter)), "bad", "puppet"), far))
}

// unharmed says that the siblings live their first lives and speak with each other.
func (tt *testTree) unharmed() {
	tt.t.Helper()
	for _, path := range []string{"/a", "/b", "/sh", "/far", "/far/c"} {
		if life := tt.at(path); life.Incarnation != 1 {
			tt.t.Errorf("%s is in life %d", path, life.Incarnation)
		}
	}
	for _, to := range []string{"/b", "/far/c"} {
		if got := must[map[string]int](tt, "/a", "forward", order{To: to, Method: "echo", N: 100, Size: 64}); got["ok"] != 100 {
			tt.t.Errorf("calls to %s: %v", to, got)
		}
	}
	if got := must[string](tt, "greeter", "greet", "Joe"); got != "hello Joe" {
		tt.t.Errorf("the worker in sh: %q", got)
	}
}

func (tt *testTree) attack(o order) map[string]int {
	tt.t.Helper()
	return must[map[string]int](tt, "/bad", "attack", o)
}

func TestAWorkerCannotSpeakAsAnother(t *testing.T) {
	tt := village(t)
	a, bad := must[ipc.Addr](tt, "/a", "address", nil), must[ipc.Addr](tt, "/bad", "address", nil)
	for _, to := range []string{"/b", "/far/c"} {
		tt.attack(order{Method: "forge a source", To: to, Reason: a.String(), N: 100})
		must[string](tt, "/bad", "one", order{To: to, Method: "echo", Payload: "behind them"})
		if from := must[map[ipc.Addr]int](tt, to, "sources", nil); from[bad] != 100 || len(from) != 1 {
			t.Errorf("the notes of %v that say they are of %v came to %s as %v", bad, a, to, from)
		}
	}
	tt.unharmed()
}

func TestAWorkerCannotAnswerForAnother(t *testing.T) {
	tt := village(t)
	const n = 500
	result := make(chan map[string]int)
	go func() {
		got, _ := ask[map[string]int](tt, "/a", "forward", order{To: "/b", Method: "hold", N: n})
		result <- got
	}()
	tt.until("all calls to be held", func() bool { return must[int](tt, "/b", "held", nil) == n })
	tt.attack(order{Method: "answer others' calls", N: 2000})
	must[string](tt, "/bad", "echo", "behind them")
	if c := tt.talk("/a"); c.Calls != n {
		t.Errorf("of %d calls %d are open", n, c.Calls)
	}
	if cancels := must[int](tt, "/b", "cancels", nil); cancels != 0 {
		t.Errorf("%d of them were taken back", cancels)
	}
	tt.kill("/b")
	if got := <-result; got["down"] != n || len(got) != 1 {
		t.Errorf("their outcomes: %v", got)
	}
}

// What would change its siblings is refused, by whatever way it is asked.
func TestAWorkerMayNotChangeItsSiblings(t *testing.T) {
	tt := village(t)
	verbs := []string{
		ipc.VerbStop, ipc.VerbExit, ipc.VerbSuspend, ipc.VerbReplace, ipc.VerbTerminate, ipc.VerbNode, ipc.VerbEvent, ipc.VerbOutput,
		ipc.VerbHello, ipc.VerbReady, ipc.VerbFailed, ipc.VerbExiting, ipc.VerbMolt, ipc.VerbMolted, ipc.VerbFlow,
	}
	for _, to := range []string{"/a", "/b", "greeter", "/far/c", "/far"} {
		for _, verb := range verbs {
			for _, about := range []bool{false, true} {
				got := tt.attack(order{To: to, Method: verb, About: about, Payload: ipc.Stop{Reason: "because"}})
				only(t, verb+" to "+to, got, ipc.CodeNotPermitted, ipc.CodeNoMethod)
			}
		}
		got := tt.attack(order{To: to, Method: ipc.VerbUnlink, About: true})
		only(t, "an unlink of whom it is not linked to", got, "ok", ipc.CodeNoProc)
	}
	for _, to := range []string{"/", "/far"} {
		for _, verb := range []string{"terminate_child", "restart_child", "delete_child", "start_child"} {
			only(t, verb+" of "+to, tt.attack(order{To: to, Method: verb, Payload: "a"}), ipc.CodeNotPermitted)
		}
	}
	tt.unharmed()
}

func TestAMethodOfAnyBytesIsOneThatNobodyKnows(t *testing.T) {
	tt := village(t)
	for _, to := range []string{"/b", "/far/c", "/", "/far"} {
		only(t, "255 times 0xff to "+to, tt.attack(order{To: to, Method: "0xff"}), ipc.CodeNoMethod)
	}
	tt.attack(order{To: "greeter", Method: "0xff", N: -1}) // which says nothing to what it does not know
	tt.unharmed()
}

func TestALifeHasItsShareOfNamesAndGroups(t *testing.T) {
	const share = 1024
	tt := village(t)
	for i, verb := range []string{ipc.VerbRegister, ipc.VerbJoin} {
		tt.awaitLife("/bad", uint64(i+1))
		n := long(5_000, 1_000_000)
		for done := 0; done < n; done += 5_000 { // a call from here has its own deadline
			got := tt.attack(order{Method: verb, N: 5_000})
			only(t, verb, got, "ok", ipc.CodeNotPermitted, ipc.CodeAlreadyRegistered)
			if done == 0 && got["ok"] != share {
				t.Errorf("%s: %v", verb, got)
			}
		}
		tt.kill("/bad")
	}
	tt.awaitLife("/bad", 3)
	if names, err := tt.Names(t.Context()); err != nil || len(names) != 1 {
		t.Errorf("after its death %d names are held, %v", len(names), err)
	}
	tt.unharmed()
}

func TestWhatNoWorkerMayWriteEndsItAlone(t *testing.T) {
	tt := village(t)
	c := must[ipc.Addr](tt, "/far/c", "address", nil)
	life := uint64(1)
	for _, o := range []order{
		{Method: ipc.VerbGone, Reason: `{"addr":"` + c.String() + `"}`},
		{Method: ipc.VerbGone, Reason: `{"addr":"@2.0"}`},
		{Method: "", To: "/b"},
	} {
		tt.awaitLife("/bad", life)
		if _, err := ask[any](tt, "/bad", "attack", o); code(err) != ipc.CodeDown {
			t.Errorf("%q: %v", o.Method, err)
		}
		r := tt.awaitRecord("its end", func(r *journal.Record) bool {
			return r.Event == journal.Exit && r.Path == "/bad" && r.Incarnation == life
		})
		if r.Reason != "abnormal" || !strings.HasPrefix(r.Message, "protocol: ") {
			t.Errorf("%q: it ended %s, %q", o.Method, r.Reason, r.Message)
		}
		life++
	}
	tt.unharmed()
}

// Who leaves groups that he is not in has no larger share for it.
func TestAShareIsNotGivenBackTwice(t *testing.T) {
	const share = 1024
	for _, at := range []string{"/bad", "/far/bad"} {
		t.Run(at, func(t *testing.T) {
			tt := plant(t, under(worker(supervisor("/"), "bad", "puppet"), worker(supervisor("/far"), "bad", "puppet")))
			got := must[map[string]int](tt, at, "attack", order{Method: ipc.VerbJoin, N: 4 * share, Reason: "nowhere"})
			if got["ok"] != share || got[ipc.CodeNotPermitted] != 3*share {
				t.Errorf("of %d groups: %v", 4*share, got)
			}
		})
	}
}

// The root has room for so many groups, however many workers ask for them: it
// has no more, who asks in vain has his share as before, and what the dead had is
// free again.
func TestTheTreeHasItsShareOfGroups(t *testing.T) {
	const share, room = 1024, 65536
	root := worker(worker(supervisor("/"), "last", "puppet"), "member", "puppet")
	crowd := supervisor("/crowd")
	for i := range room / share {
		worker(crowd, fmt.Sprint("w", i), "puppet")
	}
	tt := plant(t, under(root, crowd))
	join := func(who, prefix string, n int) map[string]int {
		return must[map[string]int](tt, who, "attack", order{Method: ipc.VerbJoin, To: prefix, N: n})
	}
	for i := range room / share {
		if got := join(fmt.Sprint("/crowd/w", i), fmt.Sprint(i, "/"), share); got["ok"] != share {
			t.Fatalf("worker %d: %v", i, got)
		}
	}
	if got := join("/last", "last", 2*share); got[ipc.CodeNotPermitted] != 2*share {
		t.Errorf("over %d groups: %v", room, got)
	}
	if got := join("/member", "0/", share); got["ok"] != share {
		t.Errorf("to groups that are there: %v", got)
	}
	tt.kill("/crowd")
	tt.awaitLife("/crowd/w0", 2)
	if got := join("/last", "last", 2*share); got["ok"] != share || got[ipc.CodeNotPermitted] != share {
		t.Errorf("when those who had them are dead: %v", got)
	}
}

// Those who misbehave before they have greeted: one that reads and says nothing
// at all, one that floods. Their siblings start, and speak, all the same.
func TestAStartThatNeverGreets(t *testing.T) {
	for role, ends := range map[string]bool{"deaf from birth": false, "floods first": true} {
		t.Run(role, func(t *testing.T) {
			tt := sow(t, worker(worker(worker(supervisor("/"), "a", "puppet"), "b", "puppet"), "bad", role, temporary))
			for _, path := range []string{"/a", "/b"} {
				tt.awaitLife(path, 1)
			}
			if ends {
				r := tt.awaitRecord("its end", func(r *journal.Record) bool { return r.Event == journal.Exit && r.Path == "/bad" })
				if r.Message != "protocol: the first frame is no $hello" {
					t.Errorf("it ended %s, %q", r.Reason, r.Message)
				}
				return // its start failed, and with it the boot
			}
			must[int](tt, "/a", "notify", order{To: "/bad", Method: "note", N: 5_000, Size: 1000})
			if c := tt.talk("/bad"); c.Queued > 5<<20 || c.Dropped == 0 {
				t.Errorf("20 MB for it: %+v", c)
			}
			if got := must[map[string]int](tt, "/a", "forward", order{To: "/b", Method: "echo", N: 1000, Size: 64}); got["ok"] != 1000 {
				t.Errorf("calls beside it: %v", got)
			}
		})
	}
}

// Some (sixteen, in the long form) send messages of 16 MiB to one, as long as
// they like; small calls beside them are answered.
func TestSmallCallsPassBesideLargeMessages(t *testing.T) {
	senders := make([]string, long(4, 16))
	root := worker(worker(worker(supervisor("/"), "a", "puppet"), "b", "puppet"), "sink", "puppet")
	for i := range senders {
		id := "s" + string(rune('a'+i))
		senders[i] = "/" + id
		root = worker(root, id, "puppet")
	}
	tt := plant(t, root)
	for _, s := range senders {
		must[bool](tt, s, "heave", order{To: "/sink", Size: ipc.MaxMessage})
	}
	tt.until("large messages to be under way", func() bool { return tt.talk("/sink").Waiting > 1 })
	for range 10 {
		if got := must[map[string]int](tt, "/a", "forward", order{To: "/b", Method: "echo", N: 10, Size: 64}); got["ok"] != 10 {
			t.Errorf("small calls beside large ones: %v", got)
		}
	}
	for _, s := range senders {
		only(t, "large messages", must[map[string]int](tt, s, "enough", nil), "ok", ipc.CodeBusy)
	}
}
