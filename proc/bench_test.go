package proc_test

import (
	"context"
	"io"
	"os"
	"testing"

	"github.com/supertrees/supervise/ipc"
	"github.com/supertrees/supervise/proc"
)

const (
	EchoRaw proc.Call[proc.Raw, proc.Raw] = "echo"
	NoteRaw proc.Cast[proc.Raw]           = "note"
	Count   proc.Call[proc.None, int]     = "count"
)

// pair is two ends of a channel over real pipes, in one process.
func pair(b *testing.B) context.Context {
	r1, w1, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	r2, w2, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	hello := ipc.Message{Type: ipc.Cast, Codec: ipc.CodecJSON, Method: ipc.VerbHello, Payload: []byte(`{"protocol":[1],"path":"/b","addr":"@1.2","window":1024,"max_message":1048576}`)}
	for _, w := range []*os.File{w1, w2} {
		if err := ipc.NewConn(nil, w, 0).Send(hello); err != nil {
			b.Fatal(err)
		}
	}
	_, err = proc.AttachOver(r1, w2, func(s *proc.Server) error {
		n := 0
		EchoRaw.Handle(s, func(_ context.Context, text proc.Raw) (proc.Raw, error) { return text, nil })
		NoteRaw.Handle(s, func(context.Context, proc.Raw) error { n++; return nil })
		Count.Handle(s, func(context.Context, proc.None) (int, error) { return n, nil })
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	caller, err := proc.AttachOver(r2, w1, func(*proc.Server) error { return nil })
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { w1.Close(); w2.Close() })
	return caller.Context(context.Background())
}

func BenchmarkCall(b *testing.B) {
	ctx := pair(b)
	payload := make(proc.Raw, 64)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := EchoRaw.Call(ctx, Srv, payload); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCalls(b *testing.B) {
	ctx := pair(b)
	b.ReportAllocs()
	b.SetParallelism(128)
	b.RunParallel(func(pb *testing.PB) {
		payload := make(proc.Raw, 64)
		for pb.Next() {
			if _, err := EchoRaw.Call(ctx, Srv, payload); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkCast(b *testing.B) {
	ctx := pair(b)
	payload := make(proc.Raw, 64)
	b.ReportAllocs()
	for b.Loop() {
		if err := NoteRaw.Cast(ctx, Srv, payload); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := Count.Call(proc.Forever(ctx), Srv, proc.None{}); err != nil {
		b.Fatal(err)
	}
}

// casts is a pipe that brings n casts and then waits for its end.
type casts struct {
	frames []byte
	n      int
	rest   []byte
	end    chan struct{}
}

func (c *casts) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		if c.n == 0 {
			<-c.end
			return 0, io.EOF
		}
		c.n--
		c.rest = c.frames
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// BenchmarkReceiveCast is the receiver's part of a cast, without the pipe.
func BenchmarkReceiveCast(b *testing.B) {
	m := ipc.Message{Type: ipc.Cast, Codec: ipc.CodecJSON, Method: ipc.VerbHello, Payload: []byte(`{"protocol":[1],"path":"/b","addr":"@1.2","window":1024}`)}
	hello, err := m.Frame(nil)
	if err != nil {
		b.Fatal(err)
	}
	m = ipc.Message{Type: ipc.Cast, Codec: ipc.CodecRaw, Method: "note", Payload: make([]byte, 64)}
	note, err := m.Frame(nil)
	if err != nil {
		b.Fatal(err)
	}
	from := &casts{rest: hello.Append(nil), n: b.N/100 + 1, end: make(chan struct{})}
	for range 100 {
		from.frames = note.Append(from.frames)
	}
	done, n := make(chan struct{}), from.n*100
	b.ReportAllocs()
	b.ResetTimer()
	_, err = proc.AttachOver(from, discard{}, func(s *proc.Server) error {
		NoteRaw.Handle(s, func(context.Context, proc.Raw) error {
			if n--; n == 0 {
				close(done)
			}
			return nil
		})
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	<-done
	close(from.end)
}

// BenchmarkSendCast is the sender's part of a cast, without the pipe.
func BenchmarkSendCast(b *testing.B) {
	m := ipc.Message{Type: ipc.Cast, Codec: ipc.CodecJSON, Method: ipc.VerbHello, Payload: []byte(`{"protocol":[1],"path":"/b","addr":"@1.2","window":1024}`)}
	hello, err := m.Frame(nil)
	if err != nil {
		b.Fatal(err)
	}
	from := &casts{rest: hello.Append(nil), end: make(chan struct{})}
	defer close(from.end)
	s, err := proc.AttachOver(from, openPipe{}, func(*proc.Server) error { return nil })
	if err != nil {
		b.Fatal(err)
	}
	ctx := s.Context(context.Background())
	payload := make(proc.Raw, 64)
	b.ReportAllocs()
	for b.Loop() {
		if err := NoteRaw.Cast(ctx, Srv, payload); err != nil {
			b.Fatal(err)
		}
	}
}

// openPipe is a pipe that always has room.
type openPipe struct{ discard }

func (openPipe) TryWrite(b []byte) (int, error) { return len(b), nil }
