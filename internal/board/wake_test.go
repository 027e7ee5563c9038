package board

import (
	"os"
	"testing"
	"time"

	"github.com/supertrees/supervise/ipc"
)

// patience ends a test that hangs. It proves nothing.
const patience = time.Minute

// await is news, of which the test fails where it never comes.
func await(t *testing.T, b *Board, what string) []News {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case <-b.Bell():
			if news := b.Take(); len(news) > 0 {
				return news
			}
		case <-timer.C:
			t.Fatalf("waiting for %s: nothing comes", what)
		}
	}
}

// What came while a node was not read is there, though nothing more happens on
// its pipe: whoever reads again must look.
func TestANodeThatWasHeldIsReadAgain(t *testing.T) {
	root, node, _ := family(t)
	full := func(by int) {
		root.mu.Lock()
		defer root.mu.Unlock()
		root.newsSize += by
		root.hold()
	}
	tell := func() { node.Up(ipc.Message{Type: ipc.Cast, Method: "$event"}) }
	for range 300 {
		tell()
		await(t, root, "what is told before")
		full(newsMark + 1)
		tell()
		full(-newsMark - 1)
		await(t, root, "what was told while nobody read")
	}
}

// A link that always has more keeps the board's goroutine reading, but not from
// its end.
func TestABoardIsClosedUnderAFlood(t *testing.T) {
	b, err := NewRoot(func([]byte) {})
	if err != nil {
		t.Fatal(err)
	}
	port, err := b.AddWorker("/flood", 1, Frames, ipc.Hello{})
	if err != nil {
		t.Fatal(err)
	}
	flood := os.NewFile(uintptr(port.Theirs[1]), "flood")
	port.Theirs[1] = -1 // it is the flood's now
	defer flood.Close()
	var wire []byte
	say := func(m ipc.Message) {
		_ = m.Frames(nil, func(f *ipc.Frame) error { wire = f.Append(wire); return nil })
	}
	say(ipc.Message{Type: ipc.Cast, Method: ipc.VerbHello})
	flood.Write(wire)
	wire = nil
	for len(wire) < readSize {
		say(ipc.Message{Type: ipc.Cast, To: "/nobody", Method: "x"})
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if _, err := flood.Write(wire); err != nil {
				return
			}
		}
	}()
	closed := make(chan struct{})
	go func() {
		b.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(patience):
		t.Error("a flood keeps the board from its end")
	}
	b.End(port, ipc.Down{Reason: "normal"})
	<-ended
}
