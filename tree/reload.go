package tree

// reload is OTP's change of spec (SEMANTICS 13): refused as a whole, or in
// force from the next event on. New children are added and not started,
// missing ones stay as they are, after the new list's order.
func (s *Supervisor) reload(r Reload) {
	spec := r.Spec
	if word := s.refuseReload(spec); word != "" {
		s.refuse(r.Tag, word)
		return
	}
	spec.Incarnations = nil
	if spec.Strategy == SimpleOneForOne {
		s.spec = spec
		for c := s.children.head; c != nil; c = c.next {
			s.respec(c, spec.Children[0])
		}
		s.reply(r.Tag, Answer{})
		return
	}
	old := s.children
	s.children = list{byID: make(map[string]*child, len(spec.Children))}
	for i := range spec.Children {
		c := old.byID[spec.Children[i].ID]
		if c == nil {
			s.add(spec.Children[i])
			continue
		}
		old.remove(c)
		s.children.append(c)
		s.respec(c, spec.Children[i])
	}
	for c := old.head; c != nil; c = old.head {
		old.remove(c)
		s.children.append(c)
	}
	s.spec = spec
	s.spec.Children = nil
	s.reply(r.Tag, Answer{})
}

// respec gives a child that is there its new spec. An instance keeps its name.
func (s *Supervisor) respec(c *child, spec ChildSpec) {
	s.count(c, -1)
	spec.ID = c.spec.ID
	if s.spec.Strategy == SimpleOneForOne {
		spec.Program = c.spec.Program
	}
	c.spec = spec
	s.count(c, 1)
}

// refuseReload gives OTP's word for a new spec that cannot be taken. A change
// to or from simple_one_for_one, which breaks OTP's supervisor, is refused.
func (s *Supervisor) refuseReload(spec Spec) string {
	if word := checkFlags(spec); word != "" {
		return word
	}
	if err := CheckChildren(spec.Children, spec.AutoShutdown); err != nil {
		return err.Error()
	}
	simple := spec.Strategy == SimpleOneForOne
	if simple && len(spec.Children) != 1 || simple != (s.spec.Strategy == SimpleOneForOne) {
		return "bad_simple_update"
	}
	return ""
}
