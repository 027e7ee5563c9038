package proc

import (
	"io"
	"os"
	"syscall"

	"github.com/supertrees/supervise/ipc"
)

// grownSize is what a pipe is made to hold, in bytes, once it has been full: a
// sender in a hurry then works beside the receiver and not in turns with it. It
// is a part of what the kernel lets a user have in all his pipes, 64 MiB, so that
// only pipes that need it get it.
const grownSize = 256 << 10

// pipe is the writing end of a pipe that can also be written to without
// waiting. It is for one writer at a time.
type pipe struct {
	*os.File
	raw   syscall.RawConn
	grown bool

	// One write, here and not in a closure of its own: that would be an allocation
	// for each.
	once func(fd uintptr) bool
	b    []byte
	n    int
	err  error
}

var _ ipc.TryWriter = (*pipe)(nil)

// writerTo is w, as a pipe if it is one that does not block.
func writerTo(w io.Writer) io.Writer {
	f, raw := unblocking(w, syscall.O_WRONLY)
	if f == nil {
		return w
	}
	p := &pipe{File: f, raw: raw}
	p.once = func(fd uintptr) bool {
		p.n, p.err = syscall.Write(int(fd), p.b)
		return true
	}
	return p
}

// TryWrite writes what there is room for.
func (p *pipe) TryWrite(b []byte) (n int, err error) {
	n, err = p.try(b)
	if n < len(b) && err == nil && p.grow() {
		var more int
		more, err = p.try(b[n:])
		n += more
	}
	return n, err
}

// Write writes all of b, and waits for room.
func (p *pipe) Write(b []byte) (n int, err error) {
	if !p.grown {
		if n, err = p.TryWrite(b); n == len(b) || err != nil {
			return n, err
		}
	}
	more, err := p.File.Write(b[n:])
	return n + more, err
}

func (p *pipe) try(b []byte) (n int, err error) {
	p.b = b
	err = p.raw.Write(p.once)
	p.b = nil
	switch {
	case err != nil:
		return 0, err
	case p.err == syscall.EAGAIN || p.err == syscall.EINTR:
		return 0, nil
	}
	return max(p.n, 0), p.err
}

// grow makes room in a pipe that is full, once. The kernel may refuse: then it
// stays as it is.
func (p *pipe) grow() bool {
	if p.grown {
		return false
	}
	p.grown = true
	grew := false
	err := p.raw.Control(func(fd uintptr) {
		_, _, errno := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_SETPIPE_SZ, grownSize)
		grew = errno == 0
	})
	return grew && err == nil
}
