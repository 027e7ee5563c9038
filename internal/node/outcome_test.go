package node

import (
	"maps"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/supertrees/supervise/ipc"
)

// long is how often something is done: in the long form, with TORTURE=1, as
// often as its rule is stated with.
func long(short, long int) int {
	if os.Getenv("TORTURE") != "" {
		return long
	}
	return short
}

// only fails the test where there were other outcomes than these.
func only(t *testing.T, what string, got map[string]int, may ...string) {
	t.Helper()
	for _, outcome := range slices.Sorted(maps.Keys(got)) {
		if !slices.Contains(may, outcome) {
			t.Errorf("%s: %v", what, got)
			return
		}
	}
}

// A worker that answers and exits at once has answered: the reply comes first,
// then the news of its end, in every one of its lives.
func TestAReplyComesBeforeTheEndInEveryLife(t *testing.T) {
	far := worker(supervisor("/far"), "b", "puppet")
	tt := plant(t, under(worker(supervisor("/"), "a", "puppet"), far))
	n := long(100, 10_000)
	const few = 5 // lives for a call from here, which has a deadline of its own
	for done := 0; done < n; done += few {
		got := must[map[string]int](tt, "/a", "last words", order{To: "/far/b", Method: "answer and exit", N: few})
		if got["ok, its end"] != few || len(got) != 1 {
			t.Fatalf("of %d lives after %d: %v", few, done, got)
		}
	}
}

func TestHalfAFrameAndADeathIsADeath(t *testing.T) {
	tt := plant(t, worker(worker(supervisor("/"), "a", "puppet"), "b", "puppet"))
	must[bool](tt, "/b", "spawn", nil) // and somebody holds its pipe open
	got := must[map[string]int](tt, "/a", "last words", order{To: "/b", Method: "half a frame", N: 20})
	if got["down, its end"] != 20 || len(got) != 1 {
		t.Errorf("of 20 lives: %v", got)
	}
}

func TestAnAnswerAndACancelMayCross(t *testing.T) {
	far := worker(supervisor("/far"), "b", "puppet")
	near := worker(supervisor("/near"), "a", "puppet")
	tt := plant(t, under(under(supervisor("/"), near), far))
	const n = 4000
	for _, method := range []string{"echo", "answer twice"} {
		got := must[map[string]int](tt, "/near/a", "duel", order{To: "/far/b", Reason: method, N: n, Size: 100})
		if got["own"] != n/2 || len(got) != 1 {
			t.Errorf("%s: of %d calls, half of them taken back: %v", method, n, got)
		}
	}
	for _, at := range []string{"/near/a", "/far/b"} {
		tt.until("nothing to be under way", func() bool { c := tt.talk(at); return c.Calls == 0 && c.Waiting == 0 })
	}
}

func TestAMessageInPiecesWhoseSenderDies(t *testing.T) {
	far := worker(supervisor("/far"), "b", "puppet")
	tt := plant(t, under(worker(supervisor("/"), "a", "puppet"), far))
	for i := range 20 {
		tt.awaitLife("/a", uint64(i+1))
		if _, err := ask[any](tt, "/a", "break off", order{To: "/far/b", Size: long(256<<10, 15<<20)}); code(err) != ipc.CodeDown {
			t.Fatalf("the sender: %v", err)
		}
		tt.until("the receiver to be told that no more comes", func() bool {
			n, err := ask[int](tt, "/far/b", "cancels", nil) // busy, while much waits for it
			return err == nil && n == i+1
		})
	}
	if c := tt.talk("/far/b"); c.Waiting > 0 {
		t.Errorf("afterwards it owes: %+v", c)
	}
	for _, path := range []string{"/far", "/far/b"} {
		if most := peak(t, tt.at(path).Pid); most > 200<<20 {
			t.Errorf("of messages that were never whole %s has kept %d MB", path, most>>20)
		} else {
			t.Logf("%s has taken %d MB", path, most>>20)
		}
	}
}

