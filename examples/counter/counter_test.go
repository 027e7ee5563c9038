// Package counter tests the worker in sh.
package counter

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/supertrees/supervise/ipc"
)

// node is the supervisor of one worker in line mode, and a client of it.
type node struct {
	t       *testing.T
	mu      sync.Mutex
	sw      *ipc.Switch
	lines   ipc.Lines
	worker  *ipc.Link
	down    *os.File
	events  chan string
	answers chan string
}

func (n *node) Send(l *ipc.Link, f *ipc.Frame, _ *ipc.Link) {
	if l != n.worker {
		n.answers <- string(f.Payload)
		return
	}
	line, back, err := n.lines.Out(f)
	if err == nil && line != nil {
		_, err = n.down.Write(line)
	}
	if err != nil || back != nil {
		n.t.Errorf("writing to the worker: %v, %v", err, back)
	}
}
func (n *node) Queued(_, _ *ipc.Link) (int, int)              { return 0, 0 }
func (n *node) Request(_ *ipc.Link, m *ipc.Message, _ uint64) { n.events <- m.Method }
func (n *node) Broken(_ *ipc.Link, err *ipc.Malformed)        { n.t.Error(err) }
func (n *node) Cascade(*ipc.Link, string)                     {}
func (n *node) Numbered(uint32)                               {}

func (n *node) read(r io.Reader, ended chan<- struct{}) {
	defer close(ended)
	buf := make([]byte, 64<<10)
	for {
		k, err := r.Read(buf)
		n.mu.Lock()
		bad := n.lines.Feed(buf[:k], func(f *ipc.Frame) error { n.sw.Receive(n.worker, f); return nil })
		n.mu.Unlock()
		if bad != nil {
			n.t.Error(bad)
		}
		if err != nil {
			return
		}
	}
}

// say puts a frame to the switch as if from l.
func (n *node) say(l *ipc.Link, m ipc.Message) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := m.Frames(nil, func(f *ipc.Frame) error { one := *f; n.sw.Receive(l, &one); return nil }); err != nil {
		n.t.Error(err)
	}
}

func TestTheWorkerInShAnswersCalls(t *testing.T) {
	upR, upW := pipe(t)
	downR, downW := pipe(t)
	n := &node{t: t, down: downW, events: make(chan string, 10), answers: make(chan string, 10)}
	n.sw = ipc.NewRoot(n)
	n.worker = n.sw.AddWorker("/counter", 1, true)
	client := n.sw.AddClient()
	hello := ipc.Message{Type: ipc.Cast, Codec: ipc.CodecJSON, Method: ipc.VerbHello, Payload: []byte(`{"protocol":[1]}`)}
	if err := hello.Frames(nil, func(f *ipc.Frame) error { n.Send(n.worker, f, nil); return nil }); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("./counter.sh")
	cmd.Env = append(os.Environ(), "SUPERVISE_CHANNEL=3,4")
	cmd.ExtraFiles = []*os.File{downR, upW}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	net := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer net.Stop()
	downR.Close()
	upW.Close()
	ended := make(chan struct{})
	go n.read(upR, ended)
	if got := []string{<-n.events, <-n.events}; !slices.Equal(got, []string{ipc.VerbHello, ipc.VerbReady}) {
		t.Fatalf("it begins with %q", got)
	}
	call := func(id uint64, method, payload, want string) {
		t.Helper()
		n.say(client, ipc.Message{Type: ipc.Call, Codec: ipc.CodecJSON, ID: id, To: "counter", Method: method, Payload: []byte(payload)})
		if got := <-n.answers; got != want {
			t.Errorf("%s %s: %s, want %s", method, payload, got, want)
		}
	}
	call(1, "add", "5", "5")
	n.say(client, ipc.Message{Type: ipc.Cast, Codec: ipc.CodecJSON, To: "counter", Method: "add", Payload: []byte("30")})
	call(2, "add", "7", "42")
	call(3, "total", "", "42")
	call(4, "nonsense", "", `{"code":"no_method","message":"no method"}`)
	call(5, "total", string(bytes.Repeat([]byte("1"), 100_000)), "42")
	n.say(client, ipc.Message{Type: ipc.Cast, Codec: ipc.CodecJSON, To: "counter", Method: ipc.VerbStop, Payload: []byte(`{"reason":"shutdown"}`)})
	if got := <-n.events; got != ipc.VerbExiting {
		t.Errorf("it ends with %s", got)
	}
	<-ended
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}
