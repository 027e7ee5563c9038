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
	freedMost   = 64 << 10 // handed out before the bytes of it are given back
	keepItems   = 1024     // the longest queue whose memory is used again
)

// item is one thing that waits for the server: a message, or a job.
type item struct {
	r       *request // what the message asks for; of casts that are alike one for all
	payload []byte
	job     *job // instead of a message
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
	bytes     int    // of all that waits, and of freed
	next      []item // Continue
	system    []item
	suspended bool
	asleep    bool                   // the server waits in take
	stop      atomic.Pointer[ending] // once set, nothing else is handed out
	over      bool                   // the mark was passed
	one       bool                   // see takeOne
	dropped   uint64

	// What has been taken from the queue at once is the server's goroutine's, and
	// costs no lock: it looks up only if attention says that something else waits.
	hand      []item
	at        int // the next of it
	freed     int // bytes of what was handed out
	inHand    atomic.Int32
	attention atomic.Bool

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

// putAll is put for many items at once, whose memory it takes and gives other
// memory for: empty, and all nil. refused are those that were not added.
func (b *mailbox) putAll(items []item) (other, refused []item, over bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stop.Load() != nil {
		return nil, items, false
	}
	cost := 0
	for i := range items {
		cost += items[i].cost()
	}
	defer b.rouse()
	switch {
	case b.bytes+cost > mailboxCap:
		for i := range items {
			ok, passed := b.add(&items[i])
			over = over || passed
			if !ok {
				refused = append(refused, items[i])
			}
		}
	case b.head == len(b.queue):
		other, b.queue, b.head = b.queue[:0], items, 0
		return other, nil, b.pay(cost)
	default:
		b.queue = append(b.queue, items...)
		over = b.pay(cost)
	}
	clear(items)
	return items[:0], refused, over
}

// pay counts the bytes of what is added; over: the mark has just been passed.
func (b *mailbox) pay(cost int) (over bool) {
	b.bytes += cost
	if b.bytes > mailboxMark && !b.over {
		b.over, over = true, true
		b.attention.Store(true)
	}
	return over
}

func (b *mailbox) add(it *item) (ok, over bool) {
	cost := it.cost()
	if b.bytes+cost > mailboxCap {
		b.dropped++
		return false, false
	}
	b.queue = append(b.queue, *it)
	return true, b.pay(cost)
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
	return itemCost + len(it.payload)
}

// putSystem adds an item that passes the queue and is served while suspended.
func (b *mailbox) putSystem(f func(context.Context) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.system = append(b.system, item{job: &job{"system", f}})
	b.attention.Store(true)
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
	b.attention.Store(true)
	b.come.Broadcast()
	return true
}

func (b *mailbox) ending() *ending { return b.stop.Load() }

// atHand is the next item if it has been taken from the queue with others, and
// nothing goes before it; else nil. It is valid until the next one is taken, and
// for the server's goroutine, as take is.
func (b *mailbox) atHand() *item {
	if b.at == len(b.hand) || b.attention.Load() || b.freed >= freedMost {
		return nil
	}
	return b.handOut()
}

func (b *mailbox) handOut() *item {
	if b.at > 0 {
		b.hand[b.at-1] = item{}
	}
	it := &b.hand[b.at]
	b.at++
	b.inHand.Store(int32(len(b.hand) - b.at))
	b.freed += it.cost()
	return it
}

// take waits for the next item; nil is the server's end. under says that the
// mailbox has come well below its mark again, rested that there was nothing for
// a while.
func (b *mailbox) take() (it *item, under, rested bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes, b.freed = b.bytes-b.freed, 0
	b.letGo()
	for {
		switch {
		case b.stop.Load() != nil:
			b.disarm()
			return nil, false, false
		case len(b.next) > 0 && !b.suspended:
			it, b.next = &b.next[0], b.next[1:]
			return it, false, rested
		case len(b.system) > 0:
			it, b.system = &b.system[0], b.system[1:]
			b.disarm()
			return it, false, rested
		case b.at < len(b.hand) && !b.suspended, b.refill():
			b.disarm()
			b.idle = nil
			it = b.handOut()
			if b.over && b.bytes < mailboxMark/2 {
				b.over, under = false, true
			}
			b.attention.Store(len(b.next) > 0 || len(b.system) > 0 || b.over)
			return it, under, rested
		}
		b.arm()
		b.asleep = true
		b.come.Wait()
		b.asleep, rested = false, true
	}
}

// refill takes what is in the queue to hand it out; false: nothing.
func (b *mailbox) refill() bool {
	if b.head == len(b.queue) || b.suspended {
		return false
	}
	if b.one {
		b.hand = append(b.hand, b.pop())
	} else {
		b.hand, b.queue, b.head = b.queue[b.head:], b.hand, 0
	}
	return true
}

// letGo forgets what has been handed out last.
func (b *mailbox) letGo() {
	switch {
	case b.at == 0:
	case b.at < len(b.hand):
		b.hand[b.at-1] = item{}
	case cap(b.hand) > keepItems:
		b.hand, b.at = nil, 0
	default:
		b.hand[b.at-1] = item{}
		b.hand, b.at = b.hand[:0], 0
	}
}

// pop takes one item from the queue.
func (b *mailbox) pop() item {
	it := b.queue[b.head]
	b.queue[b.head] = item{}
	b.head++
	switch {
	case b.head == len(b.queue):
		b.queue, b.head = b.queue[:0], 0
		if cap(b.queue) > keepItems {
			b.queue = nil
		}
	case b.head >= keepItems && b.head*2 >= len(b.queue):
		n := copy(b.queue, b.queue[b.head:])
		clear(b.queue[n:])
		b.queue, b.head = b.queue[:n], 0
	}
	return it
}

// takeOne has items leave the queue one by one: a server that handles many at
// once has no use for a hand of its own.
func (b *mailbox) takeOne() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.one = true
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
		b.attention.Store(true)
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
	b.attention.Store(true)
}

func (b *mailbox) then(f func(context.Context) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next = append(b.next, item{job: &job{"continue", f}})
	b.attention.Store(true)
}

// putBack puts items at the head of the queue, in order: a machine's postponed
// events.
func (b *mailbox) putBack(items []item) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range items {
		b.bytes += items[i].cost()
	}
	b.queue = append(append([]item(nil), items...), b.waitingLocked()...)
	b.head = 0
	if !b.one {
		b.hand, b.at = nil, 0
		b.inHand.Store(0)
	}
}

// waitingLocked is all messages that wait, in order. It is for the server's
// goroutine.
func (b *mailbox) waitingLocked() []item {
	if b.one {
		return b.queue[b.head:]
	}
	return append(b.hand[b.at:len(b.hand):len(b.hand)], b.queue[b.head:]...)
}

func (b *mailbox) suspend(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.suspended = on
	b.attention.Store(true)
	b.disarm()
	b.come.Broadcast()
}

// empty says whether nothing waits.
func (b *mailbox) empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.head == len(b.queue) && b.inHand.Load() == 0
}

// waiting is the number of items in the queue.
func (b *mailbox) waiting() (items, bytes int, dropped uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue) - b.head + int(b.inHand.Load()), b.bytes, b.dropped
}
