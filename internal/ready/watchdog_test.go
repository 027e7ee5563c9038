package ready

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/tree"
)

// beatAndHang is a worker that is ready, beats once, catches QUIT and hangs.
func beatAndHang() {
	conn, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err != nil {
		panic(err)
	}
	fmt.Fprint(conn, "READY=1")
	fmt.Fprint(conn, "WATCHDOG=1")
	select {}
}

// guarded is a life with a watchdog of an hour, up, and a node whose clock
// stands still until the test sets it forward.
func guarded(n *node, script string) (tree.Ref, *life) {
	n.t.Helper()
	n.freeze()
	ref := n.start("web", child.Process{Command: []string{script}, Watchdog: time.Hour, WatchSignal: "WINCH"})
	n.prober.Up(ref)
	return ref, n.prober.lives[ref]
}

// heard are the misses that were told.
func heard(n *node) string {
	var all []string
	for _, x := range n.news {
		all = append(all, fmt.Sprintf("%+v", x.news))
	}
	return strings.Join(all, " ")
}

func TestTheFirstMissAsksForADumpAndTheSecondEndsTheChild(t *testing.T) {
	run(t, func(n *node) {
		ref, _ := guarded(n, "exec sleep 1000")
		n.ahead += time.Hour - time.Second
		n.prober.Tick()
		if heard(n) != "" {
			t.Fatalf("before its time: %s", heard(n))
		}
		n.ahead += time.Second
		n.prober.Tick()
		if heard(n) != "{Signal:WINCH Last:false}" {
			t.Fatalf("after the first miss: %s", heard(n))
		}
		n.ahead += time.Hour
		n.prober.Tick()
		x := n.gone(ref)
		if heard(n) != "{Signal:WINCH Last:false} {Signal:KILL Last:true}" {
			t.Fatalf("after the second miss: %s", heard(n))
		}
		if r := child.Reason(x.Status, x.Order, n.worker[ref], false); x.Order != child.Unordered || r != tree.ReasonKilled {
			t.Errorf("its end is %+v, %v: not one that is restarted by the ordinary rules", x, r)
		}
	})
}

func TestABeatForgivesAMiss(t *testing.T) {
	run(t, func(n *node) {
		_, l := guarded(n, "exec sleep 1000")
		for range 5 {
			n.ahead += time.Hour
			n.prober.Tick() // a miss
			n.prober.understand(l, "WATCHDOG=1")
		}
		if got := heard(n); strings.Contains(got, "true") || strings.Count(got, "WINCH") != 5 {
			t.Errorf("told were %s", got)
		}
	})
}

func TestABeatThatWaitsInTheSocketCounts(t *testing.T) {
	run(t, func(n *node) {
		ref, l := guarded(n, "exec sleep 1000")
		l.pid = os.Getpid()
		send(n, ref, "WATCHDOG=1")
		n.ahead += time.Hour // nobody has read it yet
		n.prober.Tick()
		if heard(n) != "" {
			t.Errorf("told were %s", heard(n))
		}
		l.pid = 0
	})
}

func TestANodeThatDidNotRunForAMinuteSparesItsChildrenOnce(t *testing.T) {
	run(t, func(n *node) {
		for range 10 {
			guarded(n, "exec sleep 1000")
		}
		n.ahead += time.Hour + time.Minute // stopped, and then continued
		n.prober.Tick()
		if heard(n) != "" {
			t.Fatalf("a mass of misses: %s", heard(n))
		}
		n.ahead += time.Hour
		n.prober.Tick()
		if got := strings.Count(heard(n), "WINCH"); got != 10 {
			t.Errorf("%d of 10 who really hang were asked for a dump", got)
		}
		n.ahead += time.Hour + time.Minute // late again: no second time
		n.prober.Tick()
		if got := strings.Count(heard(n), "KILL"); got != 10 {
			t.Errorf("%d of 10 who really hang were ended", got)
		}
	})
}

func TestAChildThatSaysThatItHangsIsBelieved(t *testing.T) {
	run(t, func(n *node) {
		ref, l := guarded(n, "exec sleep 1000")
		n.prober.understand(l, "WATCHDOG=trigger")
		if heard(n) != "{Signal:WINCH Last:false}" {
			t.Errorf("told were %s", heard(n))
		}
		n.prober.understand(l, "WATCHDOG=trigger")
		n.gone(ref)
		n.prober.understand(l, "WATCHDOG=trigger\nWATCHDOG=1")
		if heard(n) != "{Signal:WINCH Last:false} {Signal:KILL Last:true}" {
			t.Errorf("told were %s", heard(n))
		}
	})
}

func TestTheWatchdogSleepsBeforeReadyAndAfterTheOrderToStop(t *testing.T) {
	run(t, func(n *node) {
		ref := n.start("web", child.Process{Command: []string{"exec sleep 1000"}, Watchdog: time.Hour, Ready: notifying})
		n.prober.understand(n.prober.lives[ref], "WATCHDOG=1")
		if _, ok := n.prober.Deadline(); ok {
			t.Error("it runs before the child is up")
		}
		n.prober.Up(ref)
		n.prober.Stop(ref)
		n.ahead += 3 * time.Hour
		n.prober.Tick()
		n.prober.understand(n.prober.lives[ref], "WATCHDOG=trigger")
		if heard(n) != "" {
			t.Errorf("told were %s", heard(n))
		}
	})
}

func TestAWorkerThatHangsDiesOfTheDumpSignal(t *testing.T) {
	run(t, func(n *node) {
		self, err := os.Executable()
		n.must(err)
		ref := n.start("web", child.Process{
			Command: []string{self, "worker"}, Env: []string{"READY_TEST_ROLE=beat-and-hang"},
			Ready: notifying, Watchdog: time.Hour, // the second miss, and with it the KILL, is far away
		})
		await[Ready](n, ref)
		n.freeze()
		n.prober.Up(ref)
		n.ahead += time.Hour
		if m := await[Missed](n, ref); m.Signal != "QUIT" {
			t.Errorf("it was sent %s", m.Signal)
		}
		if x := n.gone(ref); x.Status.ExitStatus() != 2 || n.signaled[0] != syscall.SIGQUIT {
			t.Errorf("a Go program prints its stacks and exits with 2; this one: %v, after %v", x.Status, n.signaled)
		}
	})
}
