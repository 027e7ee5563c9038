package ready

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The bounds of what a child may say.
const (
	messageBound = 4096                   // bytes of one message, as with systemd
	fdBound      = 16                     // descriptors with one message; more are dropped by the kernel
	readsAtOnce  = 16                     // messages of one life in one turn
	drainBound   = 1024                   // messages of a dead life: more than the kernel keeps
	statusBound  = 256                    // bytes of a STATUS text
	statusEvery  = 100 * time.Millisecond // at most one Status in this time
)

// notify is a life's end of the sd_notify protocol. Every life has a socket of
// its own, under a name in the abstract namespace that no other life has had:
// so a message is of that life even when its sender is gone by the time that it
// is read, as a systemd-notify in a script is. The name needs no directory, no
// permission and no cleaning up; the child must be in our network namespace.
type notify struct {
	fd   int    // -1: none
	name string // for NOTIFY_SOCKET, with the @

	status    string // the last one told
	statusAt  time.Duration
	pending   string // to be told at pendingAt
	pendingAt time.Duration

	warned map[string]bool // kinds of warnings that were given
}

// openNotify makes a life's socket.
func (p *Prober) openNotify(l *life) error {
	fail := func(what string, err error) error {
		return fmt.Errorf("%s for %s: %w", what, l.path, err)
	}
	if p.poller == nil {
		poller, err := newPoller(p.host.Post, p.poll)
		if err != nil {
			return fail("making an epoll for the notifications", err)
		}
		p.poller = poller
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fail("making a notification socket", err)
	}
	var id [16]byte
	rand.Read(id[:]) // never fails
	l.notify.fd = fd
	l.notify.name = "@supervise-" + hex.EncodeToString(id[:])
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: l.notify.name}); err != nil {
		return fail("naming a notification socket", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		return fail("asking who sends notifications", err)
	}
	if err := p.poller.add(fd, l); err != nil {
		return fail("watching a notification socket", err)
	}
	return nil
}

func (p *Prober) closeNotify(l *life) {
	if l.notify.fd >= 0 {
		p.poller.remove(l.notify.fd)
		unix.Close(l.notify.fd)
		l.notify.fd = -1
	}
}

// poll serves what is readable, a bounded piece of it, so that a child that
// floods its socket does not keep the node from its work.
func (p *Prober) poll() {
	if p.poller == nil {
		return // closed meanwhile
	}
	for _, l := range p.poller.ready() {
		p.readPipe(l)
		p.readNotifyAll(l)
	}
}

// readNotifyAll reads what a life has said, up to a bound.
func (p *Prober) readNotifyAll(l *life) {
	for range readsAtOnce {
		if !p.readNotify(l) {
			return
		}
	}
}

// readNotify reads one message. False: there is none. Descriptors that came
// with it are closed in any case, which is what BARRIER=1 asks for: all that was
// sent before it has been handled by then. They are closed last, because the
// sender may end as soon as they are.
func (p *Prober) readNotify(l *life) (more bool) {
	if l.notify.fd < 0 {
		return false
	}
	if p.text == nil {
		p.text = make([]byte, messageBound)
		p.control = make([]byte, unix.CmsgSpace(unix.SizeofUcred)+unix.CmsgSpace(4*fdBound))
	}
	text, control := p.text, p.control
	n, nc, flags, _, err := unix.Recvmsg(l.notify.fd, text, control, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return err == unix.EINTR
	}
	sender, fds := openControl(control[:nc])
	defer closeAll(fds)
	if flags&unix.MSG_TRUNC != 0 {
		p.reject(l, "a notification of more than 4 KiB")
		return true
	}
	if err := p.fromLife(l, sender); err != nil {
		p.reject(l, err.Error())
		return true
	}
	p.understand(l, string(text[:n]))
	return true
}

