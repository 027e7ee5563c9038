package tree

// stop begins a stop step. A child that is dead already is met here, and its
// death is not decided a second time (SEMANTICS M-3).
func (s *Supervisor) stop(c *child) {
	if s.children.byID[c.spec.ID] != c { // it was stuck, and went while others were stopped
		s.plan.next()
		return
	}
	s.plan.wait = waitStop
	switch c.life {
	case lifeSpawning, lifeStarting, lifeRunning:
		s.orderStop(c)
	case lifeStopping, lifeKilled:
		// Its end is on the way.
	case lifeDead:
		s.reportStop(c, c.reason, c.term)
		s.stopped(c)
	default:
		s.stopped(c)
	}
}

// orderStop orders a child to stop, by SP-2.
func (s *Supervisor) orderStop(c *child) {
	stop := c.spec.Shutdown
	if stop.Mode == BrutalKill || s.hurried() {
		s.kill(c)
		return
	}
	s.set(c, lifeStopping)
	if stop.Mode == Infinity {
		s.do(Terminate{Ref: c.ref, Time: 0})
		return
	}
	s.do(Terminate{Ref: c.ref, Time: stop.Time})
	if stop.Time == 0 {
		s.kill(c)
		return
	}
	s.timers.set(c, s.now+stop.Time)
}

func (s *Supervisor) kill(c *child) {
	s.set(c, lifeKilled)
	s.do(Kill{Ref: c.ref})
}

// exited: a life has ended and nothing of it is left.
func (s *Supervisor) exited(e Exited) {
	c := s.find(e.Ref)
	if c == nil || s.ended {
		return
	}
	switch c.life {
	case lifeSpawning, lifeStarting:
		s.endedStarting(c, e)
	case lifeRunning:
		s.died(c, e)
	case lifeStopping, lifeKilled:
		s.endedByOrder(c, e)
	case lifeStuck:
		s.unstuck(c, e)
	}
}

// endedStarting: a start failed, because its process ended before it was ready.
func (s *Supervisor) endedStarting(c *child, e Exited) {
	err := e.Err
	if err == "" {
		err = e.Reason.String()
	}
	if s.plan.on(waitStart, c) {
		s.startFailed(c, err, false)
		return
	}
	s.failedAlone(c, err)
}

// died records a death; what to do about it takes its turn.
func (s *Supervisor) died(c *child, e Exited) {
	s.set(c, lifeDead)
	c.reason, c.term = e.Reason, e.Term
	if c.spec.Backoff.Healthy(s.now - c.upSince) {
		c.failures = 0
	}
	s.queue.push(entry{kind: entryDeath, ref: c.ref})
}

// endedByOrder: what was ordered to stop, or killed, has ended.
func (s *Supervisor) endedByOrder(c *child, e Exited) {
	if c.err != "" && e.Err != "" {
		c.err += ": " + e.Err // what the start that took too long was waiting for
	}
	switch {
	case s.plan.on(waitStop, c):
		s.reportStop(c, e.Reason, e.Term)
		s.stopped(c)
	case s.plan.on(waitStart, c): // its start took too long
		s.startFailed(c, c.err, false)
	case s.plan.wait == waitAll:
		c.reason, c.term = e.Reason, e.Term
		s.set(c, lifeDead)
		s.oneLess()
	default:
		s.failedAlone(c, c.err)
	}
}

// stopped ends the stop step of a child that has no process any more, or is
// stuck. By the kind of the step, it goes on in another life.
func (s *Supervisor) stopped(c *child) {
	kind := s.plan.steps[s.plan.done].kind
	s.plan.next()
	forget := kind != stepStopEnd && c.spec.Restart == Temporary ||
		kind == stepStopHand && (s.spec.Strategy == SimpleOneForOne || s.plan.op == opAdd)
	c.group = false
	switch {
	case c.life == lifeStuck && forget:
		s.setStuck(c, afterForget)
	case c.life == lifeStuck:
		s.setStuck(c, afterNothing)
	case forget:
		s.forget(c)
	case kind == stepStopGroup:
		s.set(c, lifeGrouped)
	case c.life != lifeNone:
		s.down(c)
	}
}

