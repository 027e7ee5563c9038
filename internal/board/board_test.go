package board

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/ipc"
)

// peer is a worker's end of a channel, in this process.
type peer struct {
	t    testing.TB
	port *Port
	r, w *os.File
	in   *ipc.Reader
	out  []byte
}

// newRoot is a root's board.
func newRoot(t testing.TB) *Board {
	t.Helper()
	b, err := NewRoot(func([]byte) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// hire adds a worker and plays it.
func hire(t testing.TB, b *Board, path string) *peer {
	t.Helper()
	port, err := b.AddWorker(path, 1, Frames, ipc.Hello{})
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, port: port, r: os.NewFile(uintptr(port.Theirs[0]), "r"), w: os.NewFile(uintptr(port.Theirs[1]), "w")}
	port.Theirs = [2]int{-1, -1} // they are the peer's now
	p.in = ipc.NewReader(p.r)
	t.Cleanup(func() {
		p.r.Close()
		p.w.Close()
		b.End(port, ipc.Down{Reason: "normal"})
	})
	if m := p.read(); m.Method != ipc.VerbHello {
		t.Fatalf("the first message is %q", m.Method)
	}
	p.send(&ipc.Message{Type: ipc.Cast, Method: ipc.VerbHello, Codec: ipc.CodecJSON, Payload: []byte(`{"protocol":1}`)})
	return p
}

func (p *peer) send(m *ipc.Message) {
	p.t.Helper()
	p.out = p.out[:0]
	_ = m.Frames(nil, func(f *ipc.Frame) error { p.out = f.Append(p.out); return nil })
	if _, err := p.w.Write(p.out); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) read() ipc.Message {
	p.t.Helper()
	f, err := p.in.Read()
	if err != nil {
		p.t.Fatal(err)
	}
	m, err := f.Message()
	if err != nil {
		p.t.Fatal(err)
	}
	return m
}

// news waits for the next news of a kind. What came before it is dropped, and what
// came after it is there for the next call.
func news[N News](t testing.TB, b *Board) N {
	t.Helper()
	for range b.Bell() {
		all := b.Take()
		for i, n := range all {
			if n, ok := n.(N); ok {
				putBack(b, all[i+1:])
				return n
			}
		}
	}
	panic("the bell has been closed")
}

// putBack makes news that were taken the next ones.
func putBack(b *Board, news []News) {
	b.mu.Lock()
	defer b.mu.Unlock()
	later := b.news
	b.newsSize = 0
	b.news = nil
	for _, n := range append(news, later...) {
		b.post(n)
	}
}

func TestTheHelloStandsInThePipe(t *testing.T) {
	b := newRoot(t)
	port, err := b.AddWorker("/a", 7, Frames, ipc.Hello{MaxMessage: 99})
	if err != nil {
		t.Fatal(err)
	}
	defer b.End(port, ipc.Down{Reason: "normal"})
	var wire [4096]byte
	n, err := unix.Read(port.Theirs[0], wire[:])
	if err != nil {
		t.Fatal(err)
	}
	f, _, err := ipc.Next(wire[:n])
	if err != nil {
		t.Fatal(err)
	}
	var h ipc.Hello
	if err := json.Unmarshal(f.Payload, &h); err != nil || h.Path != "/a" || h.Incarnation != 7 || h.MaxMessage != 99 || h.Addr != port.Addr() {
		t.Errorf("the hello is %+v, %v", h, err)
	}
}

func TestAFrameThatPassesAllocatesNothing(t *testing.T) {
	b := newRoot(t)
	from, to := hire(t, b, "/from"), hire(t, b, "/to")
	m := ipc.Message{Type: ipc.Cast, To: "/to", Method: "note", Codec: ipc.CodecRaw, Payload: make([]byte, 64)}
	var wire []byte
	_ = m.Frames(nil, func(f *ipc.Frame) error { wire = f.Append(nil); return nil })
	got := make([]byte, 64<<10)
	pass := func() {
		if _, err := unix.Write(int(from.w.Fd()), wire); err != nil {
			t.Fatal(err)
		}
		for n := 0; n < len(wire); {
			k, err := unix.Read(int(to.r.Fd()), got)
			if err != nil {
				t.Fatal(err)
			}
			n += k
		}
	}
	pass()
	if n := testing.AllocsPerRun(1000, pass); n >= 1 {
		t.Errorf("a frame that passes costs %v allocations", n)
	}
}

func TestMessagesToTheSupervisorAreItsNews(t *testing.T) {
	b := newRoot(t)
	p := hire(t, b, "/a")
	p.send(&ipc.Message{Type: ipc.Cast, Method: ipc.VerbReady})
	hello := news[Request](t, b)
	if hello.From != p.port || hello.Message.Method != ipc.VerbHello && hello.Message.Method != ipc.VerbReady {
		t.Errorf("the news is %+v", hello)
	}
	p.send(&ipc.Message{Type: ipc.Call, ID: 5, To: "/", Method: "which_children"})
	for {
		r := news[Request](t, b)
		if r.Message.Method != "which_children" {
			continue
		}
		b.Reply(r.Ticket, []string{"a"})
		break
	}
	if m := p.read(); m.Type != ipc.Reply || m.ID != 5 || string(m.Payload) != `["a"]` {
		t.Errorf("the answer is %+v", m)
	}
}

func TestWhatComesDuringAMoltIsForTheNewImage(t *testing.T) {
	b := newRoot(t)
	from, p := hire(t, b, "/from"), hire(t, b, "/p")
	p.send(&ipc.Message{Type: ipc.Call, ID: 1, Method: ipc.VerbMolt})
	if m := p.read(); m.Type != ipc.Reply || m.ID != 1 {
		t.Fatalf("the answer to $molt is %+v", m)
	}
	for i := range uint64(100) {
		from.send(&ipc.Message{Type: ipc.Call, ID: i + 1, To: "/p", Method: "work"})
	}
	for b.State(p.port).Waiting < 100 {
		runtime.Gosched()
	}
	var nothing [1]byte
	unix.SetNonblock(int(p.r.Fd()), true)
	if n, err := unix.Read(int(p.r.Fd()), nothing[:]); err != unix.EAGAIN {
		t.Fatalf("during its molt it gets %d bytes, %v", n, err)
	}
	unix.SetNonblock(int(p.r.Fd()), false)
	p.send(&ipc.Message{Type: ipc.Cast, Method: ipc.VerbHello, Codec: ipc.CodecJSON, Payload: []byte(`{"protocol":1}`)})
	for i := range 100 {
		if m := p.read(); m.Type != ipc.Call || m.Method != "work" {
			t.Fatalf("message %d for the new image is %+v", i, m)
		}
	}
}

func TestSendersAreAskedToHoldBackAndToGoOn(t *testing.T) {
	b := newRoot(t)
	from, to := hire(t, b, "/from"), hire(t, b, "/to")
	flow := func() (f ipc.Flow) {
		m := from.read()
		if err := json.Unmarshal(m.Payload, &f); err != nil || m.Method != ipc.VerbFlow || f.To != "/to" {
			t.Fatalf("the sender is told %+v", m)
		}
		return f
	}
	const n = 100
	for range n {
		from.send(&ipc.Message{Type: ipc.Cast, To: "/to", Method: "note", Codec: ipc.CodecRaw, Payload: make([]byte, 10_000)})
	}
	if !flow().Busy {
		t.Error("a sender is told to go on that was not told to hold back")
	}
	for range n {
		to.read()
	}
	if flow().Busy {
		t.Error("a sender is told twice to hold back")
	}
	if s := b.State(to.port); s.Dropped != 0 || s.Busy || s.Queued != 0 {
		t.Errorf("when everything has been read: %+v", s)
	}
}

func TestACallThatIsGivenUpIsCancelled(t *testing.T) {
	b := newRoot(t)
	p := hire(t, b, "/p")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := b.Call(ctx, ipc.Message{To: "/p", Method: "work"})
		ended <- err
	}()
	call := p.read()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the call ended with %v", err)
	}
	if m := p.read(); m.Type != ipc.Cancel || m.ID != call.ID {
		t.Errorf("its callee is told %+v", m)
	}
	p.send(&ipc.Message{Type: ipc.Reply, ID: call.ID}) // too late, and nobody's fault
	go func() {
		_, err := b.Call(t.Context(), ipc.Message{To: "/p", Method: "work"})
		ended <- err
	}()
	p.send(&ipc.Message{Type: ipc.Reply, ID: p.read().ID})
	if err := <-ended; err != nil {
		t.Errorf("the call after it ended with %v", err)
	}
}

