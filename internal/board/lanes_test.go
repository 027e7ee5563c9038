package board

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/ipc"
)

// below is a link to a node that the test plays, from its end of the pipe.
func below(t *testing.T, b *Board) *Port {
	t.Helper()
	p, err := b.AddNode("/n", 1, func(ipc.Addr) ipc.Message { return ipc.Message{Type: ipc.Cast, Method: "greeting"} })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := First(p.Theirs[0]); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(p.Theirs[0], true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.End(p, ipc.Down{Reason: "killed"}) })
	return p
}

// drink reads all that comes to the other end of a link, turn by turn, and
// gives each frame to take.
func drink(t *testing.T, b *Board, p *Port, take func(f *ipc.Frame)) {
	t.Helper()
	var split ipc.Splitter
	buffer := make([]byte, 64<<10)
	for {
		n, err := unix.Read(p.Theirs[0], buffer)
		if err == unix.EAGAIN && b.one(t) == 0 {
			return
		}
		if err != nil && err != unix.EAGAIN {
			t.Fatal(err)
		}
		err = split.Feed(buffer[:max(n, 0)], func(f *ipc.Frame) error { take(f); return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Whatever a flood has put before the pipe between two nodes, somebody else's
// frame stands behind no more of it than fits into that pipe.
func TestAFrameStandsBehindNoFloodOnALinkBetweenNodes(t *testing.T) {
	const pipe = 64 << 10 // the kernel's
	for name, size := range map[string]int{"small casts": 64, "casts of 4 KiB": 4 << 10, "casts of 60 KiB": 60 << 10} {
		t.Run(name, func(t *testing.T) {
			b := still(t)
			p := below(t, b)
			flood, polite := hire(t, b, "/flood"), hire(t, b, "/polite")
			for p.waits() < 2<<20 {
				flood.send(&ipc.Message{Type: ipc.Cast, To: "/n/x", Method: "flood", Codec: ipc.CodecRaw, Payload: make([]byte, size)})
				b.one(t)
			}
			polite.send(&ipc.Message{Type: ipc.Cast, To: "/n/x", Method: "note"})
			for b.one(t) > 0 {
			}
			before, came := 0, false
			drink(t, b, p, func(f *ipc.Frame) {
				if came = came || f.Src == polite.port.Addr(); !came {
					before += f.Size()
				}
			})
			if most := pipe + stageSize + 2*(laneTurn+ipc.MaxPayload); !came || before > most {
				t.Errorf("it came: %v, behind %d bytes, want no more than %d", came, before, most)
			}
			if p.waits() != 0 || b.queued != 0 {
				t.Errorf("afterwards %d bytes wait for it, %d for all", p.waits(), b.queued)
			}
		})
	}
}

// Frames of one source keep their order, and each comes once, however they get
// in among those of others.
func TestLanesKeepTheOrderOfEachSource(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	b := still(t)
	p := below(t, b)
	var peers []*peer
	var sent [5]uint64
	for _, path := range []string{"/a", "/b", "/c", "/d"} {
		peers = append(peers, hire(t, b, path))
	}
	got := map[ipc.Addr][]uint64{}
	note := func(f *ipc.Frame) { got[f.Src] = append(got[f.Src], binary.BigEndian.Uint64(f.Payload)) }
	buffer := make([]byte, 16<<10)
	var split ipc.Splitter
	sip := func() (n int) {
		n, _ = unix.Read(p.Theirs[0], buffer)
		if err := split.Feed(buffer[:max(n, 0)], func(f *ipc.Frame) error { note(f); return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for range 4000 {
		i := random.IntN(len(sent))
		m := ipc.Message{Type: ipc.Cast, To: "/n/x", Method: "x", Codec: ipc.CodecRaw, Payload: binary.BigEndian.AppendUint64(nil, sent[i])}
		m.Payload = append(m.Payload, bytes.Repeat([]byte("."), random.IntN(3000))...)
		sent[i]++
		if i == len(peers) {
			m.To = ""
			b.Send(p, m)
		} else {
			peers[i].send(&m)
		}
		b.one(t)
		if random.IntN(3) == 0 {
			sip()
		}
	}
	for sip() > 0 || b.one(t) > 0 {
	}
	for i := range sent {
		var addr ipc.Addr // the node's own
		if i < len(peers) {
			addr = peers[i].port.Addr()
		}
		if n := uint64(len(got[addr])); n != sent[i] || !slices.IsSorted(got[addr]) {
			t.Errorf("of %d frames of source %d came %d, in order: %v", sent[i], i, n, slices.IsSorted(got[addr]))
		}
	}
	if p.lanes != nil || b.queued != 0 {
		t.Errorf("afterwards there are lanes: %v, and %d bytes", p.lanes != nil, b.queued)
	}
}

// Who fills a link between nodes is refused more; who does not is not.
func TestWhoFillsALinkIsRefusedMore(t *testing.T) {
	b := still(t)
	p := below(t, b)
	flood, polite := hire(t, b, "/flood"), hire(t, b, "/polite")
	m := ipc.Message{Type: ipc.Cast, To: "/n/x", Method: "x", Codec: ipc.CodecRaw, Payload: make([]byte, 60<<10)}
	for range 2 * linkMark / len(m.Payload) {
		flood.send(&m)
		b.one(t)
	}
	if n := p.waits(); n < linkMark || n > linkMark+2*len(m.Payload) {
		t.Errorf("%d bytes wait, want %d", n, linkMark)
	}
	dropped := p.link.Dropped()
	polite.send(&m)
	for b.one(t) > 0 {
	}
	if dropped == 0 || p.link.Dropped() != dropped {
		t.Errorf("%d casts of the flood were dropped, %d of another", dropped, p.link.Dropped()-dropped)
	}
	busy := func(who *peer) bool { // whether it is asked to hold back
		for waiting(t, int(who.r.Fd())) > 0 {
			if m := who.read(); m.Method == ipc.VerbFlow {
				return bytes.Contains(m.Payload, []byte("true"))
			}
		}
		return false
	}
	if !busy(flood) || busy(polite) {
		t.Error("the flood was not asked to hold back, or the other was")
	}
	came := false
	drink(t, b, p, func(f *ipc.Frame) { came = came || f.Src == polite.port.Addr() })
	if !came || waiting(t, int(flood.r.Fd())) == 0 || busy(flood) {
		t.Errorf("the other's cast came: %v; the flood was not let go on", came)
	}
}
