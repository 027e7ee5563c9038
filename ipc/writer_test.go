package ipc

import (
	"io"
	"sync"
	"testing"
)

func TestFramesOfManySendersStayWholeAndInOrder(t *testing.T) {
	r, pw := io.Pipe()
	w := NewWriter(pw)
	const senders, each = 8, 500
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				f := Frame{Header: Header{Type: Cast, ID: uint64(i), Src: Addr(s)}, Payload: []byte("payload")}
				send := w.Send
				if i%3 == 0 {
					send = w.Queue
				}
				if err := send(&f, nil); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	go func() { wg.Wait(); w.Drain(); pw.Close() }()
	var next [senders]uint64
	for reader := NewReader(r); ; {
		f, err := reader.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if f.ID != next[f.Src] {
			t.Fatalf("sender %d: frame %d came, want %d", f.Src, f.ID, next[f.Src])
		}
		next[f.Src]++
	}
	for s, n := range next {
		if n != each {
			t.Errorf("sender %d: %d frames came", s, n)
		}
	}
}

// tight is a pipe that takes a few bytes at a time without waiting.
type tight struct{ io.Writer }

func (p tight) TryWrite(b []byte) (int, error) {
	return p.Write(b[:min(len(b), 5)])
}

func TestAWriteCutShortByAFullPipeGoesOn(t *testing.T) {
	r, pw := io.Pipe()
	w := NewWriter(tight{pw})
	go func() {
		for i := range 100 {
			if err := w.Send(&Frame{Header: Header{Type: Cast, ID: uint64(i)}, Payload: make([]byte, i)}, nil); err != nil {
				t.Error(err)
			}
		}
		w.Drain()
		pw.Close()
	}()
	reader := NewReader(r)
	for i := range 100 {
		f, err := reader.Read()
		if err != nil || f.ID != uint64(i) {
			t.Fatalf("frame %d: %d, %v", i, f.ID, err)
		}
	}
	if _, err := reader.Read(); err != io.EOF {
		t.Fatal(err)
	}
}

func TestASenderGivesUpWaitingForRoom(t *testing.T) {
	_, pw := io.Pipe() // nobody reads
	w := NewWriter(tight{pw})
	w.try = full{pw}
	big := &Frame{Header: Header{Type: Cast}, Payload: make([]byte, MaxPayload)}
	done := make(chan struct{})
	close(done)
	var err error
	for i := 0; err == nil; i++ {
		if i > 10*writeMark/MaxPayload {
			t.Fatal("a full pipe takes everything")
		}
		err = w.Send(big, done)
	}
	if err != ErrAbandoned {
		t.Errorf("%v, want ErrAbandoned", err)
	}
	if err := w.Push(big, false); err != nil {
		t.Errorf("an answer does not pass: %v", err)
	}
	w.Close()
	pw.Close()
	if err := w.Send(big, nil); err != ErrClosed {
		t.Errorf("after Close: %v", err)
	}
}

// full is a pipe that never has room.
type full struct{ io.Writer }

func (full) TryWrite([]byte) (int, error) { return 0, nil }