// openControl says who sent a message, nil where the kernel did not tell, and
// which descriptors came with it.
func openControl(control []byte) (sender *unix.Ucred, fds []int) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil, nil
	}
	for i := range messages {
		if cred, err := unix.ParseUnixCredentials(&messages[i]); err == nil {
			sender = cred
		}
		if more, err := unix.ParseUnixRights(&messages[i]); err == nil {
			fds = append(fds, more...)
		}
	}
	return sender, fds
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// fromLife says why a message is not to be believed. A sender that lives must
// be of this life; from one that is gone already, the name of the socket, which
// only this life was given, and a user who could act for it anyway are enough.
func (p *Prober) fromLife(l *life, sender *unix.Ucred) error {
	if sender == nil || sender.Pid <= 0 {
		return errors.New("a notification from nobody knows whom")
	}
	pid := int(sender.Pid)
	if pid == l.pid || pid == os.Getpid() {
		// A privileged systemd-notify speaks in the name of its parent, and an
		// orphan's parent is this process, which itself never writes here.
		return nil
	}
	owns, known := p.host.Owns(l.ref, pid)
	switch {
	case owns:
		return nil
	case known:
		return fmt.Errorf("a notification from pid %d, which is not of this child", pid)
	case sender.Uid == 0 || sender.Uid == l.uid || sender.Uid == uint32(os.Geteuid()):
		return nil
	}
	return fmt.Errorf("a notification from user %d, as whom this child does not run", sender.Uid)
}

// reject counts a message that was passed over.
func (p *Prober) reject(l *life, what string) {
	p.rejected++
	p.warn(l, "reject", what+", was passed over")
}

// warn tells of something once in a life.
func (p *Prober) warn(l *life, kind, text string) {
	if l.notify.warned[kind] {
		return
	}
	if l.notify.warned == nil {
		l.notify.warned = make(map[string]bool)
	}
	l.notify.warned[kind] = true
	p.tell(l, Warning{Text: text})
}

// understand reads a message: lines NAME=VALUE. What is not for us to act on
// is passed over, as the protocol wants.
func (p *Prober) understand(l *life, text string) {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimRight(line, "\n\x00"), "=")
		switch name {
		case "READY":
			if r := l.worker.Ready; value == "1" && r != nil && r.Notify {
				p.tell(l, Ready{})
			}
		case "STATUS":
			p.keepStatus(l, oneLine(value))
		case "STOPPING":
			if value == "1" && !l.ordered {
				p.tell(l, Stopping{})
			}
		case "WATCHDOG":
			p.heard(l, value)
		case "MAINPID":
			if value != strconv.Itoa(l.pid) {
				p.warn(l, "mainpid", "MAINPID="+oneLine(value)+" was passed over: its supervisor watches the process that it started")
			}
		case "FDSTORE":
			p.warn(l, "fdstore", "FDSTORE was passed over: its supervisor keeps no descriptors")
		}
	}
}

// heard is a word to the watchdog. A beat before the child is up has no
// meaning: its time has not begun.
func (p *Prober) heard(l *life, value string) {
	switch value {
	case "1":
		if l.dog.on {
			p.feed(l)
		}
	case "trigger":
		p.miss(l, p.host.Now())
	}
}

// keepStatus tells a status, now or when it is time again.
func (p *Prober) keepStatus(l *life, text string) {
	n := &l.notify
	n.pending = text
	if n.pendingAt == 0 {
		n.pendingAt = max(n.statusAt+statusEvery, 1)
	}
	if n.pendingAt <= p.host.Now() {
		p.tellStatus(l)
	}
	p.arm(l)
}

// tellStatus tells the status that waits, if there is one.
func (p *Prober) tellStatus(l *life) {
	n := &l.notify
	if n.pendingAt == 0 {
		return
	}
	n.pendingAt = 0
	n.statusAt = p.host.Now()
	if n.pending != n.status {
		n.status = n.pending
		p.tell(l, Status{Text: n.status})
	}
	n.pending = ""
}

// oneLine makes a text fit to be shown on anybody's terminal.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > statusBound {
		s = strings.ToValidUTF8(s[:statusBound], "")
	}
	return strings.TrimSpace(s)
}
