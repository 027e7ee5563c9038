package board

import (
	"bytes"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/ipc"
)

// family is a root's board and that of a node below it, in one process.
func family(t *testing.T) (root, node *Board, port *Port) {
	t.Helper()
	root, err := NewRoot(func([]byte) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(root.Close)
	port, err = root.AddNode("/n", 1, func(a ipc.Addr) ipc.Message {
		return ipc.Message{Type: ipc.Cast, Method: "greeting", Payload: []byte(a.String())}
	})
	if err != nil {
		t.Fatal(err)
	}
	m, err := First(port.Theirs[0])
	if err != nil {
		t.Fatal(err)
	}
	var self ipc.Addr
	if err := self.UnmarshalText(m.Payload); err != nil || self != port.Addr() {
		t.Fatalf("the greeting is %q", m.Payload)
	}
	node, err = NewNode("/n", self, port.Theirs[0], port.Theirs[1])
	if err != nil {
		t.Fatal(err)
	}
	port.Theirs = [2]int{-1, -1}
	t.Cleanup(node.Close)
	<-node.Numbered()
	return root, node, port
}

func TestWhatANodeTellsArrivesInOrderAndWhole(t *testing.T) {
	root, node, port := family(t)
	const n = 500
	go func() {
		for i := range n {
			node.Up(ipc.Message{Type: ipc.Cast, Method: "$event", Codec: ipc.CodecRaw, Payload: bytes.Repeat([]byte{byte(i)}, i*1000)})
		}
		node.FlushUp()
	}()
	for i := 0; i < n; {
		<-root.Bell()
		for _, news := range root.Take() {
			own, ok := news.(Own)
			if !ok || own.From != port || len(own.Message.Payload) != i*1000 || bytes.Count(own.Message.Payload, []byte{byte(i)}) != i*1000 {
				t.Fatalf("message %d is %T with %d bytes", i, news, len(own.Message.Payload))
			}
			i++
		}
	}
}

func TestARequestIsAnswered(t *testing.T) {
	root, node, port := family(t)
	id := root.Send(port, ipc.Message{Type: ipc.Call, Method: "$request", Payload: []byte("who")})
	q := news[Own](t, node)
	if q.From != node.Parent() || q.Message.Method != "$request" || string(q.Message.Payload) != "who" {
		t.Fatalf("the request is %+v", q)
	}
	node.Up(ipc.Message{Type: ipc.Reply, ID: q.Message.ID, Payload: []byte("me")})
	if a := news[Own](t, root); a.Message.Type != ipc.Reply || a.Message.ID != id || string(a.Message.Payload) != "me" {
		t.Fatalf("the answer is %+v", a)
	}
}

// A root that handles nothing for a while is not told more than it can hold,
// while what goes down is read all the time.
func TestANodeThatTellsTooMuchWaits(t *testing.T) {
	root, node, port := family(t)
	const n, size = 60, 1 << 20
	told := make(chan bool)
	go func() {
		for range n {
			node.Up(ipc.Message{Type: ipc.Cast, Method: "$event", Codec: ipc.CodecRaw, Payload: make([]byte, size)})
		}
		close(told)
	}()
	waiting := func() (held bool) {
		root.mu.Lock()
		defer root.mu.Unlock()
		if root.newsSize > newsMark+4*size {
			t.Fatalf("%d bytes of news wait", root.newsSize)
		}
		return root.held
	}
	for !waiting() {
		runtime.Gosched()
	}
	root.Send(port, ipc.Message{Type: ipc.Cast, Method: "down"})
	if down := news[Own](t, node); down.Message.Method != "down" {
		t.Fatalf("the way down brings %+v", down)
	}
	select {
	case <-told:
		t.Fatalf("%d MiB were told to one who takes nothing", n)
	default:
	}
	for got := 0; got < n; {
		<-root.Bell()
		got += len(root.Take())
	}
	<-told
}

func TestTheParentsEndIsToldAndCallsUpFail(t *testing.T) {
	root, node, port := family(t)
	root.End(port, ipc.Down{Reason: "killed"})
	if e := news[Ended](t, node); e.From != node.Parent() {
		t.Fatalf("the news is %+v", e)
	}
	if _, err := node.Call(t.Context(), ipc.Message{To: "somebody", Method: "x"}); err == nil {
		t.Error("a call up to nobody has a reply")
	}
	node.Up(ipc.Message{Type: ipc.Cast, Method: "$event"}) // waits for nobody
	node.FlushUp()
}

func TestFirstReadsNotAByteTooMuch(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	hello := ipc.Message{Type: ipc.Cast, ID: 1, Method: "hello", Codec: ipc.CodecRaw, Payload: bytes.Repeat([]byte("x"), 200_000)}
	go func() {
		var wire []byte
		_ = hello.Frames(nil, func(f *ipc.Frame) error { wire = f.Append(wire); return nil })
		w.Write(append(wire, "the rest"...))
		w.Close()
	}()
	m, err := First(int(r.Fd()))
	if err != nil || m.Method != "hello" || !bytes.Equal(m.Payload, hello.Payload) {
		t.Fatalf("the first message is %q with %d bytes, %v", m.Method, len(m.Payload), err)
	}
	var rest [20]byte
	if n, _ := unix.Read(int(r.Fd()), rest[:]); string(rest[:n]) != "the rest" {
		t.Errorf("left is %q", rest[:n])
	}
	if _, err := First(int(r.Fd())); err == nil {
		t.Error("a first message at the end of the pipe")
	}
}
