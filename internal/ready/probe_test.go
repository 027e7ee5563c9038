package ready

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/internal/child"
)

// play is the test binary in the role of a worker.
func play(role string) {
	switch role {
	case "beat-and-hang":
		beatAndHang()
	default:
		fmt.Fprintln(os.Stderr, "no such role:", role)
		os.Exit(2)
	}
}

func TestAServerIsReadyWhenItAcceptsConnections(t *testing.T) {
	run(t, func(n *node) {
		free, err := net.Listen("tcp", "127.0.0.1:0")
		n.must(err)
		address := free.Addr().String()
		free.Close() // the port is nobody's for now
		ref := n.start("db", child.Process{Command: []string{"exec sleep 1000"}, Ready: &child.Ready{TCP: address}})
		n.until("a second try", func() bool { return n.prober.lives[ref].tries.n >= 3 })
		if has[Ready](n, ref) {
			t.Error("it is ready while nobody listens")
		}
		if why := n.prober.Why(ref); !strings.Contains(why, "connecting to "+address+": connection refused (") {
			t.Errorf("the reason is %q", why)
		}
		l, err := net.Listen("tcp", address)
		n.must(err)
		defer l.Close()
		await[Ready](n, ref)
		if _, ok := n.prober.Deadline(); ok {
			t.Error("it is asked again although it is ready")
		}
	})
}

func TestAnAnswerOf2xxOr3xxIsReady(t *testing.T) {
	for _, c := range []struct {
		status int
		ready  bool
	}{{200, true}, {204, true}, {302, true}, {404, false}, {503, false}} {
		run(t, func(n *node) {
			tries := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				tries++
				status := c.status
				if !c.ready && tries > 2 {
					status = 200
				}
				w.Header().Set("Location", "/nowhere")
				w.WriteHeader(status)
			}))
			defer server.Close()
			ref := n.start("web", child.Process{Command: []string{"exec sleep 1000"}, Ready: &child.Ready{HTTP: server.URL}})
			if !c.ready {
				n.until("two refusals", func() bool { return n.prober.lives[ref].tries.last != nil })
				if why := n.prober.Why(ref); !strings.Contains(why, fmt.Sprint("it answered ", c.status)) {
					t.Errorf("the reason is %q", why)
				}
			}
			await[Ready](n, ref)
			if first := tries == 1; first != c.ready {
				t.Errorf("after %d it was ready at try %d", c.status, tries)
			}
		})
	}
}

func TestAServerThatAcceptsAndSaysNothingIsNotReady(t *testing.T) {
	run(t, func(n *node) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		n.must(err)
		defer l.Close()
		url := "http://" + l.Addr().String() + "/"
		ref := n.start("web", child.Process{
			Command: []string{"exec sleep 1000"},
			Ready:   &child.Ready{HTTP: url, Timeout: 50 * time.Millisecond},
		})
		n.until("an end of the first try", func() bool { return n.prober.lives[ref].tries.n >= 2 })
		if why := n.prober.Why(ref); !strings.Contains(why, "asking "+url+": no answer in time") {
			t.Errorf("the reason is %q", why)
		}
	})
}

func TestAProbeCommandIsReadyWhenItExitsWith0(t *testing.T) {
	run(t, func(n *node) {
		flag := filepath.Join(t.TempDir(), "flag")
		ref := n.start("db", child.Process{
			Command: []string{"exec sleep 1000"}, Env: []string{"FLAG=" + flag},
			Ready: &child.Ready{Exec: []string{"/bin/sh", "-c", `test -e "$FLAG" && kill -0 $MAINPID`}},
		})
		n.until("a failed try", func() bool { return n.prober.lives[ref].tries.n >= 2 })
		if why := n.prober.Why(ref); !strings.Contains(why, "its probe /bin/sh exited with 1") {
			t.Errorf("the reason is %q", why)
		}
		n.must(os.WriteFile(flag, nil, 0o600))
		await[Ready](n, ref)
	})
}

func TestAMissingProbeCommandIsAFailedTry(t *testing.T) {
	run(t, func(n *node) {
		ref := n.start("db", child.Process{
			Command: []string{"exec sleep 1000"}, Places: child.Places{{Key: "ready", At: "db.toml:4:9"}},
			Ready: &child.Ready{Exec: []string{"/no/such/probe"}},
		})
		n.until("a second try", func() bool { return n.prober.lives[ref].tries.n >= 2 })
		if why := n.prober.Why(ref); !strings.Contains(why, `"/no/such/probe" (db.toml:4:9): no such file or directory`) {
			t.Errorf("the reason is %q", why)
		}
	})
}

