package tree

import (
	"time"

	"github.com/supertrees/supervise/backoff"
)

// decideDeath is OTP's do_restart/3: what a death, or a start that failed
// unawaited, leads to.
func (s *Supervisor) decideDeath(ref Ref) {
	c := s.find(ref)
	if c == nil {
		return
	}
	switch c.life {
	case lifeFailed:
		s.retry(c, c.err)
	case lifeDead:
		s.decideExit(c)
	}
}

func (s *Supervisor) decideExit(c *child) {
	abnormal := c.reason == ReasonKilled || c.reason == ReasonAbnormal
	again := s.restartsAfter(c, abnormal)
	if again || abnormal {
		s.do(Report{Context: ChildTerminated, ID: c.spec.ID, Reason: c.reason.String(), Count: 0})
	}
	if again {
		c.used = true
		c.failures++
		s.restart(c, false)
		return
	}
	significant := c.spec.Significant
	if s.spec.Strategy == SimpleOneForOne || c.spec.Restart == Temporary {
		s.forget(c)
	} else {
		s.down(c)
	}
	if significant && s.autoShutdown() {
		s.planEnd(Quit{Reason: ReasonShutdown, Cause: CauseAutoShutdown, Child: c.ref}, nil)
	}
}

// restartsAfter says whether a child is restarted after its own end: RT-1 to RT-3.
func (s *Supervisor) restartsAfter(c *child, abnormal bool) bool {
	switch c.spec.Restart {
	case Permanent:
		return true
	case Transient:
		return abnormal
	case Once:
		return !c.used
	default:
		return false
	}
}

// autoShutdown says whether the end of a significant child ends the
// supervisor: AS-1, AS-5. In a simple_one_for_one supervisor every instance
// that is there counts.
func (s *Supervisor) autoShutdown() bool {
	switch s.spec.AutoShutdown {
	case AnySignificant:
		return true
	case AllSignificant:
		if s.spec.Strategy == SimpleOneForOne {
			return len(s.children.byID) == 0
		}
		return s.significant == 0
	default:
		return false
	}
}

// decideRetry is OTP's try_again_restart: nothing, if the child has been
// stopped or started in the meantime (RTY-5). An instance goes by its life,
// since its name may have been given to another.
func (s *Supervisor) decideRetry(e entry) {
	c := s.children.byID[e.ref.ID]
	if c == nil || c.life != lifeRetry || s.spec.Strategy == SimpleOneForOne && c.ref != e.ref {
		return
	}
	s.restart(c, e.counted)
}

// restart makes the plan of a restart: OTP's restart/2 and restart/3. A restart
// is counted before its delay; one that was waited for is not counted again.
func (s *Supervisor) restart(c *child, counted bool) {
	if !counted && !s.restarts.add(s.now, &s.spec) {
		s.giveUp(c)
		return
	}
	due := s.now
	if !counted {
		due += s.delay(c)
	}
	p := &s.plan
	p.op = opRestart
	switch s.spec.Strategy {
	case OneForOne, SimpleOneForOne:
		if due > s.now {
			p.steps = append(p.steps, step{kind: stepPark, c: c, due: due})
			return
		}
		p.add(stepSpawn, c)
	case OneForAll:
		s.planGroup(c, s.children.head, due)
	case RestForOne:
		s.planGroup(c, c, due)
	}
}

// planGroup plans the restart of all children from first on: stop them in
// reverse order, then start them in order, those too that had no process
// before (STR-7). Temporary ones are stopped and forgotten (STR-5). With a
// delay, the stops come at once and the group waits.
func (s *Supervisor) planGroup(c, first *child, due time.Duration) {
	p := &s.plan
	s.set(c, lifeGrouped)
	for x := s.children.tail; ; x = x.prev {
		if x.life != lifeNone && x.life != lifeGrouped || x.spec.Restart == Temporary {
			p.add(stepStopGroup, x)
		} else {
			s.set(x, lifeGrouped)
		}
		if x == first {
			break
		}
	}
	if due > s.now && c.spec.Restart != Temporary {
		p.steps = append(p.steps, step{kind: stepPark, c: c, due: due})
		return
	}
	for x := first; x != nil; x = x.next {
		if x.spec.Restart != Temporary {
			p.add(stepStart, x)
		}
	}
}

// planGrouped plans the starts of what waits with c, and of c itself if it is
// to be started too.
func (s *Supervisor) planGrouped(c *child, itself bool) {
	for x := s.groupOf(c); x != nil; x = x.next {
		if x.life == lifeGrouped || x == c && itself {
			s.plan.add(stepStart, x)
		}
	}
}

// regroup finds the children whose group nobody restarts any more: their
// plan is done, and the child that they waited for was stopped by hand.
func (s *Supervisor) regroup() {
	if s.grouped == 0 {
		return
	}
	waits := false
	for c := s.children.head; c != nil && s.spec.Strategy == OneForAll; c = c.next {
		waits = waits || c.restarting()
	}
	for c := s.children.head; c != nil && s.grouped > 0; c = c.next {
		waits = waits || c.restarting() && s.spec.Strategy == RestForOne
		if c.life == lifeGrouped && !waits {
			s.down(c)
		}
	}
}

// heldUp says whether c's group waits for it, so that it goes on at once when
// c is stopped by hand. Without a backoff it does not, as OTP's.
func (s *Supervisor) heldUp(c *child) bool {
	if s.spec.Strategy != OneForAll && s.spec.Strategy != RestForOne {
		return false
	}
	return c.life == lifeWaiting && c.group || c.life == lifeRetry && c.spec.Backoff.Kind != backoff.None
}

// park leaves a child, and the group that was stopped for it, to its timer.
func (s *Supervisor) park(c *child, due time.Duration) {
	if !c.restarting() {
		s.dynRestarts++
	}
	if due <= s.now { // the stops took as long
		s.set(c, lifeRetry)
		s.queue.push(entry{kind: entryRetry, counted: true, ref: c.ref})
		return
	}
	s.set(c, lifeWaiting)
	s.timers.set(c, due)
	s.do(Waiting{Ref: c.ref, Delay: due - s.now})
	if s.spec.Strategy == OneForOne || s.spec.Strategy == SimpleOneForOne {
		return
	}
	c.group = true
	for x := s.groupOf(c); x != nil; x = x.next {
		if x.life == lifeGrouped {
			s.do(Waiting{Ref: x.ref, Delay: due - s.now})
		}
	}
}

// groupOf gives the first child of the group that a restart of c restarts.
func (s *Supervisor) groupOf(c *child) *child {
	if s.spec.Strategy == OneForAll {
		return s.children.head
	}
	return c
}

// giveUp ends the supervisor: one restart was too many (IN-7).
func (s *Supervisor) giveUp(c *child) {
	s.do(Report{Context: ShutdownReport, ID: c.spec.ID, Reason: "reached_max_restart_intensity", Count: 0})
	s.down(c)
	s.planEnd(Quit{Reason: ReasonShutdown, Cause: CauseIntensity, Child: c.ref}, nil)
}
