package proc

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// The bounds of a mailbox, in bytes of payload and a flat part for each
// message.
const (
	mailboxMark = 16 << 20 // the node is asked to hold senders back
	mailboxCap  = 64 << 20 // casts are dropped, calls get busy
	itemCost    = 64
)

// item is one thing that waits for the server: a message, or a job.
type item struct {
	r   *request
	job *job
}

// job is a function that runs in the mailbox; what names it in the log.
type job struct {
	what string
	f    func(context.Context) error
}

// mailbox is the queue in front of a server. What the server asked to do next
// comes first, then system messages, then the queue in order of arrival.
type mailbox struct {
	mu        sync.Mutex
	come      *sync.Cond
	queue     []item // a ring would keep its largest size; this gives it back
	head      int
	bytes     int
	next      []item // Continue
	system    []item
	suspended bool
	asleep    bool                   // the server waits in take
	stop      atomic.Pointer[ending] // once set, nothing else is handed out
	over      bool                   // the mark was passed
	dropped   uint64

	idle      func(context.Context) error // Timeout
	idleAfter time.Duration
	idleTimer *time.Timer
	idleGen   int
}

// ending is an order to end, or a server's own wish.
type ending struct {
	reason Reason
	err    error
	by     time.Time // zero: no limit
}

func newMailbox() *mailbox {
	b := &mailbox{}
	b.come = sync.NewCond(&b.mu)
	return b
}

// put adds an item. ok is false if the mailbox is full, or its server ends;
// over says that the mark has just been passed.
func (b *mailbox) put(it item) (ok, over bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stop.Load() != nil {
		return false, false
	}
	ok, over = b.add(&it)
	b.rouse()
	return ok, over
}

// putAll is put for many items at once. Those that were not added stand at the
// beginning of items afterwards, and are returned.
func (b *mailbox) putAll(items []item) (refused []item, over bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stop.Load() != nil {
		return items, false
	}
	refused = items[:0]
	for i := range items {
		ok, passed := b.add(&items[i])
		over = over || passed
		if !ok {
			refused = append(refused, items[i])
		}
	}
	b.rouse()
	return refused, over
}

func (b *mailbox) add(it *item) (ok, over bool) {
	cost := it.cost()
	if b.bytes+cost > mailboxCap {
		b.dropped++
		return false, false
	}
	b.bytes += cost
	if b.bytes > mailboxMark && !b.over {
		b.over, over = true, true
	}
	b.queue = append(b.queue, *it)
	return true, over
}

// rouse wakes the server if it waits in take.
func (b *mailbox) rouse() {
	if b.asleep {
		b.come.Signal()
	}
}

func (it *item) cost() int {
	if it.r == nil {
		return itemCost
	}
	return itemCost + len(it.r.payload)
}

// putSystem adds an item that passes the queue and is served while suspended.
func (b *mailbox) putSystem(f func(context.Context) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.system = append(b.system, item{job: &job{"system", f}})
	b.come.Signal()
}

// end makes take return nil from now on. The first to call it gives the reason.
func (b *mailbox) end(e *ending) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stop.Load() != nil {
		return false
	}
	b.stop.Store(e)
	b.come.Broadcast()
	return true
}

func (b *mailbox) ending() *ending { return b.stop.Load() }

// take waits for the next item; ok is false when the server is to end. under
// says that the mailbox has come well below its mark again, rested that there
// was nothing for a while.
func (b *mailbox) take() (it item, under, rested, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		switch {
		case b.stop.Load() != nil:
			b.disarm()
			return item{}, false, false, false
		case len(b.next) > 0 && !b.suspended:
			it, b.next = b.next[0], b.next[1:]
			return it, false, rested, true
		case len(b.system) > 0:
			it, b.system = b.system[0], b.system[1:]
			b.disarm()
			return it, false, rested, true
		case b.head < len(b.queue) && !b.suspended:
			b.disarm()
			b.idle = nil
			it = b.pop()
			if b.over && b.bytes < mailboxMark/2 {
				b.over, under = false, true
			}
			return it, under, rested, true
		}
		b.arm()
		b.asleep = true
		b.come.Wait()
		b.asleep, rested = false, true
	}
}

func (b *mailbox) pop() item {
	it := b.queue[b.head]
	b.queue[b.head] = item{}
	b.head++
	b.bytes -= it.cost()
	switch {
	case b.head == len(b.queue):
		b.queue, b.head = b.queue[:0], 0
		if cap(b.queue) > 1024 {
			b.queue = nil
		}
	case b.head >= 1024 && b.head*2 >= len(b.queue):
		n := copy(b.queue, b.queue[b.head:])
		clear(b.queue[n:])
		b.queue, b.head = b.queue[:n], 0
	}
	return it
}

// arm starts the time after which nothing has come, if one is wanted.
func (b *mailbox) arm() {
	if b.idle == nil || b.idleTimer != nil || b.suspended {
		return
	}
	gen := b.idleGen
	b.idleTimer = time.AfterFunc(b.idleAfter, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.idleGen != gen || b.idle == nil {
			return
		}
		b.next = append(b.next, item{job: &job{"timeout", b.idle}})
		b.idle, b.idleTimer = nil, nil
		b.come.Signal()
	})
}

// disarm stops that time; it starts again when the mailbox is next idle,
// unless idle is taken away.
func (b *mailbox) disarm() {
	if b.idleTimer != nil {
		b.idleTimer.Stop()
		b.idleTimer = nil
	}
	b.idleGen++
}

func (b *mailbox) setIdle(d time.Duration, f func(context.Context) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.disarm()
	b.idle, b.idleAfter = f, d
}

func (b *mailbox) then(f func(context.Context) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next = append(b.next, item{job: &job{"continue", f}})
}

// putBack puts items at the head of the queue, in order: a machine's postponed
// events.
func (b *mailbox) putBack(items []item) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range items {
		b.bytes += items[i].cost()
	}
	b.queue = append(append([]item(nil), items...), b.queue[b.head:]...)
	b.head = 0
}

func (b *mailbox) suspend(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.suspended = on
	b.disarm()
	b.come.Broadcast()
}

// empty says whether nothing waits.
func (b *mailbox) empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.head == len(b.queue)
}

// waiting is the number of items in the queue.
func (b *mailbox) waiting() (items, bytes int, dropped uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue) - b.head, b.bytes, b.dropped
}