func TestAProbeThatHangsIsKilledWithItsDescendants(t *testing.T) {
	run(t, func(n *node) {
		pids := filepath.Join(t.TempDir(), "pids")
		ref := n.start("db", child.Process{
			Command: []string{"exec sleep 1000"}, Env: []string{"PIDS=" + pids},
			Ready: &child.Ready{
				Exec:    []string{"/bin/sh", "-c", `trap "" TERM; setsid sleep 1001 & echo $! >> $PIDS; sleep 1001`},
				Timeout: 100 * time.Millisecond,
			},
		})
		n.until("the end of two tries", func() bool { return n.prober.lives[ref].tries.n >= 3 })
		text, err := os.ReadFile(pids)
		n.must(err)
		for _, pid := range strings.Fields(string(text))[:2] {
			if _, err := os.Stat("/proc/" + pid); err == nil {
				t.Errorf("%s, which a probe left, is there when the next one has begun", pid)
			}
		}
		if why := n.prober.Why(ref); !strings.Contains(why, "no answer in time") {
			t.Errorf("the reason is %q", why)
		}
	})
}

func TestAProbeThatForksAndEndsLeavesNothing(t *testing.T) {
	run(t, func(n *node) {
		pidFile := filepath.Join(t.TempDir(), "pid")
		ref := n.start("db", child.Process{
			Command: []string{"exec sleep 1000"}, Env: []string{"PIDFILE=" + pidFile},
			Ready: &child.Ready{Exec: []string{"/bin/sh", "-c", `setsid sleep 1002 & echo $! > $PIDFILE`}},
		})
		await[Ready](n, ref)
		text, err := os.ReadFile(pidFile)
		n.must(err)
		if _, err := os.Stat("/proc/" + strings.TrimSpace(string(text))); err == nil {
			t.Error("what the probe left behind is there when the child is ready")
		}
	})
}

func TestTheEndOfAChildWaitsForTheEndOfItsProbe(t *testing.T) {
	run(t, func(n *node) {
		started := filepath.Join(t.TempDir(), "started")
		n.must(unix.Mkfifo(started+".fifo", 0o600))
		ref := n.start("db", child.Process{
			Command: []string{`read go < "$STARTED.fifo"`}, Env: []string{"STARTED=" + started},
			Ready: &child.Ready{Exec: []string{"/bin/sh", "-c", `echo $$ > "$STARTED"; echo > "$STARTED.fifo"; exec sleep 1003`}, Timeout: time.Hour},
		})
		n.until("its end", func() bool { _, ok := n.ended[ref]; return ok })
		n.until("the end of its probe", func() bool { return n.prober.Drain(ref) })
		text, err := os.ReadFile(started)
		n.must(err)
		if _, err := os.Stat("/proc/" + strings.TrimSpace(string(text))); err == nil {
			t.Error("its probe is still there")
		}
	})
}

func TestTheTriesOfAStoppedChildEnd(t *testing.T) {
	run(t, func(n *node) {
		ref := n.start("db", child.Process{Command: []string{"exec sleep 1000"}, Ready: &child.Ready{TCP: "127.0.0.1:1"}})
		n.until("a try", func() bool { return n.prober.lives[ref].tries.last != nil })
		n.prober.Stop(ref)
		if _, ok := n.prober.Deadline(); ok {
			t.Error("another try is due")
		}
	})
}

func TestTheTriesPaceThemselves(t *testing.T) {
	run(t, func(n *node) {
		n.freeze()
		ref := n.start("db", child.Process{Command: []string{"exec sleep 1000"}, Ready: &child.Ready{TCP: "127.0.0.1:1"}})
		var pauses []time.Duration
		for range 11 {
			l := n.prober.lives[ref]
			n.until("a try", func() bool { return l.tries.n > len(pauses) && l.tries.nextAt > 0 })
			pauses = append(pauses, l.tries.pause.Truncate(time.Millisecond))
			n.ahead += l.tries.pause
		}
		if got := fmt.Sprint(n.news); !strings.HasSuffix(got, "{not up yet: connecting to 127.0.0.1:1: connection refused (9 tries)}}]") || len(n.news) != 1 {
			t.Errorf("told were %s", got)
		}
		want := "[50ms 75ms 112ms 168ms 253ms 379ms 569ms 854ms 1s 1s 1s]"
		if fmt.Sprint(pauses) != want {
			t.Errorf("the pauses are %v, want %s", pauses, want)
		}
	})
}

