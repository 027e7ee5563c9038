package ready

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/internal/child"
)

// firstFile is the child's descriptor that Spawn.Files begins with.
const firstFile = 3

// pipeRead is how much of what a child writes before its newline is read at
// once, and pipeReads how often in one turn.
const (
	pipeRead  = 256
	pipeReads = 4
)

// pipe is s6's way: a newline on a descriptor that the child inherits.
type pipe struct {
	fd     int // the reading end; -1: none
	theirs int // the child's end, until it has it
}

// openPipe makes the pipe and puts the child's end where it is wanted.
func (p *Prober) openPipe(l *life, order *child.Spawn) error {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("making the readiness pipe of %s: %w", l.path, err)
	}
	l.pipe = pipe{fd: fds[0], theirs: fds[1]}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return fmt.Errorf("making the readiness pipe of %s: %w", l.path, err)
	}
	if p.poller == nil {
		poller, err := newPoller(p.host.Post, p.poll)
		if err != nil {
			return fmt.Errorf("making an epoll for the readiness pipe of %s: %w", l.path, err)
		}
		p.poller = poller
	}
	if err := p.poller.add(fds[0], l); err != nil {
		return fmt.Errorf("watching the readiness pipe of %s: %w", l.path, err)
	}
	at := l.worker.Ready.FD - firstFile
	for len(order.Files) <= at {
		order.Files = append(order.Files, -1)
	}
	order.Files[at] = fds[1]
	return nil
}

// readPipe looks for the newline.
func (p *Prober) readPipe(l *life) {
	for range pipeReads {
		if l.pipe.fd < 0 {
			return
		}
		var text [pipeRead]byte
		n, err := unix.Read(l.pipe.fd, text[:])
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return
		case err != nil || n == 0:
			p.closePipe(l)
		case bytes.IndexByte(text[:n], '\n') >= 0:
			p.tell(l, Ready{})
		}
	}
}

func (p *Prober) closePipe(l *life) {
	l.pipe.closeTheirs()
	if l.pipe.fd >= 0 {
		p.poller.remove(l.pipe.fd)
		unix.Close(l.pipe.fd)
		l.pipe.fd = -1
	}
}

// closeTheirs closes the child's end in this process.
func (x *pipe) closeTheirs() {
	if x.theirs >= 0 {
		unix.Close(x.theirs)
		x.theirs = -1
	}
}
