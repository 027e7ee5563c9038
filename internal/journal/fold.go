package journal

import (
	"path"
	"slices"
	"strings"
	"time"
	"unique"
)

// Fold is the state of a whole tree, as its records leave it. The zero Fold
// knows nothing yet. It is not safe for concurrent use: Store guards one.
type Fold struct {
	nodes map[string]*entry
}

// entry is what the fold keeps of one child. Ten thousand of them are kept, so
// whatever most children never have lives in extra.
type entry struct {
	path     string
	parent   *entry
	children []*entry // in start order

	pid         int32
	restarts    int32
	state       State
	supervisor  bool
	settled     bool // it never ran, or a Down followed its end: the next spawn is no restart
	stale       bool // its node began a new life and has not added it again
	restart     unique.Handle[string]
	incarnation uint64
	started     int64 // unix nanoseconds
	exit        exit
	extra       *extra
}

// exit is the last end of a child. at 0 means that there was none.
type exit struct {
	at     int64 // unix nanoseconds
	reason unique.Handle[string]
	signal unique.Handle[string]
	status int32 // -1: a signal
}

// extra is what only some children have.
type extra struct {
	name, strategy, containment string

	limited           bool // intensity counts
	intensity, period int64
	counted           int // restarts within the period, as of the last one that was told
	countedAt         time.Time
	gaveUp            time.Time
	lastStraw         string // the child whose restart was one too many

	delay  *float64
	next   time.Time
	pids   []int
	failed string // why its last start failed
	ended  string // the message of its last exit
	cause  string // and its cause
	text   string // what it said of itself
	report *Problem
	note   string // the message of the last record that explains its state
}

// Apply takes the next record of the stream. What it does not know, or what is
// about a path that was never added, changes nothing.
func (f *Fold) Apply(r *Record) {
	if r.Event == Remove {
		f.remove(r.Path)
		return
	}
	e := f.nodes[r.Path]
	if e == nil {
		if r.Event != Add && r.Event != Spawn && r.Event != Start || !validPath(r.Path) {
			return
		}
		e = f.make(r.Path)
	}
	switch r.Event {
	case Add:
		e.added(r)
	case Spawn:
		f.spawned(e, r)
	case Start:
		f.started(e, r)
	case Exit:
		f.exited(e, r)
		if r.Message != "" || r.Cause != "" || e.extra != nil {
			e.more().ended, e.more().cause = strings.Clone(r.Message), strings.Clone(r.Cause)
		}
	case Backoff:
		e.waits(r)
	case Failed:
		e.startFailed(r)
	case Stopping, Kill:
		e.state = StateStopping
	case Stuck:
		e.state = StateStuck
		e.more().pids = slices.Clone(r.Pids)
	case Down, Ignore:
		e.down()
	case GiveUp:
		e.more().gaveUp, e.more().lastStraw = r.Time, strings.Clone(r.Child)
	case Report:
		f.reported(e, r)
	case Status:
		e.more().text = strings.Clone(r.Message)
	}
	e.incarnation = max(e.incarnation, r.Incarnation)
	if explains(r.Event) && (r.Message != "" || e.extra != nil) {
		e.more().note = strings.Clone(r.Message)
	}
}

// explains says whether an event's message tells why a child is in its state.
func explains(event string) bool {
	switch event {
	case Spawn, Start, Exit, Backoff, Failed, Ignore, Stopping, Kill, Stuck, Down:
		return true
	}
	return false
}

func (e *entry) added(r *Record) {
	e.down()
	e.stale = false
	e.supervisor = r.Kind == "supervisor"
	e.restart = unique.Make(r.Restart)
	if !e.supervisor {
		return
	}
	x := e.more()
	x.name, x.strategy, x.containment = strings.Clone(r.Name), strings.Clone(r.Strategy), strings.Clone(r.Containment)
	x.period = r.Period
	if x.limited = r.Intensity != nil; x.limited {
		x.intensity = *r.Intensity
	}
}

func (f *Fold) spawned(e *entry, r *Record) {
	if e.incarnation > 0 && !e.settled {
		e.restarts++
	}
	e.state, e.settled = StateStarting, false
	e.lives(r)
	e.counts(r)
	if e.extra != nil {
		e.extra.text = "" // an earlier life said it
	}
	if !e.supervisor {
		return
	}
	e.more().counted = 0
	for c := range e.below() {
		c.stale = true
	}
}

