package node

import (
	"container/heap"
	"time"
)

// later has f run on the node's goroutine at that time. What is due when the
// node ends is not run.
func (n *Node) later(at time.Duration, f func()) {
	heap.Push(&n.due, dueAt{at, f})
}

// runDue runs what is due.
func (n *Node) runDue(at time.Duration) {
	for len(n.due) > 0 && n.due[0].at <= at {
		heap.Pop(&n.due).(dueAt).f()
	}
}

type dueAt struct {
	at time.Duration
	f  func()
}

// dueList is a heap, the next one first.
type dueList []dueAt

func (d dueList) Len() int           { return len(d) }
func (d dueList) Less(i, j int) bool { return d[i].at < d[j].at }
func (d dueList) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *dueList) Push(x any)        { *d = append(*d, x.(dueAt)) }
func (d *dueList) Pop() any {
	last := len(*d) - 1
	x := (*d)[last]
	(*d)[last] = dueAt{}
	*d = (*d)[:last]
	return x
}
