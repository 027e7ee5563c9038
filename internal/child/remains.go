package child

import (
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/tree"
)

// What a main process leaves. All its descendants are, or hang below, processes
// that the kernel gave to this one, its subreaper, when their parents died: so
// the list of this process's children is the whole evidence, and one look at it
// after a batch of deaths is enough. What stands in the list and is no main
// process is a stranger, and the question is only whose it was:
//
//  0. at LevelCgroup it stands in a life's leaf;
//  1. its group or session is the main process's, or that of another stranger;
//  2. its environment carries the tag of a path and an incarnation; for a node,
//     of any path below it;
//  3. it carries nothing and was not in the list before: it came with the life
//     that died just now.
//
// A stranger of a life whose main process runs is left alone: it belongs to it.

// stranger is a process that the kernel gave to this one. Its pid cannot mean
// anybody else until it is reaped here.
type stranger struct {
	pid     int
	owner   *life // nil: nobody knows, and it ends with this process
	node    bool  // a node of a dead node's subtree, stopping its children in order
	counted bool  // in Exited.Leftovers
	asked   bool  // got the stop signal
	killed  bool
}

// leftoversBound is the most pids that an event lists.
const leftoversBound = 100

// sweep looks at what the dead lives left, gives it its signals, and tells of
// the lives of which nothing is left.
func (e *Engine) sweep(now time.Duration, events []Event) []Event {
	if len(e.lingering) == 0 {
		return events
	}
	evident := e.look()
	e.blind = 0
	if !evident {
		e.blind = now + lookAgain
	}
	still := e.lingering[:0]
	for _, l := range e.lingering {
		if evident && len(l.left) == 0 && (l.leaf == "" || e.cg.empty(l)) {
			e.forget(l)
			events = append(events, *l.exit)
			continue
		}
		if !l.told {
			l.told = true
			events = append(events, MainExited{Ref: l.ref, Pid: l.pid, Status: l.exit.Status, Order: l.exit.Order})
		}
		e.end(now, l)
		still = append(still, l)
	}
	clear(e.lingering[len(still):])
	e.lingering = still
	return events
}

// looksInARow is how often the list of children is read at once while what
// stands in it ends.
const looksInARow = 16

// look sorts this process's children: what is no main process goes to the
// life that left it. It says whether there was an answer: a stranger that has
// ended since the list was read has given its own children to this process, and
// they do not stand in that list.
func (e *Engine) look() bool {
	for range looksInARow {
		if sure, ended := e.lookOnce(); !sure || !ended {
			return sure
		}
	}
	return false
}

// lookOnce is look for one reading of the list; ended: a stranger had.
func (e *Engine) lookOnce() (sure, ended bool) {
	for _, l := range e.lingering {
		l.left = l.left[:0]
	}
	sure = true
	err := e.children.each(func(pid int) {
		if e.byPid[pid] != nil {
			return
		}
		s := e.strangers[pid]
		if s == nil {
			var err error
			if s, err = e.meet(pid); err != nil {
				s, err = e.meetWithSpare(pid)
			}
			sure = sure && err == nil
			if s == nil {
				ended = e.reapStranger(pid) || ended
				return
			}
			e.strangers[pid] = s
		}
		switch l := s.owner; {
		case l == nil || l.exit == nil:
		case e.reapStranger(pid):
			ended = true
		default:
			l.left = append(l.left, s)
		}
	})
	return err == nil && sure, ended
}

// meet finds out whose a stranger is that is seen for the first time. Nil is a
// zombie, which is reaped in a moment.
func (e *Engine) meet(pid int) (*stranger, error) {
	st, err := readStat(pid)
	if err != nil || st.dead() {
		return nil, err
	}
	s := &stranger{pid: pid}
	if e.cg != nil {
		s.owner = e.cg.owner(pid)
	}
	if s.owner == nil {
		s.owner = e.byIDs(st)
	}
	t, tagged := readTag(pid)
	switch {
	case e.sole != nil:
		s.owner, s.node = e.sole, tagged && t.node && t.tree == e.tree
	case tagged && e.mine(t):
		var stray bool
		if s.owner == nil {
			s.owner, stray = e.byTag(t)
		}
		s.node = t.node && t.tree == e.tree && s.owner != nil && s.owner.node
		if stray {
			e.signalAll(pid, syscall.SIGKILL)
		}
	case s.owner == nil:
		s.owner = e.byAncestry(st)
	}
	return s, nil
}

