package proc

import (
	"context"
	"fmt"
	"time"

	"github.com/supertrees/supervise/ipc"
)

// roundTrip sends a call and waits for its answer. Without limit, only ctx
// ends the waiting: for monitors.
func (c *channel) roundTrip(ctx context.Context, m *ipc.Message, limited bool) answer {
	if err := ctx.Err(); err != nil {
		return gaveUp(err)
	}
	if a, ok := c.fits(m); !ok {
		return a
	}
	left := c.limit(ctx, m, limited)
	w, done := c.calls.waiter(), ctx.Done()
	id, alone, ok := c.calls.acquire(w, limited, done, left)
	if !ok {
		c.calls.waiters.Put(w)
		return gaveUp(ctx.Err())
	}
	m.ID = id
	// A call alone is written at once; of many, those that are made in the same
	// turn go in one write.
	notSent := c.write(m, done, alone)
	if notSent == nil && w.answered(done) {
		return c.calls.outcome(w)
	}
	if c.calls.take(id) == nil { // it has its outcome all the same
		<-w.woken
		return c.calls.outcome(w)
	}
	c.calls.waiters.Put(w)
	if notSent != nil {
		return c.notSent(ctx, notSent)
	}
	c.cancel(id)
	return gaveUp(ctx.Err())
}

// limit is the time of a call without a deadline of its own, 0 for one that has
// no such limit, and writes the time left into m.
func (c *channel) limit(ctx context.Context, m *ipc.Message, limited bool) time.Duration {
	if by, ok := ctx.Deadline(); ok {
		m.Left = max(time.Until(by), time.Microsecond)
		return 0
	}
	if !limited || ctx.Value(keyForever{}) != nil {
		return 0
	}
	m.Left = callTimeout
	return callTimeout
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
	if !isMethod(m.Method) {
		return answer{code: ErrBadRequest, message: fmt.Sprintf("a method has 1 to %d bytes, not %d", ipc.MaxMethod, len(m.Method))}, false
	}
	return answer{}, true
}

func isMethod(name string) bool { return len(name) > 0 && len(name) <= ipc.MaxMethod }

// write sends a message, in pieces if it needs them. If the sender gives up in
// the middle, the receiver forgets what it has. now flushes.
func (c *channel) write(m *ipc.Message, done <-chan struct{}, now bool) error {
	pieces := len(m.Payload) > ipc.MaxPayload
	if pieces || c.ordered.n.Load() > 0 {
		return c.writeInOrder(m, pieces, done, now)
	}
	if now {
		return c.w.SendMessage(m, done)
	}
	return c.w.QueueMessage(m, done)
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
		c.cancel(m.ID)
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
	w := &waiter{then: then}
	id, _, ok := c.calls.acquire(w, true, ctx.Done(), c.limit(ctx, m, true))
	if !ok {
		return &CallError{To: targetKey(m), Method: m.Method, Code: gaveUp(ctx.Err()).code}
	}
	m.ID = id
	c.calls.stopWith(id, context.AfterFunc(ctx, func() {
		if c.calls.take(id) != nil {
			c.cancel(id)
			then(gaveUp(ctx.Err()))
		}
	}))
	if err := c.write(m, ctx.Done(), true); err != nil {
		if c.calls.take(id) == nil {
			return nil // it has been given up, and then has been told
		}
		a := c.notSent(ctx, err)
		return &CallError{To: targetKey(m), Method: m.Method, Code: a.code, Message: a.message}
	}
	return nil
}

// cast sends a cast, or keeps it back for a target that is behind.
func (c *channel) cast(ctx context.Context, to *ipc.CastTo, payload []byte) error {
	done := ctx.Done()
	if done != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if err := c.down(); err != nil {
		return fmt.Errorf("%w: %w", ErrDown, err)
	}
	if len(payload) <= ipc.MaxPayload && c.flow.n.Load() == 0 && c.ordered.n.Load() == 0 && isMethod(to.Method) {
		return c.w.QueueCast(to, payload, done)
	}
	m := to.Message(payload)
	if a, ok := c.fits(&m); !ok {
		return a.code
	}
	if len(m.Payload) > ipc.MaxPayload {
		m.ID = 1<<63 | c.castID.Add(1)
	}
	if c.flow.n.Load() > 0 {
		kept, full := c.flow.hold(targetKey(&m), &m)
		if full {
			return ErrBusy
		}
		if kept {
			return nil
		}
	}
	return c.write(&m, done, false)
}
