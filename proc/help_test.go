package proc_test

import (
	"io"
	"runtime"
	"testing"

	"github.com/supertrees/supervise/ipc"
)

func goexit() { runtime.Goexit() }

// discard is a node that hears nothing.
type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// loop is the node's end of a pipe to a worker.
type loop struct{ *io.PipeWriter }

func newLoop() (io.Reader, loop) {
	r, w := io.Pipe()
	return r, loop{w}
}

func (l loop) hello(t *testing.T) {
	t.Helper()
	l.send(t, ipc.Message{Type: ipc.Cast, Codec: ipc.CodecJSON, Method: ipc.VerbHello, Payload: []byte(`{"protocol":[1],"path":"/w","addr":"@1.2","incarnation":1,"window":1024}`)})
}

// send writes without waiting for the reader.
func (l loop) send(t *testing.T, m ipc.Message) {
	t.Helper()
	go func() {
		if err := ipc.NewConn(nil, l, 0).Send(m); err != nil {
			t.Error(err)
		}
	}()
}
