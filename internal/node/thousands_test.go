package node

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/ipc"
	"github.com/supertrees/supervise/tree"
)

// results is what came of the calls of many callers, each of which says so once
// it has all the outcomes; a caller that was killed says nothing.
type results map[string]chan map[string]int

// hold has callers make calls that the callee holds, a thousand each.
func (tt *testTree) hold(callers []string, callee string) results {
	all := results{}
	for _, who := range callers {
		result := make(chan map[string]int, 1)
		all[who] = result
		go func() {
			got, err := ask[map[string]int](tt, who, "forward", order{To: callee, Method: "hold", N: 1000, Size: 100})
			if err != nil {
				got = map[string]int{code(err): 1}
			}
			result <- got
		}()
	}
	return all
}

// Four callers on different nodes have a thousand calls each open to one callee,
// and somebody is killed. Those who call a dead one hear of it, once; those whose
// callee lives hear nothing of it, and are answered in the end with their own
// answers; the calls of the dead are taken back, and answers that come to them
// all the same are nobody's, not even their next lives'.
func TestThousandsOfCallsAreOpenAndSomebodyIsKilled(t *testing.T) {
	callers := []string{"/near/a", "/near/c", "/e", "/far/d"}
	const callee = "/far/deep/b"
	for victim, dead := range map[string][]string{
		callee: {callee}, "/far/deep": {callee}, "/far": {callee, "/far/d"}, "/near": {"/near/a", "/near/c"}, "/near/a": {"/near/a"}, "/e": {"/e"},
	} {
		t.Run(victim, func(t *testing.T) {
			near := worker(worker(supervisor("/near"), "a", "puppet"), "c", "puppet")
			far := under(worker(supervisor("/far"), "d", "puppet"), worker(supervisor("/far/deep"), "b", "puppet"))
			tt := plant(t, under(under(worker(supervisor("/"), "e", "puppet"), near), far))
			all := tt.hold(callers, callee)
			tt.until("all calls to be held", func() bool { return must[int](tt, callee, "held", nil) == 4000 })
			tt.kill(victim)
			for _, path := range dead {
				tt.awaitLife(path, 2)
			}
			outcome := "down"
			if !slices.Contains(dead, callee) {
				outcome = "ok"
				for who, result := range tt.hold(dead, callee) { // with the ids of the dead
					all[who] = result
				}
				tt.until("the calls of the dead to be taken back", func() bool { return must[int](tt, callee, "cancels", nil) == 1000*len(dead) })
				tt.until("their next lives' to be held", func() bool { return must[int](tt, callee, "held", nil) == 4000+1000*len(dead) })
				must[int](tt, callee, "release", nil) // those that were taken back as well
			}
			for who, result := range all {
				if slices.Contains(dead, callee) && slices.Contains(dead, who) {
					continue
				}
				if got := <-result; got[outcome] != 1000 || len(got) != 1 {
					t.Errorf("the calls of %s: %v", who, got)
				}
			}
			for _, path := range append(callers, callee) {
				tt.until("nothing to be under way", func() bool { c := tt.talk(path); return c.Calls == 0 && c.Waiting == 0 })
			}
		})
	}
}

// What one sends to a name is in order over the lives of its holder: no life has
// what came before the last that an earlier one was seen to have.
func TestTheOrderHoldsOverRestarts(t *testing.T) {
	far := worker(supervisor("/far"), "b", "named bob")
	tt := plant(t, under(worker(supervisor("/"), "a", "puppet"), far))
	last := -1
	for life := range uint64(long(10, 100)) {
		tt.awaitLife("/far/b", life+1)
		sent := make(chan error, 1)
		go func() {
			_, err := ask[int](tt, "/a", "notify", order{To: "bob", Method: "note", N: 2000, Size: 100, From: 2000 * int(life)})
			sent <- err
		}()
		var notes []int
		tt.until("some to come", func() bool {
			notes = must[[]int](tt, "/far/b", "notes", nil)
			return len(notes) > 0
		})
		if !slices.IsSorted(notes) || notes[0] <= last || len(slices.Compact(notes)) != len(notes) {
			t.Fatalf("in life %d, after %d, came %v", life+1, last, notes)
		}
		last = notes[len(notes)-1]
		tt.kill("/far/b")
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	}
}

