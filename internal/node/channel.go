package node

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/supertrees/supervise/internal/board"
	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/ipc"
	"github.com/supertrees/supervise/tree"
)

// The channel of a worker: what it says of its start, its state and its end,
// and what happens when it says what it must not.

const (
	// channelEndGrace is how long a worker may outlive its channel: at an end of
	// its own the kernel closes the pipes first, and tells of the death after.
	channelEndGrace = time.Second
	// faultGrace is how long a worker that is stopped for a fault of its
	// channel, or of another life, may take to end.
	faultGrace = 5 * time.Second
	// statusBound is the most of a status text, in bytes; statusEvery the least
	// time between two that are told.
	statusBound = 256
	statusEvery = 100 * time.Millisecond
	// stackLines of a stack, of stackBound bytes together, are told.
	stackLines = 6
	stackBound = 1024
)

// said is what a worker said over its channel.
type said struct {
	ignored  bool
	exiting  *ipc.Exiting  // nil: nothing
	stack    string        // where it broke, its first lines as one
	status   string        // the text that waits to be told
	statusAt time.Duration // when the last one was
	parted   bool          // one of the pipes has ended
	fault    string        // why this node ends it: its reason is abnormal then
}

// connect makes the link of a new life and puts its ends into the order.
// subtree is nil for a worker.
func (n *Node) connect(l *life, subtree *child.Subtree, order *child.Spawn) (err error) {
	if subtree != nil {
		l.port, err = n.board.AddNode(l.path, l.ref.Incarnation, n.greeting(subtree))
	} else {
		l.port, err = n.board.AddWorker(l.path, l.ref.Incarnation, channelMode(l.worker), ipc.Hello{
			MaxMessage: ipc.DefaultMessage, SlowHandler: ipc.Duration(l.worker.SlowHandler), Shutdown: n.shutdownTime(l.ref.ID),
		})
	}
	if err != nil {
		return err
	}
	if l.worker != nil && l.worker.Manage {
		n.board.Permit(l.port)
	}
	l.port.Data = l
	if l.port.Theirs[0] < 0 {
		return nil
	}
	if !order.Node {
		first := 3 + len(order.Files)
		order.Env = append(order.Env, fmt.Sprintf("SUPERVISE_CHANNEL=%d,%d", first, first+1))
	}
	order.Files = append(order.Files, l.port.Theirs[:]...)
	return nil
}

func channelMode(p *child.Process) board.Mode {
	switch p.Channel {
	case "frames":
		return board.Frames
	case "lines":
		return board.Lines
	}
	return board.None
}

// shutdownTime is how long a child may take to stop, for its hello; 0: no limit.
func (n *Node) shutdownTime(id string) ipc.Duration {
	if stop := n.stops[n.specID(id)]; stop.Mode == tree.StopTime {
		return ipc.Duration(stop.Time)
	}
	return 0
}

// requested handles a call or a cast to this supervisor.
func (n *Node) requested(r *board.Request) {
	l := lifeAt(r.From)
	if r.Ticket != 0 {
		n.serveCall(r)
		return
	}
	if l == nil || l.worker == nil {
		return
	}
	switch r.Message.Method {
	case ipc.VerbReady:
		if proof := l.worker.Ready; proof == nil || proof.Channel {
			n.step(tree.Ready{Ref: l.ref})
		}
	case ipc.VerbIgnore:
		l.said.ignored = true
	case ipc.VerbFailed:
		var failed ipc.Failed
		if json.Unmarshal(r.Message.Payload, &failed) == nil && failed.Reason != "" {
			l.failure, l.said.stack = failed.Reason, firstLines(failed.Stack)
		}
	case ipc.VerbExiting:
		l.said.exiting = &ipc.Exiting{}
		_ = json.Unmarshal(r.Message.Payload, l.said.exiting) // the wait status has the last word anyway
		l.said.stack = firstLines(l.said.exiting.Stack)
	case ipc.VerbStatus:
		var status ipc.Status
		if json.Unmarshal(r.Message.Payload, &status) == nil {
			n.keepText(l, status.Text)
		}
	}
}

// keepText tells a worker's status text, now or when it is time again.
func (n *Node) keepText(l *life, text string) {
	waits := l.said.status != ""
	l.said.status = oneLine(text)
	if at := l.said.statusAt + statusEvery; l.said.statusAt != 0 && at > now() {
		if !waits {
			n.later(at, func() { n.tellText(l) })
		}
		return
	}
	n.tellText(l)
}

func (n *Node) tellText(l *life) {
	if l.said.status == "" || l.gone() {
		return
	}
	n.emit(journal.Record{Event: journal.Status, Path: l.path, Pid: l.pid, Incarnation: l.ref.Incarnation, Message: l.said.status})
	l.said.status, l.said.statusAt = "", now()
}

// oneLine makes a text fit to be shown on anybody's terminal.
func oneLine(s string) string {
	s = printable(s)
	if len(s) > statusBound {
		s = strings.ToValidUTF8(s[:statusBound], "")
	}
	return s
}