// meetWithSpare meets a stranger when the table of descriptors is full: the
// engine keeps one back for this, or what a dead life left could hold its pipes,
// and so the table, for ever.
func (e *Engine) meetWithSpare(pid int) (*stranger, error) {
	syscall.Close(e.spare)
	defer func() { e.spare, _ = syscall.Open("/dev/null", syscall.O_RDONLY|syscall.O_CLOEXEC, 0) }()
	return e.meet(pid)
}

// byIDs knows a stranger by its group and session.
func (e *Engine) byIDs(st stat) *life {
	for _, id := range [...]int{st.group, st.session} {
		if l := e.byPid[id]; l != nil {
			return l
		}
		if s := e.strangers[id]; s != nil && s.owner != nil {
			return s.owner
		}
		for _, l := range e.lingering {
			if l.pid == id {
				return l
			}
		}
	}
	return nil
}

// mine says whether a tag was given below this supervisor, by this tree or by
// one that runs inside it.
func (e *Engine) mine(t tag) bool {
	if t.tree != e.tree && !strings.HasPrefix(t.tree, e.tree+"/") {
		return false
	}
	_, _, under := e.childOf(e.place(t))
	return under
}

// place is the path in this tree that a tag means.
func (e *Engine) place(t tag) string {
	if inner, nested := strings.CutPrefix(t.tree, e.tree+"/"); nested {
		path, _, _ := strings.Cut(inner, ";")
		return "/" + path
	}
	return t.path
}

// byTag knows a stranger by its environment. A stray is one whose life has
// ended, so that it should not be here any more.
func (e *Engine) byTag(t tag) (l *life, stray bool) {
	path := e.place(t)
	id, below, _ := e.childOf(path)
	if t.tree == e.tree && !below {
		l = e.lives[tree.Ref{ID: id, Incarnation: t.incarnation}]
	} else {
		l = e.latest(id)
	}
	return l, l == nil
}

// latest is the latest life of a child. It looks at all of them, which a map would
// save, at the price of one more entry for each.
func (e *Engine) latest(id string) (latest *life) {
	for ref, l := range e.lives {
		if ref.ID == id && (latest == nil || ref.Incarnation > latest.ref.Incarnation) {
			latest = l
		}
	}
	return latest
}

// childOf says which child of this supervisor a path belongs to, and whether it
// lies below that child.
func (e *Engine) childOf(path string) (id string, below, under bool) {
	rest, under := strings.CutPrefix(path, strings.TrimSuffix(e.path, "/")+"/")
	if !under || rest == "" {
		return "", false, false
	}
	id, _, below = strings.Cut(rest, "/")
	return id, below, true
}

// byAncestry gives a stranger without a name to the life that died last and had
// begun before the stranger did.
func (e *Engine) byAncestry(st stat) *life {
	for i := len(e.lingering) - 1; i >= 0; i-- {
		if l := e.lingering[i]; st.start+1 >= l.ticks {
			return l
		}
	}
	return nil
}

// end gives what is left its signals. After an order to stop it is asked first,
// and has the rest of the time; otherwise it is killed at once. So is what a
// node left: a node that stops in order leaves nothing, so it was killed, and the
// time of its children, which may be without limit, ended with it. A node among
// what is left stops its own children in order, for which it has its own time.
func (e *Engine) end(now time.Duration, l *life) {
	kill := l.node || l.exit.Order != Terminated || l.order == Killed || l.limited && now >= l.killAt
	waits := false // for a node that stops in order
	for _, s := range l.left {
		l.count(s)
		switch {
		case s.killed:
		case s.node && now < l.diedAt+NodeGrace:
			waits = true
		case kill:
			s.killed = true
			if !l.killed || s.node {
				l.killed, l.killedAt = true, now
			}
			e.signalAll(s.pid, syscall.SIGKILL)
		case !s.asked:
			s.asked = true
			e.signalAll(s.pid, l.signal)
			e.signalAll(s.pid, syscall.SIGCONT)
		}
	}
	if l.leaf != "" && !waits {
		e.clearLeaf(now, l, kill)
	}
}

