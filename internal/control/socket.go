package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrRuns says that a tree runs at that socket already.
var ErrRuns = errors.New("a tree already runs there")

// maxLockTries bounds how often a lock file may vanish while it is taken.
const maxLockTries = 10

// Listener is a socket with its lock.
type Listener struct {
	Path string
	unix *net.UnixListener
	lock *os.File
}

// Listen takes a socket's path: it locks PATH.lock, so that there is one tree
// at a time, removes what a tree that died has left, and listens, for this
// user alone. A path where somebody answers is not taken over: ErrRuns.
func Listen(path string) (*Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("making the directory of the control socket: %w", err)
	}
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, fmt.Errorf("locking the control socket %s: %w", path, err)
	}
	l, err := listen(path)
	if err != nil {
		os.Remove(lock.Name())
		lock.Close()
		return nil, err
	}
	return &Listener{Path: path, unix: l, lock: lock}, nil
}

func listen(path string) (*net.UnixListener, error) {
	if err := clear(path); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listening on the control socket %s: %w", path, cause(err))
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("closing the control socket to others: %w", err)
	}
	return l, nil
}

// clear removes a socket that nobody answers on.
func clear(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("looking at the control socket: %w", err)
	case info.Mode().Type() != os.ModeSocket:
		return fmt.Errorf("making the control socket %s: something else is there, and it is no socket", path)
	}
	if answers(path) {
		return fmt.Errorf("making the control socket %s: %w", path, ErrRuns)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("removing the stale control socket: %w", err)
	}
	return nil
}

// lockFile takes a lock that ends with this process. The file is removed by
// whoever holds the lock, so a lock on a file that is gone is not one.
func lockFile(path string) (*os.File, error) {
	for range maxLockTries {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			f.Close()
			if err == unix.EWOULDBLOCK {
				return nil, ErrRuns
			}
			return nil, err
		}
		held, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, err
		}
		if there, err := os.Stat(path); err == nil && os.SameFile(held, there) {
			return f, nil
		}
		f.Close()
	}
	return nil, fmt.Errorf("%s is removed again and again", path)
}

// Close takes the socket and its lock away.
func (l *Listener) Close() {
	l.unix.Close() // removes the socket
	os.Remove(l.lock.Name())
	l.lock.Close()
}

// cause is the system's error inside one of package net's.
func cause(err error) error {
	var number unix.Errno
	if errors.As(err, &number) {
		return number
	}
	return err
}

// answers says whether somebody listens at a path: also if so many ask there at
// this moment that we are not let in.
func answers(path string) bool {
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
	}
	return err == nil || errors.Is(err, unix.EAGAIN)
}