func (f *Fold) started(e *entry, r *Record) {
	e.state, e.settled = StateRunning, false
	e.lives(r)
	if e.extra != nil {
		e.extra.failed = ""
	}
	// The node has added all that it has; what is left over is gone.
	for _, c := range slices.Clone(e.children) {
		if c.stale {
			f.remove(c.path)
		}
	}
}

// lives notes the process of a Spawn or a Start, and that it no longer waits.
func (e *entry) lives(r *Record) {
	if int32(r.Pid) != e.pid || e.started == 0 {
		e.pid, e.started = int32(r.Pid), r.Time.UnixNano()
	}
	if r.Kind != "" {
		e.supervisor = r.Kind == "supervisor"
	}
	e.calm()
}

// calm forgets what was true of a wait, or of being stuck.
func (e *entry) calm() {
	if e.extra != nil {
		e.extra.delay, e.extra.next, e.extra.pids = nil, time.Time{}, nil
	}
}

func (f *Fold) exited(e *entry, r *Record) {
	e.exit = exit{at: r.Time.UnixNano(), reason: unique.Make(r.Reason), signal: unique.Make(r.Signal), status: -1}
	if r.Status != nil {
		e.exit.status = int32(*r.Status)
	}
	ordered := e.state == StateStopping || e.state == StateStuck || e.parent == nil
	e.pid, e.started = 0, 0
	e.calm()
	e.state = StateWaiting
	if ordered {
		e.state = StateDown
	}
	for c := range e.below() {
		if c.state != StateStuck {
			c.down()
		}
	}
}

func (e *entry) down() {
	e.state, e.settled, e.pid, e.started = StateDown, true, 0, 0
	e.calm()
}

func (e *entry) waits(r *Record) {
	e.state = StateWaiting
	x := e.more()
	x.delay, x.next = nil, time.Time{}
	if r.Delay != nil {
		delay := *r.Delay
		x.delay, x.next = &delay, r.Time.Add(time.Duration(delay*float64(time.Second)))
	}
	e.counts(r)
}

// counts notes how far the supervisor is from giving up.
func (e *entry) counts(r *Record) {
	if e.parent != nil && r.Restarts > 0 {
		x := e.parent.more()
		x.counted, x.countedAt = r.Restarts, r.Time
	}
}

func (e *entry) startFailed(r *Record) {
	e.more().failed = strings.Clone(r.Error)
	if e.pid == 0 && e.state != StateDown {
		e.state = StateWaiting
	}
}

// reported keeps a report with the child that it is about, or else with the
// supervisor that made it.
func (f *Fold) reported(e *entry, r *Record) {
	if c := f.nodes[path.Join(r.Path, r.Child)]; r.Child != "" && c != nil {
		e = c
	}
	e.more().report = &Problem{Context: strings.Clone(r.Context), Reason: strings.Clone(r.Reason), Count: r.Count, At: r.Time}
}

func (e *entry) more() *extra {
	if e.extra == nil {
		e.extra = &extra{}
	}
	return e.extra
}

// make adds a node, and the supervisors above it that are not known yet.
func (f *Fold) make(at string) *entry {
	if e := f.nodes[at]; e != nil {
		return e
	}
	if f.nodes == nil {
		f.nodes = make(map[string]*entry)
	}
	e := &entry{path: strings.Clone(at), settled: true}
	f.nodes[e.path] = e
	if at != "/" {
		e.parent = f.make(path.Dir(at))
		e.parent.supervisor = true
		e.parent.children = append(e.parent.children, e)
	}
	return e
}

func (f *Fold) remove(at string) {
	e := f.nodes[at]
	if e == nil {
		return
	}
	for c := range e.below() {
		delete(f.nodes, c.path)
	}
	delete(f.nodes, at)
	if e.parent != nil {
		i := slices.Index(e.parent.children, e)
		e.parent.children = slices.Delete(e.parent.children, i, i+1)
	}
}

// below goes through all that is under e, in the order of stopping: last
// sibling first, children before their parent.
func (e *entry) below() func(yield func(*entry) bool) {
	return func(yield func(*entry) bool) { e.walk(yield) }
}

func (e *entry) walk(yield func(*entry) bool) bool {
	for _, c := range slices.Backward(e.children) {
		if !c.walk(yield) || !yield(c) {
			return false
		}
	}
	return true
}

// validPath says whether a path is one of the tree: "/" or "/a/b", clean.
func validPath(at string) bool {
	return strings.HasPrefix(at, "/") && path.Clean(at) == at
}
