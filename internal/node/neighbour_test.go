package node

import (
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/supertrees/supervise/ipc"
)

// beside has /a call another, round after round, with one of two processes
// stopped and the other going on, in turn, and returns the median of a call
// beside each of them.
func beside(tt *testTree, to string, rounds, calls int, one, other string) (took [2]time.Duration) {
	tt.t.Helper()
	pids := [2]int{tt.at(one).Pid, tt.at(other).Pid}
	var medians [2][]time.Duration
	for i := range 2 * rounds {
		for who, sig := range map[int]syscall.Signal{(i + 1) % 2: syscall.SIGSTOP, i % 2: syscall.SIGCONT} {
			if err := syscall.Kill(pids[who], sig); err != nil {
				tt.t.Fatal(err)
			}
		}
		medians[i%2] = append(medians[i%2], must[time.Duration](tt, "/a", "clock", order{To: to, N: calls, Size: 64}))
	}
	for i := range medians {
		_ = syscall.Kill(pids[i], syscall.SIGCONT)
		slices.Sort(medians[i]) // a failure, -1, comes first
		if took[i] = medians[i][rounds/2]; medians[i][0] < 0 {
			took[i] = -1
		}
	}
	return took
}

// Calls beside one that floods are all answered. How long they take is told,
// beside calls while another uses as much of a core in silence: the two cores of
// a small machine have then enough to do with the processes themselves. What the
// board owes them is counted in its turns: TestAFrameWaitsForOneTurnBesideAFlood.
func TestCallsBesideAFloodAreAnswered(t *testing.T) {
	far := worker(worker(supervisor("/far"), "b", "puppet"), "bad", "puppet")
	root := worker(worker(worker(supervisor("/"), "a", "puppet"), "b", "puppet"), "bad", "puppet")
	tt := plant(t, under(worker(worker(root, "deaf", "puppet"), "spin", "puppet"), far))
	must[bool](tt, "/deaf", "deafen", nil)
	must[bool](tt, "/spin", "spin", order{})
	for _, c := range []struct {
		what, at string
		flood    order
	}{
		{"small casts to nobody", "/", order{To: "/nobody"}},
		{"casts of 1 KiB to nobody", "/", order{To: "/nobody", Size: 1 << 10}},
		{"casts of 64 KiB to nobody", "/", order{To: "/nobody", Size: 64 << 10}},
		{"small casts to one that never reads", "/", order{To: "/deaf"}},
		{"casts of 64 KiB to one that never reads", "/", order{To: "/deaf", Size: 64 << 10}},
		{"small casts up the callee's own link", "/far/", order{To: "/nobody"}},
		{"casts of 64 KiB up the callee's own link", "/far/", order{To: "/nobody", Size: 64 << 10}},
	} {
		bad := c.at + "bad"
		life := tt.at(bad).Incarnation
		must[bool](tt, bad, "flood", c.flood)
		took := beside(tt, c.at+"b", long(3, 15), 100, "/spin", bad)
		if took[0] < 0 || took[1] < 0 {
			t.Errorf("%s: calls were not answered", c.what)
		}
		t.Logf("%s: a call takes %.2f times as long (%v, %v)", c.what, float64(took[1])/float64(took[0]), took[0], took[1])
		tt.kill(bad)
		tt.awaitLife(bad, life+1)
	}
}

func TestCallsBesideOneThatWritesGarbageAreAnswered(t *testing.T) {
	tt := village(t)
	for i := range uint64(long(20, 500)) {
		tt.awaitLife("/bad", i+1)
		result := make(chan map[string]int)
		go func() {
			got, _ := ask[map[string]int](tt, "/a", "forward", order{To: "/b", Method: "echo", N: 200, Size: 64})
			result <- got
		}()
		if _, err := ask[any](tt, "/bad", "scribble", nil); code(err) != ipc.CodeDown {
			t.Fatalf("life %d of it: %v", i+1, err)
		}
		if got := <-result; got["ok"] != 200 || len(got) != 1 {
			t.Fatalf("beside life %d of it: %v", i+1, got)
		}
	}
	tt.unharmed()
}

func TestSiblingsShareNoPipe(t *testing.T) {
	tt := village(t)
	whose := map[string]string{}
	for _, path := range []string{"/a", "/b", "/bad"} {
		for _, pipe := range channel(t, tt.at(path).Pid) {
			if other := whose[pipe]; other != "" {
				t.Errorf("%s has %s of %s", path, pipe, other)
			}
			whose[pipe] = path
		}
		for _, pipe := range must[[]string](tt, path, "pipes", nil) {
			if other := whose[pipe]; other != path && other != "" {
				t.Errorf("%s has %s of %s", path, pipe, other)
			}
		}
	}
}

// channel is the pipes of a worker's channel, as the kernel names them.
func channel(t *testing.T, pid int) (pipes []string) {
	t.Helper()
	for _, fd := range []int{3, 4} {
		name, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
		if err != nil {
			t.Fatal(err)
		}
		pipes = append(pipes, name)
	}
	return pipes
}