// clearLeaf kills what is in a leaf when its time is over. Where the occupants
// are not this process's children (somebody moved them there), nobody asks
// them, and no SIGCHLD tells of their end: the leaf is looked at again.
func (e *Engine) clearLeaf(now time.Duration, l *life, kill bool) {
	if kill || len(l.left) == 0 && !l.limited {
		if !l.killed {
			l.killed, l.killedAt = true, now
		}
		e.cg.kill(l)
	}
	if len(l.left) == 0 {
		l.pause = min(max(2*l.pause, leafPause), leafPauseMost)
		l.lookAt = now + l.pause
	}
}

// count puts a leftover into the event of the life's end.
func (l *life) count(s *stranger) {
	if s.counted {
		return
	}
	s.counted = true
	l.exit.Swept++
	if len(l.exit.Leftovers) < leftoversBound {
		l.exit.Leftovers = append(l.exit.Leftovers, s.pid)
	}
}

// signalAll signals a stranger and what hangs below it, parents first.
func (e *Engine) signalAll(pid int, sig syscall.Signal) {
	family := map[int]bool{pid: true, unix.Getpid(): true}
	var below []int
	eachDescendant(pid, func(p int) { below = append(below, p); family[p] = true })
	syscall.Kill(pid, sig)
	for _, p := range below {
		signalDescendant(p, sig, family)
	}
}

// signalDescendant signals a process that is somebody else's to reap. Its pid
// may have passed to another since it was read, so its parent is looked at
// while a pidfd holds it.
func signalDescendant(pid int, sig syscall.Signal, family map[int]bool) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // it is met as a stranger when its parent has ended
	}
	defer syscall.Close(fd)
	if st, err := readStat(pid); err == nil && family[st.parent] {
		_ = unix.PidfdSendSignal(fd, sig, nil, 0) // who may not be signalled shows as stuck
	}
}

// stuck says, once each, which lives take too long to end.
func (e *Engine) stuck(now time.Duration, events []Event) []Event {
	for _, list := range [...][]*life{e.lingering, e.killing} {
		for _, l := range list {
			at, waits := l.stuckAt()
			if !waits || now < at {
				continue
			}
			l.stuckTold = true
			events = append(events, Stuck{Ref: l.ref, Pids: e.pidsOf(l)})
		}
	}
	return events
}

// pidsOf are the processes of a life that is being ended.
func (e *Engine) pidsOf(l *life) (pids []int) {
	add := func(pid int) {
		if !slices.Contains(pids, pid) {
			pids = append(pids, pid)
		}
	}
	if l.exit == nil {
		add(l.pid)
		eachDescendant(l.pid, add)
	}
	for _, left := range l.left {
		add(left.pid)
		eachDescendant(left.pid, add)
	}
	if l.leaf != "" {
		for _, pid := range cgroupPids(e.cg.dir + "/" + l.leaf) {
			add(pid)
		}
	}
	return pids
}

// stuckAt is when a life is to be called stuck: everything of it was killed and
// is still there.
func (l *life) stuckAt() (time.Duration, bool) {
	if l.stuckTold || !l.killed {
		return 0, false
	}
	for _, s := range l.left {
		if !s.killed {
			return 0, false
		}
	}
	return l.killedAt + StuckAfter, true
}

// due is when something is to be done about a life's end, even if nothing more
// of it dies.
func (l *life) due() (at time.Duration, ok bool) {
	at, ok = l.stuckAt()
	sooner := func(t time.Duration) {
		if !ok || t < at {
			at, ok = t, true
		}
	}
	if len(l.left) == 0 && l.lookAt > 0 {
		sooner(l.lookAt)
	}
	for _, s := range l.left {
		switch {
		case s.killed:
		case s.node:
			sooner(l.diedAt + NodeGrace)
		case l.limited:
			sooner(l.killAt)
		}
	}
	return at, ok
}