func TestACastBehindAReplyComesBehindIt(t *testing.T) {
	tt := plant(t, under(worker(supervisor("/"), "a", "puppet"), worker(supervisor("/far"), "b", "puppet")))
	const n = 1000
	if got := must[map[string]int](tt, "/a", "forward", order{To: "/far/b", Method: "answer and note", N: n, Size: 50}); got["ok"] != n || len(got) != 1 {
		t.Errorf("of %d calls: %v", n, got)
	}
	must[string](tt, "/far/b", "one", order{To: "/a", Method: "echo", Payload: "behind them"})
	trail := must[string](tt, "/a", "trail", nil)
	if strings.Count(trail, "n") != n {
		t.Errorf("%d notes came", strings.Count(trail, "n"))
	}
	ahead := 0 // answers whose notes have not come
	for i, what := range trail {
		if ahead++; what == 'n' {
			ahead -= 2
		}
		if ahead < 0 {
			t.Fatalf("a note came before its answer: %s", trail[:i+1])
		}
	}
}

// The news of an end is the last that comes from a life.
func TestTheEndIsTheLastThatComes(t *testing.T) {
	tt := plant(t, under(worker(supervisor("/"), "a", "puppet"), worker(supervisor("/far"), "b", "puppet")))
	n := long(30, 1000)
	got := must[map[string]int](tt, "/a", "last words", order{To: "/far/b", Method: "note and exit", N: n})
	if got["down, its end"] != n || len(got) != 1 {
		t.Errorf("of %d lives: %v", n, got)
	}
	trail := must[string](tt, "/a", "trail", nil)
	if !regexp.MustCompile(`^(r+n{50}rr)+$`).MatchString(trail) || strings.Count(trail, "n") != n*notesOfTheDying {
		t.Errorf("%d notes and the ends of %d lives came as %.300s", n*notesOfTheDying, n, trail)
	}
}

// A descendant that goes on writing on the channel of a life that has ended
// writes to nobody: after the news of the end nothing comes in its name, and the
// next life's channel is another.
func TestADescendantThatGoesOnWritingIsNotHeard(t *testing.T) {
	short := func(c *tree.ChildSpec, _ *child.Process) { c.Shutdown.Time = 100 * time.Millisecond }
	tt := plant(t, worker(worker(supervisor("/"), "a", "puppet"), "b", "puppet", short))
	for i, end := range []string{"terminate_child", "kill"} {
		tt.awaitLife("/b", uint64(i+1))
		b := must[ipc.Addr](tt, "/b", "address", nil)
		if !must[bool](tt, "/b", "haunt", nil) {
			t.Fatal("there is no descendant")
		}
		tt.until("it to be heard", func() bool { return must[map[ipc.Addr]int](tt, "/a", "sources", nil)[b] > 0 })
		ended := make(chan error, 1)
		go func() {
			_, err := ask[ipc.Down](tt, "/a", "one", order{To: "/b", Method: ipc.VerbMonitor, About: true})
			ended <- err
		}()
		tt.until("the monitor to stand", func() bool { return tt.watched("/b") })
		must[string](tt, "/a", "trail", nil)
		if end == "kill" {
			tt.kill("/b")
		} else {
			must[any](tt, "/", end, "b")
			must[tree.Ref](tt, "/", "restart_child", "b")
		}
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		tt.awaitLife("/b", uint64(i+2))
		must[string](tt, "/b", "one", order{To: "/a", Method: "echo", Payload: "the next life"})
		trail := must[string](tt, "/a", "trail", nil)
		if trail = strings.TrimLeft(trail, "n"); trail != "r" {
			t.Errorf("by %s: after the news of its end came %.100s", end, trail)
		}
	}
}
