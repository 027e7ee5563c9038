package ipc

import (
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"slices"
	"sync"
)

// The bounds of a writer, in bytes.
const (
	// writeMark is how much may wait in a writer before Send and Queue wait too.
	writeMark = 256 << 10
	// turnSize is how much makes it the flusher's turn: what a pipe takes.
	turnSize = 64 << 10
	// keepSize is the largest buffer that an idle writer keeps, busySize one that
	// has more to write.
	keepSize = 64 << 10
	busySize = 2 * writeMark
)

// ErrClosed is what a writer returns after Close.
var ErrClosed = errors.New("writing to a channel: closed")

// ErrAbandoned is what a writer returns when the sender gave up waiting for
// room; nothing of its frame was written.
var ErrAbandoned = errors.New("writing to a channel: given up")

// TryWriter is a pipe that can be written to without waiting. It writes what
// there is room for, also nothing, and returns an error only if the pipe is
// broken.
type TryWriter interface {
	io.Writer
	TryWrite(b []byte) (int, error)
}

// Writer writes frames to a pipe for any number of goroutines. Frames combine:
// what is sent while a write is under way rides on the next one. If the pipe
// is a TryWriter, no sender ever stands in a write that waits; else the sender
// that found the writer idle does.
type Writer struct {
	w   io.Writer
	try TryWriter // nil if w is none

	mu      sync.Mutex
	buf     []byte // not yet taken by a write
	spare   []byte
	rest    []byte // of a write that the full pipe cut short
	writing bool
	closed  bool
	halted  bool // senders wait: see Freeze
	frozen  bool // nothing is written
	err     error
	room    chan struct{} // closed when buf is taken; nil while nobody waits
	wake    chan struct{} // one token for the flusher; nil until it runs
	woken   bool          // it has a token, or has not looked since it had
	idle    *sync.Cond

	// What stands before the payload of a cast to the last target: who casts in a
	// loop has it copied.
	last CastTo
	head []byte
}

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer {
	wr := &Writer{w: w}
	wr.try, _ = w.(TryWriter)
	wr.idle = sync.NewCond(&wr.mu)
	return wr
}

// Send writes f now, or has the running write take it along. It waits while
// more than 256 KiB wait, and gives up (ErrAbandoned) when done is closed; a nil
// done never is. f's bytes are copied. For calls.
func (w *Writer) Send(f *Frame, done <-chan struct{}) error {
	if err := w.enter(done); err != nil {
		return err
	}
	w.buf = f.Append(w.buf)
	return w.flushLocked()
}

// Queue is Send by a goroutine of the writer's own: many frames go in one
// write. For casts.
func (w *Writer) Queue(f *Frame, done <-chan struct{}) error {
	if err := w.enter(done); err != nil {
		return err
	}
	before := len(w.buf)
	w.buf = f.Append(w.buf)
	w.queuedLocked(before)
	return nil
}

// SendMessage is Send for a message whose payload is no longer than MaxPayload.
// It also returns an error if the message cannot be written, as Message.Frame.
func (w *Writer) SendMessage(m *Message, done <-chan struct{}) error {
	var h Header
	if err := m.head(&h); err != nil {
		return err
	}
	if err := w.enter(done); err != nil {
		return err
	}
	w.buf = m.append(w.buf, &h)
	return w.flushLocked()
}

// QueueMessage is Queue as SendMessage is Send.
func (w *Writer) QueueMessage(m *Message, done <-chan struct{}) error {
	var h Header
	if err := m.head(&h); err != nil {
		return err
	}
	if err := w.enter(done); err != nil {
		return err
	}
	before := len(w.buf)
	w.buf = m.append(w.buf, &h)
	w.queuedLocked(before)
	return nil
}

// CastTo is all that a cast says but its payload.
type CastTo struct {
	Dst    Addr
	To     string // as Message's
	Method string
	Codec  uint8
}

// Message is the cast as a message.
func (to *CastTo) Message(payload []byte) Message {
	return Message{Type: Cast, Codec: to.Codec, Dst: to.Dst, To: to.To, Method: to.Method, Payload: payload}
}

// QueueCast is QueueMessage for a cast, and faster for many of them to one
// target.
func (w *Writer) QueueCast(to *CastTo, payload []byte, done <-chan struct{}) error {
	if err := w.enter(done); err != nil {
		return err
	}
	if w.head == nil || *to != w.last {
		if err := w.aim(to); err != nil {
			w.mu.Unlock()
			return err
		}
	}
	before := len(w.buf)
	size := len(w.head) + len(payload)
	b := slices.Grow(w.buf, size)[:before+size]
	copy(b[before:], w.head)
	binary.BigEndian.PutUint32(b[before:], uint32(size-4))
	copy(b[before+len(w.head):], payload)
	w.buf = b
	w.queuedLocked(before)
	return nil
}

// aim makes the head of casts to a target.
func (w *Writer) aim(to *CastTo) error {
	m := to.Message(nil)
	var h Header
	if err := m.head(&h); err != nil {
		return err
	}
	w.last, w.head = *to, m.append(w.head[:0], &h)
	return nil
}

// queuedLocked leaves the writing to the flusher, and unlocks. before is how
// much waited already. Who has made a pipe full of it does not wait for the
// flusher's turn, and then lets others have theirs.
func (w *Writer) queuedLocked(before int) {
	turn := before < turnSize && len(w.buf) >= turnSize
	if turn && w.try != nil && !w.writing {
		_ = w.flushLocked() // whoever sends next gets the error
	} else {
		w.wakeFlusher()
		w.mu.Unlock()
	}
	if turn {
		runtime.Gosched()
	}
}

