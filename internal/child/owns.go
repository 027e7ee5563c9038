package child

import "github.com/supertrees/supervise/tree"

// ancestryBound is how many generations Owns looks back.
const ancestryBound = 64

// Owns says whether a process is of a life: its main process, a descendant, or
// one that has the life's group, session or mark. known is false where there
// is no such process (any more), so that nobody can tell.
func (e *Engine) Owns(ref tree.Ref, pid int) (owns, known bool) {
	st, err := readStat(pid)
	if err != nil || st.state == 0 {
		return false, false
	}
	l := e.lives[ref]
	if l == nil {
		return false, true
	}
	at, of := pid, st
	for range ancestryBound {
		if at == l.pid || of.group == l.pid || of.session == l.pid {
			return true, true
		}
		if s := e.strangers[at]; s != nil && s.owner != nil {
			return s.owner == l, true
		}
		if of.parent <= 1 {
			break
		}
		at = of.parent
		if of, err = readStat(at); err != nil || of.state == 0 {
			break
		}
	}
	if t, tagged := readTag(pid); tagged && e.mine(t) {
		owner, _ := e.byTag(t)
		return owner == l, true
	}
	// One that has ended meanwhile has no environment any more, and a zombie none.
	again, err := readStat(pid)
	return false, err == nil && !again.dead()
}
