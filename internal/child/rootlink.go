package child

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// RootLink is the root's end of the link to its sentinel: a pair of sockets
// that keep messages apart. What the root writes goes to Root.Hear; its end is
// the sentinel's.
const RootLink = 3

// linkMessage is the longest message on the link, in bytes.
const linkMessage = 8192

// openRootLink makes the link.
func openRootLink() (root, sentinel int, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, -1, fmt.Errorf("making the link to the root: %w", err)
	}
	return fds[0], fds[1], nil
}

// listen reads what the root says until its end. Without anybody to hear it,
// the end stays open all the same: the root lives by it.
func listen(fd int, hear func([]byte)) {
	if hear == nil {
		return
	}
	_ = unix.SetNonblock(fd, true) // else the wait costs a thread, and nothing more
	link := os.NewFile(uintptr(fd), "root")
	go func() {
		message := make([]byte, linkMessage)
		for {
			n, err := link.Read(message)
			if err != nil {
				return
			}
			hear(message[:n])
		}
	}()
}
