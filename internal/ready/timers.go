package ready

import (
	"container/heap"
	"time"
)

// noSlot is the place of a timer that is not set.
const noSlot = -1

// timer is the one deadline of a life.
type timer struct {
	at   time.Duration
	slot int // in the heap; noSlot: not set
}

// timers are the lives with a deadline, the first on top. The zero value is
// empty.
type timers struct{ queue queue }

// set gives a life its deadline; 0 is none.
func (t *timers) set(l *life, at time.Duration) {
	if at == 0 {
		t.drop(&l.timer)
		return
	}
	l.at = at
	if l.slot == noSlot {
		heap.Push(&t.queue, l)
		return
	}
	heap.Fix(&t.queue, l.slot)
}

func (t *timers) drop(x *timer) {
	if x.slot != noSlot {
		heap.Remove(&t.queue, x.slot)
	}
}

func (t *timers) first() (at time.Duration, ok bool) {
	if len(t.queue) == 0 {
		return 0, false
	}
	return t.queue[0].at, true
}

// due is a life whose deadline has come, or nil.
func (t *timers) due(now time.Duration) *life {
	if at, ok := t.first(); !ok || at > now {
		return nil
	}
	return t.queue[0]
}

// queue is container/heap's interface.
type queue []*life

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at < q[j].at }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].slot, q[j].slot = i, j
}

// Push appends a life.
func (q *queue) Push(x any) {
	l := x.(*life)
	l.slot = len(*q)
	*q = append(*q, l)
}

// Pop takes the last life.
func (q *queue) Pop() any {
	old := *q
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	l.slot = noSlot
	return l
}
