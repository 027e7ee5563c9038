package proc

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/supertrees/supervise/ipc"
)

// Monitor waits for the end of a life. See Server.Monitor.
type Monitor struct {
	s        *Server
	id       uint64
	canceled atomic.Bool
}

// Monitor has f run in the mailbox once, when the life that to stands for now
// ends; at once, with the class NoProc, if nobody is there. The end is the last
// that is heard of that life.
func (s *Server) Monitor(to Target, f func(context.Context, Down) error) *Monitor {
	mon := &Monitor{s: s}
	w := &waiter{then: func(a answer) {
		down := monitored(to, a)
		s.later("the end of "+to.String(), func(ctx context.Context) error {
			if mon.canceled.Load() {
				return nil
			}
			return f(ctx, down)
		})
	}}
	mon.id, _, _ = s.ch.calls.acquire(w, false, nil, 0)
	m := ipc.Message{Type: ipc.Call, About: true, ID: mon.id, Method: ipc.VerbMonitor}
	m.Dst, m.To = to.wire()
	if err := s.ch.write(&m, s.ch.closed, true); err != nil {
		s.ch.calls.complete(mon.id, answer{code: ErrDown})
	}
	return mon
}

func monitored(to Target, a answer) Down {
	var down ipc.Down
	if a.code == "" && !a.failed && json.Unmarshal(a.body, &down) == nil {
		return downOf(down)
	}
	d := nobodyDown(to)
	if err := callError(to.String(), ipc.VerbMonitor, a.body); a.failed && err.Code == ErrNoProc {
		return d
	} else if a.failed {
		d.Reason = Reason{Abnormal, err.Error()}
	}
	if a.code != "" {
		d.Reason = Reason{Killed, "the channel has ended"}
	}
	return d
}

// Cancel ends the monitor: f does not run any more, also if the end is already
// in the mailbox (demonitor with flush).
func (m *Monitor) Cancel() {
	if m.canceled.Swap(true) {
		return
	}
	if m.s.ch.calls.take(m.id) != nil {
		m.s.ch.cancel(m.id)
	}
}

// LinkMode is which of two linked lives ends with the other's fault.
type LinkMode uint8

// The modes. Links are additive, and one per pair: twice is once.
const (
	LinkPeer    LinkMode = iota // both: OTP's link
	LinkMonitor                 // this one, with the other
	LinkNotify                  // the other, with this one
)

var linkModes = [...]string{ipc.ModePeer, ipc.ModeMonitor, ipc.ModeNotify}

func (m LinkMode) String() string {
	if int(m) >= len(linkModes) {
		return fmt.Sprintf("link mode %d", uint8(m))
	}
	return linkModes[m]
}

// UnmarshalText reads what String writes.
func (m *LinkMode) UnmarshalText(b []byte) error {
	for i, word := range linkModes {
		if word == string(b) {
			*m = LinkMode(i)
			return nil
		}
	}
	return fmt.Errorf("reading a mode of a link: %.40q is none of peer, monitor, notify", b)
}

// Link ties this life to another: a fault of one (Reason.Fault) ends the other,
// with the detail "cascade: /path#incarnation". The supervisors enforce it. To
// nobody it is ErrNoProc, to oneself ErrCallingSelf.
func (s *Server) Link(to Target, mode LinkMode) error {
	place, err := s.link(to, ipc.VerbLink, ipc.LinkMode{Mode: mode.String()})
	if err == nil && mode != LinkNotify {
		s.mu.Lock()
		s.links[place.Addr] = true
		s.mu.Unlock()
	}
	return err
}

// Unlink undoes every link to the life. When it has returned, no end of that
// life has an effect or comes to TrapExit. To nobody it is nil.
func (s *Server) Unlink(to Target) error {
	if a, ok := to.(Addr); ok {
		s.mu.Lock()
		delete(s.links, a.a)
		s.mu.Unlock()
	}
	place, err := s.link(to, ipc.VerbUnlink, nil)
	if isCode(err, ErrNoProc) {
		return nil
	}
	s.mu.Lock()
	delete(s.links, place.Addr)
	s.mu.Unlock()
	return err
}

func (s *Server) link(to Target, method string, req any) (place ipc.Place, err error) {
	err = s.verb(s.base(), to, method, req, &place)
	return place, err
}

// TrapExit has faults of linked lives run f in the mailbox instead of ending
// this worker; nil is as before. A KILL cannot be trapped.
func (s *Server) TrapExit(f func(context.Context, Down) error) {
	s.mu.Lock()
	s.trap = f
	s.mu.Unlock()
	s.ch.tell(ipc.VerbTrap, ipc.Trap{On: f != nil})
}

// exited runs in the mailbox when a linked life's fault has come. The node may
// have sent it before it heard of an Unlink, or of the Link from the other side.
func (s *Server) exited(ctx context.Context, d Down) error {
	s.mu.Lock()
	trap := s.trap
	s.mu.Unlock()
	if trap == nil {
		slog.Warn("proc: the fault of a linked worker, which nothing traps", "path", d.Path, "reason", d.Reason)
		return nil
	}
	return trap(ctx, d)
}
