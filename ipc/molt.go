package ipc

// A worker may molt: replace its program in place and go on with the same
// life. From the answer to its $molt until the new image's $hello, or until
// $molted says that there is none, what is for it is kept here; it counts as
// queued, so that the bounds hold.

// put sends a frame on, or keeps it for one that is molting.
func (s *Switch) put(l *Link, f *Frame) {
	if l.molting {
		l.kept = f.Append(l.kept)
		return
	}
	s.host.Send(l, f)
}

func (s *Switch) molt(l *Link, m *Message) {
	if m.Type == Call {
		s.sendReply(l, m.ID, NewAddr(s.node, 0), nil)
		l.molting = true
	}
}

func (s *Switch) molted(l *Link) {
	l.molting = false
	kept := l.kept
	l.kept = nil
	for len(kept) > 0 {
		f, n, err := Next(kept)
		if err != nil || n == 0 { // it was written by Append
			return
		}
		s.host.Send(l, &f)
		kept = kept[n:]
	}
}