// down says that a child has no process, and none will be tried.
func (s *Supervisor) down(c *child) {
	s.set(c, lifeNone)
	s.do(Down{Ref: c.ref, Forgotten: false})
}

// reportStop reports a child that did not end as it was told to: SP-3.
func (s *Supervisor) reportStop(c *child, reason Reason, term bool) {
	if !expected(&c.spec, reason, term) {
		s.do(Report{Context: ShutdownError, ID: c.spec.ID, Reason: reason.String(), Count: 0})
	}
}

// expected says whether a child that was told to stop ended as it should.
func expected(spec *ChildSpec, reason Reason, term bool) bool {
	switch reason {
	case ReasonKilled:
		return spec.Shutdown.Mode == BrutalKill
	case ReasonShutdown:
		return spec.Shutdown.Mode != BrutalKill && !term || spec.Restart != Permanent
	case ReasonNormal:
		return spec.Restart != Permanent
	default:
		return false
	}
}

// stopAll orders all instances to stop at the same time: SP-5.
func (s *Supervisor) stopAll() {
	p := &s.plan
	p.wait, p.left = waitAll, 1 // 1: not before the last one is ordered
	for c := s.children.head; c != nil; c = c.next {
		switch c.life {
		case lifeSpawning, lifeStarting, lifeRunning:
			p.left++
			s.orderStop(c)
		case lifeStopping, lifeKilled:
			p.left++
		case lifeStuck:
			s.setStuck(c, afterNothing)
		case lifeRetry, lifeWaiting, lifeFailed:
			s.set(c, lifeNone)
		}
	}
	s.oneLess()
}

// oneLess takes one off what a parallel stop waits for. After the last, those
// that ended badly are reported, by reason.
func (s *Supervisor) oneLess() {
	s.plan.left--
	if s.plan.left > 0 {
		return
	}
	s.plan.next()
	template := s.spec.Children[0]
	var bad [ReasonAbnormal + 1]int
	for c := s.children.head; c != nil; c = c.next {
		if c.life == lifeDead && !expected(&template, c.reason, c.term) {
			bad[c.reason]++
		}
		if c.life != lifeStuck {
			s.set(c, lifeNone)
			s.do(Down{Ref: c.ref, Forgotten: true})
		}
	}
	for reason, n := range bad {
		if n > 0 {
			s.do(Report{Context: ShutdownError, ID: template.ID, Reason: Reason(reason).String(), Count: n})
		}
	}
}

// becameStuck: a life was killed and something of it is still there.
func (s *Supervisor) becameStuck(ref Ref) {
	c := s.find(ref)
	if c == nil || s.ended || !c.alive() || c.life == lifeStuck {
		return
	}
	was := c.life
	s.setStuck(c, afterDeath)
	switch {
	case s.plan.on(waitStop, c):
		s.stopped(c)
	case s.plan.on(waitStart, c):
		if c.err == "" {
			c.err = "stuck"
		}
		s.setStuck(c, afterNothing)
		s.startFailed(c, c.err, false)
	case s.plan.wait == waitAll:
		s.setStuck(c, afterNothing)
		s.oneLess()
	case was != lifeRunning:
		c.after = afterFail
	}
}

// unstuck: a stuck child's process is gone at last.
func (s *Supervisor) unstuck(c *child, e Exited) {
	switch c.after {
	case afterForget:
		s.forget(c)
	case afterRetry:
		s.set(c, lifeRetry)
		s.queue.push(entry{kind: entryRetry, ref: c.ref})
	case afterFail:
		s.endedStarting(c, e)
	case afterDeath:
		s.died(c, e)
	case afterNothing:
		s.down(c)
	}
}
