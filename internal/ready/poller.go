package ready

import (
	"os"

	"golang.org/x/sys/unix"
)

// servedAtOnce is how many descriptors are served in one turn of the node.
const servedAtOnce = 64

// poller waits for all sockets and pipes of a node in one goroutine, which
// only wakes the node: what is readable is read on the node's own goroutine.
type poller struct {
	file *os.File
	fd   int
	byFD map[int32]*life
}

// newPoller waits until something can be read, has serve run on the node's
// goroutine, and waits again.
func newPoller(post func(func()), serve func()) (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	// The runtime's poller waits for our epoll as for any other descriptor,
	// which saves the thread that a blocking epoll_wait would take.
	if err = unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	x := &poller{file: os.NewFile(uintptr(fd), "epoll"), fd: fd, byFD: make(map[int32]*life)}
	raw, err := x.file.SyscallConn()
	if err != nil {
		x.file.Close()
		return nil, err
	}
	go func() {
		served := make(chan struct{}, 1)
		for {
			err := raw.Read(func(fd uintptr) bool {
				var one [1]unix.EpollEvent
				n, err := unix.EpollWait(int(fd), one[:], 0)
				return n != 0 && err != unix.EINTR
			})
			if err != nil {
				return // closed
			}
			post(func() { serve(); served <- struct{}{} })
			<-served
		}
	}()
	return x, nil
}

func (x *poller) add(fd int, l *life) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	if err := unix.EpollCtl(x.fd, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return err
	}
	x.byFD[int32(fd)] = l
	return nil
}

// remove must come before the close: the number may be somebody else's after it.
func (x *poller) remove(fd int) {
	if x == nil || x.byFD[int32(fd)] == nil {
		return
	}
	delete(x.byFD, int32(fd))
	_ = unix.EpollCtl(x.fd, unix.EPOLL_CTL_DEL, fd, nil) // it was added, and nothing else can go wrong
}

// ready lists lives of which something can be read, at most servedAtOnce.
func (x *poller) ready() []*life {
	var events [servedAtOnce]unix.EpollEvent
	n, err := unix.EpollWait(x.fd, events[:], 0)
	if err != nil {
		return nil
	}
	lives := make([]*life, 0, n)
	for _, e := range events[:max(n, 0)] {
		if l := x.byFD[e.Fd]; l != nil {
			lives = append(lives, l)
		}
	}
	return lives
}

func (x *poller) close() { x.file.Close() }
