package child

import (
	"fmt"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/internal/fork"
	"github.com/supertrees/supervise/tree"
)

// Spawn asks for the process of a new life.
type Spawn struct {
	Ref  tree.Ref
	Path string // SUPERVISE_PATH; a helper of a child (a probe) adds "#name" to its child's, and to Ref.ID

	Process *Process // nil for a node
	Args    []string // put behind the command
	Env     []string // K=V, over everything else, SUPERVISE_SOCKET for one

	// Node runs this same binary again, named "supervise: PATH" in ps. It has
	// no PDEATHSIG, because a node must live long enough to stop its children
	// in order when its parent is gone.
	Node bool
	// Speaks says that calls pass through the node: it gets a second processor,
	// so that they do while it is busy with deaths.
	Speaks bool

	// Files are descriptors for the child from 3 up, in order; -1 leaves a
	// gap. They stay the caller's to close.
	Files []int
	// Stdout and Stderr are descriptors for the child's 1 and 2 instead of new
	// pipes; 0 is a pipe.
	Stdout, Stderr int
}

// Spawned is a process that exists and whose exec succeeded.
type Spawned struct {
	Pid int
	// Stdout and Stderr are the reading ends of the child's output,
	// close-on-exec and non-blocking, the caller's to close; -1 where Spawn
	// gave a descriptor.
	Stdout, Stderr int
}

// Spawn makes the process of a new life. The error is a *StartError; with one,
// no process exists. A Ref is given only once.
//
// A worker is killed when the thread ends on which it was spawned: that is what
// its parent-death signal is tied to. Go ends a thread whose goroutine was locked
// to it and returned, and promises nothing about others. So the caller stays locked to
// one thread, and not to the first: the kernel lists the children of each thread, and
// with those of the first one the orphans that it hands over, which are then all of them.
func (e *Engine) Spawn(s Spawn) (Spawned, error) {
	out := Spawned{Stdout: -1, Stderr: -1}
	c, err := e.prepare(s)
	if err != nil {
		return out, err
	}
	stdout, stderr := s.Stdout, s.Stderr
	var pipes [2]pipe
	defer func() { pipes[0].closeWriter(); pipes[1].closeWriter() }()
	if stdout == 0 {
		if err := pipes[0].open(); err != nil {
			return out, e.startError(s, "", err, "making a pipe for its output")
		}
		stdout = pipes[0].w
	}
	if stderr == 0 {
		if err := pipes[1].open(); err != nil {
			pipes[0].closeReader()
			return out, e.startError(s, "", err, "making a pipe for its errors")
		}
		stderr = pipes[1].w
	}
	c.Files = append(append(c.Files, e.spare, stdout, stderr), s.Files...)
	l := &life{ref: s.Ref, path: s.Path, node: s.Node, ticks: bootTicks()}
	if err = e.forkInLeaf(c, l); err != nil {
		pipes[0].closeReader()
		pipes[1].closeReader()
		return out, e.diagnose(s, c, err)
	}
	if s.Stdout == 0 {
		out.Stdout = pipes[0].r
	}
	if s.Stderr == 0 {
		out.Stderr = pipes[1].r
	}
	out.Pid = l.pid
	return out, nil
}

// forkInLeaf makes the process of a life, in a cgroup of its own where the
// level is so, and enters the life.
func (e *Engine) forkInLeaf(c *fork.Command, l *life) (err error) {
	if e.cg != nil {
		leaf, fd, err := e.cg.makeLeaf(l.ref.ID)
		if err != nil {
			return fmt.Errorf("making a cgroup for it: %w", err)
		}
		defer syscall.Close(fd)
		l.leaf, c.Cgroup = leaf, fd
	}
	p, err := e.forker.Start(c)
	if err != nil {
		if l.leaf != "" {
			e.cg.remove(l.leaf)
		}
		return err
	}
	if l.leaf != "" {
		e.cg.lives[l.leaf] = l
	}
	l.pid, l.pidfd = p.Pid, p.Pidfd
	e.enter(l)
	return nil
}

// enter begins a life.
func (e *Engine) enter(l *life) {
	e.lives[l.ref] = l
	e.byPid[l.pid] = l
	e.watch(l)
}

// prepare works out what is to be run, and as whom.
func (e *Engine) prepare(s Spawn) (*fork.Command, error) {
	c := &fork.Command{}
	e.env.reset()
	if s.Node {
		c.Path = "/proc/self/exe"
		c.Argv = append([]string{"supervise: " + s.Path}, s.Args...)
		e.env.set(envNode + "=1")
		processors := nodeProcessors
		if s.Speaks {
			processors = busyProcessors
		}
		for _, kv := range withProcessors(processors, e.env.get(envProcessors)) {
			e.env.set(kv)
		}
	} else {
		c.Deathsig = syscall.SIGKILL
		if err := e.prepareWorker(s, c); err != nil {
			return nil, err
		}
	}
	e.env.set(envPath + "=" + s.Path)
	e.env.set(envIncarnation + "=" + strconv.FormatUint(s.Ref.Incarnation, 10))
	e.env.set(envTree + "=" + e.tree)
	for _, kv := range s.Env {
		e.env.set(kv)
	}
	c.Env = e.env.scratch
	if !s.Node {
		path, err := lookUp(s.Process.Command[0], e.env.get("PATH"))
		if err != nil {
			return nil, e.startError(s, "command", err, fmt.Sprintf("command %q", s.Process.Command[0]))
		}
		c.Path = path
	}
	return c, nil
}

func (e *Engine) prepareWorker(s Spawn, c *fork.Command) error {
	p := s.Process
	if p == nil || len(p.Command) == 0 || p.Command[0] == "" {
		return e.startError(s, "command", syscall.EINVAL, "command is empty")
	}
	c.Argv = p.Command
	if len(s.Args) > 0 {
		c.Argv = append(p.Command[:len(p.Command):len(p.Command)], s.Args...)
	}
	c.Umask = p.Umask
	c.Dir = p.Dir
	if err := e.become(s, c); err != nil {
		return err
	}
	for _, file := range p.EnvFile {
		if err := e.readEnvFile(s, file); err != nil {
			return err
		}
	}
	for _, kv := range p.Env {
		e.env.set(kv)
	}
	return nil
}

// pipe is a child's output: the reader must not block, the writer must.
type pipe struct{ r, w int }

func (p *pipe) open() error {
	var fds [2]int
	if err := syscall.Pipe2(fds[:], syscall.O_CLOEXEC); err != nil {
		return err
	}
	p.r, p.w = fds[0], fds[1]
	if _, err := unix.FcntlInt(uintptr(p.r), unix.F_SETFL, unix.O_NONBLOCK); err != nil {
		p.closeReader()
		p.closeWriter()
		return err
	}
	return nil
}

func (p *pipe) closeReader() {
	if p.r > 0 {
		syscall.Close(p.r)
		p.r = 0
	}
}

func (p *pipe) closeWriter() {
	if p.w > 0 {
		syscall.Close(p.w)
		p.w = 0
	}
}
