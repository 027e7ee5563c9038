package child

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/internal/fork"
	"github.com/supertrees/supervise/tree"
)

// Options says how an engine works. The zero value is a root with the best
// containment that there is.
type Options struct {
	// Path is the supervisor's own path; "" is "/".
	Path string
	// Containment is "" (the best there is), "basic" or "cgroup", which
	// refuses to work with less.
	Containment string
	// Tree is the name of this run of the tree, which marks every process of
	// it. "" is the name that the process was started with, as a node or as the
	// root below a sentinel, or else a new one.
	Tree string
	// Keep are inherited descriptors from 3 up that stay as they are; every
	// other one is closed when a child is made.
	Keep []int
}

// The levels of containment: docs/guarantees.md says what each one promises.
const (
	LevelBasic  = "basic"
	LevelCgroup = "cgroup"
)

// The bounds of every wait of the engine.
const (
	// StuckAfter is how long what was killed may take to be gone before the
	// life is reported as stuck.
	StuckAfter = 5 * time.Second
	// NodeGrace is how long the nodes below a dead node have to stop their
	// children in order, which they do when their pipe ends, before they are
	// killed.
	NodeGrace = 6 * time.Second
	// reapBound is the most children that one call of Reap takes, so that a
	// storm of orphans does not keep the supervisor from its own work.
	reapBound = 4096
)

// Engine makes, signals and reaps the processes of one supervisor. One
// goroutine at a time drives it. No method blocks, beyond the moment between fork
// and exec. A worker is killed when the thread ends on which it was spawned: see
// Spawn.
//
// Everything that the process ever starts goes through its engine: Reap waits
// for any child, so that os/exec beside it would lose its exit statuses.
type Engine struct {
	path     string // "/" or "/web"
	tree     string
	level    string
	whyBasic string
	env      environment
	forker   *fork.Forker

	lives     map[tree.Ref]*life
	byPid     map[int]*life // by the pid of a main process that is not reaped yet
	killing   []*life       // killed, and the main process is not reaped yet
	lingering []*life       // the main process is reaped, and something may be left
	strangers map[int]*stranger
	sole      *life // a sentinel's root, to which every stranger belongs; else nil
	children  childList
	deaths    *deaths
	heard     *sigaction // what SIGCHLD did before Deafen; nil: it does
	ready     [readyBound]unix.EpollEvent
	few       []int    // strangers, the last time that there were few
	unwatched []*life  // whose end the epoll does not tell of
	spare     int      // /dev/null, and a descriptor for when there are no more
	cg        *cgroups // nil: LevelBasic

	adopted int           // strangers that were reaped
	more    bool          // the last Reap stopped at its bound
	blind   time.Duration // look again then, because the last look failed; 0: it did not
}

// life is one life of a child, from its spawn until nothing of it is left.
type life struct {
	ref   tree.Ref
	path  string
	pid   int
	pidfd int // open until the main process is reaped
	node  bool
	leaf  string // the name of its cgroup; "" at LevelBasic
	ticks uint64 // clock ticks since boot at its spawn

	order    Order
	signal   syscall.Signal // the stop signal, once ordered
	limited  bool           // there is a killAt
	killAt   time.Duration  // what is left then is killed
	killed   bool           // something of it was killed
	killedAt time.Duration  // when first, and when the last node below it was

	exit      *Exited // once the main process is reaped
	diedAt    time.Duration
	left      []*stranger // at the last look
	told      bool        // MainExited was given
	stuckTold bool
	pause     time.Duration // until the next look at a leaf whose occupants are not known
	lookAt    time.Duration // then; 0: none is due
}

// New makes the engine of this process, which becomes the subreaper of all its
// descendants. There is one in a process.
func New(o Options) (*Engine, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("becoming the reaper of the tree's processes: %w", err)
	}
	if err := closeOnExec(o.Keep); err != nil {
		return nil, err
	}
	children, err := openChildList()
	if err != nil {
		return nil, err
	}
	spare, err := syscall.Open("/dev/null", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening /dev/null: %w", err)
	}
	forker, err := fork.New()
	if err != nil {
		return nil, fmt.Errorf("preparing to make processes: %w", err)
	}
	deaths, err := openDeaths()
	if err != nil {
		return nil, err
	}
	e := &Engine{
		path:   o.Path,
		tree:   o.Tree,
		level:  LevelBasic,
		forker: forker,
		deaths: deaths,
		lives:  map[tree.Ref]*life{},
		byPid:  map[int]*life{},

		strangers: map[int]*stranger{},
		children:  children,
		spare:     spare,
	}
	if e.path == "" {
		e.path = "/"
	}
	if e.tree == "" {
		e.tree = thisTree()
	}
	e.env = newEnvironment(os.Environ())
	if err := e.contain(o.Containment); err != nil {
		return nil, err
	}
	// A shell may have made children before it became this process.
	err = e.children.each(func(pid int) { e.strangers[pid] = &stranger{pid: pid} })
	return e, err
}

// contain takes the best containment that there is and that is wanted.
func (e *Engine) contain(wanted string) error {
	if wanted == LevelBasic {
		e.whyBasic = "the configuration asks for it"
		return nil
	}
	cg, err := openCgroups(e.tree)
	if err == nil {
		e.cg, e.level = cg, LevelCgroup
		return nil
	}
	e.whyBasic = err.Error()
	if wanted == LevelCgroup {
		return fmt.Errorf("containing the tree in cgroups, as the configuration demands: %w", err)
	}
	return nil
}

// Level is the containment in force, LevelBasic or LevelCgroup, and where it
// is basic, why it is no more.
func (e *Engine) Level() (level, why string) { return e.level, e.whyBasic }

// Tree is the name of this run of the tree.
func (e *Engine) Tree() string { return e.tree }

// Adopted is how many processes were reaped that were no child of this
// supervisor: orphans that the kernel gave to it.
func (e *Engine) Adopted() int { return e.adopted }

// closeOnExec marks every descriptor from 3 up, but for those to keep.
func closeOnExec(keep []int) error {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("listing inherited descriptors (is /proc mounted?): %w", err)
	}
	for _, entry := range open {
		fd, err := strconv.Atoi(entry.Name())
		if err == nil && fd > 2 && !slices.Contains(keep, fd) {
			syscall.CloseOnExec(fd)
		}
	}
	return nil
}

// Close gives back what the engine holds. Workers that are left die with it.
func (e *Engine) Close() {
	e.forker.Close()
	for _, l := range e.byPid {
		syscall.Close(l.pidfd)
	}
	e.deaths.close()
	syscall.Close(e.children.fd)
	syscall.Close(e.spare)
	if e.cg != nil {
		e.cg.close()
	}
}
