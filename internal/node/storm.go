package node

import "time"

// One death seldom comes alone: a supervisor with a thousand children stops them
// one after another, and what crashes crashes again. So after a death, and after
// an order to stop, the node's own thread waits for the next one, for a moment:
// to be woken by a death costs it a third of what it costs to be told by the
// thread that waits for everything.
//
// Meanwhile the thread waits and forks in system calls that keep its processor, one
// after the other, and the runtime would take it away after 20 ms only. So whatever
// else a process has to do in time needs a second one: see child.Spawn's Speaks.

// stormTime is how long the node's thread waits for the next death, and for
// nothing else.
const stormTime = time.Millisecond

// stormBound is after how many deaths of a storm the strangers get their turn,
// of whose end nothing tells before it is over.
const stormBound = 64

// awaitDeaths tells the node of a death when there is no storm.
func (n *Node) awaitDeaths() {
	for n.engine.AwaitDeath() == nil {
		select {
		case n.died <- struct{}{}:
			<-n.calm
		case <-n.ended:
			return
		}
	}
}

// expect begins a storm: awaitDeaths and SIGCHLD tell of nothing until it is over.
func (n *Node) expect() {
	if !n.storm {
		n.storm = true
		n.engine.Deafen()
	}
}

// linger waits for the next death of a storm, or for what is due, and says whether
// either came. If not, the storm is over; what ended meanwhile and is no child's main
// process, SIGCHLD would have told of.
func (n *Node) linger() bool {
	if !n.storm {
		return false
	}
	wait := stormTime
	if due, ok := n.nextDue(); ok {
		if due <= now() { // it does not wait for a storm that does not end
			n.timeIsUp()
			return true
		}
		wait = min(wait, due-now())
	}
	if n.engine.AwaitDeathFor(wait) {
		if n.deaths++; n.deaths%stormBound == 0 {
			n.reap()
		} else {
			n.take(n.engine.ReapDead(now()))
		}
		return true
	}
	n.storm = false
	n.engine.Hark()
	n.reap()
	if n.told {
		n.told = false
		n.calm <- struct{}{}
	}
	return len(n.events) > 0
}

// reapDead reaps the main processes that have ended, of which awaitDeaths told.
func (n *Node) reapDead() {
	n.told = true
	n.expect()
	n.take(n.engine.ReapDead(now()))
}
