package child

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// spawner is the thread that forks. It differs from the others in three ways,
// and each is a reason for it:
//
//   - It never ends before the process does. A child's PDEATHSIG is tied to the
//     thread that made it, and Go ends threads as it likes.
//   - It has a table of descriptors of its own, which is nearly empty. A fork
//     copies the table and an exec closes what is in it, at 0.15 µs each: with
//     the pipes of a thousand children that is more than fork and exec together.
//   - It has a umask of its own, so that a child's never shows in a file that
//     another thread makes meanwhile.
//
// What it forks are its children, and the kernel gives orphans to the main
// thread: so the list of the main thread's children is that of the strangers.
type spawner struct {
	work chan func()
	done chan struct{}
	sock int // descriptors for the spawner's table go in here

	// shared says that the table is everybody's after all: the seccomp filter of
	// a container forbids unshare. It works, and many children make it slower.
	shared bool

	// These belong to the spawner's thread.
	theirs  int // the other end of sock
	devNull int
}

// filesBound is the most descriptors that a child can be given.
const filesBound = 64

func startSpawner() (*spawner, error) {
	// A pipe makes the runtime open its poller, if nothing has yet.
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("setting the spawning thread up: %w", err)
	}
	r.Close()
	w.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("making the socket to the spawning thread: %w", err)
	}
	s := &spawner{work: make(chan func()), done: make(chan struct{}), sock: pair[0], theirs: pair[1]}
	ready := make(chan error)
	go s.run(ready)
	err = <-ready
	syscall.Close(pair[1]) // here; the spawner has its own
	if err != nil {
		syscall.Close(pair[0])
		return nil, fmt.Errorf("setting the spawning thread up: %w", err)
	}
	return s, nil
}

func (s *spawner) run(ready chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == os.Getpid() {
		// Not here, where orphans come and /proc/self looks: on a thread that
		// the next goroutine gets because this one keeps its own meanwhile.
		elsewhere := make(chan error)
		go s.run(elsewhere)
		ready <- <-elsewhere
		runtime.UnlockOSThread()
		return
	}
	err := s.setUp()
	ready <- err
	if err != nil {
		return
	}
	for f := range s.work {
		f()
		s.done <- struct{}{}
	}
}

func (s *spawner) setUp() error {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_FILES); err != nil {
		s.shared = true
	} else if err := s.closeCopies(); err != nil {
		return err
	}
	devNull, err := syscall.Open("/dev/null", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	s.devNull = devNull
	return err
}

// closeCopies closes what the spawner's table was born with: a copy that stayed
// would keep a pipe open that the others close. The runtime's own two stay, its
// epoll and the eventfd that wakes it, because the runtime polls on any thread.
func (s *spawner) closeCopies() error {
	const dir = "/proc/thread-self/fd"
	d, err := syscall.Open(dir, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(d)
	var buf [8192]byte
	n, err := syscall.ReadDirent(d, buf[:])
	if err != nil {
		return err
	}
	_, _, names := syscall.ParseDirent(buf[:n], -1, nil)
	for _, name := range names {
		fd, err := strconv.Atoi(name)
		if err != nil || fd < 3 || fd == s.theirs || fd == d {
			continue
		}
		if kind, err := os.Readlink(dir + "/" + name); err == nil && strings.HasPrefix(kind, "anon_inode:[event") {
			continue
		}
		syscall.Close(fd)
	}
	return nil
}

// do runs f on the spawner's thread and waits for it.
func (s *spawner) do(f func()) {
	s.work <- f
	<-s.done
}

// fork makes the process of a command whose files are descriptors of the
// caller's, -1 for none.
func (s *spawner) fork(c *command) (pid int, err error) {
	given := make([]int, 0, filesBound)
	for _, fd := range c.files {
		if fd >= 0 {
			given = append(given, fd)
		}
	}
	if c.sys.UseCgroupFD {
		given = append(given, c.sys.CgroupFD)
	}
	if len(given) > filesBound {
		return 0, fmt.Errorf("giving it %d descriptors: %w", len(given), syscall.E2BIG)
	}
	if len(given) > 0 && !s.shared {
		if err := syscall.Sendmsg(s.sock, []byte{0}, syscall.UnixRights(given...), nil, 0); err != nil {
			return 0, fmt.Errorf("handing descriptors to the spawning thread: %w", err)
		}
	}
	s.do(func() { pid, err = s.forkHere(c, given) })
	return pid, err
}

// forkHere runs on the spawner's thread.
func (s *spawner) forkHere(c *command, given []int) (pid int, err error) {
	fds := given
	if !s.shared {
		if fds, err = s.receive(len(given)); err != nil {
			return 0, err
		}
		defer func() {
			for _, fd := range fds {
				syscall.Close(fd)
			}
		}()
	}
	var files [8]uintptr
	c.attr.Files = files[:0]
	next := 0
	for _, fd := range c.files {
		if fd < 0 {
			c.attr.Files = append(c.attr.Files, ^uintptr(0))
			continue
		}
		c.attr.Files = append(c.attr.Files, uintptr(fds[next]))
		next++
	}
	if c.sys.UseCgroupFD {
		c.sys.CgroupFD = fds[next]
	}
	if !c.input {
		c.attr.Files[0] = uintptr(s.devNull)
	}
	if c.umask != nil {
		old := syscall.Umask(int(*c.umask))
		defer syscall.Umask(old)
	}
	c.attr.Sys = &c.sys
	return syscall.ForkExec(c.path, c.argv, &c.attr)
}

// receive takes over the descriptors that were handed in. The kernel leaves out
// those that do not fit below the limit.
func (s *spawner) receive(given int) ([]int, error) {
	if given == 0 {
		return nil, nil
	}
	var data [1]byte
	oob := make([]byte, unix.CmsgSpace(4*filesBound))
	_, n, _, _, err := unix.Recvmsg(s.theirs, data[:], oob, unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
	if err != nil {
		return nil, fmt.Errorf("taking descriptors over: %w", err)
	}
	var fds []int
	messages, err := syscall.ParseSocketControlMessage(oob[:n])
	if err == nil && len(messages) == 1 {
		fds, err = syscall.ParseUnixRights(&messages[0])
	}
	if err == nil && len(fds) < given {
		for _, fd := range fds {
			syscall.Close(fd)
		}
		err = syscall.EMFILE
	}
	if err != nil {
		return nil, fmt.Errorf("taking descriptors over: %w", err)
	}
	return fds, nil
}

// close ends the thread, and with it every child that is left.
func (s *spawner) close() {
	close(s.work)
	syscall.Close(s.sock)
	if s.shared {
		syscall.Close(s.devNull)
	}
}
