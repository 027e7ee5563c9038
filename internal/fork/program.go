package fork

import (
	"bytes"
	"os"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/internal/nofile"
)

// maskSize is the size of the kernel's set of signals, in bytes.
const maskSize = 8

const lastSignal = 64

// everything is where the table of descriptors ends.
const everything = ^uintptr(0) >> 32

// program is what one child does between fork and exec, and the memory that its
// system calls point to. All of it is on the heap, where nothing moves.
type program struct {
	steps []step
	names []string // what each step is for

	text    []byte    // the strings, each with its NUL
	vectors []uintptr // argv, nil, envp, nil
	groups  []uint32
	slots   []uintptr
	empty   unix.Sigset_t
	action  [8]uint64 // the kernel's sigaction, all zero: SIG_DFL
	limit   syscall.Rlimit
	path    uintptr
	dir     uintptr
	argv    uintptr
	envp    uintptr
}

// write writes down the program of a command.
func (p *program) write(c *Command, reset []syscall.Signal, copies bool) *Error {
	p.steps, p.names = p.steps[:0], p.names[:0]
	if err := p.strings(c); err != nil {
		return err
	}
	if c.Session {
		p.add(StepGroup, unix.SYS_SETSID)
	} else {
		p.add(StepGroup, unix.SYS_SETPGID, 0, 0)
	}
	p.become(c.Credential)
	if c.Umask != nil {
		p.add(StepUmask, unix.SYS_UMASK, uintptr(*c.Umask))
	}
	if c.Dir != "" {
		p.add(StepDir, unix.SYS_CHDIR, p.dir)
	}
	if c.Deathsig != 0 { // after the credentials, whose change forgets it
		p.add(StepParent, unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(c.Deathsig))
		p.add(StepParent, unix.SYS_GETPPID)
		last := &p.steps[len(p.steps)-1]
		last.mode, last.want = mustEqual, uintptr(os.Getpid()) // it may have died before
	}
	p.files(c.Files, copies)
	if soft, hard := nofile.AtStart(); soft+1 < hard { // package syscall has raised it
		p.limit = syscall.Rlimit{Cur: soft, Max: hard}
		p.add(StepFiles, unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, uintptr(unsafe.Pointer(&p.limit)))
		p.steps[len(p.steps)-1].mode = mayFail // the hard limit may have been lowered since
	}
	for _, sig := range reset {
		p.add(StepSignals, unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&p.action)), 0, maskSize)
		p.steps[len(p.steps)-1].mode = mayFail // KILL and STOP have no other
	}
	p.add(StepSignals, unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&p.empty)), 0, maskSize)
	p.add(StepExec, unix.SYS_EXECVE, p.path, p.argv, p.envp)
	return nil
}

// add writes one step down.
func (p *program) add(name string, number uintptr, args ...uintptr) {
	s := step{number: number}
	copy(s.args[:], args)
	p.steps = append(p.steps, s)
	p.names = append(p.names, name)
}

// become changes whom the process runs as, groups first and the user last.
func (p *program) become(c *syscall.Credential) {
	if c == nil {
		return
	}
	if !c.NoSetGroups {
		p.groups = append(append(p.groups[:0], c.Groups...), 0) // never empty, so that there is a first one
		p.add(StepCredential, unix.SYS_SETGROUPS, uintptr(len(c.Groups)), uintptr(unsafe.Pointer(&p.groups[0])))
	}
	p.add(StepCredential, unix.SYS_SETGID, uintptr(c.Gid))
	p.add(StepCredential, unix.SYS_SETUID, uintptr(c.Uid))
}

// files gives the child its own descriptors and no other. Where the table is
// shared, they are in the slots. Where it is copied, they are moved out of each
// other's way first.
func (p *program) files(files []int, copies bool) {
	slot := slotBase
	if copies {
		slot = len(files)
	} else {
		p.add(StepFiles, unix.SYS_CLOSE_RANGE, slotBase+slots, everything, unix.CLOSE_RANGE_UNSHARE)
	}
	p.slots = p.slots[:0]
	for _, fd := range files {
		for copies && slices.Contains(files, slot) {
			slot++
		}
		p.slots = append(p.slots, uintptr(slot))
		if copies && fd >= 0 {
			p.add(StepFiles, unix.SYS_DUP3, uintptr(fd), uintptr(slot), unix.O_CLOEXEC)
		}
		slot++
	}
	for i, fd := range files {
		if fd >= 0 {
			p.add(StepFiles, unix.SYS_DUP3, p.slots[i], uintptr(i), 0)
		} else {
			p.close(i)
		}
	}
	for i := len(files); i < 3; i++ {
		p.close(i)
	}
	p.add(StepFiles, unix.SYS_CLOSE_RANGE, uintptr(max(3, len(files))), everything, 0)
	if copies {
		p.steps[len(p.steps)-1].mode = mayFail // where there is no such call, all others are close-on-exec
	}
}

func (p *program) close(fd int) {
	p.add(StepFiles, unix.SYS_CLOSE, uintptr(fd))
	p.steps[len(p.steps)-1].mode = mayFail // it may be closed already
}

// failure is what the child wrote down, or nil.
func (p *program) failure() *Error {
	for i := range p.steps {
		if failed := p.steps[i].failed; failed != 0 {
			return &Error{p.names[i], syscall.Errno(failed)}
		}
	}
	return nil
}

// strings lays out the path, the directory, argv and the environment.
func (p *program) strings(c *Command) *Error {
	size := len(c.Path) + len(c.Dir) + 2
	for _, list := range [...][]string{c.Argv, c.Env} {
		for _, s := range list {
			size += len(s) + 1
		}
	}
	if cap(p.text) < size {
		p.text = make([]byte, 0, size+size/4)
	}
	p.text = p.text[:0]
	count := len(c.Argv) + len(c.Env) + 2
	if cap(p.vectors) < count {
		p.vectors = make([]uintptr, 0, count+count/4)
	}
	p.vectors = p.vectors[:0]
	p.path, p.dir = p.text0(c.Path), p.text0(c.Dir)
	for _, s := range c.Argv {
		p.vectors = append(p.vectors, p.text0(s))
	}
	p.vectors = append(p.vectors, 0)
	for _, s := range c.Env {
		p.vectors = append(p.vectors, p.text0(s))
	}
	p.vectors = append(p.vectors, 0)
	p.argv = uintptr(unsafe.Pointer(&p.vectors[0]))
	p.envp = uintptr(unsafe.Pointer(&p.vectors[len(c.Argv)+1]))
	if bytes.Count(p.text, []byte{0}) != len(c.Argv)+len(c.Env)+2 {
		return &Error{StepExec, syscall.EINVAL}
	}
	return nil
}

// text0 puts one string down, and says where.
func (p *program) text0(s string) uintptr {
	at := len(p.text)
	p.text = append(append(p.text, s...), 0)
	return uintptr(unsafe.Pointer(&p.text[at]))
}