func TestALineOfOutputIsReady(t *testing.T) {
	run(t, func(n *node) {
		ref := n.start("db", child.Process{
			Command: []string{"exec sleep 1000"}, Ready: &child.Ready{Log: `ready .* port [0-9]+$`},
		})
		match, ok := n.prober.Pattern(ref)
		if !ok || match([]byte("starting")) {
			t.Error("a line that says nothing matches")
		}
		if why := n.prober.Why(ref); why != "no line of its output matched \"ready .* port [0-9]+$\"" {
			t.Errorf("the reason is %q", why)
		}
		if !match([]byte("ready on port 80")) {
			t.Error("the line does not match")
		}
		n.prober.Looked(ref)
		await[Ready](n, ref)
	})
}

func TestALineJustBeforeTheEndIsNotLost(t *testing.T) {
	run(t, func(n *node) {
		ref := n.start("job", child.Process{Command: []string{"exit 0"}, Ready: &child.Ready{Log: "done"}})
		match, _ := n.prober.Pattern(ref)
		n.until("its end", func() bool { _, ok := n.ended[ref]; return ok })
		if n.prober.Drain(ref) {
			t.Error("nobody has looked at its last lines yet")
		}
		match([]byte("done"))
		n.prober.Looked(ref)
		n.gone(ref)
		if !has[Ready](n, ref) {
			t.Error("it was ready, and nobody was told")
		}
	})
}

func TestANewlineOnTheDescriptorIsReady(t *testing.T) {
	run(t, func(n *node) {
		ref := n.start("db", child.Process{
			Command: []string{`printf 'not yet' >&7; test -e /proc/self/fd/6 && exit 3; echo >&7; exec sleep 1000`},
			Ready:   &child.Ready{FD: 7},
		})
		await[Ready](n, ref)
	})
}

func TestANewlineJustBeforeTheEndIsNotLost(t *testing.T) {
	run(t, func(n *node) {
		ref := n.start("job", child.Process{Command: []string{`echo >&3`}, Ready: &child.Ready{FD: 3}})
		n.gone(ref)
		if !has[Ready](n, ref) {
			t.Error("it was ready, and nobody was told")
		}
	})
}

func TestADescriptorClosedWithoutANewlineIsNotReady(t *testing.T) {
	run(t, func(n *node) {
		ref := n.start("db", child.Process{Command: []string{`exec 3>&-; exec sleep 1000`}, Ready: &child.Ready{FD: 3}})
		n.until("the end of the pipe", func() bool { return n.prober.lives[ref].pipe.fd < 0 })
		if has[Ready](n, ref) {
			t.Error("it is ready")
		}
		if why := n.prober.Why(ref); why != "it wrote no newline to descriptor 3" {
			t.Errorf("the reason is %q", why)
		}
	})
}

// With TORTURE=1 these are a day's tries, one a second.
func TestTriesCostNothingThatStays(t *testing.T) {
	tries := 300
	if os.Getenv("TORTURE") != "" {
		tries = 86_400
	}
	for name, proof := range map[string]*child.Ready{
		"tcp": {TCP: "127.0.0.1:1"}, "http": {HTTP: "http://127.0.0.1:1/"}, "exec": {Exec: []string{"/bin/false"}},
	} {
		run(t, func(n *node) {
			ref := n.start(name, child.Process{Command: []string{"exec sleep 1000"}, Ready: proof})
			l := n.prober.lives[ref]
			rest := func(tries int) int {
				n.until("the end of a try", func() bool {
					n.ahead += longestPause // every try is due at once
					return l.tries.n >= tries && l.tries.nextAt > 0
				})
				return descriptors(t)
			}
			before := rest(20)
			for done := 300; done <= tries; done += 300 {
				if after := rest(done); after > before {
					t.Fatalf("%s: %d descriptors after 20 tries, %d after %d", name, before, after, done)
				}
			}
			if len(n.prober.probes) > 0 {
				t.Errorf("%s: %d probes are remembered", name, len(n.prober.probes))
			}
		})
	}
}
