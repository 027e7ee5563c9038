package proc

import (
	"sync"
	"time"
)

// openCalls is the calls of a channel that wait for their answers. Each has one
// outcome: who takes it out of its slot, under the lock, says which. Slots are
// used again and again; gen tells the uses apart, so that a late answer finds
// nothing.
type openCalls struct {
	mu     sync.Mutex
	slots  []slot
	free   uint32 // 1 + index of the first free slot; 0: none
	gen    uint32 // of the calls of an old image, which nobody waits for
	open   int    // calls, monitors left out
	window int
	turns  []chan struct{} // who waits for room in the window, in order

	waiters sync.Pool // not shared, so that a channel may live in a bubble of synctest

	// One timer for all calls without a deadline of their own: as these have the
	// same time, the first is the first to be late.
	epoch   time.Time
	alarm   *time.Timer
	ringing bool            // the alarm is set
	late    func(id uint64) // is told of each
}

// slot is the place of one open call.
type slot struct {
	gen     uint32
	next    uint32 // as free
	counted bool
	w       *waiter       // nil: free
	by      time.Duration // since epoch, when it is late; 0: never
}

// waiter is who waits in a slot.
type waiter struct {
	answer answer        // valid once woken
	woken  chan struct{} // one token
	then   func(answer)  // instead: it must not wait
	stop   func() bool   // is called first, see stopWith
}

// answered waits for the answer; false: done came first.
func (w *waiter) answered(done <-chan struct{}) bool {
	if done == nil {
		<-w.woken
		return true
	}
	select {
	case <-w.woken:
		return true
	case <-done:
		return false
	}
}

// waiter is one to wait on, for one call.
func (oc *openCalls) waiter() *waiter {
	if w, ok := oc.waiters.Get().(*waiter); ok {
		return w
	}
	return &waiter{woken: make(chan struct{}, 1)}
}

// outcome is what a waiter was woken with.
func (oc *openCalls) outcome(w *waiter) answer {
	a := w.answer
	w.answer = answer{}
	oc.waiters.Put(w)
	return a
}

// acquire opens a call, and says whether no other is open. A counted one waits
// for room in the window until done, or for left (0: without limit); ok is false
// then.
func (oc *openCalls) acquire(w *waiter, counted bool, done <-chan struct{}, left time.Duration) (id uint64, alone, ok bool) {
	var by time.Duration
	if left > 0 {
		by = time.Since(oc.epoch) + left
	}
	oc.mu.Lock()
	if counted && oc.open >= oc.window && !oc.room(done, by) {
		oc.mu.Unlock()
		return 0, false, false
	}
	i := oc.free
	if i == 0 {
		oc.slots = append(oc.slots, slot{gen: oc.gen})
		i = uint32(len(oc.slots))
	}
	s := &oc.slots[i-1]
	oc.free = s.next
	s.gen++
	s.counted, s.w, s.by = counted, w, by
	if counted {
		oc.open++
	}
	if by != 0 && !oc.ringing {
		oc.ring(left)
	}
	id, alone = uint64(s.gen)<<32|uint64(i-1), oc.open <= 1
	oc.mu.Unlock()
	return id, alone, true
}

// room waits for room in the window, with the lock, which it lets go meanwhile.
func (oc *openCalls) room(done <-chan struct{}, by time.Duration) bool {
	var late <-chan time.Time
	if by > 0 {
		t := time.NewTimer(by - time.Since(oc.epoch))
		defer t.Stop()
		late = t.C
	}
	for oc.open >= oc.window {
		turn := make(chan struct{})
		oc.turns = append(oc.turns, turn)
		oc.mu.Unlock()
		gaveUp := false
		select {
		case <-turn:
		case <-done:
			gaveUp = true
		case <-late:
			gaveUp = true
		}
		oc.mu.Lock()
		if gaveUp {
			oc.leave(turn)
			return false
		}
	}
	return true
}

// leave takes a turn out of the line, or passes it on.
func (oc *openCalls) leave(turn chan struct{}) {
	for i, w := range oc.turns {
		if w == turn {
			oc.turns = append(oc.turns[:i], oc.turns[i+1:]...)
			return
		}
	}
	oc.nextTurn()
}

func (oc *openCalls) nextTurn() {
	if len(oc.turns) > 0 && oc.open < oc.window {
		close(oc.turns[0])
		oc.turns = oc.turns[1:]
	}
}

// take ends the wait of a call; nil: it has its outcome.
func (oc *openCalls) take(id uint64) *waiter {
	oc.mu.Lock()
	defer oc.mu.Unlock()
	i := uint32(id)
	if int(i) >= len(oc.slots) || oc.slots[i].gen != uint32(id>>32) {
		return nil
	}
	w := oc.slots[i].w
	if w != nil {
		oc.releaseLocked(i)
	}
	return w
}

// stopWith has stop called at the outcome of a call, at once if that has come.
func (oc *openCalls) stopWith(id uint64, stop func() bool) {
	oc.mu.Lock()
	s := &oc.slots[uint32(id)]
	open := s.gen == uint32(id>>32) && s.w != nil
	if open {
		s.w.stop = stop
	}
	oc.mu.Unlock()
	if !open {
		stop()
	}
}

func (oc *openCalls) releaseLocked(i uint32) {
	s := &oc.slots[i]
	s.w, s.next, oc.free = nil, oc.free, i+1
	if s.counted {
		oc.open--
		oc.nextTurn()
	}
}

// complete hands an answer to the call that waits for it, if one does.
func (oc *openCalls) complete(id uint64, a answer) {
	if w := oc.take(id); w != nil {
		w.wake(a)
	}
}

func (w *waiter) wake(a answer) {
	if w.stop != nil {
		w.stop()
	}
	if w.then != nil {
		w.then(a)
		return
	}
	w.answer = a
	w.woken <- struct{}{} // has room: a call has one outcome
}

// end answers every call. A later one finds that it cannot be written.
func (oc *openCalls) end() {
	oc.mu.Lock()
	var open []*waiter
	for i := range oc.slots {
		if w := oc.slots[i].w; w != nil {
			open = append(open, w)
			oc.releaseLocked(uint32(i))
		}
	}
	oc.mu.Unlock()
	for _, w := range open {
		w.wake(answer{code: ErrDown, message: "the channel has ended"})
	}
}

// ring sets the alarm.
func (oc *openCalls) ring(in time.Duration) {
	oc.ringing = true
	if oc.alarm == nil {
		oc.alarm = time.AfterFunc(in, oc.rang)
	} else {
		oc.alarm.Reset(in)
	}
}

// rang gives up the calls that are late, and sets the alarm for the next.
func (oc *openCalls) rang() {
	oc.mu.Lock()
	oc.ringing = false
	now, next := time.Since(oc.epoch), time.Duration(0)
	late := map[uint64]*waiter{}
	for i := range oc.slots {
		s := &oc.slots[i]
		switch {
		case s.w == nil || s.by == 0:
		case s.by <= now:
			late[uint64(s.gen)<<32|uint64(i)] = s.w
			oc.releaseLocked(uint32(i))
		case next == 0 || s.by < next:
			next = s.by
		}
	}
	if next != 0 {
		oc.ring(next - now)
	}
	oc.mu.Unlock()
	for id, w := range late {
		oc.late(id)
		w.wake(answer{code: ErrTimeout})
	}
}

// newest is the highest generation that a call has had.
func (oc *openCalls) newest() (gen uint32) {
	oc.mu.Lock()
	defer oc.mu.Unlock()
	gen = oc.gen
	for i := range oc.slots {
		gen = max(gen, oc.slots[i].gen)
	}
	return gen
}
