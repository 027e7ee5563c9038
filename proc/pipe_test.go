package proc_test

import (
	"context"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/supertrees/supervise/ipc"
	"github.com/supertrees/supervise/proc"
)

// A worker that sends more than its pipe holds has a larger one from then on.
func TestAPipeThatHasBeenFullHoldsMore(t *testing.T) {
	down, hello, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, up, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	greeting := ipc.Message{Type: ipc.Cast, Codec: ipc.CodecJSON, Method: ipc.VerbHello, Payload: []byte(`{"protocol":[1],"path":"/b","addr":"@1.2","window":1024}`)}
	if err := ipc.NewConn(nil, hello, 0).Send(greeting); err != nil {
		t.Fatal(err)
	}
	s, err := proc.AttachOver(down, up, func(*proc.Server) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hello.Close(); from.Close() })
	before := pipeSize(t, from)
	ctx := s.Context(context.Background())
	for range 16 {
		if err := NoteRaw.Cast(ctx, Srv, make(proc.Raw, 16<<10)); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(time.Minute); pipeSize(t, from) <= before; runtime.Gosched() { // nobody reads: it must become full
		if time.Now().After(end) {
			t.Fatalf("the pipe holds %d bytes, as before", before)
		}
	}
}

func pipeSize(t *testing.T, f *os.File) int {
	size, _, errno := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), syscall.F_SETPIPE_SZ+1, 0) // F_GETPIPE_SZ
	if errno != 0 {
		t.Fatal(errno)
	}
	return int(size)
}
