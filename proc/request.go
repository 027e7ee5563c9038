package proc

import (
	"context"
	"sync"
	"time"

	"github.com/supertrees/supervise/ipc"
)

// request is a call that has come, or what casts of one method from one sender
// have in common, for which nobody waits. It is also the context of their
// handlers: it has the caller's deadline, is cancelled when the caller gives up,
// and carries the server. What a context costs is made only when asked for.
type request struct {
	s      *Server
	method string
	call   bool
	codec  uint8 // of the payload
	id     uint64
	src    ipc.Addr
	by     time.Time // zero: no limit

	mu       sync.Mutex
	inner    context.Context
	cancel   context.CancelFunc
	gone     bool // the caller has given up
	answered bool
}

type keyOfServer struct{}
type keyOfRequest struct{}

// Deadline is when the caller stops waiting.
func (r *request) Deadline() (time.Time, bool) { return r.by, !r.by.IsZero() }

// Done is closed when the caller has given up.
func (r *request) Done() <-chan struct{} { return r.context().Done() }

// Err says whether the caller has given up.
func (r *request) Err() error { return r.context().Err() }

// Value finds the server and the request itself.
func (r *request) Value(key any) any {
	switch key {
	case keyOfServer{}:
		return r.s
	case keyOfRequest{}:
		return r
	}
	r.mu.Lock()
	inner := r.inner
	r.mu.Unlock()
	if inner == nil {
		return nil
	}
	return inner.Value(key)
}

func (r *request) context() context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inner == nil {
		if r.by.IsZero() {
			r.inner, r.cancel = context.WithCancel(context.Background())
		} else {
			r.inner, r.cancel = context.WithDeadline(context.Background(), r.by)
		}
		if r.gone {
			r.cancel()
		}
	}
	return r.inner
}

// giveUp is the caller's cancel.
func (r *request) giveUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone = true
	if r.cancel != nil {
		r.cancel()
	}
}

// claim takes the right to answer; only one has it, and only while the caller
// waits.
func (r *request) claim() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.answered || r.gone || !r.call {
		return false
	}
	r.answered = true
	return true
}

// reply answers with a value.
func reply[Rep any](r *request, v Rep) bool {
	if !r.claim() {
		return false
	}
	codec, body, err := encode(v, r.codec)
	if err != nil {
		return r.send(ipc.Error, ipc.CodecJSON, mustJSON(&ipc.ErrorBody{Code: ipc.CodeError, Message: "encoding the reply: " + err.Error()}))
	}
	return r.send(ipc.Reply, codec, body)
}

// fail answers with an error.
func (r *request) fail(body *ipc.ErrorBody) bool {
	if !r.claim() {
		return false
	}
	if body.Message == "" {
		body.Message = body.Code
	}
	return r.send(ipc.Error, ipc.CodecJSON, mustJSON(body))
}

func (r *request) send(t ipc.Type, codec uint8, body []byte) bool {
	r.s.forget(r)
	if r.s.running.Err() != nil {
		return false
	}
	if w := r.s.watched.Load(); w != nil {
		w.answers(r, t, codec, body)
	}
	now := r.s.box.empty() // else more answers follow: they go in one write
	var err error
	if len(body) <= ipc.MaxPayload {
		f := ipc.Frame{Header: ipc.Header{Type: t, Flags: codec, ID: r.id}, Payload: body}
		err = r.s.ch.send(&f, r.s.ch.closed, now)
	} else {
		m := ipc.Message{Type: t, Codec: codec, ID: r.id, Payload: body}
		err = m.Frames(nil, func(f *ipc.Frame) error { return r.s.ch.send(f, r.s.ch.closed, now) })
	}
	return err == nil
}

// waits says whether the caller's time is not over.
func (r *request) waits() bool { return r.by.IsZero() || time.Now().Before(r.by) }

// From is the right to answer one call, now or later, from any goroutine.
type From[Rep any] struct{ r *request }

// Reply answers. It returns false when the caller is gone or has an answer.
func (f From[Rep]) Reply(rep Rep) bool { return f.r != nil && reply(f.r, rep) && f.r.waits() }

// Fail answers with an error, as a handler's.
func (f From[Rep]) Fail(err error) bool { return f.r != nil && f.r.fail(bodyOf(err)) && f.r.waits() }

// Caller is the address of whom the handler of this context works for; zero
// outside a handler.
func Caller(ctx context.Context) Addr {
	if r, ok := ctx.Value(keyOfRequest{}).(*request); ok {
		return Addr{r.src}
	}
	return Addr{}
}
