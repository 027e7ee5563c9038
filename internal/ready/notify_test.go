package ready

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/tree"
)

// notifies is how the scripts below say something to their supervisor.
func notifies(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("systemd-notify"); err != nil {
		t.Fatal("systemd-notify is not installed: make needs")
	}
}

// send says something to a life's socket, as this process.
func send(n *node, ref tree.Ref, text string, fds ...int) {
	n.t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	n.must(err)
	defer unix.Close(fd)
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	n.must(unix.Sendmsg(fd, []byte(text), rights, &unix.SockaddrUnix{Name: n.prober.lives[ref].notify.name}, 0))
}

var notifying = &child.Ready{Notify: true}

func TestSystemdNotifyIsUnderstood(t *testing.T) {
	notifies(t)
	run(t, func(n *node) {
		ref := n.start("web", child.Process{
			Command: []string{`systemd-notify --status "listening on port 80" && systemd-notify --ready && exec sleep 1000`},
			Ready:   notifying,
		})
		await[Ready](n, ref)
		if s := await[Status](n, ref); s.Text != "listening on port 80" {
			t.Errorf("its status is %q", s.Text)
		}
		if n.prober.Rejected() != 0 || has[Warning](n, ref) {
			t.Errorf("something was rejected: %v", n.news)
		}
	})
}

func TestSystemdNotifyOfAnotherUserIsUnderstood(t *testing.T) {
	notifies(t)
	if os.Geteuid() != 0 {
		t.Log("NOT RUN: only root can start a child as another user")
		return
	}
	run(t, func(n *node) {
		ref := n.start("web", child.Process{
			Command: []string{`systemd-notify --ready; systemd-notify STOPPING=1; exec sleep 1000`}, User: "nobody",
			Ready: notifying,
		})
		await[Ready](n, ref)
		await[Stopping](n, ref)
	})
}

func TestAReadyJustBeforeTheEndIsNotLost(t *testing.T) {
	notifies(t)
	run(t, func(n *node) {
		for range 20 {
			ref := n.start("job", child.Process{Command: []string{`systemd-notify --no-block --ready`}, Ready: notifying})
			n.gone(ref)
			if !has[Ready](n, ref) {
				t.Fatal("it was ready, and nobody was told")
			}
		}
	})
}

func TestAMessageOfAProcessThatIsGoneIsOfItsLife(t *testing.T) {
	notifies(t)
	run(t, func(n *node) {
		// Nobody reads until the sender, a grandchild of its own session, has
		// ended and was reaped by the child.
		done := filepath.Join(t.TempDir(), "done")
		n.must(unix.Mkfifo(done, 0o600))
		ref := n.start("web", child.Process{
			Command: []string{`setsid -w systemd-notify --no-block --ready; echo > "$DONE"; exec sleep 1000`}, Env: []string{"DONE=" + done},
			Ready: notifying,
		})
		_, err := os.ReadFile(done)
		n.must(err)
		await[Ready](n, ref)
		if n.prober.Rejected() != 0 {
			t.Errorf("something was rejected: %v", n.news)
		}
	})
}

func TestADaemonOfTheChildIsOfItsLife(t *testing.T) {
	notifies(t)
	run(t, func(n *node) {
		// It left its parent, group and session, and it waits at its barrier,
		// so it lives when its message is read.
		ref := n.start("web", child.Process{
			Command: []string{`setsid sh -c '(exec systemd-notify --ready) & exit' ; exec sleep 1000`}, Ready: notifying,
		})
		await[Ready](n, ref)
		if n.prober.Rejected() != 0 {
			t.Errorf("something was rejected: %v", n.news)
		}
	})
}

func TestAStrangersMessageIsPassedOverAndCounted(t *testing.T) {
	notifies(t)
	run(t, func(n *node) {
		ref := n.start("web", child.Process{Command: []string{`exec sleep 1000`}, Ready: notifying})
		n.start("other", child.Process{
			Command: []string{`systemd-notify --no-block --ready; systemd-notify --no-block --status fooled; exec sleep 1000`},
			Env:     []string{"NOTIFY_SOCKET=" + n.prober.lives[ref].notify.name},
		})
		n.until("two rejections", func() bool { return n.prober.Rejected() == 2 })
		if got := fmt.Sprint(n.news); len(n.news) != 1 || !strings.Contains(got, "which is not of this child, was passed over") {
			t.Errorf("told were %s", got)
		}
	})
}

func TestABarrierIsLiftedWhenEverythingBeforeItIsRead(t *testing.T) {
	run(t, func(n *node) {
		ref := n.start("web", child.Process{Command: []string{`exec sleep 1000`}, Ready: notifying})
		n.prober.lives[ref].pid = os.Getpid() // so that this process may speak for the child
		var fds [2]int
		n.must(unix.Pipe2(fds[:], unix.O_CLOEXEC))
		send(n, ref, "STATUS=first")
		send(n, ref, "BARRIER=1", fds[1])
		send(n, ref, "FDSTORE=1", fds[1], fds[1], fds[1])
		unix.Close(fds[1])
		n.until("all three", func() bool { return len(n.news) >= 2 })
		var end [1]byte
		if k, err := unix.Read(fds[0], end[:]); k != 0 || err != nil {
			t.Errorf("the barrier stands: %d, %v", k, err)
		}
		unix.Close(fds[0])
		if got := fmt.Sprint(n.news); !strings.Contains(got, "{first}") || !strings.Contains(got, "FDSTORE was passed over") {
			t.Errorf("told were %s", got)
		}
	})
}

