package ipc

import "encoding/json"

// word is one that goes through this node: whom it asked to hold back, and what.
type word struct {
	addr Addr
	to   string
}

// overhear keeps in mind what a node below has asked others to hold back, until
// it says that they may go on: if it ends before, this node says so for it. It
// returns false for a word that is one too many to keep in mind. That one goes no
// further: who does not hear it goes on, and at worst something of his is dropped.
func (s *Switch) overhear(l *Link, f *Frame) bool {
	var flow Flow
	if json.Unmarshal(f.Payload, &flow) != nil {
		return false
	}
	w := word{f.Dst, flow.To}
	switch {
	case !flow.Busy:
		delete(l.words, w)
	case len(l.words) >= maxTold:
		return false
	case l.words == nil:
		l.words = map[word]struct{}{w: {}}
	default:
		l.words[w] = struct{}{}
	}
	return true
}

// recall lets those go on who hold back because of one behind l, which has ended.
func (s *Switch) recall(l *Link) {
	words := l.words
	l.words = nil
	for w := range words {
		s.flow(w.addr, w.to, false)
	}
}