// printable is a text without what moves a cursor.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
}

// firstLines are the first lines of a stack, as one.
func firstLines(stack string) string {
	if len(stack) > stackBound {
		stack = strings.ToValidUTF8(stack[:stackBound], "")
	}
	lines := strings.FieldsFunc(stack, func(r rune) bool { return r == '\n' || r == '\r' })
	for i := range lines {
		lines[i] = printable(strings.TrimSpace(lines[i]))
	}
	return strings.Join(lines[:min(len(lines), stackLines)], "; ")
}

// epitaph is what is told of an end: what the life said, and where it broke.
func (l *life) epitaph() string {
	text := l.detail()
	if l.said.stack == "" || l.said.fault != "" {
		return text
	}
	if text == "" {
		text = oneLine(l.failure)
	}
	return text + " [" + l.said.stack + "]"
}

// unheard handles the end of a link whose process may still be there.
func (n *Node) unheard(l *life, e *board.Ended) {
	if l.gone() || l.said.fault != "" {
		return
	}
	if strings.HasPrefix(e.Why, "protocol: ") {
		n.emit(journal.Record{
			Event: journal.Warning, Path: l.path, Pid: l.pid, Incarnation: l.ref.Incarnation,
			Message: fmt.Sprintf("%s; it began with %x", e.Why, e.Head),
		})
		l.said.fault = e.Why
		n.sent(l, n.engine.Kill(now(), l.ref))
		return
	}
	if l.said.parted {
		return
	}
	l.said.parted = true
	why := e.Why
	if why == "" {
		why = "it closed its channel"
	}
	n.later(now()+channelEndGrace, func() { n.stopFor(l, why) })
}

// cascade ends a worker because of the end of another that it is linked to.
func (n *Node) cascade(l *life, detail string) { n.stopFor(l, detail) }

// stopFor ends a life for a fault, which will be the detail of its reason: by
// the stop signal, then by KILL.
func (n *Node) stopFor(l *life, why string) {
	if l.gone() || l.said.fault != "" || l.ordered {
		return
	}
	l.said.fault = why
	n.emit(journal.Record{Event: journal.Warning, Path: l.path, Pid: l.pid, Incarnation: l.ref.Incarnation, Message: "stopped: " + why})
	sig := syscall.SIGTERM
	if l.worker != nil {
		sig = l.worker.Signal()
	}
	n.orderStop(l, why, faultGrace)
	n.sent(l, n.engine.Terminate(now(), l.ref, sig, faultGrace))
	n.later(now()+faultGrace, func() {
		if !l.gone() {
			n.sent(l, n.engine.Kill(now(), l.ref))
		}
	})
}

// gone says whether the main process has ended. What it left may still live,
// and keep its channel open.
func (l *life) gone() bool { return l.reaped || l.ended != nil }

// orderStop says over the channel what the stop signal says, and how much time
// there is; 0 is without limit.
func (n *Node) orderStop(l *life, reason string, grace time.Duration) {
	if l.worker != nil && l.worker.Channel != "" {
		n.board.Tell(l.port, ipc.VerbStop, ipc.Stop{Reason: reason, GraceMS: grace.Milliseconds()})
	}
}

// reason is how a life ended: the wait status, and what was said before.
func (l *life) reason(status syscall.WaitStatus, order child.Order) tree.Reason {
	reason := child.Reason(status, order, l.worker, l.worker == nil)
	switch {
	case l.said.fault != "":
		return tree.ReasonAbnormal
	case reason == tree.ReasonNormal && l.said.exiting != nil && l.said.exiting.Reason == tree.ReasonShutdown.String():
		return tree.ReasonShutdown // declared: an exit of its own that is as good as an ordered one
	}
	return reason
}

// down is what is told to those who monitor a life, or wait for its answers.
// An abnormal end of which nobody said more is told by its status.
func (l *life) down(reason tree.Reason, status syscall.WaitStatus) ipc.Down {
	detail := l.detail()
	switch {
	case detail != "" || reason != tree.ReasonAbnormal:
	case status.Signaled():
		detail = "signal: " + status.Signal().String()
	default:
		detail = fmt.Sprintf("exit: %d", status.ExitStatus())
	}
	return ipc.Down{Reason: reason.String(), Detail: detail}
}

// unspoken is why the start of a worker failed that was to say over its
// channel that it is up; of one that was ordered to end, somebody else knows.
func (l *life) unspoken(reason tree.Reason) string {
	switch {
	case l.worker == nil || l.worker.Channel == "" || l.ordered:
		return ""
	case l.detail() != "":
		return reason.String() + ": " + l.detail()
	case l.worker.Ready == nil || l.worker.Ready.Channel:
		return reason.String() + ": it ended before it said $ready"
	}
	return ""
}

// detail is why a life ended, where somebody said so.
func (l *life) detail() string {
	if l.said.fault != "" {
		return l.said.fault
	}
	if l.said.exiting == nil {
		return ""
	}
	return oneLine(l.said.exiting.Detail)
}
