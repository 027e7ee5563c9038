package proc

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/supertrees/supervise/ipc"
)

// scratch is for the fields of frames: they are copied before a write returns.
var scratch = sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }}

// roundTrip sends a call and waits for its answer. Without limit, only ctx
// ends the waiting: for monitors.
func (c *channel) roundTrip(ctx context.Context, m *ipc.Message, limited bool) answer {
	if err := ctx.Err(); err != nil {
		return gaveUp(err)
	}
	if a, ok := c.fits(m); !ok {
		return a
	}
	late, stop := c.limit(ctx, m, limited)
	defer stop()
	p, ok := c.acquire(limited, ctx.Done(), late)
	if !ok {
		return gaveUp(ctx.Err())
	}
	m.ID = p.id()
	// A call alone is written at once; of many, those that are made in the same
	// turn go in one write.
	if err := c.write(m, ctx.Done(), p.alone); err != nil {
		c.release(p)
		return c.notSent(ctx, err)
	}
	select {
	case a := <-p.ch:
		c.release(p)
		return a
	case <-ctx.Done():
		c.abandon(p, m.ID)
		return gaveUp(ctx.Err())
	case <-late:
		c.abandon(p, m.ID)
		return gaveUp(context.DeadlineExceeded)
	}
}

// limit is when a call without a deadline of its own is late, and writes the
// time left into m.
func (c *channel) limit(ctx context.Context, m *ipc.Message, limited bool) (late <-chan time.Time, stop func()) {
	if by, ok := ctx.Deadline(); ok {
		m.Left = max(time.Until(by), time.Microsecond)
		return nil, func() {}
	}
	if !limited || ctx.Value(keyForever{}) != nil {
		return nil, func() {}
	}
	m.Left = callTimeout
	t, ok := c.timers.Get().(*time.Timer)
	if ok {
		t.Reset(callTimeout)
	} else {
		t = time.NewTimer(callTimeout)
	}
	return t.C, func() { t.Stop(); c.timers.Put(t) }
}

// gaveUp is the answer of a call whose caller stopped waiting; nil is late.
func gaveUp(err error) answer {
	if err == context.Canceled {
		return answer{code: ErrCanceled}
	}
	return answer{code: ErrTimeout}
}

func (c *channel) notSent(ctx context.Context, err error) answer {
	if err == ipc.ErrAbandoned {
		return gaveUp(ctx.Err())
	}
	return answer{code: ErrDown, message: fmt.Sprintf("the channel has ended (%v)", err)}
}

// fits says whether a message may be sent at all.
func (c *channel) fits(m *ipc.Message) (answer, bool) {
	if len(m.Payload) > ipc.MaxMessage {
		return answer{code: ErrTooLarge}, false
	}
	if len(m.Method) == 0 || len(m.Method) > ipc.MaxMethod {
		return answer{code: ErrBadRequest, message: fmt.Sprintf("a method has 1 to %d bytes, not %d", ipc.MaxMethod, len(m.Method))}, false
	}
	return answer{}, true
}

// write sends a message, in pieces if it needs them. If the sender gives up in
// the middle, the receiver forgets what it has. now flushes.
func (c *channel) write(m *ipc.Message, done <-chan struct{}, now bool) error {
	pieces := len(m.Payload) > ipc.MaxPayload
	if pieces || c.ordered.n.Load() > 0 {
		return c.writeInOrder(m, pieces, done, now)
	}
	b := scratch.Get().(*[]byte)
	defer scratch.Put(b)
	f, err := m.Frame(*b)
	if err != nil {
		return err
	}
	return c.send(&f, done, now)
}

// send is not a function value: those would move every frame to the heap.
func (c *channel) send(f *ipc.Frame, done <-chan struct{}, now bool) error {
	if now {
		return c.w.Send(f, done)
	}
	return c.w.Queue(f, done)
}

func (c *channel) writeInOrder(m *ipc.Message, pieces bool, done <-chan struct{}, now bool) error {
	key := targetKey(m)
	if !c.ordered.enter(key, pieces, done) {
		return ipc.ErrAbandoned
	}
	if pieces {
		defer c.ordered.leave(key)
	}
	sent := 0
	err := m.Frames(nil, func(f *ipc.Frame) error {
		err := c.send(f, done, now)
		if err == nil {
			sent++
		}
		return err
	})
	if err != nil && sent > 0 {
		_ = c.w.Push(&ipc.Frame{Header: ipc.Header{Type: ipc.Cancel, ID: m.ID}}, false) // the same broken pipe at worst
	}
	return err
}

// targetKey is a message's target as its sender wrote it.
func targetKey(m *ipc.Message) string {
	if m.To != "" {
		return m.To
	}
	return m.Dst.String()
}

// start sends a call whose answer goes to then, on a goroutine of the channel:
// then must not wait. m.Left limits the time as in roundTrip.
func (c *channel) start(ctx context.Context, m *ipc.Message, then func(answer)) error {
	a, ok := c.fits(m)
	if err := ctx.Err(); err != nil || !ok {
		if err != nil {
			a = gaveUp(err)
		}
		return &CallError{To: targetKey(m), Method: m.Method, Code: a.code, Message: a.message}
	}
	p, ok := c.acquire(true, ctx.Done(), nil)
	if !ok {
		return &CallError{To: targetKey(m), Method: m.Method, Code: gaveUp(ctx.Err()).code}
	}
	m.ID = p.id()
	id := m.ID
	left := callTimeout
	if by, ok := ctx.Deadline(); ok {
		left = time.Until(by)
	} else if ctx.Value(keyForever{}) != nil {
		left = 0
	}
	var timer *time.Timer
	giveUp := func(err error) {
		if c.drop(p, id) {
			_ = c.w.Push(&ipc.Frame{Header: ipc.Header{Type: ipc.Cancel, ID: id}}, false) // a broken pipe ends the reader, which says so
			then(gaveUp(err))
		}
	}
	if left != 0 {
		m.Left = max(left, time.Microsecond)
		timer = time.AfterFunc(left, func() { giveUp(context.DeadlineExceeded) })
	}
	stop := context.AfterFunc(ctx, func() { giveUp(ctx.Err()) })
	c.mu.Lock()
	if c.lookup(id) == p {
		p.then = func(a answer) {
			if timer != nil {
				timer.Stop()
			}
			stop()
			then(a)
		}
	}
	c.mu.Unlock()
	if err := c.write(m, ctx.Done(), true); err != nil {
		if !c.drop(p, id) {
			return nil // it has been given up, and then has been told
		}
		a := c.notSent(ctx, err)
		return &CallError{To: targetKey(m), Method: m.Method, Code: a.code, Message: a.message}
	}
	return nil
}

// drop closes a pending call of start; false: it has its answer.
func (c *channel) drop(p *pending, id uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lookup(id) != p {
		return false
	}
	c.releaseLocked(p)
	return true
}

// cast sends a cast, or keeps it back for a target that is behind.
func (c *channel) cast(ctx context.Context, m *ipc.Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if a, ok := c.fits(m); !ok {
		return a.code
	}
	if err := c.down(); err != nil {
		return fmt.Errorf("%w: %w", ErrDown, err)
	}
	if c.flow.n.Load() > 0 {
		kept, full := c.flow.hold(targetKey(m), m)
		if full {
			return ErrBusy
		}
		if kept {
			return nil
		}
	}
	if len(m.Payload) > ipc.MaxPayload {
		c.mu.Lock()
		c.castID++
		m.ID = 1<<63 | c.castID
		c.mu.Unlock()
	}
	return c.write(m, ctx.Done(), false)
}
