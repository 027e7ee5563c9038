package tree

import "time"

// timers is a heap of the children that have a timeout, the earliest first;
// among equals the one armed first. A child stands in it at most once.
type timers struct {
	heap  []*child
	armed uint64
}

func (t *timers) set(c *child, at time.Duration) {
	t.clear(c)
	t.armed++
	c.at, c.armed = at, t.armed
	t.heap = append(t.heap, c)
	c.timer = len(t.heap)
	t.up(c.timer - 1)
}

func (t *timers) clear(c *child) {
	if c.timer == 0 {
		return
	}
	i, last := c.timer-1, len(t.heap)-1
	t.swap(i, last)
	t.heap[last] = nil
	t.heap = t.heap[:last]
	c.timer = 0
	if i < last {
		t.up(i)
		t.down(i)
	}
}

func (t *timers) next() (time.Duration, bool) {
	if len(t.heap) == 0 {
		return 0, false
	}
	return t.heap[0].at, true
}

// due takes the first child out whose timeout has come.
func (t *timers) due(now time.Duration) *child {
	if len(t.heap) == 0 || t.heap[0].at > now {
		return nil
	}
	c := t.heap[0]
	t.clear(c)
	return c
}

func (t *timers) less(i, j int) bool {
	a, b := t.heap[i], t.heap[j]
	return a.at < b.at || a.at == b.at && a.armed < b.armed
}

func (t *timers) swap(i, j int) {
	t.heap[i], t.heap[j] = t.heap[j], t.heap[i]
	t.heap[i].timer, t.heap[j].timer = i+1, j+1
}

func (t *timers) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !t.less(i, parent) {
			return
		}
		t.swap(i, parent)
		i = parent
	}
}

func (t *timers) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(t.heap); child++ {
			if t.less(child, least) {
				least = child
			}
		}
		if least == i {
			return
		}
		t.swap(i, least)
		i = least
	}
}
