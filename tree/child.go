package tree

import "time"

// life is where a child stands. Each life has at most one timeout.
type life uint8

// The lives, and OTP's word for each: undefined, restarting, or a pid.
const (
	lifeNone     life = iota // undefined: no process, and none is due
	lifeGrouped              // undefined: stopped by a group restart that will start it again
	lifeRetry                // restarting: its next try is in the queue
	lifeWaiting              // restarting: a timer stands before its next try
	lifeSpawning             // pid: Spawn is out
	lifeStarting             // pid: the process exists and is not ready
	lifeRunning              // pid
	lifeFailed               // pid: a start that nobody waited for failed, what to do is in the queue
	lifeDead                 // pid: it ended, what to do is in the queue
	lifeStopping             // pid: ordered to stop
	lifeKilled               // pid: killed, its end is awaited
	lifeStuck                // killed, and still there; OTP's word is in child.after
)

// after is what becomes of a stuck child when its process is gone at last.
type after uint8

const (
	afterNothing after = iota // undefined
	afterForget               // undefined, and its spec goes too
	afterRetry                // restarting
	afterFail                 // pid: a failed start
	afterDeath                // pid: a death like any other
)

// child is one child of a supervisor, a link in the list of start order.
type child struct {
	spec  ChildSpec
	ref   Ref // the present life, or the last one; Incarnation 0 before the first
	life  life
	after after

	reason Reason // how a dead life ended
	term   bool   // and whether its shutdown had a term
	err    string // why a failed one did

	failures int           // consecutive failed lives, for the backoff
	upSince  time.Duration // when the running life came up
	used     bool          // Once: its one restart is gone
	group    bool          // waiting: a whole group waits with it
	numbered bool          // its ID was given by this supervisor and is not used again

	at    time.Duration // when the timeout of this life is due
	timer int           // its place in the heap, from 1; 0: no timeout
	armed uint64        // the heap's tie-breaker: first armed, first due

	prev, next *child
}

func (c *child) init(spec ChildSpec) { c.spec, c.ref.ID = spec, spec.ID }

// hasPid says what OTP sees: a process that is, as far as it has looked.
func (c *child) hasPid() bool {
	switch c.life {
	case lifeNone, lifeGrouped, lifeRetry, lifeWaiting:
		return false
	case lifeStuck:
		return c.after == afterFail || c.after == afterDeath
	default:
		return true
	}
}

// restarting is OTP's word for a child whose next try is due.
func (c *child) restarting() bool {
	return c.life == lifeRetry || c.life == lifeWaiting || c.life == lifeStuck && c.after == afterRetry
}

// alive says whether a process of this child is there and not known to be dead.
func (c *child) alive() bool {
	return c.hasPid() && c.life != lifeDead && c.life != lifeFailed
}

func (c *child) state() State {
	switch c.life {
	case lifeGrouped, lifeRetry, lifeWaiting:
		return StateWaiting
	case lifeSpawning, lifeStarting:
		return StateStarting
	case lifeRunning:
		return StateRunning
	case lifeStopping, lifeKilled:
		return StateStopping
	case lifeStuck:
		return StateStuck
	default:
		return StateDown
	}
}

// list is the children in start order, with their ids as an index.
type list struct {
	head, tail *child
	byID       map[string]*child
}

func (l *list) append(c *child) {
	c.prev, c.next = l.tail, nil
	if l.tail == nil {
		l.head = c
	} else {
		l.tail.next = c
	}
	l.tail = c
	l.byID[c.spec.ID] = c
}

func (l *list) remove(c *child) {
	if c.prev == nil {
		l.head = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next == nil {
		l.tail = c.prev
	} else {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
	delete(l.byID, c.spec.ID)
}