func TestAPeerThatReadsNoMoreIsNoticedAtOnce(t *testing.T) {
	b := newRoot(t)
	p := hire(t, b, "/a")
	p.r.Close()
	if e := news[Ended](t, b); e.From != p.port {
		t.Errorf("the news is %+v", e)
	}
}

func TestGarbageEndsALink(t *testing.T) {
	b := newRoot(t)
	p := hire(t, b, "/a")
	if _, err := p.w.Write(bytes.Repeat([]byte{0xee}, 200)); err != nil {
		t.Fatal(err)
	}
	e := news[Ended](t, b)
	if e.From != p.port || e.Why == "" || len(e.Head) != 64 {
		t.Errorf("the news is %+v", e)
	}
}

func TestAChannelTakesLittleMemory(t *testing.T) {
	const most = 24 << 10
	b := newRoot(t)
	before := heap()
	const n = 200
	for i := range n {
		p := hire(t, b, fmt.Sprintf("/w%d", i))
		p.in, p.out = nil, nil
	}
	b.Take()
	each := (heap() - before) / n
	t.Logf("%d bytes a channel", each)
	if each > most {
		t.Errorf("a channel takes %d bytes, over %d", each, most)
	}
}

func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func BenchmarkCastThrough(b *testing.B) {
	for _, size := range []int{64, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			board := newRoot(b)
			from, to := hire(b, board, "/from"), hire(b, board, "/to")
			m := ipc.Message{Type: ipc.Cast, To: "/to", Method: "note", Codec: ipc.CodecRaw, Payload: make([]byte, size)}
			var one []byte
			_ = m.Frames(nil, func(f *ipc.Frame) error { one = f.Append(nil); return nil })
			batch := max(1, (64<<10)/len(one))
			wire := bytes.Repeat(one, batch)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			done := make(chan struct{})
			total := b.N * len(one)
			var received atomic.Int64
			go func() {
				defer close(done)
				buf := make([]byte, 256<<10)
				for n := 0; n < total; {
					k, err := unix.Read(int(to.r.Fd()), buf)
					if err != nil {
						return
					}
					n += k
					received.Store(int64(n))
				}
			}()
			for sent := 0; sent < b.N; {
				k := min(batch, b.N-sent)
				if _, err := from.w.Write(wire[:k*len(one)]); err != nil {
					b.Fatal(err)
				}
				sent += k
				for int64(sent*len(one))-received.Load() > 2<<20 { // the bound would drop what is measured
					runtime.Gosched()
				}
			}
			<-done
		})
	}
}