func TestTheEndpointIsThereBeforeTheFirstInstruction(t *testing.T) {
	run(t, func(n *node) {
		order := child.Spawn{Ref: tree.Ref{ID: "a", Incarnation: 1}, Path: "/a", Process: &child.Process{Command: []string{"x"}, Ready: notifying, Watchdog: 1500e6}}
		n.must(n.prober.Prepare(&order))
		if len(order.Env) != 2 || order.Env[0] != "WATCHDOG_USEC=1500000" || !strings.HasPrefix(order.Env[1], "NOTIFY_SOCKET=@") {
			t.Errorf("its environment is %q", order.Env)
		}
		send(n, order.Ref, "READY=1") // would be refused if nothing were bound there
		n.prober.Forget(order.Ref)
	})
}

func TestMessagesOfAllKinds(t *testing.T) {
	run(t, func(n *node) {
		ref := n.start("web", child.Process{Command: []string{`exec sleep 1000`}, Ready: notifying})
		l := n.prober.lives[ref]
		l.pid = os.Getpid()
		for _, c := range []struct{ text, want string }{
			{"X_UNKNOWN=1\nnonsense\n\n=\nREADY=0\nSTOPPING=0\nRELOADING=1\nEXTEND_TIMEOUT_USEC=7\nERRNO=2", "[]"},
			{fmt.Sprint("MAINPID=", os.Getpid()), "[]"},
			{"MAINPID=1\nMAINPID=2", "[{MAINPID=1 was passed over: its supervisor watches the process that it started}]"},
			{"STATUS=\x1b[31mred\xff\tand é\nSTOPPING=1", "[{[31mred? and é} {}]"},
			{"STATUS=" + strings.Repeat("a", messageBound), "[{a notification of more than 4 KiB, was passed over}]"},
			{"WATCHDOG=1\nWATCHDOG=trigger\nWATCHDOG=nonsense", "[]"},
			{"READY=1\nREADY=1\n", "[{}]"},
		} {
			n.news = nil
			send(n, ref, c.text)
			for n.prober.readNotify(l) {
			}
			n.prober.tellStatus(l)
			var got []News
			for _, x := range n.news {
				got = append(got, x.news)
			}
			if fmt.Sprint(got) != c.want {
				t.Errorf("after %.60q told were %v, want %s", c.text, got, c.want)
			}
		}
	})
}

func TestAFloodOfStatusIsThinnedOut(t *testing.T) {
	run(t, func(n *node) {
		ref := n.start("web", child.Process{Command: []string{`exec sleep 1000`}, Ready: notifying})
		l := n.prober.lives[ref]
		l.pid = os.Getpid()
		for i := range 1000 {
			send(n, ref, fmt.Sprint("STATUS=", i))
			for n.prober.readNotify(l) {
			}
		}
		took := len(n.news)
		if took > 900 {
			t.Errorf("%d of 1000 were passed on", took)
		}
		n.until("the last one", func() bool { return n.news[len(n.news)-1].news == Status{Text: "999"} })
	})
}

// FuzzUnderstand: what a child says never breaks its supervisor, and what is
// passed on is one line of text.
func FuzzUnderstand(f *testing.F) {
	f.Add("READY=1\nSTATUS=ok\nWATCHDOG=trigger\nMAINPID=x\nFDSTORE=1\nSTOPPING=1")
	f.Add("STATUS=\x00\xff\u0085\u2028")
	f.Fuzz(func(t *testing.T, text string) {
		n := &node{t: t}
		p := New(n)
		l := &life{ref: tree.Ref{ID: "a"}, worker: &child.Process{Ready: notifying, Watchdog: 1}}
		l.slot = noSlot
		l.dog.on = true
		p.lives[l.ref] = l
		p.understand(l, text)
		p.tellStatus(l)
		for _, x := range n.news {
			if s, is := x.news.(Status); is && (len(s.Text) > statusBound || strings.ContainsAny(s.Text, "\x00\x1b\n\r\u0085")) {
				t.Errorf("its status is %q", s.Text)
			}
		}
	})
}

func TestANotificationSocketCostsOneDescriptor(t *testing.T) {
	run(t, func(n *node) {
		n.start("first", child.Process{Command: []string{`exec sleep 1000`}, Ready: notifying, Watchdog: 1e12}) // and the node's epoll
		before := descriptors(t)
		for i := range 10 {
			n.start(fmt.Sprint("n", i), child.Process{Command: []string{`exec sleep 1000`}, Ready: notifying, Watchdog: 1e12})
		}
		if more := descriptors(t) - before; more != 20 { // the socket, and the pidfd that every child has
			t.Errorf("ten children cost %d descriptors", more)
		}
		for ref := range n.worker {
			_ = n.engine.Signal(ref, syscall.SIGKILL)
		}
	})
}