func TestATotalThatIsWrong(t *testing.T) {
	tt := plant(t, worker(worker(worker(supervisor("/"), "a", "puppet"), "b", "puppet"), "names", "proc names"))
	for _, to := range []string{"/b", "/names", "/"} {
		for total, want := range map[int]string{17: ipc.CodeBadRequest, 1 << 19: ipc.CodeBadRequest, 1 << 40: ipc.CodeTooLarge} {
			if total == 1<<40 && to == "/b" {
				total = ipc.MaxMessage + 1 // a puppet takes 16 MiB
			}
			if got := must[string](tt, "/a", "lie", order{To: to, Size: total}); got != want {
				t.Errorf("256 KiB to %s that say that they are %d bytes: %s", to, total, got)
			}
		}
	}
}

func TestEverythingComesInOrderByWhateverNameItGoes(t *testing.T) {
	far := worker(supervisor("/far"), "b", "named bob")
	tt := plant(t, under(worker(supervisor("/"), "a", "puppet"), far))
	const n = 5000
	addr := must[ipc.Addr](tt, "/far/b", "address", nil)
	must[int](tt, "/a", "note on three ways", order{Reason: "bob /far/b " + addr.String(), N: n})
	// A call behind the casts is behind them.
	must[string](tt, "/a", "one", order{To: "bob", Method: "echo", Payload: "x"})
	if notes := must[[]int](tt, "/far/b", "notes", nil); len(notes) != n || !slices.IsSorted(notes) {
		t.Errorf("of %d notes on three ways %d came, in order: %v", n, len(notes), slices.IsSorted(notes))
	}
}

// stop stops a process until the test, or its end, lets it go on.
func stop(tt *testTree, path string) (goOn func()) {
	tt.t.Helper()
	pid := tt.at(path).Pid
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		tt.t.Fatal(err)
	}
	goOn = func() { _ = syscall.Kill(pid, syscall.SIGCONT) } // it may have ended
	tt.t.Cleanup(goOn)
	return goOn
}

func TestWhoeverIsStoppedGetsTheRestInOrder(t *testing.T) {
	for _, stopped := range []string{"/far/b", "/far"} {
		t.Run(stopped, func(t *testing.T) {
			far := worker(supervisor("/far"), "b", "puppet")
			tt := plant(t, worker(under(worker(supervisor("/"), "a", "puppet"), far), "c", "puppet"))
			goOn := stop(tt, stopped)
			const n = 40_000
			must[int](tt, "/a", "notify", order{To: "/far/b", Method: "note", N: n, Size: 1000})
			if got := must[map[string]int](tt, "/a", "forward", order{To: "/c", Method: "echo", N: 500, Size: 64}); got["ok"] != 500 {
				t.Errorf("calls past it: %v", got)
			}
			if stopped == "/far/b" {
				tt.until("the rest to be dropped", func() bool { return tt.talk("/far/b").Dropped > 0 })
				if c := tt.talk("/far/b"); c.Queued > 5<<20 {
					t.Errorf("%d bytes wait for it", c.Queued)
				}
			}
			goOn()
			tt.until("what was kept to be read", func() bool {
				_, err := ask[string](tt, "/far/b", "echo", "x") // busy while much waits
				return err == nil
			})
			notes := must[[]int](tt, "/far/b", "notes", nil)
			if len(notes) == 0 || !slices.IsSorted(notes) || notes[0] != 0 || len(notes) == n && stopped == "/far/b" {
				t.Errorf("of %d notes %d came, in order: %v", n, len(notes), slices.IsSorted(notes))
			}
		})
	}
}

func TestTwoFullNarrowPipesNeverDeadlock(t *testing.T) {
	left := worker(supervisor("/left"), "a", "puppet")
	tt := plant(t, under(worker(supervisor("/"), "b", "puppet"), left))
	for _, path := range []string{"/left", "/left/a", "/b"} {
		for _, fd := range []int{3, 4} {
			if err := narrow(tt.at(path).Pid, fd); err != nil {
				t.Fatalf("narrowing the link of %s: %v", path, err)
			}
		}
	}
	floodBothWays(tt, 5_000, 500)
}
