package e2e

import (
	"bufio"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

// text is what a stream has printed so far; a test can wait for more.
type text struct {
	mu   sync.Mutex
	more sync.Cond
	all  strings.Builder
	end  bool
}

func newText() *text {
	x := &text{}
	x.more.L = &x.mu
	return x
}

// fill reads a stream to its end.
func (x *text) fill(from io.Reader) {
	r := bufio.NewReader(from)
	chunk := make([]byte, 64<<10)
	for {
		n, err := r.Read(chunk)
		x.mu.Lock()
		x.all.Write(chunk[:n])
		x.end = err != nil
		x.more.Broadcast()
		x.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (x *text) String() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.all.String()
}

// await waits until the stream is as it should be.
func (x *text) await(t testing.TB, what string, holds func(said string) bool) string {
	t.Helper()
	late := false
	timer := time.AfterFunc(patience, func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		late = true
		x.more.Broadcast()
	})
	defer timer.Stop()
	x.mu.Lock()
	defer x.mu.Unlock()
	for !holds(x.all.String()) {
		if x.end || late {
			said := x.all.String()
			t.Fatalf("waiting for %s: it never came (the stream ended: %v); said was\n%s", what, x.end, said[max(0, len(said)-8000):])
		}
		x.more.Wait()
	}
	return x.all.String()
}

// says waits until the stream has said something.
func (x *text) says(t testing.TB, want string) {
	t.Helper()
	x.await(t, want, func(said string) bool { return strings.Contains(said, want) })
}

// saysTimes waits until the stream has said something so many times.
func (x *text) saysTimes(t testing.TB, want string, times int) {
	t.Helper()
	x.await(t, want, func(said string) bool { return strings.Count(said, want) >= times })
}
