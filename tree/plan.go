package tree

import "time"

// plan is the entry that is being worked on, as data: the steps still to do,
// and the one fact that the first of them waits for.
type plan struct {
	op    op
	steps []step
	done  int // steps before it are done
	wait  wait
	left  int // waitAll: children still to end
}

// op is what a plan is for; it says what a failed start means.
type op uint8

const (
	opNone op = iota
	opBoot
	opRestart // an automatic one, the first or a retry
	opAdd     // start_child
	opByHand  // restart_child, cycle
	opStop    // terminate_child
	opEnd
)

type step struct {
	kind stepKind
	c    *child
	tag  uint64        // stepReply
	due  time.Duration // stepPark
}

type stepKind uint8

const (
	stepStart     stepKind = iota // start c and wait until it is up
	stepSpawn                     // start c, and do not wait for a probe (SEMANTICS 19.3)
	stepStopGroup                 // stop c for a group restart
	stepStopHand                  // stop c by order of a request
	stepStopEnd                   // stop c, the supervisor ends
	stepStopAll                   // stop all instances at once (SP-5)
	stepPark                      // leave c and its group to a timer
	stepReply                     // answer about c
	stepBooted
	stepQuit
)

// wait is the fact that the first step waits for.
type wait uint8

const (
	waitNothing wait = iota
	waitStart
	waitPassing // a timer, then another try of the same start, at boot
	waitStop
	waitAll
)

func (p *plan) head() (step, bool) {
	if p.done == len(p.steps) {
		return step{}, false
	}
	return p.steps[p.done], true
}

func (p *plan) clear() {
	if p.op == opNone {
		return
	}
	clear(p.steps)
	p.op, p.steps, p.done, p.wait = opNone, p.steps[:0], 0, waitNothing
}

func (p *plan) add(kind stepKind, c *child) { p.steps = append(p.steps, step{kind: kind, c: c}) }

func (p *plan) addReply(c *child, tag uint64) {
	p.steps = append(p.steps, step{kind: stepReply, c: c, tag: tag})
}

// next says that the first step is done with.
func (p *plan) next() {
	p.wait = waitNothing
	p.done++
}

// on says whether the first step waits in this way for this child.
func (p *plan) on(w wait, c *child) bool {
	return p.wait == w && p.steps[p.done].c == c
}

// begin does a step, or does its beginning and leaves the plan waiting.
func (s *Supervisor) begin(st step) {
	switch st.kind {
	case stepStart, stepSpawn:
		s.start(st.c)
	case stepStopGroup, stepStopHand, stepStopEnd:
		s.stop(st.c)
	case stepStopAll:
		s.stopAll()
	case stepPark:
		s.plan.next()
		s.park(st.c, st.due)
	case stepReply:
		s.plan.next()
		s.replyAbout(st.c, st.tag)
	case stepBooted:
		s.plan.next()
		s.do(Booted{})
	case stepQuit:
		s.plan.next()
		s.quitNow()
	}
}

// dropSteps gives up the steps from the given one on. Whoever waits for one
// of them hears why.
func (s *Supervisor) dropSteps(from int, why string) {
	p := &s.plan
	for _, st := range p.steps[from:] {
		if st.kind == stepReply {
			s.reply(st.tag, Answer{Err: why})
		}
	}
	clear(p.steps[from:])
	p.steps = p.steps[:from]
}

// boot starts the children in order.
func (s *Supervisor) boot() {
	if s.booted || s.ended || s.ending {
		return
	}
	s.booted = true
	s.plan.steps = make([]step, 0, len(s.children.byID)+2)
	s.plan.op = opBoot
	for c := s.children.head; c != nil; c = c.next {
		if c.life == lifeNone {
			s.plan.add(stepStart, c)
		}
	}
	s.plan.add(stepBooted, nil)
}

// order is the order to stop, from the parent or because there is none: it
// goes past the queue, and ends a start that is in progress. A stop that is in
// progress, and the answer about it, come first.
func (s *Supervisor) order(cause Cause) {
	if s.ending || s.ended {
		return
	}
	s.refuseQueue()
	p := &s.plan
	var starting *child
	switch p.wait {
	case waitStart:
		starting = p.steps[p.done].c
		s.do(Failed{Ref: starting.ref, Err: "shutdown"})
		s.dropSteps(p.done, "shutdown")
		p.wait = waitNothing
	case waitPassing, waitNothing:
		s.dropSteps(p.done, "shutdown")
		p.wait = waitNothing
	case waitStop, waitAll:
		if p.steps[p.done].kind == stepStopGroup {
			p.steps[p.done].kind = stepStopEnd
		}
		keep := p.done + 1
		if keep < len(p.steps) && p.steps[keep].kind == stepReply {
			keep++
		}
		s.dropSteps(keep, "shutdown")
	}
	s.planEnd(Quit{Reason: ReasonShutdown, Cause: cause}, starting)
}

// planEnd adds the end to the plan: stop the child that is starting, if there
// is one, stop all in reverse order, and quit.
func (s *Supervisor) planEnd(quit Quit, starting *child) {
	s.ending, s.suspended, s.quit = true, false, quit
	p := &s.plan
	p.op = opEnd
	if s.spec.Strategy == SimpleOneForOne {
		p.add(stepStopAll, nil)
	} else {
		if starting != nil {
			p.add(stepStopEnd, starting)
		}
		for c := s.children.tail; c != nil; c = c.prev {
			if c.life != lifeNone && c.life != lifeGrouped && c != starting && !p.on(waitStop, c) {
				p.add(stepStopEnd, c)
			}
		}
	}
	p.add(stepQuit, nil)
}

// quitNow ends the machine. What is left of the children is named.
func (s *Supervisor) quitNow() {
	s.refuseQueue()
	s.ended = true
	quit := s.quit
	for c := s.children.head; c != nil && s.stuck > 0; c = c.next {
		if c.life == lifeStuck {
			quit.Stuck = append(quit.Stuck, c.ref)
		}
	}
	s.do(quit)
}

// refuseQueue drops what waits; nobody waits on in vain.
func (s *Supervisor) refuseQueue() {
	for _, e := range s.queue.entries[s.queue.first:] {
		if e.kind == entryRequest {
			s.reply(tag(e.request), Answer{Err: "shutdown"})
		}
	}
	s.queue = queue{}
}

// hurryAt sets the time from which on every order to stop is a Kill.
func (s *Supervisor) hurryAt(at time.Duration) {
	if s.ended || s.hurry >= 0 && s.hurry <= at {
		return
	}
	s.hurry = at
	if s.hurried() {
		s.hurryUp()
	}
}

func (s *Supervisor) hurried() bool { return s.hurry >= 0 && s.hurry <= s.now }

// hurryUp kills what has been asked to stop and has not ended yet.
func (s *Supervisor) hurryUp() {
	for c := s.children.head; c != nil; c = c.next {
		if c.life == lifeStopping {
			s.kill(c)
		}
	}
}
