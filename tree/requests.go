package tree

import "strconv"

// request puts a request into the queue, if it may go there.
func (s *Supervisor) request(e Event) {
	switch {
	case s.ended:
		s.reply(tag(e), Answer{Err: "noproc"})
	case s.queue.requests >= maxRequests:
		s.reply(tag(e), Answer{Err: "busy"})
	default:
		if t, ok := e.(TerminateChild); ok && t.Interrupt && s.interrupt(t) {
			return
		}
		s.queue.push(entry{kind: entryRequest, request: e})
	}
}

// interrupt lets a request to stop the very child whose start is in progress
// end that start; the rest of the plan goes on.
func (s *Supervisor) interrupt(t TerminateChild) bool {
	p := &s.plan
	if p.wait != waitStart && p.wait != waitPassing {
		return false
	}
	c := p.steps[p.done].c
	if c.spec.ID != t.Ref.ID || t.Ref.Incarnation != 0 && t.Ref != c.ref {
		return false
	}
	rest := append([]step(nil), p.steps[p.done+1:]...)
	if p.op == opAdd || p.op == opByHand {
		s.dropSteps(p.done, "shutdown")
		rest = nil
	}
	if p.wait == waitStart {
		s.do(Failed{Ref: c.ref, Err: "shutdown"})
	}
	p.steps, p.wait = p.steps[:p.done], waitNothing
	p.add(stepStopHand, c)
	p.addReply(c, t.Tag)
	p.steps = append(p.steps, rest...)
	return true
}

// decideRequest answers a request or makes it the plan. The answers are
// OTP's: SEMANTICS 8 and 9.
func (s *Supervisor) decideRequest(request Event) {
	simple := s.spec.Strategy == SimpleOneForOne
	switch r := request.(type) {
	case StartChild:
		if simple {
			s.startInstance(r)
		} else {
			s.startChild(r)
		}
	case TerminateChild:
		s.terminateChild(r)
	case RestartChild:
		s.restartChild(r)
	case CycleChild:
		s.cycleChild(r)
	case DeleteChild:
		s.deleteChild(r)
	case WhichChildren:
		s.reply(r.Tag, Answer{Children: s.whichChildren()})
	case CountChildren:
		s.reply(r.Tag, Answer{Counts: s.countChildren()})
	case GetChildspec:
		s.getChildspec(r)
	case Reload:
		s.reload(r)
	case Suspend:
		s.suspended = true
		s.reply(r.Tag, Answer{})
	case Resume:
		s.suspended = false
		s.reply(r.Tag, Answer{})
	}
}

func (s *Supervisor) reply(tag uint64, a Answer) { s.do(Reply{Tag: tag, Answer: a}) }

// refuse answers with one of OTP's words.
func (s *Supervisor) refuse(tag uint64, err string) { s.reply(tag, Answer{Err: err}) }

// replyAbout ends a request that stopped or started c.
func (s *Supervisor) replyAbout(c *child, tag uint64) {
	switch {
	case c.life == lifeStuck:
		s.refuse(tag, "stuck")
	case c.alive():
		s.reply(tag, Answer{Child: c.ref})
	default:
		s.reply(tag, Answer{Child: Ref{ID: c.spec.ID}})
	}
}

// present is start_child's word for an id that is taken.
func present(c *child) string {
	if c.hasPid() {
		return "already_started"
	}
	return "already_present"
}

func (s *Supervisor) startChild(r StartChild) {
	if err := CheckChild(&r.Spec, s.spec.AutoShutdown); err != nil {
		s.refuse(r.Tag, err.Error())
		return
	}
	if c := s.children.byID[r.Spec.ID]; c != nil {
		s.refuse(r.Tag, present(c))
		return
	}
	s.addStarting(s.add(r.Spec), r.Tag)
}

// startInstance starts an instance of the template, under the name it was
// given or under the next number.
func (s *Supervisor) startInstance(r StartChild) {
	spec := s.spec.Children[0]
	spec.ID = r.Spec.ID
	if r.Spec.Program != 0 {
		spec.Program = r.Spec.Program
	}
	numbered := spec.ID == ""
	if numbered {
		spec.ID = strconv.FormatUint(s.nextNumber, 10)
		s.nextNumber++
	} else if n, err := strconv.ParseUint(spec.ID, 10, 64); err == nil && n < s.nextNumber {
		s.refuse(r.Tag, "already_present") // a number is not used again
		return
	}
	if c := s.children.byID[spec.ID]; c != nil {
		s.refuse(r.Tag, present(c))
		return
	}
	c := s.add(spec)
	c.numbered = numbered
	s.addStarting(c, r.Tag)
}

func (s *Supervisor) addStarting(c *child, tag uint64) {
	s.plan.op = opAdd
	s.plan.add(stepStart, c)
	s.plan.addReply(c, tag)
}

// named finds the child that a request names; nil has been answered. In a
// simple_one_for_one supervisor a life that is gone is as good as stopped
// (API-1: a dead pid is ok), and a name is none.
func (s *Supervisor) named(ref Ref, tag uint64) *child {
	if c := s.children.byID[ref.ID]; c != nil {
		return c
	}
	s.refuse(tag, "not_found")
	return nil
}

