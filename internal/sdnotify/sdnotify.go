// Package sdnotify tells whoever supervises this tree, systemd or another
// supervise, how it does: READY=1 when the whole tree runs, STATUS in one
// line, STOPPING=1, and WATCHDOG=1 for as long as the root's own loop turns.
//
// Only the process that systemd started may speak to it (NotifyAccess=main),
// and that one is the sentinel. So the root writes to its sentinel (an Upward
// does), which hands the messages on (a Relay does).
package sdnotify

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// messageBound is the longest message that is handed on, in bytes: systemd's own bound.
const messageBound = 4096

// sendBound is how long a supervisor that does not read may hold up a message.
const sendBound = 5 * time.Second

// Relay hands messages on to a notification socket.
type Relay struct {
	fd      int
	address unix.Sockaddr
}

// NewRelay opens the way to the socket that NOTIFY_SOCKET names: a path, or @
// and a name in the abstract namespace. It is nil where the variable is not
// set, because then nobody wants to hear anything.
func NewRelay(getenv func(string) string) (*Relay, error) {
	name := getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil, nil
	}
	if name[0] != '/' && name[0] != '@' {
		return nil, fmt.Errorf("opening NOTIFY_SOCKET %q: neither a path nor an abstract name", name)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening NOTIFY_SOCKET %q: %w", name, err)
	}
	bound := unix.NsecToTimeval(sendBound.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &bound); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("opening NOTIFY_SOCKET %q: %w", name, err)
	}
	return &Relay{fd: fd, address: &unix.SockaddrUnix{Name: name}}, nil
}

// Send hands a message on. It waits at most sendBound.
func (r *Relay) Send(message []byte) error {
	if len(message) > messageBound {
		return fmt.Errorf("notifying systemd: a message of %d bytes", len(message))
	}
	if err := unix.Sendto(r.fd, message, unix.MSG_NOSIGNAL, r.address); err != nil {
		return fmt.Errorf("notifying systemd: %w", err)
	}
	return nil
}

// Close gives the socket back.
func (r *Relay) Close() { unix.Close(r.fd) }

// Wanted says whether somebody above wants to be told, and how often it wants
// WATCHDOG=1; 0 is never. The root reads its sentinel's environment, so a
// WATCHDOG_PID may name this process or its parent.
func Wanted(getenv func(string) string) (wanted bool, watchdog time.Duration) {
	if getenv("NOTIFY_SOCKET") == "" {
		return false, 0
	}
	usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec <= 0 || usec > int64(watchdogBound/time.Microsecond) {
		return true, 0
	}
	if pid := getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) && pid != strconv.Itoa(os.Getppid()) {
		return true, 0
	}
	return true, time.Duration(usec) * time.Microsecond
}

// watchdogBound is the longest time of a watchdog that has a meaning.
const watchdogBound = 365 * 24 * time.Hour

// oneLine keeps a status from being more than one variable.
func oneLine(s string) string { return strings.ReplaceAll(s, "\n", " ") }
