package board

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/ipc"
)

// still is a root's board that does nothing by itself: the test gives it its turns.
func still(t *testing.T) *Board {
	t.Helper()
	b, err := newBoard()
	if err != nil {
		t.Fatal(err)
	}
	b.sw = ipc.NewRoot((*host)(b))
	close(b.numbered)
	t.Cleanup(func() { b.epoll.Close() })
	return b
}

// one is one turn: what is ready is served once.
func (b *Board) one(t *testing.T) (ready int) {
	t.Helper()
	events := make([]unix.EpollEvent, readyAtOnce)
	n, err := unix.EpollWait(b.fd, events, 0)
	if err != nil {
		t.Fatal(err)
	}
	b.turn(events[:n])
	return n
}

// waiting is how many bytes are in a pipe.
func waiting(t *testing.T, fd int) int {
	t.Helper()
	n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// However full a neighbour keeps its pipe, a frame has passed after one turn,
// and in a turn no more is taken of the neighbour than its share.
func TestAFrameWaitsForOneTurnBesideAFlood(t *testing.T) {
	for name, c := range map[string]struct {
		payload int
		to      string
		share   int
	}{
		"small frames to nobody":   {0, "/nobody", floodSize},
		"small frames to the deaf": {64, "/deaf", floodSize},
		"large frames to nobody":   {32 << 10, "/nobody", readSize},
	} {
		t.Run(name, func(t *testing.T) {
			b := still(t)
			a, callee, flood, _ := hire(t, b, "/a"), hire(t, b, "/b"), hire(t, b, "/flood"), hire(t, b, "/deaf")
			for b.one(t) > 0 && waiting(t, int(a.port.r))+waiting(t, int(flood.port.r)) > 0 {
			}
			var wire []byte
			m := ipc.Message{Type: ipc.Cast, To: c.to, Method: "x", Codec: ipc.CodecRaw, Payload: make([]byte, c.payload)}
			for len(wire) < readSize {
				_ = m.Frames(nil, func(f *ipc.Frame) error { wire = f.Append(wire); return nil })
			}
			rest := wire
			fill := func() { // as far as there is room, whole frames or not
				fd := int(flood.w.Fd())
				_ = unix.SetNonblock(fd, true)
				for {
					n, err := unix.Write(fd, rest)
					if err != nil {
						return
					}
					if rest = rest[n:]; len(rest) == 0 {
						rest = wire
					}
				}
			}
			fill()
			b.one(t) // it is known for what it is
			for i := range uint64(300) {
				fill()
				before := waiting(t, int(flood.port.r))
				a.send(&ipc.Message{Type: ipc.Cast, To: "/b", Method: "note", ID: i})
				b.one(t)
				if waiting(t, int(callee.r.Fd())) == 0 {
					t.Fatalf("turn %d: the frame has not come", i)
				}
				callee.read()
				if took := before - waiting(t, int(flood.port.r)); took > c.share || took == 0 {
					t.Fatalf("turn %d: %d bytes were taken of the flood", i, took)
				}
			}
		})
	}
}
