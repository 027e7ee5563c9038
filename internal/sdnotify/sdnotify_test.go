package sdnotify

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/supertrees/supervise/internal/journal"
)

// patience is a safety net, never a proof.
const patience = 2 * time.Minute

// environ is an environment of its own for a test.
func environ(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func TestARelayReachesAPathAndAnAbstractName(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), fmt.Sprintf("@supervise-test-%d", os.Getpid())} {
		systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { systemd.Close() })
		relay, err := NewRelay(environ(map[string]string{"NOTIFY_SOCKET": name}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(relay.Close)
		if err = relay.Send([]byte("READY=1\nSTATUS=2 running")); err != nil {
			t.Fatal(err)
		}
		var got [100]byte
		_ = systemd.SetReadDeadline(time.Now().Add(patience))
		n, err := systemd.Read(got[:])
		if err != nil || string(got[:n]) != "READY=1\nSTATUS=2 running" {
			t.Errorf("%s heard %q, %v", name, got[:n], err)
		}
	}
}

func TestWithoutASocketThereIsNoRelay(t *testing.T) {
	if relay, err := NewRelay(environ(nil)); relay != nil || err != nil {
		t.Errorf("got %v, %v", relay, err)
	}
	if _, err := NewRelay(environ(map[string]string{"NOTIFY_SOCKET": "vsock:2:1"})); err == nil {
		t.Error("a kind of socket that nobody can reach is taken")
	}
	relay, err := NewRelay(environ(map[string]string{"NOTIFY_SOCKET": "/no/such/socket"}))
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	if err := relay.Send([]byte("READY=1")); err == nil || err.Error() != "notifying systemd: no such file or directory" {
		t.Errorf("sending to nobody: %v", err)
	}
	if err := relay.Send(make([]byte, messageBound+1)); err == nil {
		t.Error("a message that systemd would not take is sent")
	}
}

func TestWhatIsWantedIsInTheEnvironment(t *testing.T) {
	for _, c := range []struct {
		socket, usec, pid string
		wanted            bool
		watchdog          time.Duration
	}{
		{"", "1000000", "", false, 0},
		{"@x", "", "", true, 0},
		{"@x", "1500000", "", true, 1500 * time.Millisecond},
		{"@x", "1000000", fmt.Sprint(os.Getpid()), true, time.Second},
		{"@x", "1000000", fmt.Sprint(os.Getppid()), true, time.Second},
		{"@x", "1000000", "1", true, 0},
		{"@x", "-5", "", true, 0},
		{"@x", "nonsense", "", true, 0},
		{"@x", "99999999999999999999", "", true, 0},
	} {
		wanted, watchdog := Wanted(environ(map[string]string{"NOTIFY_SOCKET": c.socket, "WATCHDOG_USEC": c.usec, "WATCHDOG_PID": c.pid}))
		if wanted != c.wanted || watchdog != c.watchdog {
			t.Errorf("%+v: %v, %v", c, wanted, watchdog)
		}
	}
}

// systemd hears what an Upward says.
type systemd struct {
	t     *testing.T
	heard chan string
}

// await waits for a message with all of these lines.
func (s *systemd) await(lines ...string) {
	s.t.Helper()
	limit := time.After(patience)
	for {
		select {
		case m := <-s.heard:
			all := true
			for _, line := range lines {
				all = all && strings.Contains("\n"+m+"\n", "\n"+line+"\n")
			}
			if all {
				return
			}
		case <-limit:
			s.t.Fatalf("%q was not said", lines)
		}
	}
}

func begin(t *testing.T, watchdog time.Duration, post func(func())) (*journal.Store, *systemd, *Upward) {
	s := &systemd{t: t, heard: make(chan string, 1000)}
	store := &journal.Store{}
	store.Append(journal.Record{Event: journal.Add, Path: "/", Kind: "supervisor"})
	store.Append(journal.Record{Event: journal.Spawn, Path: "/", Kind: "supervisor", Pid: 1})
	u := New(Options{
		Store: store, Watchdog: watchdog, Post: post,
		Send:   func(m string) error { s.heard <- m; return nil },
		Report: func(err error) { t.Error(err) },
	})
	t.Cleanup(u.Close)
	return store, s, u
}

func TestReadyComesWhenTheWholeTreeRuns(t *testing.T) {
	store, s, u := begin(t, 0, nil)
	for _, path := range []string{"/a", "/b"} {
		store.Append(journal.Record{Event: journal.Add, Path: path, Kind: "worker"})
		store.Append(journal.Record{Event: journal.Spawn, Path: path, Kind: "worker", Pid: 2})
	}
	store.Append(journal.Record{Event: journal.Start, Path: "/a", Kind: "worker", Pid: 2})
	s.await("STATUS=1 running, 1 starting")
	store.Append(journal.Record{Event: journal.Start, Path: "/b", Kind: "worker", Pid: 2})
	store.Append(journal.Record{Event: journal.Start, Path: "/", Kind: "supervisor", Pid: 1})
	s.await("READY=1", "STATUS=2 running")
	store.Append(journal.Record{Event: journal.Exit, Path: "/b", Kind: "worker", Pid: 2, Reason: "abnormal"})
	s.await("STATUS=1 running, 1 waiting")
	store.Append(journal.Record{Event: journal.Stopping, Path: "/"})
	s.await("STOPPING=1")
	u.Close()
	for len(s.heard) > 0 {
		if m := <-s.heard; strings.Contains(m, "STOPPING") || strings.Contains(m, "READY") {
			t.Errorf("said twice: %q", m)
		}
	}
}

func TestATreeThatEndsByItselfSaysSoToo(t *testing.T) {
	store, s, u := begin(t, 0, nil)
	store.Append(journal.Record{Event: journal.Exit, Path: "/", Kind: "supervisor", Reason: "abnormal"})
	store.Close()
	u.Close()
	s.await("STOPPING=1")
}

func TestABeatComesThroughTheRootsLoop(t *testing.T) {
	loop := make(chan func(), 1)
	_, s, _ := begin(t, 20*time.Millisecond, func(f func()) { loop <- f })
	for range 3 {
		(<-loop)() // the root's loop turns
		s.await("WATCHDOG=1")
	}
	hung := <-loop         // and hangs: what was not through it is not said
	for len(s.heard) > 0 { // the first words of the state of the tree may come late
		if m := <-s.heard; strings.Contains(m, "WATCHDOG") {
			t.Errorf("a beat without the loop: %q", m)
		}
	}
	hung()
	s.await("WATCHDOG=1")
}

func TestASupervisorThatDoesNotReadHoldsUpNothing(t *testing.T) {
	store := &journal.Store{}
	never := make(chan struct{})
	defer close(never)
	u := New(Options{Store: store, Send: func(string) error { <-never; return nil }, Report: func(error) {}})
	store.Append(journal.Record{Event: journal.Start, Path: "/", Kind: "supervisor", Pid: 1})
	u.Close() // returns
}

func TestWhatCannotBeSentIsReportedOnce(t *testing.T) {
	store := &journal.Store{}
	reports := make(chan error, 10)
	u := New(Options{Store: store, Send: func(string) error { return os.ErrClosed }, Report: func(err error) { reports <- err }})
	store.Append(journal.Record{Event: journal.Start, Path: "/", Kind: "supervisor", Pid: 1})
	<-reports
	u.Close()
	if len(reports) > 0 {
		t.Error("reported again")
	}
}
