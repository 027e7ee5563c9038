package proc

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/supertrees/supervise/ipc"
)

// Ready says that the program is up: on its channel, and by sd_notify. It is
// for programs with a main of their own: Serve does it itself. Without a
// supervisor it does nothing and returns ErrNotSupervised.
func Ready() error {
	s, err := own()
	if err == nil {
		s.ch.tell(ipc.VerbReady, ipc.Welcome{Protocol: ipc.Version, Methods: s.Methods()})
	}
	return either(err, notify("READY=1"))
}

// Status says in a line what the program is doing, for people.
func Status(format string, a ...any) {
	text := bound(fmt.Sprintf(format, a...), 1024)
	s, err := own()
	if err == nil {
		s.ch.tell(ipc.VerbStatus, ipc.Status{Text: text})
	}
	_ = either(err, notify("STATUS="+text)) // said to whoever listens
}

// either is nil if one of two ways led to the supervisor.
func either(channel, socket error) error {
	if channel == nil || (socket == nil && errors.Is(channel, ErrNotSupervised)) {
		return nil
	}
	return channel
}

// notify sends a line to the socket that NOTIFY_SOCKET names: sd_notify(3).
// Package net would double the size of a worker.
func notify(line string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return ErrNotSupervised
	}
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("notifying %s: %w", name, err)
	}
	defer syscall.Close(fd)
	if err := syscall.Sendto(fd, []byte(line), 0, &syscall.SockaddrUnix{Name: name}); err != nil {
		return fmt.Errorf("notifying %s: %w", name, err)
	}
	return nil
}