func (s *Supervisor) terminateChild(r TerminateChild) {
	var c *child
	if s.spec.Strategy == SimpleOneForOne {
		if r.Ref.Incarnation == 0 {
			s.refuse(r.Tag, "simple_one_for_one")
			return
		}
		if c = s.find(r.Ref); c == nil {
			s.reply(r.Tag, Answer{Child: Ref{ID: r.Ref.ID}})
			return
		}
	} else if c = s.named(r.Ref, r.Tag); c == nil {
		return
	}
	p := &s.plan
	p.op = opStop
	group := s.heldUp(c)
	p.add(stepStopHand, c)
	p.addReply(c, r.Tag)
	if group {
		p.op = opRestart
		s.planGrouped(c, false)
	}
}

func (s *Supervisor) restartChild(r RestartChild) {
	if s.spec.Strategy == SimpleOneForOne {
		s.refuse(r.Tag, "simple_one_for_one")
		return
	}
	c := s.named(r.Ref, r.Tag)
	if c == nil {
		return
	}
	if word := busy(c); word != "" {
		s.refuse(r.Tag, word)
		return
	}
	s.startByHand(c, r.Tag)
}

// busy is the word for a child that is not undefined.
func busy(c *child) string {
	switch {
	case c.restarting():
		return "restarting"
	case c.hasPid():
		return "running"
	case c.life == lifeStuck:
		return "stuck"
	default:
		return ""
	}
}

func (s *Supervisor) startByHand(c *child, tag uint64) {
	c.failures = 0
	s.plan.op = opByHand
	s.plan.add(stepStart, c)
	s.plan.addReply(c, tag)
}

// cycleChild stops a child and starts it again, as one entry. Where its group
// waits for it, the whole group is started.
func (s *Supervisor) cycleChild(r CycleChild) {
	if s.spec.Strategy == SimpleOneForOne {
		s.refuse(r.Tag, "simple_one_for_one")
		return
	}
	c := s.named(r.Ref, r.Tag)
	if c == nil {
		return
	}
	if c.spec.Restart == Temporary {
		s.refuse(r.Tag, "not_found")
		return
	}
	group := s.heldUp(c)
	s.plan.add(stepStopHand, c)
	if !group {
		s.startByHand(c, r.Tag)
		return
	}
	c.failures = 0
	s.plan.op = opRestart
	s.planGrouped(c, true)
	s.plan.addReply(c, r.Tag)
}

func (s *Supervisor) deleteChild(r DeleteChild) {
	if s.spec.Strategy == SimpleOneForOne {
		s.refuse(r.Tag, "simple_one_for_one")
		return
	}
	c := s.named(r.Ref, r.Tag)
	if c == nil {
		return
	}
	if word := busy(c); word != "" {
		s.refuse(r.Tag, word)
		return
	}
	s.forget(c)
	s.reply(r.Tag, Answer{Child: Ref{ID: c.spec.ID}})
}

// whichChildren lists in reverse start order: API-5.
func (s *Supervisor) whichChildren() []ChildInfo {
	infos := make([]ChildInfo, 0, len(s.children.byID))
	for c := s.children.tail; c != nil; c = c.prev {
		state := "undefined"
		switch {
		case c.hasPid():
			state = "running"
		case c.restarting():
			state = "restarting"
		}
		infos = append(infos, ChildInfo{Ref: c.ref, State: state, Kind: c.spec.Kind})
	}
	return infos
}

// countChildren counts as OTP 25 does: an ordinary supervisor looks whether
// its processes live, a simple_one_for_one subtracts a counter of restarting
// instances, which terminate_child of such an instance leaves as it is.
func (s *Supervisor) countChildren() *Counts {
	n := Counts{Specs: len(s.children.byID)}
	kinds := [...]*int{KindWorker: &n.Workers, KindSupervisor: &n.Supervisors}
	if s.spec.Strategy == SimpleOneForOne {
		*kinds[s.spec.Children[0].Kind] = n.Specs
		n.Active = n.Specs - s.dynRestarts
		n.Specs = 1
		return &n
	}
	for c := s.children.head; c != nil; c = c.next {
		*kinds[c.spec.Kind]++
		if c.alive() {
			n.Active++
		}
	}
	return &n
}

// getChildspec gives a spec; in a simple_one_for_one supervisor the template,
// for any life (API-6) and under the template's own name.
func (s *Supervisor) getChildspec(r GetChildspec) {
	if s.spec.Strategy == SimpleOneForOne {
		template := s.spec.Children[0]
		if r.Ref.Incarnation == 0 && r.Ref.ID != template.ID {
			s.refuse(r.Tag, "not_found")
			return
		}
		s.reply(r.Tag, Answer{Spec: &template})
		return
	}
	if c := s.named(r.Ref, r.Tag); c != nil {
		spec := c.spec
		s.reply(r.Tag, Answer{Spec: &spec})
	}
}
