package tree

import (
	"time"

	"github.com/supertrees/supervise/backoff"
)

// leastPassingDelay paces the tries of a start that meets the machine's
// passing fault at boot, where the child's own policy has no delay.
const leastPassingDelay = 50 * time.Millisecond

// start begins a start step.
func (s *Supervisor) start(c *child) {
	s.plan.wait = waitStart
	if c.life == lifeStuck {
		s.startFailed(c, "stuck", false)
		return
	}
	s.spawn(c)
}

// spawn orders the process of a new life.
func (s *Supervisor) spawn(c *child) {
	if c.restarting() {
		s.dynRestarts--
	}
	if c.ref.Incarnation == 0 {
		c.ref.Incarnation = s.last[c.spec.ID]
	}
	c.ref.Incarnation++
	c.err, c.group = "", false
	s.set(c, lifeSpawning)
	s.do(Spawn{Ref: c.ref, Program: c.spec.Program})
}

// started: the process of a start exists. Its time begins now: what it took to
// make the process, on a busy machine, is not the process's.
func (s *Supervisor) started(ref Ref) {
	c := s.find(ref)
	if c == nil || c.life != lifeSpawning {
		return
	}
	if c.spec.Start == AtExec {
		s.up(c)
		return
	}
	c.life = lifeStarting
	if c.spec.StartTimeout > 0 {
		s.timers.set(c, s.now+c.spec.StartTimeout)
	}
	if s.plan.on(waitStart, c) && s.plan.steps[s.plan.done].kind == stepSpawn && c.spec.Start == Probed {
		s.plan.next()
	}
}

// ready: a child acknowledged its start.
func (s *Supervisor) ready(ref Ref) {
	c := s.find(ref)
	if c != nil && (c.life == lifeSpawning || c.life == lifeStarting) {
		s.up(c)
	}
}

func (s *Supervisor) up(c *child) {
	s.set(c, lifeRunning)
	c.upSince = s.now
	s.do(Up{Ref: c.ref})
	if s.plan.on(waitStart, c) {
		s.plan.next()
	}
}

// ignored: a start answered ignore (ST-3). A temporary child's spec is
// forgotten, but by restart_child and by an automatic restart of it alone; an
// instance is always dropped.
func (s *Supervisor) ignored(ref Ref) {
	c := s.find(ref)
	if c == nil {
		return
	}
	if c.life == lifeStopping || c.life == lifeKilled {
		s.endedByOrder(c, Exited{Ref: ref, Reason: ReasonShutdown, Err: ""})
	}
	if c.life != lifeSpawning && c.life != lifeStarting {
		return
	}
	awaited := s.plan.on(waitStart, c)
	forget := s.spec.Strategy == SimpleOneForOne || c.spec.Restart == Temporary && awaited &&
		s.plan.op != opByHand && s.plan.steps[s.plan.done].kind == stepStart
	if forget {
		s.forget(c)
	} else {
		s.down(c)
	}
	if awaited {
		s.plan.next()
	}
}

// spawnFailed: no process could be made.
func (s *Supervisor) spawnFailed(e SpawnFailed) {
	c := s.find(e.Ref)
	if c == nil {
		return
	}
	switch c.life {
	case lifeSpawning, lifeStarting:
		if s.plan.on(waitStart, c) {
			s.startFailed(c, e.Err, e.Passing)
			return
		}
		s.failedAlone(c, e.Err)
	case lifeStopping, lifeKilled:
		s.exited(Exited{Ref: e.Ref, Reason: ReasonShutdown, Err: e.Err})
	}
}

// failedAlone records the failure of a start that nobody waits for; what to do
// about it takes its turn.
func (s *Supervisor) failedAlone(c *child, err string) {
	s.set(c, lifeFailed)
	c.err = err
	s.do(Failed{Ref: c.ref, Err: err})
	s.queue.push(entry{kind: entryDeath, ref: c.ref})
}

// startFailed ends the start that the plan waits for, without success. What
// the rest of the plan was is replaced.
func (s *Supervisor) startFailed(c *child, err string, passing bool) {
	p := &s.plan
	s.do(Failed{Ref: c.ref, Err: err})
	if c.life != lifeStuck {
		s.set(c, lifeNone)
	}
	if p.op == opBoot && passing {
		s.tryAgainLater(c)
		return
	}
	p.wait = waitNothing
	if p.op == opBoot || p.op == opRestart {
		s.dropSteps(p.done, err)
	}
	switch p.op {
	case opBoot:
		s.do(Report{Context: StartError, ID: c.spec.ID, Reason: err})
		s.planEnd(Quit{
			Reason: ReasonAbnormal, Cause: CauseStartFailed, Child: c.ref,
			Err: "failed_to_start_child:" + c.spec.ID + ":" + err,
		}, nil)
	case opRestart:
		s.retry(c, err)
	default:
		s.notStarted(c)
		s.dropSteps(p.done, err)
	}
}

// notStarted: a start by hand failed, and is not tried again. Of start_child
// nothing is kept.
func (s *Supervisor) notStarted(c *child) {
	add := s.plan.op == opAdd
	switch {
	case c.life == lifeStuck && add:
		s.setStuck(c, afterForget)
	case c.life == lifeStuck:
	case add:
		s.forget(c)
	default:
		s.down(c)
	}
}

// retry reports the failed start of an automatic restart and puts the next
// try at the end of the queue: RTY-1. A stuck child's waits for its end.
func (s *Supervisor) retry(c *child, err string) {
	s.do(Report{Context: StartError, ID: c.spec.ID, Reason: err})
	c.failures++
	s.dynRestarts++
	if c.life == lifeStuck {
		s.setStuck(c, afterRetry)
		return
	}
	s.set(c, lifeRetry)
	s.queue.push(entry{kind: entryRetry, ref: c.ref})
}

// tryAgainLater keeps a boot waiting for the machine to recover.
func (s *Supervisor) tryAgainLater(c *child) {
	c.failures++
	delay := s.delay(c)
	if c.spec.Backoff.Kind == backoff.None {
		delay = leastPassingDelay
	}
	s.set(c, lifeWaiting)
	s.timers.set(c, s.now+delay)
	s.plan.wait = waitPassing
	s.do(Waiting{Ref: c.ref, Delay: delay})
}

// delay is the wait before the restart that follows c's latest failure.
func (s *Supervisor) delay(c *child) time.Duration {
	if c.spec.Backoff.Kind == backoff.None {
		return 0
	}
	return c.spec.Backoff.Delay(c.failures, s.chance())
}

// waited: the timer of a waiting child is over.
func (s *Supervisor) waited(c *child) {
	if s.plan.on(waitPassing, c) {
		s.plan.wait = waitStart
		s.spawn(c)
		return
	}
	c.life = lifeRetry
	s.queue.push(entry{kind: entryRetry, counted: true, ref: c.ref})
}
