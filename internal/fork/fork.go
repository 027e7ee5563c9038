// Package fork makes processes in the way of posix_spawn(3): the child shares
// its maker's memory and descriptors until it executes, and does nothing but a
// list of system calls that were written down before.
//
// Package syscall's ForkExec does the same with a copy of the table of
// descriptors, which the fork makes and the exec closes at 0.15 µs each: for a
// supervisor that holds the pipes of a thousand children that is more than fork
// and exec together. Here the child shares the table, and takes a copy of only its
// lowest part (close_range(2) with CLOSE_RANGE_UNSHARE), into which its own
// descriptors were put before. And a failure comes back through the shared memory, so
// that there is no pipe to make, to read and to close for it.
package fork

import (
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Command is what a new process is to be. Beside what is said here it begins
// with default signal dispositions, an empty signal mask, the limit of open
// files that this process was started with, and no other descriptor.
type Command struct {
	Path      string
	Argv, Env []string
	Dir       string // "": this process's own
	Files     []int  // the child's 0, 1, 2, …; -1 leaves it closed

	Session    bool                // a session of its own; else a group of its own
	Deathsig   syscall.Signal      // when the thread that made it ends; 0: none
	Umask      *uint32             // nil: this process's own
	Credential *syscall.Credential // nil: this process's own
	Cgroup     int                 // a descriptor of the cgroup that it is born in; 0: this process's own
}

// Process is one that exists and whose exec succeeded.
type Process struct {
	Pid   int
	Pidfd int // close-on-exec, the caller's to close
}

// The steps at which a start can fail.
const (
	StepFork       = "fork"
	StepGroup      = "setpgid"
	StepCredential = "setuid"
	StepUmask      = "umask"
	StepDir        = "chdir"
	StepFiles      = "dup"
	StepSignals    = "signals"
	StepParent     = "prctl"
	StepExec       = "execve"
)

// Error says at which step there came to be no process.
type Error struct {
	Step string
	Err  syscall.Errno
}

func (e *Error) Error() string { return e.Step + ": " + e.Err.Error() }

// Unwrap gives the errno.
func (e *Error) Unwrap() error { return e.Err }

const (
	// slotBase and slots are the part of the table of descriptors that children
	// copy: all below it, and the slots for what they are given. A child that is
	// given more copies the whole table.
	slotBase = 32
	slots    = 16
	// FilesBound is the most descriptors that a child can be given.
	FilesBound = 128
)

// Forker makes processes. One goroutine at a time may use it.
type Forker struct {
	devNull int
	copies  bool             // children copy the whole table: close_range is not to be had
	ignored []syscall.Signal // by this process, when the Forker was made
	classic bool             // clone instead of clone3, which Docker's seccomp filter forbids

	// What the kernel reads and writes, used again by every start. It is part of
	// the heap, where nothing moves.
	program program
	args    cloneArgs
	pidfd   int32
	mask    unix.Sigset_t
}

// cloneArgs is clone3's struct clone_args.
type cloneArgs struct {
	flags, pidfd, childTid, parentTid, exitSignal, stack, stackSize, tls, setTid, setTidSize, cgroup uint64
}

// New reserves the slots.
func New() (*Forker, error) {
	devNull, err := syscall.Open("/dev/null", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening /dev/null: %w", err)
	}
	f := &Forker{devNull: devNull, ignored: IgnoredSignals()}
	f.copies = unix.CloseRange(uint(everything), uint(everything), 0) != nil // no descriptor is that high
	for i := 0; i < slots && !f.copies; i++ {
		if f.reserve(slotBase+i) != nil { // a limit that is so low, or a descriptor that was inherited
			f.release(i)
			f.copies = true
		}
	}
	return f, nil
}

// reserve takes one slot, if nobody has it.
func (f *Forker) reserve(slot int) error {
	fd, err := unix.FcntlInt(uintptr(f.devNull), unix.F_DUPFD_CLOEXEC, slot)
	if err == nil && fd != slot {
		syscall.Close(fd)
		err = syscall.EBUSY
	}
	return err
}

// Close gives the slots back.
func (f *Forker) Close() {
	syscall.Close(f.devNull)
	if !f.copies {
		f.release(slots)
	}
}

func (f *Forker) release(slots int) {
	for i := range slots {
		syscall.Close(slotBase + i)
	}
}

// Start makes a process. The error is an *Error; with one, no process exists and
// nothing is to be waited for. Deathsig is tied to the thread that Start is
// called on.
func (f *Forker) Start(c *Command) (Process, error) {
	if len(c.Files) > FilesBound {
		return Process{}, &Error{StepFiles, syscall.E2BIG}
	}
	copies := f.copies || len(c.Files) > slots
	if !copies {
		defer f.vacate(c.Files)
		for i, fd := range c.Files {
			if fd >= 0 {
				if err := syscall.Dup3(fd, slotBase+i, syscall.O_CLOEXEC); err != nil {
					return Process{}, &Error{StepFiles, err.(syscall.Errno)}
				}
			}
		}
	}
	p, err := f.fork(c, copies)
	if err != nil && err.unknown() && !f.classic && c.Cgroup == 0 {
		f.classic = true
		p, err = f.fork(c, copies)
	}
	if err != nil {
		return Process{}, err
	}
	return p, nil
}

// unknown says that there is no clone3, or none that we may use.
func (e *Error) unknown() bool {
	return e.Step == StepFork && (e.Err == syscall.ENOSYS || e.Err == syscall.EPERM || e.Err == syscall.EINVAL)
}

// vacate puts nothing into the slots of files, so that a child's pipe is not
// held open by them.
func (f *Forker) vacate(files []int) {
	for i, fd := range files {
		if fd >= 0 {
			_ = syscall.Dup3(f.devNull, slotBase+i, syscall.O_CLOEXEC)
		}
	}
}

// reset is which signals the child has to give their default action: clone3 does
// that for those that this process handles.
func (f *Forker) reset() []syscall.Signal {
	if !f.classic {
		return f.ignored
	}
	all := make([]syscall.Signal, 0, lastSignal)
	for sig := syscall.Signal(1); sig <= lastSignal; sig++ {
		all = append(all, sig)
	}
	return all
}

// fork writes the program of a command and has a child run it.
func (f *Forker) fork(c *Command, copies bool) (Process, *Error) {
	if err := f.program.write(c, f.reset(), copies); err != nil {
		return Process{}, err
	}
	r := f.clone(c.Cgroup, copies)
	if r < 0 {
		return Process{}, &Error{StepFork, syscall.Errno(-r)}
	}
	p := Process{Pid: r, Pidfd: int(f.pidfd)}
	if err := f.program.failure(); err != nil {
		reap(p)
		return Process{}, err
	}
	return p, nil
}

// clone returns the pid, or minus an errno. No signal may come meanwhile: its
// handler would run in the child too, in memory that is not the child's.
func (f *Forker) clone(cgroup int, copies bool) int {
	flags := uint64(unix.CLONE_VM | unix.CLONE_VFORK | unix.CLONE_PIDFD)
	if !copies {
		flags |= unix.CLONE_FILES
	}
	f.args = cloneArgs{
		flags:      flags | unix.CLONE_CLEAR_SIGHAND,
		pidfd:      uint64(uintptr(unsafe.Pointer(&f.pidfd))),
		exitSignal: uint64(unix.SIGCHLD),
	}
	if cgroup > 0 {
		f.args.flags |= unix.CLONE_INTO_CGROUP
		f.args.cgroup = uint64(cgroup)
	}
	syscall.ForkLock.Lock()
	defer syscall.ForkLock.Unlock()
	runtime.LockOSThread() // the mask is the thread's
	defer runtime.UnlockOSThread()
	all := unix.Sigset_t{}
	for i := range all.Val {
		all.Val[i] = ^all.Val[i]
	}
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, &all, &f.mask) // cannot fail
	r := uintptr(0)
	if first := &f.program.steps[0]; f.classic {
		r = start(unix.SYS_CLONE, uintptr(flags)|uintptr(unix.SIGCHLD), 0, uintptr(unsafe.Pointer(&f.pidfd)), 0, 0, first)
	} else {
		r = start(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&f.args)), unsafe.Sizeof(f.args), 0, 0, 0, first)
	}
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, &f.mask, nil)
	return int(r)
}

// reap takes a child that ended without an exec.
func reap(p Process) {
	for {
		_, err := syscall.Wait4(p.Pid, nil, 0, nil)
		if err != syscall.EINTR {
			break
		}
	}
	syscall.Close(p.Pidfd)
}