// Push is Queue that waits for nobody. For what windows bound and what must
// pass: answers, and the frames of the protocol itself. With more to come, it
// leaves the writing to the Flush or Send that follows.
func (w *Writer) Push(f *Frame, more bool) error {
	w.mu.Lock()
	if w.err != nil {
		defer w.mu.Unlock()
		return w.err
	}
	w.buf = f.Append(w.buf)
	if more {
		w.mu.Unlock()
		return nil
	}
	return w.flushLocked()
}

// Flush writes what waits, unless a write is under way, which will.
func (w *Writer) Flush() error {
	w.mu.Lock()
	return w.flushLocked()
}

// Buffered is how many bytes wait to be written.
func (w *Writer) Buffered() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.buf) + len(w.rest)
}

// Drain waits until everything has been written, or nothing can be.
func (w *Writer) Drain() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.err == nil && (w.writing || len(w.buf)+len(w.rest) > 0) {
		if !w.writing {
			w.wakeFlusher()
		}
		w.idle.Wait()
	}
	return w.err
}

// Freeze has senders wait, waits until what they have sent is written, and lets
// nothing be written until Thaw: no frame is cut in two if this process becomes
// another program now.
func (w *Writer) Freeze() error {
	w.mu.Lock()
	w.halted = true
	w.mu.Unlock()
	for {
		if err := w.Drain(); err != nil {
			return err
		}
		w.mu.Lock()
		w.frozen = !w.writing && len(w.buf)+len(w.rest) == 0 // Push does not wait
		frozen := w.frozen
		w.mu.Unlock()
		if frozen {
			return nil
		}
	}
}

// Thaw undoes Freeze.
func (w *Writer) Thaw() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.halted, w.frozen = false, false
	w.wakeLocked()
	if len(w.buf) > 0 {
		w.wakeFlusher()
	}
}

// Close ends the writer: frames after it get ErrClosed, and what was never
// written is dropped. The pipe itself is the caller's to close.
func (w *Writer) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.err == nil {
		w.err = ErrClosed
	}
	w.buf, w.rest, w.spare = nil, nil, nil
	w.wakeLocked()
	if w.wake != nil {
		close(w.wake)
		w.wake = nil
	}
}

// enter takes the lock when there is room, and holds it if it returns nil.
func (w *Writer) enter(done <-chan struct{}) error {
	w.mu.Lock()
	if w.err == nil && len(w.buf) <= writeMark && !w.halted {
		return nil
	}
	return w.waitLocked(done)
}

// waitLocked is enter when there may be no room, with the lock.
func (w *Writer) waitLocked(done <-chan struct{}) error {
	for w.err == nil {
		if len(w.buf) <= writeMark && !w.halted {
			return nil
		}
		if w.room == nil {
			w.room = make(chan struct{})
		}
		room := w.room
		w.mu.Unlock()
		select {
		case <-room:
		case <-done:
			return ErrAbandoned
		}
		w.mu.Lock()
	}
	err := w.err
	w.mu.Unlock()
	return err
}

// flushLocked writes until nothing waits or the pipe is full, and unlocks.
func (w *Writer) flushLocked() error {
	for w.err == nil && !w.writing && !w.frozen && len(w.buf) > 0 {
		b := w.takeLocked()
		w.mu.Unlock()
		var n int
		var err error
		if w.try != nil {
			n, err = w.try.TryWrite(b)
		} else {
			n, err = w.w.Write(b)
		}
		w.mu.Lock()
		if err == nil && n < len(b) {
			w.rest = b[n:] // w.writing stays: the flusher goes on from here
			w.wakeFlusher()
			break
		}
		w.wroteLocked(b, err)
	}
	err := w.err
	w.mu.Unlock()
	return err
}

// takeLocked takes what waits, for a write that the caller makes.
func (w *Writer) takeLocked() []byte {
	b := w.buf
	w.buf, w.spare = w.spare[:0], nil
	w.writing = true
	w.wakeLocked()
	return b
}

// wroteLocked ends a write of b.
func (w *Writer) wroteLocked(b []byte, err error) {
	w.writing = false
	if err != nil && w.err == nil {
		w.err = err
		w.buf = nil
		w.wakeLocked()
	}
	keep := busySize
	if len(w.buf) == 0 {
		keep = keepSize * 2
		w.idle.Broadcast()
	}
	if cap(b) <= keep && !w.closed {
		w.spare = b
	}
}

func (w *Writer) wakeLocked() {
	if w.room != nil {
		close(w.room)
		w.room = nil
	}
	w.idle.Broadcast()
}

// wakeFlusher wakes the goroutine that writes what nobody else does, and
// starts it the first time.
func (w *Writer) wakeFlusher() {
	if w.closed {
		return
	}
	if w.wake == nil {
		w.wake = make(chan struct{}, 1)
		go w.flusher(w.wake)
	}
	if !w.woken {
		w.woken = true
		w.wake <- struct{}{} // has room: there is one token for each time it is woken
	}
}

func (w *Writer) flusher(wake <-chan struct{}) {
	for range wake {
		runtime.Gosched() // who is about to send as well rides on this write
		w.mu.Lock()
		w.woken = false
		for w.err == nil {
			b := w.rest
			w.rest = nil
			if b == nil {
				if w.writing || w.frozen || len(w.buf) == 0 {
					break
				}
				b = w.takeLocked()
			}
			w.mu.Unlock()
			_, err := w.w.Write(b)
			w.mu.Lock()
			w.wroteLocked(b, err)
		}
		w.mu.Unlock()
	}
}
